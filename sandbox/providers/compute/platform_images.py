# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform images: publishers, offers, SKUs and versions of ``images.json``, and how an image reference is resolved.

Every Linux image boots the one base image of the machine driver: what is told here is only what ARM tells.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.arm.errors import ArmError

_FILE = Path(__file__).with_name("images.json")
FOOTER = 512  # bytes at the end of a disk file that are not part of the disk


@dataclass(frozen=True)
class PlatformImage:
    """One SKU of the marketplace with its versions, oldest first. ``gib`` is the size of its disk.

    ``extra_bytes`` is what the disk file has beyond that, ``nvme`` whether it boots from NVMe disks (and may
    hibernate),
    ``automatic`` whether scale sets can follow new versions by themselves, ``confidential`` whether it can be of a
    confidential machine. ``deprecated`` says since when (``on``), and which SKU there is instead (``instead``).
    """

    publisher: str
    offer: str
    sku: str
    os: str
    generation: str
    architecture: str
    gib: int
    versions: tuple[str, ...]
    os_name: str
    os_version: str
    extra_bytes: int = 0
    nvme: bool = False
    automatic: bool = False
    confidential: bool = False
    deprecated: dict[str, str] | None = None

    def has(self, version: str) -> bool:
        """Whether there is this version: one that is listed, or an older one of the same line.

        Publishers keep dozens of versions, of which the file names the last ones.
        """
        if version in self.versions:
            return True
        parts, newest = version.split("."), self.versions[-1].split(".")
        alike = len(parts) == len(newest) and parts[0] == newest[0] and all(part.isdecimal() for part in parts)
        return alike and _order(version) < _order(self.versions[-1])


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@functools.cache
def catalogue() -> dict[tuple[str, str, str], PlatformImage]:
    """All SKUs by (publisher, offer, sku) in lower case."""
    images: dict[tuple[str, str, str], PlatformImage] = {}
    for path, raw in json.loads(_FILE.read_text(encoding="utf-8")).items():
        publisher, offer, sku = path.split("/")
        images[publisher.lower(), offer.lower(), sku.lower()] = PlatformImage(
            publisher=publisher,
            offer=offer,
            sku=sku,
            os=raw["os"],
            generation=raw["generation"],
            architecture=raw.get("arch", "x64"),
            gib=raw["gib"],
            versions=tuple(sorted(raw["versions"], key=_order)),
            os_name=raw["osName"],
            os_version=raw["osVersion"],
            extra_bytes=raw.get("extraBytes", 0),
            nvme=raw.get("nvme", False),
            automatic=raw.get("automatic", False),
            confidential=raw.get("confidential", False),
            deprecated=raw.get("deprecated"),
        )
    return images


def find(publisher: str, offer: str, sku: str) -> PlatformImage | None:
    """The SKU, names in any case."""
    return catalogue().get((publisher.lower(), offer.lower(), sku.lower()))


def resolve(reference: dict[str, Any]) -> tuple[PlatformImage, str]:
    """The image and exact version that a ``publisher/offer/sku/version`` reference means.

    Raises 400 InvalidParameter if a part is missing, 404 PlatformImageNotFound if there is no such image.
    """
    parts = {key: str(reference.get(key) or "") for key in ("publisher", "offer", "sku", "version")}
    for key, value in parts.items():
        if not value:
            target = f"imageReference.{key}"
            raise ArmError(400, "InvalidParameter", f"Required parameter '{target}' is missing (null).", target=target)
    image = find(parts["publisher"], parts["offer"], parts["sku"])
    version = parts["version"]
    if image is None or (version.lower() != "latest" and not image.has(version)):
        urn = ":".join(parts.values())
        message = (
            f"The platform image '{urn}' is not available. "
            "Verify that all fields in the storage profile are correct. For more details about storage profile "
            "information, please refer to https://aka.ms/storageprofile"
        )
        raise ArmError(404, "PlatformImageNotFound", message, target="imageReference")
    return image, image.versions[-1] if version.lower() == "latest" else version


def _path(subscription: str, location: str, *parts: str) -> str:
    labels = ("Publishers", "ArtifactTypes/VMImage/Offers", "Skus", "Versions")
    tail = "".join(f"/{label}/{part}" for label, part in zip(labels, parts, strict=False))
    return f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}{tail}"


def _entry(subscription: str, location: str, *parts: str, **more: Any) -> dict[str, Any]:
    return {**more, "location": location, "name": parts[-1], "id": _path(subscription, location, *parts)}


def _not_found(message: str) -> ArmError:
    return ArmError(404, "NotFound", message)


def publishers(subscription: str, location: str) -> list[dict[str, Any]]:
    names = sorted({image.publisher for image in catalogue().values()}, key=str.lower)
    return [_entry(subscription, location, name) for name in names]


