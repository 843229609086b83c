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
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer, Stack
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.patterns import Pattern, Ware, best
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.pools import Key, Pool, Pools
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Choice, Market, New, Store

_ROUNDS = 3
# So many patterns of a packing are a beginning for better ones, those of most nodes.
_SEEN = 600
# While machines are on their way, no less than this share of them is bought on top.
_SLACK = 0.01
_DIMENSIONS = ("cpus", "memory", "gpus")
_TINY = 1e-6
PATTERNS, EVENLY, DENSELY, SIMPLY = "patterns", "evenly", "densely", "simply"


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
        for how in (EVENLY, DENSELY):
            found.append(self._packed(Way(how, ()), None))
            if self._holds_all(found[-1]):
                return found[-1], None
        trials = [self._try(way) for way in self._ways(EVENLY, self._blend.new)] if buying else []
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
        stacks = (one for one in self._base.stacks if one.tags and one.fresh and not one.used)
        coming = sum(one.kind.worth * len(one.tags) for one in stacks if not isinstance(one.tags[0], Node))
        new = sum(count * pool.kind.worth for (_c, pool, _r), count in zip(self._pools.choices, self._advice.new))
        held = sum(sum(pattern.values()) * count for _key, pattern, count in self._advice.patterns)
        held += sum(self._advice.shares.values())
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
        if len(self._items) > MANY:
            return
        yield Way(how, up)
        for index, count in enumerate(up):
            if count != down[index]:
                yield Way(how, (*down[:index], count, *down[index + 1 :]))

    def _with_less(self, trials: list[Trial]) -> None:
        """One node less of a size, as long as that is cheaper: what it held goes elsewhere, or onto a smaller one."""
        for _unused in range(_ROUNDS if len(self._items) <= MANY else 0):
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
        if len(self._items) > MANY:
            return []
        fresh = [one for one in self._base.stacks if one.fresh and not one.used]
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
        lay = _Laying(packer, self._pools, self._items, advice)
        few = len(self._items) <= MANY
        if way.how == PATTERNS:
            lay.patterns()
            lay.shares(PATTERNS)
            if few:
                lay.rest()
        elif way.how != SIMPLY:
            lay.shares(way.how)
        lay.anywhere(buying=False)
        if store is not None and way.how == PATTERNS and few:
            lay.buying(store)
        lay.anywhere(buying=True)
        return packer


