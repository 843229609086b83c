# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New machines: which sizes a job could run on, what they cost, how many more the limits allow, and why no more."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, VmSize
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.hostlist import sort_key
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass, Piece
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits, Room
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind, Stack


@dataclass
class Choice:
    """A size of a node array with the kinds that its scale sets make: one per zone and placement group."""

    array: str
    vm_size: str
    price: float
    known: bool
    kinds: list[tuple[ScaleSetSpec, Kind]] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """One of its kinds: they differ in labels of place only."""
        return self.kinds[0][1]


class New:
    """A machine that a plan buys."""

    __slots__ = ("spec",)

    def __init__(self, spec: ScaleSetSpec) -> None:
        self.spec = spec


def new_stack(spec: ScaleSetSpec, kind: Kind, count: int) -> Stack:
    """Machines that a plan buys, as nodes for jobs."""
    return Stack(kind, [New(spec) for _unused in range(count)])


class Market:
    """What can be bought at all, in the order of price; the same whatever is there and whatever is wanted.

    Prices are looked up when somebody wants to buy: most passes do not, and asking for them takes a request.
    """

    def __init__(self, cluster: Cluster, layout: Layout, catalog: Catalog) -> None:
        self._catalog, self._layout = catalog, layout
        self._choices: t.Optional[list[Choice]] = None
        self.kinds: dict[str, Kind] = {}
        self.specs: dict[str, ScaleSetSpec] = {spec.name.casefold(): spec for spec in layout.scale_sets}
        for spec in layout.scale_sets:
            size = catalog.size(spec.vm_size)
            if size is not None:
                self.kinds[spec.name.casefold()] = kind_of(cluster, spec, size)

    @property
    def choices(self) -> list[Choice]:
        """All sizes of all node arrays, the cheapest machine first."""
        if self._choices is None:
            found: dict[tuple[str, str, str], Choice] = {}
            for spec in sorted(self._layout.scale_sets, key=lambda one: sort_key(one.name)):
                kind = self.kinds.get(spec.name.casefold())
                if kind is not None:
                    key = (spec.node_array, spec.vm_size.lower(), spec.priority)
                    if key not in found:
                        usd = self.price(spec)
                        known = Choice(
                            spec.node_array, spec.vm_size, kind.worth if usd is None else usd, usd is not None
                        )
                        found[key] = known
                    found[key].kinds.append((spec, kind))
            self._choices = sorted(found.values(), key=lambda one: (one.price, one.array, one.vm_size))
        return self._choices

    def price(self, spec: ScaleSetSpec) -> t.Optional[float]:
        """USD/hour of one machine of a scale set, None when it is not known."""
        return self._catalog.price(spec.vm_size, spec.priority == "spot")


def kind_of(cluster: Cluster, spec: ScaleSetSpec, size: VmSize) -> Kind:
    """What a machine of a scale set will be to jobs."""
    offer = offers.offer(cluster, spec, size)
    queues = frozenset(offer.partitions) if cluster.partitions else None
    place = dict(offer.labels)[offers.PLACEMENT_GROUP]
    return Kind(spec.name, (offer.cpus, offer.memory_mib, offer.gpus), offer.labels, queues, place, bool(offer.group))


