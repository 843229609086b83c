# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a job that waits could ever start: as the definition is, with more quota, or as soon as others are done.

It is tried, with the packer and the limits of every plan, on two clusters that have nothing else to do: the nodes that
are there now with what may be bought beside them, and a cluster whose machines are all gone. Where both fail the job
cannot start, whatever ends and whatever is deleted.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, Quota
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Budget, Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.gangs import Gangs, place
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits, quotas_of, spot
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Choice, Market, Store
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.reasons import lacks, never, nodes_for
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Stack

_SHOWN = 3


class Verdict(t.NamedTuple):
    """``possible``: the job can start once others are done. Else why not, with what would have to change.

    ``scope`` is what the limit is about that is in the way now, see `limits.Room`.
    """

    possible: bool
    reason: str = ""
    scope: tuple[str, ...] = ()


@dataclass
class _World:
    """A cluster without jobs: its nodes, and how many machines it may still get."""

    stacks: list[Stack]
    limits: Limits

    def bought_for(self, item: JobClass, market: Market) -> t.Optional[dict[str, int]]:
        """The machines (per scale set) that it buys for one job of a class, None if the job cannot have its nodes."""
        alone = replace(item, number=0, jobs=[], count=1)
        store = Store(market, self.limits)
        stacks = [Stack(one.kind, one.tags) for one in self.stacks]
        packer = Packer(Demand([alone], [], {}), stacks, market.kinds.values(), store)
        placed = place(packer, Gangs(packer), alone, 1)
        bought = {key: count for key, count in store.sold.items() if count}
        store.close()
        return bought if placed else None


