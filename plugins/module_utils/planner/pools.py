# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of one shape that are open to the same jobs: what the linear program knows of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Choice, Market
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind, Stack

_TRIFLE = 1e-6

Key = tuple[t.Any, ...]


@dataclass
class Pool:
    """``fresh`` nodes that are whole, and what is ``free`` of CPUs, memory and GPUs on all others together.

    ``open_to`` are the numbers of the classes that could be there, ``choices`` what could be bought for it.
    """

    key: Key
    kind: Kind
    open_to: frozenset[int]
    fresh: int = 0
    free: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    choices: list[Choice] = field(default_factory=list)

    @property
    def capacity(self) -> tuple[int, int, int]:
        """CPUs, MiB of memory and GPUs of a node."""
        return (self.kind.cpus, self.kind.memory, self.kind.gpus)

    @property
    def price(self) -> float:
        """About what a node of it costs: USD/hour where it can be bought."""
        return min((choice.price for choice in self.choices), default=self.kind.worth) or _TRIFLE


class Pools:
    """The pools for some classes of jobs of one piece, in a fixed order."""

    def __init__(self, packer: Packer, items: t.Sequence[JobClass]) -> None:
        self._packer, self._items = packer, items
        self._keys: dict[int, Key] = {}
        # A kind has to stay alive as long as it is known by its id.
        self._known: list[Kind] = []
        self._pools: dict[Key, Pool] = {}
        self.choices: list[tuple[Choice, Pool, int]] = []
        for one in packer.stacks:
            pool = self.of(one.kind)
            if pool is None or one.cpus < 0:
                continue
            if one.whole:
                pool.fresh += len(one.tags)
            else:
                for index, free in enumerate((one.cpus, one.memory, one.gpus)):
                    pool.free[index] += free * len(one.tags)

    def __iter__(self) -> t.Iterator[Pool]:
        return iter(self._pools.values())

    def of(self, kind: Kind) -> t.Optional[Pool]:
        """The pool of a kind of nodes; None if they are of no use for these classes."""
        key = self._keys.get(id(kind))
        if key is None:
            open_to = frozenset(item.number for item in self._items if self._packer.suits(item, 0, kind))
            key = (kind.cpus, kind.memory, kind.gpus, open_to)
            self._keys[id(kind)] = key
            self._known.append(kind)
            if open_to and key not in self._pools:
                self._pools[key] = Pool(key, kind, open_to)
        return self._pools.get(key)

    def offer(self, market: Market, limits: Limits, only: t.Optional[Choice]) -> None:
        """Put what can be bought into the pools, with how many there could be; ``only``: nothing else."""
        for choice in market.choices if only is None else [only]:
            pool = self.of(choice.kind)
            room = sum(limits.room(spec).count for spec, _kind in choice.kinds)
            if pool is not None and room:
                pool.choices.append(choice)
                self.choices.append((choice, pool, room))

    def sorted_stacks(self, stacks: t.Iterable[Stack], found: dict[Key, list[Stack]]) -> None:
        """Put stacks into the lists of their pools."""
        for one in stacks:
            pool = self.of(one.kind)
            if pool is not None:
                found.setdefault(pool.key, []).append(one)
