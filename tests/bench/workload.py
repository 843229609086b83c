"""Reads a planner workload (schema planner-workload/1) into the values that a pass plans from, and checks placements.

The checker knows nothing of the planner: it counts on every node, from the workload's own numbers.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, Quota, VmSize
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import (
    Admin,
    Cluster,
    Machine,
    Network,
    NodeArray,
    Scheduler,
    SizeChoice,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, Instance, ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import (
    Layout,
    NodeGroup,
    ScaleSetSpec,
    slug,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.offers import labels
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER, Chunk, Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.slurm_nodes import real_memory

Json = dict[str, t.Any]
NOW = 1_800_000_000
FAST = "fast"
_MANY = 10**9


@dataclass
class Workload:
    """What `packed.plan` takes, and the workload's node types by the name of the scale set."""

    cluster: Cluster
    layout: Layout
    queue: Queue
    fleet: Fleet
    catalog: Catalog
    type_of: dict[str, Json]
    group_of: dict[str, t.Any] = field(default_factory=dict)


def mib(gib: float) -> int:
    """GiB as MiB."""
    return round(gib * 1024)


def machine_memory(jobs_mib: int) -> int:
    """The memory of a machine (MiB) that leaves so much to jobs."""
    found = jobs_mib * 20 // 19
    while real_memory(found) < jobs_mib or real_memory(found) == 1 < jobs_mib:
        found += 1
    while real_memory(found - 1) >= jobs_mib:
        found -= 1
    return found


def read(doc: Json) -> Workload:
    """The workload as values. Node types keep their order: a planner must not care for it."""
    types = doc["node_types"]
    arrays, specs, groups, sizes, type_of = [], [], [], {}, {}
    names: dict[tuple[str, str], list[ScaleSetSpec]] = {}
    for node_type in types:
        array = _array(node_type)
        arrays.append(array)
        size = VmSize(
            node_type["name"],
            f"family{len(sizes)}",
            node_type["vcpus"],
            machine_memory(mib(node_type["mem_gb"])),
            gpus=node_type["gpus"],
        )
        known = sizes.get(node_type["name"].lower())
        price = {"spot_price" if node_type["spot"] else "price": node_type["price"]}
        sizes[node_type["name"].lower()] = VmSize(**{**vars(known or size), **price})
        mine = list(_specs(array, node_type))
        specs += mine
        groups.append(
            NodeGroup(array.name, node_type["name"], f"{array.name}-{slug(node_type['name'])}", node_type["max_count"])
        )
        type_of.update((spec.name, node_type) for spec in mine)
        for key in ((node_type["name"], node_type["nodearray"]), (node_type["name"], "")):
            if not node_type["spot"] or key not in names:
                names[key] = mine
    cluster = Cluster(
        name="bench",
        location="westeurope",
        resource_group="bench",
        network=Network("bench", (), ()),
        admin=Admin("bench", ()),
        head=Machine("bench"),
        scheduler=Scheduler("openpbs"),
        node_arrays=tuple(arrays),
        partitions=(),
    )
    quotas = {"cores": Quota("cores", _MANY, 0), "virtualmachines": Quota("virtualMachines", _MANY, 0)}
    fleet, nodes = _existing(doc, names, type_of)
    queue = Queue("openpbs", "bench", NOW, tuple(map(_job, doc["jobs"])), tuple(nodes))
    return Workload(cluster, Layout(tuple(specs), tuple(groups)), queue, fleet, Catalog("x", sizes, quotas), type_of)


def _array(node_type: Json) -> NodeArray:
    fast = bool(node_type["placement_group_size"])
    name = f"{node_type['nodearray']}-{slug(node_type['name'])}{'-spot' if node_type['spot'] else ''}"
    return NodeArray(
        name,
        (SizeChoice(node_type["name"], node_type["max_count"]),),
        node_type["max_count"],
        priority="spot" if node_type["spot"] else "regular",
        placement_group=fast,
        features=(FAST,) if fast else (),
    )


