# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flexible scale sets: their machines are virtual machines of their own, made and removed for the scale set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

from sandbox.arm.core import Core, hex_digits
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import extensions, flexible_members, vmss_shape
from .limits import VM
from .machines import Machines
from .scale_set_works import ScaleSetWorks
from .shapes import Json, hex32
from .virtual_machines import VirtualMachines
from .vm_actions import VmActions

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PROFILE = (
    "securityProfile",
    "diagnosticsProfile",
    "licenseType",
    "priority",
    "evictionPolicy",
    "billingProfile",
    "scheduledEventsProfile",
    "capacityReservation",
    "applicationProfile",
)
# What scale sets call an action -> what virtual machines call it
ACTIONS = {"poweroff": "powerOff", "start": "start", "restart": "restart", "deallocate": "deallocate"}
MORE_ACTIONS = {"redeploy": "redeploy", "reapply": "reapply"}


class FlexibleSets:
    """What Flexible scale sets do otherwise than Uniform ones."""

    def __init__(
        self, core: Core, machines: Machines, vms: VirtualMachines, actions: VmActions, works: ScaleSetWorks
    ) -> None:
        self._core, self._machines = core, machines
        self._vms, self._actions, self._works = vms, actions, works

    def register(self) -> None:
        operations = self._core.operations
        operations.register("compute.flexible.write", self.work_write, handles_faults=True)
        operations.register("compute.flexible.delete", self.work_delete)
        operations.register("compute.flexible.power", self.work_power)

    # instances

    def members(self, scale_set: Resource) -> list[Resource]:
        return flexible_members.members(self._core, scale_set)

    def staying(self, scale_set: Resource) -> list[Resource]:
        """The machines that are not on their way out."""
        return [vm for vm in self.members(scale_set) if vm.properties["provisioningState"] != "Deleting"]

    def grow(self, request: Request, scale_set: Resource, count: int) -> list[str]:
        """Make the VMs for a larger capacity, in the running transaction; answers their ids."""
        existing = [(vm.body.get("zones") or [""])[0] for vm in self.staying(scale_set)]
        zones = vmss_shape.spread(scale_set.body.get("zones") or [], existing, count)
        return [self._make(request, scale_set, zone) for zone in zones]

    def _make(self, request: Request, scale_set: Resource, zone: str) -> str:
        name = f"{scale_set.rid.name}_{hex_digits(8)}"
        rid = scale_set.rid.sibling(VM, name)
        params = {"subscription": rid.subscription, "group": rid.group, "name": name}
        body = machine_body(scale_set, name, zone)
        nested = Request(
            self._core, "PUT", str(rid), params, dict(request.query), {}, request.base_url, body, VM, rid,
            dict(request.claims),
        )  # fmt: skip
        vm = self._vms.make(nested, body, checked=True)
        profile = scale_set.properties["virtualMachineProfile"]
        for entry in (profile.get("extensionProfile") or {}).get("extensions") or []:
            extension_id = f"{vm.id}/extensions/{entry['name']}"
            asked = {key: value for key, value in (entry.get("properties") or {}).items() if "protected" not in key}
            shown = extensions.extension_body(extension_id, vm.body["location"], asked, "Creating")
            self._core.store.put(Resource(extension_id, shown))
        return vm.id

    def shrink(self, scale_set: Resource, count: int) -> list[str]:
        """Mark the newest machines of the fullest zones as Deleting; answers their ids."""
        staying = self.staying(scale_set)
        numbered = [(number, (vm.body.get("zones") or [""])[0]) for number, vm in enumerate(staying)]
        return self.mark_deleting([staying[number] for number in vmss_shape.to_remove(numbered, count)])

    def mark_deleting(self, vms: Sequence[Resource]) -> list[str]:
        for vm in vms:
            vm.properties["provisioningState"] = "Deleting"
        if vms:
            self._core.store.put(*vms)
        return [vm.id for vm in vms]

    def chosen(self, request: Request, scale_set: Resource) -> list[Resource]:
        """The machines that an action is about: the one of the path, those of ``instanceIds``, or all."""
        members = {vm.rid.name.lower(): vm for vm in self.staying(scale_set)}
        if len(request.id.types) == 2:
            wanted = [request.id.name]
        else:
            wanted = [str(entry) for entry in (request.body or {}).get("instanceIds") or ["*"]]
        if wanted == ["*"]:
            return list(members.values())
        for name in wanted:
            if name.lower() not in members:
                message = f"The provided instanceId {name} is not an active Virtual Machine Scale Set VM instanceId."
                raise invalid_parameter("instanceIds", message)
        return [members[name.lower()] for name in dict.fromkeys(wanted)]

    # requests, in the transaction of the caller

    def begin_delete(self, request: Request, scale_set: Resource, vms: Sequence[Resource], *, whole: bool) -> Answer:
        """Delete machines, or the scale set with all of them."""
        removed = self.mark_deleting(vms)
        if not whole:
            scale_set.body["sku"]["capacity"] = max(scale_set.body["sku"]["capacity"] - len(removed), 0)
            scale_set.properties["provisioningState"] = "Updating"
        self._core.store.put(scale_set)
        return self._core.operations.begin(
            request, "compute.flexible.delete", scale_set.id, style=COMPUTE, location=scale_set.body["location"],
            latency=40, args={"remove": removed, "whole": whole},
        )  # fmt: skip

    def begin_power(self, request: Request, scale_set: Resource, action: str) -> Answer:
        word = {**ACTIONS, **MORE_ACTIONS}.get(action)
        if word is None:
            message = f"The operation '{action}' is not supported on scale sets with flexible orchestration."
            raise ArmError(409, "OperationNotAllowed", message)
        vms = self.chosen(request, scale_set)
        for vm in vms:
            self._actions.begin_power(request, vm, word)
        return self._core.operations.begin(
            request, "compute.flexible.power", scale_set.id, style=COMPUTE, location=scale_set.body["location"],
            latency=30, args={"vms": [vm.id for vm in vms], "action": word},
        )  # fmt: skip

    # works

    def _rows(self, vm_ids: Sequence[str]) -> list[Resource]:
        return [vm for vm in (self._core.store.get(vm_id) for vm_id in vm_ids) if vm is not None]

    def work_write(self, run: Run) -> None:
        errors: list[ArmError] = []

        def done(vm: Resource, error: ArmError | None) -> None:
            if error is not None:
                target = vm.rid.name
                errors.append(ArmError(error.status, error.code, error.message, target=target, details=error.details))

        pending = [
            vm for vm in self._rows(run.args["create"]) if vm.properties["provisioningState"] not in ("Succeeded",)
        ]
        for vnet in {vm.internal["machine"]["vnet"] for vm in pending}:
            self._core.service("network").apply(vnet)
        self._machines.each(pending, lambda vm: self._bring_up(vm, run.fault), done)
        leaving = self._rows(run.args["remove"])
        self._machines.farewell(leaving)
        for vm in leaving:
            self._actions.remove(vm)
        self._works.finish_write(run, errors[0] if errors else None)

    def _bring_up(self, vm: Resource, fault: ArmError | None) -> None:
        self._actions.bring_up(vm.id, fault, network=False)

        def change(extension: Resource) -> None:
            extension.properties["provisioningState"] = "Succeeded"

        for extension in self._core.store.list(extensions.EXTENSION, parent=vm.id):
            self._core.store.update(extension.id, change)

    def work_delete(self, run: Run) -> None:
        leaving = self._rows(run.args["remove"])
        self._machines.farewell(leaving)
        for vm in leaving:
            self._actions.remove(vm)
        if run.args["whole"]:
            self._core.store.delete(run.resource_id)
            return

        def change(scale_set: Resource) -> None:
            if scale_set.properties["provisioningState"] == "Updating":
                scale_set.properties["provisioningState"] = "Succeeded"
                scale_set.internal["since"] = clock.now()

        self._core.store.update(run.resource_id, change)

    def work_power(self, run: Run) -> None:
        errors: list[ArmError] = []

        def done(_unused: Resource, error: ArmError | None) -> None:
            if error is not None:
                errors.append(error)

        vms = self._rows(run.args["vms"])
        self._machines.each(vms, lambda vm: self._actions.change_power(vm.id, run.args["action"]), done)
        if errors:
            raise errors[0]


