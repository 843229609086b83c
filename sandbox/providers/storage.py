# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Storage: accounts, their keys and blob containers. No blob service answers; see ``blobs`` for the blobs."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style, stamp
from sandbox.arm.router import SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers import blobs, common, storage_checks, storage_immutability, storage_shapes
from sandbox.providers.storage_endpoints import CONTAINERS, Endpoints

TYPE = "Microsoft.Storage/storageAccounts"
STYLE = Style("storage", "Microsoft.Storage", segment="asyncoperations", retry=17, poll=17)
NAME = re.compile(r"[a-z0-9]{3,24}")
CREATE_SECONDS = 20.0
SKUS = (
    "Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS",
    "Premium_LRS", "Premium_ZRS",
)  # fmt: skip
KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
UNCHANGING = storage_checks.UNCHANGING
SHAPE = {"location": str, "kind": str, "sku": {"name": str}, "identity": dict, "properties": {"accountType": str}}
# Properties that are kept as they are given.
GIVEN = (
    "allowBlobPublicAccess", "allowCrossTenantReplication", "allowSharedKeyAccess",
    "azureFilesIdentityBasedAuthentication",
    "customDomain", "defaultToOAuthAuthentication", "dnsEndpointType", "isHnsEnabled", "isLocalUserEnabled",
    "isNfsV3Enabled", "isSftpEnabled", "keyPolicy", "largeFileSharesState", "minimumTlsVersion", "publicNetworkAccess",
    "routingPreference", "sasPolicy",
)  # fmt: skip
# What later api-versions show, and since when.
LATER: dict[str, tuple[str, Any]] = {
    "allowCrossTenantReplication": ("2022", False),
    "minimumTlsVersion": ("2022", "TLS1_0"),
    "allowBlobPublicAccess": ("2019-06", False),
}


