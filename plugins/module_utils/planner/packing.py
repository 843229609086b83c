# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts jobs onto nodes. Every placement is one that the scheduler could make: CPUs, memory, GPUs and other consumables
of each node, labels, queues, exclusive nodes, placement groups.

Nodes in the same state are one stack, so that the cost of packing grows with how different jobs and nodes are, and
hardly with how many there are.
"""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, JobClass, Piece
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind, Stack


class Placed(t.NamedTuple):
    """``pieces`` pieces (number ``which`` in the job) of jobs of class ``number`` on each node of ``tags``."""

    number: int
    which: int
    tags: list[t.Any]
    pieces: int


class Shop(t.Protocol):
    """Where new nodes come from. What it sells is within the limits; nothing comes back but what was just sold."""

    def buy(self, item: JobClass, piece: Piece, wanted: int, future: int, group: str) -> list[Stack]:
        """New empty nodes for up to ``wanted`` pieces, of which ``future`` may follow; [] if there is no room.

        ``group``: only in that placement group ('' for any).
        """

    def refund(self, stacks: t.Sequence[Stack]) -> None:
        """Take back what was just bought."""

    def options(self, item: JobClass) -> t.Sequence[t.Any]:
        """The sizes of node arrays that pieces of such a job could be on."""

    def narrow(self, option: t.Any) -> None:
        """Sell only this size from now on; None: all."""

    def groups(self, item: JobClass, piece: Piece, near: bool) -> t.Sequence[tuple[str, int, int, float]]:
        """Groups in which nodes for the piece could be bought: name, how many, pieces and USD/hour for each.

        ``near``: real placement groups only, no scale sets that are none.
        """


class Packer:
    """Nodes, and the jobs on them so far: ``placed`` per class. ``left`` are the jobs of each class without nodes.

    ``later``: nothing is bought for those that are left, because machines that are on their way have room for them.
    """

    def __init__(
        self, demand: Demand, stacks: t.Iterable[Stack], sold: t.Iterable[Kind] = (), shop: t.Optional[Shop] = None
    ) -> None:
        self.demand, self.shop = demand, shop
        self.sold = tuple(kind for kind in sold if kind.near)
        self.stacks: list[Stack] = list(stacks)
        self.placed: list[list[Placed]] = [[] for _unused in demand.classes]
        # Classes whose pieces were placed one by one: see `loose`.
        self.dealt: set[int] = set()
        self.later = False
        self.left = [item.count for item in demand.classes]
        self._lists: dict[tuple[int, int], list[Stack]] = {}
        self._at: dict[tuple[int, int], int] = {}
        self._suits: dict[tuple[int, int, int], bool] = {}
        self.groups: dict[str, list[Stack]] = {}
        self.version: dict[str, int] = {}
        for one in self.stacks:
            if one.kind.group:
                self.groups.setdefault(one.kind.group, []).append(one)

    def copy(self, shop: t.Optional[Shop], demand: t.Optional[Demand] = None) -> Packer:
        """The same state, to try something on; ``demand``: with these classes for those with the same numbers."""
        found = Packer(demand or self.demand, [one.copy(one.tags) for one in self.stacks], self.sold, shop)
        found.placed = [list(runs) for runs in self.placed]
        found.left = list(self.left)
        found.dealt = set(self.dealt)
        found._suits = self._suits
        return found

    def suits(self, item: JobClass, which: int, kind: Kind) -> bool:
        """Whether nodes of a kind could ever hold a piece."""
        key = (id(kind), item.number, which)
        found = self._suits.get(key)
        if found is None:
            found = self._suits[key] = kind.serves(item) and kind.has(item.pieces[which])
        return found

    # one class, many jobs of one piece

    def place(self, number: int, count: int) -> int:
        """Place up to ``count`` jobs of one piece wherever they fit first; answers how many were placed."""
        item = self.demand.classes[number]
        piece, key, left = item.pieces[0], (number, 0), min(count, self.left[number])
        wanted, found = left, self.candidates(item, 0)
        while left:
            where = self._at[key]
            if where >= len(found):
                future = self.left[number] - wanted + left
                if self.shop is None or not self.stock(item, piece, left, future, ""):
                    break
                continue
            one = found[where]
            room = self.room(item, one)
            if not room:
                self._at[key] = where + 1
                continue
            nodes = min(len(one.tags), max(1, left // room))
            pieces = min(room, left)
            self.put(item, 0, self.part(one, nodes), pieces)
            left -= nodes * pieces
        self.left[number] -= wanted - left
        if not self.left[number]:
            self._lists.pop(key)
            self._at.pop(key)
        return wanted - left

    def spread(self, number: int, one: Stack, count: int) -> int:
        """Place up to ``count`` jobs of one piece evenly on the nodes of a stack; answers how many were placed."""
        item = self.demand.classes[number]
        nodes = len(one.tags)
        count = min(count, self.left[number], nodes * self.room(item, one))
        each, more = divmod(count, nodes)
        if more:
            self.put(item, 0, self.part(one, more), each + 1)
        if each:
            self.put(item, 0, one, each)
        self.left[number] -= count
        return count

    @staticmethod
    def room(item: JobClass, one: Stack) -> int:
        """How many jobs of one piece fit on each node of a stack."""
        if item.exclusive:
            return 1 if one.fresh and not one.used and one.fits(item.pieces[0]) else 0
        room = one.fits(item.pieces[0])
        return min(room, item.per_node - one.laid.get(item.number, 0)) if item.per_node else room

    def put(self, item: JobClass, which: int, one: Stack, pieces: int) -> None:
        """Put pieces of jobs onto each node of a stack."""
        one.take(item.pieces[which], pieces)
        one.used = True
        if item.per_node:
            one.laid = {**one.laid, item.number: one.laid.get(item.number, 0) + pieces}
        if item.exclusive:
            one.close()
        self.placed[item.number].append(Placed(item.number, which, one.tags, pieces))
        self.touch(one.kind.group)

    def touch(self, group: str) -> None:
        """Note that nodes of a placement group have changed."""
        if group:
            self.version[group] = self.version.get(group, 0) + 1

    def part(self, one: Stack, count: int) -> Stack:
        """The first nodes of a stack as a stack of their own."""
        if count >= len(one.tags):
            return one
        found = one.copy(one.tags[:count])
        one.tags = one.tags[count:]
        self._enlist(found)
        return found

    def stock(self, item: JobClass, piece: Piece, wanted: int, future: int, group: str) -> list[Stack]:
        """Buy nodes; [] if there is nothing to be had."""
        if self.shop is None:
            return []
        bought = self.shop.buy(item, piece, wanted, future, group)
        for one in bought:
            self._enlist(one)
        return bought

    def unstock(self, bought: t.Sequence[Stack]) -> None:
        """Give back nodes that were just bought, and are empty."""
        if not bought or self.shop is None:
            return
        gone = {id(tag) for one in bought for tag in one.tags}
        self.shop.refund(bought)
        for found in (self.stacks, *self._lists.values(), *self.groups.values()):
            found[:] = [one for one in found if not one.tags or id(one.tags[0]) not in gone]
        for key in self._at:
            self._at[key] = 0
        for one in bought:
            self.touch(one.kind.group)

    def add(self, one: Stack) -> None:
        """More nodes."""
        self._enlist(one)

    def _enlist(self, one: Stack) -> None:
        self.stacks.append(one)
        for (number, which), found in self._lists.items():
            if self.left[number] and self.suits(self.demand.classes[number], which, one.kind):
                # What is in use already comes before what is still empty.
                found.insert(self._at[number, which], one)
        if one.kind.group:
            self.groups.setdefault(one.kind.group, []).append(one)
            self.touch(one.kind.group)

    def candidates(self, item: JobClass, which: int) -> list[Stack]:
        """All nodes for a piece, those first that are of least use for others, and of those the fullest."""
        found = self._lists.get((item.number, which))
        if found is None:
            piece = item.pieces[which]
            # Only jobs of several pieces are taken back, and none is being laid now: what is full stays full.
            room = (piece.cpus, piece.memory) if item.size == 1 else (-1, -1)
            open_to = (one for one in self.stacks if one.cpus >= room[0] and one.memory >= room[1])
            fitting = [one for one in open_to if self.suits(item, which, one.kind)]
            kinds = {id(one.kind): one.kind for one in fitting}
            keys = {number: _order(kind, piece) for number, kind in kinds.items()}
            fitting.sort(key=lambda one: (keys[id(one.kind)], not one.used, one.fresh, one.cpus, one.memory, one.gpus))
            found = self._lists[item.number, which] = fitting
            self._at[item.number, which] = 0
        return found

    # one job of several pieces, anywhere

    def place_job(self, item: JobClass) -> bool:
        """Place one job of several pieces, whole or not at all."""
        done: list[tuple[int, Stack, int]] = []
        bought: list[Stack] = []
        taken: set[int] = set()
        for which, piece in enumerate(item.pieces):
            left = piece.count
            found = self.candidates(item, which)
            where = 0
            while left:
                if where >= len(found):
                    new = self.stock(item, piece, left, self.left[item.number] * piece.count, "")
                    bought += new
                    if not new:
                        self.undo(item, done, bought)
                        return False
                    where = 0
                    continue
                number = self.lay(item, which, found[where], left, taken, done)
                left -= number
                where = 0 if number else where + 1
        self.settle(item, done)
        return True

    def lay(
        self,
        item: JobClass,
        which: int,
        one: Stack,
        left: int,
        taken: set[int],
        done: list[tuple[int, Stack, int]],
    ) -> int:
        """Lay pieces of one job onto nodes of a stack, as many as go there; answers how many."""
        mine = id(one) in taken
        if item.exclusive and not mine and (not one.fresh or one.used):
            return 0
        room = one.fits(item.pieces[which])
        if not room or (mine and item.spread == SCATTER):
            return 0
        pieces = 1 if item.spread == SCATTER else min(room, left)
        part = self.part(one, min(len(one.tags), left // pieces))
        part.take(item.pieces[which], pieces)
        taken.add(id(part))
        done.append((which, part, pieces))
        return pieces * len(part.tags)

    def undo(self, item: JobClass, done: t.Sequence[tuple[int, Stack, int]], bought: t.Sequence[Stack]) -> None:
        """Take back what was laid and bought for a job."""
        for which, one, pieces in done:
            one.take(item.pieces[which], -pieces)
            self.touch(one.kind.group)
        self.unstock(bought)

    def settle(self, item: JobClass, done: t.Sequence[tuple[int, Stack, int]]) -> None:
        """The job stays where it was laid."""
        for which, one, pieces in done:
            self.placed[item.number].append(Placed(item.number, which, one.tags, pieces))
            one.used = True
            self.touch(one.kind.group)
        for _which, one, _pieces in done if item.exclusive else ():
            one.close()
        self.left[item.number] -= 1


def _order(kind: Kind, piece: Piece) -> tuple[t.Any, ...]:
    """Order of kinds for a piece: no GPUs in vain, then the kind whose memory per CPU is nearest to the piece's."""
    wasted_gpus = kind.gpus if not piece.gpus else 0
    missing = max(0.0, kind.memory / max(1, kind.cpus) - piece.memory / max(1, piece.cpus))
    return (wasted_gpus, missing, kind.worth, kind.name)
