# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are made of: the image that a reference means, and whether it fits the size."""

from __future__ import annotations

import re

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource

from . import platform_images
from .shapes import ImageFacts, Json
from .sizes import Size, normal_location

IMAGE = "Microsoft.Compute/images"
GALLERY = "Microsoft.Compute/galleries"
DEFINITION = f"{GALLERY}/images"
VERSION = f"{DEFINITION}/versions"


def lookup(core: Core, reference: str) -> Resource | None:
    """The resource that a reference means; None for an unknown one and for what is no id."""
    try:
        return core.store.get(ids.parse(reference))
    except ValueError:
        return None


def driver_image_users(core: Core, image_id: str) -> list[str]:
    """Ids of what still needs the disk that the machine driver keeps as ``image_id``: its image, and versions of it."""
    image = core.store.get(image_id)
    users = [image_id] if image is not None else []
    for version in core.store.list(VERSION):
        if ids.key(version.internal.get("image_id", "")) == ids.key(image_id) and version.id not in users:
            users.append(version.id)
    return users


def image_facts(core: Core, storage: Json, location: str) -> ImageFacts | None:
    """The image of a ``storageProfile``; None if it names none (a disk is attached, or unmanaged).

    Raises what Azure raises if there is no such image, or not in this region.
    """
    reference = storage.get("imageReference")
    if not reference:
        disk = storage.get("osDisk") or {}
        if disk.get("createOption", "FromImage") != "FromImage" or disk.get("image"):
            return None
        message = "Required parameter 'imageReference' is missing (null)."
        raise ArmError(400, "InvalidParameter", message, target="imageReference")
    if reference.get("id"):
        return _referenced(core, reference["id"], location)
    public = reference.get("communityGalleryImageId") or reference.get("sharedGalleryImageId")
    if public:
        return _referenced(core, _own_id(core, public, location), location)
    image, version = platform_images.resolve(reference)
    return ImageFacts(
        os=image.os,
        generation=image.generation,
        gib=image.gib,
        exact_version=version,
        os_name=image.os_name,
        os_version=image.os_version,
        architecture=image.architecture,
    )


def _own_id(core: Core, public: str, location: str) -> str:
    """The id of what others see as ``/CommunityGalleries/<name>/...`` or ``/SharedGalleries/<name>/...``."""
    _empty, kind, name, *rest = public.split("/") if public.count("/") > 3 else ("", "", "", "")
    for gallery in core.store.list(GALLERY):
        community = (gallery.properties.get("sharingProfile") or {}).get("communityGalleryInfo") or {}
        shared = kind.lower() == "sharedgalleries"
        names = [gallery.properties["identifier"]["uniqueName"]] if shared else community.get("publicNames") or []
        if name.lower() in (one.lower() for one in names):
            return "/".join((gallery.id, *rest))
    message = (
        f"The gallery image {public} is not available in {location} region. Please contact image owner to replicate to "
        "this region, or change your requested region."
    )
    raise ArmError(404, "GalleryImageNotFound", message, target="imageReference")


_PLATFORM = re.compile(
    r"/Publishers/(?P<publisher>[^/]+)/ArtifactTypes/VMImage/Offers/(?P<offer>[^/]+)/Skus/(?P<sku>[^/]+)"
    r"/Versions/(?P<version>[^/]+)$",
    re.IGNORECASE,
)


def disk_image(core: Core, creation: Json, location: str) -> ImageFacts | None:
    """The image that a disk's ``creationData`` names, None if it names none or one that is not there."""
    own, shared = creation.get("imageReference") or {}, creation.get("galleryImageReference") or {}
    reference = own.get("id") or shared.get("id") or ""
    public = shared.get("communityGalleryImageId") or shared.get("sharedGalleryImageId")
    platform = _PLATFORM.search(reference)
    try:
        if platform:
            return image_facts(core, {"imageReference": platform.groupdict()}, location)
        if public and reference in ("", public):
            reference = _own_id(core, public, location)
        return _referenced(core, reference, normal_location(location)) if reference else None
    except ArmError:
        return None


def _referenced(core: Core, image_id: str, location: str) -> ImageFacts:
    try:
        rid = ids.parse(image_id)
    except ValueError as error:
        message = f"Id {image_id} is not a valid resource reference."
        raise ArmError(400, "InvalidParameter", message, target="imageReference.id") from error
    if rid.types[0].lower() == "galleries":
        return _published(core, rid, location)
    return _captured(core, rid, image_id, location)


