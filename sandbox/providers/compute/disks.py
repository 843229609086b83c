# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/disks and snapshots: basic managed disks, and the ones that come with machines."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import DISKS, Run, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock

from .shapes import ImageFacts, Json, canonical, merge, required, tidy
from .sizes import normal_location
from .sources import disk_image, lookup

DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"

# Premium disks: tier, up to GiB, IOPS, MB/s
_PREMIUM = (
    ("P1", 4, 120, 25),
    ("P2", 8, 120, 25),
    ("P3", 16, 120, 25),
    ("P4", 32, 120, 25),
    ("P6", 64, 240, 50),
    ("P10", 128, 500, 100),
    ("P15", 256, 1100, 125),
    ("P20", 512, 2300, 150),
    ("P30", 1024, 5000, 200),
    ("P40", 2048, 7500, 250),
    ("P50", 4096, 7500, 250),
    ("P60", 8192, 16000, 500),
    ("P70", 16384, 18000, 750),
    ("P80", 32767, 20000, 900),
)
# What a copy tells of what its source tells.
INHERITED = ("osType", "hyperVGeneration", "supportsHibernation", "supportedCapabilities", "securityProfile")
# Kinds whose rates are what was asked for.
MEASURED = ("UltraSSD_", "PremiumV2_")


def performance(sku: str, gib: int, given: Json) -> Json:
    """``diskIOPSReadWrite`` and ``diskMBpsReadWrite``, and for premium disks ``tier``.

    Of ultra and premium v2 disks they are what was asked for, of premium disks what the size or a higher tier gives.
    """
    if sku.startswith(MEASURED):
        ultra = sku.startswith("UltraSSD_")
        iops, rate = (max(100, gib), 13 if gib <= 16 else 25) if ultra else (3000, 125)
        rates = {"diskIOPSReadWrite": iops, "diskMBpsReadWrite": rate}
        if ultra:
            rates |= {"diskIOPSReadOnly": iops, "diskMBpsReadOnly": rate}
        return {**shared(given), **{key: given.get(key) or value for key, value in rates.items()}}
    if not sku.startswith("Premium_"):
        return {"diskIOPSReadWrite": 500, "diskMBpsReadWrite": 100 if sku.startswith("StandardSSD_") else 60}
    by_size = next((row for row in _PREMIUM if gib <= row[1]), _PREMIUM[-1])
    asked = next((row for row in _PREMIUM if row[0] == given.get("tier")), by_size)
    tier, _unused, iops, rate = max(by_size, asked, key=lambda row: row[1])
    return {"diskIOPSReadWrite": iops, "diskMBpsReadWrite": rate, "tier": tier}


def shared(given: Json) -> Json:
    """What measured disks tell of who else may have them."""
    return {"readOnly": given.get("readOnly", False), "maxShares": given.get("maxShares", 1)}


_TIERS = {"Premium": "Premium", "PremiumV2": "Premium", "UltraSSD": "Ultra"}


def sku_of(name: str) -> Json:
    return {"name": name, "tier": _TIERS.get(name.split("_")[0], "Standard")}


