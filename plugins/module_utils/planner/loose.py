# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of several equal pieces that may be anywhere, packed as what they are: as many jobs of one piece.

Where every piece needs a node of its own, n jobs get that whenever no node holds more than n of their pieces: dealt out
like cards, node by node, the pieces of one node go to different jobs. So they are packed together with all other jobs,
and nothing is lost by placing them first.
"""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, SCATTER, Chunk
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, JobClass, Piece
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer


def is_loose(item: JobClass) -> bool:
    """Whether the pieces of such jobs can be packed one by one."""
    return item.size > 1 and len(item.pieces) == 1 and not item.one_group


def loosened(packer: Packer) -> Packer:
    """The same state with every piece that is left of such jobs as a job of its own."""
    classes = [_pieces(item, packer.left[item.number]) if is_loose(item) else item for item in packer.demand.classes]
    found = packer.copy(packer.shop, Demand(classes, packer.demand.held, packer.demand.of_job))
    for item in packer.demand.classes:
        if is_loose(item):
            found.left[item.number] *= item.size
    return found


def _pieces(item: JobClass, jobs: int) -> JobClass:
    one = item.pieces[0]
    piece = Piece(Chunk(1, one.cpus, one.memory, one.gpus, one.resources, one.labels))
    most = jobs if item.spread == SCATTER and not item.exclusive else 0
    return JobClass(
        item.number,
        (piece,),
        FREE,
        item.exclusive,
        False,
        item.partitions,
        item.jobs,
        jobs * item.size,
        per_node=most,
    )


def tightened(packer: Packer, demand: Demand, partly: bool) -> bool:
    """Put the pieces together to jobs again; False if some are left, and the state is of no use unless ``partly``."""
    loose = [item for item in demand.classes if is_loose(item)]
    if any(packer.left[item.number] for item in loose) and not partly:
        return False
    for item in loose:
        packer.left[item.number] = -(-packer.left[item.number] // item.size)
    packer.demand = demand
    packer.dealt.update(item.number for item in loose)
    return True


def dealt(slots: t.Sequence[t.Any], jobs: int) -> list[t.Any]:
    """The nodes of the pieces in the order of the jobs, so that no job has a node twice if that can be."""
    by_node: dict[int, list[t.Any]] = {}
    for tag in slots:
        by_node.setdefault(id(tag), []).append(tag)
    together = [tag for tags in by_node.values() for tag in tags]
    return [tag for turn in range(jobs) for tag in together[turn::jobs]]
