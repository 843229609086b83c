"""Whole lives of clusters: jobs come, machines come for them, trouble happens, and in the end nothing is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.planner.world import World, array, cluster


def run(world: World, minutes: int = 60, cuts: tuple[int, ...] = ()) -> int:
    """A pass each minute until all is done; ``cuts`` end the first passes after so many steps. Answers the minutes."""
    for minute in range(minutes):
        world.schedule()
        for _round in range(3):
            plan = world.plan()
            chosen = [*plan.azure, *plan.scheduler]
            world.apply(*(chosen[: cuts[minute]] if minute < len(cuts) else chosen))
        world.pass_time(60)
        quiet = all("POWERED_DOWN" in node.flags for node in world.nodes.values())
        if not world.jobs and quiet and not any(item.instances for item in world.sets.values()):
            return minute
    return minutes


def test_jobs_get_machines_run_and_leave_nothing_behind() -> None:
    world = World(cluster())
    world.submit("1", "hpc", 2)
    world.submit("2", "hpc", 4)
    for number in range(3, 12):
        world.submit(str(number), "htc", 1)
    assert run(world) < 30
    assert world.made == 4 + 4, "machines are used again, and htc has at most four of both sizes together"


def test_a_size_that_azure_does_not_have_is_replaced_by_the_next_one() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", "Standard_D8s_v5", most=2)), denied={"demo-htc-d4sv5"})
    world.submit("1", "htc", 2)
    assert run(world, 40) < 40
    assert world.sets["demo-htc-d8sv5"].instances == ()
    assert world.made == 2 + 2
    found = world.sets["demo-htc-d4sv5"].unavailable
    assert found is None or found.count == 1, "it was not asked again while the other size did the work"


def test_a_size_that_comes_back_is_used_again_after_the_wait() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=2)), denied={"demo-htc-d4sv5"})
    world.submit("1", "htc", 2)
    assert run(world, 3) == 3
    assert "Azure has no Standard_D4s_v5 (AllocationFailed), next try at" in world.jobs["1"].note
    assert {"DRAIN", "DOWN"} & world.nodes["htc-d4sv5-1"].flags
    world.denied.clear()
    assert run(world, 40) < 40


def test_waits_grow_when_azure_keeps_refusing() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=1)), denied={"demo-htc-d4sv5"})
    world.submit("1", "htc", 1)
    run(world, 60)
    found = world.sets["demo-htc-d4sv5"].unavailable
    assert found is not None
    assert 3 <= found.count <= 5, "300, 600, 1200, 2400 seconds fill the hour"


def test_machines_that_never_join_are_replaced_and_the_owner_is_told() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=1), boot_timeout=300), silent={"demo-htc-d4sv5"})
    world.submit("1", "htc", 1)
    run(world, 7)
    assert world.made == 2
    assert "did not join within 300 s" in world.jobs["1"].note
    world.silent.clear()
    assert run(world, 40) < 40


@pytest.mark.parametrize("heard", ["by Slurm", "by the head"])
def test_a_machine_that_cannot_mount_says_so_to_the_owner_before_and_when_it_is_replaced(heard: str) -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=1), boot_timeout=300), silent={"demo-htc-d4sv5"})
    world.submit("1", "htc", 1)
    run(world, 2)
    reason = "mounts: /data: mount.nfs: No route to host"
    if heard == "by Slurm":
        world.flag("htc-d4sv5-1", add={"DRAIN"}, reason=reason, reason_at=world.now)
    else:
        world.said = {one.private_ip: reason for one in world.sets["demo-htc-d4sv5"].instances}
    run(world, 1)
    assert f"the machine for htc-d4sv5-1 is there, but {reason}" in world.jobs["1"].note
    notes = []
    for _turn in range(5):
        run(world, 1)
        notes.append(world.jobs["1"].note)
    assert any(f"did not join within 300 s (it says: {reason})" in note for note in notes)
    assert world.made == 2


def test_a_lost_machine_gives_its_job_back_and_its_node_returns() -> None:
    world = World(cluster())
    world.submit("1", "hpc", 2)
    run(world, 2)
    assert world.jobs["1"].state == "running"
    world.lose(world.sets["demo-hpc-hb120rsv3-pg1"].instances[0])
    plan = world.plan()
    world.apply(*plan.azure, *plan.scheduler)
    assert world.jobs["1"].state == "pending"
    assert run(world, 40) < 40


def test_min_nodes_are_brought_up_and_stay() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=3, min_nodes=2), idle_timeout=10**6))
    run(world, 5)
    up = [name for name, node in world.nodes.items() if node.flags == {"IDLE", "CLOUD"}]
    assert up == ["htc-d4sv5-1", "htc-d4sv5-2"]
    assert world.settle() == 0


def test_a_job_that_is_cancelled_before_its_machines_are_there_buys_none() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=4)))
    world.submit("1", "htc", 4)
    world.schedule()
    world.requeue(world.jobs["1"])
    del world.jobs["1"]
    assert run(world) <= 4
    assert world.made == 0


def test_a_job_larger_than_the_quota_waits_and_smaller_ones_run() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=4)))
    world.limits["standarddsv5family"] = 8
    world.submit("1", "htc", 3)
    world.submit("2", "htc", 2)
    run(world, 30)
    assert list(world.jobs) == ["1"], "a job that gets all of its nodes runs, the other one waits"
    assert not any(item.instances for item in world.sets.values()), "no machine was bought for a part of a job"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    jobs=st.lists(st.tuples(st.sampled_from(["hpc", "htc"]), st.integers(1, 4)), max_size=8),
    denied=st.sets(st.sampled_from(["demo-htc-d4sv5", "demo-htc-d8sv5", "demo-hpc-hb120rsv3-pg1"])),
    silent=st.sets(st.sampled_from(["demo-htc-d4sv5", "demo-hpc-hb120rsv3-pg1"])),
    cuts=st.lists(st.integers(0, 6), max_size=12),
    trouble=st.integers(0, 12),
)
def test_every_trouble_that_ends_is_overcome(
    jobs: list[tuple[str, int]], denied: set[str], silent: set[str], cuts: list[int], trouble: int
) -> None:
    world = World(cluster(boot_timeout=300), denied=denied, silent=silent)
    for number, (partition, nodes) in enumerate(jobs, 1):
        world.submit(str(number), partition, nodes)
    run(world, trouble, tuple(cuts))
    world.denied.clear()
    world.silent.clear()
    for item in world.sets.values():
        if item.instances and trouble % 2:
            world.lose(item.instances[0])
    assert run(world, 400) < 400


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_nodes_are_one_growth(count: int) -> None:
    big = array("htc", "Standard_D4s_v5", most=count)
    world = World(cluster(big))
    for number in range(count):
        world.submit(str(number), "htc", 1)
    world.schedule()
    plan = world.plan()
    assert [(step.capacity, step.current) for step in plan.azure] == [(count, 0)]  # type: ignore[union-attr]
    world.apply(*plan.azure)
    claims = world.plan()
    assert not claims.azure
    assert len(claims.scheduler) == count
    world.apply(*claims.scheduler)
    assert not world.plan()
    world.nodes = {
        name: replace(node, flags=frozenset({"IDLE", "CLOUD", "POWERING_DOWN"})) for name, node in world.nodes.items()
    }
    world.jobs.clear()
    gone = world.plan()
    assert len(gone.azure) == 1, "all machines go in one request"
