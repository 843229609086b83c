# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of virtual machines: made with them, attached to them, let go, and what state they tell.

Unmanaged disks (``vhd``: a blob in a storage account) are no resources; here they are only words in the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource

from . import vm_shape
from .disks import attached_disk
from .shapes import ImageFacts, Json
from .sizes import Size

ACCOUNT = "Microsoft.Storage/storageAccounts"


def of_machine(vm: Resource) -> Iterator[Json]:
    """The entries of the managed disks in a machine's ``storageProfile``, the OS disk first."""
    storage = vm.properties["storageProfile"]
    yield from (disk for disk in [storage["osDisk"], *storage["dataDisks"]] if "managedDisk" in disk)


def attach_all(core: Core, vm: Resource, image: ImageFacts | None) -> None:
    """Make the disks that come with a new machine; take those that it attaches. Part of the running transaction."""
    storage = vm.properties["storageProfile"]
    disk = storage["osDisk"]
    if disk["createOption"] == "Attach" and "managedDisk" in disk:
        _take(core, vm, disk, "osDisk")
        _boot_from(core, vm, disk["managedDisk"]["id"])
    elif image is not None and "managedDisk" in disk:
        kind, gib = disk["managedDisk"]["storageAccountType"], int(disk.get("diskSizeGB", image.gib))
        reference = storage.get("imageReference")
        made = attached_disk(
            vm.body, disk["name"], kind, gib, os=image.os, generation=image.generation, image=reference
        )
        core.store.put(made)
    for entry in storage["dataDisks"]:
        attach(core, vm, entry)


def _boot_from(core: Core, vm: Resource, disk_id: str) -> None:
    """What the generation of an attached OS disk makes of the machine."""
    known = core.store.get(disk_id)
    generation = str(known.properties.get("hyperVGeneration", "V1")) if known is not None else "V1"
    vm.internal["generation"] = generation
    if generation == "V2":
        vm.properties["storageProfile"].setdefault("diskControllerType", "SCSI")


def attach(core: Core, vm: Resource, entry: Json) -> None:
    """Make or take one data disk, or let it go if it is to be detached. 404 or 409 if it cannot be had."""
    if "managedDisk" not in entry:
        return
    known = core.store.get(entry["managedDisk"]["id"])
    if entry.get("toBeDetached"):
        if known is not None:
            _free(core, known)
    elif known is None and entry["createOption"] != "Attach":
        kind = entry["managedDisk"]["storageAccountType"]
        core.store.put(attached_disk(vm.body, entry["name"], kind, int(entry.get("diskSizeGB", 32))))
    else:
        _take(core, vm, entry, "dataDisk")


def change(core: Core, machine: Resource, storage: Json, size: Size) -> None:
    """Give a machine the data disks of ``storage``. The caller writes the machine, and ``settle`` ends it."""
    own = machine.properties["storageProfile"]
    own["dataDisks"] = vm_shape.data_disks(machine.rid, own["dataDisks"], storage, size)
    for entry in own["dataDisks"]:
        attach(core, machine, entry)
    machine.internal["own_disks"] = True


def settle(machine: Resource) -> None:
    """Data disks that were to be detached are."""
    storage = machine.properties["storageProfile"]
    storage["dataDisks"] = [disk for disk in storage["dataDisks"] if not disk.get("toBeDetached")]


def _take(core: Core, vm: Resource, entry: Json, target: str) -> None:
    known = core.store.get(entry["managedDisk"].get("id", ""))
    if known is None:
        message = f"Disk {entry['name']} was not found."
        raise ArmError(404, "NotFound", message, target=f"{target}.managedDisk.id")
    owner = known.body.get("managedBy", vm.id)
    if ids.key(owner) != ids.key(vm.id):
        message = f"Disk {known.id} already belongs to VM {owner}."
        raise ArmError(409, "AttachDiskWhileBeingDetached", message, target=target)
    entry["managedDisk"]["storageAccountType"] = known.body["sku"]["name"]
    entry["diskSizeGB"] = known.properties["diskSizeGB"]
    known.body["managedBy"], known.properties["diskState"] = vm.id, "Attached"
    core.store.put(known)


def _free(core: Core, disk: Resource) -> None:
    disk.body.pop("managedBy", None)
    disk.properties["diskState"] = "Unattached"
    core.store.put(disk)


def let_go(core: Core, vm: Resource) -> None:
    """Delete or free the disks of a machine that is deleted."""
    for entry in of_machine(vm):
        known = core.store.get(entry["managedDisk"].get("id", ""))
        if known is None:
            continue
        if entry.get("deleteOption") == "Delete":
            core.store.delete(known.id)
        else:
            _free(core, known)


def show(core: Core, vm: Resource, state: str) -> None:
    """Let the disks of a machine tell ``Attached`` or, while it is deallocated, ``Reserved``."""
    for entry in of_machine(vm):
        known = core.store.get(entry["managedDisk"].get("id", ""))
        if known is not None and known.properties.get("diskState") != state and "managedBy" in known.body:
            known.properties["diskState"] = state
            core.store.put(known)


def manage(core: Core, vm: Resource) -> None:
    """Make managed disks of a machine's unmanaged ones. The caller writes the machine."""
    storage = vm.properties["storageProfile"]
    for entry in [storage["osDisk"], *storage["dataDisks"]]:
        if "vhd" not in entry:
            continue
        kind = _account_kind(core, vm, entry.pop("vhd").get("uri", ""))
        name = entry["name"]
        gib, own = int(entry.get("diskSizeGB", 32)), entry is storage["osDisk"]
        made = attached_disk(
            vm.body, name, kind, gib,
            os=storage["osDisk"].get("osType", "Linux") if own else "",
            generation=vm.internal.get("generation", "V1") if own else "",
        )  # fmt: skip
        made.properties["diskState"] = "Reserved"
        core.store.put(made)
        entry["managedDisk"] = {"storageAccountType": kind, "id": made.id}
        entry.setdefault("diskSizeGB", gib)


def _account_kind(core: Core, vm: Resource, blob: str) -> str:
    """What a managed disk becomes that is made of a blob: Premium if that is what the account of the blob is."""
    name = (urlsplit(blob).hostname or "").partition(".")[0]
    for account in core.store.list(ACCOUNT, subscription=vm.rid.subscription):
        if account.rid.name.lower() == name and account.body["sku"]["name"].startswith("Premium"):
            return "Premium_LRS"
    return "Standard_LRS"
