# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts jobs of one piece where an advice has them: evenly, densely, in patterns, or node by node."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.guide import Advice, needs
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.patterns import Pattern, Shelf, Ware
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.pools import Key, Pool, Pools
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Store
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import ENDLESS, Stack

DENSELY = "densely"
_TINY = 1e-6


class Laying:
    """Puts the jobs of a packer where an advice has them."""

    def __init__(self, packer: Packer, pools: Pools, items: t.Sequence[JobClass], advice: Advice) -> None:
        self._packer, self._pools, self._items, self._advice = packer, pools, items, advice
        self._stacks: dict[Key, list[Stack]] = {}
        self._known = 0
        self._shelves: dict[Key, Shelf] = {}
        self._alone = [item for item in items if item.exclusive]

    def _of(self, key: Key) -> list[Stack]:
        """The stacks of a pool now; packing splits stacks, and the parts are at the end of the packer's list."""
        if self._known < len(self._packer.stacks):
            self._pools.sorted_stacks(self._packer.stacks[self._known :], self._stacks)
            self._known = len(self._packer.stacks)
        return self._stacks.get(key, [])

    def patterns(self) -> None:
        """Patterns as often as they are wanted in whole numbers, then once more those that are wanted most."""
        whole = [(key, pattern, int(amount + _TINY)) for key, pattern, amount in self._advice.patterns]
        parts = sorted(self._advice.patterns, key=lambda one: int(one[2] + _TINY) - one[2])
        wanted = whole + [(key, pattern, 1) for key, pattern, amount in parts if amount > int(amount + _TINY)]
        left, exact = self._packer.left, len(self._advice.members) == len(self._items)
        for turn, (key, pattern, count) in enumerate(wanted):
            if turn >= len(whole) and exact and any(left[number] < amount for number, amount in pattern.items()):
                continue
            for one in list(self._of(key)):
                if count and one.whole:
                    nodes = min(count, len(one.tags))
                    lay = self._lay if exact else self._lay_alike
                    lay(self._packer.part(one, nodes), pattern)
                    count -= nodes

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
                while one.whole and self._fill(one, pool):
                    pass

    def _fill(self, one: Stack, pool: Pool) -> bool:
        """Put the best pattern onto nodes of a stack; answers whether there was any."""
        _worth, pattern = self._best(pool)
        return bool(pattern) and self._put(one, pattern)

    def _best(self, pool: Pool, first: t.Optional[JobClass] = None) -> tuple[float, Pattern]:
        """What is worth most together on an empty node of a pool; ``first``: with such a job."""
        left, worth = self._packer.left, self._advice.worth
        if first is not None and first.exclusive:
            return worth[first.number], {first.number: 1}
        found = self._shelf(pool).best(left, None if first is None else first.number)
        for item in self._alone if first is None else ():
            if left[item.number] and item.number in pool.open_to and worth[item.number] > found[0]:
                found = (worth[item.number], {item.number: 1})
        return found

    def _shelf(self, pool: Pool) -> Shelf:
        found = self._shelves.get(pool.key)
        if found is None:
            wares = [
                Ware(item.number, self._advice.worth[item.number], needs(item), item.per_node or ENDLESS)
                for item in self._items
                if item.number in pool.open_to and not item.exclusive
            ]
            found = self._shelves[pool.key] = Shelf(wares, pool.capacity)
        return found

    def hardest(self) -> None:
        """Whole nodes one by one, each around the job that is worth most of those that are left."""
        worth = self._advice.worth
        for item in sorted(self._items, key=lambda one: (-worth[one.number], one.number)):
            while self._packer.left[item.number]:
                found = self._around(item)
                if found is None or not self._put(*found):
                    break

    def _around(self, item: JobClass) -> t.Optional[tuple[Stack, Pattern]]:
        """The whole node on which such a job and others are worth most for its price, and what goes there."""
        most, found = 0.0, None
        for pool in self._pools:
            one = next((one for one in self._of(pool.key) if one.whole), None) if item.number in pool.open_to else None
            if one is not None:
                worth, pattern = self._best(pool, item)
                if worth / pool.price > most:
                    most, found = worth / pool.price, (one, pattern)
        return found

    def _put(self, one: Stack, pattern: Pattern) -> bool:
        """Put a pattern onto as many nodes of a stack as there are jobs for it; answers whether anything is there."""
        nodes = min(len(one.tags), *(self._packer.left[number] // count for number, count in pattern.items()))
        part = self._packer.part(one, max(1, nodes))
        self._lay(part, pattern)
        return part.used

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
                rate = worth / (choice.price or _TINY)
                if worth > 0 and (found is None or (rate, -choice.price, -number) > found):
                    found = (rate, -choice.price, -number)
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
