"""The planner of queues that it packs itself: what becomes of machines that are there."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps

from .packed_world import LARGE, NOW, SMALL, World, array, cluster, grown, of, unmet


def test_minimum_and_warm_nodes_are_kept_without_jobs() -> None:
    world = World(cluster(array("htc", SMALL, min_nodes=2), array("warm", LARGE, warm_nodes=1)))
    assert grown(world.plan()) == {"demo-htc-d4sv5": 2, "demo-warm-d16sv5": 1}
    world.settle()
    world.join()
    world.now += 4000
    assert not world.plan()
    world.submit("1", cpus=16)
    assert grown(world.plan()) == {"demo-warm-d16sv5": 1}


# down


def idle(timeout: int = 300, **options: t.Any) -> World:
    """A node that has just lost its job."""
    policy = options.pop("policy", {})
    world = World(cluster(array("htc", SMALL, **options), idle_timeout=timeout, **policy))
    world.submit("1")
    world.settle()
    world.join()
    world.run("1", *world.nodes)
    world.finish("1")
    return world


def test_an_idle_node_is_drained_first_and_deleted_in_a_later_pass() -> None:
    world = idle()
    assert not world.plan()
    world.now += 300
    plan = world.plan()
    assert not plan.azure
    assert of(plan, steps.Drain)[0].reason == "azure_hpc: idle for 300 s"
    world.apply(*plan.scheduler)
    plan = world.plan()
    assert [type(step) for step in (*plan.azure, *plan.scheduler)] == [steps.Shrink, steps.Remove]
    world.apply(*plan.azure, *plan.scheduler)
    assert (world.machines(), world.nodes) == (0, {})


def test_a_job_that_starts_during_the_drain_keeps_its_node() -> None:
    world = idle()
    world.now += 300
    world.submit("2")
    world.run("2", *world.nodes)
    world.change(next(iter(world.nodes)), drained=True, reason="azure_hpc: idle for 300 s")
    assert not of(world.plan(), steps.Shrink)


def test_a_drained_node_that_jobs_need_again_is_resumed() -> None:
    world = idle()
    world.now += 300
    world.apply(*world.plan().scheduler)
    world.submit("2")
    plan = world.plan()
    assert of(plan, steps.Resume)
    assert not plan.azure


def test_a_node_that_somebody_else_drained_is_left_alone() -> None:
    world = idle()
    world.now += 3000
    world.change(next(iter(world.nodes)), drained=True, reason="bad disk")
    assert not world.plan()
    world.submit("2")
    assert grown(world.plan()) == {"demo-htc-d4sv5": 1}


def test_each_array_has_its_own_patience() -> None:
    world = idle(array_timeout := 300, idle_timeout=1000)
    world.now += array_timeout
    assert not world.plan()
    world.now += 700
    assert of(world.plan(), steps.Drain)


def test_kept_nodes_are_not_deleted_for_being_idle() -> None:
    world = idle(keep_alive=True)
    world.now += 100_000
    assert not world.plan()


def test_no_more_machines_are_deleted_at_a_time_than_allowed() -> None:
    world = World(cluster(array("htc", SMALL), shrink_at_once=2))
    for number in range(5):
        world.submit(str(number), cpus=4)
    world.settle()
    world.join()
    world.jobs.clear()
    world.now += 300
    assert len(of(world.plan(), steps.Drain)[0].nodes) == 2


def test_a_machine_that_never_joins_is_deleted_and_another_one_bought() -> None:
    world = World(cluster(array("htc", SMALL)), adds_nodes=False, silent={"demo-htc-d4sv5"})
    world.submit("1")
    world.settle()
    world.now += 901
    plan = world.plan()
    assert "did not join within 900 s" in of(plan, steps.Shrink)[0].reason
    assert of(plan, steps.Grow)[0].capacity == 1


def test_a_node_that_was_added_and_never_joins_is_deleted_and_forgotten() -> None:
    world = World(cluster(array("htc", SMALL)), silent={"demo-htc-d4sv5"})
    world.submit("1")
    world.settle()
    assert not next(iter(world.nodes.values())).up
    world.now += 901
    plan = world.plan()
    assert "did not join within 900 s" in of(plan, steps.Shrink)[0].reason
    assert of(plan, steps.Remove)[0].nodes == tuple(world.nodes)


def test_a_node_that_falls_silent_is_drained_then_deleted_after_a_while() -> None:
    world = idle()
    name = next(iter(world.nodes))
    world.now += 2000
    world.change(name, up=False)
    plan = world.plan()
    assert of(plan, steps.Drain)[0].reason.startswith("azure_hpc: does not answer since 20")
    world.apply(*plan.scheduler)
    world.now += 60
    assert not world.plan()
    world.now += 900
    assert of(world.plan(), steps.Shrink)


def test_a_silent_node_that_runs_jobs_is_not_deleted() -> None:
    world = idle()
    world.submit("2")
    world.run("2", *world.nodes)
    world.change(next(iter(world.nodes)), up=False)
    world.now += 100_000
    assert not of(world.plan(), steps.Shrink)


def test_the_scheduler_forgets_a_node_whose_machine_is_gone() -> None:
    world = idle()
    name = next(iter(world.nodes))
    world.sets["demo-htc-d4sv5"] = replace(world.sets["demo-htc-d4sv5"], instances=(), capacity=0)
    world.change(name, up=False)
    assert of(world.plan(), steps.Remove)[0].nodes == (name,)


def test_a_busy_node_whose_machine_is_gone_gives_its_jobs_back_first() -> None:
    world = idle()
    name = next(iter(world.nodes))
    world.submit("2")
    world.run("2", name)
    world.sets["demo-htc-d4sv5"] = replace(world.sets["demo-htc-d4sv5"], instances=(), capacity=0)
    world.change(name, up=False)
    plan = world.plan()
    assert of(plan, steps.Drain)[0].requeue
    world.apply(*plan.scheduler)
    assert of(world.plan(), steps.Remove)


def test_when_most_nodes_are_silent_the_view_is_not_trusted() -> None:
    world = World(cluster(array("htc", SMALL)))
    for number in range(6):
        world.submit(str(number), cpus=4)
    world.settle()
    world.join()
    world.now += 2000
    for name in list(world.nodes)[:4]:
        world.change(name, up=False)
    plan = world.plan()
    assert not plan.azure
    assert not of(plan, steps.Drain)
    assert "4 of 6 machines do not answer" in unmet(plan)


def test_nodes_that_are_not_the_clusters_are_used_but_never_touched() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.submit("1")
    world.settle()
    world.join()
    name, node = next(iter(world.nodes.items()))
    world.nodes = {"office-1": replace(node, name="office-1", idle_since=NOW - 10_000)}
    world.sets["demo-htc-d4sv5"] = replace(world.sets["demo-htc-d4sv5"], instances=(), capacity=0)
    assert not world.plan()
    assert name not in world.nodes
