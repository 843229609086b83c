# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines: from a request body to what is stored and answered. Pure."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from sandbox.arm.core import new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.ids import ResourceId
from sandbox.arm.operations import stamp

from .shapes import ImageFacts, Json, data_disk, disk_controller, hex32, merge, os_disk, os_profile, spot_profile
from .sizes import Size

VM = "Microsoft.Compute/virtualMachines"
_SHOWN_BY_REQUEST = (
    "availabilitySet",
    "proximityPlacementGroup",
    "additionalCapabilities",
    "securityProfile",
    "diagnosticsProfile",
    "licenseType",
    "host",
    "hostGroup",
    "scheduledEventsProfile",
    "scheduledEventsPolicy",
    "capacityReservation",
    "applicationProfile",
    "virtualMachineScaleSet",
    "platformFaultDomain",
    "extensionsTimeBudget",
    "schedulingPolicy",
)


def storage_type(size: Size, image: ImageFacts | None = None) -> str:
    """The kind of disk that a machine gets unless it asks for another: the image's own, else what the size can."""
    if image is not None and image.storage:
        return image.storage
    return "Premium_LRS" if size.premium else "Standard_LRS"


def data_storage(entry: Json, size: Size, image: ImageFacts | None) -> str:
    """The same of a data disk."""
    if image is not None and entry.get("createOption") == "FromImage":
        return image.storage_of(entry.get("lun", 0)) or storage_type(size)
    return storage_type(size)


def new_body(rid: ResourceId, given: Json, location: str, size: Size, image: ImageFacts | None, now: float) -> Json:
    """The body of a new virtual machine, with the disks that it will have. ``given`` has no secrets in it."""
    asked = given.get("properties", {})
    storage = asked.get("storageProfile", {})
    group = rid.group_id
    reference = dict(storage.get("imageReference") or {})
    if image is not None and image.exact_version:
        reference["exactVersion"] = image.exact_version
    disk = os_disk(storage.get("osDisk") or {}, image, storage_type=storage_type(size, image), scale_set=False)
    attached = disk.get("managedDisk", {}).get("id", "") if disk["createOption"] == "Attach" else ""
    disk.setdefault("name", attached.rpartition("/")[2] or f"{rid.name}_OsDisk_1_{hex32()}")
    if "managedDisk" in disk:
        disk["managedDisk"].setdefault("id", f"{group}/providers/Microsoft.Compute/disks/{disk['name']}")
    asked_disks = with_image_disks(storage.get("dataDisks") or [], image)
    disks = [data_disk(entry, storage_type=data_storage(entry, size, image), scale_set=False) for entry in asked_disks]
    name_data_disks(rid, disks)
    profile = {"computerName": rid.name, **(asked.get("osProfile") or {})}
    properties: Json = {
        "hardwareProfile": {**asked.get("hardwareProfile", {}), "vmSize": size.name},
        "provisioningState": "Creating",
        "vmId": new_guid(),
        **{key: asked[key] for key in _SHOWN_BY_REQUEST if key in asked},
        "storageProfile": {
            **({"imageReference": reference} if reference else {}),
            "osDisk": disk,
            "dataDisks": disks,
            **disk_controller(storage, image),
        },
        **({"osProfile": os_profile(profile, disk["osType"], scale_set=False)} if asked.get("osProfile") else {}),
        "networkProfile": _network(asked.get("networkProfile") or {}),
        **spot_profile(asked),
        "timeCreated": stamp(now),
    }
    return {
        "name": rid.name,
        "id": str(rid),
        "type": VM,
        "location": location,
        "tags": given.get("tags") or {},
        **{key: given[key] for key in ("zones", "plan", "extendedLocation", "placement") if given.get(key)},
        "properties": properties,
        "etag": '"1"',
    }


def _network(asked: Json) -> Json:
    """A ``networkProfile`` without the empty objects that templates leave where nothing was given, and with what
    becomes of the interfaces.
    """
    entries = asked.get("networkInterfaces")
    if entries is None:
        return asked
    tidied = [{key: value for key, value in entry.items() if key != "properties"} for entry in entries]
    for entry, given in zip(tidied, entries, strict=True):
        if given.get("properties"):
            entry["properties"] = {"deleteOption": "Detach", **given["properties"]}
    return {**asked, "networkInterfaces": tidied}


def name_data_disks(rid: ResourceId, disks: list[Json]) -> None:
    """Give data disks names and ids where they have none yet."""
    for number, disk in enumerate(disks, start=2):
        managed = disk.get("managedDisk")
        if managed is None:
            continue
        if "id" in managed:
            disk.setdefault("name", managed["id"].rsplit("/", 1)[1])
        label = f"lun_{disk['lun']}_{number}" if disk.get("createOption") == "FromImage" else f"disk{number}"
        disk.setdefault("name", f"{rid.name}_{label}_{hex32()}")
        managed.setdefault("id", f"{rid.group_id}/providers/Microsoft.Compute/disks/{disk['name']}")