def _specs(array: NodeArray, node_type: Json) -> t.Iterator[ScaleSetSpec]:
    per_group, most = node_type["placement_group_size"], node_type["max_count"]
    for index in range(-(-most // per_group) if per_group else 1):
        yield ScaleSetSpec(
            name=f"bench-{array.name}-pg{index + 1}" if per_group else f"bench-{array.name}",
            node_array=array.name,
            vm_size=node_type["name"],
            priority=array.priority,
            zone="",
            placement_group=index + 1 if per_group else 0,
            max_capacity=min(per_group, most - index * per_group) if per_group else most,
            computer_name_prefix=f"{array.name}-{index + 1}-",
            subnet="compute",
        )


def _existing(
    doc: Json, names: t.Mapping[tuple[str, str], list[ScaleSetSpec]], type_of: t.Mapping[str, Json]
) -> tuple[Fleet, list[QueueNode]]:
    members: dict[str, list[Instance]] = {}
    nodes = []
    indices: dict[t.Any, int] = {}
    by_name = {spec.name: spec for specs in names.values() for spec in specs}
    for number, one in enumerate(doc["existing"]):
        # Existing nodes are called ARRAY-NUMBER, which tells types of one name apart.
        mine = names.get((one["type"], one["name"].rpartition("-")[0])) or names[one["type"], ""]
        group = (mine[0].node_array, one["placement_group"])
        index = 0
        if one["placement_group"] is not None and len(mine) > 1:
            index = indices.setdefault(group, sum(key[0] == mine[0].node_array for key in indices))
        spec = mine[index]
        name = one["name"].lower().replace("_", "-")
        found = Instance(
            f"/x/{spec.name}/virtualMachines/{number}",
            spec.name,
            str(number),
            name,
            "10.0.0.1",
            "Succeeded",
            created_at=NOW - 7200,
        )
        members.setdefault(spec.name, []).append(found)
        node_type = type_of[spec.name]
        nodes.append(
            QueueNode(
                name,
                frozenset(),
                up=True,
                jobs=int(one["busy"]),
                idle_since=0 if one["busy"] else NOW - 60,
                cpus=node_type["vcpus"],
                memory_mib=mib(node_type["mem_gb"]),
                gpus=node_type["gpus"],
                free_cpus=one["free_cpus"],
                free_memory_mib=mib(one["free_mem_gb"]),
                free_gpus=one["free_gpus"],
                labels=labels(spec, (FAST,) if spec.placement_group else ()),
            )
        )
    sets = [
        ScaleSet(
            f"/x/{name}",
            name,
            spec.node_array,
            spec.vm_size,
            len(members.get(name, ())),
            spec.priority,
            placement_group=spec.placement_group,
            instances=tuple(members.get(name, ())),
        )
        for name, spec in by_name.items()
    ]
    return Fleet(tuple(sets), NOW), nodes


def _job(job: Json) -> Job:
    chunk = Chunk(
        job["nodes"],
        job["cpus_per_node"],
        mib(job["mem_gb_per_node"]),
        job["gpus_per_node"],
        labels=((FAST, "true"),) if job["colocated"] else (),
    )
    return Job(
        job["id"],
        "pending",
        chunks=(chunk,),
        spread=SCATTER,
        exclusive=job["exclusive"],
        one_group=job["colocated"],
        submitted_at=NOW,
    )


@dataclass
class Spot:
    """One node in the checker's books."""

    type: Json
    cpus: float
    memory: float
    gpus: float
    group: t.Any
    idle: bool
    jobs: set[str] = field(default_factory=set)
    alone: bool = False


def check(doc: Json, spots: t.Mapping[t.Any, Spot], nodes_of: t.Mapping[str, t.Sequence[t.Any]]) -> list[str]:
    """What is wrong with a placement (the nodes of each job, keys of ``spots``), from the workload's own numbers."""
    wrong = []
    for job in doc["jobs"]:
        mine = nodes_of.get(job["id"])
        if mine is None:
            continue
        if len(mine) != job["nodes"] or len(set(mine)) != job["nodes"]:
            wrong.append(f"job {job['id']} has {len(set(mine))} nodes of {job['nodes']}")
        for key in mine:
            spot = spots[key]
            spot.cpus -= job["cpus_per_node"]
            spot.memory -= job["mem_gb_per_node"]
            spot.gpus -= job["gpus_per_node"]
            if job["exclusive"] and (not spot.idle or spot.jobs):
                wrong.append(f"job {job['id']} is not alone on {key}")
            if spot.alone:
                wrong.append(f"job {job['id']} is on {key}, which another has alone")
            spot.alone = spot.alone or job["exclusive"]
            spot.jobs.add(job["id"])
        if job["colocated"] and len({spots[key].group for key in mine}) > 1:
            wrong.append(f"job {job['id']} is in several placement groups")
        if job["colocated"] and any(not spots[key].type["placement_group_size"] for key in mine):
            wrong.append(f"job {job['id']} is on nodes without placement group")
    for key, spot in spots.items():
        if spot.jobs and (spot.cpus < 0 or spot.memory < -1e-9 or spot.gpus < 0):
            wrong.append(f"{key} is overfull: {spot.cpus} CPUs, {spot.memory} GiB, {spot.gpus} GPUs are left")
    members = Counter((spot.type["name"], spot.type["spot"], spot.group) for spot in spots.values())
    sizes = {(one["name"], one["spot"]): one["placement_group_size"] for one in doc["node_types"]}
    for (name, is_spot, group), count in members.items():
        size = sizes[name, is_spot]
        if group is not None and size and count > size:
            wrong.append(f"placement group {group} of {name} has {count} nodes")
    return wrong
