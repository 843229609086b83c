# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a perfect packing would look like, if nodes could be bought and filled in fractions: two linear programs.

`Guide` has patterns (what one empty node holds together), by column generation: patterns that would make the plan
cheaper are looked for with the prices that the program gives to each class of jobs, until there are none. Nodes on
which something runs are pooled. It is right about large jobs, of which few fit on a node. `Blend` pools all nodes of a
shape as if they were one, which is right about small jobs, and costs less.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.patterns import Pattern, Ware, better
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.pools import Key, Pool, Pools
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.simplex import Program
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind

# Classes that the program tells apart; more are put together with those that are most like them.
MANY = 100
_ITERATIONS = 40
# How far a better pattern is looked for where the quick way finds none.
_VISITS = 250
# A plan that would get better by less than this share is good enough.
_GOOD = 2e-4
_TRIFLE = 0.001
# Of jobs that could be on nodes in use, the small ones are to be there: they fit into what is left of each.
_RAGGED = 10
# A class of which a node holds fewer than that is counted with what it wastes.
_FEW = 7


@dataclass
class Advice:
    """What to do in fractions: patterns for empty nodes of pools, shares of classes for the others, nodes to buy.

    ``worth`` is what one job of a class costs at the margin, in USD/hour. A number in a pattern stands for all classes
    that are its ``members``. ``tired``: there was not enough time to find the best.
    """

    patterns: list[tuple[Key, Pattern, float]] = field(default_factory=list)
    shares: dict[tuple[int, Key], float] = field(default_factory=dict)
    new: list[float] = field(default_factory=list)
    worth: dict[int, float] = field(default_factory=dict)
    members: dict[int, list[JobClass]] = field(default_factory=dict)
    tired: bool = False


@dataclass
class Bucket:
    """Classes that are not told apart; ``needs`` are those of an average job. ``number`` is that of its first class."""

    items: list[JobClass]
    count: int
    needs: tuple[int, int, int]
    worth: float

    @property
    def number(self) -> int:
        """What it is called in patterns."""
        return self.items[0].number

    @property
    def alone(self) -> bool:
        """Whether such a job has its node alone."""
        return self.items[0].exclusive

    @property
    def most(self) -> int:
        """How many of them one node may hold, room aside."""
        return sum(item.per_node or self.count for item in self.items)


