# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts as ARM documents: from options to what is sent, from what comes back to what people need. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import (
    MAKE_ANOTHER,
    AzureError,
    refuse_change,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, differences
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage

KIND = "Microsoft.Storage/storageAccounts"
DATA_CONTRIBUTOR = ("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe")
DATA_OWNER = ("Storage Blob Data Owner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b")


def check_options(options: t.Mapping[str, t.Any], actual: Json) -> None:
    """Raise one AzureError (InvalidOptions) with everything that contradicts itself; ``actual`` is {} for a new one."""
    kind = options.get("kind") or actual.get("kind") or "StorageV2"
    shares = options.get("shares") or []
    wrong = []
    if kind in storage.SKUS:
        sku = options.get("sku") or (actual.get("sku") or {}).get("name") or storage.SKUS[kind][0]
        have = actual.get("properties") or {}
        hierarchical = _either(options.get("hierarchical_namespace"), have.get("isHnsEnabled"))
        nfs = _either(options.get("nfs"), have.get("isNfsV3Enabled"))
        wrong += storage.account_mistakes(kind, sku, hierarchical, nfs, bool(options.get("containers")), bool(shares))
    for index, share in enumerate(shares):
        wrong += [(f"shares[{index}].{key}", text) for key, text in storage.share_mistakes(share["size_gib"])]
    if wrong:
        raise AzureError("; ".join(f"{key}: {text}" for key, text in wrong), code="InvalidOptions")


def _either(given: bool | None, have: t.Any) -> bool:
    return bool(have if given is None else given)


def born(options: t.Mapping[str, t.Any]) -> Json:
    """What an account is born with and keeps, as far as the options name it."""
    properties: Json = {
        key: options[name]
        for key, name in (("isHnsEnabled", "hierarchical_namespace"), ("isNfsV3Enabled", "nfs"))
        if options.get(name) is not None
    }
    body: Json = {"properties": properties} if properties else {}
    return {**body, **{key: options[key] for key in ("location", "kind") if options.get(key)}}


def changeable(options: t.Mapping[str, t.Any]) -> Json:
    """What may be changed while the account is in use, as far as the options name it."""
    properties: Json = {}
    if options.get("secure_transfer") is not None:
        properties["supportsHttpsTrafficOnly"] = options["secure_transfer"]
    if options.get("subnets") is not None or options.get("allowed") is not None:
        properties["networkAcls"] = network(options.get("subnets") or (), options.get("allowed") or ())
    body: Json = {"properties": properties} if properties else {}
    return {**body, **({"sku": {"name": options["sku"]}} if options.get("sku") else {})}


def network(subnets: t.Sequence[str], allowed: t.Sequence[str]) -> Json:
    """Who reaches an account: nobody but these subnets and public prefixes, or everybody if there are none."""
    return {
        "bypass": "AzureServices",
        "defaultAction": "Deny" if subnets or allowed else "Allow",
        "virtualNetworkRules": [{"id": one} for one in subnets],
        "ipRules": [{"value": one} for one in allowed],
    }


def usual(options: t.Mapping[str, t.Any]) -> Json:
    """What a new account gets where the options say nothing: closed to the public, TLS 1.2, and NFS as it must be."""
    serves = bool(options.get("nfs")) or options.get("kind") == "FileStorage"
    kind = options.get("kind") or "StorageV2"
    properties: Json = {
        "allowBlobPublicAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": not serves,
    }
    if serves:
        properties["networkAcls"] = {**network((), ()), "defaultAction": "Deny"}
    return {"kind": kind, "sku": {"name": storage.SKUS[kind][0]}, "properties": properties}


def refuse_fixed(options: t.Mapping[str, t.Any], actual: Json) -> None:
    """Raise AzureError (PropertyChangeNotAllowed) with all that differs and cannot be changed."""
    found = list(differences(born(options), actual))
    have, asked = str((actual.get("sku") or {}).get("name", "")), str(options.get("sku") or "")
    if asked and asked != have and "Premium" in asked + have:
        found.append(Difference(("sku", "name"), have, asked))
    if not found:
        return
    names = {"isHnsEnabled": "hierarchical_namespace", "isNfsV3Enabled": "nfs"}
    said = "; ".join(f"{names.get(one.path[-1], one.path[0])} is {_word(one.before)}, not {one.after}" for one in found)
    refuse_change(options["name"], "account", said, MAKE_ANOTHER)


def _word(value: t.Any) -> str:
    return "not set" if value in (None, "") else str(value)


def share_body(share: Json) -> Json:
    """A share as it is sent."""
    return {
        "properties": {
            "shareQuota": share["size_gib"],
            "enabledProtocols": "NFS",
            "rootSquash": share.get("root_squash") or "NoRootSquash",
        }
    }


def refuse_shrinking(name: str, wanted: int, have: int, allowed: bool) -> None:
    """Raise AzureError (PropertyChangeNotAllowed) where something would get smaller and nobody asked for that."""
    if wanted < have and not allowed:
        text = (
            f"{name} has {have} GiB, and {wanted} would be less: what is in it may not fit any more. If you mean it: "
            "shrink: true"
        )
        raise AzureError(text, code="PropertyChangeNotAllowed")


def endpoint(account: Json, service: str) -> str:
    """The host of a service of an account, '' if it has none."""
    url = str(((account.get("properties") or {}).get("primaryEndpoints") or {}).get(service) or "")
    return url.partition("://")[2].strip("/")


def state_of(account: Json) -> str:
    """The provisioning state."""
    return str((account.get("properties") or {}).get("provisioningState") or "")


def summary(account: Json, containers: t.Sequence[Json], shares: t.Sequence[Json]) -> Json:
    """What people and playbooks need of an account; sizes in GiB."""
    properties = account.get("properties") or {}
    rules = properties.get("networkAcls") or {}
    name = str(account.get("name") or "")
    hosts = {service: endpoint(account, service) for service in ("blob", "dfs", "file")}
    nfs = bool(properties.get("isNfsV3Enabled"))
    return {
        "id": account.get("id", ""),
        "name": name,
        "location": account.get("location", ""),
        "kind": account.get("kind", ""),
        "sku": (account.get("sku") or {}).get("name", ""),
        "hierarchical_namespace": bool(properties.get("isHnsEnabled")),
        "nfs": nfs,
        "secure_transfer": bool(properties.get("supportsHttpsTrafficOnly")),
        "hosts": {service: host for service, host in hosts.items() if host},
        "subnets": [one.get("id", "") for one in rules.get("virtualNetworkRules") or ()],
        "allowed": [one.get("value", "") for one in rules.get("ipRules") or ()],
        "open": rules.get("defaultAction", "Allow") == "Allow",
        "containers": [_part(one, name, hosts["blob"] if nfs else "") for one in containers],
        "shares": [_share(one, name, hosts["file"]) for one in shares],
        "provisioning_state": state_of(account),
        "tags": account.get("tags") or {},
    }


def _part(document: Json, account: str, host: str) -> Json:
    """``server`` and ``export`` are what machines mount by NFS, '' where they cannot."""
    name = str(document.get("name") or "")
    export = f"/{account}/{name}" if host else ""
    return {"name": name, "id": document.get("id", ""), "server": host, "export": export}


def _share(document: Json, account: str, host: str) -> Json:
    properties = document.get("properties") or {}
    nfs = properties.get("enabledProtocols") == "NFS"
    return {
        **_part(document, account, host if nfs else ""),
        "size_gib": int(properties.get("shareQuota") or 0),
        "protocol": properties.get("enabledProtocols", "SMB"),
        "root_squash": properties.get("rootSquash", ""),
    }