class Store:
    """Sells machines within the limits. ``only``: no other choice than this one. ``sold`` are counts per scale set."""

    def __init__(self, market: Market, limits: Limits, only: t.Optional[Choice] = None) -> None:
        self._market, self._limits = market, limits
        self._choices = market.choices if only is None else [only]
        self.sold: dict[str, int] = {}
        self._fitting: dict[tuple[int, int], list[tuple[Choice, int]]] = {}
        self._full: set[str] = set()
        self._narrow: t.Optional[Choice] = None

    @property
    def cost(self) -> float:
        """USD/hour of what was sold."""
        prices = {spec.name.casefold(): one.price for one in self._market.choices for spec, _kind in one.kinds}
        return sum(prices[name] * count for name, count in self.sold.items())

    def fitting(self, item: JobClass, piece: Piece) -> list[tuple[Choice, int]]:
        """The choices for a piece, and how many pieces one machine of each holds."""
        key = (item.number, item.pieces.index(piece))
        found = self._fitting.get(key)
        if found is None:
            found = []
            for choice in self._choices:
                kind = choice.kind
                if any(one.serves(item) and one.has(piece) for _spec, one in choice.kinds):
                    alone = item.spread == SCATTER or (item.exclusive and item.size == 1)
                    holds = 1 if alone else kind.holds(piece)
                    found.append((choice, min(holds, item.per_node) if item.per_node else holds))
            self._fitting[key] = found
        return found

    def buy(self, item: JobClass, piece: Piece, wanted: int, future: int, group: str) -> list[Stack]:
        """See `packing.Shop`: the choice with the lowest price per piece that will really be on it."""
        ranked = sorted(
            self.fitting(item, piece),
            key=lambda one: (one[0].price / min(one[1], max(1, future)), one[0].price, one[0].array, one[0].vm_size),
        )
        ranked = [one for one in ranked if self._narrow is None or one[0] is self._narrow]
        for choice, holds in ranked:
            nodes = max(1, wanted // holds)
            for spec, kind in self._open(choice, item, piece, group):
                count = min(nodes, self._limits.room(spec).count)
                if count > 0:
                    self.take(spec, count)
                    return [new_stack(spec, kind, count)]
                self._full.add(spec.name)
        return []

    def options(self, item: JobClass) -> list[Choice]:
        """See `packing.Shop`."""
        found = {id(choice): choice for piece in item.pieces for choice, _holds in self.fitting(item, piece)}
        return list(found.values())

    def narrow(self, option: t.Optional[Choice]) -> None:
        """See `packing.Shop`."""
        self._narrow = option
        self._full.clear()

    def take(self, spec: ScaleSetSpec, count: int) -> None:
        """Note that machines of a scale set are sold."""
        self._limits.take(spec, count)
        key = spec.name.casefold()
        self.sold[key] = self.sold.get(key, 0) + count
        if count < 0:
            self._full.clear()

    def _open(self, choice: Choice, item: JobClass, piece: Piece, group: str) -> t.Iterator[tuple[ScaleSetSpec, Kind]]:
        """The scale sets of a choice that could serve the piece."""
        found = [
            (spec, kind)
            for spec, kind in choice.kinds
            if spec.name not in self._full and (not group or kind.group == group) and kind.has(piece)
        ]
        return iter(self._places(choice, found))

    def _places(
        self, choice: Choice, places: t.Sequence[tuple[ScaleSetSpec, Kind]]
    ) -> t.Sequence[tuple[ScaleSetSpec, Kind]]:
        """In the order in which they are to be filled: of placement groups the fullest first."""
        if not places or not places[0][0].placement_group:
            return places
        found = [one for one in places if self._stays(choice, one[0])]
        found.sort(key=lambda one: (-self._limits.count(one[0]), one[0].placement_group, one[0].name))
        return found

    def _stays(self, choice: Choice, spec: ScaleSetSpec) -> bool:
        """One placement group is one fabric: with machines in one zone it grows in no other."""
        if not spec.zone or self._limits.count(spec):
            return True
        return not any(
            other.placement_group == spec.placement_group and self._limits.count(other) for other, _kind in choice.kinds
        )

    def refund(self, stacks: t.Sequence[Stack]) -> None:
        """See `packing.Shop`."""
        for one in stacks:
            self.take(one.tags[0].spec, -len(one.tags))

    def stock(self, choice: Choice, count: int) -> list[Stack]:
        """Buy so many machines of a choice, or as many as there is room for."""
        found = []
        for spec, kind in self._places(choice, choice.kinds):
            number = min(count, self._limits.room(spec).count) if count > 0 else 0
            if number > 0:
                self.take(spec, number)
                found.append(new_stack(spec, kind, number))
                count -= number
        return found

    def close(self) -> None:
        """Take everything back."""
        for key, count in self.sold.items():
            if count:
                self._limits.take(self._market.specs[key], -count)
        self.sold = {}

    def groups(self, item: JobClass, piece: Piece, near: bool) -> list[tuple[str, int, int, float]]:
        """See `packing.Shop`. Of the empty groups of a choice only the first: they are all alike."""
        found: list[tuple[str, int, int, float]] = []
        for choice, most in self.fitting(item, piece):
            for spec, kind in self._open(choice, item, piece, ""):
                if near and not kind.near:
                    continue
                room = self._limits.room(spec).count
                if not room:
                    self._full.add(spec.name)
                    continue
                holds = min(most, *(kind.holds(one) for one in item.pieces if kind.has(one)))
                found.append((kind.group, room, holds, choice.price))
                if not self._limits.count(spec):
                    break
        return found

    def blocked(self, item: JobClass) -> t.Optional[Room]:
        """What is in the way of machines for such jobs; None if no size suits, whatever the limits are."""
        rooms: list[Room] = []
        for piece in item.pieces:
            mine = [
                self._limits.room(spec)
                for choice, _holds in self.fitting(item, piece)
                for spec, kind in choice.kinds
                if kind.has(piece)
            ]
            if not mine:
                return None
            rooms += mine
        return next((room for room in rooms if room.soon), min(rooms, key=lambda room: room.count))