def with_image_disks(asked: list[Json], image: ImageFacts | None) -> list[Json]:
    """The data disks that a machine gets: those asked for, and those that its image brings along."""
    brought = {lun: (size, caching) for lun, size, caching, _unused in image.data} if image is not None else {}
    disks = []
    for entry in asked:
        found = brought.pop(entry.get("lun", 0), None)
        from_image = entry.get("createOption") == "FromImage" and found is not None
        disks.append({"diskSizeGB": found[0], "caching": found[1], **entry} if from_image and found else entry)
    more = [
        {"lun": lun, "createOption": "FromImage", "diskSizeGB": size, "caching": caching}
        for lun, (size, caching) in sorted(brought.items())
    ]
    return [*disks, *more]


def disk_names(body: Json) -> set[str]:
    """The disks that a machine has."""
    storage = body["properties"]["storageProfile"]
    return {disk.get("name", "") for disk in [storage["osDisk"], *storage["dataDisks"]]}


def accepted(body: Json, asked: Json, known: Collection[str] = ()) -> Json:
    """What the answer to a write shows: disks that are only just asked for (not in ``known``) have no id, and only
    names that were given.
    """
    shown = copy.deepcopy(body)
    storage, wanted = shown["properties"]["storageProfile"], asked.get("properties", {}).get("storageProfile", {})
    by_lun = {disk.get("lun", 0): disk for disk in wanted.get("dataDisks", [])}
    pairs = [(storage["osDisk"], wanted.get("osDisk") or {})]
    pairs += [(disk, by_lun.get(disk["lun"], disk)) for disk in storage["dataDisks"]]
    for disk, request in pairs:
        if disk.get("name") in known or disk.get("createOption") == "Attach" or "managedDisk" not in disk:
            continue
        if "id" not in (request.get("managedDisk") or {}):
            disk["managedDisk"].pop("id", None)
        if "name" not in request:
            disk.pop("name", None)
    return shown


def not_allowed(target: str) -> ArmError:
    return ArmError(409, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target=target)


def _same(asked: Any, known: Any) -> bool:
    """Whether a request asks for nothing new: what it leaves out stays, ids and names in any case."""
    if isinstance(asked, dict) and isinstance(known, dict):
        return all(_same(value, known.get(key)) for key, value in asked.items())
    if isinstance(asked, list) and isinstance(known, list):
        return len(asked) == len(known) and all(_same(a, b) for a, b in zip(asked, known, strict=True))
    if isinstance(asked, str) and isinstance(known, str):
        return asked.strip().casefold() == known.strip().casefold()
    return bool(asked == known)


def _spot(priority: str) -> str:
    """Low is what Spot was called before: one may become the other."""
    return "Spot" if priority == "Low" else priority


def check_unchanged(known: Json, asked: Json, secrets: Json, kept: Json) -> None:
    """409 PropertyChangeNotAllowed, as Azure does, for what only a new machine can have.

    ``secrets`` are the ones of the request, ``kept`` those that the machine was made with.
    """
    have, want = known["properties"], asked.get("properties", {})
    profile = dict(want.get("osProfile") or {})
    shown = have.get("osProfile", {})
    if secrets.get("customData", kept.get("customData", "")) != kept.get("customData", ""):
        raise not_allowed("osProfile.customData")
    for key in ("computerName", "adminUsername"):
        if key in profile and not _same(profile[key], shown.get(key)):
            raise not_allowed(f"osProfile.{key}")
    keys = ((profile.get("linuxConfiguration") or {}).get("ssh") or {}).get("publicKeys")
    if keys is not None and not _same(keys, shown.get("linuxConfiguration", {}).get("ssh", {}).get("publicKeys", [])):
        raise not_allowed("linuxConfiguration.ssh.publicKeys")
    storage = want.get("storageProfile") or {}
    disk, own = storage.get("osDisk") or {}, have["storageProfile"]["osDisk"]
    for key in ("name", "osType", "createOption"):
        if key in disk and not _same(disk[key], own.get(key)):
            raise not_allowed(f"osDisk.{key}")
    reference = {key: value for key, value in (storage.get("imageReference") or {}).items() if key != "exactVersion"}
    if reference and not _same(reference, have["storageProfile"].get("imageReference")):
        raise not_allowed("imageReference")
    if asked.get("zones") is not None and asked["zones"] != known.get("zones", []):
        raise not_allowed("zones")
    if "priority" in want and _spot(want["priority"]) != _spot(have.get("priority", "Regular")):
        raise not_allowed("priority")


