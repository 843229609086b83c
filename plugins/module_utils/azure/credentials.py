# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to Azure: module options, then environment, credentials file, ``az`` login; or a managed identity.

Option and environment names are those of azure.azcollection and AWX; where azure-identity has another name for the
same thing, that is read too, after the first.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

if t.TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

ENVIRONMENT: t.Mapping[str, tuple[str, ...]] = {
    "subscription_id": ("AZURE_SUBSCRIPTION_ID",),
    "client_id": ("AZURE_CLIENT_ID",),
    "secret": ("AZURE_SECRET", "AZURE_CLIENT_SECRET"),
    "tenant": ("AZURE_TENANT", "AZURE_TENANT_ID"),
    "ad_user": ("AZURE_AD_USER",),
    "password": ("AZURE_PASSWORD",),
    "x509_certificate_path": ("AZURE_X509_CERTIFICATE_PATH",),
    "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE",),
}

# azure.azcollection's names of the clouds, to the names that azure-core and azure-identity have for them.
_CLOUDS: t.Mapping[str, tuple[str, str]] = {
    "azurecloud": ("AZURE_PUBLIC_CLOUD", "login.microsoftonline.com"),
    "azurechinacloud": ("AZURE_CHINA_CLOUD", "login.chinacloudapi.cn"),
    "azureusgovernment": ("AZURE_US_GOVERNMENT", "login.microsoftonline.us"),
}

# The public client of the Azure command line tools, which azure.azcollection uses for a user name and password too.
_CLI_CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

_HOWTO = (
    "give subscription_id, client_id, secret and tenant as module options or as AZURE_SUBSCRIPTION_ID, "
    "AZURE_CLIENT_ID, AZURE_SECRET and AZURE_TENANT in the environment, write them to ~/.azure/credentials, "
    "log in with `az login`, or use auth_source=msi on a machine with a managed identity"
)


@dataclass(frozen=True)
class Login:
    """The account to use. ``values`` are its secrets and names: never to be logged, hence not in the repr."""

    source: str
    subscription_id: str
    cloud: str = "AzureCloud"
    disable_instance_discovery: bool = False
    authority: str = ""
    values: t.Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def endpoints(self) -> tuple[str, tuple[str, ...]]:
        """The ARM endpoint of the cloud (with a slash at the end) and the scopes to ask tokens for."""
        from azure.core import AzureClouds
        from azure.mgmt.core.tools import get_arm_endpoints

        known = get_arm_endpoints(AzureClouds(_CLOUDS[self.cloud.lower()][0]))
        return known["resource_manager"], tuple(known["credential_scopes"])

    def credential(self) -> TokenCredential:
        """The azure-identity credential. Asks nothing of the network yet."""
        common: dict[str, t.Any] = {
            "authority": self.authority or _CLOUDS[self.cloud.lower()][1],
            "disable_instance_discovery": self.disable_instance_discovery,
        }
        return _credential(self.source, self.values, common)


