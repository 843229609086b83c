# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proximity placement groups and availability sets: written at once, and they know who refers to them."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource

from .limits import AVAILABILITY_SET, VM, VMSS
from .shapes import Json, required, tidy
from .sizes import normal_location, vm_sizes

GROUP = "Microsoft.Compute/proximityPlacementGroups"
_ALIGNED: Json = {
    "code": "ColocationStatus/Aligned",
    "level": "Info",
    "displayStatus": "Aligned",
    "message": "All resources in the proximity placement group are aligned.",
}


class Placement:
    """Handlers of one of the two types."""

    def __init__(self, core: Core, kind: str) -> None:
        self._core, self._kind = core, kind
        self._shape: Callable[[Json], Json] = _group if kind == GROUP else _availability_set

    def register(self) -> None:
        self._core.router.resource(
            self._kind,
            get=self.get,
            put=self.put,
            patch=self.put,
            delete=self.delete,
            list=self.list_,
            list_all=self.list_,
        )
        if self._kind == AVAILABILITY_SET:
            self._core.router.action(AVAILABILITY_SET, "vmSizes", self.vm_sizes, method="GET")
        self._core.on_group_delete(self._kind, 25, lambda resource: self._core.store.delete(resource.id))

    def put(self, request: Request) -> Answer:
        """A PUT creates or replaces; a PATCH changes tags and what it names."""
        given, store = tidy(request.body), self._core.store
        with store.transaction():
            known = store.get(request.id)
            if request.method == "PATCH":
                known = self._core.require(request.id)
                given = {**known.body, **given, "properties": {**known.properties, **given.get("properties", {})}}
            rid = request.id
            body: Json = {
                "name": rid.name,
                "id": str(rid),
                "type": self._kind,
                "location": normal_location(required(given, "location")),
                **({"tags": given["tags"]} if "tags" in given else {}),
                **({"zones": given["zones"]} if given.get("zones") else {}),
                **self._shape(given),
            }
            resource = known or Resource(str(rid), {})
            resource.body = body
            store.put(resource)
        return Answer(200 if known or self._kind == AVAILABILITY_SET else 201, body)

    def get(self, request: Request) -> Answer:
        resource = self._core.require(request.id)
        return Answer(200, self._with_members(resource, "includecolocationstatus" in request.query))

    def vm_sizes(self, request: Request) -> Answer:
        """The sizes that machines of an availability set can have."""
        return Answer(200, {"value": vm_sizes(self._core.require(request.id).body["location"])})

    def list_(self, request: Request) -> Answer:
        if request.group:
            self._core.require_group(request.subscription, request.group)
        found = self._core.store.list(self._kind, subscription=request.subscription, group=request.group or None)
        return Answer(200, {"value": [self._with_members(resource, False) for resource in found]})

    def _with_members(self, resource: Resource, status: bool) -> Json:
        """The body with the machines, scale sets and availability sets that refer to it."""
        kinds = [(VM, "virtualMachines")]
        if self._kind == GROUP:
            kinds += [(VMSS, "virtualMachineScaleSets"), (AVAILABILITY_SET, "availabilitySets")]
        key = "proximityPlacementGroup" if self._kind == GROUP else "availabilitySet"
        members = {label: self._members(kind, key, resource) for kind, label in kinds}
        more: Json = {"colocationStatus": _ALIGNED} if status and self._kind == GROUP else {}
        return {**resource.body, "properties": {**resource.properties, **members, **more}}

    def _members(self, kind: str, key: str, resource: Resource) -> list[Json]:
        found = []
        for member in self._core.store.list(kind, subscription=resource.rid.subscription):
            reference = (member.properties.get(key) or {}).get("id", "")
            if ids.key(reference) == ids.key(resource.id):
                found.append({"id": _shouted(member.rid)})
        return found

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._core.store.get(request.id)
            if resource is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            members = self._with_members(resource, False)["properties"]
            used = [entry["id"] for value in members.values() if isinstance(value, list) for entry in value]
            if used:
                what = "Proximity Placement Group" if self._kind == GROUP else "Availability Set"
                message = (
                    f"{what} '{resource.rid.name}' cannot be deleted. Before deleting, please ensure that it does not "
                    f"contain any resource: {used[0]}."
                )
                raise ArmError(409, "OperationNotAllowed", message)
            self._core.store.delete(resource.id)
        return Answer(200)


def domains(core: Core, set_id: str) -> list[int]:
    """The fault and the update domain of the next machine of an availability set; empty if it is in none."""
    found = core.store.get(set_id) if set_id else None
    if found is None:
        return []
    members = core.store.list(VM, subscription=found.rid.subscription)
    wanted = ids.key(found.id)
    number = sum(ids.key((vm.properties.get("availabilitySet") or {}).get("id", "")) == wanted for vm in members)
    return [number % found.properties[f"platform{kind}DomainCount"] for kind in ("Fault", "Update")]


def _shouted(rid: ids.ResourceId) -> str:
    """An id as Azure lists members: the names of the group and of the resource in capital letters."""
    group = f"/subscriptions/{rid.subscription}/resourceGroups/{rid.group.upper()}"
    return f"{group}/providers/{rid.type}/{rid.name.upper()}"


def _group(given: Json) -> Json:
    asked = given.get("properties") or {}
    kept = {key: asked[key] for key in ("intent",) if key in asked}
    kind = asked.get("proximityPlacementGroupType", "Standard")
    return {"properties": {"proximityPlacementGroupType": kind, **kept}}


def _availability_set(given: Json) -> Json:
    asked = given.get("properties") or {}
    kept = {key: asked[key] for key in ("proximityPlacementGroup",) if key in asked}
    counts = {
        "platformUpdateDomainCount": asked.get("platformUpdateDomainCount", 5),
        "platformFaultDomainCount": asked.get("platformFaultDomainCount", 2),
    }
    return {"properties": {**counts, **kept}, "sku": {"name": (given.get("sku") or {}).get("name", "Classic")}}
