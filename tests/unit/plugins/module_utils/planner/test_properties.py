"""What holds for every plan, whatever queue and fleet look like."""

from __future__ import annotations

import dataclasses

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Unavailable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Grow, Plan, Shrink
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import explain, slurm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.planner.world import NOW, ROOMY, SIZES, World, array, cluster, shuffled

CLUSTERS = [
    cluster(),
    cluster(array("htc", "Standard_D4s_v5", "Standard_D8s_v5", most=3, max_vcpus=20, zones=("1", "2"))),
    cluster(array("s", "Standard_D4s_v5", most=5, min_nodes=2, priority="spot")),
    cluster(array("hpc", "Standard_HB120rs_v3", most=3, placement_group=True, zones=("1", "2"))),
]
FLAGS = [
    {"IDLE", "POWERED_DOWN"},
    {"IDLE", "POWERED_DOWN", "DRAIN"},
    {"DOWN", "POWERED_DOWN"},
    {"DOWN", "POWERING_DOWN"},
    {"IDLE", "POWERING_DOWN"},
    {"IDLE", "POWERING_UP"},
    {"ALLOCATED", "POWERING_UP", "NOT_RESPONDING"},
    {"IDLE", "POWERING_UP", "DRAIN"},
    {"IDLE"},
    {"ALLOCATED"},
    {"ALLOCATED", "DRAIN"},
    {"ALLOCATED", "POWER_DOWN"},
    {"DOWN", "NOT_RESPONDING"},
    {"DOWN"},
    {"IDLE", "POWER_DOWN"},
    {"IDLE", "POWERING_UP", "POWER_DOWN"},
    {"DOWN", "POWERING_UP"},
]
REASONS = [
    "",
    "azure_hpc: something",
    "azure_hpc: machine is gone",
    "ResumeTimeout reached",
    "bad disk",
    "Not responding",
]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any state at all, also those that should not be: claims of nothing, machines of nobody, half a pass."""
    world = World(draw(st.sampled_from(CLUSTERS)))
    for name in ROOMY:
        world.limits[name] = draw(st.sampled_from([0, 10, 130, 500, 10000]))
    for item in list(world.sets.values()):
        fields = st.fixed_dictionaries(
            {
                "provisioning_state": st.sampled_from(["Succeeded", "Succeeded", "Creating", "Failed", "Deleting"]),
                "created_at": st.sampled_from([0, NOW - 10, NOW - 400, NOW - 2000]),
                "power_state": st.sampled_from(["", "PowerState/running", "PowerState/deallocated"]),
            }
        )
        made = [world.instance(item, **draw(fields)) for _unused in range(draw(st.integers(0, 2)))]
        tag = st.builds(Unavailable, st.sampled_from([NOW - 9000, NOW - 5, NOW + 200]), st.just("AllocationFailed"))
        world.sets[item.name] = dataclasses.replace(
            item,
            instances=tuple(made),
            capacity=len(made) + draw(st.sampled_from([0, 0, 1])),
            unavailable=draw(st.none() | tag),
        )
    ids = [one.id for item in world.sets.values() for one in item.instances]
    addresses = {one.id: one.private_ip for item in world.sets.values() for one in item.instances}
    missing = next(iter(world.sets.values())).id + "/virtualMachines/999"
    for name in world.nodes:
        claim = draw(st.sampled_from(["", "", "/subscriptions/gone", missing, *ids]))
        world.change(
            name,
            flags=frozenset({"CLOUD", *draw(st.sampled_from(FLAGS))}),
            instance_id=claim,
            address=addresses.get(claim, name),
            reason=draw(st.sampled_from(REASONS)),
            reason_at=draw(st.sampled_from([0, NOW - 10, NOW - 5000])),
        )
        if draw(st.integers(0, 3)) == 0:
            world.change(name, address=draw(st.sampled_from([name, *addresses.values()])))
    _put_jobs(draw, world)
    return world


def _put_jobs(draw: st.DrawFn, world: World) -> None:
    taken = [name for name, node in world.nodes.items() if "ALLOCATED" in node.flags]
    number = 1
    while taken:
        count = min(len(taken), draw(st.integers(1, 3)))
        names, taken = tuple(taken[:count]), taken[count:]
        coming = any("POWERING_UP" in world.nodes[name].flags for name in names)
        state = "configuring" if coming else "running"
        partition = world.nodes[names[0]].partitions
        world.jobs[str(number)] = Job(str(number), state, partition, names, count, count, submitted_at=number)
        number += 1
    for _unused in range(draw(st.integers(0, 2))):
        reason = draw(st.sampled_from(["Resources", "Priority", "BadConstraints", "Dependency", ""]))
        partition = draw(st.sampled_from([part.name for part in world.cluster.partitions]))
        world.submit(
            str(number), partition, draw(st.integers(1, 12)), reason=reason, note=draw(st.sampled_from(["", "x"]))
        )
        number += 1


ANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _growth(plan: Plan) -> dict[str, Grow]:
    return {step.scale_set: step for step in plan.azure if isinstance(step, Grow)}


@ANY
@given(worlds())
def test_no_growth_beyond_what_definition_and_quota_allow(world: World) -> None:
    catalog, plan = world.catalog(), world.plan()
    shrunk = {step.scale_set: len(step.instance_ids) for step in plan.azure if isinstance(step, Shrink)}
    kept = {name: len(item.instances) - shrunk.get(name, 0) for name, item in world.sets.items()}
    leaving = {
        name: sum(one.provisioning_state == "Deleting" for one in item.instances) for name, item in world.sets.items()
    }
    growth = _growth(plan)
    # What the capacity says above the machines that are listed is asked for already and no new demand.
    new = {name: step.capacity - max(step.current, kept[name] - leaving[name]) for name, step in growth.items()}
    for name in growth:
        spec = world.layout.scale_set(name)
        assert spec is not None
        assert not new[name] > 0 or kept[name] - leaving[name] + new[name] <= spec.max_capacity
    for quota in catalog.quotas.values():
        sets = [name for name in growth if quota.name in _quotas(world, name)]
        asked = sum(new[name] * SIZES[world.sets[name].vm_size].vcpus for name in sets if new[name] > 0)
        assert asked <= max(0, quota.limit - quota.used)
    for item in world.cluster.node_arrays:
        sets = [name for name, found in world.sets.items() if found.node_array == item.name]
        living = sum(kept[name] - leaving[name] for name in sets)
        more = sum(max(0, new.get(name, 0)) for name in sets)
        assert not more or living + more <= item.max_nodes
        vcpus = {name: SIZES[world.sets[name].vm_size].vcpus for name in sets}
        total = sum((kept[name] - leaving[name] + max(0, new.get(name, 0))) * vcpus[name] for name in sets)
        assert not more or not item.max_vcpus or total <= item.max_vcpus
    world.apply(*plan.azure)  # asserts that no node with running jobs loses its machine


def _quotas(world: World, name: str) -> tuple[str, ...]:
    item = world.sets[name]
    return ("lowprioritycores",) if item.priority == "spot" else ("cores", SIZES[item.vm_size].family.lower())


@ANY
@given(worlds())
def test_plans_lead_to_a_state_with_nothing_left_to_do(world: World) -> None:
    world.settle(rounds=6)


@ANY
@given(worlds(), st.integers(0, 40))
def test_a_pass_that_was_cut_short_anywhere_changes_nothing_about_the_end(world: World, cut: int) -> None:
    plan = world.plan()
    world.apply(*[*plan.azure, *plan.scheduler][:cut])
    world.settle(rounds=7)


@ANY
@given(worlds(), st.integers(0, 1000))
def test_order_of_the_observation_does_not_matter(world: World, seed: int) -> None:
    queue, fleet = shuffled(world, seed)
    assert slurm.plan(world.cluster, world.layout, queue, fleet, world.catalog(), world.now) == world.plan()


@ANY
@given(worlds())
def test_plans_change_none_of_their_inputs_and_survive_json(world: World) -> None:
    inputs = [world.queue(), world.fleet(), world.catalog(), world.cluster]
    before = [serial.dump(value) for value in inputs]
    plan = world.plan()
    assert [serial.dump(value) for value in inputs] == before
    assert serial.load(Plan, serial.dump(plan)) == plan
    assert all("\n" not in line for line in explain.lines(plan))
