# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure does for a machine beside its life: boot diagnostics, patches, data disks by their ids.

Boot diagnostics are links that lead nowhere; a machine never lacks a patch.
"""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import vm_disks
from .extensions import COMMANDS
from .limits import INSTANCE, VM
from .shapes import Json, refuse_while_deleting, required, tidy
from .sources import lookup
from .virtual_machines import VirtualMachines


class VmServices:
    """Handlers of actions that leave the machine itself alone."""

    def __init__(self, core: Core, vms: VirtualMachines) -> None:
        self._core, self._vms = core, vms

    def register(self) -> None:
        router, operations = self._core.router, self._core.operations
        for kind in (VM, INSTANCE):
            router.action(kind, "retrieveBootDiagnosticsData", self.boot_diagnostics)
        router.action(VM, "capture", self.capture)
        router.action(VM, "assessPatches", self.assess)
        router.action(VM, "installPatches", self.install)
        router.action(VM, "attachDetachDataDisks", self.change_disks)
        operations.register("compute.vm.capture", self.work_capture)
        operations.register("compute.vm.assess", self.work_assess)
        operations.register("compute.vm.install", self.work_install)
        operations.register("compute.vm.disks", self.work_disks)

    def boot_diagnostics(self, request: Request) -> Answer:
        machine = self._core.require(request.id)
        boot = (machine.properties.get("diagnosticsProfile") or {}).get("bootDiagnostics") or {}
        if not boot.get("enabled"):
            message = f"Boot diagnostics are not enabled on '{machine.rid.name}'."
            raise ArmError(409, "OperationNotAllowed", message)
        host = f"https://md-{machine.properties['vmId'][:8]}.blob.storage.azure.net/bootdiagnostics"
        name = f"{host}/{machine.rid.name}.{machine.properties['vmId']}"
        links = {"consoleScreenshotBlobUri": "screenshot.bmp", "serialConsoleLogBlobUri": "serialconsole.log"}
        return Answer(200, {key: f"{name}.{kind}?sv=2018-03-28&sr=b&sp=r" for key, kind in links.items()})

    # capture

    def capture(self, request: Request) -> Answer:
        """Copy the blobs of a generalised machine's unmanaged disks; the result is a template that uses the copies."""
        given = tidy(request.body or {})
        prefix, container = required(given, "vhdPrefix"), required(given, "destinationContainerName")
        with self._core.store.transaction():
            machine = self._core.require(request.id)
            refuse_while_deleting(machine.body)
            name = machine.rid.name
            if "vhd" not in machine.properties["storageProfile"]["osDisk"]:
                message = (
                    "The Capture action is only supported on a Virtual Machine with blob based disks. Please use the "
                    "'Image' resource APIs to create an Image from a managed Virtual Machine."
                )
                raise ArmError(409, "OperationNotAllowed", message)
            if not machine.internal.get("generalized"):
                message = f"Operation 'capture' is not allowed on VM '{name}' since the VM is not generalized."
                raise ArmError(409, "OperationNotAllowed", message)
            return self._core.operations.begin(
                request, "compute.vm.capture", machine.id, style=COMMANDS, location=machine.body["location"],
                latency=10, args={"prefix": prefix, "container": container},
            )  # fmt: skip

    def work_capture(self, run: Run) -> Any:
        machine = self._core.store.get(run.resource_id)
        return _captured(machine, run.args["prefix"], run.args["container"]) if machine is not None else None

    # patches

    def assess(self, request: Request) -> Answer:
        return self._patches(request, "compute.vm.assess", 60.0)

    def install(self, request: Request) -> Answer:
        required(request.body or {}, "rebootSetting")
        return self._patches(request, "compute.vm.install", 300.0)

    def _patches(self, request: Request, work: str, latency: float) -> Answer:
        with self._core.store.transaction():
            machine = self._core.require(request.id)
            refuse_while_deleting(machine.body)
            if machine.internal.get("power") != "running":
                message = f"The operation needs the VM '{machine.rid.name}' to be running."
                raise ArmError(409, "OperationNotAllowed", message)
            location = machine.body["location"]
            return self._core.operations.begin(
                request, work, machine.id, style=COMMANDS, location=location, latency=latency
            )

    def work_assess(self, _unused: Run) -> Json:
        return {
            "status": "Succeeded",
            "assessmentActivityId": new_guid(),
            "rebootPending": False,
            "criticalAndSecurityPatchCount": 0,
            "otherPatchCount": 0,
            "startDateTime": stamp(clock.now()),
            "availablePatches": [],
        }

    def work_install(self, _unused: Run) -> Json:
        counts = ("excluded", "notSelected", "pending", "installed", "failed")
        return {
            "status": "Succeeded",
            "installationActivityId": new_guid(),
            "rebootStatus": "NotNeeded",
            "maintenanceWindowExceeded": False,
            **{f"{name}PatchCount": 0 for name in counts},
            "patches": [],
            "startDateTime": stamp(clock.now()),
        }

    # data disks

    def change_disks(self, request: Request) -> Answer:
        """Attach and detach managed disks by their ids: an update of the machine, whose result is its disks."""
        given = tidy(request.body or {})
        with self._core.store.transaction():
            machine = self._core.require(request.id)
            refuse_while_deleting(machine.body)
            disks = self._wanted(machine, given)
            changes = {"properties": {"storageProfile": {"dataDisks": disks}}}
            self._vms.change_disks(machine, changes)
            present = self._core.require(machine.id)
            return self._core.operations.begin(
                request, "compute.vm.disks", machine.id, style=COMMANDS, location=machine.body["location"], latency=20,
                status=200, headers="aao", body=present.properties["storageProfile"],
            )  # fmt: skip

    def _wanted(self, machine: Resource, given: Json) -> list[Json]:
        """The data disks after the request. 400 for disks that are not there, 409 if no lun is free."""
        gone = {ids.key(entry.get("diskId", "")) for entry in given.get("dataDisksToDetach") or []}
        present = machine.properties["storageProfile"]["dataDisks"]
        own = {ids.key(disk.get("managedDisk", {}).get("id", "")) for disk in present}
        for missing in gone - own:
            raise invalid_parameter("dataDisksToDetach.diskId", f"The disk '{missing}' is not attached to the VM.")
        disks: list[Json] = [disk for disk in present if ids.key(disk.get("managedDisk", {}).get("id", "")) not in gone]
        for entry in given.get("dataDisksToAttach") or []:
            disk_id = entry.get("diskId", "")
            if lookup(self._core, disk_id) is None:
                raise invalid_parameter("dataDisksToAttach.diskId", f"The disk '{disk_id}' was not found.")
            used = {disk["lun"] for disk in disks}
            lun = entry.get("lun", next(number for number in range(len(used) + 1) if number not in used))
            if lun in used:
                message = f"A disk at LUN {lun} already exists."
                raise ArmError(409, "OperationNotAllowed", message, target="dataDisks")
            kept = {key: entry[key] for key in ("caching", "deleteOption", "writeAcceleratorEnabled") if key in entry}
            disks.append({"lun": lun, "createOption": "Attach", "managedDisk": {"id": disk_id}, **kept})
        return disks

    def work_disks(self, run: Run) -> Any:
        def change(machine: Resource) -> None:
            vm_disks.settle(machine)
            machine.properties["provisioningState"] = "Succeeded"
            machine.internal["since"] = clock.now()

        machine = self._core.store.update(run.resource_id, change)
        return machine.properties["storageProfile"] if machine is not None else None


