# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scale sets and which scheduler nodes a cluster has: names that are derived, nothing observed."""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass, field, replace

from .cluster import Cluster, NodeArray, SizeChoice

PLACEMENT_GROUP_NODES = 100
SCALE_SET_NODES = 1000
MANAGED_IMAGE_NODES = 600
_NODE = re.compile(r"^(.+)-([1-9][0-9]*)$")


@dataclass(frozen=True)
class ScaleSetSpec:
    """One scale set as it has to be: (node array, VM size, priority, zone, placement group).

    ``max_capacity`` is how many instances it can ever have. Azure appends six characters to ``computer_name_prefix``.
    ``placement_group`` is 0 for none; with one, the set needs ``singlePlacementGroup``. ``max_price`` is in USD/hour.
    """

    name: str
    node_array: str
    vm_size: str
    priority: str
    zone: str
    placement_group: int
    max_capacity: int
    computer_name_prefix: str
    subnet: str
    os_disk_gib: int = 0
    image: str = ""
    max_price: float = -1.0
    tags: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def single_placement_group(self) -> bool:
        """Whether Azure has to keep all instances on one fabric: needed for InfiniBand."""
        return self.placement_group > 0


@dataclass(frozen=True)
class PlacementRange:
    """The nodes ``first`` to ``last`` (numbers of their names, inclusive) belong to placement group ``index``."""

    index: int
    first: int
    last: int


@dataclass(frozen=True)
class NodeGroup:
    """The scheduler nodes ``<prefix>-1`` to ``<prefix>-<count>``: one node array with one VM size."""

    node_array: str
    vm_size: str
    prefix: str
    count: int
    placement_groups: tuple[PlacementRange, ...] = ()

    @property
    def hostlist(self) -> str:
        """All its nodes as Slurm writes them."""
        return node_range(self.prefix, 1, self.count)

    def nodes(self) -> tuple[str, ...]:
        """All its node names in order."""
        return tuple(f"{self.prefix}-{number}" for number in range(1, self.count + 1))


@dataclass(frozen=True)
class NodePlace:
    """What a node name says: its group, its number, its placement group (0: none)."""

    group: NodeGroup
    number: int
    placement_group: int


