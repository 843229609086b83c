# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the services of storage accounts, life-cycle rules, quotas and SKUs. No service answers."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.kept import Kept
from sandbox.providers.storage import KINDS, SKUS, TYPE
from sandbox.providers.storage_shapes import SERVICES

ACCOUNTS_PER_REGION = 250
CORS: dict[str, Any] = {"cors": {"corsRules": []}}
# The settings that a service starts with.
STARTS: dict[str, dict[str, Any]] = {
    "blob": {**CORS, "deleteRetentionPolicy": {"allowPermanentDelete": False, "enabled": False}},
    "file": {
        "protocolSettings": {"smb": {}},
        **CORS,
        "shareDeleteRetentionPolicy": {"enabled": True, "days": 7},
    },
    "queue": CORS,
    "table": CORS,
}
# The SKUs of the kinds that do not have all of the standard ones.
OWN_SKUS = {"FileStorage": ("Premium_LRS", "Premium_ZRS"), "BlockBlobStorage": ("Premium_LRS", "Premium_ZRS")}


class Settings:
    """``<service>Services/default`` of an account: always there."""

    def __init__(self, core: Core, service: str) -> None:
        self._core = core
        self._service = service
        self.kind = f"{TYPE}/{service}Services"

    def _shown(self, account: Resource) -> dict[str, Any]:
        own = account.internal.get("services", {}).get(self._service, {})
        body: dict[str, Any] = {"sku": account.body["sku"]} if self._service in ("blob", "file") else {}
        return body | {
            "id": f"{account.id}/{self._service}Services/default",
            "name": "default",
            "type": self.kind,
            "properties": {**copy.deepcopy(STARTS[self._service]), **own},
        }

    def _account(self, request: Request, *, named: bool = True) -> Resource:
        rid = request.id
        account = self._core.require(
            ids.ResourceId(rid.subscription, rid.group, rid.namespace, rid.types[:1], rid.names[:1])
        )
        if self._service not in SERVICES[account.body["kind"]]:
            text = f"{self._service.capitalize()} is not supported for the account."
            raise ArmError(400, "FeatureNotSupportedForAccount", text)
        if named and rid.name.lower() != "default":
            text = "The value for one of the HTTP path parameters is invalid: the name of a service is 'default'."
            raise ArmError(400, "InvalidResourceName", text)
        return account

    def get(self, request: Request) -> Answer:
        return Answer(200, self._shown(self._account(request)))

    def put(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"properties": dict})
        with self._core.store.transaction():
            account = self._account(request)
            account.internal.setdefault("services", {})[self._service] = request.body.get("properties") or {}
            self._core.store.put(account)
        return Answer(200, self._shown(account))

    def list(self, request: Request) -> Answer:
        return Answer(200, {"value": [self._shown(self._account(request, named=False))]})


class Policies(Kept):
    """The life-cycle rules of an account: ``managementPolicies/default``."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        if not (given.get("policy") or {}).get("rules"):
            text = "Values for request parameters are invalid: policy.rules."
            raise ArmError(400, "InvalidValuesForRequestParameters", text, target="policy.rules")
        return dict(given)


class Catalogue:
    """What accounts can be, and how many there may be."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def skus(self, request: Request) -> Answer:
        return Answer(200, {"value": [_sku(*one) for one in _offers()]})

    def usages(self, request: Request) -> Answer:
        where = request.params.get("location", "").lower()
        found = self._core.store.list(TYPE, subscription=request.subscription)
        usage = {
            "unit": "Count",
            "currentValue": len([one for one in found if not where or one.body["location"] == where]),
            "limit": ACCOUNTS_PER_REGION,
            "name": {"value": "StorageAccounts", "localizedValue": "Storage Accounts"},
        }
        return Answer(200, {"value": [usage]})


def _offers() -> list[tuple[str, str, str]]:
    """Kind, SKU and region of each."""
    return [
        (kind, sku, region.name)
        for region in common.REGIONS
        for kind in KINDS
        for sku in OWN_SKUS.get(kind, tuple(sku for sku in SKUS if kind == "StorageV2" or "Z" not in sku))
    ]


def _sku(kind: str, sku: str, where: str) -> dict[str, Any]:
    return {
        "resourceType": "storageAccounts",
        "name": sku,
        "tier": sku.split("_")[0],
        "kind": kind,
        "locations": [where],
        "locationInfo": [{"location": where, "zones": []}],
        "capabilities": [{"name": "supportsnetworkacls", "value": "true"}],
        "restrictions": [],
    }


def register(core: Core) -> None:
    router = core.router
    for service in STARTS:
        settings = Settings(core, service)
        router.resource(settings.kind, get=settings.get, put=settings.put, list=settings.list)
    Policies(core, f"{TYPE}/managementPolicies", created=200).routes()
    catalogue = Catalogue(core)
    base = f"{SUBSCRIPTION}/providers/Microsoft.Storage"
    router.add("GET", f"{base}/skus", catalogue.skus)
    router.add("GET", f"{base}/usages", catalogue.usages)
    router.add("GET", f"{base}/locations/{{location}}/usages", catalogue.usages)
