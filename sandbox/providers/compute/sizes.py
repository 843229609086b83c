# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM sizes, quota families and prices: the facts of ``sizes.json`` in the shapes in which Azure tells them.

Facts are Azure's public ones (size pages, resource SKU and usage lists). Prices are approximate list prices in USD/hour
of eastus, rounded, times a factor per region: good for comparing sizes, not for accounting.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True)
class Region:
    """An Azure region. ``display`` is its name for people, ``billing`` the one of the price list.

    A region with ``few`` sizes has only those that are offered everywhere (``"regions": "**"`` in the file).
    """

    name: str
    display: str
    billing: str
    zones: tuple[str, ...]
    price_factor: float
    few: bool = False


@dataclass(frozen=True)
class Size:
    """A VM size. ``available_vcpus`` is what the guest sees of ``vcpus`` (constrained sizes); quota counts ``vcpus``.

    ``regions`` maps a region's name to the zones that offer the size, ``restricted`` to ``Location`` or ``Zone``:
    listed,
    but not to be had there by this subscription. Memory is in GiB as Azure says it, prices are USD/hour.
    """

    name: str
    family: str
    product: str
    vcpus: int
    available_vcpus: int
    memory_gb: float
    temp_gib: int
    max_data_disks: int
    max_nics: int
    vcpus_per_core: int
    price: float
    spot_price: float | None
    regions: dict[str, tuple[str, ...]]
    gpus: int = 0
    rdma: bool = False
    spot: bool = True
    premium: bool = True
    ephemeral: bool = True
    accelerated: bool = True
    ultra: bool = False
    architecture: str = "x64"
    generations: str = "V1,V2"
    parent: str = ""
    nvme_mib: int = 0
    acus: int = 0
    deployment: str = "IaaS"
    restricted: dict[str, str] = field(default_factory=dict)
    io: dict[str, int] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """``HB120rs_v3``."""
        return self.name.split("_", 1)[1]

    @property
    def memory_mib(self) -> int:
        return int(self.memory_gb * 1024)


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return data


@functools.cache
def regions() -> dict[str, Region]:
    """The regions by name."""
    return {
        name: Region(
            name, raw["display"], raw["billing"], tuple(raw["zones"]), raw["priceFactor"], raw.get("few", False)
        )
        for name, raw in _data()["regions"].items()
    }


def normal_location(location: str) -> str:
    """``West Europe`` and ``westeurope`` are one place."""
    return location.replace(" ", "").lower()


def _read(raw: dict[str, Any]) -> Size:
    offered = raw["regions"]
    if offered in ("*", "**"):
        places = {name: region.zones for name, region in regions().items() if offered == "**" or not region.few}
    else:
        places = {name: tuple(zones) for name, zones in offered.items()}
    return Size(
        name=raw["name"],
        family=raw["family"],
        product=raw["product"],
        vcpus=raw["vCPUs"],
        available_vcpus=raw.get("available", raw["vCPUs"]),
        memory_gb=raw["memoryGB"],
        temp_gib=raw["tempGiB"],
        max_data_disks=raw["maxDataDisks"],
        max_nics=raw["maxNics"],
        vcpus_per_core=raw["vCPUsPerCore"],
        price=raw["price"],
        spot_price=raw["spotPrice"],
        regions=places,
        gpus=raw.get("gpus", 0),
        rdma=raw.get("rdma", False),
        spot=not raw.get("noSpot", False),
        premium=raw.get("premium", True),
        ephemeral=raw.get("ephemeral", True),
        accelerated=raw.get("accelerated", True),
        ultra=raw.get("ultra", False),
        architecture=raw.get("arch", "x64"),
        generations=raw.get("hyperV", "V1,V2"),
        parent=raw.get("parent", ""),
        nvme_mib=raw.get("nvmeMiB", 0),
        acus=raw.get("acus", 0),
        deployment=raw.get("deployment", "IaaS"),
        restricted=raw.get("restricted", {}),
        io=raw.get("io", {}),
        omitted=tuple(raw.get("drop", ())),
    )


@functools.cache
def sizes() -> dict[str, Size]:
    """All sizes by lower-case name."""
    return {raw["name"].lower(): _read(raw) for raw in _data()["sizes"]}


