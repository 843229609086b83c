# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What slurm.conf says of a cluster's nodes, partitions and topology, as plain dictionaries for templates."""

from __future__ import annotations

import typing as t

from . import layout as _layout
from .catalog import Catalog, VmSize
from .cluster import Cluster, NodeArray

_WEIGHT_STEP = 10


def slurm_nodes(cluster: Cluster, catalog: Catalog) -> list[dict[str, t.Any]]:
    """One dictionary per node group, in the order of the definition.

    Keys: name (a host list), node_array, vm_size, count, cpus, sockets, cores_per_socket, threads_per_core,
    real_memory (MiB), gres ('' for none), features, weight, state, options (the user's, to be written last).
    Raises ValueError when the catalog lacks a size.
    """
    found = _layout.layout(cluster)
    sizes = {group.vm_size: _size(catalog, group.vm_size) for group in found.node_groups}
    weights = _weights(cluster, sizes)
    return [
        _node_line(cluster.array(group.node_array), group, sizes[group.vm_size], weights) for group in found.node_groups
    ]


def _node_line(
    array: NodeArray, group: _layout.NodeGroup, size: VmSize, weights: t.Mapping[tuple[str, str], int]
) -> dict[str, t.Any]:
    threads = max(1, size.vcpus_per_core)
    features = [array.name, _layout.slug(size.name), array.priority, *array.features]
    return {
        "name": group.hostlist,
        "node_array": array.name,
        "vm_size": size.name,
        "count": group.count,
        "cpus": size.vcpus,
        "sockets": 1,
        "cores_per_socket": max(1, size.vcpus // threads),
        "threads_per_core": threads,
        "real_memory": real_memory(size.memory_mib),
        "gres": f"gpu:{size.gpus}" if size.gpus else "",
        "features": list(dict.fromkeys(features)),
        "weight": weights[array.name, group.vm_size],
        "state": "CLOUD",
        "options": dict(array.node_options),
    }


def real_memory(memory_mib: int) -> int:
    """What jobs may use of a machine's memory, MiB: the system keeps the larger of 1 GiB and 5 %.

    A node that has less than slurm.conf says is drained by slurmctld, and the kernel never shows all of it.
    """
    return max(1, memory_mib - max(1024, -(-memory_mib * 5 // 100)))


def slurm_partitions(cluster: Cluster) -> list[dict[str, t.Any]]:
    """One dictionary per partition: name, nodes (host lists with commas), count, default, options.

    ``count`` is how many of the nodes can be there at once: a node array may have fewer nodes than its sizes together.
    """
    groups = _layout.layout(cluster).node_groups
    return [
        {
            "name": partition.name,
            "nodes": ",".join(group.hostlist for group in groups if group.node_array in partition.node_arrays),
            "count": sum(_most(cluster.array(name), groups) for name in dict.fromkeys(partition.node_arrays)),
            "default": partition.default,
            "options": dict(partition.options),
        }
        for partition in cluster.partitions
    ]


def _most(array: NodeArray, groups: t.Sequence[_layout.NodeGroup]) -> int:
    return min(array.max_nodes, sum(group.count for group in groups if group.node_array == array.name))


def slurm_topology(cluster: Cluster) -> list[dict[str, str]]:
    """Lines of topology.conf (switch, nodes) for topology/tree; empty when no array has two placement groups.

    The leaves are not connected, so no job spans placement groups: InfiniBand does not reach across them. Nodes
    without a placement group share one leaf, because with this plugin a node in no leaf takes no part in larger jobs.
    """
    groups = _layout.layout(cluster).node_groups
    if not any(len(group.placement_groups) > 1 for group in groups):
        return []
    lines = [
        {
            "switch": f"{group.prefix}-pg{part.index}",
            "nodes": _layout.node_range(group.prefix, part.first, part.last),
        }
        for group in groups
        for part in group.placement_groups
    ]
    others = [group.hostlist for group in groups if not group.placement_groups]
    return lines + ([{"switch": "ethernet", "nodes": ",".join(others)}] if others else [])


def _size(catalog: Catalog, name: str) -> VmSize:
    size = catalog.size(name)
    if size is None:
        raise ValueError(f"{name} is not a VM size of {catalog.location}")
    return size


def _weights(cluster: Cluster, sizes: t.Mapping[str, VmSize]) -> dict[tuple[str, str], int]:
    """Slurm takes nodes of low weight first. By price where every price is known, else by the order of the list.

    Ranks, not prices: a price that moves a little should not change slurm.conf.
    """
    keys = [(array.name, size.name) for array in cluster.node_arrays for size in array.vm_sizes]
    spot = {array.name: array.priority == "spot" for array in cluster.node_arrays}
    prices = {key: sizes[key[1]].spot_price if spot[key[0]] else sizes[key[1]].price for key in keys}
    known = [price for price in prices.values() if price is not None]
    if len(known) == len(keys):
        ranks = {price: rank for rank, price in enumerate(sorted(set(known)), 1)}
        return {key: _WEIGHT_STEP * ranks[t.cast(float, prices[key])] for key in keys}
    return {
        (array.name, size.name): _WEIGHT_STEP * rank
        for array in cluster.node_arrays
        for rank, size in enumerate(array.vm_sizes, 1)
    }
