# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan buys so far, in step with the limits: it can be exchanged for something else and back."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Market

# Machines per scale set, by its name in lower case.
Machines = dict[str, int]


class Basket:
    """``sold`` counts in the limits already."""

    def __init__(self, market: Market, limits: Limits, specs: t.Mapping[str, ScaleSetSpec]) -> None:
        self._market, self._limits, self._specs = market, limits, specs
        self.sold: Machines = {}

    def put(self, sold: t.Mapping[str, int]) -> None:
        """Add machines that the limits know of."""
        self.sold = together(self.sold, sold)

    def give_back(self, sold: t.Mapping[str, int]) -> None:
        """Tell the limits of machines that are not bought after all, and are not in the basket."""
        for key, count in sold.items():
            self._limits.take(self._specs[key], -count)

    def exchange(self, sold: t.Mapping[str, int]) -> None:
        """Give back what is bought and buy this instead."""
        self.give_back(self.sold)
        for key, count in sold.items():
            self._limits.take(self._specs[key], count)
        self.sold = dict(sold)

    def cost(self, sold: t.Optional[t.Mapping[str, int]] = None) -> float:
        """USD/hour of what is bought, or of something else."""
        prices = {spec.name.casefold(): one.price for one in self._market.choices for spec, _kind in one.kinds}
        return sum(prices[key] * count for key, count in (self.sold if sold is None else sold).items())


def together(one: t.Mapping[str, int], other: t.Mapping[str, int]) -> Machines:
    """The machines of both."""
    return {**one, **{key: one.get(key, 0) + count for key, count in other.items()}}