def machine_body(scale_set: Resource, name: str, zone: str) -> Json:
    """The request for a new machine of a Flexible scale set, from its model."""
    profile = scale_set.properties["virtualMachineProfile"]
    shared = scale_set.internal["models"][str(scale_set.internal["model"])]
    storage = profile["storageProfile"]
    os_profile = {key: value for key, value in profile.get("osProfile", {}).items() if key != "computerNamePrefix"}
    prefix = profile.get("osProfile", {}).get("computerNamePrefix", scale_set.rid.name)
    os_profile["computerName"] = prefix + "".join(random.choices(_ALPHABET, k=6))
    if shared.get("custom_data"):
        os_profile["customData"] = shared["custom_data"]
    disk = {**storage["osDisk"], "name": f"{name}_disk1_{hex32()}"}
    stamped = datetime.fromtimestamp(clock.now(), UTC)
    daytime = f"{stamped:%I:%M:%S %p}".lstrip("0")
    model_time = f"{stamped.month}/{stamped.day}/{stamped.year} {daytime} +00:00"
    # Machines get the identities that a user assigned to the scale set, and not its own.
    assigned = (scale_set.body.get("identity") or {}).get("userAssignedIdentities") or {}
    identity = {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in assigned}}
    return {
        **({"identity": identity} if assigned else {}),
        "location": scale_set.body["location"],
        "tags": {**(scale_set.body.get("tags") or {}), "VirtualMachineProfileTimeCreated": model_time},
        **({"zones": [zone]} if zone else {}),
        **({"plan": scale_set.body["plan"]} if "plan" in scale_set.body else {}),
        "properties": {
            "virtualMachineScaleSet": {"id": scale_set.id},
            "hardwareProfile": {**(profile.get("hardwareProfile") or {}), "vmSize": vmss_shape.vm_size(scale_set.body)},
            "storageProfile": {**storage, "osDisk": disk},
            **({"osProfile": os_profile} if profile.get("osProfile") else {}),
            "networkProfile": profile["networkProfile"],
            **{key: profile[key] for key in _PROFILE if key in profile},
            **({"userData": scale_set.internal["user_data"]} if scale_set.internal.get("user_data") else {}),
            **{key: scale_set.properties[key] for key in ("proximityPlacementGroup",) if key in scale_set.properties},
        },
    }
