"""Thousands of jobs that all differ: few enough classes to plan for, and nobody gets less than was asked for."""

from __future__ import annotations

import random

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.coarse import MOST
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, demand
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.planner.packed_world import BIG_MEMORY, LARGE, SMALL, World, array, cluster

NODE = 65536


def jobs(*memories: int) -> tuple[Job, ...]:
    return tuple(
        Job(str(number), "pending", ("all",), chunks=(Chunk(1, 1 + number % 3, memory),))
        for number, memory in enumerate(memories)
    )


def asked(found: Demand) -> dict[str, int]:
    """What is planned for each job, in MiB."""
    return {job.id: item.pieces[0].memory for item in found.classes for job, _tasks in item.jobs}


def test_a_few_hundred_are_planned_for_as_they_are() -> None:
    queue = Queue("openpbs", "demo", 0, jobs=jobs(*range(1000, 1000 + MOST)))
    assert [item.count for item in demand(queue, {NODE}).classes] == [1] * MOST


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.integers(2, 8))
def test_nobody_gets_less_and_as_many_fit_onto_a_node(seed: int, times: int) -> None:
    found = random.Random(seed)
    wanted = jobs(*(found.randint(0, 2 * NODE) for _unused in range(times * MOST)))
    planned = demand(Queue("openpbs", "demo", 0, jobs=wanted), {NODE})
    # Three numbers of CPUs, and where a part of a node ends a class ends, too.
    assert len(planned.classes) <= MOST + 3 * 9
    assert planned.count == len(wanted)
    for job, memory in asked(planned).items():
        mine = wanted[int(job)].chunks[0].memory_mib
        assert memory >= mine
        assert min(NODE // max(memory, 1), 8) == min(NODE // max(mine, 1), 8)


def test_without_knowing_nodes_nothing_is_rounded() -> None:
    assert len(demand(Queue("openpbs", "demo", 0, jobs=jobs(*range(2 * MOST)))).classes) == 2 * MOST


def test_all_of_them_get_machines_that_hold_them() -> None:
    world = World(cluster(array("htc", SMALL, LARGE, most=5000), array("mem", BIG_MEMORY, most=5000)))
    number = random.Random(1)
    for name in range(2 * MOST):
        world.submit(f"job{name}", cpus=number.randint(1, 16), memory=number.randint(1, 60000))
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    on: dict[int, list[Job]] = {}
    capacity: dict[int, tuple[int, int]] = {}
    for job, (node,) in done.placements():
        offer = world.offers[node.spec.name]
        capacity[id(node)] = (offer.cpus, offer.memory_mib)
        on.setdefault(id(node), []).append(job)
    assert sum(map(len, on.values())) == 2 * MOST
    for node, some in on.items():
        chunks = [job.chunks[0] for job in some]
        cpus, memory = capacity[node]
        assert sum(chunk.cpus for chunk in chunks) <= cpus
        assert sum(chunk.memory_mib for chunk in chunks) <= memory
    world.apply(*done.plan().azure)
    assert not world.plan().azure
