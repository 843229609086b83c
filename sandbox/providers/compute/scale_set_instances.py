# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of Uniform scale sets: lists, views, network interfaces, actions on many and on one."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE
from sandbox.arm.paging import paged
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import extensions, flexible_members, views, vm_disks, vm_shape
from .flexible_sets import FlexibleSets
from .limits import INSTANCE, VM, VMSS, Limits, require_size
from .scale_set_rows import mark_deleting
from .shapes import Json, canonical, refuse_while_deleting, tidy
from .vmss_shape import is_flexible

PAGE = 100

# action -> (power meanwhile, power after, method of the driver, seconds)
_POWER = {
    "start": ("starting", "running", "start", 30.0),
    "poweroff": ("stopping", "stopped", "stop", 20.0),
    "restart": ("", "running", "restart", 25.0),
    "deallocate": ("deallocating", "deallocated", "deallocate", 35.0),
    "redeploy": ("", "", "restart", 90.0),
    "reapply": ("", "", "", 5.0),
    "performMaintenance": ("", "", "", 5.0),
}


class ScaleSetInstances:
    """Handlers of everything below a scale set, and of the actions on its instances."""

    def __init__(self, core: Core, limits: Limits, flexible: FlexibleSets) -> None:
        self._core, self._limits, self._flexible = core, limits, flexible

    def register(self) -> None:
        router = self._core.router
        router.resource(VMSS, delete=self.delete_scale_set)
        router.resource(
            INSTANCE, get=self.get, put=self.write, patch=self.write, delete=self.delete_one, list=self.list_
        )
        router.action(INSTANCE, "instanceView", self.instance_view, method="GET")
        router.action(VMSS, "delete", self.delete_many)
        router.action(VMSS, "forceRecoveryServiceFabricPlatformUpdateDomainWalk", self.not_fabric)
        for action in _POWER:
            router.action(VMSS, action, partial(self.power, action))
            router.action(INSTANCE, action, partial(self.power, action))
        for action, upgrade in (("manualupgrade", True), ("reimage", False), ("reimageall", False)):
            router.action(VMSS, action, partial(self.rebuild, upgrade))
            router.action(INSTANCE, action, partial(self.rebuild, upgrade))
        router.action(INSTANCE, "simulateEviction", self.simulate_eviction)
        router.action(VMSS, "convertToSinglePlacementGroup", self.single_group)
        router.action(VMSS, "setOrchestrationServiceState", self.service_state)

    # finding

    def _scale_set(self, request: Request) -> Resource:
        """The scale set that the request is about, itself or as parent."""
        rid = request.id if len(request.id.types) == 1 else request.id.parent
        return self._core.require(str(rid))

    def _chosen(self, request: Request, scale_set: Resource, *, wanted: Any = None) -> list[Resource]:
        """The instances that an action is about: the one of the path, those of ``instanceIds``, or all (``*`` or none).

        Raises 400 InvalidParameter for a number that is not, or no longer, one.
        """
        if len(request.id.types) == 2 and request.id.name != "*":
            return [self._core.require(request.id)]
        asked = wanted if wanted is not None else (request.body or {}).get("instanceIds")
        if not asked or asked == ["*"]:
            rows = self._core.store.list(INSTANCE, parent=scale_set.id)
            return [row for row in rows if row.properties["provisioningState"] != "Deleting"]
        rows = []
        for number in dict.fromkeys(str(entry) for entry in asked):
            if not number.isdigit():
                message = "Virtual Machine Scale Set VM instanceId must be a number."
                raise invalid_parameter("instanceIds", message)
            row = self._core.store.get(f"{scale_set.id}/virtualMachines/{number}")
            if row is None or row.body["instanceId"] != number:
                message = f"The provided instanceId {number} is not an active Virtual Machine Scale Set VM instanceId."
                raise invalid_parameter("instanceIds", message)
            rows.append(row)
        return rows

    # reading

    def _member(self, request: Request) -> tuple[Resource, Resource] | None:
        """The Flexible scale set and its machine, if the path names one."""
        scale_set = self._core.store.get(str(request.id.parent))
        if scale_set is None or not is_flexible(scale_set.body):
            return None
        return scale_set, self._core.require(scale_set.rid.sibling(VM, request.id.name))

    def _row(self, request: Request) -> Resource:
        """The instance, or the 404 that is Compute's own: Resource Manager does not know instances."""
        row = self._core.store.get(request.id)
        if row is None:
            self._scale_set(request)
            raise ArmError(404, "NotFound", "The entity was not found in this Azure location.")
        return row

    def get(self, request: Request) -> Answer:
        found = self._member(request)
        if found is not None:
            return Answer(200, {**found[1].body, **flexible_members.entry(*found)})
        scale_set, row = self._scale_set(request), self._row(request)
        body = self._render(row, scale_set, request.query.get("$expand", ""))
        return Answer(200, body, {"ETag": body["etag"]})

    def list_(self, request: Request) -> Answer:
        """Instances, a page at a time. ``$filter`` and ``$select`` are accepted and not applied."""
        scale_set = self._core.require(request.id)
        expand = request.query.get("$expand", "")
        if is_flexible(scale_set.body):
            entries = [flexible_members.entry(scale_set, vm) for vm in self._flexible.members(scale_set)]
            return paged(request, lambda offset, limit: entries[offset : offset + limit], PAGE)

        def fetch(offset: int, limit: int) -> list[Json]:
            rows = self._core.store.list(INSTANCE, parent=scale_set.id, offset=offset, limit=limit)
            return [self._render(row, scale_set, expand) for row in rows]

        return paged(request, fetch, PAGE)

    @staticmethod
    def _view(row: Resource) -> Json:
        view = views.machine(
            row.body, row.internal, created=row.created, changed=row.internal.get("since", row.changed)
        )
        return extensions.on_view(view, row.body.get("resources") or [])

    def _render(self, row: Resource, scale_set: Resource, expand: str) -> Json:
        body = vm_shape.shown(row.body, row.internal)
        properties = {**body["properties"], "latestModelApplied": row.internal["model"] == scale_set.internal["model"]}
        if "instanceview" in expand.lower():
            properties["instanceView"] = self._view(row)
        return {**body, "properties": properties}

    def instance_view(self, request: Request) -> Answer:
        found = self._member(request)
        return Answer(200, self._view(found[1] if found is not None else self._row(request)))

    # deleting

    def delete_scale_set(self, request: Request) -> Answer:
        with self._core.store.transaction():
            scale_set = self._core.store.get(request.id)
            if scale_set is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            scale_set.properties["provisioningState"] = "Deleting"
            if is_flexible(scale_set.body):
                return self._flexible.begin_delete(request, scale_set, self._flexible.members(scale_set), whole=True)
            self._core.store.put(scale_set)
            rows = self._core.store.list(INSTANCE, parent=scale_set.id)
            mark_deleting(self._core, scale_set, [row.sort for row in rows])
            return self._core.operations.begin(
                request,
                "compute.vmss.delete",
                scale_set.id,
                style=COMPUTE,
                location=scale_set.body["location"],
                latency=40,
            )

    def delete_many(self, request: Request) -> Answer:
        with self._core.store.transaction():
            scale_set = self._scale_set(request)
            asked = (request.body or {}).get("instanceIds")
            if not asked:
                raise invalid_parameter("instanceIds", "Required parameter 'instanceIds' is missing (null).")
            if is_flexible(scale_set.body):
                chosen = self._flexible.chosen(request, scale_set)
                return self._flexible.begin_delete(request, scale_set, chosen, whole=False)
            return self._delete(request, scale_set, self._chosen(request, scale_set))

    def delete_one(self, request: Request) -> Answer:
        with self._core.store.transaction():
            found = self._member(request)
            if found is not None:
                return self._flexible.begin_delete(request, found[0], [found[1]], whole=False)
            row = self._core.store.get(request.id)
            if row is None:
                self._core.require_parent(request.id, "delete")
                return Answer(204)
            return self._delete(request, self._scale_set(request), [row])

    def _delete(self, request: Request, scale_set: Resource, rows: list[Resource]) -> Answer:
        """Deleting chosen instances makes the capacity smaller by their number, at once."""
        fresh = [row for row in rows if row.properties["provisioningState"] != "Deleting"]
        scale_set.body["sku"]["capacity"] = max(scale_set.body["sku"]["capacity"] - len(fresh), 0)
        if scale_set.properties["provisioningState"] in ("Succeeded", "Failed"):
            scale_set.properties["provisioningState"] = "Updating"
            failed = {row.sort for row in fresh}
            left = self._core.store.list(INSTANCE, parent=scale_set.id)
            still = any(row.properties["provisioningState"] == "Failed" and row.sort not in failed for row in left)
            scale_set.internal["error"] = scale_set.internal.get("error") if still else None
        _count_up(scale_set)
        self._core.store.put(scale_set)
        mark_deleting(self._core, scale_set, [row.sort for row in fresh])
        return self._core.operations.begin(
            request,
            "compute.vmss.remove",
            scale_set.id,
            style=COMPUTE,
            location=scale_set.body["location"],
            latency=30,
            args={"instances": [row.sort for row in rows]},
        )

    # power, model

    def power(self, action: str, request: Request) -> Answer:
        meanwhile, after, method, seconds = _POWER[action]
        with self._core.store.transaction():
            scale_set = self._scale_set(request)
            refuse_while_deleting(scale_set.body)
            if is_flexible(scale_set.body):
                return self._flexible.begin_power(request, scale_set, action)
            rows = self._chosen(request, scale_set)
            if action == "start":
                self._allocate(request, scale_set, rows)
            for row in rows:
                row.properties["provisioningState"] = "Updating"
                if meanwhile and row.internal.get("power"):
                    row.internal["power"] = meanwhile
            self._core.store.put(*rows)
            return self._begin(
                request,
                scale_set,
                "compute.vmss.power",
                seconds,
                {"instances": [row.sort for row in rows], "method": method, "after": after},
            )

    def _allocate(self, request: Request, scale_set: Resource, rows: list[Resource]) -> None:
        """Quota for deallocated instances that start again."""
        count = sum(row.internal.get("power") == "deallocated" for row in rows)
        if count:
            location = scale_set.body["location"]
            spot = scale_set.properties["virtualMachineProfile"].get("priority") in ("Spot", "Low")
            size = require_size(scale_set.body["sku"]["name"], location)
            self._limits.check(request.subscription, location, size, count, spot=spot, machines=0)

    def rebuild(self, upgrade: bool, request: Request) -> Answer:
        with self._core.store.transaction():
            scale_set = self._scale_set(request)
            refuse_while_deleting(scale_set.body)
            if is_flexible(scale_set.body):
                return self._flexible.begin_power(request, scale_set, "reapply")
            rows = self._chosen(request, scale_set)
            for row in rows:
                row.properties["provisioningState"] = "Updating"
            self._core.store.put(*rows)
            args = {"instances": [row.sort for row in rows], "upgrade": upgrade}
            return self._begin(request, scale_set, "compute.vmss.rebuild", 60.0, args)

    def _begin(self, request: Request, scale_set: Resource, work: str, seconds: float, args: Json) -> Answer:
        if scale_set.properties["provisioningState"] in ("Succeeded", "Failed"):
            scale_set.properties["provisioningState"] = "Updating"
        _count_up(scale_set)
        self._core.store.put(scale_set)
        return self._core.operations.begin(
            request,
            work,
            scale_set.id,
            style=COMPUTE,
            location=scale_set.body["location"],
            latency=seconds,
            args=args,
        )

    def simulate_eviction(self, request: Request) -> Answer:
        """Answered at once; the instance is told, and then goes away or is deallocated."""
        self._core.service("interruptions").announce(request, self._core.require(request.id))
        return Answer(204)

    def evict(self, request: Request) -> Answer:
        """What the platform does when the time of a Spot instance has come."""
        with self._core.store.transaction():
            row, scale_set = self._core.require(request.id), self._scale_set(request)
            if row.properties.get("evictionPolicy") == "Delete":
                return self._delete(request, scale_set, [row])
            args = {"instances": [row.sort], "method": "deallocate", "after": "deallocated"}
            return self._begin(request, scale_set, "compute.vmss.power", 5.0, args)

    def single_group(self, request: Request) -> Answer:
        """A scale set of at most 100 machines can go back to one placement group."""
        with self._core.store.transaction():
            scale_set = self._scale_set(request)
            if is_flexible(scale_set.body) or scale_set.body["sku"]["capacity"] > PAGE:
                message = f"The scale set '{scale_set.rid.name}' cannot have a single placement group."
                raise ArmError(409, "OperationNotAllowed", message)
            scale_set.properties["singlePlacementGroup"] = True
            _count_up(scale_set)
            self._core.store.put(scale_set)
        return Answer(200)

    def service_state(self, request: Request) -> Answer:
        """Resume or suspend automatic repairs. 409 if the scale set has none."""
        with self._core.store.transaction():
            scale_set = self._scale_set(request)
            if not (scale_set.properties.get("automaticRepairsPolicy") or {}).get("enabled"):
                message = f"Automatic repairs are not enabled on the scale set '{scale_set.rid.name}'."
                raise ArmError(409, "OperationNotAllowed", message)
            action = str((request.body or {}).get("action"))
            scale_set.internal["repairs"] = {"Resume": "Running", "Suspend": "Suspended"}.get(action, "Running")
            return self._begin(
                request, scale_set, "compute.vmss.power", 5.0, {"instances": [], "method": "", "after": ""}
            )

    def not_fabric(self, request: Request) -> Answer:
        self._core.require(request.id)
        raise ArmError(409, "OperationNotAllowed", "The scale set is not managed by Service Fabric.")

    def write(self, request: Request) -> Answer:
        """PUT or PATCH of one instance: tags, protection policy, disks that are its own."""
        with self._core.store.transaction():
            row = self._core.require(request.id)
            scale_set = self._scale_set(request)
            asked = request.body
            if "tags" in asked:
                row.body["tags"] = asked["tags"] or {}
            policy = (asked.get("properties") or {}).get("protectionPolicy")
            if policy is not None:
                row.properties["protectionPolicy"] = policy
            storage = (asked.get("properties") or {}).get("storageProfile") or {}
            if "dataDisks" in storage:
                size = require_size(row.body["sku"]["name"], row.body["location"])
                vm_disks.change(self._core, row, canonical(tidy(storage)), size)
            row.properties["provisioningState"] = "Updating"
            row.internal["since"] = clock.now()
            self._core.store.put(row)
            shown = self._render(row, scale_set, "")
            return self._core.operations.begin(
                request,
                "compute.vmss.touch",
                row.id,
                style=COMPUTE,
                status=200,
                body=vm_shape.without_detached(shown) if request.api_version < "2019" else shown,
                headers="aao",
                location=row.body["location"],
                latency=5,
            )


def _count_up(scale_set: Resource) -> None:
    scale_set.body["etag"] = f'"{int(scale_set.body["etag"].strip(chr(34))) + 1}"'
    scale_set.internal["since"] = clock.now()
