# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a location offers: VM sizes, quota, prices."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import place
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session, together
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, Quota, VmSize

SKUS_VERSION = "2021-07-01"
USAGES_VERSION = "2024-07-01"
PRICES = "https://prices.azure.com/api/retail/prices"
FACTS_TAG = "hpc-vm-facts"
# Terms of one price filter; a longer one makes too long an address.
_PRICE_BATCH = 15

Json = dict[str, t.Any]
Value = t.TypeVar("Value")


class Lazy(Mapping[str, Value]):
    """A mapping that is fetched when somebody looks for more than is ``known`` of it."""

    def __init__(self, load: t.Callable[[], t.Mapping[str, Value]], known: t.Mapping[str, Value] | None = None) -> None:
        self._load = load
        self._known = known or {}
        self._values: t.Mapping[str, Value] | None = None

    def _loaded(self) -> t.Mapping[str, Value]:
        if self._values is None:
            self._values = self._load()
        return self._values

    def __getitem__(self, key: str) -> Value:
        return self._known[key] if key in self._known else self._loaded()[key]

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())


def lazily(session: Session, location: str, known: t.Mapping[str, VmSize]) -> Catalog:
    """The catalog of a location for a pass; asks Azure when it is looked into, and raises AzureError then.

    The list of sizes is megabytes long and takes Azure seconds, so it is only asked for if a size is not ``known``.
    """
    return Catalog(
        location,
        Lazy(lambda: sizes(session, location), known),
        Lazy(lambda: quotas(session, location)),
        Lazy(lambda: price_list(session, location, known)),
    )


def facts_tag(size: VmSize) -> str:
    """What a pass has to know about the size of a scale set, as a tag: ``<vCPUs> <family> <memory in MiB> <GPUs>``."""
    return f"{size.vcpus} {size.family} {size.memory_mib} {size.gpus}"


def sizes_in_tags(tags: t.Iterable[t.Mapping[str, str]]) -> dict[str, VmSize]:
    """The sizes that scale sets say in their tags, as far as they make sense: what `facts_tag` says only. Pure."""
    found = {}
    for mine in tags:
        name, facts = (
            mine.get("hpc-vm-size", ""),
            re.fullmatch(r"([0-9]{1,5}) ([A-Za-z0-9_]+) ([0-9]{1,9}) ([0-9]{1,3})", mine.get(FACTS_TAG, "")),
        )
        if name and facts:
            vcpus, memory, gpus = (int(facts.group(number)) for number in (1, 3, 4))
            found[name.lower()] = VmSize(name, family=facts.group(2), vcpus=vcpus, memory_mib=memory, gpus=gpus)
    return found


def read(session: Session, location: str) -> Catalog:
    """The catalog of a location without prices; raises AzureError. Its sizes are empty if there is no such location."""
    tasks: list[t.Callable[[], t.Any]] = [lambda: sizes(session, location), lambda: quotas(session, location)]
    found_sizes, found_quotas = together(tasks)
    return Catalog(location, found_sizes, found_quotas)


def sizes(session: Session, location: str) -> dict[str, VmSize]:
    """The VM sizes of a location by lower-case name, restricted ones included (and marked)."""
    path = f"/subscriptions/{session.subscription_id}/providers/Microsoft.Compute/skus"
    listed = session.listing(
        path, SKUS_VERSION, f"list the VM sizes of {location}", filter=f"location eq '{place(location)}'"
    )
    found = (vm_size(one, location) for one in listed if one.get("resourceType") == "virtualMachines")
    return {one.name.lower(): one for one in found if one is not None}


def vm_size(sku: Json, location: str) -> VmSize | None:
    """A size from its entry in the SKU list; None if the entry is about another location. Pure."""
    if not any(place(one) == place(location) for one in sku.get("locations") or ()):
        return None
    has = {str(one.get("name")): str(one.get("value")) for one in sku.get("capabilities") or ()}
    info: Json = next(
        (one for one in sku.get("locationInfo") or () if place(one.get("location", "")) == place(location)), {}
    )
    restriction, zones = _restrictions(sku, location)
    return VmSize(
        name=str(sku["name"]),
        family=str(sku.get("family") or ""),
        vcpus=_whole(has.get("vCPUsAvailable") or has.get("vCPUs")),
        memory_mib=int(_number(has.get("MemoryGB")) * 1024),
        gpus=_whole(has.get("GPUs")),
        rdma=_true(has.get("RdmaEnabled")),
        vcpus_per_core=_whole(has.get("vCPUsPerCore")) or 1,
        accelerated_networking=_true(has.get("AcceleratedNetworkingEnabled")),
        premium_disks=_true(has.get("PremiumIO")),
        spot=_true(has.get("LowPriorityCapable")),
        architecture="arm64" if has.get("CpuArchitectureType", "").lower() == "arm64" else "x64",
        zones=tuple(sorted(str(zone) for zone in info.get("zones") or ())),
        restricted_zones=zones,
        restriction=restriction,
    )


