# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New nodes whose jobs could just as well be on nodes that are there and left empty: they need not be bought."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import New
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Stack

# What is on one node: jobs of each class, by its number.
Load = dict[int, int]


def in_vain(packer: Packer) -> dict[str, int]:
    """How many new nodes of each scale set (lower case) have jobs that fit onto an empty node of the packing."""
    empty = [one for one in packer.stacks if one.tags and one.fresh and not one.used]
    empty = [one for one in empty if not isinstance(one.tags[0], New)]
    found: dict[str, int] = {}
    if not empty:
        return found
    left = {id(one): len(one.tags) for one in empty}
    for tag, load in _loads(packer):
        target = next((one for one in empty if left[id(one)] and _fits(packer, one, load)), None)
        if target is not None:
            left[id(target)] -= 1
            key = tag.spec.name.casefold()
            found[key] = found.get(key, 0) + 1
    return found


def _loads(packer: Packer) -> t.Iterator[tuple[New, Load]]:
    """New nodes with what is on them, of those on which all jobs could be moved by themselves."""
    tags: dict[int, New] = {}
    loads: dict[int, Load] = {}
    fixed: set[int] = set()
    for item, runs in zip(packer.demand.classes, packer.placed):
        for run in runs:
            for tag in run.tags if isinstance(run.tags[0], New) else ():
                tags[id(tag)] = tag
                mine = loads.setdefault(id(tag), {})
                mine[item.number] = mine.get(item.number, 0) + run.pieces
                if item.one_group or len(item.pieces) > 1:
                    fixed.add(id(tag))
    return ((tags[name], load) for name, load in loads.items() if name not in fixed)


def _fits(packer: Packer, one: Stack, load: Load) -> bool:
    """Whether an empty node holds all of it."""
    classes: list[tuple[JobClass, int]] = [(packer.demand.classes[number], count) for number, count in load.items()]
    if not all(packer.suits(item, 0, one.kind) for item, _count in classes):
        return False
    node = one.copy(one.tags)
    for item, count in classes:
        if node.fits(item.pieces[0]) < count:
            return False
        node.take(item.pieces[0], count)
    return True
