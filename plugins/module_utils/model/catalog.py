# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM sizes, quota and prices of one location, as values."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class VmSize:
    """A VM size as the resource SKU list describes it. Prices in USD/hour, None when not known."""

    name: str
    family: str
    vcpus: int
    memory_mib: int
    gpus: int = 0
    rdma: bool = False
    vcpus_per_core: int = 1
    accelerated_networking: bool = False
    premium_disks: bool = True
    spot: bool = True
    architecture: str = "x64"
    zones: tuple[str, ...] = ()
    restricted_zones: tuple[str, ...] = ()
    restriction: str = ""
    price: t.Optional[float] = None
    spot_price: t.Optional[float] = None


@dataclass(frozen=True)
class Quota:
    """One quota of the location: ``name`` is ``cores``, ``lowPriorityCores``, ``virtualMachines`` or a size family."""

    name: str
    limit: int
    used: int


@dataclass(frozen=True)
class Catalog:
    """What one location offers to one subscription. Keys of ``sizes``, ``quotas`` and ``prices`` are lower case.

    ``prices`` are regular and spot price in USD/hour of sizes that do not say theirs. ``spent`` says under ``month``
    what the cluster has cost since the month began, in USD, and is empty when nobody knows.
    """

    location: str
    sizes: t.Mapping[str, VmSize] = field(default_factory=dict)
    quotas: t.Mapping[str, Quota] = field(default_factory=dict)
    prices: t.Mapping[str, tuple[t.Optional[float], t.Optional[float]]] = field(default_factory=dict)
    spent: t.Mapping[str, float] = field(default_factory=dict)

    def size(self, name: str) -> t.Optional[VmSize]:
        """The size of that name in any case, or None."""
        return self.sizes.get(name.lower())

    def price(self, name: str, spot: bool) -> t.Optional[float]:
        """What one machine of a size costs in USD/hour, None when that is not known."""
        size = self.size(name)
        mine = (size.spot_price if spot else size.price) if size else None
        if mine is not None:
            return mine
        return self.prices.get(name.lower(), (None, None))[1 if spot else 0]
