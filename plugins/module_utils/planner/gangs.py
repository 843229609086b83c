# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose nodes have to be in one placement group: all of them there, or none anywhere."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Stack

# What it costs (USD/hour where nodes are bought), room for pieces, name of the group: the least is the best.
Choice = tuple[float, int, str]


class Gangs:
    """Places such jobs one by one; groups that run are filled before others grow.

    Of the groups with enough free nodes the one with the fewest is taken, or the one with the most.
    """

    def __init__(self, packer: Packer, fewest: bool = True) -> None:
        self._packer, self._sign = packer, 1 if fewest else -1
        self._slots: dict[tuple[int, str], tuple[int, int]] = {}
        self._near: dict[int, bool] = {}
        # Room is counted roughly where the pieces of a job differ: groups in which one did not fit are left alone.
        self._tried: set[str] = set()

    def place(self, item: JobClass, count: int) -> int:
        """Place up to ``count`` jobs; answers how many were placed."""
        done = 0
        self._tried.clear()
        while done < count:
            best = self._fullest(item) or self._to_grow(item)
            if best is None:
                break
            # The group that is the best for one job stays the best until it is full: no need to look at all again.
            placed = 0
            in_turn = best[1] // item.size if self._sign > 0 else 1
            while placed < min(max(1, in_turn), count - done) and self._place_in(item, best[2]):
                placed += 1
            done += placed
            if not placed:
                self._tried.add(best[2])
        return done

    def _fullest(self, item: JobClass) -> t.Optional[Choice]:
        """The group with enough free nodes that is to be taken."""
        best: t.Optional[Choice] = None
        near = self._wants_near(item)
        for group, stacks in self._packer.groups.items():
            if stacks and group not in self._tried and (stacks[0].kind.near or not near):
                slots = self._slots_in(item, group)
                found = (float(self._sign * slots), slots, group)
                if slots >= item.size and (best is None or found < best):
                    best = found
        return best

    def _to_grow(self, item: JobClass) -> t.Optional[Choice]:
        """The group in which the missing nodes cost the least; of those the one with the least room."""
        shop = self._packer.shop
        if shop is None:
            return None
        hardest = max(item.pieces, key=lambda one: (one.gpus, one.cpus, one.memory))
        best: t.Optional[Choice] = None
        for group, room, holds, price in shop.groups(item, hardest, self._wants_near(item)):
            slots = self._slots_in(item, group)
            missing = -(-(item.size - slots) // holds)
            if room >= missing > 0 and group not in self._tried:
                # Free nodes that one job uses up make this group the best only once.
                found = (missing * price, slots or room * holds, group)
                best = found if best is None or found < best else best
        return best

    def _wants_near(self, item: JobClass) -> bool:
        """A job that wants its nodes close gets a real placement group if there is any that it could use."""
        found = self._near.get(item.number)
        if found is None:
            kinds = {id(one.kind): one.kind for one in self._packer.stacks if one.kind.near}
            kinds.update((id(kind), kind) for kind in self._packer.sold)
            found = any(self._packer.suits(item, 0, kind) for kind in kinds.values())
            self._near[item.number] = found
        return found

    def _slots_in(self, item: JobClass, group: str) -> int:
        """For how many pieces of such a job there is room in a group, about."""
        version = self._packer.version.get(group, 0)
        known = self._slots.get((item.number, group))
        if known is not None and known[0] == version:
            return known[1]
        found = 0
        for one in self._packer.groups.get(group, ()):
            if item.exclusive and (not one.fresh or one.used):
                continue
            fits = [
                one.fits(piece) for which, piece in enumerate(item.pieces) if self._packer.suits(item, which, one.kind)
            ]
            each = max(fits, default=0)
            found += len(one.tags) * (min(1, each) if item.spread == SCATTER else each)
        self._slots[item.number, group] = (version, found)
        return found

    def _place_in(self, item: JobClass, group: str) -> bool:
        packer = self._packer
        done: list[tuple[int, Stack, int]] = []
        bought: list[Stack] = []
        taken: set[int] = set()
        for which, piece in enumerate(item.pieces):
            left = piece.count
            nodes = [one for one in packer.groups.get(group, ()) if packer.suits(item, which, one.kind)]
            nodes.sort(key=lambda one: (not one.used, one.fresh))
            while left:
                for one in nodes:
                    number = 1
                    while left and number:
                        number = packer.lay(item, which, one, left, taken, done)
                        left -= number
                if left:
                    nodes = packer.stock(item, piece, left, left, group)
                    bought += nodes
                    if not nodes:
                        packer.undo(item, done, bought)
                        return False
        packer.settle(item, done)
        return True


def place(packer: Packer, gangs: Gangs, item: JobClass, count: int) -> int:
    """Place up to ``count`` jobs of any class in the way that it asks for; answers how many were placed."""
    if item.size == 1:
        return packer.place(item.number, count)
    if item.one_group:
        return gangs.place(item, count)
    done = 0
    while done < count and (packer.place_job(item) or _on_one_size(packer, item)):
        done += 1
    return done


def _on_one_size(packer: Packer, item: JobClass) -> bool:
    """Where what is cheapest for each piece goes beyond a limit, all of them on one size may not."""
    shop = packer.shop
    if shop is None:
        return False
    for option in shop.options(item):
        shop.narrow(option)
        placed = packer.place_job(item)
        shop.narrow(None)
        if placed:
            return True
    return False
