# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which token buckets of Microsoft.Compute a request takes from: as documented, named as its answers name them.

The names of the buckets of scale set instances are not documented, and are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.arm.messages import Request
from sandbox.arm.store import Store

VM = "microsoft.compute/virtualmachines"
VMSS = "microsoft.compute/virtualmachinescalesets"
INSTANCE = f"{VMSS}/virtualmachines"
# group: (size and refill per minute of a resource's bucket, of the subscription's); size 0: there is none
GROUPS: dict[str, tuple[int, int, int, int]] = {
    "PutVM": (12, 4, 1500, 500),
    "UpdateVM": (12, 4, 1500, 500),
    "DeleteVM": (12, 4, 1500, 500),
    "LowCostGet": (36, 12, 24000, 8000),
    "HighCostGet": (0, 0, 900, 300),
    "GetOperation": (45, 15, 15000, 5000),
    "CreateVMScaleSet": (12, 4, 375, 125),
    "VMScaleSetActions": (12, 4, 1500, 500),
    "DeleteVMScaleSet": (12, 4, 525, 175),
    "GetVMScaleSet": (36, 12, 2400, 800),
    "HighCostGetVMScaleSet": (30, 10, 1080, 360),
    "UpdateVMScaleSetVM": (12, 4, 1500, 500),
    "DeleteVMScaleSetVM": (12, 4, 1500, 500),
    "GetVMScaleSetVM": (36, 12, 6000, 2000),
    "VMScaleSetBatchedVMRequests": (0, 0, 6000, 2000),
    "VMScaleSetVMViews": (0, 0, 30000, 10000),
    "PutDeletePPG": (0, 0, 120, 40),
    "CreateImages": (0, 0, 60, 20),
    "DeleteImages": (0, 0, 120, 40),
    "GetImages": (0, 0, 360, 120),
    "GetSubscriptionInfo": (0, 0, 360, 120),
}
_SIMPLE = {
    "microsoft.compute/proximityplacementgroups": ("HighCostGet", "PutDeletePPG", "PutDeletePPG"),
    "microsoft.compute/availabilitysets": ("LowCostGet", "PutVM", "DeleteVM"),
    "microsoft.compute/images": ("GetImages", "CreateImages", "DeleteImages"),
}
_VM_DELETES = ("deallocate", "simulateeviction")
_SET_DELETES = ("deallocate", "poweroff")


@dataclass(frozen=True)
class Charge:
    """What is taken from one bucket. ``resource`` empty: the subscription's. ``refill`` is per minute."""

    name: str
    resource: str
    size: int
    refill: int
    count: int = 1


def charge(store: Store, request: Request, template: str, type: str) -> list[Charge]:
    """What a request takes, by its route's template and type; nothing for other services."""
    kind, action = type.lower(), template.rsplit("/", 1)[-1].lower()
    if "microsoft.compute" in template.lower() and "{operation}" in template:
        return _both("GetOperation", request.path)
    if kind in _SIMPLE:
        get, put, delete = _SIMPLE[kind]
        return _shared({"GET": get, "DELETE": delete}.get(request.method, put))
    if kind == VM or kind.startswith(f"{VM}/"):
        return _vm(store, request, template, action)
    if kind == VMSS or kind.startswith(f"{VMSS}/"):
        return _scale_set(store, request, template, kind, action)
    if "/providers/microsoft.compute/" in template.lower() and action in ("usages", "skus", "vmsizes"):
        return _shared("GetSubscriptionInfo")
    return []


def _vm(store: Store, request: Request, template: str, action: str) -> list[Charge]:
    resource = _below(request.path, "virtualmachines")
    if request.method == "GET":
        listed = action == "virtualmachines"
        return _shared("HighCostGet") if listed else _both("LowCostGet", resource)
    if (request.method == "DELETE" and action == "{name}") or action in _VM_DELETES:
        return _both("DeleteVM", resource)
    fresh = request.method == "PUT" and action == "{name}" and not store.exists(request.path)
    return _both("PutVM" if fresh else "UpdateVM", resource)


def _scale_set(store: Store, request: Request, template: str, kind: str, action: str) -> list[Charge]:
    resource = _below(request.path, "virtualmachinescalesets")
    method = request.method
    if kind == INSTANCE and action != "virtualmachines":
        return _instance(request, action)
    if method == "GET":
        if action == "virtualmachinescalesets":
            return _shared("HighCostGetVMScaleSet")
        if action == "virtualmachines":
            return [*_both("HighCostGetVMScaleSet", resource), *_shared("VMScaleSetVMViews")]
        return _both("HighCostGetVMScaleSet" if action == "instanceview" else "GetVMScaleSet", resource)
    if method == "POST":
        group = "DeleteVMScaleSet" if action in _SET_DELETES else "VMScaleSetActions"
        return [*_shared(group), *_batched(store, request, resource)]
    if method == "DELETE" and action == "{name}":
        return [*_both("DeleteVMScaleSet", resource), *_batched(store, request, resource)]
    if method == "PUT" and action == "{name}" and not store.exists(request.path):
        return [*_both("CreateVMScaleSet", resource), *_batched(store, request, resource)]
    return [*_both("VMScaleSetActions", resource), *_batched(store, request, resource)]


def _instance(request: Request, action: str) -> list[Charge]:
    if request.method == "GET":
        return _both("GetVMScaleSetVM", request.path)
    resource = "/".join(request.path.split("/")[:11])
    if (request.method == "DELETE" and action == "{name}") or action in _SET_DELETES:
        return _both("DeleteVMScaleSetVM", resource)
    return _both("UpdateVMScaleSetVM", resource)


def _batched(store: Store, request: Request, resource: str) -> list[Charge]:
    """One for each machine that is made or acted upon."""
    known = store.get(resource)
    capacity = int((known.body.get("sku") or {}).get("capacity") or 0) if known is not None else 0
    body: dict[str, Any] = request.body if isinstance(request.body, dict) else {}
    if request.method == "POST":
        named = body.get("instanceIds")
        count = len(named) if isinstance(named, list) and named != ["*"] else capacity
    elif request.method == "DELETE":
        count = capacity
    else:
        sku = body.get("sku") if isinstance(body.get("sku"), dict) else {}
        wanted = sku.get("capacity") if sku else None
        count = max(wanted - capacity, 0) if isinstance(wanted, int) else 0
    return _shared("VMScaleSetBatchedVMRequests", count)


def _below(path: str, kind: str) -> str:
    """The id up to the name after the segment ``kind``."""
    parts = path.split("/")
    lowered = [part.lower() for part in parts]
    return "/".join(parts[: lowered.index(kind) + 2]) if kind in lowered else path


def _both(group: str, resource: str) -> list[Charge]:
    size, refill, _unused, _unused_too = GROUPS[group]
    own = [Charge(f"{group}Resource", resource, size, refill)] if size else []
    return [*own, *_shared(group)]


def _shared(group: str, count: int = 1) -> list[Charge]:
    _unused, _unused_too, size, refill = GROUPS[group]
    return [Charge(f"{group}SubscriptionMaximum", "", size, refill, count)]
