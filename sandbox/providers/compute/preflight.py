# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of machines before they are made: offered to template deployments as ``compute_preflight``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.arm.errors import ArmError

from . import platform_images
from .limits import VM, Limits, quota_exceeded, require_size


class Preflight:
    """``(subscription, [(type, body), ...])``: ArmError if the machines exceed a quota together, or a size or a
    platform image is not to be had.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, subscription: str, wanted: Iterable[tuple[str, dict[str, Any]]]) -> None:
        needed: dict[str, dict[str, int]] = {}
        wanted = list(wanted)
        _check_images([body for _unused, body in wanted])
        for kind, body in wanted:
            properties, sku = body.get("properties") or {}, body.get("sku") or {}
            alone = kind.lower() == VM.lower()
            name = (properties.get("hardwareProfile") or {}).get("vmSize") if alone else sku.get("name")
            count = 1 if alone else sku.get("capacity", 0)
            if not isinstance(name, str) or not isinstance(count, int) or name.lower() == "mix":
                continue
            profile = properties if alone else properties.get("virtualMachineProfile") or {}
            spot = profile.get("priority") in ("Spot", "Low")
            place = body["location"]
            size = require_size(name, place, body.get("zones") or [], spot=spot)
            numbers = needed.setdefault(place, {})
            for quota in ("lowPriorityCores",) if spot else ("cores", size.family):
                numbers[quota] = numbers.get(quota, 0) + count * size.vcpus
            numbers["virtualMachines"] = numbers.get("virtualMachines", 0) + count
        for place, numbers in needed.items():
            used = self._limits.usage(subscription, place)
            for quota, number in numbers.items():
                limit = self._limits.limit(place, quota)
                if number > 0 and used[quota] + number > limit:
                    raise quota_exceeded(subscription, place, quota, limit, used[quota], number)


def _check_images(bodies: list[dict[str, Any]]) -> None:
    """400 InvalidParameter naming the platform images that do not exist."""
    missing = []
    for body in bodies:
        properties = body.get("properties") or {}
        profile = properties.get("virtualMachineProfile") or properties
        reference = (profile.get("storageProfile") or {}).get("imageReference") or {}
        parts = [reference.get(key) for key in ("publisher", "offer", "sku", "version")]
        if not all(isinstance(part, str) and part for part in parts):
            continue
        try:
            platform_images.resolve(reference)
        except ArmError:
            missing.append("Publisher: {}, Offer: {}, Sku: {}, Version: {}".format(*parts))
    if missing:
        message = (
            "The following list of images referenced from the deployment template are not found: "
            f"{'; '.join(missing)}. Please refer to "
            "https://docs.microsoft.com/en-us/azure/virtual-machines/windows/cli-ps-findimage for instructions on "
            "finding available images."
        )
        raise ArmError(400, "InvalidParameter", message, target="imageReference")
