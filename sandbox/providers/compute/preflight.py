# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of machines before they are made: offered to template deployments as ``compute_preflight``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .limits import VM, Limits, quota_exceeded, require_size


class Preflight:
    """``(subscription, [(type, body), ...])``: ArmError if the machines exceed a quota together, or a size is not to
    be had.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, subscription: str, wanted: Iterable[tuple[str, dict[str, Any]]]) -> None:
        needed: dict[str, dict[str, int]] = {}
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
