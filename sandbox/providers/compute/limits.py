# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subscription may have (quota), and what the region has left (capacity).

Usage is computed from what exists. Quota is refused synchronously, as Azure does. Capacity is unlimited unless a limit
was
set for a size in a region: machines beyond it fail to allocate, asynchronously, with ``AllocationFailed``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError

from . import sizes
from .sizes import Size

VM = "Microsoft.Compute/virtualMachines"
VMSS = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"
DISK = "Microsoft.Compute/disks"
AVAILABILITY_SET = "Microsoft.Compute/availabilitySets"

_DISK_COUNTS = {"Standard": "StandardDiskCount", "StandardSSD": "StandardSSDDiskCount", "Premium": "PremiumDiskCount"}


class Limits:
    """Quota and capacity of one sandbox; offered to others as ``compute_limits``."""

    def __init__(self, core: Core) -> None:
        self._store = core.store

    # quota

    def set_quota(self, location: str, name: str, limit: int) -> None:
        """Change a limit for all subscriptions. Raises ValueError for an unknown quota name or region."""
        known = {key.lower(): key for key in sizes.quota_defaults()}
        place = sizes.normal_location(location)
        if name.lower() not in known or place not in sizes.regions():
            raise ValueError(f"no quota {name!r} in region {location!r}")
        self._store.set_setting(f"quota:{place}:{known[name.lower()]}", limit)

    def limit(self, location: str, name: str) -> int:
        default = sizes.quota_defaults()[name][1]
        value: int = self._store.setting(f"quota:{location}:{name}", default)
        return value

    def usage(self, subscription: str, location: str) -> Counter[str]:
        """Current values of all quotas of a region. Deallocated machines count as machines, but not their cores."""
        used: Counter[str] = Counter()
        for vm in self._store.list(VM, subscription=subscription):
            if vm.body.get("location") == location:
                size = sizes.find(vm.properties["hardwareProfile"]["vmSize"])
                allocated = vm.internal.get("power") != "deallocated"
                _count(used, size, 1, int(allocated), vm.properties.get("priority"))
        for scale_set in self._store.list(VMSS, subscription=subscription):
            if scale_set.body.get("location") == location:
                used["virtualMachineScaleSets"] += 1
                sku = scale_set.body.get("sku", {})
                if scale_set.properties.get("orchestrationMode") == "Flexible":
                    continue  # its machines are virtual machines, which were counted
                number = int(sku.get("capacity", 0))
                profile = scale_set.properties.get("virtualMachineProfile", {})
                allocated_number = max(number - int(scale_set.internal.get("deallocated", 0)), 0)
                _count(used, sizes.find(sku.get("name", "")), number, allocated_number, profile.get("priority"))
        for disk in self._store.list(DISK, subscription=subscription):
            if disk.body.get("location") == location:
                used[_DISK_COUNTS.get(disk.body.get("sku", {}).get("name", "").split("_")[0], "StandardDiskCount")] += 1
        for group in self._store.list(AVAILABILITY_SET, subscription=subscription):
            used["availabilitySets"] += group.body.get("location") == location
        return used

    def usages(self, subscription: str, location: str) -> list[dict[str, Any]]:
        """The elements of ``locations/{location}/usages``."""
        place = sizes.normal_location(location)
        used = self.usage(subscription, place)
        return [sizes.usage_entry(name, self.limit(place, name), used[name]) for name in sizes.quota_defaults()]

    def check(self, subscription: str, location: str, size: Size, count: int, *, spot: bool, machines: int) -> None:
        """409 OperationNotAllowed if ``count`` more allocated machines (``machines`` more in all) exceed a quota."""
        if count <= 0 and machines <= 0:
            return
        used = self.usage(subscription, location)
        cores = count * size.vcpus
        wanted = {"lowPriorityCores": cores} if spot else {"cores": cores, size.family: cores}
        wanted["virtualMachines"] = machines
        for name, number in wanted.items():
            limit = self.limit(location, name)
            if number > 0 and used[name] + number > limit:
                raise quota_exceeded(subscription, location, name, limit, used[name], number)

    # capacity

    def set_capacity(self, location: str, size: str, count: int | None) -> None:
        """How many machines of a size the region can run; None means any number. ValueError for unknown names."""
        found, place = sizes.find(size), sizes.normal_location(location)
        if found is None or place not in found.regions:
            raise ValueError(f"no size {size!r} in region {location!r}")
        capacity: dict[str, int] = self._store.setting("capacity", {})
        key = f"{place}/{found.name.lower()}"
        if count is None:
            capacity.pop(key, None)
        else:
            capacity[key] = count
        self._store.set_setting("capacity", capacity)

    def room(self, location: str, size: str) -> int | None:
        """How many more machines of a size can be allocated; None if there is no limit."""
        key = f"{location}/{size.lower()}"
        limit = self._store.setting("capacity", {}).get(key)
        if limit is None:
            return None
        return max(int(limit) - self._allocated(location, size.lower()), 0)

    def _allocated(self, location: str, size: str) -> int:
        count = 0
        for vm in self._store.list(VM):
            same = vm.properties["hardwareProfile"]["vmSize"].lower() == size and vm.body.get("location") == location
            count += same and vm.internal.get("power") in ("running", "stopped")
        for scale_set in self._store.list(VMSS):
            if scale_set.body["sku"]["name"].lower() == size and scale_set.body.get("location") == location:
                rows = self._store.list(INSTANCE, parent=scale_set.id)
                count += sum(row.internal.get("power") in ("running", "stopped") for row in rows)
        return count