class Accounts:
    """The provider."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._endpoints = Endpoints(core)

    def put(self, request: Request) -> Answer:
        answer = self._put(request)
        self._endpoints.follow(str(request.id))
        return answer

    def _put(self, request: Request) -> Answer:
        store, name = self._core.store, request.id.name
        request.body = shapes.read(request.body, SHAPE)
        _check_name(name)
        with store.transaction():
            known = store.get(request.id)
            if known is None and self._taken(request.subscription, name):
                text = f"The storage account named {name} is already taken."
                raise ArmError(409, "StorageAccountAlreadyTaken", text, target="name")
            if known is not None:
                storage_checks.check_change(known.body, request.body)
            resource = known or Resource(str(request.id), {}, {"keys": [_key(), _key()], "created": clock.now()})
            kept = {key: known.properties[key] for key in UNCHANGING if key in known.properties} if known else {}
            resource.body = {**self._body(request, known), "properties": kept}
            for key, value in self._properties(request, resource).items():
                resource.properties[key] = value
            storage_checks.check(resource.body, resource.properties, request.api_version)
            if known is not None:
                store.put(resource)
                return Answer(200, _shown(resource, request.api_version))
            resource.properties["provisioningState"] = "Creating"
            store.put(resource)
            return self._core.operations.begin(
                request,
                "storage.create",
                resource.id,
                style=STYLE,
                headers="location",
                latency=CREATE_SECONDS,
                location=resource.body["location"],
                args={"version": request.api_version},
            )

    def create_work(self, run: Run) -> Any:
        def settle(resource: Resource) -> None:
            resource.properties["provisioningState"] = "Succeeded"

        found = self._core.store.update(run.resource_id, settle)
        return _shown(found, run.args["version"]) if found else None

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given, before = request.body, known.body if known else {}
        sku = (given.get("sku") or {}).get("name") or (given.get("properties") or {}).get("accountType")
        sku, kind = (
            sku or (before.get("sku") or {}).get("name") or "",
            given.get("kind") or before.get("kind", "Storage"),
        )
        for value, allowed, what in ((sku, SKUS, "sku.name"), (kind, KINDS, "kind")):
            if value not in allowed:
                text = f"Values for request parameters are invalid: {what}."
                raise ArmError(400, "InvalidValuesForRequestParameters", text, target=what)
        body = {
            "sku": {"name": sku, "tier": sku.split("_")[0]},
            "kind": kind,
            "id": known.id if known else str(request.id),
            "name": request.id.name,
            "type": TYPE,
            "location": common.region(request, known),
            "tags": common.tags(given) or {},
        }
        if given.get("extendedLocation"):
            body["extendedLocation"] = {"type": "EdgeZone", **given["extendedLocation"]}
        if given.get("identity"):
            body["identity"] = self._identity(given["identity"], str(request.id))
        return body

    def _identity(self, given: dict[str, Any], rid: str) -> dict[str, Any]:
        if "SystemAssigned" not in str(given.get("type")):
            return given
        identity = self._core.service("identity").system(rid)
        return {**{key: identity[key] for key in ("principalId", "tenantId")}, **given}

    def _properties(self, request: Request, resource: Resource) -> dict[str, Any]:
        given, body = request.body.get("properties") or {}, resource.body
        born = _time(resource.internal["created"])
        secure = given.get("supportsHttpsTrafficOnly", request.api_version >= "2019-04")
        made: dict[str, Any] = {
            "keyCreationTime": {f"key{at + 1}": key["created"] for at, key in enumerate(resource.internal["keys"])},
            "privateEndpointConnections": [],
            **{key: given[key] for key in GIVEN if given.get(key) is not None},
            "networkAcls": storage_checks.acls(self._core, given.get("networkAcls") or {}),
            "supportsHttpsTrafficOnly": bool(secure),
            "encryption": given.get("encryption") or {},
            "provisioningState": "Succeeded",
            "creationTime": born,
            "primaryLocation": body["location"],
            "statusOfPrimary": "available",
        }
        if given.get("accessTier"):
            made["accessTier"] = given["accessTier"]
        storage_immutability.apply(made, given, resource.properties, creating=True)
        storage_shapes.derive(body, made, born)
        return made

    def patch(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, SHAPE)
        with self._core.store.transaction():
            resource, given = self._core.require(request.id), request.body
            storage_checks.check_change(resource.body, given)
            name = (given.get("sku") or {}).get("name")
            if name:
                resource.body["sku"] = {"name": name, "tier": name.split("_")[0]}
            if given.get("kind"):
                resource.body["kind"] = given["kind"]
            if given.get("identity"):
                resource.body["identity"] = self._identity(given["identity"], resource.id)
            found = common.tags(given)
            if found is not None:
                resource.body["tags"] = found
            self._merge(resource, given.get("properties") or {})
            storage_checks.check(resource.body, resource.properties, request.api_version)
            self._core.store.put(resource)
        self._endpoints.follow(resource.id)
        return Answer(200, _shown(resource, request.api_version))

    def _merge(self, account: Resource, given: dict[str, Any]) -> None:
        """What a PATCH says of properties: objects are merged, and what follows from them is made anew."""
        properties = account.properties
        storage_immutability.apply(properties, given, properties, creating=False)
        for key, value in given.items():
            if key == "networkAcls":
                properties[key] = storage_checks.acls(self._core, value)
            elif key in ("routingPreference", "azureFilesIdentityBasedAuthentication", "encryption") and value:
                properties[key] = storage_shapes.merged(properties.get(key) or {}, value)
            elif key != "immutableStorageWithVersioning":
                properties[key] = value
        storage_shapes.derive(account.body, properties, properties["creationTime"])

    def get(self, request: Request) -> Answer:
        account = self._core.require(request.id)
        body = _shown(account, request.api_version)
        if "georeplicationstats" in request.query.get("$expand", "").lower():
            body["properties"] |= storage_shapes.replication(account.body["sku"]["name"], _time(clock.now()))
        return Answer(200, body)

    def list(self, request: Request) -> Answer:
        if request.group:
            self._core.require_group(request.subscription, request.group)
        found = self._core.store.list(TYPE, subscription=request.subscription, group=request.group or None)
        return Answer(200, {"value": [_shown(one, request.api_version) for one in found]})

    def delete(self, request: Request) -> Answer:
        self._core.require_group(request.subscription, request.group)
        known = self._core.store.get(request.id)
        if known is not None:
            self.remove(known)
        return Answer(200 if known else 204)

    def remove(self, known: Resource) -> None:
        """The account with its containers and shares, and what is in them."""
        self._endpoints.forget(known)
        self._core.store.delete(known.id)
        blobs.remove(self._core, known.id)

    def list_keys(self, request: Request) -> Answer:
        keys = self._core.require(request.id).internal["keys"]
        return Answer(200, {"keys": _shown_keys(keys, request.api_version)})

    def regenerate_key(self, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            name = (request.body or {}).get("keyName") if isinstance(request.body, dict) else None
            if name not in ("key1", "key2"):
                text = "Values for request parameters are invalid: keyName."
                raise ArmError(400, "InvalidValuesForRequestParameters", text, target="keyName")
            resource.internal["keys"][int(name[-1]) - 1] = _key()
            self._core.store.put(resource)
        return Answer(200, {"keys": _shown_keys(resource.internal["keys"], request.api_version)})

    def _taken(self, subscription: str, name: str) -> bool:
        """Names are unique in all of Azure; here, where any GUID is a subscription, each is an Azure of its own."""
        return any(one.rid.name == name for one in self._core.store.list(TYPE, subscription=subscription))

    def check_name(self, request: Request) -> Answer:
        name = str((request.body or {}).get("name", "")) if isinstance(request.body, dict) else ""
        try:
            _check_name(name)
        except ArmError as error:
            return Answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": error.message})
        if self._taken(request.subscription, name):
            text = f"The storage account named {name} is already taken."
            return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
        return Answer(200, {"nameAvailable": True})

    # containers

    def _account_of(self, rid: ids.ResourceId) -> Resource:
        return account_of(self._core, rid)

    def put_container(self, request: Request) -> Answer:
        account = self._account_of(request.id)
        if not re.fullmatch(r"\$root|\$web|\$logs|[a-z0-9](?:-?[a-z0-9]){2,62}", request.id.name):
            raise ArmError(400, "ContainerNameInvalid", f"'{request.id.name}' is not a valid container name.")
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            rid = f"{account.id}/blobServices/default/containers/{request.id.name}"
            resource = known or Resource(rid, {})
            resource.body = {
                "id": rid,
                "name": request.id.name,
                "type": CONTAINERS,
                "etag": f'"0x8{new_guid()[:14].upper()}"',
            }
            given = request.body.get("properties") or {}
            resource.body["properties"] = {
                "deleted": False,
                "remainingRetentionDays": 0,
                "hasImmutabilityPolicy": False,
                "hasLegalHold": False,
                "publicAccess": given.get("publicAccess", "None"),
                **({"metadata": given["metadata"]} if given.get("metadata") else {}),
            }
            self._core.store.put(resource)
            blobs.directory(self._core, rid)
        self._endpoints.follow(account.id)
        shown = {key: value for key, value in resource.properties.items() if key != "publicAccess"}
        return Answer(200 if known else 201, {**resource.body, "properties": shown})

    def get_container(self, request: Request) -> Answer:
        self._account_of(request.id)
        found = self._core.store.get(request.id)
        if found is None:
            raise ArmError(404, "ContainerNotFound", "The specified container does not exist.")
        return Answer(200, found.body)

    def list_containers(self, request: Request) -> Answer:
        account = self._account_of(request.id)
        found = self._core.store.list(CONTAINERS, parent=f"{account.id}/blobServices/default")
        return Answer(200, {"value": [one.body for one in found]})

    def delete_container(self, request: Request) -> Answer:
        account = self._account_of(request.id)
        known = self._core.store.exists(request.id)
        self._core.store.delete(request.id)
        blobs.remove(self._core, str(request.id))
        self._endpoints.follow(account.id)
        return Answer(200 if known else 204)


def account_of(core: Core, rid: ids.ResourceId) -> Resource:
    """The account that something is nested in, or 404."""
    return core.require(ids.ResourceId(rid.subscription, rid.group, rid.namespace, rid.types[:1], rid.names[:1]))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        text = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        )
        raise ArmError(400, "AccountNameInvalid", text)


def _time(seconds: float) -> str:
    return stamp(seconds).removesuffix("+00:00") + "Z"


def _key() -> dict[str, str]:
    return {"value": base64.b64encode(secrets.token_bytes(64)).decode(), "created": _time(clock.now())}


def _shown_keys(keys: list[dict[str, str]], version: str) -> list[dict[str, str]]:
    return [
        {
            **({"creationTime": key["created"]} if version >= "2021" else {}),
            "keyName": f"key{at + 1}",
            "value": key["value"],
            "permissions": "FULL",
        }
        for at, key in enumerate(keys)
    ]


def _shown(resource: Resource, version: str) -> dict[str, Any]:
    """The body as an api-version shows it."""
    properties = dict(resource.properties)
    for key, (since, default) in LATER.items():
        if version >= since:
            properties.setdefault(key, default)
    if version < "2021":
        properties.pop("keyCreationTime", None)
    if version < "2023" and not properties["networkAcls"].get("ipv6Rules"):
        properties["networkAcls"] = {k: v for k, v in properties["networkAcls"].items() if k != "ipv6Rules"}
    return {**resource.body, "properties": properties}


def register(core: Core) -> None:
    accounts, router = Accounts(core), core.router
    core.operations.add_style(STYLE)
    core.operations.register("storage.create", accounts.create_work)
    router.resource(
        TYPE,
        get=accounts.get,
        put=accounts.put,
        patch=accounts.patch,
        delete=accounts.delete,
        list=accounts.list,
        list_all=accounts.list,
    )
    core.on_group_delete(TYPE, 50, accounts.remove)
    router.action(TYPE, "listKeys", accounts.list_keys)
    router.action(TYPE, "regenerateKey", accounts.regenerate_key)
    router.add("POST", f"{SUBSCRIPTION}/providers/Microsoft.Storage/checkNameAvailability", accounts.check_name)
    router.resource(
        CONTAINERS,
        get=accounts.get_container,
        put=accounts.put_container,
        delete=accounts.delete_container,
        list=accounts.list_containers,
    )