def find(name: str) -> Size | None:
    """The size of that name in any case."""
    return sizes().get(name.lower())


def in_region(location: str) -> list[Size]:
    """Sizes that the region lists, restricted ones too."""
    place = normal_location(location)
    return [size for size in sizes().values() if place in size.regions]


def _flag(value: bool) -> str:
    return "True" if value else "False"


def _number(value: float) -> str:
    return f"{value:g}"


def capabilities(size: Size) -> list[dict[str, str]]:
    """The ``capabilities`` of a SKU entry, in Azure's order; every value is a string."""
    values: list[tuple[str, object]] = [
        ("MaxResourceVolumeMB", size.temp_gib * 1024),
        ("OSVhdSizeMB", 1047552),
        ("vCPUs", size.vcpus),
        ("MemoryPreservingMaintenanceSupported", _flag(not size.rdma and not size.gpus)),
        ("HyperVGenerations", size.generations),
        ("SupportedEphemeralOSDiskPlacements", "ResourceDisk,CacheDisk" if size.ephemeral else None),
        ("MemoryGB", _number(size.memory_gb)),
        ("MaxDataDiskCount", size.max_data_disks),
        ("CpuArchitectureType", size.architecture),
        ("LowPriorityCapable", _flag(size.spot)),
        ("PremiumIO", _flag(size.premium)),
        ("VMDeploymentTypes", size.deployment),
        ("vCPUsAvailable", size.available_vcpus),
        ("ACUs", size.acus or None),
        ("GPUs", size.gpus or None),
        ("vCPUsPerCore", size.vcpus_per_core),
        *size.io.items(),
        ("EphemeralOSDiskSupported", _flag(size.ephemeral)),
        ("EncryptionAtHostSupported", _flag(True)),
        ("CapacityReservationSupported", _flag(not size.rdma)),
        ("AcceleratedNetworkingEnabled", _flag(size.accelerated)),
        ("RdmaEnabled", _flag(size.rdma)),
        ("MaxNetworkInterfaces", size.max_nics),
        ("NvmeDiskSizeInMiB", size.nvme_mib or None),
        ("ParentSize", size.parent.removeprefix("Standard_") or None),
    ]
    return [
        {"name": name, "value": str(value)} for name, value in values if value is not None and name not in size.omitted
    ]


def restrictions(size: Size, location: str) -> list[dict[str, Any]]:
    """Why the size can not be had in the region, in the shape of a SKU entry; empty if it can."""
    kind = size.restricted.get(location)
    if not kind:
        return []
    by_zone: dict[str, Any] = {
        "type": "Zone",
        "values": [location],
        "restrictionInfo": {"locations": [location], "zones": list(regions()[location].zones)},
        "reasonCode": "NotAvailableForSubscription",
    }
    if kind == "Zone":
        return [by_zone]
    by_location: dict[str, Any] = {
        "type": "Location",
        "values": [location],
        "restrictionInfo": {"locations": [location]},
        "reasonCode": "NotAvailableForSubscription",
    }
    return [by_location, by_zone] if regions()[location].zones else [by_location]


def sku_entry(size: Size, location: str, *, zone_key: str = "name") -> dict[str, Any]:
    """One element of ``Microsoft.Compute/skus``: one size in one region."""
    zones = list(size.regions[location])
    details = [{zone_key: zones, "capabilities": [{"name": "UltraSSDAvailable", "value": "True"}]}]
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": size.name.split("_", 1)[0],
        "size": size.short,
        "family": size.family,
        "locations": [location],
        "locationInfo": [
            {"location": location, "zones": zones, "zoneDetails": details if size.ultra and zones else []}
        ],
        "capabilities": capabilities(size),
        "restrictions": restrictions(size, location),
    }


_DISKS: tuple[tuple[str, str, str, int, int, int, int], ...] = (
    ("Standard_LRS", "Standard", "S4", 32, 0, 500, 60),
    ("Standard_LRS", "Standard", "S10", 128, 64, 500, 60),
    ("Premium_LRS", "Premium", "P4", 32, 16, 120, 25),
    ("Premium_LRS", "Premium", "P10", 128, 64, 500, 100),
    ("Premium_LRS", "Premium", "P30", 1024, 512, 5000, 200),
    ("StandardSSD_LRS", "Standard", "E4", 32, 16, 500, 60),
    ("StandardSSD_LRS", "Standard", "E10", 128, 64, 500, 60),
)


