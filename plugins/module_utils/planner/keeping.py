# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that node arrays keep, whatever jobs need: `min_nodes` and `warm_nodes`."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster, NodeArray
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.basket import Basket
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.lifecycle import Life
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import NodeView
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Market, New


class Keeper:
    """Buys what is lacking into a basket."""

    def __init__(
        self, cluster: Cluster, view: NodeView, life: Life, market: Market, limits: Limits, basket: Basket
    ) -> None:
        arrays = sorted(cluster.node_arrays, key=lambda one: one.name)
        self._arrays = [array for array in arrays if array.min_nodes or array.warm_nodes]
        self._view, self._life, self._market, self._limits, self._basket = view, life, market, limits, basket

    def buy(self, packer: Packer) -> dict[str, int]:
        """Buy what node arrays lack beside what jobs use; answers how many of each the limits do not allow."""
        missing = {array.name: self._buy(array, packer) for array in self._arrays}
        return {name: count for name, count in missing.items() if count > 0}

    def _buy(self, array: NodeArray, packer: Packer) -> int:
        sold, specs = self._basket.sold, self._market.specs
        staying, spare = self._life.staying(packer.stacks)
        ordered = (self._view.ordered(one) for one in self._view.scale_sets.values() if one.node_array == array.name)
        new = sum(count for key, count in sold.items() if specs[key].node_array == array.name)
        there = staying.get(array.name, 0) + sum(ordered) + new
        coming = (one for one in packer.stacks if one.tags and not one.used and _coming(one.tags[0]) == array.name)
        idle = spare.get(array.name, 0) + sum(len(one.tags) for one in coming)
        missing = max(array.min_nodes - there, array.warm_nodes - idle)
        for choice in self._market.choices if missing > 0 else ():
            for spec, _kind in choice.kinds if choice.array == array.name else ():
                count = min(missing, self._limits.room(spec).count)
                if count > 0:
                    self._limits.take(spec, count)
                    self._basket.put({spec.name.casefold(): count})
                    missing -= count
        return missing


def _coming(tag: t.Any) -> str:
    """The node array of a machine that is ordered, or bought by this plan; '' for all others."""
    if isinstance(tag, New):
        return tag.spec.node_array
    return tag.node_array if isinstance(tag, ScaleSet) else ""