def offers(subscription: str, location: str, publisher: str) -> list[dict[str, Any]]:
    found = {
        image.offer: image.publisher for image in catalogue().values() if image.publisher.lower() == publisher.lower()
    }
    return [_entry(subscription, location, found[name], name) for name in sorted(found, key=str.lower)]


def skus(subscription: str, location: str, publisher: str, offer: str) -> list[dict[str, Any]]:
    wanted = (publisher.lower(), offer.lower())
    found = [image for key, image in sorted(catalogue().items()) if key[:2] == wanted]
    return [
        _entry(
            subscription,
            location,
            image.publisher,
            image.offer,
            image.sku,
            properties={"automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": image.automatic}},
        )
        for image in found
    ]


def versions(
    subscription: str, location: str, publisher: str, offer: str, sku: str, *, top: int = 0, descending: bool = False
) -> list[dict[str, Any]]:
    """Versions of a SKU; 404 NotFound if there is no such SKU. ``top`` 0 means all."""
    image = find(publisher, offer, sku)
    if image is None:
        raise _not_found(f"Artifact: VMImage was not found. Publisher: {publisher}, Offer: {offer}, Sku: {sku}.")
    found = list(image.versions)
    if descending:
        found.reverse()
    found = found[:top] if top else found
    return [_entry(subscription, location, image.publisher, image.offer, image.sku, name) for name in found]


def brief(entry: dict[str, Any], image: PlatformImage, *, deprecation: bool) -> dict[str, Any]:
    """An entry of a list of versions with ``$expand=properties``, which tells less than one version does."""
    managed = image.generation == "V2"
    properties: dict[str, Any] = {
        "hyperVGeneration": image.generation,
        "architecture": image.architecture,
        "replicaType": "Managed" if managed else "Unmanaged",
        "replicaCount": 10 if managed else None,
    }
    if deprecation:
        status = {"scheduledDeprecationTime": None, **_deprecation(image)}
        properties |= {"imageDeprecationStatus": status, "goLiveDate": _live(entry["name"])}
    return {"properties": properties, "extendedLocation": None, **entry}


# Publishers did not say of older versions that they boot from NVMe disks.
NVME_SINCE = "20220901"
GO_LIVE_SINCE = "20240901"


def _date(version: str) -> str:
    """The day that is part of a version's name; versions without one count as new."""
    found = re.search(r"20\d{6}", version)
    return found[0] if found else NVME_SINCE


def _live(version: str) -> str | None:
    """The day since when there is a version: the one after it was built. It is told since September 2024."""
    found = re.search(r"20\d{6}", version)
    if found is None or found[0] < GO_LIVE_SINCE:
        return None
    return f"{datetime.strptime(found[0], '%Y%m%d') + timedelta(days=1):%Y-%m-%dT00:00:00}+00:00"


def _deprecation(image: PlatformImage) -> dict[str, Any]:
    if image.deprecated is None:
        return {"imageState": "Active"}
    return {
        "imageState": "ScheduledForDeprecation",
        "scheduledDeprecationTime": f"{image.deprecated['on']}T00:00:00+00:00",
        "alternativeOption": {"type": "Plan", "value": image.deprecated["instead"]},
    }


def version(subscription: str, location: str, publisher: str, offer: str, sku: str, name: str) -> dict[str, Any]:
    """One version with its properties; 404 NotFound if there is none."""
    image = find(publisher, offer, sku)
    if image is None or not image.has(name):
        raise _not_found(
            f"Artifact: VMImage was not found. Publisher: {publisher}, Offer: {offer}, Sku: {sku}, Version: {name}."
        )
    managed, nvme = image.generation == "V2", image.nvme and _date(name) >= NVME_SINCE
    security = "TrustedLaunchAndConfidentialVmSupported" if image.confidential else "TrustedLaunchSupported"
    features = [
        *([{"name": "SecurityType", "value": security}] if managed else []),
        {"name": "IsAcceleratedNetworkSupported", "value": "True"},
        {"name": "DiskControllerTypes", "value": "SCSI, NVMe" if nvme else "SCSI"},
        {"name": "IsHibernateSupported", "value": "True" if nvme else "False"},
    ]
    size = image.gib * 1024**3 + image.extra_bytes
    disk = {"sizeInGb": image.gib} if managed else {"sizeInGb": -(-(size - FOOTER) // 1024**3), "sizeInBytes": size}
    properties: dict[str, Any] = {
        "hyperVGeneration": image.generation,
        "architecture": image.architecture,
        "replicaType": "Managed" if managed else "Unmanaged",
        **({"replicaCount": 10} if managed else {}),
        "disallowed": {"vmDiskType": "Unmanaged" if managed else "None"},
        "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": image.automatic},
        "imageDeprecationStatus": _deprecation(image),
        "features": features,
        "osDiskImage": {"operatingSystem": image.os, **disk},
        "dataDiskImages": [],
    }
    entry = _entry(subscription, location, image.publisher, image.offer, image.sku, name)
    return {"properties": properties, **entry}