class _Laying:
    """Puts the jobs of a packer where an advice has them."""

    def __init__(self, packer: Packer, pools: Pools, items: t.Sequence[JobClass], advice: Advice) -> None:
        self._packer, self._pools, self._items, self._advice = packer, pools, items, advice
        self._stacks: dict[Key, list[Stack]] = {}
        self._known = 0

    def _of(self, key: Key) -> list[Stack]:
        """The stacks of a pool now; packing splits stacks, and the parts are at the end of the packer's list."""
        if self._known < len(self._packer.stacks):
            self._pools.sorted_stacks(self._packer.stacks[self._known :], self._stacks)
            self._known = len(self._packer.stacks)
        return self._stacks.get(key, [])

    def patterns(self) -> None:
        """Patterns as often as they are wanted in whole numbers."""
        for key, pattern, amount in self._advice.patterns:
            wanted = int(amount + 1e-6)
            for one in list(self._of(key)):
                if wanted and one.fresh and not one.used and one.tags:
                    nodes = min(wanted, len(one.tags))
                    lay = self._lay if self._advice.exact else self._lay_alike
                    lay(self._packer.part(one, nodes), pattern)
                    wanted -= nodes

    def _lay_alike(self, one: Stack, pattern: Pattern) -> None:
        """A pattern in which a number stands for several classes that are about alike: node by node, what fits."""
        while one.tags:
            node = self._packer.part(one, 1)
            for number in sorted(pattern):
                count = pattern[number]
                for item in self._advice.members[number]:
                    if count and self._packer.left[item.number]:
                        count -= self._packer.spread(item.number, node, count)
            if node is one:
                break

    def _lay(self, one: Stack, pattern: Pattern) -> None:
        nodes = len(one.tags)
        for number in sorted(pattern):
            count = min(pattern[number] * nodes, self._packer.left[number])
            if count:
                self._packer.spread(number, one, count)

    def shares(self, how: str) -> None:
        """Every class to its pools."""
        for item in self._items:
            for pool in self._pools:
                wanted = min(self._advice.shares.get((item.number, pool.key), 0.0), self._packer.left[item.number])
                if wanted > 0:
                    put = _densely if how == DENSELY else _evenly
                    put(self._packer, item, self._of(pool.key), wanted)

    def rest(self) -> None:
        """Empty nodes that are left, the least first: what is worth most of what is left, node by node."""
        for pool in sorted(self._pools, key=lambda one: (one.kind.worth, one.kind.name)):
            for one in list(self._of(pool.key)):
                while one.tags and one.fresh and not one.used:
                    nodes = self._fill(one, pool)
                    if not nodes:
                        break

    def _fill(self, one: Stack, pool: Pool) -> int:
        """Put the best pattern onto as many nodes of a stack as there are jobs for it; answers how many."""
        _worth, pattern = self._best(pool)
        if not pattern:
            return 0
        nodes = min(len(one.tags), *(self._packer.left[number] // count for number, count in pattern.items()))
        part = self._packer.part(one, max(1, nodes))
        self._lay(part, pattern)
        return len(part.tags)

    def _best(self, pool: Pool) -> tuple[float, Pattern]:
        left, worth = self._packer.left, self._advice.worth
        wares, alone = [], (0.0, t.cast(Pattern, {}))
        for item in self._items:
            if left[item.number] and item.number in pool.open_to:
                value, piece = worth.get(item.number, 0.0), item.pieces[0]
                if not item.exclusive:
                    most = min(left[item.number], item.per_node or left[item.number])
                    wares.append(Ware(item.number, value, (piece.cpus, piece.memory, piece.gpus), most))
                elif value > alone[0]:
                    alone = (value, {item.number: 1})
        return max(best(wares, pool.capacity), alone, key=lambda found: found[0])

    def anywhere(self, buying: bool) -> None:
        """What is left, wherever it fits first; new nodes of what is cheapest for it."""
        shop, self._packer.shop = self._packer.shop, self._packer.shop if buying else None
        for item in self._items:
            if self._packer.left[item.number]:
                self._packer.place(item.number, self._packer.left[item.number])
        self._packer.shop = shop

    def buying(self, store: Store) -> None:
        """New nodes one by one: the most worth of jobs for a dollar."""
        full: set[int] = set()
        while True:
            found: t.Optional[tuple[float, float, int]] = None
            for number, (choice, pool, _room) in enumerate(self._pools.choices):
                worth = self._best(pool)[0] if number not in full else 0.0
                if worth > 0 and (found is None or (worth / choice.price, -choice.price, -number) > found):
                    found = (worth / choice.price, -choice.price, -number)
            if found is None:
                break
            choice, pool, _room = self._pools.choices[-found[2]]
            bought = store.stock(choice, 1)
            if not bought:
                full.add(-found[2])
            for one in bought:
                self._packer.add(one)
                self._fill(one, pool)


def _rooms(packer: Packer, item: JobClass, stacks: t.Sequence[Stack]) -> list[tuple[Stack, int]]:
    """The stacks with room for such jobs, and for how many on each node."""
    rooms = ((one, packer.room(item, one)) for one in stacks)
    return [(one, room) for one, room in rooms if room and one.tags]


def _evenly(packer: Packer, item: JobClass, stacks: t.Sequence[Stack], wanted: float) -> None:
    """Put jobs onto all nodes alike, so that what is left on them is as mixed as what is still to come."""
    rooms = _rooms(packer, item, stacks)
    total = sum(room * len(one.tags) for one, room in rooms)
    wanted, owed = min(wanted, total), 0.0
    for one, room in rooms:
        owed += wanted * room * len(one.tags) / total
        count = int(owed + 1e-6)
        if count:
            owed -= packer.spread(item.number, one, count)


def _densely(packer: Packer, item: JobClass, stacks: t.Sequence[Stack], wanted: float) -> None:
    """Put jobs onto as few nodes as possible, the fullest first."""
    rooms = _rooms(packer, item, stacks)
    rooms.sort(key=lambda pair: (not pair[0].used, pair[0].fresh, pair[0].cpus, pair[0].memory))
    left = int(wanted + 0.5)
    for one, room in rooms:
        nodes = min(len(one.tags), left // room)
        if nodes:
            part = packer.part(one, nodes)
            left -= packer.spread(item.number, part, nodes * room)
            if part is one:
                continue
        if left:
            left -= packer.spread(item.number, packer.part(one, 1), left)
        if not left:
            break


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
