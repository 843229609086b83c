# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts jobs onto nodes: what is there first, then what may be bought. Every placement is one that the scheduler could
make: CPUs, memory, GPUs and other consumables of each node, labels, queues, exclusive nodes, placement groups."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, JobClass, Piece

ENDLESS = 1 << 60
# About what a vCPU, a GiB of memory and a GPU cost, in USD/hour.
_CPU, _GIB, _GPU = 0.03, 0.004, 2.5


class Kind:
    """Nodes that are alike: what a whole one has, its labels, its queues (None: all), its placement group.

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
        self.labels, self.partitions = dict(labels), partitions
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
            and all(self.labels.get(name) == value for name, value in piece.labels)
            and all(self.resources.get(name, 0) >= value for name, value in piece.resources)
        )

    def holds(self, piece: Piece) -> int:
        """How many pieces an empty node holds, whatever the labels are."""
        found = ENDLESS
        for there, needed in ((self.cpus, piece.cpus), (self.memory, piece.memory), (self.gpus, piece.gpus)):
            if needed:
                found = min(found, there // needed)
        for name, value in piece.resources:
            found = min(found, int(self.resources.get(name, 0) // value))
        return found


class Bin:
    """One node with what is free on it. ``fresh``: nothing runs on it, so a job could have it alone. ``used``: the
    plan puts something on it. ``tag`` is whatever the owner of the bin ties it to. ``rank`` orders: 0 up, 1 booting."""

    __slots__ = ("cpus", "fresh", "gpus", "kind", "memory", "rank", "resources", "tag", "used")

    def __init__(self, kind: Kind, tag: t.Any, rank: int = 1) -> None:
        self.kind, self.tag, self.rank = kind, tag, rank
        self.cpus, self.memory, self.gpus = kind.cpus, kind.memory, kind.gpus
        self.resources: t.Optional[dict[str, float]] = dict(kind.resources) if kind.resources else None
        self.fresh, self.used = True, False

    def fits(self, piece: Piece) -> int:
        """How many more pieces fit, labels aside."""
        found = ENDLESS
        if piece.cpus:
            found = self.cpus // piece.cpus
        if piece.memory:
            found = min(found, self.memory // piece.memory)
        if piece.gpus:
            found = min(found, self.gpus // piece.gpus)
        for name, value in piece.resources:
            found = min(found, int((self.resources or {}).get(name, 0) // value))
        return found

    def take(self, piece: Piece, count: int) -> None:
        """Put pieces onto the node; a negative count takes them away again."""
        self.cpus -= piece.cpus * count
        self.memory -= piece.memory * count
        self.gpus -= piece.gpus * count
        if self.resources is not None:
            for name, value in piece.resources:
                self.resources[name] -= value * count


class Placed(t.NamedTuple):
    """``pieces`` pieces (number ``which`` in the job) of jobs of class ``number`` on a node."""

    number: int
    which: int
    bin: Bin
    pieces: int


class Shop(t.Protocol):
    """Where new nodes come from. What it sells is within the limits; nothing comes back but what was just sold."""

    def buy(self, item: JobClass, piece: Piece, wanted: int, future: int, group: str) -> list[Bin]:
        """New empty nodes for up to ``wanted`` pieces, of which ``future`` may follow; [] if there is no room.

        ``group``: only in that placement group ('' for any).
        """

    def refund(self, bins: t.Sequence[Bin]) -> None:
        """Take back what was just bought."""

    def groups(self, item: JobClass, piece: Piece) -> t.Sequence[tuple[str, int, float]]:
        """Placement groups in which nodes for the piece could be bought: name, how many, USD/hour for each."""


class Packer:
    """Nodes, and the jobs on them so far. ``placed`` has runs in the order in which jobs were placed, per class."""

    def __init__(
        self, demand: Demand, bins: t.Sequence[Bin], sold: t.Iterable[Kind] = (), shop: t.Optional[Shop] = None
    ) -> None:
        self.demand, self.shop = demand, shop
        self._sold = tuple(kind for kind in sold if kind.near)
        self.bins = list(bins)
        self.placed: list[list[Placed]] = [[] for _unused in demand.classes]
        self.left = [item.count for item in demand.classes]
        self._by_kind: dict[int, list[Bin]] = {}
        self._kinds: dict[int, Kind] = {}
        for one in self.bins:
            self._by_kind.setdefault(id(one.kind), []).append(one)
            self._kinds[id(one.kind)] = one.kind
        self._lists: dict[tuple[int, int], list[Bin]] = {}
        self._at: dict[tuple[int, int], int] = {}
        self._groups: dict[str, list[Bin]] = {}
        for one in self.bins:
            if one.kind.group:
                self._groups.setdefault(one.kind.group, []).append(one)
        self._version: dict[str, int] = {}
        self._slots: dict[tuple[int, str], tuple[int, int]] = {}

    # one class, many jobs

    def place(self, number: int, count: int) -> int:
        """Place up to ``count`` jobs of a class; answers how many were placed. Each is placed whole or not at all."""
        item = self.demand.classes[number]
        count = min(count, self.left[number])
        if item.simple or (item.size == 1 and item.exclusive):
            done = self._place_pieces(item, 0, count, item.exclusive)
        else:
            done = 0
            while done < count and self._place_job(item):
                done += 1
        self.left[number] -= done
        return done

    def _place_pieces(self, item: JobClass, index: int, count: int, alone: bool) -> int:
        """Pieces that do not care for each other: as many as fit, then bought ones."""
        piece, found = item.pieces[index], self._candidates(item, index)
        placed, where, left = self.placed[item.number], self._at[item.number, index], count
        while left:
            if where >= len(found):
                if self.shop is None or not self._stock(item, piece, left, self.left[item.number] - count + left, ""):
                    break
                continue
            one = found[where]
            number = min(left, self._room(one, piece, alone))
            if number <= 0:
                where += 1
                continue
            self._put(item, index, one, number, alone)
            placed.append(Placed(item.number, index, one, number))
            left -= number
        self._at[item.number, index] = where
        return count - left

    @staticmethod
    def _room(one: Bin, piece: Piece, alone: bool) -> int:
        if alone:
            return 1 if one.fresh and not one.used and one.fits(piece) else 0
        return one.fits(piece)

    def _put(self, item: JobClass, index: int, one: Bin, count: int, alone: bool) -> None:
        one.take(item.pieces[index], count)
        one.used = True
        if alone:
            one.fresh = False
            one.cpus = one.memory = one.gpus = -1
        if one.kind.group:
            self._version[one.kind.group] = self._version.get(one.kind.group, 0) + 1

    def _stock(self, item: JobClass, piece: Piece, wanted: int, future: int, group: str) -> list[Bin]:
        if self.shop is None:
            return []
        bought = self.shop.buy(item, piece, wanted, future, group)
        for one in bought:
            self.bins.append(one)
            self._enlist(one)
        return bought

    def _enlist(self, one: Bin) -> None:
        if id(one.kind) not in self._kinds:
            self._kinds[id(one.kind)] = one.kind
        self._by_kind.setdefault(id(one.kind), []).append(one)
        for (number, index), found in self._lists.items():
            item = self.demand.classes[number]
            if one.kind.serves(item) and one.kind.has(item.pieces[index]):
                found.append(one)
        if one.kind.group:
            self._groups.setdefault(one.kind.group, []).append(one)
            self._version[one.kind.group] = self._version.get(one.kind.group, 0) + 1

    def _candidates(self, item: JobClass, index: int) -> list[Bin]:
        """All nodes for a piece, those first that are of least use for others."""
        found = self._lists.get((item.number, index))
        if found is None:
            piece = item.pieces[index]
            fitting = [kind for kind in self._kinds.values() if kind.serves(item) and kind.has(piece)]
            fitting.sort(key=lambda kind: _suits(kind, piece))
            # Nodes that run are used before nodes that still boot; of one kind the fullest first.
            found = [one for kind in fitting for one in self._by_kind[id(kind)]]
            self._lists[item.number, index] = found
            self._at[item.number, index] = 0
        return found

    # one job of several pieces

    def _place_job(self, item: JobClass) -> bool:
        """Place one job of several pieces; on failure everything is as before."""
        if item.one_group:
            return self._place_gang(item)
        done: list[Placed] = []
        bought: list[Bin] = []
        taken: set[int] = set()
        before = dict(self._at)
        for index, piece in enumerate(item.pieces):
            found = self._candidates(item, index)
            where, left = self._at[item.number, index], piece.count
            while left:
                if where >= len(found):
                    future = self.left[item.number] * piece.count
                    new = self._stock(item, piece, left, future, "")
                    bought += new
                    if not new:
                        break
                    continue
                one = found[where]
                number = self._share(item, one, piece, left, taken)
                if number:
                    one.take(piece, number)
                    done.append(Placed(item.number, index, one, number))
                    taken.add(id(one))
                    left -= number
                if left:
                    where += 1
            if left:
                self._undo(item, done, bought)
                self._at.update(before)
                return False
            # The next job begins where this one found its first node: it may share that.
            self._at[item.number, index] = self._first_open(found, self._at[item.number, index], item)
        self._settle(item, done)
        return True

    @staticmethod
    def _share(item: JobClass, one: Bin, piece: Piece, left: int, taken: t.AbstractSet[int]) -> int:
        """How many pieces of one job the node gets now."""
        mine = id(one) in taken
        if item.exclusive and not mine and (not one.fresh or one.used):
            return 0
        number = min(left, one.fits(piece))
        if item.spread == SCATTER:
            return 0 if mine else min(1, number)
        return max(0, number)

    @staticmethod
    def _first_open(found: t.Sequence[Bin], where: int, item: JobClass) -> int:
        smallest = item.pieces
        while where < len(found) and not any(found[where].fits(piece) > 0 for piece in smallest):
            where += 1
        return where

    def _settle(self, item: JobClass, done: t.Sequence[Placed]) -> None:
        for one in done:
            one.bin.used = True
            if item.exclusive:
                one.bin.fresh = False
                one.bin.cpus = one.bin.memory = one.bin.gpus = -1
            group = one.bin.kind.group
            if group:
                self._version[group] = self._version.get(group, 0) + 1
        self.placed[item.number].extend(done)

    def _undo(self, item: JobClass, done: t.Sequence[Placed], bought: t.Sequence[Bin]) -> None:
        for run in done:
            run.bin.take(item.pieces[run.which], -run.pieces)
        if not bought or self.shop is None:
            return
        gone = {id(one) for one in bought}
        self.shop.refund(bought)
        self.bins = [one for one in self.bins if id(one) not in gone]
        for found in (*self._lists.values(), *self._by_kind.values(), *self._groups.values()):
            if found and any(id(one) in gone for one in found[-len(bought) :]):
                found[:] = [one for one in found if id(one) not in gone]
        for one in bought:
            if one.kind.group:
                self._version[one.kind.group] = self._version.get(one.kind.group, 0) + 1

    # one job within one placement group

    def _place_gang(self, item: JobClass) -> bool:
        """The group that needs the fewest dollars, then the one that is left with the least room."""
        need = item.size
        near = self._wants_near(item)
        best: t.Optional[tuple[float, int, str]] = None
        for group in self._groups:
            if near and not self._groups[group][0].kind.near:
                continue
            slots = self._slots_in(item, group)
            if slots >= need and (best is None or (0.0, slots, group) < best):
                best = (0.0, slots, group)
        if best is None and self.shop is not None:
            best = self._group_to_grow(item, near)
        return best is not None and self._place_in(item, best[2])

    def _group_to_grow(self, item: JobClass, near: bool) -> t.Optional[tuple[float, int, str]]:
        if self.shop is None:
            return None
        piece = max(item.pieces, key=lambda one: (one.cpus, one.memory, one.gpus))
        best: t.Optional[tuple[float, int, str]] = None
        for group, room, price in self.shop.groups(item, piece):
            slots = self._slots_in(item, group) if group in self._groups else 0
            missing = item.size - slots
            if missing > 0 and room >= missing:
                found = (missing * price, room + slots, group)
                best = found if best is None or found < best else best
        return best

    def _wants_near(self, item: JobClass) -> bool:
        """A job that wants its nodes close gets a real placement group if there is any that it could use."""
        piece = item.pieces[0]
        return any(kind.near and kind.serves(item) and kind.has(piece) for kind in (*self._kinds.values(), *self._sold))

    def _slots_in(self, item: JobClass, group: str) -> int:
        """For how many pieces of such a job there is room in a group, at most about."""
        version = self._version.get(group, 0)
        known = self._slots.get((item.number, group))
        if known is not None and known[0] == version:
            return known[1]
        found = 0
        for one in self._groups.get(group, ()):
            if not one.kind.serves(item) or (item.exclusive and (not one.fresh or one.used)):
                continue
            fits = max((one.fits(piece) for piece in item.pieces if one.kind.has(piece)), default=0)
            found += min(1, fits) if item.spread == SCATTER else max(0, fits)
        self._slots[item.number, group] = (version, found)
        return found

    def _place_in(self, item: JobClass, group: str) -> bool:
        done: list[Placed] = []
        bought: list[Bin] = []
        taken: set[int] = set()
        for index, piece in enumerate(item.pieces):
            left = piece.count
            nodes = list(self._groups.get(group, ()))
            nodes.sort(key=lambda one: (not one.used, one.rank))
            for one in nodes:
                if not left:
                    break
                if one.kind.serves(item) and one.kind.has(piece):
                    number = self._share(item, one, piece, left, taken)
                    if number:
                        one.take(piece, number)
                        done.append(Placed(item.number, index, one, number))
                        taken.add(id(one))
                        left -= number
            while left:
                new = self._stock(item, piece, left, left, group)
                bought += new
                if not new:
                    break
                for one in new:
                    number = self._share(item, one, piece, left, taken)
                    if number:
                        one.take(piece, number)
                        done.append(Placed(item.number, index, one, number))
                        taken.add(id(one))
                        left -= number
            if left:
                self._undo(item, done, bought)
                return False
        self._settle(item, done)
        return True


def _suits(kind: Kind, piece: Piece) -> tuple[t.Any, ...]:
    """Order of kinds for a piece: no GPUs in vain, then the kind whose memory per CPU is nearest to the piece's."""
    wasted_gpus = kind.gpus if not piece.gpus else 0
    mine = piece.memory / max(1, piece.cpus)
    theirs = kind.memory / max(1, kind.cpus)
    missing = max(0.0, theirs - mine)
    return (wasted_gpus, missing, kind.worth, kind.name)
