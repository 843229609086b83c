# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a node is none for a job, in words for its owner."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass, Piece
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Market
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind


def never(item: JobClass, market: Market) -> str:
    """Why no size of the cluster can ever serve such a job, in one line."""
    reasons: dict[str, None] = {}
    kinds: dict[t.Any, Kind] = {}
    for choice in market.choices:
        kinds.setdefault((choice.array, choice.vm_size), choice.kind)
    for (array, vm_size), kind in kinds.items():
        for piece in item.pieces:
            why = lacks(kind, item, piece)
            if why:
                reasons[f"{vm_size} of {array} {why}"] = None
                break
    if not reasons:
        return "the cluster has no node array for it"
    return f"it needs {item.text}; {listing(list(reasons), 3)}"


def lacks(kind: Kind, item: JobClass, piece: Piece) -> str:
    """What a kind of node has too little of for a piece, '' for nothing."""
    if not kind.serves(item):
        return f"does not serve {listing(list(item.partitions))}"
    if piece.cpus > kind.cpus:
        return f"has {kind.cpus} CPUs"
    if piece.memory > kind.memory:
        return f"has {kind.memory / 1024:.4g} GiB for jobs"
    if piece.gpus > kind.gpus:
        return f"has {kind.gpus} GPUs" if kind.gpus else "has no GPUs"
    for name, value in piece.labels:
        if (name, value) not in kind.labels:
            return f"is not {name}={value}"
    for name, _value in piece.resources:
        if not kind.resources.get(name):
            return f"has no {name}"
    return ""


def nodes_for(item: JobClass, piece: Piece, kind: Kind) -> int:
    """How many empty nodes of a kind the pieces of one job take."""
    each = 1 if item.spread == SCATTER else max(1, kind.holds(piece))
    return -(-piece.count // each)