class Guide:
    """One program: for these classes, with so many jobs of each, in these pools."""

    def __init__(self, items: t.Sequence[JobClass], left: t.Sequence[int], pools: Pools) -> None:
        self._left, self._pools = left, list(pools)
        self._choices = pools.choices
        self._buckets = self._told_apart(items)
        self._index: dict[int, int] = {bucket.number: row for row, bucket in enumerate(self._buckets)}
        self._fresh_row: dict[Key, int] = {}
        self._first: dict[Key, int] = {}
        self._known: dict[tuple[Key, tuple[tuple[int, int], ...]], int] = {}
        self._columns: list[tuple[str, t.Any, t.Any]] = []
        self._program = self._start()

    def advise(self, known: t.Sequence[tuple[Key, Pattern]] = ()) -> Advice:
        """Solve it. Good patterns that are ``known``, from a packing, save it most of the way."""
        self._first_patterns()
        pools = {pool.key: pool for pool in self._pools}
        bucket_of = {item.number: bucket.number for bucket in self._buckets for item in bucket.items}
        for key, pattern in known:
            told: Pattern = {}
            for number, count in pattern.items():
                told[bucket_of[number]] = told.get(bucket_of[number], 0) + count
            self._add(pools[key], told)
        self._program.solve()
        before = self._program.gain
        for turn in range(1, _ITERATIONS + 1):
            if self._program.tired or not self._better_patterns():
                break
            self._program.solve()
            if turn % 5 == 0:
                if self._program.gain - before < _GOOD * self._cost():
                    break
                before = self._program.gain
        return self._read()

    def _cost(self) -> float:
        """What the plan costs by now, in USD/hour; a trifle more than nothing."""
        found = 0.1
        for (what, one, _other), value in zip(self._columns, self._program.values()):
            found += value * self._choices[one][0].price if what == "new" else 0.0
        return found

    def _start(self) -> Program:
        limits = [float(bucket.count) for bucket in self._buckets]
        free_row: dict[Key, int] = {}
        for pool in self._pools:
            self._fresh_row[pool.key] = len(limits)
            limits.append(float(pool.fresh))
            if any(value > 0 for value in pool.free):
                free_row[pool.key] = len(limits)
                limits.extend(value / (there or 1) for value, there in zip(pool.free, pool.capacity))
        room_row: dict[int, int] = {}
        for number, (_choice, _pool, room) in enumerate(self._choices):
            if room < sum(bucket.count for bucket in self._buckets):
                room_row[number] = len(limits)
                limits.append(float(room))
        program = Program(limits)
        for number, (choice, pool, _room) in enumerate(self._choices):
            self._columns.append(("new", number, None))
            more = {room_row[number]: 1.0} if number in room_row else {}
            program.add(-choice.price, {self._fresh_row[pool.key]: -1.0, **more})
        for pool in self._pools:
            row = free_row.get(pool.key)
            for index, bucket in enumerate(self._buckets) if row is not None else ():
                if not bucket.alone and self._open(bucket, pool):
                    column = {index: 1.0}
                    for dimension, (need, there) in enumerate(zip(bucket.needs, pool.capacity)):
                        if need and row is not None:
                            column[row + dimension] = need / there
                    self._columns.append(("share", pool.key, bucket))
                    share = _share(bucket.needs, pool.kind)
                    program.add(bucket.worth - _TRIFLE * pool.kind.worth * share * (1 + _RAGGED * share), column)
        return program

    @staticmethod
    def _open(bucket: Bucket, pool: Pool) -> bool:
        return all(item.number in pool.open_to for item in bucket.items)

    def _first_patterns(self) -> None:
        """Every class by itself, as many jobs of it as a node holds."""
        for pool in self._pools:
            for bucket in self._buckets:
                if self._usable(pool) and self._open(bucket, pool):
                    fits = min((there // need for need, there in zip(bucket.needs, pool.capacity) if need), default=1)
                    count = 1 if bucket.alone else min(fits, bucket.count, bucket.most)
                    if count > 0:
                        self._add(pool, {bucket.number: count})

    @staticmethod
    def _usable(pool: Pool) -> bool:
        return bool(pool.fresh or pool.choices)

    def _better_patterns(self) -> bool:
        """Add the patterns that would gain; answers whether there were any."""
        prices = self._program.prices()
        costs = [bucket.worth - price for bucket, price in zip(self._buckets, prices)]
        added = False
        for pool in self._pools:
            if not self._usable(pool):
                continue
            wares = [
                Ware(bucket.number, cost, bucket.needs, min(bucket.count, bucket.most))
                for bucket, cost in zip(self._buckets, costs)
                if cost > 1e-9 and not bucket.alone and self._open(bucket, pool)
            ]
            price = prices[self._fresh_row[pool.key]] * (1 + 1e-6) + _TRIFLE * pool.kind.worth + 1e-7
            for pattern in better(wares, pool.capacity, price, _VISITS):
                added = self._add(pool, pattern) or added
        return added

    def _add(self, pool: Pool, pattern: Pattern) -> bool:
        known = (pool.key, tuple(sorted(pattern.items())))
        if known in self._known:
            return False
        self._known[known] = len(self._columns)
        self._columns.append(("pattern", pool.key, pattern))
        column = {self._index[number]: float(count) for number, count in pattern.items()}
        gain = sum(self._buckets[row].worth * count for row, count in column.items())
        column[self._fresh_row[pool.key]] = 1.0
        self._program.add(gain - _TRIFLE * pool.kind.worth, column)
        return True

    def _read(self) -> Advice:
        found = Advice(new=[0.0] * len(self._choices), tired=self._program.tired)
        found.members = {bucket.number: bucket.items for bucket in self._buckets}
        for bucket, price in zip(self._buckets, self._program.prices()):
            size = max(1, sum(bucket.needs)) if len(bucket.items) > 1 else 0
            for item in bucket.items:
                mine = sum(needs(item)) / size if size else 1.0
                found.worth[item.number] = max(1e-6, (bucket.worth - price) * mine)
        for (what, one, other), value in zip(self._columns, self._program.values()):
            if value <= 1e-9:
                continue
            if what == "new":
                found.new[one] = value
            elif what == "pattern":
                found.patterns.append((one, other, value))
            else:
                for item in other.items:
                    found.shares[item.number, one] = value * self._left[item.number] / other.count
        return found

    def _told_apart(self, items: t.Sequence[JobClass]) -> list[Bucket]:
        """One class each, or classes that are alike where there are too many."""
        found: dict[t.Any, list[JobClass]] = {}
        for grain in (0, 4, 3, 2, 1):
            found = {}
            for item in items:
                piece = item.pieces[0]
                key: t.Any = item.number
                if grain:
                    open_to = tuple(item.number in pool.open_to for pool in self._pools)
                    sizes = (round(math.log2(max(1, one)) * grain) for one in (piece.cpus, piece.memory))
                    key = (open_to, item.exclusive, piece.gpus, *sizes)
                found.setdefault(key, []).append(item)
            if len(found) <= MANY:
                break
        return [self._bucket(members) for members in found.values()]

    def _bucket(self, items: list[JobClass]) -> Bucket:
        count = sum(self._left[item.number] for item in items)
        sums = [0.0, 0.0, 0.0]
        for item in items:
            sums = [one + need * self._left[item.number] for one, need in zip(sums, needs(item))]
        average = tuple(math.ceil(one / count) for one in sums)
        prices = [choice.price for choice, pool, _room in self._choices if items[0].number in pool.open_to]
        # More than a job of it could cost, so that all are placed.
        return Bucket(items, count, t.cast("tuple[int, int, int]", average), 2 * min(prices, default=1000.0) + 1)


def needs(item: JobClass) -> tuple[int, int, int]:
    """CPUs, MiB of memory and GPUs of a job of one piece."""
    piece = item.pieces[0]
    return (piece.cpus, piece.memory, piece.gpus)


def _share(needs: t.Sequence[int], kind: Kind) -> float:
    there = (kind.cpus, kind.memory, kind.gpus)
    return max((need / one for need, one in zip(needs, there) if one), default=0.0)


class Blend(Guide):
    """All nodes of a pool as one large node: shares for all classes, no patterns."""

    def advise(self, known: t.Sequence[tuple[Key, Pattern]] = ()) -> Advice:
        """Solve it. A job is worth what it takes of the nodes on which that is worth the least."""
        self._program.solve()
        found, prices = self._read(), self._program.prices()
        for bucket in self._buckets:
            for item in bucket.items:
                worth = (
                    sum(
                        price * share
                        for price, share in zip(
                            prices[self._first[pool.key] :], _shares(needs(item), item.exclusive, pool)
                        )
                    )
                    for pool in self._pools
                    if item.number in pool.open_to
                )
                found.worth[item.number] = max(1e-6, min(worth, default=0.0))
        return found

    def _start(self) -> Program:
        limits = [float(bucket.count) for bucket in self._buckets]
        first = self._first
        for pool in self._pools:
            first[pool.key] = len(limits)
            limits.extend(value / (there or 1) + pool.fresh for value, there in zip(pool.free, pool.capacity))
            limits.append(float(pool.fresh))
        room_row = len(limits)
        limits.extend(float(room) for _choice, _pool, room in self._choices)
        program = Program(limits)
        for number, (choice, pool, _room) in enumerate(self._choices):
            self._columns.append(("new", number, None))
            rows = range(first[pool.key], first[pool.key] + 4)
            program.add(-choice.price, {**dict.fromkeys(rows, -1.0), room_row + number: 1.0})
        for pool in self._pools:
            for index, bucket in enumerate(self._buckets):
                if self._open(bucket, pool):
                    shares = _shares(bucket.needs, bucket.alone, pool)
                    rows = range(first[pool.key], first[pool.key] + 4)
                    column = {row: share for row, share in zip(rows, shares) if share}
                    column[index] = 1.0
                    self._columns.append(("share", pool.key, bucket))
                    program.add(bucket.worth - _TRIFLE * pool.kind.worth * max(shares), column)
        return program


def _shares(size: t.Sequence[int], alone: bool, pool: Pool) -> list[float]:
    """Which share of a node of a pool a job takes, per dimension; the last is that of having it alone."""
    return [1.0] * 4 if alone else [*_effective(size, pool.capacity), 0.0]


def _effective(needs: t.Sequence[int], capacity: t.Sequence[int]) -> list[float]:
    """Which share of a node a job takes; where a node holds only few, with the rest that no other job could use."""
    shares = [need / there if there else 0.0 for need, there in zip(needs, capacity)]
    most = max(shares)
    holds = int(1 / most + 1e-9) if most else 0
    if 0 < holds < _FEW:
        shares[shares.index(most)] = 1 / holds
    return shares
