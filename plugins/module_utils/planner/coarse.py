# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of jobs that all differ in memory: neighbours are one class, which asks for what the largest of them does.

Packing takes time with the square of the number of classes. What asks for more than it needs fits where it is put; no
job asks for more than a node has because of that, nor for more than a half, a third, ... of one.
"""

from __future__ import annotations

import bisect
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue

MOST = 400
_PARTS = 8
# Nodes of one size may tell a little less or more each; of more than so many, the sizes' own memory has to do.
_NODES = 100
Key = tuple[t.Any, ...]


class Whole(t.Protocol):
    """What a node of some kind has when it is empty; ``memory`` in MiB."""

    memory: int


def memories(kinds: t.Iterable[Whole], queue: Queue) -> set[int]:
    """What memory nodes have, those that are there and those that could be bought."""
    there = {node.memory_mib for node in queue.nodes}
    found = {kind.memory for kind in kinds} | (there if len(there) <= _NODES else set())
    return {memory for memory in found if memory > 0}


def coarser(keys: t.Collection[Key], sizes: t.Collection[int]) -> dict[Key, Key]:
    """For each key of `demand.key` the one that is planned for instead; ``sizes`` in MiB are what nodes have.

    With no more than `MOST` keys, or nodes of which nothing is known, that is the key itself.
    """
    found = {one: one for one in keys}
    together = -(-len(keys) // MOST)
    if together < 2 or not sizes:
        return found
    marks = sorted({size // part for size in sizes for part in range(1, _PARTS + 1)})
    alike: dict[Key, list[Key]] = {}
    for one in keys:
        if len(one[0]) == 1:
            alike.setdefault(_with(one, 0), []).append(one)
    for some in alike.values():
        mine: list[Key] = []
        # From the largest to the smallest: the first of neighbours is what all of them ask for.
        for one in sorted(some, key=_memory, reverse=True):
            if len(mine) == together or not mine or _place(marks, one) != _place(marks, mine[0]):
                mine = []
            mine.append(one)
            found[one] = mine[0]
    return found


def _memory(key: Key) -> int:
    return int(key[0][0][2])


def _place(marks: t.Sequence[int], key: Key) -> int:
    return bisect.bisect_left(marks, _memory(key))


def _with(key: Key, memory: int) -> Key:
    (chunk,), *rest = key
    return (((*chunk[:2], memory, *chunk[3:]),), *rest)
