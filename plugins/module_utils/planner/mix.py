# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sizes to buy, and which jobs go where, for jobs of one piece: the bulk of every queue.

`guide` says in fractions what a perfect packing looks like. Here it becomes whole: patterns as often as they are wanted
in whole numbers, then node by node what is worth most of the rest. Other ways to round, one node less of each size, and
every size alone are tried as well, and the cheapest that holds all jobs is it.
"""

from __future__ import annotations

import math
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.guide import MANY, Advice, Blend, Guide
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.laying import DENSELY, Laying
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.patterns import Pattern
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.pools import Key, Pools
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Choice, Market, New, Store

_ROUNDS = 3
# Of more classes than that, looking for what goes best with a job would take too long.
_SOME = 600
# So many patterns of a packing are a beginning for better ones, those of most nodes.
_SEEN = 600
# While machines are on their way, no less than this share of them is bought on top.
_SLACK = 0.01
_DIMENSIONS = ("cpus", "memory", "gpus")
_TINY = 1e-6
PATTERNS, EVENLY, SIMPLY, HARDEST = "patterns", "evenly", "simply", "hardest"


@dataclass(frozen=True)
class Way:
    """One way to buy and pack: nodes of each choice to begin with, how jobs are laid, only one choice or all."""

    how: str
    counts: tuple[int, ...]
    only: t.Optional[Choice] = None


class Trial(t.NamedTuple):
    """What a way leads to, the least first: jobs that are left out, USD/hour, nodes bought, its place in the tries.

    ``sold`` are the nodes per scale set.
    """

    missing: int
    cost: float
    nodes: int
    turn: int
    way: Way
    sold: dict[str, int]


class Mix:
    """Packs and buys for the jobs of one piece that a packer has left; the packer itself is not changed.

    ``others`` are other purchases that would do, per scale set, the cheapest first.
    """

    def __init__(self, base: Packer, market: Market, limits: Limits, only: t.Optional[Choice] = None) -> None:
        self._base, self._market, self._limits, self._only = base, market, limits, only
        self._items = sorted(
            (item for item in base.demand.classes if item.size == 1 and base.left[item.number]), key=hardness
        )
        self._few = len(self._items) <= MANY
        self._pools = Pools(base, self._items)
        self._advice, self._blend = Advice(), Advice()
        self._tries = 0
        self.others: list[dict[str, int]] = []

    def pack(self, buying: bool) -> tuple[Packer, t.Optional[Store]]:
        """Pack; ``buying``: what does not fit goes onto the cheapest new nodes that were found."""
        found = [self._packed(Way(SIMPLY, ()), None)]
        if self._holds_all(found[-1]):
            return found[-1], None
        if buying:
            self._pools.offer(self._market, self._limits, self._only)
        self._blend = Blend(self._items, self._base.left, self._pools).advise()
        hardest = (HARDEST,) if MANY < len(self._items) <= _SOME else ()
        for how in (EVENLY, DENSELY, *hardest):
            found.append(self._packed(Way(how, ()), None))
            if self._holds_all(found[-1]):
                return found[-1], None
        hows = (EVENLY, *hardest) if buying else ()
        trials = [self._try(way) for how in hows for way in self._ways(how, self._blend.new)]
        seen = self._seen(found[1]) + (self._bought(min(trials).way) if trials else [])
        self._advice = Guide(self._items, self._base.left, self._pools).advise(seen)
        found.append(self._packed(Way(PATTERNS, ()), None))
        if self._holds_all(found[-1]):
            return found[-1], None
        later = buying and self._enough()
        if buying and not later:
            return self._buy(trials)
        fullest = min(found, key=lambda one: sum(one.left))
        fullest.later = later
        return fullest, None

    def _enough(self) -> bool:
        """Whether machines that are on their way are enough as far as the advice goes.

        They were bought for a packing of the same jobs that is not always found again, and are not bought twice.
        """
        advice = self._blend if self._advice.tired else self._advice
        stacks = (one for one in self._base.stacks if one.whole)
        coming = sum(one.kind.worth * len(one.tags) for one in stacks if not isinstance(one.tags[0], Node))
        new = sum(count * pool.kind.worth for (_c, pool, _r), count in zip(self._pools.choices, advice.new))
        held = sum(sum(pattern.values()) * count for _key, pattern, count in advice.patterns)
        held += sum(advice.shares.values())
        wanted = sum(self._base.left[item.number] for item in self._items)
        return held > wanted - 0.01 and new < max(_TINY, _SLACK * coming) and coming > 0

    def _holds_all(self, packer: Packer) -> bool:
        return not any(packer.left[item.number] for item in self._items)

    def _buy(self, trials: list[Trial]) -> tuple[Packer, Store]:
        """The cheapest purchase that was found."""
        trials += [self._try(way) for way in self._ways(PATTERNS, self._advice.new)]
        self._with_less(trials)
        for choice, _pool, _room in self._pools.choices:
            if self._floor(choice) < min(trials).cost - 1e-9:
                trials.append(self._try(Way(SIMPLY, (), choice)))
        best = min(trials)
        self.others = _others(trials, best)
        store = Store(self._market, self._limits, best.way.only or self._only)
        return self._packed(best.way, store), store

    # tries

    def _ways(self, how: str, new: t.Sequence[float]) -> t.Iterator[Way]:
        """Ways to make whole nodes of an advice."""
        down = tuple(int(value + 1e-6) for value in new)
        up = tuple(math.ceil(value - 1e-6) for value in new)
        yield Way(how, down)
        if not self._few:
            return
        yield Way(how, up)
        for index, count in enumerate(up):
            if count != down[index]:
                yield Way(how, (*down[:index], count, *down[index + 1 :]))

    def _with_less(self, trials: list[Trial]) -> None:
        """One node less of a size, as long as that is cheaper: what it held goes elsewhere, or onto a smaller one."""
        for _unused in range(_ROUNDS if self._few else 0):
            before = min(trials)
            for index, count in enumerate(before.way.counts):
                if count:
                    counts = before.way.counts
                    less = (*counts[:index], count - 1, *counts[index + 1 :])
                    trials.append(self._try(Way(before.way.how, less)))
            if min(trials) is before:
                break

    def _try(self, way: Way) -> Trial:
        store = Store(self._market, self._limits, way.only or self._only)
        packer = self._packed(way, store)
        missing = sum(packer.left[item.number] for item in self._items)
        self._tries += 1
        sold = {key: count for key, count in store.sold.items() if count}
        found = Trial(missing, round(store.cost, 6), sum(sold.values()), self._tries, way, sold)
        store.close()
        return found

    def _bought(self, way: Way) -> list[tuple[Key, Pattern]]:
        """The patterns that a way to buy has."""
        store = Store(self._market, self._limits, way.only or self._only)
        found = self._seen(self._packed(way, store))
        store.close()
        return found

    def _seen(self, packer: Packer) -> list[tuple[Key, Pattern]]:
        """The patterns that a packing has on nodes that were empty."""
        fresh = [one for one in self._base.stacks if one.whole]
        fresh += [one for one in packer.stacks if one.tags and isinstance(one.tags[0], New)]
        pools = [(one, self._pools.of(one.kind)) for one in fresh]
        keys = {id(tag): pool.key for one, pool in pools if pool is not None for tag in one.tags}
        on: dict[int, Pattern] = {}
        for item in self._items:
            for run in packer.placed[item.number][len(self._base.placed[item.number]) :]:
                for tag in run.tags:
                    mine = on.setdefault(id(tag), {})
                    mine[item.number] = mine.get(item.number, 0) + run.pieces
        found = Counter((keys[tag], tuple(sorted(pattern.items()))) for tag, pattern in on.items() if tag in keys)
        return [(key, dict(pattern)) for (key, pattern), _count in found.most_common(_SEEN)]

    def _floor(self, choice: Choice) -> float:
        """Less than any plan with this size alone costs; endless if it cannot take all classes that any size can."""
        kind, most = choice.kind, 0.0
        wanted = [
            item for item in self._items if any(item.number in pool.open_to for _c, pool, _r in self._pools.choices)
        ]
        for name in _DIMENSIONS:
            needed = sum(getattr(item.pieces[0], name) * self._base.left[item.number] for item in wanted)
            free = sum(getattr(one, name) * len(one.tags) for one in self._base.stacks if one.cpus >= 0)
            if getattr(kind, name):
                most = max(most, (needed - free) / getattr(kind, name))
        if not all(self._base.suits(item, 0, kind) for item in wanted):
            return math.inf
        return max(0, math.ceil(most - 1e-9)) * choice.price

    # packing

    def _packed(self, way: Way, store: t.Optional[Store]) -> Packer:
        packer = self._base.copy(store)
        for (choice, _pool, _room), count in zip(self._pools.choices, way.counts):
            for one in store.stock(choice, count) if store is not None else ():
                packer.add(one)
        advice = self._advice if way.how == PATTERNS else self._blend
        lay = Laying(packer, self._pools, self._items, advice)
        if way.how == PATTERNS:
            lay.patterns()
            lay.shares(PATTERNS)
            if self._few:
                lay.rest()
        elif way.how == HARDEST:
            lay.hardest()
        elif way.how != SIMPLY:
            lay.shares(way.how)
        lay.anywhere(buying=False)
        if store is not None and (way.how == HARDEST or (way.how == PATTERNS and self._few)):
            lay.buying(store)
        lay.anywhere(buying=True)
        return packer


def _others(trials: t.Sequence[Trial], best: Trial) -> list[dict[str, int]]:
    """What else could be bought, each once."""
    found: list[dict[str, int]] = []
    for one in sorted(trials):
        if one.missing == best.missing and one.sold not in (best.sold, *found):
            found.append(one.sold)
    return found


def hardness(item: JobClass) -> tuple[t.Any, ...]:
    """Groups first, then whole nodes, then the largest pieces."""
    piece = item.pieces[0]
    biggest = (piece.gpus, max(piece.cpus / 4, piece.memory / 16384))
    return (not item.one_group, item.size == 1, not item.exclusive, -item.size, *(-one for one in biggest), item.number)
