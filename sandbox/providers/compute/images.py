# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/images: captured from a generalised virtual machine, or declared from disks and snapshots."""

from __future__ import annotations

from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import IMAGES, Run
from sandbox.arm.store import Resource

from .machines import Machines
from .shapes import Json, canonical, required, tidy
from .sizes import normal_location
from .sources import IMAGE, driver_image_users, lookup
from .writes import delete_later


class Images:
    """Handlers of images."""

    def __init__(self, core: Core, machines: Machines) -> None:
        self._core, self._machines = core, machines

    def register(self) -> None:
        core = self._core
        core.router.resource(
            IMAGE,
            get=core.get_handler,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=core.list_handler,
            list_all=core.list_handler,
        )
        core.operations.register("compute.image.put", self.work_put)
        core.operations.register("compute.image.delete", self.work_delete)
        core.on_group_delete(IMAGE, 20, self.remove)

    def put(self, request: Request) -> Answer:
        given = canonical(tidy(request.body))
        location = normal_location(required(given, "location"))
        properties = given.get("properties") or {}
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            source = (properties.get("sourceVirtualMachine") or {}).get("id", "")
            if known is not None:
                return self._update(request, known, given)
            vm = self._source(source, location) if source else None
            resource = self._new(request.id, given, location, vm)
            self._core.store.put(resource)
            return self._begin(request, resource, 201, {"capture": vm.id if vm else ""}, 25 if vm else 5)

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            return self._update(request, self._core.require(request.id), request.body)

    def _update(self, request: Request, known: Resource, given: Json) -> Answer:
        """Only the tags of an image can change."""
        source = ((given.get("properties") or {}).get("sourceVirtualMachine") or {}).get("id", "")
        own = known.properties.get("sourceVirtualMachine", {}).get("id", "")
        if source and source.lower() != own.lower():
            target = "sourceVirtualMachine.id"
            raise ArmError(
                409, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target=target
            )
        if "tags" in given or request.method == "PUT":
            known.body["tags"] = given.get("tags") or {}
        known.properties["provisioningState"] = "Updating"
        self._core.store.put(known)
        return self._begin(request, known, 200, {"capture": ""}, 5)

    def _begin(self, request: Request, image: Resource, status: int, args: Json, latency: float) -> Answer:
        return self._core.operations.begin(
            request,
            "compute.image.put",
            image.id,
            style=IMAGES,
            status=status,
            body=image.body,
            headers="aao",
            location=image.body["location"],
            latency=latency,
            args=args,
        )

    def _source(self, vm_id: str, location: str) -> Resource:
        """The virtual machine to capture: it must be there, generalised and not running."""
        vm = self._core.store.get(vm_id)
        if vm is None or vm.body["location"] != location:
            message = f"The source virtual machine '{vm_id}' cannot be found in '{location}' region."
            raise ArmError(404, "NotFound", message, target="sourceVirtualMachine")
        name = vm.rid.name
        if not vm.internal.get("generalized"):
            message = f"The operation 'Create Image' requires the Virtual Machine '{name}' to be Generalized."
            raise ArmError(409, "OperationNotAllowed", message)
        if vm.internal.get("power") not in ("stopped", "deallocated"):
            message = (
                f"The operation 'Create Image' requires the Virtual Machine '{name}' to be stopped or deallocated."
            )
            raise ArmError(409, "OperationNotAllowed", message)
        return vm

    def _new(self, rid: ResourceId, given: Json, location: str, vm: Resource | None) -> Resource:
        asked = given.get("properties") or {}
        storage = _captured_storage(vm) if vm else self._declared_storage(asked.get("storageProfile") or {})
        resilient = (asked.get("storageProfile") or {}).get("zoneResilient")
        storage |= {"zoneResilient": resilient} if resilient is not None else {}
        generation = asked.get("hyperVGeneration") or (vm.internal["generation"] if vm else "V1")
        if vm is not None and generation != vm.internal["generation"]:
            message = (
                f"The hyperVGeneration '{generation}' of the image does not match the one of the source virtual "
                "machine, "
                f"'{vm.internal['generation']}'."
            )
            raise invalid_parameter("hyperVGeneration", message)
        properties: Json = {
            **({"sourceVirtualMachine": {"id": vm.id}} if vm else {}),
            "storageProfile": storage,
            "provisioningState": "Creating",
            "hyperVGeneration": generation,
        }
        body: Json = {
            "name": rid.name,
            "id": str(rid),
            "type": IMAGE,
            "location": location,
            "tags": given.get("tags") or {},
            "properties": properties,
        }
        internal: dict[str, Any] = {"captured": vm is not None}
        if vm is not None:
            internal.update({key: vm.internal.get(key, "") for key in ("os_name", "os_version", "architecture")})
        return Resource(str(rid), body, internal)

    def _declared_storage(self, storage: Json) -> Json:
        """The storage profile of an image that is made of disks, snapshots or blobs."""
        disk = storage.get("osDisk")
        if not disk:
            raise invalid_parameter(
                "storageProfile.osDisk", "Required parameter 'storageProfile.osDisk' is missing (null)."
            )
        shown: Json = {"osDisk": {**disk, **_disk_defaults(disk)}, "dataDisks": []}
        shown["dataDisks"] = [{**entry, **_disk_defaults(entry)} for entry in storage.get("dataDisks") or []]
        return shown

    def delete(self, request: Request) -> Answer:
        return delete_later(self._core, request, "compute.image.delete", 5)

    # works

    def work_put(self, run: Run) -> None:
        if run.args["capture"]:
            vm = self._core.store.get(run.args["capture"])
            if vm is None:
                raise ArmError(404, "NotFound", f"The source virtual machine '{run.args['capture']}' was not found.")
            self._machines.capture(vm, run.resource_id)

        def change(image: Resource) -> None:
            image.properties["provisioningState"] = "Succeeded"
            storage = image.properties["storageProfile"]
            for disk in [storage["osDisk"], *storage["dataDisks"]]:
                self._measure(disk)

        self._core.store.update(run.resource_id, change)

    def _measure(self, disk: Json) -> None:
        """The size of an image's disk is the one of what it is made of."""
        if disk.get("diskSizeGB"):
            return
        source = (disk.get("managedDisk") or disk.get("snapshot") or {}).get("id", "")
        known = lookup(self._core, source) if source else None
        disk["diskSizeGB"] = known.properties.get("diskSizeGB", 30) if known else 30

    def work_delete(self, run: Run) -> None:
        image = self._core.store.get(run.resource_id)
        if image is not None:
            self.remove(image)

    def remove(self, image: Resource) -> None:
        """The image and what the driver keeps of it; machines made from it run on."""
        self._core.store.delete(image.id)
        if image.internal.get("captured") and not driver_image_users(self._core, image.id):
            self._machines.delete_image(image.id)


def _disk_defaults(disk: Json) -> Json:
    return {
        "caching": disk.get("caching") or "None",
        "storageAccountType": disk.get("storageAccountType") or "Standard_LRS",
    }


def _captured_storage(vm: Resource) -> Json:
    """The storage profile of an image of a virtual machine."""
    storage = vm.properties["storageProfile"]

    def captured(disk: Json) -> Json:
        managed = disk.get("managedDisk", {})
        if "vhd" in disk:
            gib = int(disk.get("diskSizeGB", 30))
            blob = {"diskSizeGB": gib, "blobUri": disk["vhd"]["uri"], "caching": disk.get("caching", "None")}
            return {**blob, "storageAccountType": "Standard_LRS"}
        return {
            "managedDisk": {"id": managed.get("id", "")},
            "caching": disk.get("caching", "None"),
            "storageAccountType": managed.get("storageAccountType", "Standard_LRS"),
        }

    disk = {"osType": storage["osDisk"]["osType"], "osState": "Generalized", **captured(storage["osDisk"])}
    return {
        "osDisk": disk,
        "dataDisks": [{"lun": entry["lun"], **captured(entry)} for entry in storage["dataDisks"]],
    }