@dataclass(frozen=True)
class Layout:
    """All scale sets and node groups of a cluster, in the order of the definition."""

    scale_sets: tuple[ScaleSetSpec, ...]
    node_groups: tuple[NodeGroup, ...]

    def scale_set(self, name: str) -> t.Optional[ScaleSetSpec]:
        """The scale set of that name in any case, or None."""
        return _index(self).sets.get(name.casefold())

    def place(self, node: str) -> t.Optional[NodePlace]:
        """Where a node name belongs, or None when it is no name of this cluster."""
        match = _NODE.match(node)
        group = _index(self).groups.get(match.group(1)) if match else None
        if match is None or group is None or int(match.group(2)) > group.count:
            return None
        number = int(match.group(2))
        if not group.placement_groups:
            return NodePlace(group, number, 0)
        return NodePlace(group, number, (number - 1) // PLACEMENT_GROUP_NODES + 1)

    def candidates(self, node: str) -> tuple[ScaleSetSpec, ...]:
        """The scale sets whose instances can serve the node: one per zone, in order of preference."""
        place = self.place(node)
        if place is None:
            return ()
        return _index(self).candidates[(place.group.prefix, place.placement_group)]

    def nodes_of(self, scale_set: str) -> tuple[str, ...]:
        """The names of all nodes that instances of the scale set can serve; empty for an unknown one."""
        spec = self.scale_set(scale_set)
        if spec is None:
            return ()
        group = next(g for g in self.node_groups if (g.node_array, g.vm_size) == (spec.node_array, spec.vm_size))
        for part in group.placement_groups:
            if part.index == spec.placement_group:
                return tuple(f"{group.prefix}-{number}" for number in range(part.first, part.last + 1))
        return group.nodes()


class _Index:
    """Look-ups over a layout, made once."""

    def __init__(self, layout_: Layout) -> None:
        self.sets = {spec.name.casefold(): spec for spec in layout_.scale_sets}
        self.groups = {group.prefix: group for group in layout_.node_groups}
        prefixes = {(group.node_array, group.vm_size): group.prefix for group in layout_.node_groups}
        found: dict[tuple[str, int], list[ScaleSetSpec]] = {}
        for spec in layout_.scale_sets:
            found.setdefault((prefixes[spec.node_array, spec.vm_size], spec.placement_group), []).append(spec)
        self.candidates = {key: tuple(specs) for key, specs in found.items()}


def _index(layout_: Layout) -> _Index:
    # A layout is frozen but holds dictionaries, so it cannot be hashed: its index is kept on it, outside its fields.
    index: t.Optional[_Index] = layout_.__dict__.get("_index")
    if index is None:
        index = layout_.__dict__["_index"] = _Index(layout_)
    return index


def kept_nodes(cluster: Cluster) -> tuple[str, ...]:
    """The nodes that ``min_nodes`` keeps running: of each array the first ones. Slurm must not suspend them."""
    names: list[str] = []
    for array in cluster.node_arrays:
        groups = (_group(array, size) for size in array.vm_sizes)
        names.extend([name for group in groups for name in group.nodes()][: array.min_nodes])
    return tuple(names)


def slug(vm_size: str) -> str:
    """The short form of a VM size in names: Standard_D4s_v5 -> d4sv5."""
    name = vm_size[len("standard_") :] if vm_size.lower().startswith("standard_") else vm_size
    return re.sub(r"[_-]", "", name).lower()


def node_range(prefix: str, first: int, last: int) -> str:
    """Numbered nodes as Slurm writes them: htc-d4sv5-[1-10]."""
    return f"{prefix}-{first}" if first == last else f"{prefix}-[{first}-{last}]"


def node_prefix(array: NodeArray, size: SizeChoice) -> str:
    """What the node names of one size of an array begin with, without the dash before the number."""
    return f"{array.name}-{slug(size.name)}"


def set_limit(cluster: Cluster, array: NodeArray) -> int:
    """How many instances Azure allows in one scale set of this array."""
    if array.placement_group:
        return PLACEMENT_GROUP_NODES
    image = array.image or cluster.image.id
    managed = "/images/" in image.lower() and "/galleries/" not in image.lower()
    return MANAGED_IMAGE_NODES if managed or (not image and cluster.image.bake) else SCALE_SET_NODES


def layout(cluster: Cluster) -> Layout:
    """All scale sets and node groups of a valid cluster."""
    specs: list[ScaleSetSpec] = []
    groups: list[NodeGroup] = []
    for array in cluster.node_arrays:
        for size in array.vm_sizes:
            group = _group(array, size)
            groups.append(group)
            specs.extend(_specs(cluster, array, group))
    return Layout(tuple(_with_prefixes(specs)), tuple(groups))


def _group(array: NodeArray, size: SizeChoice) -> NodeGroup:
    ranges: tuple[PlacementRange, ...] = ()
    if array.placement_group:
        starts = range(1, size.max_nodes + 1, PLACEMENT_GROUP_NODES)
        ranges = tuple(
            PlacementRange(index, first, min(first + PLACEMENT_GROUP_NODES - 1, size.max_nodes))
            for index, first in enumerate(starts, 1)
        )
    return NodeGroup(array.name, size.name, node_prefix(array, size), size.max_nodes, ranges)


def _specs(cluster: Cluster, array: NodeArray, group: NodeGroup) -> t.Iterator[ScaleSetSpec]:
    limit = set_limit(cluster, array)
    for part in group.placement_groups or (PlacementRange(0, 1, group.count),):
        for zone in array.zones or ("",):
            name = f"{cluster.name}-{group.prefix}"
            name += "-spot" if array.priority == "spot" else ""
            name += f"-z{zone}" if zone else ""
            name += f"-pg{part.index}" if part.index else ""
            yield ScaleSetSpec(
                name=name,
                node_array=array.name,
                vm_size=group.vm_size,
                priority=array.priority,
                zone=zone,
                placement_group=part.index,
                max_capacity=min(part.last - part.first + 1, limit),
                computer_name_prefix="",
                subnet=array.subnet,
                os_disk_gib=array.os_disk_gib,
                image=array.image or cluster.image.id,
                max_price=array.max_price,
                tags=_tags(cluster, array, group.vm_size, part.index),
            )


def _tags(cluster: Cluster, array: NodeArray, vm_size: str, placement_group: int) -> dict[str, str]:
    return {
        **cluster.tags,
        **array.tags,
        "hpc-cluster": cluster.name,
        "hpc-role": "compute",
        "hpc-scheduler": cluster.scheduler.type,
        "hpc-node-array": array.name,
        "hpc-vm-size": vm_size,
        "hpc-priority": array.priority,
        "hpc-placement-group": str(placement_group),
    }


def _with_prefixes(specs: t.Sequence[ScaleSetSpec]) -> t.Iterator[ScaleSetSpec]:
    """Give every set its own prefix of at most 15 characters (Azure's limit): slurmctld finds a node by host name."""
    taken: set[str] = set()
    for spec in specs:
        salt = 0
        while True:
            digest = hashlib.sha256(f"{spec.name}/{salt}".encode()).hexdigest()[:5]
            prefix = f"{spec.node_array[:8].rstrip('-')}-{digest}-"
            if prefix not in taken:
                break
            salt += 1
        taken.add(prefix)
        yield replace(spec, computer_name_prefix=prefix)