def login(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> Login:
    """Decide from where the credentials come; raises AzureError that says what is missing.

    ``auth_source`` auto means the first that has something: options, environment, ``~/.azure/credentials``, ``az``.
    """
    environ = os.environ if environ is None else environ
    source = _text(options.get("auth_source")) or environ.get("ANSIBLE_AZURE_AUTH_SOURCE", "") or "auto"
    cloud = _text(options.get("cloud_environment")) or environ.get("AZURE_CLOUD_ENVIRONMENT", "") or "AzureCloud"
    if cloud.lower() not in _CLOUDS:
        known = "AzureCloud, AzureChinaCloud, AzureUSGovernment"
        raise AzureError(f"cloud_environment is {cloud!r}, but must be one of {known}", code="CredentialUnavailable")
    finders: dict[str, t.Callable[[t.Mapping[str, t.Any], t.Mapping[str, str]], Login | None]] = {
        "options": _from_options,
        "env": _from_environment,
        "credential_file": _from_file,
        "cli": _from_cli,
        "msi": _from_msi,
    }
    order = ("options", "env", "credential_file", "cli") if source == "auto" else (source,)
    for name in order:
        if name not in finders:
            raise AzureError(f"auth_source {name!r} is not known", code="CredentialUnavailable")
        found = finders[name](options, environ)
        if found is not None:
            return _finished(found, options, environ, cloud)
    raise AzureError(f"no Azure credentials found (auth_source {source}): {_HOWTO}", code="CredentialUnavailable")


def _finished(found: Login, options: t.Mapping[str, t.Any], environ: t.Mapping[str, str], cloud: str) -> Login:
    subscription = _text(options.get("subscription_id")) or found.subscription_id
    if not subscription:
        raise AzureError("no subscription: set subscription_id or AZURE_SUBSCRIPTION_ID", code="CredentialUnavailable")
    flag = options.get("disable_instance_discovery")
    if flag is None:
        flag = environ.get("AZURE_DISABLE_INSTANCE_DISCOVERY", "").lower() in ("1", "true", "yes", "on")
    authority = _text(options.get("adfs_authority_url")) or environ.get("AZURE_ADFS_AUTHORITY_URL", "")
    return replace(
        found,
        subscription_id=subscription,
        cloud=cloud,
        disable_instance_discovery=bool(flag),
        authority=authority or environ.get("AZURE_AUTHORITY_HOST", ""),
    )


def _from_options(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Login | None:
    """Options that hold an account; what they leave out (often the subscription) is taken from the environment."""
    if _text(options.get("profile")):
        return _from_file(options, environ)
    given = {name: _text(options.get(name)) for name in ENVIRONMENT}
    if not (given["client_id"] and (given["secret"] or given["x509_certificate_path"])) and not given["ad_user"]:
        return None
    around = _environment_values(environ)
    values = {name: given[name] or around[name] for name in ("tenant", "subscription_id")}
    values = {**given, **values}
    return Login("options", values["subscription_id"], values=_complete(values, "the module options"))


def _from_environment(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Login | None:
    values = _environment_values(environ)
    values["tenant"] = _text(options.get("tenant")) or values["tenant"]
    if environ.get("AZURE_PROFILE") and not values["client_id"]:
        return _from_file({"profile": environ["AZURE_PROFILE"]}, environ)
    if not (values["client_id"] or values["ad_user"]):
        return None
    if not any(values[name] for name in ("secret", "x509_certificate_path", "federated_token_file", "ad_user")):
        return None
    return Login("env", values["subscription_id"], values=_complete(values, "the environment"))


def _from_file(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Login | None:
    path = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".azure", "credentials")
    profile = _text(options.get("profile")) or environ.get("AZURE_PROFILE", "") or "default"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        # The parser's own message would quote the line, which may be a secret.
        raise AzureError(f"{path} cannot be read ({type(error).__name__})", code="CredentialUnavailable") from None
    if not parser.has_section(profile):
        if _text(options.get("profile")):
            raise AzureError(f"{path} has no profile [{profile}]", code="CredentialUnavailable")
        return None
    section = parser[profile]
    values = {name: section.get(name, "") for name in ENVIRONMENT}
    return Login("credential_file", values["subscription_id"], values=_complete(values, f"{path} [{profile}]"))


def _from_cli(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Login | None:
    if shutil.which("az", path=environ.get("PATH")) is None:
        return None
    subscription = _text(options.get("subscription_id")) or environ.get("AZURE_SUBSCRIPTION_ID", "")
    if not subscription:
        subscription = _cli_subscription(environ)
        if not subscription:
            return None
    return Login("cli", subscription, values={"tenant": _text(options.get("tenant"))})


def _cli_subscription(environ: t.Mapping[str, str]) -> str:
    """The subscription that ``az`` has selected, '' when it is not logged in. Asking ``az`` itself takes a second."""
    folder = environ.get("AZURE_CONFIG_DIR") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".azure")
    try:
        # az writes a byte order mark.
        with open(os.path.join(folder, "azureProfile.json"), encoding="utf-8-sig") as stream:
            known = json.load(stream).get("subscriptions") or ()
        return next((str(one["id"]) for one in known if one.get("isDefault")), "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _from_msi(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Login | None:
    around = _environment_values(environ)
    # A client id chooses one of several user-assigned identities; the secret of the environment is not its.
    chosen = _text(options.get("client_id")) or ("" if around["secret"] else around["client_id"])
    return Login("msi", around["subscription_id"], values={"client_id": chosen})


def _environment_values(environ: t.Mapping[str, str]) -> dict[str, str]:
    return {
        option: next((environ[name] for name in names if environ.get(name)), "")
        for option, names in ENVIRONMENT.items()
    }


def _complete(values: t.Mapping[str, str], place: str) -> t.Mapping[str, str]:
    if not values.get("tenant"):
        raise AzureError(f"{place} name an account, but no tenant", code="CredentialUnavailable")
    return values


def _credential(source: str, values: t.Mapping[str, str], common: dict[str, t.Any]) -> TokenCredential:
    from azure import identity

    if source == "msi":
        return identity.ManagedIdentityCredential(**({"client_id": values["client_id"]} if values["client_id"] else {}))
    if source == "cli":
        return identity.AzureCliCredential(tenant_id=values.get("tenant") or "")
    tenant, client = values["tenant"], values.get("client_id", "")
    if values.get("secret"):
        return identity.ClientSecretCredential(tenant, client, values["secret"], **common)
    if values.get("x509_certificate_path"):
        return identity.CertificateCredential(tenant, client, values["x509_certificate_path"], **common)
    if values.get("federated_token_file"):
        return identity.WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=values["federated_token_file"], **common
        )
    return identity.UsernamePasswordCredential(
        client or _CLI_CLIENT, values["ad_user"], values.get("password", ""), tenant_id=tenant, **common
    )


def _text(value: t.Any) -> str:
    return "" if value is None else str(value)