class Outlook:
    """Verdicts on the jobs of one observation.

    ``stacks`` are the nodes that are up or on their way, ``counted`` the machines per scale set (lower case) that stay.
    """

    def __init__(
        self,
        cluster: Cluster,
        layout: Layout,
        catalog: Catalog,
        market: Market,
        scale_sets: t.Mapping[str, ScaleSet],
        stacks: t.Sequence[Stack],
        counted: t.Mapping[str, int],
    ) -> None:
        self._cluster, self._layout, self._catalog, self._market = cluster, layout, catalog, market
        self._sets, self._stacks, self._counted = scale_sets, stacks, counted
        self._free: t.Optional[list[_World]] = None
        self._within: t.Optional[list[_World]] = None

    def verdict(self, item: JobClass) -> Verdict:
        """Whether a job of a class could have its nodes if it were the only one."""
        lacking = self.lacking(item)
        if lacking:
            return Verdict(False, lacking)
        if self._free is None:
            self._free = self._worlds({})
        bought = [world.bought_for(item, self._market) for world in self._free]
        if all(one is None for one in bought):
            return Verdict(False, self._too_many(item))
        if self._within is None:
            self._within = self._worlds(self._catalog.quotas)
        if any(world.bought_for(item, self._market) is not None for world in self._within):
            return Verdict(True, self._too_fast(max(sum((one or {}).values()) for one in bought)))
        return Verdict(False, self._more_quota(next(one for one in bought if one is not None)))

    def lacking(self, item: JobClass) -> str:
        """Why no node that there is or could be is one for a job of a class, '' if there is one for every piece."""
        store = Store(self._market, self._limits({}, {}))
        suits = (
            store.fitting(item, piece) or any(one.kind.serves(item) and one.kind.has(piece) for one in self._stacks)
            for piece in item.pieces
        )
        return "" if all(suits) else never(item, self._market)

    def taken_elsewhere(self, quota: str) -> int:
        """How much of a quota (lower case) is in use by others than the cluster's node arrays, as far as Azure says."""
        return max(0, self._catalog.quotas[quota].used - self._taken(self._counted).get(quota, 0))

    # the clusters

    def _worlds(self, quotas: t.Mapping[str, Quota]) -> list[_World]:
        """The cluster with the nodes that it has, and the one whose machines are all gone. {}: without quotas."""
        foreign = [
            Stack(one.kind, [tag for tag in one.tags if isinstance(tag, Node) and tag.machine is None])
            for one in self._stacks
        ]
        unused = {name: replace(quota, used=0) for name, quota in quotas.items()}
        return [
            _World(list(self._stacks), self._limits(self._counted, quotas)),
            _World([one for one in foreign if one.tags], self._limits({}, unused)),
        ]

    def _limits(self, counted: t.Mapping[str, int], quotas: t.Mapping[str, Quota]) -> Limits:
        """The limits of the definition and these quotas: nothing is refused, too fast, or too late in the month."""
        policy = self._cluster.autoscale
        priced = all(choice.known for choice in self._market.choices)
        cluster = replace(
            self._cluster,
            autoscale=replace(policy, grow_per_minute=0, budget=policy.budget if priced else Budget()),
        )
        sets = {
            spec.name.casefold(): ScaleSet("", spec.name, spec.node_array, spec.vm_size, 0, spec.priority, spec.zone)
            for spec in self._layout.scale_sets
        }
        for key in counted:
            sets.setdefault(key, replace(self._sets[key], instances=()))
        catalog = replace(self._catalog, quotas=quotas, spent={"month": 0.0})
        return Limits(cluster, self._layout, sets, catalog, 0, counted, {})

    # in words

    def _too_many(self, item: JobClass) -> str:
        """Which limits of the definition are too small for one job of a class."""
        limits = (self._free or [])[-1].limits
        found: dict[str, tuple[int, str]] = {}
        tightest: t.Optional[tuple[int, str]] = None
        near = item.one_group and any(choice.kind.near for choice in self._market.choices if self._holds(item, choice))
        for choice in self._market.choices:
            if near and not choice.kind.near:
                continue
            pieces = [piece for piece in item.pieces if not lacks(choice.kind, item, piece)]
            if not pieces:
                continue
            nodes = sum(nodes_for(item, piece, choice.kind) for piece in pieces)
            room = limits.most([spec for spec, _kind in choice.kinds], item.one_group)
            limit = room.limit or room.reason
            tightest = min(tightest or (room.count, limit), (room.count, limit))
            if room.count < nodes and (limit not in found or nodes < found[limit][0]):
                found[limit] = (nodes, choice.vm_size)
        reasons = [f"it needs {_nodes(nodes)} of {size}, and {limit}" for limit, (nodes, size) in found.items()]
        if not reasons:
            limit = f", and {tightest[1]}" if tightest else ""
            return f"it needs {item.text}{limit}: not all of it can be there at once"
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        return "; ".join(reasons[:_SHOWN]) + more

    @staticmethod
    def _holds(item: JobClass, choice: Choice) -> bool:
        return not any(lacks(choice.kind, item, piece) for piece in item.pieces)

    def _more_quota(self, bought: t.Mapping[str, int]) -> str:
        """Which quotas are too small for the machines that a job takes, and what to ask for."""
        reasons = []
        for name, amount in sorted(self._taken(bought).items()):
            quota = self._catalog.quotas[name]
            if amount > quota.limit:
                unit = "machines" if name == "virtualmachines" else "vCPUs"
                reasons.append(
                    f"it needs {amount} {unit} of quota {quota.name}, which allows {quota.limit}: "
                    f"ask Azure for at least {amount + self.taken_elsewhere(name)}"
                )
        return "; ".join(reasons) or "the quotas of the subscription are too small for it"

    def _taken(self, machines: t.Mapping[str, int]) -> dict[str, int]:
        """What machines (per scale set) take of each quota."""
        found: dict[str, int] = {}
        for key, count in machines.items():
            one = self._market.specs.get(key) or self._sets[key]
            for name, amount in quotas_of(self._catalog, one.vm_size, spot(one)).items():
                found[name] = found.get(name, 0) + amount * count
        return found

    def _too_fast(self, nodes: int) -> str:
        """What to say of a job that needs more machines at once than a minute may bring; '' if it does not."""
        most = self._cluster.autoscale.grow_per_minute
        if not most or nodes <= most:
            return ""
        return f"it needs {nodes} machines at once, and {most} may be asked for in a minute (autoscale.grow_per_minute)"


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