def finished(
    body: Json,
    *,
    now: float,
    source: Resource | None = None,
    image: ImageFacts | None = None,
    snapshot: bool = False,
) -> Json:
    """The body of a disk or snapshot when its creation is done, from the body that was accepted."""
    given = body["properties"]
    creation = dict(given.get("creationData") or {})
    gib = given.get("diskSizeGB")
    if source is not None:
        creation.setdefault("sourceUniqueId", source.properties.get("uniqueId", ""))
        gib = gib or source.properties.get("diskSizeGB")
        told = {key: source.properties[key] for key in INHERITED if key in source.properties}
        given = {**told, **given}
    if image is not None:
        gib = gib or image.gib
        of_image = _of_image(image)
        capabilities = {**of_image["supportedCapabilities"], **(given.get("supportedCapabilities") or {})}
        given = {**of_image, **given, "supportedCapabilities": capabilities}
    gallery = list((creation.get("galleryImageReference") or {}).values())
    if gallery:
        creation.setdefault("imageReference", {"id": gallery[0]})
    upload = creation.get("uploadSizeBytes")
    gib = int(gib or (-(-upload // 1024**3) if upload else 30))
    sku = sku_of(body.get("sku", {}).get("name", "Standard_LRS"))
    if sku["name"].startswith(MEASURED):
        creation.setdefault("logicalSectorSize", 4096)
    properties: Json = {
        **{key: value for key, value in given.items() if key not in ("tier", "isArmResource", "faultDomain")},
        "creationData": creation,
        "diskSizeGB": gib,
        **({} if snapshot else performance(sku["name"], gib, given)),
        "encryption": given.get("encryption") or {"type": "EncryptionAtRestWithPlatformKey"},
        **({"incremental": given.get("incremental", False)} if snapshot else {}),
        "networkAccessPolicy": given.get("networkAccessPolicy", "AllowAll"),
        "publicNetworkAccess": given.get("publicNetworkAccess", "Enabled"),
        "timeCreated": given.get("timeCreated") or stamp(now),
        "provisioningState": "Succeeded",
        "diskState": given.get("diskState") or _first_state(creation),
        "diskSizeBytes": gib * 1024**3,
        "uniqueId": given.get("uniqueId") or new_guid(),
    }
    if given.get("burstingEnabled"):
        properties.setdefault("burstingEnabledTime", stamp(now))
    return {**body, "sku": sku, "properties": properties}


def _of_image(image: ImageFacts) -> Json:
    """What a disk that is made of an image tells of it."""
    return _of_boot(image.os, image.generation, image.architecture)


def _of_boot(os: str, generation: str, architecture: str = "x64") -> Json:
    told: Json = {"osType": os, "hyperVGeneration": generation}
    if generation == "V2":
        capabilities = {"diskControllerTypes": "SCSI, NVMe", "acceleratedNetwork": True, "architecture": architecture}
        return {**told, "supportsHibernation": True, "supportedCapabilities": capabilities}
    return {**told, "supportedCapabilities": {"architecture": architecture}}


def _first_state(creation: Json) -> str:
    return "ReadyToUpload" if str(creation.get("createOption", "")).startswith("Upload") else "Unattached"


def attached_disk(
    vm: Json, name: str, sku: str, gib: int, *, os: str = "", generation: str = "", image: Json | None = None
) -> Resource:
    """The disk that comes with a machine. ``vm`` is the machine's body."""
    rid = ids.parse(vm["id"])
    disk_id = f"{rid.group_id}/providers/{DISK}/{name}"
    if image:
        creation: Json = {"createOption": "FromImage", "imageReference": {"id": _image_id(rid, vm["location"], image)}}
    else:
        creation = {"createOption": "Empty"}
    now = clock.now()
    body: Json = {
        "name": name,
        "id": disk_id,
        "type": DISK,
        "location": vm["location"],
        "tags": dict(vm.get("tags") or {}),
        **({"zones": vm["zones"]} if vm.get("zones") else {}),
        "managedBy": vm["id"],
        "sku": {"name": sku},
        "properties": {
            **(_of_boot(os, generation) if os else {}),
            "creationData": creation,
            "diskSizeGB": gib,
            "diskState": "Attached",
            "LastOwnershipUpdateTime": stamp(now),
        },
    }
    return Resource(disk_id, finished(body, now=now))


def _image_id(rid: ids.ResourceId, location: str, image: Json) -> str:
    """The id of the image that a reference means: platform images have one, too."""
    if image.get("id"):
        return str(image["id"])
    version = image.get("exactVersion") or image.get("version", "")
    return (
        f"/Subscriptions/{rid.subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers/"
        f"{image.get('publisher')}/ArtifactTypes/VMImage/Offers/{image.get('offer')}/Skus/{image.get('sku')}/Versions/"
        f"{version}"
    )


class Disks:
    """Handlers of disks (and of snapshots, which differ in little)."""

    def __init__(self, core: Core, kind: str) -> None:
        self._core = core
        self._kind = kind
        self._work = f"compute.{kind.rsplit('/', 1)[1]}"

    def register(self) -> None:
        core, kind = self._core, self._kind
        core.router.resource(
            kind,
            get=core.get_handler,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=core.list_handler,
            list_all=core.list_handler,
        )
        for action in ("beginGetAccess", "endGetAccess"):
            core.router.action(kind, action, partial(self.access, action))
        core.operations.register(f"{self._work}.put", self._finish)
        core.operations.register(f"{self._work}.access", self._access)
        core.operations.register(f"{self._work}.delete", self._remove)
        core.on_group_delete(kind, 30, lambda resource: core.store.delete(resource.id))

    def put(self, request: Request) -> Answer:
        body = canonical(tidy(request.body))
        required(body, "location")
        option = required(body, "properties.creationData.createOption")
        creation = body["properties"]["creationData"]
        source = creation.get("sourceResourceId") or creation.get("sourceUri", "")
        if option in ("Copy", "Restore", "CopyStart"):
            found = lookup(self._core, source)
            if found is None:
                message = f"The source resource '{source}' of '{request.id.name}' was not found."
                raise ArmError(404, "NotFound", message, target="creationData.sourceResourceId")
            creation["sourceUniqueId"] = found.properties.get("uniqueId", "")
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            return self._accept(request, known, body)

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._core.require(request.id)
            given = tidy(request.body)
            # Objects merge; tags are replaced as a whole.
            merged = merge(known.body, given)
            return self._accept(request, known, {**merged, **({"tags": given["tags"]} if "tags" in given else {})})

    def _accept(self, request: Request, known: Resource | None, body: Json) -> Answer:
        rid = request.id
        gib = body["properties"].get("diskSizeGB")
        if known is not None and gib and gib < known.properties.get("diskSizeGB", 0):
            message = "Change in disk size is not allowed: a disk can not be made smaller."
            raise ArmError(409, "OperationNotAllowed", message)
        shown: Json = {
            "name": rid.name,
            "id": str(rid),
            "type": self._kind,
            "location": normal_location(body["location"]),
            "tags": body.get("tags") or {},
            "sku": {"name": (body.get("sku") or {}).get("name", "Standard_LRS")},
            **{key: body[key] for key in ("zones", "extendedLocation") if body.get(key)},
            "properties": {**body["properties"], "provisioningState": "Updating"},
        }
        if shown["sku"]["name"].startswith("UltraSSD_") and "maxShares" in body["properties"]:
            shown["properties"] |= shared(body["properties"])
        if request.method == "PATCH":
            shown["sku"] = sku_of(shown["sku"]["name"])
        if known is not None and "managedBy" in known.body:
            shown["managedBy"] = known.body["managedBy"]
        if request.api_version < "2021":
            shown["properties"] |= {"isArmResource": True, **({"faultDomain": 0} if known is not None else {})}
        if not shown["sku"]["name"].startswith(MEASURED):
            for key in ("diskIOPSReadWrite", "diskMBpsReadWrite"):
                shown["properties"].pop(key, None)
        resource = known or Resource(str(rid), {})
        kept: Json = {
            key: known.properties[key]
            for key in ("timeCreated", "uniqueId", "diskState", "osType", "hyperVGeneration")
            if known is not None and key in known.properties
        }
        if known is not None and "supportedCapabilities" in known.properties:
            asked = shown["properties"].get("supportedCapabilities") or {}
            kept["supportedCapabilities"] = {**known.properties["supportedCapabilities"], **asked}
        resource.body = {**shown, "properties": {**shown["properties"], **kept}}
        self._core.store.put(resource)
        location = shown["location"]
        return self._core.operations.begin(
            request, f"{self._work}.put", rid, style=DISKS, status=202, body=shown, location=location, latency=2
        )

    def _finish(self, run: Run) -> Any:
        def change(resource: Resource) -> None:
            creation = resource.properties.get("creationData") or {}
            if self._kind == SNAPSHOT and "sourceUri" in creation and "sourceResourceId" not in creation:
                creation["sourceResourceId"] = creation.pop("sourceUri")
            source_id = creation.get("sourceResourceId", "")
            source = lookup(self._core, source_id) if source_id else None
            image = disk_image(self._core, creation, resource.body["location"])
            resource.body = finished(
                resource.body, now=clock.now(), source=source, image=image, snapshot=self._kind == SNAPSHOT
            )

        changed = self._core.store.update(run.resource_id, change)
        return changed.body if changed else None

    def access(self, action: str, request: Request) -> Answer:
        """A link to a disk's bytes, given and taken back. There are no bytes behind it."""
        with self._core.store.transaction():
            known = self._core.require(request.id)
            give = action == "beginGetAccess"
            if give and known.properties.get("diskState") == "Attached":
                message = f"The disk '{known.rid.name}' is attached to a running VM: access can not be granted."
                raise ArmError(409, "OperationNotAllowed", message)
            return self._core.operations.begin(
                request,
                f"{self._work}.access",
                known.id,
                style=DISKS,
                location=known.body["location"],
                latency=1,
                args={"give": give, "guest": bool(give and (request.body or {}).get("getSecureVMGuestStateSAS"))},
            )

    def _access(self, run: Run) -> Any:
        def change(disk: Resource) -> None:
            idle = "Attached" if "managedBy" in disk.body else "Unattached"
            disk.properties["diskState"] = "ActiveSAS" if run.args["give"] else idle

        disk = self._core.store.update(run.resource_id, change)
        if disk is None or not run.args["give"]:
            return None
        unique = disk.properties.get("uniqueId", "")
        link = f"https://md-{unique[:8]}.blob.storage.azure.net/{unique}/{{}}?sv=2018-03-28&sr=b&sp=r"
        guest = {"securityDataAccessSAS": link.format("vmgs")} if run.args.get("guest") else {}
        return {"accessSAS": link.format("abcd"), **guest}

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            if known is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            owner = known.body.get("managedBy")
            if owner:
                message = f"Disk {known.body['name']} is attached to VM {owner}."
                raise ArmError(409, "OperationNotAllowed", message)
            return self._core.operations.begin(
                request, f"{self._work}.delete", request.id, style=DISKS, location=known.body["location"], latency=2
            )

    def _remove(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)