def _restrictions(sku: Json, location: str) -> tuple[str, tuple[str, ...]]:
    """Why the subscription cannot use the size at all ('' if it can), and the zones in which it cannot."""
    reason = ""
    zones: set[str] = set()
    for one in sku.get("restrictions") or ():
        info = one.get("restrictionInfo") or {}
        where = info.get("locations") or one.get("values") or ()
        if not any(place(str(name)) == place(location) for name in where):
            continue
        if one.get("type") == "Zone":
            zones.update(str(zone) for zone in info.get("zones") or ())
        else:
            reason = str(one.get("reasonCode") or "NotAvailable")
    return reason, tuple(sorted(zones))


def quotas(session: Session, location: str) -> dict[str, Quota]:
    """The compute quota of a location by lower-case name; raises AzureError."""
    path = f"/subscriptions/{session.subscription_id}/providers/Microsoft.Compute/locations/{place(location)}/usages"
    found = {}
    for one in session.listing(path, USAGES_VERSION, f"list the quota of {location}"):
        name = str((one.get("name") or {}).get("value") or "")
        found[name.lower()] = Quota(name, int(one.get("limit") or 0), int(one.get("currentValue") or 0))
    return found


def priced(session: Session, catalog: Catalog, names: t.Iterable[str]) -> Catalog:
    """The catalog with Linux prices of the named sizes, as far as the price list knows them; raises AzureError."""
    wanted = sorted({found.name for found in map(catalog.size, names) if found is not None})
    batches = [wanted[index : index + _PRICE_BATCH] for index in range(0, len(wanted), _PRICE_BATCH)]
    items = [item for batch in batches for item in session.public(PRICES, _price_query(catalog.location, batch))]
    found = dict(catalog.sizes)
    for name in wanted:
        regular, spot = prices(item for item in items if str(item.get("armSkuName", "")).lower() == name.lower())
        found[name.lower()] = replace(found[name.lower()], price=regular, spot_price=spot)
    return replace(catalog, sizes=found)


def price_list(
    session: Session, location: str, known: t.Mapping[str, VmSize]
) -> dict[str, tuple[float | None, float | None]]:
    """Regular and spot price of sizes by lower-case name; those that cannot be read are not known: {}."""
    try:
        found = priced(session, Catalog(location, known), known)
    except AzureError:
        return {}
    return {name: (size.price, size.spot_price) for name, size in found.sizes.items()}


def _price_query(location: str, names: t.Sequence[str]) -> dict[str, str]:
    either = " or ".join(f"armSkuName eq '{name}'" for name in names)
    where = f"serviceName eq 'Virtual Machines' and armRegionName eq '{place(location)}' and priceType eq 'Consumption'"
    return {"$filter": f"{where} and ({either})"}


def prices(items: t.Iterable[Json]) -> tuple[float | None, float | None]:
    """The regular and the spot price in USD/hour among the price list's items of one size. Pure.

    Spot and the older Low Priority are told apart by the end of the SKU's name alone; Windows by the product's.
    """
    regular: float | None = None
    spot: float | None = None
    for item in items:
        name, product = str(item.get("skuName", "")), str(item.get("productName", ""))
        usual = item.get("type", "Consumption") == "Consumption" and item.get("unitOfMeasure", "1 Hour") == "1 Hour"
        price = item.get("retailPrice")
        if not usual or "Windows" in product or name.endswith("Low Priority") or not isinstance(price, (int, float)):
            continue
        if name.endswith("Spot"):
            spot = float(price) if spot is None else min(spot, float(price))
        else:
            regular = float(price) if regular is None else min(regular, float(price))
    return regular, spot


def _true(value: str | None) -> bool:
    return (value or "").lower() == "true"


def _number(value: str | None) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return 0.0


def _whole(value: str | None) -> int:
    return int(_number(value))
