# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers at login.microsoftonline.com, and the description of the cloud: as much as the clients ask for."""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.arm.messages import Answer
from sandbox.arm.tokens import Principal, Tokens
from sandbox.clock import clock


@dataclass(frozen=True)
class Credentials:
    """The service principal that may sign in."""

    tenant: str
    client_id: str
    secret: str
    object_id: str


class Login:
    """The token endpoint and its discovery documents."""

    def __init__(self, tokens: Tokens, credentials: Credentials) -> None:
        self._tokens = tokens
        self._credentials = credentials

    def answer(
        self, method: str, path: str, base_url: str, form: dict[str, str], query: dict[str, str]
    ) -> Answer | None:
        """Answer a request to the login host; None if the path is nothing of its."""
        parts = path.strip("/").split("/")
        lowered = [part.lower() for part in parts]
        if lowered == ["common", "discovery", "instance"]:
            return Answer(200, self._instances(base_url, query))
        if len(parts) < 2:
            return None
        tail = "/".join(lowered[1:])
        if method == "GET" and tail.endswith(".well-known/openid-configuration"):
            return Answer(200, self._configuration(base_url, parts[0], tail.startswith("v2.0")))
        if method == "GET" and tail in ("discovery/v2.0/keys", "discovery/keys"):
            return Answer(200, self._tokens.jwks())
        if method == "POST" and tail in ("oauth2/v2.0/token", "oauth2/token"):
            return self._token(parts[0], form, v2="v2.0" in tail)
        return None

    def _instances(self, base_url: str, query: dict[str, str]) -> dict[str, Any]:
        endpoint = query.get("authorization_endpoint", f"{base_url}/common/oauth2/v2.0/authorize")
        aliases = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
        return {
            "tenant_discovery_endpoint": endpoint.replace("/oauth2/v2.0/authorize", "/v2.0").rstrip("/")
            + "/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": aliases[0], "preferred_cache": "login.windows.net", "aliases": aliases}],
        }

    def _configuration(self, base_url: str, tenant: str, v2: bool) -> dict[str, Any]:
        tenant = self._credentials.tenant if tenant.lower() in ("common", "organizations") else tenant
        head, version = f"{base_url}/{tenant}", "/v2.0" if v2 else ""
        return {
            "token_endpoint": f"{head}/oauth2{version}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{head}/discovery{version}/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{head}{version}" if v2 else f"https://sts.windows.net/{tenant}/",
            "authorization_endpoint": f"{head}/oauth2{version}/authorize",
            "device_authorization_endpoint": f"{head}/oauth2{version}/devicecode",
            "end_session_endpoint": f"{head}/oauth2{version}/logout",
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }

    def _token(self, tenant: str, form: dict[str, str], v2: bool) -> Answer:
        known = self._credentials
        client = form.get("client_id", "")
        if tenant.lower() != known.tenant:
            text = (
                f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
                "signing into the correct cloud. Check with your subscription administrator, this may happen if there "
                "are no active subscriptions for the tenant."
            )
            return _refusal(400, "invalid_request", 90002, text)
        if form.get("grant_type") != "client_credentials":
            text = f"AADSTS70003: The app requested an unsupported grant type '{form.get('grant_type', '')}'."
            return _refusal(400, "unsupported_grant_type", 70003, text)
        if client.lower() != known.client_id:
            text = f"AADSTS700016: Application with identifier '{client}' was not found in the directory '{tenant}'."
            return _refusal(400, "unauthorized_client", 700016, text)
        if not hmac.compare_digest(form.get("client_secret", "").encode(), known.secret.encode()):
            text = (
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the "
                f"client secret value, not the client secret ID, for a secret added to app '{client}'."
            )
            return _refusal(401, "invalid_client", 7000215, text)
        # With its slash: whose audience ends with one asks for https://management.core.windows.net//.default.
        audience = form.get("scope", "").split(" ")[0].removesuffix("/.default") if v2 else form.get("resource", "")
        if not audience:
            text = "AADSTS900144: The request body must contain the following parameter: 'scope'."
            return _refusal(400, "invalid_request", 900144, text)
        lifetime = self._tokens.lifetime
        token = self._tokens.issue(Principal(known.object_id, known.client_id), audience)
        body: dict[str, Any] = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime}
        if v2:
            body["refresh_in"] = lifetime // 2
        else:
            now = int(clock.now())
            body = {key: str(value) for key, value in body.items()}
            body |= {"expires_on": str(now + lifetime), "not_before": str(now), "resource": audience}
        return Answer(200, {**body, "access_token": token})


def _refusal(status: int, error: str, code: int, text: str) -> Answer:
    trace, correlation = uuid.uuid4(), uuid.uuid4()
    stamp = f"{datetime.fromtimestamp(clock.now(), UTC):%Y-%m-%d %H:%M:%SZ}"
    body = {
        "error": error,
        "error_description": f"{text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": str(trace),
        "correlation_id": str(correlation),
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    return Answer(status, body)


def cloud_metadata(base_url: str, api_version: str) -> Any:
    """``/metadata/endpoints``: one object from 2022 on, a list of objects before."""
    cloud = {
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": f"{base_url}/" if "localhost" in base_url else "https://login.microsoftonline.com/",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": "https://rest.media.azure.net",
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "name": "AzureCloud",
        "suffixes": {
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "acrLoginServer": "azurecr.io",
            "sqlServerHostname": "database.windows.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "keyVaultDns": "vault.azure.net",
            "storage": "core.windows.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
        },
        "batch": "https://batch.core.windows.net/",
        "resourceManager": f"{base_url}/" if "localhost" in base_url else "https://management.azure.com/",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/main/arm-compute/quickstart-templates/aliases.json",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "gallery": "https://gallery.azure.com/",
    }
    return cloud if api_version >= "2022" else [cloud]
