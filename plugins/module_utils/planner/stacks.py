# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What jobs are put onto: kinds of nodes, and stacks of nodes that are in the same state."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass, Piece

ENDLESS = 1 << 60
# About what a vCPU, a GiB of memory and a GPU cost, in USD/hour.
_CPU, _GIB, _GPU = 0.03, 0.004, 2.5


class Kind:
    """Nodes that are alike: what a whole one has, its labels, its queues (None: all), its placement group.

    ``labels`` are the pairs of name and value that hold: a label may have several values. A job asks for such pairs.
    ``near``: the group is a real placement group, not only a scale set. ``worth`` compares kinds by what they have,
    about in USD/hour: it is not their price, so it is the same whether prices are known or not.
    """

    __slots__ = ("cpus", "gpus", "group", "labels", "memory", "name", "near", "partitions", "resources", "worth")

    def __init__(
        self,
        name: str,
        capacity: tuple[int, int, int],
        labels: t.Iterable[tuple[str, str]],
        partitions: t.Optional[frozenset[str]],
        group: str = "",
        near: bool = False,
        resources: t.Optional[t.Mapping[str, float]] = None,
    ) -> None:
        self.name, self.group, self.near = name, group, near
        self.cpus, self.memory, self.gpus = capacity
        self.worth = _CPU * self.cpus + _GIB * self.memory / 1024 + _GPU * self.gpus
        self.labels, self.partitions = frozenset(labels), partitions
        self.resources = dict(resources or {})

    def serves(self, item: JobClass) -> bool:
        """Whether the queues of the job are served here."""
        return self.partitions is None or not item.partitions or not self.partitions.isdisjoint(item.partitions)

    def has(self, piece: Piece) -> bool:
        """Whether an empty node of this kind could hold one piece."""
        return (
            piece.cpus <= self.cpus
            and piece.memory <= self.memory
            and piece.gpus <= self.gpus
            and self.labels.issuperset(piece.labels)
            and all(self.resources.get(name, 0) >= value for name, value in piece.resources)
        )

    def holds(self, piece: Piece) -> int:
        """How many pieces an empty node holds, whatever the labels are."""
        return _times(piece, self.cpus, self.memory, self.gpus, self.resources)


class Stack:
    """Nodes in one state: what is free on each. ``fresh``: nothing runs on them, so a job could have one alone.

    ``used``: the plan puts something on them. ``tags`` are what the nodes are to whoever made the stack, one for each.
    """

    __slots__ = ("cpus", "fresh", "gpus", "kind", "laid", "memory", "resources", "tags", "used")

    def __init__(self, kind: Kind, tags: list[t.Any], free: t.Optional[tuple[int, int, int]] = None) -> None:
        self.kind, self.tags = kind, tags
        self.cpus, self.memory, self.gpus = free or (kind.cpus, kind.memory, kind.gpus)
        self.resources: t.Mapping[str, float] = kind.resources
        self.fresh, self.used = True, False
        # How many jobs of each class are on each node, of those classes of which a node may hold only so many.
        self.laid: t.Mapping[int, int] = {}

    @property
    def whole(self) -> bool:
        """Whether the nodes have all that their kind has: nothing runs there, is planned, or is reserved."""
        kind = self.kind
        unused = self.fresh and not self.used and bool(self.tags)
        return unused and (self.cpus, self.memory, self.gpus) == (kind.cpus, kind.memory, kind.gpus)

    def copy(self, tags: list[t.Any]) -> Stack:
        """Other nodes in the same state."""
        found = Stack(self.kind, tags, (self.cpus, self.memory, self.gpus))
        found.resources, found.fresh, found.used, found.laid = self.resources, self.fresh, self.used, self.laid
        return found

    def fits(self, piece: Piece) -> int:
        """How many more pieces fit on each node, labels aside."""
        return _times(piece, self.cpus, self.memory, self.gpus, self.resources)

    def take(self, piece: Piece, count: int) -> None:
        """Put pieces onto each node; a negative count takes them away again."""
        self.cpus -= piece.cpus * count
        self.memory -= piece.memory * count
        self.gpus -= piece.gpus * count
        if piece.resources:
            left = dict(self.resources)
            for name, value in piece.resources:
                left[name] = left.get(name, 0) - value * count
            self.resources = left

    def close(self) -> None:
        """A job has the nodes alone."""
        self.cpus = self.memory = self.gpus = -1
        self.fresh = False


def _times(piece: Piece, cpus: int, memory: int, gpus: int, resources: t.Mapping[str, float]) -> int:
    found = cpus // piece.cpus if piece.cpus else (ENDLESS if cpus >= 0 else 0)
    if piece.memory:
        found = min(found, memory // piece.memory)
    if piece.gpus:
        found = min(found, gpus // piece.gpus)
    for name, value in piece.resources:
        found = min(found, int(resources.get(name, 0) / value + 1e-9))
    return max(0, found)
