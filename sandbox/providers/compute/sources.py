# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are made of: the image that a reference means, and whether it fits the size."""

from __future__ import annotations

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError

from . import platform_images
from .shapes import ImageFacts, Json
from .sizes import Size, normal_location

IMAGE = "Microsoft.Compute/images"


def image_facts(core: Core, storage: Json, location: str) -> ImageFacts | None:
    """The image of a ``storageProfile``; None if it names none (a disk is attached, or unmanaged).

    Raises what Azure raises if there is no such image, or not in this region.
    """
    reference = storage.get("imageReference")
    if not reference:
        if (storage.get("osDisk") or {}).get("createOption", "FromImage") != "FromImage":
            return None
        message = "Required parameter 'imageReference' is missing (null)."
        raise ArmError(400, "InvalidParameter", message, target="imageReference")
    if reference.get("id"):
        return _captured(core, reference["id"], location)
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


def _captured(core: Core, image_id: str, location: str) -> ImageFacts:
    try:
        rid = ids.parse(image_id)
    except ValueError as error:
        message = f"Id {image_id} is not a valid resource reference."
        raise ArmError(400, "InvalidParameter", message, target="imageReference.id") from error
    image = core.store.get(rid)
    if image is None or normal_location(image.body["location"]) != location:
        message = f"The Image '{image_id}' cannot be found in '{location}' region."
        raise ArmError(404, "NotFound", message, target="imageReference")
    if image.properties.get("provisioningState") != "Succeeded":
        message = f"The Image '{image_id}' is not ready: its provisioningState must be Succeeded."
        raise ArmError(409, "OperationNotAllowed", message, target="imageReference")
    disk = image.properties["storageProfile"]["osDisk"]
    return ImageFacts(
        os=disk.get("osType", "Linux"),
        generation=image.properties.get("hyperVGeneration", "V1"),
        gib=int(disk.get("diskSizeGB", 30)),
        image_id=image.id if image.internal.get("captured") else "",
        os_name=image.internal.get("os_name", "debian"),
        os_version=image.internal.get("os_version", "13.1"),
        architecture=image.internal.get("architecture", "x64"),
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