def _published(core: Core, rid: ids.ResourceId, location: str) -> ImageFacts:
    """A version in a gallery: the one that is named, or the latest that is not excluded."""
    named = rid.name if len(rid.types) == 3 else "latest"
    definition = core.store.get(rid if len(rid.types) == 2 else rid.parent or rid)
    versions = core.store.list(VERSION, parent=definition.id) if definition is not None else []
    ready = [version for version in versions if version.properties.get("provisioningState") == "Succeeded"]
    if named.lower() == "latest":
        ready = [entry for entry in ready if not entry.properties["publishingProfile"]["excludeFromLatest"]]
        ready.sort(key=lambda entry: [int(part) for part in entry.rid.name.split(".")])
    else:
        ready = [version for version in ready if version.rid.name == named]
    ready = [version for version in ready if location in _places(version)]
    if definition is None or not ready:
        message = (
            f"The gallery image {rid} is not available in {location} region. Please contact image owner to "
            "replicate to this region, or change your requested region."
        )
        raise ArmError(404, "GalleryImageNotFound", message, target="imageReference")
    chosen = ready[-1]
    disk = chosen.properties["storageProfile"].get("osDiskImage") or {}
    kept = core.store.get(chosen.internal.get("image_id", "")) if chosen.internal.get("image_id") else None
    facts = kept.internal if kept is not None else {}
    return ImageFacts(
        os=definition.properties["osType"],
        generation=definition.properties["hyperVGeneration"],
        gib=int(disk.get("sizeInGB", 30)),
        exact_version=chosen.rid.name,
        image_id=chosen.internal.get("image_id", ""),
        os_name=facts.get("os_name", "debian"),
        os_version=facts.get("os_version", "13.1"),
        architecture=definition.properties.get("architecture", "x64"),
        specialized=definition.properties["osState"] == "Specialized",
        data=tuple(
            (int(entry["lun"]), int(entry.get("sizeInGB", 30)), entry.get("hostCaching") or "None", "")
            for entry in chosen.properties["storageProfile"].get("dataDiskImages") or []
        ),
    )


def _places(version: Resource) -> list[str]:
    return [normal_location(target["name"]) for target in version.properties["publishingProfile"]["targetRegions"]]


def _captured(core: Core, rid: ids.ResourceId, image_id: str, location: str) -> ImageFacts:
    image = core.store.get(rid)
    if image is None or normal_location(image.body["location"]) != location:
        message = f"The Image '{image_id}' cannot be found in '{location}' region."
        raise ArmError(404, "NotFound", message, target="imageReference")
    if image.properties.get("provisioningState") != "Succeeded":
        message = f"The Image '{image_id}' is not ready: its provisioningState must be Succeeded."
        raise ArmError(409, "OperationNotAllowed", message, target="imageReference")
    storage = image.properties["storageProfile"]
    disk = storage["osDisk"]
    return ImageFacts(
        os=disk.get("osType", "Linux"),
        generation=image.properties.get("hyperVGeneration", "V1"),
        gib=int(disk.get("diskSizeGB", 30)),
        image_id=image.id if image.internal.get("captured") else "",
        os_name=image.internal.get("os_name", "debian"),
        os_version=image.internal.get("os_version", "13.1"),
        architecture=image.internal.get("architecture", "x64"),
        data=tuple(
            (
                int(entry["lun"]),
                int(entry.get("diskSizeGB", 30)),
                entry.get("caching") or "None",
                entry.get("storageAccountType", ""),
            )
            for entry in storage.get("dataDisks") or []
        ),
        storage=disk.get("storageAccountType", ""),
    )


def check_fit(size: Size, image: ImageFacts | None) -> None:
    """400 if the size cannot boot the image's generation or architecture."""
    if image is None:
        return
    if image.architecture != size.architecture:
        message = (
            f"Cannot create a VM of size '{size.name}' because this VM size only supports a CPU Architecture of "
            f"'{size.architecture}', but an image or disk with CPU Architecture '{image.architecture}' was given. "
            "Please "
            "check that the CPU Architecture of the image or disk is compatible with that of the VM size."
        )
        raise ArmError(400, "InvalidParameter", message, target="vmSize")
    if image.generation not in size.generations.split(","):
        number = image.generation.removeprefix("V")
        message = (
            f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '{number}'. If this was a Create "
            "operation please check that the Hypervisor Generation of the Image matches the Hypervisor Generation "
            "of the "
            "selected VM Size. If this was an Update operation please select a Hypervisor Generation "
            f"'{number}' VM Size. For more information, see https://aka.ms/azuregen2vm"
        )
        raise ArmError(400, "BadRequest", message)