def check_running(known: Json, asked: Json) -> None:
    """409 OperationNotAllowed for what can only change while a machine is deallocated: price and placement."""
    have, want, name = known["properties"], asked.get("properties", {}), known["name"]
    if want.get("billingProfile") and have.get("priority") in ("Spot", "Low"):
        before = (have.get("billingProfile") or {}).get("maxPrice", -1)
        if want["billingProfile"].get("maxPrice", before) != before:
            more = "For more information, see https://aka.ms/low-priority/errormessages."
            message = (
                f"Billing Profile change is not allowed when the VM '{name}' is currently allocated. Please deallocate "
                f"and try again. {more}"
            )
            detail = {"code": "OperationNotAllowed", "message": message, "target": name}
            brief = f"Billing Profile change is not allowed. {more}"
            raise ArmError(409, "OperationNotAllowed", brief, details=[detail])
    placed = want.get("proximityPlacementGroup") or {}
    if placed and not _same(placed, have.get("proximityPlacementGroup")):
        message = (
            f"Updating proximity placement group of VM {name} is not allowed while the VM is running. Please "
            "stop/deallocate the VM and retry the operation."
        )
        raise ArmError(409, "OperationNotAllowed", message)


def updated(rid: ResourceId, known: Json, asked: Json, size: Size) -> Json:
    """The body after an update. A detached data disk is still shown, with ``toBeDetached``."""
    body = copy.deepcopy(known)
    for key in ("tags", "plan"):
        if key in asked:
            body[key] = asked[key] or {}
    want, have = asked.get("properties", {}), body["properties"]
    for key in _SHOWN_BY_REQUEST:
        if key in want:
            have[key] = merge(have.get(key, {}), want[key])
    for key in ("priority", "evictionPolicy", "billingProfile"):
        if key in want:
            have[key] = want[key]
    have["hardwareProfile"] = merge(have["hardwareProfile"], want.get("hardwareProfile") or {})
    have["hardwareProfile"]["vmSize"] = size.name
    if want.get("networkProfile"):
        have["networkProfile"] = _network(want["networkProfile"])
    if want.get("osProfile"):
        have["osProfile"] = merge(have.get("osProfile", {}), want["osProfile"])
    storage = want.get("storageProfile") or {}
    disk = have["storageProfile"]["osDisk"]
    for key in ("caching", "diskSizeGB", "deleteOption", "writeAcceleratorEnabled"):
        if (storage.get("osDisk") or {}).get(key) is not None:
            disk[key] = storage["osDisk"][key]
    if "dataDisks" in storage:
        have["storageProfile"]["dataDisks"] = data_disks(rid, have["storageProfile"]["dataDisks"], storage, size)
    return body


def data_disks(rid: ResourceId, known: list[Json], storage: Json, size: Size) -> list[Json]:
    """The data disks that a write asks for, and those that it detaches. They keep what it does not name."""
    disks = []
    for entry in storage["dataDisks"] or []:
        disk = data_disk(entry, storage_type=storage_type(size), scale_set=False)
        own = next((item for item in known if item["lun"] == disk["lun"] and not item.get("toBeDetached")), None)
        if own is not None and entry.get("createOption") != "Attach":
            disk = merge(own, {key: value for key, value in entry.items() if value not in ({}, None)})
        disks.append(disk)
    name_data_disks(rid, disks)
    kept = {_which(disk) for disk in disks}
    gone = [{**disk, "toBeDetached": True} for disk in known if _which(disk) not in kept]
    return [*gone, *disks]


def without_detached(body: Json) -> Json:
    """What versions up to 2018 tell, which know no ``toBeDetached``."""
    storage = body["properties"]["storageProfile"]
    kept = [disk for disk in storage["dataDisks"] if not disk.get("toBeDetached")]
    return {**body, "properties": {**body["properties"], "storageProfile": {**storage, "dataDisks": kept}}}


def _which(disk: Json) -> str:
    """What tells a data disk from others: its id, or of an unmanaged one its blob."""
    where: str = (disk.get("managedDisk") or {}).get("id") or (disk.get("vhd") or {}).get("uri") or ""
    return where.lower()


def nothing_but_tags(before: Json, after: Json) -> bool:
    """Whether two bodies differ in tags at most: then Azure answers at once."""
    ignored = ("tags", "etag")
    return {key: value for key, value in before.items() if key not in ignored} == {
        key: value for key, value in after.items() if key not in ignored
    }


def shown(body: Json, internal: Json) -> Json:
    """What a GET answers: a deallocated machine does not tell its OS disk's size and kind.

    It does of a disk that is not managed, or was made a managed one since.
    """
    own = body["properties"]["storageProfile"]["osDisk"]
    if internal.get("power") != "deallocated" or "managedDisk" not in own or internal.get("converted"):
        return body
    copied = copy.deepcopy(body)
    disk = copied["properties"]["storageProfile"]["osDisk"]
    disk.pop("diskSizeGB", None)
    disk.get("managedDisk", {}).pop("storageAccountType", None)
    return copied


def nic_ids(body: Json) -> list[tuple[str, bool]]:
    """The network interfaces with whether each is the primary one; the only one is."""
    entries = body["properties"].get("networkProfile", {}).get("networkInterfaces") or []
    marked = [(entry["id"], bool((entry.get("properties") or {}).get("primary"))) for entry in entries if "id" in entry]
    if marked and not any(primary for _unused, primary in marked):
        marked[0] = (marked[0][0], True)
    return marked
