"""What holds for every plan of a queue that the planner packs itself, whatever the queue, machines and limits are."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Budget, Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, SCATTER
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .packed_world import BIG_MEMORY, FAST, GIB, GPU, LARGE, SIZES, SMALL, World, array, cluster, shuffled

# Plans take long: a usual run tries few of them, one that looks for new examples as many as its profile says.
EXAMPLES = 20 if settings().derandomize else settings().max_examples
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    most = draw(st.integers(1, 8))
    policy = {
        "max_nodes": draw(st.sampled_from((0, 0, 3, 6))),
        "max_vcpus": draw(st.sampled_from((0, 0, 24, 64))),
        "grow_per_minute": draw(st.sampled_from((0, 0, 4))),
        "budget": Budget(per_hour=draw(st.sampled_from((0.0, 0.0, 2.5)))),
    }
    spot = draw(st.sampled_from(("regular", "spot")))
    return cluster(
        array("htc", SMALL, LARGE, most=most, priority=spot),
        array("mem", BIG_MEMORY, most=most, min_nodes=draw(st.integers(0, 1))),
        array("gpu", GPU, most=2, warm_nodes=draw(st.integers(0, 1))),
        array("hpc", FAST, most=3, placement_group=True),
        **policy,
    )


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, t.Any]:
    nodes = draw(st.sampled_from((1, 1, 1, 2, 3)))
    return {
        "cpus": draw(st.sampled_from((1, 2, 4, 12, 16, 60))),
        "memory": draw(st.sampled_from((1, 3, 10, 50, 100))) * GIB,
        "gpus": draw(st.sampled_from((0, 0, 0, 1))),
        "nodes": nodes,
        "tasks": draw(st.integers(1, 5)),
        "spread": draw(st.sampled_from((FREE, SCATTER))),
        "exclusive": draw(st.booleans()),
        "one_group": nodes > 1 and draw(st.booleans()),
        "priority": float(draw(st.integers(0, 2))),
        "partitions": draw(st.sampled_from((("all",), ("htc", "mem"), ()))),
    }


@st.composite
def worlds(draw: st.DrawFn, limited: bool = True) -> World:
    """A world somewhere in its life: some jobs were served before, some of their nodes run, some are idle."""
    quota = {"cores": draw(st.sampled_from((40, 200, 1000)))} if limited and draw(st.booleans()) else {}
    made = draw(clusters()) if limited else cluster()
    world = World(made, limits=quota)
    for number, job in enumerate(draw(st.lists(jobs(), max_size=3))):
        world.submit(f"old{number}", **job)
    if world.jobs:
        plan = world.plan()
        world.apply(*plan.azure, *world.plan().scheduler)
        if draw(st.booleans()):
            world.join()
            names = sorted(world.nodes)
            for job, name in zip(sorted(world.jobs), names, strict=False):
                if draw(st.booleans()) and world.jobs[job].chunks[0].count == 1:
                    world.run(job, name) if fits(world, job, name) else None
        world.jobs = {name: job for name, job in world.jobs.items() if job.state == "running"}
    world.now += draw(st.sampled_from((0, 61, 299, 400, 1000)))
    for number, job in enumerate(draw(st.lists(jobs(), max_size=5))):
        world.submit(f"job{number}", **job)
    return world


def fits(world: World, job: str, name: str) -> bool:
    chunk, node = world.jobs[job].chunks[0], world.nodes[name]
    enough = node.free_cpus >= chunk.cpus and node.free_memory_mib >= chunk.memory_mib and node.free_gpus >= chunk.gpus
    return node.up and enough


def served(world: World) -> dict[str, int]:
    """How many tasks of each job get nodes."""
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    found: dict[str, int] = {}
    for job, _tags in done.placements():
        found[job.id] = found.get(job.id, 0) + 1
    return found


@quick
@given(worlds())
def test_a_plan_that_was_carried_out_is_followed_by_none(world: World) -> None:
    for _unused in range(8):
        plan = world.plan()
        if not plan:
            break
        if not any(isinstance(step, steps.Shrink) for step in plan.azure):
            world.apply(*plan.azure)
            bought_again = [step for step in world.plan().azure if isinstance(step, steps.Grow)]
            assert not bought_again, (plan.azure, bought_again)
        else:
            world.apply(*plan.azure)
        world.apply(*world.plan().scheduler)
    assert not world.plan()


@quick
@given(worlds(), st.integers(0, 5))
def test_the_order_of_the_input_changes_nothing(world: World, seed: int) -> None:
    queue, fleet = shuffled(world, seed)
    arrays = tuple(reversed(world.cluster.node_arrays))
    turned = replace(world.cluster, node_arrays=tuple(replace(one, vm_sizes=one.vm_sizes[::-1]) for one in arrays))
    layout_ = world.layout
    mixed = replace(layout_, scale_sets=layout_.scale_sets[::-1], node_groups=layout_.node_groups[::-1])
    assert packed.plan(turned, mixed, queue, fleet, world.catalog(), world.now) == world.plan()


@quick
@given(worlds())
def test_no_limit_is_exceeded(world: World) -> None:
    before = world.machines()
    cost = world.cost()
    world.apply(*world.plan().azure)
    policy = world.cluster.autoscale
    for item in world.cluster.node_arrays:
        mine = sum(len(one.instances) for one in world.sets.values() if one.node_array == item.name)
        assert mine <= item.max_nodes
    vcpus = sum(SIZES[item.vm_size].vcpus * len(item.instances) for item in world.sets.values())
    if world.machines() > before:
        assert not policy.max_nodes or world.machines() <= policy.max_nodes
        assert not policy.max_vcpus or vcpus <= policy.max_vcpus
        assert not policy.grow_per_minute or world.machines() - before <= policy.grow_per_minute
        assert not policy.budget.per_hour or world.cost() <= max(cost, policy.budget.per_hour) + 1e-6
        regular = [item for item in world.sets.values() if item.priority == "regular"]
        cores = sum(SIZES[item.vm_size].vcpus * len(item.instances) for item in regular)
        assert cores <= world.limits.get("cores", 10**9)
    for item in world.sets.values():
        assert not item.placement_group or len(item.instances) <= 100


@quick
@given(worlds())
def test_busy_nodes_and_kept_ones_are_never_deleted(world: World) -> None:
    for _unused in range(4):
        plan = world.plan()
        world.apply(*plan.azure, *plan.scheduler)  # the world refuses to delete what runs jobs
        world.now += 400
        for item in world.cluster.node_arrays:
            there = sum(len(one.instances) for one in world.sets.values() if one.node_array == item.name)
            mine_or_new = [node for node in world.nodes.values() if item.name in node.partitions or not node.up]
            drained = sum(node.drained or not node.up for node in mine_or_new)
            shrinks = [step for step in world.plan().azure if isinstance(step, steps.Shrink)]
            mine = sum(len(step.instance_ids) for step in shrinks if world.sets[step.scale_set].node_array == item.name)
            assert mine <= drained
            late = sum(not node.up for node in world.nodes.values())  # never joined: deleted and replaced
            assert there - mine + late >= min(item.min_nodes, there)


@quick
@given(worlds())
def test_every_placement_is_possible(world: World) -> None:
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    free: dict[int, list[float]] = {}
    alone: dict[int, str] = {}
    on: dict[int, set[str]] = {}
    for stack in done.supply():
        for tag in stack.tags:
            free[id(tag)] = [stack.cpus, stack.memory, stack.gpus]
    kinds = {id(tag): stack.kind for stack in done.packer.stacks for tag in stack.tags}
    for turn, (job, tags) in enumerate(done.placements()):
        chunk = job.chunks[0]
        for tag in tags:
            kind = kinds[id(tag)]
            left = free.setdefault(id(tag), [kind.cpus, kind.memory, kind.gpus])
            for index, need in enumerate((chunk.cpus, chunk.memory_mib, chunk.gpus)):
                left[index] -= need
                assert left[index] >= 0
            assert not job.partitions or kind.partitions is None or set(job.partitions) & kind.partitions
            task = f"{job.id}/{turn}"
            assert alone.get(id(tag), task) == task
            if job.exclusive:
                assert on.get(id(tag), {task}) == {task}
                alone[id(tag)] = task
            on.setdefault(id(tag), set()).add(task)
        if job.spread == SCATTER and chunk.count > 1:
            assert len({id(tag) for tag in tags}) == chunk.count
        if job.one_group:
            assert len({kinds[id(tag)].group for tag in tags}) == 1


def plain_job(cpus: int = 1, gib: int = 1, nodes: int = 1) -> dict[str, t.Any]:
    return {"cpus": cpus, "memory": gib * GIB, "nodes": nodes}


@quick
@given(st.lists(jobs(), min_size=1, max_size=8))
# One of the jobs fits nowhere: that is no reason not to try the other three on one size.
@example([plain_job(), plain_job(gib=50), plain_job(cpus=60), plain_job(nodes=2)])
def test_a_mix_of_sizes_never_costs_more_than_the_cheapest_single_size(wanted: list[dict[str, t.Any]]) -> None:
    sizes = (SMALL, LARGE, BIG_MEMORY, GPU)
    made = {size: World(cluster(array("one", size, most=100))) for size in sizes}
    world = World(cluster(*(array(f"a{number}", size, most=100) for number, size in enumerate(sizes))))
    for number, job in enumerate(wanted):
        for one in (world, *made.values()):
            one.submit(str(number), **{**job, "partitions": (), "one_group": False})
    everybody = sum(served(world).values())
    costs = []
    for one in made.values():
        if sum(served(one).values()) == everybody:
            one.apply(*one.plan().azure)
            costs.append(one.cost())
    world.apply(*world.plan().azure)
    assert all(world.cost() <= cost + 1e-6 for cost in costs)


@quick
@given(st.lists(jobs(), min_size=1, max_size=6), st.integers(0, 12), st.integers(1, 12))
def test_more_quota_never_makes_the_first_job_wait_that_did_not(
    wanted: list[dict[str, t.Any]], low: int, more: int
) -> None:
    """With one size, whoever is served with less is served with more, up to the first that waits."""
    found = []
    for cores in (low * 16, (low + more) * 16):
        world = World(cluster(array("htc", LARGE, most=100)), limits={"cores": cores})
        for number, job in enumerate(wanted):
            world.submit(str(number), **{**job, "partitions": (), "one_group": False, "nodes": 1, "gpus": 0})
        ahead = sorted(world.jobs.values(), key=lambda job: (-job.priority, job.id))
        got = served(world)
        served_first = 0
        for job in ahead:
            if job.chunks[0].cpus > 16 or job.chunks[0].memory_mib > 60 * GIB:
                continue
            served_first += got.get(job.id, 0)
            if got.get(job.id, 0) < job.tasks:
                break
        found.append(served_first)
    assert found[0] <= found[1]
