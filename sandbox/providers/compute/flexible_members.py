# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which virtual machines belong to a Flexible scale set, and what their coming and going does to its capacity."""

from __future__ import annotations

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource

from .limits import VM, VMSS
from .shapes import Json
from .vmss_shape import is_flexible

INSTANCE = f"{VMSS}/virtualMachines"


def scale_set_of(vm: Resource) -> str:
    """The id of the scale set that a VM says it belongs to, or nothing."""
    return str((vm.properties.get("virtualMachineScaleSet") or {}).get("id") or "")


def members(core: Core, scale_set: Resource) -> list[Resource]:
    """The VMs of a Flexible scale set, oldest first."""
    rid = scale_set.rid
    found = core.store.list(VM, subscription=rid.subscription, group=rid.group)
    own = [vm for vm in found if ids.key(scale_set_of(vm)) == ids.key(scale_set.id)]
    return sorted(own, key=lambda vm: (vm.created, vm.id))


def joined(core: Core, vm: Resource) -> None:
    """Count a VM that was put into a scale set by its own request. 400 or 404 if it cannot be in it."""
    if scale_set_of(vm):
        _change(core, vm, +1, required=True)


def left(core: Core, vm: Resource) -> None:
    """Count off a VM that goes away by its own request."""
    if scale_set_of(vm):
        _change(core, vm, -1, required=False)


def _change(core: Core, vm: Resource, change: int, *, required: bool) -> None:
    scale_set = core.store.get(scale_set_of(vm))
    if scale_set is None or not is_flexible(scale_set.body):
        if required:
            message = (
                f"The Virtual Machine Scale Set '{scale_set_of(vm)}' referenced by Virtual Machine '{vm.rid.name}' was "
                "not found, or is not one with flexible orchestration."
            )
            raise ArmError(400, "InvalidParameter", message, target="virtualMachineScaleSet.id")
        return
    capacity = scale_set.body["sku"]["capacity"] + change
    scale_set.body["sku"]["capacity"] = max(capacity, 0)
    core.store.put(scale_set)


def entry(scale_set: Resource, vm: Resource) -> Json:
    """A VM in the list of its scale set: no more than where it is."""
    return {
        "name": vm.rid.name,
        "id": f"{scale_set.id}/virtualMachines/{vm.rid.name}",
        "type": INSTANCE,
        "location": vm.body["location"],
        "instanceId": vm.rid.name,
        "zones": vm.body.get("zones") or [None],
    }
