# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private DNS zones, their links to virtual networks and their record sets. Kept: booted machines do not ask them."""

from __future__ import annotations

import re
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import NETWORK, Run
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.network.base import NAMESPACE, reference, require_reference

ZONE = f"{NAMESPACE}/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"
NAME = re.compile(r"(?=.{1,253}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9_-]{1,63}\Z")
RECORDS = {
    "A": "aRecords",
    "AAAA": "aaaaRecords",
    "CNAME": "cnameRecord",
    "MX": "mxRecords",
    "PTR": "ptrRecords",
    "SOA": "soaRecord",
    "SRV": "srvRecords",
    "TXT": "txtRecords",
}
SOA = {
    "email": "azureprivatedns-host.microsoft.com",
    "expireTime": 2419200,
    "host": "azureprivatedns.net",
    "minimumTtl": 10,
    "refreshTime": 3600,
    "retryTime": 300,
    "serialNumber": 1,
}
LIMITS = {
    "maxNumberOfRecordSets": 25000,
    "maxNumberOfVirtualNetworkLinks": 1000,
    "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
}
WRITE, DELETE = "privatedns.write", "privatedns.delete"


class Zones:
    """Handlers of zones and of links: both are global, and written by operations."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        for kind in (ZONE, LINK):
            self._core.router.resource(
                kind,
                get=self.get,
                put=self.put,
                patch=self.patch,
                delete=self.delete,
                list=self.list_,
                list_all=self.list_ if kind == ZONE else None,
            )
        self._core.operations.register(WRITE, self.work_write)
        self._core.operations.register(DELETE, self.work_delete)

    def get(self, request: Request) -> Answer:
        found = self._core.require(request.id)
        return Answer(200, self._shown(found), {"ETag": found.body["etag"]})

    def list_(self, request: Request) -> Answer:
        store = self._core.store
        if request.rid is not None:
            found = store.list(LINK, parent=self._core.require(request.id).id)
        else:
            if request.group:
                self._core.require_group(request.subscription, request.group)
            found = store.list(ZONE, subscription=request.subscription, group=request.group or None)
        return Answer(200, {"value": [self._shown(one) for one in found]})

    def put(self, request: Request) -> Answer:
        shape = {"location": str, "tags": dict, "properties": {"registrationEnabled": bool, "virtualNetwork": dict}}
        request.body = shapes.read(request.body, shape)
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id)
            _check_match(request, known)
            resource = known or Resource(str(request.id), {})
            link = request.id.parent is not None
            properties = self._link(request, known) if link else self._zone(request, known)
            resource.body = {
                "id": resource.id,
                "name": resource.rid.name,
                "type": LINK if link else ZONE,
                "etag": f'"{new_guid()}"',
                "location": "global",
                "tags": common.tags(request.body) or {},
                "properties": {**properties, "provisioningState": "Updating" if known else "Creating"},
            }
            self._core.store.put(resource)
            return self._begin(request, WRITE, resource)

    def _zone(self, request: Request, known: Resource | None) -> dict[str, Any]:
        name = request.id.name
        if not NAME.match(name):
            text = f"The domain name '{name}' is invalid. The provided resource is not a fully qualified domain name."
            raise ArmError(400, "BadRequest", text)
        if known is not None:
            return known.properties
        # Nobody writes the first record set of a zone.
        soa = _record_set(f"{request.id}/SOA/@", {"ttl": 3600, "soaRecord": SOA})
        self._core.store.put(Resource(soa["id"], soa))
        return {"internalId": new_guid()}

    def _link(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        target = reference(given.get("virtualNetwork") or (known.properties["virtualNetwork"] if known else None))
        if not target:
            raise ArmError(400, "BadRequest", "The virtual network of the link is missing.", target="virtualNetwork")
        network = require_reference(self._core, target, request.id)
        zone = request.id.parent
        for other in self._core.store.list(LINK, parent=str(zone)):
            if ids.key(other.id) != ids.key(request.id) and _network(other) == ids.key(network.id):
                text = f"A virtual network cannot be linked to a zone twice: '{network.id}' is linked by '{other.id}'."
                raise ArmError(409, "Conflict", text)
        return {
            "registrationEnabled": bool(given.get("registrationEnabled", False)),
            "virtualNetwork": {"id": target},
            "virtualNetworkLinkState": "InProgress",
        }

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            _check_match(request, resource)
            given = shapes.read(request.body, {"tags": dict, "properties": {"registrationEnabled": bool}})
            found = common.tags(given)
            if found is not None:
                resource.body["tags"] = found
            wanted = (given.get("properties") or {}).get("registrationEnabled")
            if wanted is not None and request.id.parent is not None:
                resource.properties["registrationEnabled"] = wanted
            resource.body["etag"] = f'"{new_guid()}"'
            self._core.store.put(resource)
            return self._begin(request, WRITE, resource)

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            self._core.require_group(request.subscription, request.group)
            known = self._core.store.get(request.id)
            if known is None:
                return Answer(204)
            _check_match(request, known)
            if request.id.parent is None and self._core.store.list(LINK, parent=known.id):
                text = "Can not delete resource before nested resources are deleted."
                raise ArmError(409, "CannotDeleteResource", text)
            known.properties["provisioningState"] = "Deleting"
            self._core.store.put(known)
            return self._begin(request, DELETE, known)

    def _begin(self, request: Request, work: str, resource: Resource) -> Answer:
        return self._core.operations.begin(
            request, work, resource.id, style=NETWORK, status=202, location="global", latency=5
        )

    def work_write(self, run: Run) -> None:
        def settle(resource: Resource) -> None:
            resource.properties["provisioningState"] = "Succeeded"
            if "virtualNetworkLinkState" in resource.properties:
                resource.properties["virtualNetworkLinkState"] = "Completed"

        self._core.store.update(run.resource_id, settle)

    def work_delete(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)

    def _shown(self, resource: Resource) -> dict[str, Any]:
        """A zone counts what is in it."""
        if resource.rid.parent is not None:
            return resource.body
        store = self._core.store
        links = store.list(LINK, parent=resource.id)
        counts = {
            "numberOfRecordSets": sum(len(store.list(f"{ZONE}/{kind}", parent=resource.id)) for kind in RECORDS),
            "numberOfVirtualNetworkLinks": len(links),
            "numberOfVirtualNetworkLinksWithRegistration": len(
                [link for link in links if link.properties["registrationEnabled"]]
            ),
        }
        return {**resource.body, "properties": {**LIMITS, **counts, **resource.properties}}


class RecordSets:
    """Handlers of record sets, which are written at once."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        router = self._core.router
        for kind in RECORDS:
            router.resource(
                f"{ZONE}/{kind}",
                get=self._core.get_handler,
                put=self.write,
                patch=self.write,
                delete=self.delete,
                list=self._core.list_handler,
            )
        router.resource(f"{ZONE}/ALL", list=self.all_)

    def all_(self, request: Request) -> Answer:
        zone = self._core.require(request.id)
        found = [one for kind in RECORDS for one in self._core.store.list(f"{ZONE}/{kind}", parent=zone.id)]
        return Answer(200, {"value": [one.body for one in found]})

    def write(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"properties": {"ttl": int, "metadata": dict}})
        given = request.body.get("properties") or {}
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id) if request.method == "PUT" else self._core.require(request.id)
            _check_match(request, known)
            key = RECORDS[next(kind for kind in RECORDS if kind.lower() == request.id.types[-1].lower())]
            before = known.properties if known is not None and request.method == "PATCH" else {}
            kept = {name: before[name] for name in ("ttl", "metadata", key) if name in before}
            kept |= {name: given[name] for name in ("ttl", "metadata", key) if given.get(name) is not None}
            if "ttl" not in kept:
                raise ArmError(400, "BadRequest", "The record set has no TTL.", target="ttl")
            made = _record_set(known.id if known else str(request.id), kept)
            self._core.store.put(Resource(made["id"], made))
        return Answer(200 if known else 201, made, {"ETag": made["etag"]})

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            self._core.require_group(request.subscription, request.group)
            known = self._core.store.get(request.id)
            _check_match(request, known)
            if request.id.types[-1].upper() == "SOA":
                raise ArmError(400, "BadRequest", "The SOA record set of a zone cannot be deleted.")
            self._core.store.delete(request.id)
        return Answer(200 if known else 204)


def register(core: Core) -> None:
    Zones(core).register()
    RecordSets(core).register()


def _record_set(own: str, properties: dict[str, Any]) -> dict[str, Any]:
    rid = ids.parse(own)
    where = f"{rid.names[0]}."
    return {
        "id": own,
        "name": rid.name,
        "type": f"{ZONE}/{rid.types[-1].upper()}",
        "etag": new_guid(),
        "properties": {
            "fqdn": where if rid.name == "@" else f"{rid.name}.{where}",
            **properties,
            "isAutoRegistered": False,
        },
    }


def _network(link: Resource) -> str:
    return ids.key(reference(link.properties["virtualNetwork"]))


def _check_match(request: Request, known: Resource | None) -> None:
    """412 if an etag is not the present one, or if something is there that must not be."""
    wanted = request.headers.get("if-match", "*")
    stale = wanted != "*" and (known is None or wanted.strip('"') != known.body["etag"].strip('"'))
    if stale or (known is not None and request.headers.get("if-none-match") == "*"):
        text = f"The condition '{'stale etag' if stale else '*'}' in the request is not satisfied: {request.id}."
        raise ArmError(412, "PreconditionFailed", text)