def _captured(machine: Resource, prefix: str, container: str) -> Json:
    """The template that a capture answers: it makes a machine of the copied blob."""
    disk = machine.properties["storageProfile"]["osDisk"]
    account = disk["vhd"]["uri"].split("/")[2]
    blob = f"{prefix}-osDisk.{new_guid()}.vhd"
    parameters = {
        "vmName": {"type": "string"},
        "vmSize": {"type": "string", "defaultValue": machine.properties["hardwareProfile"]["vmSize"]},
        "adminUserName": {"type": "string"},
        "adminPassword": {"type": "securestring"},
        "networkInterfaceId": {"type": "string"},
    }
    copied: Json = {
        "osType": disk.get("osType", "Linux"),
        "name": blob,
        "createOption": "FromImage",
        "image": {"uri": f"https://{account}/system/Microsoft.Compute/Images/{container}/{blob}"},
        "vhd": {"uri": f"https://{account}/vmcontainer{new_guid()}/osDisk.{new_guid()}.vhd"},
        "caching": disk.get("caching", "ReadWrite"),
    }
    model = {
        "hardwareProfile": {"vmSize": "[parameters('vmSize')]"},
        "storageProfile": {"osDisk": copied},
        "osProfile": {
            "computerName": "[parameters('vmName')]",
            "adminUsername": "[parameters('adminUsername')]",
            "adminPassword": "[parameters('adminPassword')]",
        },
        "networkProfile": {"networkInterfaces": [{"id": "[parameters('networkInterfaceId')]"}]},
        "provisioningState": 0,
    }
    own = {"name": "[parameters('vmName')]", "type": VM, "location": machine.body["location"]}
    return {
        "$schema": "http://schema.management.azure.com/schemas/2014-04-01-preview/VM_IP.json",
        "contentVersion": "1.0.0.0",
        "parameters": parameters,
        "resources": [{**own, "apiVersion": "2022-03-01", "properties": model}],
    }
