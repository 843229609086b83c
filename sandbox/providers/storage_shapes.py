# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what a storage account is: endpoints, the copy in another region, encrypted services. Pure."""

from __future__ import annotations

from typing import Any

from sandbox.providers import common

Json = dict[str, Any]
SERVICES = {
    "Storage": ("blob", "queue", "table", "file"),
    "StorageV2": ("dfs", "web", "blob", "queue", "table", "file"),
    "BlobStorage": ("dfs", "blob", "table"),
    "FileStorage": ("file",),
    "BlockBlobStorage": ("dfs", "web", "blob"),
}
# The network of whose choice the addresses are, and which services have addresses there.
ROUTES = {
    "publishMicrosoftEndpoints": ("microsoftEndpoints", "microsoftrouting", frozenset(SERVICES["StorageV2"])),
    "publishInternetEndpoints": ("internetEndpoints", "internetrouting", frozenset(("blob", "file", "dfs", "web"))),
}
DIRECTORY = ("netBiosDomainName", "forestName", "domainSid", "azureStorageSid")


def derive(body: Json, properties: Json, born: str) -> None:
    """Bring into ``properties`` what follows from ``body`` and from what they say themselves.

    ``born`` is the time since when services are encrypted.
    """
    properties["encryption"] = _encryption(properties.get("encryption") or {}, born)
    if body["kind"] in ("StorageV2", "BlobStorage"):
        properties.setdefault("accessTier", "Hot")
    properties["primaryEndpoints"] = _endpoints(body, properties.get("routingPreference") or {})
    edge = body.get("extendedLocation")
    if edge:
        properties["primaryExtendedLocation"] = edge
    for key in ("secondaryLocation", "statusOfSecondary", "secondaryEndpoints"):
        properties.pop(key, None)
    properties.update(_secondary(body, properties.get("routingPreference") or {}))
    _directory(properties.get("azureFilesIdentityBasedAuthentication") or {})


def _directory(authentication: Json) -> None:
    """Microsoft Entra Kerberos tells every name of the domain, the ones that nobody gave as blanks."""
    if authentication.get("directoryServiceOptions") == "AADKERB" and authentication.get("activeDirectoryProperties"):
        for key in DIRECTORY:
            authentication["activeDirectoryProperties"].setdefault(key, " ")


def merged(known: Json, given: Json) -> Json:
    """``given`` over ``known``, objects in objects too."""
    both = {key: merged(known[key], given[key]) for key in given if _objects(known.get(key), given[key])}
    return {**known, **given, **both}


def _objects(known: Any, given: Any) -> bool:
    return isinstance(known, dict) and isinstance(given, dict)


def replication(sku: str, now: str) -> Json:
    """``geoReplicationStats`` as ``$expand`` asks for them; nothing of an account without a copy."""
    if "G" not in sku.split("_")[1]:
        return {}
    stats = {
        "canPlannedFailover": True,
        "postFailoverRedundancy": "Standard_ZRS" if "GZ" in sku else "Standard_LRS",
        "postPlannedFailoverRedundancy": sku,
        "status": "Live",
        "lastSyncTime": f"{now.partition('.')[0]}Z",
        "canFailover": True,
    }
    return {"geoReplicationStats": stats}


def _encryption(given: Json, born: str) -> Json:
    services = {name: {"keyType": "Account", "enabled": True, "lastEnabledTime": born} for name in ("file", "blob")}
    for name, wanted in (given.get("services") or {}).items():
        services[name] = {"keyType": "Account", "enabled": True, "lastEnabledTime": born, **(wanted or {})}
    kept = ("requireInfrastructureEncryption", "keyvaultproperties", "identity")
    extra: Json = {key: given[key] for key in kept if key in given}
    return {**extra, "services": services, "keySource": given.get("keySource", "Microsoft.Storage")}


def _endpoints(body: Json, routing: Json, copy: str = "") -> Json:
    """The addresses of an account's services, or with ``copy`` (a suffix of the name) those of its copy."""
    edge, sku = body.get("extendedLocation"), body["sku"]["name"]
    if edge:
        return {
            name: f"https://{body['name']}.{name}.{edge['name']}.edgestorage.azure.net/" for name in ("web", "blob")
        }
    wanted = ("blob",) if body["kind"] == "Storage" and sku.startswith("Premium") else SERVICES[body["kind"]]
    served = [name for name in wanted if not copy or name != "file"]
    routed: Json = {
        key: {name: _address(f"{body['name']}-{route}{copy}", name) for name in served if name in some}
        for option, (key, route, some) in ROUTES.items()
        if routing.get(option)
    }
    return {**routed, **{name: _address(f"{body['name']}{copy}", name) for name in served}}


def _address(host: str, service: str) -> str:
    return f"https://{host}.{'z13.' if service == 'web' else ''}{service}.core.windows.net/"


def _secondary(body: Json, routing: Json) -> Json:
    """What an account tells of its copy in another region, if its SKU has one."""
    sku, found = body["sku"]["name"], dict[str, Any]()
    if "G" in sku.split("_")[1]:
        pair = next(region.pair for region in common.REGIONS if region.name == body["location"])
        found |= {"secondaryLocation": pair or body["location"], "statusOfSecondary": "available"}
        if "RAG" in sku:
            found["secondaryEndpoints"] = _endpoints(body, routing, "-secondary")
    return found
