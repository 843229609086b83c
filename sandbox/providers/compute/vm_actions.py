# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/virtualMachines: power, deletion, generalising, eviction; and the works that move machines."""

from __future__ import annotations

from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import agents, flexible_members, vm_disks
from .limits import VM, Limits, allocation_failed
from .limits import require_size as size_of
from .machines import Machines
from .shapes import refuse_while_deleting

# action in the URL -> (word in errors, power meanwhile, power after, method of the driver, seconds)
_POWER = {
    "start": ("start", "starting", "running", "start", 30.0),
    "powerOff": ("powerOff", "stopping", "stopped", "stop", 20.0),
    "restart": ("restart", "running", "running", "restart", 25.0),
    "deallocate": ("deallocate", "deallocating", "deallocated", "deallocate", 35.0),
    "redeploy": ("redeploy", "", "", "restart", 90.0),
    "reapply": ("reapply", "", "", "", 5.0),
}


class VmActions:
    """Actions on virtual machines and the works of their operations."""

    def __init__(self, core: Core, limits: Limits, machines: Machines) -> None:
        self._core, self._limits, self._machines = core, limits, machines

    def register(self) -> None:
        router, operations = self._core.router, self._core.operations
        for action in _POWER:
            router.action(VM, action, partial(self.power, action))
        router.action(VM, "generalize", self.generalize)
        router.action(VM, "simulateEviction", self.simulate_eviction)
        router.action(VM, "performMaintenance", self.perform_maintenance)
        router.action(VM, "convertToManagedDisks", self.convert)
        router.action(VM, "reimage", self.reimage)
        router.resource(VM, delete=self.delete)
        operations.register("compute.vm.create", self.work_create, handles_faults=True)
        operations.register("compute.vm.update", self.work_update)
        operations.register("compute.vm.power", self.work_power)
        operations.register("compute.vm.delete", self.work_delete)
        operations.register("compute.vm.convert", self.work_convert)
        operations.register("compute.vm.reimage", self.work_reimage)
        self._core.on_group_delete(VM, 10, self.remove)

    # requests

    def power(self, action: str, request: Request) -> Answer:
        seconds = _POWER[action][4]
        with self._core.store.transaction():
            vm = self._core.require(request.id)
            self.begin_power(request, vm, action)
            return self._core.operations.begin(
                request, "compute.vm.power", vm.id, style=COMPUTE, location=vm.body["location"], latency=seconds,
                args={"action": action},
            )  # fmt: skip

    def begin_power(self, request: Request, vm: Resource, action: str) -> None:
        """Show a VM as it is while the action goes on. 409 if it cannot be done in the VM's state."""
        word, meanwhile = _POWER[action][:2]
        refuse_while_deleting(vm.body)
        if vm.internal.get("generalized") and action not in ("deallocate", "powerOff"):
            message = f"Operation '{word}' is not allowed on VM '{vm.rid.name}' since the VM is generalized."
            raise ArmError(409, "OperationNotAllowed", message)
        if action in ("restart",) and vm.internal.get("power") in ("deallocated", "stopped"):
            message = f"Operation '{word}' is not allowed on VM '{vm.rid.name}' since the VM is not running."
            raise ArmError(409, "OperationNotAllowed", message)
        if action == "start" and vm.internal.get("power") == "deallocated":
            self._allocate(request, vm)
        if meanwhile:
            vm.internal["power"] = meanwhile
        self._touch(vm, "Updating")

    def _allocate(self, request: Request, vm: Resource) -> None:
        """Quota for a deallocated machine that starts again."""
        location, spot = vm.body["location"], vm.properties.get("priority") in ("Spot", "Low")
        size = size_of(vm.properties["hardwareProfile"]["vmSize"], location)
        self._limits.check(request.subscription, location, size, 1, spot=spot, machines=0)

    def _touch(self, vm: Resource, state: str) -> None:
        """Write a VM whose state changes; its etag counts."""
        vm.properties["provisioningState"] = state
        vm.body["etag"] = f'"{int(vm.body["etag"].strip(chr(34))) + 1}"'
        vm.internal["since"] = clock.now()
        self._core.store.put(vm)

    def generalize(self, request: Request) -> Answer:
        with self._core.store.transaction():
            vm = self._core.require(request.id)
            if vm.internal.get("power") not in ("stopped", "deallocated"):
                message = f"Operation 'generalize' is not allowed on VM '{vm.rid.name}' since the VM is running."
                raise ArmError(409, "OperationNotAllowed", message)
            vm.internal["generalized"] = True
            self._core.store.put(vm)
        return Answer(200)

    def simulate_eviction(self, request: Request) -> Answer:
        """Answered at once; the machine is told, and then goes away or is deallocated."""
        self._core.service("interruptions").announce(request, self._core.require(request.id))
        return Answer(204)

    def evict(self, request: Request) -> Answer:
        """What the platform does when the time of a Spot machine has come."""
        with self._core.store.transaction():
            vm = self._core.require(request.id)
            work, args = "compute.vm.power", {"action": "deallocate"}
            if vm.properties.get("evictionPolicy") == "Delete":
                work, args = "compute.vm.delete", {}
                flexible_members.left(self._core, vm)
            return self._core.operations.begin(
                request, work, vm.id, style=COMPUTE, location=vm.body["location"], args=args
            )

    def perform_maintenance(self, request: Request) -> Answer:
        name = self._core.require(request.id).rid.name
        reason = "since the Subscription of this VM is not eligible."
        message = f"Operation 'performMaintenance' is not allowed on VM '{name}' {reason}"
        raise ArmError(409, "OperationNotAllowed", message)

    def convert(self, request: Request) -> Answer:
        """Make managed disks of unmanaged ones; the machine must be deallocated."""
        with self._core.store.transaction():
            vm = self._core.require(request.id)
            name, storage = vm.rid.name, vm.properties["storageProfile"]
            if not any("vhd" in disk for disk in [storage["osDisk"], *storage["dataDisks"]]):
                raise ArmError(409, "OperationNotAllowed", f"VM '{name}' is already using managed disks.")
            if vm.internal.get("power") != "deallocated":
                message = f"VM '{name}' has to be stopped and deallocated before its disks can be made managed ones."
                raise ArmError(409, "OperationNotAllowed", message)
            self._touch(vm, "Updating")
            return self._core.operations.begin(
                request, "compute.vm.convert", vm.id, style=COMPUTE, location=vm.body["location"], latency=60
            )

    def work_convert(self, run: Run) -> None:
        with self._core.store.transaction():
            vm = self._core.store.get(run.resource_id)
            if vm is not None:
                vm_disks.manage(self._core, vm)
                vm.internal["converted"] = True
                vm.properties["provisioningState"] = "Succeeded"
                self._core.store.put(vm)

    def reimage(self, request: Request) -> Answer:
        """A new OS disk: of a machine whose disk is ephemeral, and since 2022 of any that was made of an image."""
        with self._core.store.transaction():
            vm = self._core.require(request.id)
            storage = vm.properties["storageProfile"]
            local = "diffDiskSettings" in storage["osDisk"]
            if not local and (request.api_version < "2022" or not storage.get("imageReference")):
                message = (
                    "The Reimage and OSUpgrade Virtual Machine actions require that the virtual machine has Automatic "
                    "OS Upgrades enabled."
                )
                raise ArmError(409, "OperationNotAllowed", message)
            self._touch(vm, "Updating")
            return self._core.operations.begin(
                request, "compute.vm.reimage", vm.id, style=COMPUTE, location=vm.body["location"], latency=60
            )

    def work_reimage(self, run: Run) -> None:
        vm = self._core.store.get(run.resource_id)
        if vm is None:
            return
        if vm.internal.get("power") == "running":
            self._machines.act("delete", vm)
            self._machines.boot(vm)
        self._set(vm.id, "Succeeded")

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            vm = self._core.store.get(request.id)
            if vm is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            self._touch(vm, "Deleting")
            flexible_members.left(self._core, vm)
            return self._core.operations.begin(
                request, "compute.vm.delete", vm.id, style=COMPUTE, location=vm.body["location"], latency=35
            )

    # works

    def _set(self, vm_id: str, state: str, power: str | None = None, error: ArmError | None = None) -> None:
        def change(vm: Resource) -> None:
            if vm.properties.get("provisioningState") != "Deleting":
                vm.properties["provisioningState"] = state
            if power is not None:
                vm.internal["power"] = power
            vm.internal["agent"] = vm.internal.get("power") == "running" or vm.internal.get("agent", False)
            vm.internal["error"] = {"code": error.code, "message": error.message} if error else None
            vm.internal["since"] = clock.now()

        changed = self._core.store.update(vm_id, change)
        if changed is not None and changed.internal.get("power") in ("running", "deallocated"):
            state = "Attached" if changed.internal["power"] == "running" else "Reserved"
            with self._core.store.transaction():
                vm_disks.show(self._core, changed, state)

    def work_create(self, run: Run) -> None:
        self.bring_up(run.resource_id, run.fault)

    def bring_up(self, vm_id: str, fault: ArmError | None, *, network: bool = True) -> None:
        """Make and boot the machine of a new VM. Raises ArmError if that fails, or the ``fault``; the VM is Failed
        then. ``network`` False: its virtual network has been told to the driver already.
        """
        vm = self._core.store.get(vm_id)
        if vm is None:
            return
        try:
            if fault is not None:
                raise fault
            self._check_room(vm)
            if network:
                self._core.service("network").apply(vm.internal["machine"]["vnet"])
            self._set(vm.id, "Creating", "starting")
            if not self._leaving(vm.id):
                self._machines.boot(vm)
            if self._leaving(vm.id):
                self._machines.act("delete", vm)
        except ArmError as error:
            booted = error.code.startswith("OSProvisioning")
            self._set(vm.id, "Failed", "running" if booted else "", error)
            raise
        agents.begin(self._core, vm)
        self._set(vm.id, "Succeeded", "running")

    def _leaving(self, vm_id: str) -> bool:
        """Whether the machine is to be deleted while it boots: then nothing of it must stay."""
        vm = self._core.store.get(vm_id)
        return vm is None or vm.properties.get("provisioningState") == "Deleting"

    def _check_room(self, vm: Resource) -> None:
        room = self._limits.room(vm.body["location"], vm.internal["machine"]["size"])
        if room is not None and room < 1:
            raise allocation_failed((vm.body.get("zones") or [""])[0])

    def work_update(self, run: Run) -> None:
        vm = self._core.store.get(run.resource_id)
        if vm is None:
            return
        if run.args.get("restart"):
            self._machines.act("restart", vm)

        def change(vm: Resource) -> None:
            vm_disks.settle(vm)
            vm.properties["provisioningState"] = "Succeeded"
            vm.internal["since"] = clock.now()

        self._core.store.update(vm.id, change)

    def work_power(self, run: Run) -> None:
        self.change_power(run.resource_id, run.args["action"])

    def change_power(self, vm_id: str, action: str) -> None:
        """What an action does to the machine and to the VM's state. Raises ArmError if it fails; the VM is Failed
        then.
        """
        after, method = _POWER[action][2:4]
        vm = self._core.store.get(vm_id)
        if vm is None:
            return
        power = vm.internal.get("power", "")
        try:
            if after == "running" and action == "start":
                self._check_room(vm)
            if method and not (method == "restart" and power in ("stopped", "deallocated", "")):
                self._machines.act(method, vm)
        except ArmError as error:
            self._set(vm.id, "Failed", "deallocated" if power == "starting" else None, error)
            raise
        self._set(vm.id, "Succeeded", after or None)

    def work_delete(self, run: Run) -> None:
        vm = self._core.store.get(run.resource_id)
        if vm is not None:
            self.remove(vm)

    def remove(self, vm: Resource) -> None:
        """The machine and its row, and with them what is to be deleted with it; everything else is let go."""
        self._machines.farewell([vm])
        self._machines.act("delete", vm)
        network, store = self._core.service("network"), self._core.store
        entries = vm.properties.get("networkProfile", {}).get("networkInterfaces") or []
        with store.transaction():
            for entry in entries:
                if store.get(entry["id"]) is None:
                    continue
                network.detach(entry["id"])
                if (entry.get("properties") or {}).get("deleteOption") == "Delete":
                    self._delete_nic(entry["id"])
            for public_id in vm.internal.get("owned_addresses", []):
                network.delete_public_address(public_id)
            vm_disks.let_go(self._core, vm)
            self._machines.forget([vm.id])
            store.delete(vm.id)

    def _delete_nic(self, nic_id: str) -> None:
        network, nic = self._core.service("network"), self._core.store.get(nic_id)
        configurations = nic.properties.get("ipConfigurations", []) if nic else []
        network.delete_nic(nic_id)
        for configuration in configurations:
            address = configuration.get("properties", {}).get("publicIPAddress") or {}
            options = (address.get("properties") or {}).get("deleteOption")
            known = self._core.store.get(address.get("id", "")) if address.get("id") else None
            if known is not None and (options or known.properties.get("deleteOption")) == "Delete":
                network.delete_public_address(address["id"])