def _count(used: Counter[str], size: Size | None, machines: int, allocated: int, priority: str | None) -> None:
    used["virtualMachines"] += machines
    if size is None:
        return
    names: Iterable[str] = ("lowPriorityCores",) if priority in ("Spot", "Low") else ("cores", size.family)
    for name in names:
        used[name] += allocated * size.vcpus


_SHOWN = {
    "cores": "Total Regional Cores",
    "lowPriorityCores": "LowPriorityCores",
    "virtualMachines": "Virtual Machines",
}
_MORE = {
    "cores": "azure-supportability/regional-quota-requests",
    "lowPriorityCores": "azure-portal/supportability/low-priority-quota",
}


def quota_exceeded(subscription: str, location: str, name: str, limit: int, used: int, wanted: int) -> ArmError:
    """Azure's refusal of what would exceed a quota."""
    new = used + wanted
    request = (
        f'{{"subscriptionId":"{subscription}","command":"openQuotaApprovalBlade","quotas":[{{"location":"{location}",'
        f'"providerId":"Microsoft.Compute","resourceName":"{name}","quotaRequest":{{"properties":{{"limit":{new},'
        f'"unit":"Count","name":{{"value":"{name}"}}}}}}}}]}}'
    )
    link = "https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota.ReactView/Parameters/"
    message = (
        f"Operation could not be completed as it results in exceeding approved {_SHOWN.get(name, f'{name} Cores')} "
        "quota. "
        f"Additional details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, "
        f"Current Usage: {used}, Additional Required: {wanted}, (Minimum) New Limit Required: {new}. "
        "Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . "
        f"Submit a request for Quota increase at {link}{quote(request, safe=':,[]')} by specifying parameters listed "
        "in "
        "the \u2018Details\u2019 section for deployment to succeed. Please read more about quota limits at "
        f"https://docs.microsoft.com/en-us/azure/{_MORE.get(name, 'azure-supportability/per-vm-quota-requests')}"
    )
    return ArmError(409, "OperationNotAllowed", message)


def allocation_failed(zone: str = "") -> ArmError:
    """There is no capacity for the size; with a zone, in that zone."""
    message = (
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this "
        f"{'zone' if zone else 'region'}. Read more about improving likelihood of allocation success at "
        "http://aka.ms/allocation-guidance"
    )
    return ArmError(409, "ZonalAllocationFailed" if zone else "AllocationFailed", message)


def require_size(name: str, location: str, zones: Iterable[str] = (), *, spot: bool = False) -> Size:
    """The size if it can be had there; otherwise the error that Azure answers.

    400 InvalidParameter for an unknown size or one that the region does not list, 409 SkuNotAvailable for a restricted
    one
    or a zone without it, 409 AzureSpotIsNotSupportedForThisVMSize.
    """
    size = sizes.find(name)
    if size is None or location not in size.regions:
        listed = ",".join(entry.name for entry in sizes.in_region(location))
        what = (
            f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are: "
            f"{listed}."
            if size is None
            else f"The requested VM size {name} is not available in the current region. The sizes available in the "
            f"current region are: {listed}."
        )
        message = f"{what} Find out more on the available VM sizes in each region at https://aka.ms/azure-regions."
        raise ArmError(400, "InvalidParameter", message, target="vmSize")
    asked = list(zones)
    restricted = size.restricted.get(location)
    missing = [zone for zone in asked if zone not in size.regions[location]]
    if restricted == "Location" or missing or (restricted and asked):
        message = (
            f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size.name}' "
            "is "
            f"currently not available in location '{location}'. Please try another size or deploy to a different "
            "location "
            "or different zone. See https://aka.ms/azureskunotavailable for details."
        )
        raise ArmError(409, "SkuNotAvailable", message)
    if spot and not size.spot:
        message = f"Azure Spot is not supported for this VM size {size.name}."
        raise ArmError(409, "AzureSpotIsNotSupportedForThisVMSize", message)
    return size