def _other_skus(location: str) -> Iterator[dict[str, Any]]:
    def entry(kind: str, name: str, zones: list[str], **more: Any) -> dict[str, Any]:
        place = {"location": location, "zones": zones, "zoneDetails": []}
        return {
            "resourceType": kind,
            "name": name,
            **more,
            "locations": [location],
            "locationInfo": [place],
            "restrictions": [],
        }

    zones = list(regions()[location].zones)
    for name in ("Classic", "Aligned"):
        yield entry(
            "availabilitySets", name, [], capabilities=[{"name": "MaximumPlatformFaultDomainCount", "value": "3"}]
        )
    for name, tier, size, most, least, iops, rate in _DISKS:
        limits = {
            "MaxSizeGiB": most,
            "MinSizeGiB": least,
            "MaxIOps": iops,
            "MinIOps": iops,
            "MaxBandwidthMBps": rate,
            "MinBandwidthMBps": rate,
            "MaxValueOfMaxShares": 1,
        }
        yield entry(
            "disks",
            name,
            zones,
            tier=tier,
            size=size,
            capabilities=[{"name": key, "value": str(value)} for key, value in limits.items()],
        )
    for name, tier in (("Standard_LRS", "Standard"), ("Premium_LRS", "Premium"), ("Standard_ZRS", "Standard")):
        yield entry("snapshots", name, [], tier=tier)


def skus(location: str = "", *, zone_key: str = "name") -> list[dict[str, Any]]:
    """The resource SKU list of one region, or of all of them. ``zone_key`` is what zone details call their zones."""
    place = normal_location(location)
    places = [place] if place else list(regions())
    answer: list[dict[str, Any]] = []
    for name in places:
        if name in regions():
            answer.extend(_other_skus(name))
            answer.extend(sku_entry(size, name, zone_key=zone_key) for size in in_region(name))
    return answer


def vm_sizes(location: str) -> list[dict[str, Any]]:
    """The elements of ``locations/{location}/vmSizes``."""
    return [
        {
            "name": size.name,
            "numberOfCores": size.vcpus,
            "osDiskSizeInMB": 1047552,
            "resourceDiskSizeInMB": size.temp_gib * 1024,
            "memoryInMB": size.memory_mib,
            "maxDataDiskCount": size.max_data_disks,
        }
        for size in in_region(location)
    ]


# quota: name -> (label, default limit); families come from the file
_QUOTAS: dict[str, tuple[str, int]] = {
    "availabilitySets": ("Availability Sets", 2500),
    "cores": ("Total Regional vCPUs", 10000),
    "virtualMachines": ("Virtual Machines", 25000),
    "virtualMachineScaleSets": ("Virtual Machine Scale Sets", 2500),
    "dedicatedVCpus": ("Dedicated vCPUs", 3000),
    "cloudServices": ("Cloud Services", 2500),
    "lowPriorityCores": ("Total Regional Low-priority vCPUs", 10000),
}
_DISK_QUOTAS: dict[str, tuple[str, int]] = {
    "StandardDiskCount": ("Standard Storage Managed Disks", 50000),
    "StandardSSDDiskCount": ("StandardSSDStorageDisks", 50000),
    "PremiumDiskCount": ("Premium Storage Managed Disks", 50000),
    "StandardSnapshotCount": ("StandardStorageSnapshots", 75000),
}


@functools.cache
def quota_defaults() -> dict[str, tuple[str, int]]:
    """Every quota of a region: its label and the limit that it has unless it was changed."""
    families = {name: (raw["label"], raw["limit"]) for name, raw in _data()["families"].items()}
    return {**_QUOTAS, **families, **_DISK_QUOTAS}


def usage_entry(name: str, limit: int, used: int) -> dict[str, Any]:
    """One element of ``locations/{location}/usages``."""
    label = quota_defaults()[name][0]
    return {"limit": limit, "unit": "Count", "currentValue": used, "name": {"value": name, "localizedValue": label}}
