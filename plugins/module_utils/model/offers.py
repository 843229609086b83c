# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one machine of a scale set offers to jobs, before there is one: the promise that a node keeps when it joins."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import layout as _layout
from .catalog import Catalog, VmSize
from .cluster import Cluster
from .slurm_nodes import real_memory

# Names of the labels that every node has. Jobs may ask for them by name and value.
NODE_ARRAY, VM_SIZE, PRIORITY, PLACEMENT_GROUP = "node_array", "vm_size", "priority", "placement_group"


@dataclass(frozen=True)
class Offer:
    """A machine of ``scale_set``: what jobs get of it, the queues it serves and what it costs.

    ``cpus`` are vCPUs, ``memory_mib`` is what the system leaves to jobs, ``price`` in USD/hour (None: not known).
    ``group`` names the placement group that the machine would be in, '' for none.
    """

    scale_set: str
    node_array: str
    vm_size: str
    cpus: int
    memory_mib: int
    gpus: int
    labels: tuple[tuple[str, str], ...]
    partitions: tuple[str, ...]
    price: t.Optional[float] = None
    group: str = ""
    max_capacity: int = 0


def group_name(spec: _layout.ScaleSetSpec) -> str:
    """The name of the placement group of a scale set's machines, '' for none: hpc-hb120rsv3-pg1."""
    if not spec.placement_group:
        return ""
    return f"{spec.node_array}-{_layout.slug(spec.vm_size)}-pg{spec.placement_group}"


def labels(spec: _layout.ScaleSetSpec, features: t.Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """What jobs can ask for by name and value, sorted; a feature is a label with the value ``true``.

    Nodes outside placement groups have the scale set's name there: nodes of one set are the nearest to a group.
    """
    own = {
        NODE_ARRAY: spec.node_array,
        VM_SIZE: _layout.slug(spec.vm_size),
        PRIORITY: spec.priority,
        PLACEMENT_GROUP: group_name(spec) or spec.name,
    }
    return tuple(sorted({**dict.fromkeys(features, "true"), **own}.items()))


def offers(cluster: Cluster, catalog: Catalog) -> tuple[Offer, ...]:
    """The offer of every scale set of the cluster whose size the catalog knows, in the order of the definition."""
    found = []
    for spec in _layout.layout(cluster).scale_sets:
        size = catalog.size(spec.vm_size)
        if size is not None:
            found.append(offer(cluster, spec, size))
    return tuple(found)


def offer(cluster: Cluster, spec: _layout.ScaleSetSpec, size: VmSize) -> Offer:
    """The offer of one scale set."""
    array = cluster.array(spec.node_array)
    return Offer(
        scale_set=spec.name,
        node_array=spec.node_array,
        vm_size=size.name,
        cpus=size.vcpus,
        memory_mib=real_memory(size.memory_mib),
        gpus=size.gpus,
        labels=labels(spec, array.features),
        partitions=tuple(item.name for item in cluster.partitions if spec.node_array in item.node_arrays),
        price=size.spot_price if spec.priority == "spot" else size.price,
        group=group_name(spec),
        max_capacity=spec.max_capacity,
    )
