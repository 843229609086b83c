# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass does about machines that say why they must take no jobs, and what it tells those who wait for them."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue, Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.answers import Answers
from hypothesis import given
from hypothesis import strategies as st

from .packed_world import GPU, SMALL, World, array, cluster, grown, of
from .test_packed_properties import quick, worlds

GONE = "mounts: /shared/home: is not mounted any more: mount.nfs: No route to host"


def waiting(**options: t.Any) -> World:
    """A job for which a machine boots."""
    world = World(cluster(array("htc", SMALL, **options)))
    world.submit("1")
    world.settle()
    return world


def up(**options: t.Any) -> World:
    """A node that has joined, with room for the job that waits."""
    world = waiting(**options)
    world.join()
    return world


def unwell(world: World, reason: str = GONE) -> None:
    for item in world.sets.values():
        for one in item.instances:
            world.said[one.private_ip] = reason


def why(world: World, job: str = "1") -> str:
    answers = Answers(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    return str(answers.answer(job, 0)["why"])


def test_a_node_that_lost_a_file_system_is_taken_out_of_service_and_back_when_it_is_well() -> None:
    world = up(most=1)
    unwell(world)
    (drain,) = of(world.plan(), steps.Drain)
    assert (drain.reason, drain.nodes) == (f"azure_hpc: {GONE}", tuple(world.nodes))
    assert not drain.requeue
    world.settle()
    assert not world.plan()  # nothing is said twice
    world.said.clear()
    plan = world.plan()
    assert of(plan, steps.Resume)[0].nodes == tuple(world.nodes)
    assert not plan.azure
    world.settle()
    assert not next(iter(world.nodes.values())).drained


def test_a_job_gets_another_machine_instead_and_its_owner_is_told_where_there_can_be_none() -> None:
    world = up()
    unwell(world)
    assert grown(world.plan()) == {"demo-htc-d4sv5": 1}
    full = up(most=1)
    unwell(full)
    assert f"takes no jobs: {GONE}" in why(full)
    assert f"takes no jobs: {GONE}" in of(full.plan(), steps.Comment)[0].text
    assert not of(full.plan(), steps.Grow)


def test_jobs_that_could_not_run_there_hear_nothing_of_it() -> None:
    world = World(cluster(array("htc", SMALL, most=1), array("gpu", GPU, most=1)))
    world.submit("1", cpus=4)
    world.submit("2", gpus=1)
    world.settle()
    world.join()
    for job, node in (("1", "htc"), ("2", "gpu")):
        world.run(job, *(name for name in world.nodes if node in name))
    unwell(world)
    world.said = {
        address: said for address, said in world.said.items() if address == world.nodes[min(world.nodes)].address
    }
    world.submit("3", cpus=4, partitions=("htc",))
    world.submit("4", gpus=1)
    said = [GONE in why(world, "3"), GONE in why(world, "4")]
    assert sorted(said) == [False, True]
    assert said[0] is ("htc" in min(world.nodes))


def test_whose_machine_boots_and_says_why_it_cannot_join_is_told_so() -> None:
    world = waiting()
    unwell(world)
    name = next(iter(world.sets.values())).instances[0].computer_name.lower()
    (comment,) = of(world.plan(), steps.Comment)
    assert comment.text == f"azure_hpc: waits: its machine {name} is there, but says: {GONE}"
    assert GONE in why(world)
    world.settle()
    assert not world.plan()
    world.said.clear()
    assert of(world.plan(), steps.Comment)[0].text.endswith("there are machines for it, or they are on their way")


@pytest.mark.parametrize("known", [True, False])
def test_a_machine_that_is_given_up_is_given_up_with_what_it_said(known: bool) -> None:
    world = waiting()
    if not known:
        world.nodes.clear()
    world.now += 901
    unwell(world)
    plan = world.plan()
    assert f"did not join within 900 s (it says: {GONE})" in of(plan, steps.Shrink)[0].reason


def test_the_brake_says_what_machines_say() -> None:
    world = World(cluster(array("htc", SMALL)), silent={"demo-htc-d4sv5"})
    for number in range(5):
        world.submit(str(number), cpus=4)
    world.settle()
    world.now += 901
    unwell(world)
    plan = world.plan()
    assert not plan.azure
    assert any("none is deleted" in one.reason and GONE in one.reason for one in plan.unmet)


def test_a_node_that_stays_unwell_and_has_no_job_is_deleted_after_its_time() -> None:
    world = up()
    world.run("1", *world.nodes)
    unwell(world)
    world.settle()
    world.now += 10_000
    assert not of(world.plan(), steps.Shrink)  # its job goes on
    world.finish("1")
    world.now += 299
    assert not world.plan()
    world.now += 1
    plan = world.plan()
    assert GONE in of(plan, steps.Shrink)[0].reason
    world.apply(*plan.azure, *plan.scheduler)
    assert (world.machines(), world.nodes) == (0, {})


def test_an_unwell_node_whose_machine_goes_is_forgotten() -> None:
    world = up(most=1)
    unwell(world)
    world.settle()
    for item in world.sets.values():
        gone = tuple(replace(one, provisioning_state="Deleting") for one in item.instances)
        world.sets[item.name] = replace(item, instances=gone)
    assert of(world.plan(), steps.Remove)[0].nodes == tuple(world.nodes)


def test_an_unwell_node_is_no_warm_one_but_one_of_those_that_are_kept() -> None:
    warm = World(cluster(array("htc", SMALL, warm_nodes=1)))
    warm.settle()
    warm.join()
    unwell(warm)
    assert grown(warm.plan()) == {"demo-htc-d4sv5": 1}
    kept = World(cluster(array("htc", SMALL, min_nodes=1)))
    kept.settle()
    kept.join()
    unwell(kept)
    kept.settle()
    kept.now += 10_000
    assert not kept.plan()


def test_what_a_person_or_the_scheduler_said_is_left_as_it_is() -> None:
    world = up(most=1)
    unwell(world)
    (name,) = world.nodes
    world.change(name, drained=True, reason="bad disk")
    world.settle()
    assert world.nodes[name].reason == "bad disk"
    world.said.clear()
    assert not of(world.plan(), steps.Resume)
    # HTCondor has it from the machine itself, and gives it no jobs by itself.
    world.change(name, drained=True, reason=GONE)
    unwell(world)
    world.settle()
    assert world.nodes[name].reason == GONE


def test_a_node_that_was_taken_out_of_service_and_then_dies_is_replaced() -> None:
    world = up(most=1)
    unwell(world)
    world.settle()
    (name,) = world.nodes
    world.now += 2000
    world.change(name, up=False)
    world.apply(*world.plan().scheduler)
    world.now += 901
    assert of(world.plan(), steps.Shrink)


def test_words_of_an_earlier_machine_of_the_same_address_do_not_count() -> None:
    world = up(most=1)
    (item,) = (one for one in world.sets.values() if one.instances)
    old = Unwell(item.instances[0].private_ip, GONE, world.now - 1)
    plan = packed.plan(
        world.cluster, world.layout, replace(world.queue(), unwell=(old,)), world.fleet(), world.catalog(), world.now
    )
    assert not plan


def test_an_idle_node_that_is_drained_and_unwell_is_not_returned_to_service() -> None:
    world = up()
    world.jobs.clear()
    (name,) = world.nodes
    world.change(name, drained=True, reason="azure_hpc: idle for 300 s")
    unwell(world)
    world.submit("2")
    plan = world.plan()
    assert not of(plan, steps.Resume)
    assert grown(plan) == {"demo-htc-d4sv5": 1}


def test_what_machines_said_travels_with_the_queue() -> None:
    world = waiting()
    unwell(world)
    assert serial.load(Queue, serial.dump(world.queue())) == world.queue()


@st.composite
def unwell_worlds(draw: st.DrawFn) -> World:
    """Any world in which some machines, up or booting, say that they must take no jobs."""
    world = draw(worlds())
    for item in world.sets.values():
        for one in item.instances:
            if one.private_ip and draw(st.booleans()):
                world.said[one.private_ip] = GONE
            if one.computer_name in world.nodes and draw(st.booleans()):
                words = draw(st.sampled_from(("azure_hpc: idle for 300 s", f"azure_hpc: {GONE}", GONE, "bad disk")))
                world.change(one.computer_name, drained=True, reason=words)
    return world


@quick
@given(unwell_worlds())
def test_a_plan_that_was_carried_out_is_followed_by_none_whatever_machines_say(world: World) -> None:
    for _unused in range(8):
        plan = world.plan()
        if not plan:
            break
        world.apply(*plan.azure)
        world.apply(*world.plan().scheduler)
    assert not world.plan()


@quick
@given(unwell_worlds())
def test_no_job_is_put_onto_a_node_that_must_take_none_and_none_returns_to_service(world: World) -> None:
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    said = {
        one.computer_name
        for item in world.sets.values()
        for one in item.instances
        if one.private_ip in world.said and one.computer_name in world.nodes and world.nodes[one.computer_name].up
    }
    plan = done.plan()
    assert not said & {getattr(tag, "name", "") for _job, tags in done.placements() for tag in tags}
    assert not said & {name for step in of(plan, steps.Resume) for name in step.nodes}
