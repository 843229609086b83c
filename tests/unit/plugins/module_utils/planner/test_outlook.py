"""Whether a job could ever start: never as things are, not before a quota is raised, or once others are done."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Budget, SizeChoice
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER, Chunk, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.answers import Answers
from hypothesis import example, given
from hypothesis import strategies as st

from .packed_world import BIG_MEMORY, FAST, GIB, GPU, LARGE, SMALL, World, array, cluster
from .test_packed_properties import clusters, jobs, quick, served

NEVER, WAITS = "azure_hpc: this job cannot start: ", "azure_hpc: waits: "


def why(world: World, job: str) -> str:
    """What `job_info` says."""
    answers = Answers(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    return str(answers.answer(job, 0)["why"])


def told(world: World) -> dict[str, str]:
    """What a pass writes on jobs."""
    return {step.job: step.text for step in world.plan().scheduler if isinstance(step, steps.Comment)}


WHOLE = {"cpus": 16, "nodes": 8, "spread": SCATTER}


@pytest.mark.parametrize(
    ("options", "policy", "job", "reason"),
    [
        ({"most": 4}, {}, WHOLE, f"it needs 8 nodes of {LARGE}, and node array htc may have 4 (max_nodes)"),
        (
            {"max_vcpus": 64},
            {},
            WHOLE,
            f"it needs 8 nodes of {LARGE}, and node array htc may have 64 vCPUs (max_vcpus)",
        ),
        ({}, {"max_nodes": 4}, WHOLE, f"8 nodes of {LARGE}, and the cluster may have 4 (autoscale.max_nodes)"),
        ({}, {"max_vcpus": 64}, WHOLE, f"8 nodes of {LARGE}, and the cluster may have 64 vCPUs (autoscale.max_vcpus)"),
        ({}, {"budget": Budget(per_hour=2.0)}, WHOLE, "the budget is 2 USD/hour, one costs 0.78"),
        ({}, {"budget": Budget(per_month=2.0)}, WHOLE, "the budget is 2 USD/month, one costs 0.78"),
        ({"max_vcpus": 12}, {}, {"cpus": 16}, f"it needs 1 node of {LARGE}, and node array htc may have 12 vCPUs"),
        ({}, {}, {"cpus": 1, "memory": 500 * GIB}, f"it needs 1 CPU, 500 GiB; {LARGE} of htc has 60.8 GiB for jobs"),
        ({}, {}, {"gpus": 1}, f"{LARGE} of htc has no GPUs"),
        ({}, {}, {"resources": (("matlab", 1.0),)}, f"{LARGE} of htc has no matlab"),
    ],
)
def test_a_job_that_is_larger_than_a_limit_is_told_so_with_the_number_and_the_limit(
    options: dict[str, t.Any], policy: dict[str, t.Any], job: dict[str, t.Any], reason: str
) -> None:
    world = World(cluster(array("htc", LARGE, **options), **policy), spent={"month": 0.0})
    world.submit("1", **job)
    assert told(world)["1"].startswith(NEVER)
    assert reason in told(world)["1"]
    assert why(world, "1") == told(world)["1"].removeprefix("azure_hpc: ")
    assert [one.jobs for one in world.plan().unmet] == [("1",)]


def test_a_size_with_fewer_nodes_than_a_job_needs_is_named() -> None:
    made = replace(array("htc", LARGE), vm_sizes=(SizeChoice(LARGE, 3),))
    world = World(cluster(made))
    world.submit("1", **WHOLE)
    assert told(world)["1"] == f"{NEVER}it needs 8 nodes of {LARGE}, and htc may have 3 {LARGE} (vm_sizes[].max_nodes)"


def test_a_job_larger_than_a_placement_group_can_never_start_however_many_groups_there_are() -> None:
    world = World(cluster(array("hpc", FAST, most=300, placement_group=True)))
    world.submit("fits", cpus=120, nodes=100, one_group=True, exclusive=True)
    world.submit("large", cpus=120, nodes=101, one_group=True, exclusive=True)
    reason = f"it needs 101 nodes of {FAST}, and one placement group may have 100"
    assert told(world) == {"large": NEVER + reason}
    assert why(world, "fits") == "100 machines for it are bought by this pass"


def test_what_several_node_arrays_have_together_is_enough_or_each_is_named() -> None:
    world = World(cluster(array("a", LARGE, most=4), array("b", LARGE, most=3)))
    world.submit("fits", cpus=16, nodes=7, spread=SCATTER)
    world.submit("large", cpus=16, nodes=8, spread=SCATTER)
    found = told(world)
    assert set(found) == {"large"}
    assert "node array a may have 4 (max_nodes); " in found["large"]
    assert found["large"].endswith("node array b may have 3 (max_nodes)")


def test_pieces_that_fit_by_themselves_but_not_together() -> None:
    world = World(cluster(array("htc", SMALL), array("gpu", GPU), max_nodes=4))
    chunks = (Chunk(2, 1, GIB, 1), Chunk(3, 4, GIB))
    world.submit("1", chunks=chunks, spread=SCATTER)
    assert told(world)["1"] == f"{NEVER}it needs 5 nodes of {GPU}, and the cluster may have 4 (autoscale.max_nodes)"
    world.submit("1", chunks=(Chunk(2, 1, GIB, 1), Chunk(3, 4, GIB, labels=(("node_array", "htc"),))), spread=SCATTER)
    assert told(world)["1"].endswith("the cluster may have 4 (autoscale.max_nodes): not all of it can be there at once")


def test_a_quota_that_is_too_small_is_named_with_what_to_ask_for() -> None:
    world = World(cluster(array("htc", LARGE)), limits={"standarddsv5family": 64, "cores": 1000})
    world.submit("1", **WHOLE)
    reason = "it needs 128 vCPUs of quota standarddsv5family, which allows 64: ask Azure for at least 128"
    assert told(world) == {"1": NEVER + reason}
    assert why(world, "1") == f"this job cannot start: {reason}"
    world.limits["standarddsv5family"] = 128
    assert not told(world)


def test_what_others_take_of_a_quota_is_asked_for_too_and_is_no_reason_to_give_up() -> None:
    def told_with(limit: int) -> tuple[str, str]:
        world = World(cluster(array("htc", LARGE)), limits={"cores": limit})
        world.submit("1", **WHOLE)
        usual = world.catalog
        cores = replace(usual().quotas["cores"], used=20)
        world.catalog = lambda: replace(usual(), quotas={"cores": cores})  # type: ignore[method-assign]
        return told(world).get("1", ""), why(world, "1")

    assert told_with(100)[0].endswith("it needs 128 vCPUs of quota cores, which allows 100: ask Azure for at least 148")
    comment, answer = told_with(140)
    assert comment.startswith(f"{WAITS}there is no room for all of it at once: quota cores allows 140 vCPUs")
    assert answer.endswith("(20 are taken outside this cluster's node arrays)")
    assert told_with(148)[0] == ""


def test_who_has_the_machines_is_said_to_those_who_ask_and_a_comment_stays_the_same() -> None:
    world = World(cluster(array("htc", LARGE, most=3)))
    world.submit("runs", cpus=16)
    world.apply(*world.plan().azure)
    world.join()
    world.run("runs", *world.nodes)
    world.submit("first", cpus=16, nodes=2, priority=1.0)
    world.submit("waits", cpus=16, nodes=2)
    assert told(world) == {"waits": f"{WAITS}node array htc has its 3 nodes"}
    assert why(world, "waits") == "node array htc has its 3 nodes (jobs that have them: runs, first)"


def test_a_refusal_of_azure_passes_and_is_no_verdict() -> None:
    world = World(cluster(array("htc", LARGE)))
    found = world.sets["demo-htc-d16sv5"]
    world.sets[found.name] = replace(found, provisioning_state="Deleting")
    world.submit("1")
    assert told(world) == {"1": f"{WAITS}scale set demo-htc-d16sv5 does not exist; the site playbook makes it"}


def test_more_machines_at_once_than_a_minute_may_bring_are_named() -> None:
    world = World(cluster(array("htc", LARGE), grow_per_minute=4))
    world.submit("1", **WHOLE)
    assert told(world)["1"].startswith(f"{WAITS}it needs 8 machines at once, and 4 may be asked for in a minute")


def test_nodes_of_others_count_even_while_they_are_down_or_in_use() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.nodes["big"] = QueueNode("big", frozenset(), cpus=64, memory_mib=256 * GIB, jobs=1, drained=True)
    world.submit("fits", cpus=64)
    world.submit("large", cpus=65)
    found = told(world)
    assert found["fits"] == f"{WAITS}the nodes that it could have are in use"
    assert found["large"].startswith(NEVER)


def test_nodes_that_are_there_count_where_the_definition_would_not_allow_them_any_more() -> None:
    world = World(cluster(array("htc", LARGE, most=4)))
    for number in range(4):
        world.submit(f"old{number}", cpus=16)
    world.settle()
    world.join()
    world.jobs.clear()
    smaller = cluster(array("htc", LARGE, most=3))
    world.cluster = smaller
    world.submit("1", cpus=16, nodes=4, spread=SCATTER)
    assert not told(world)


def test_pieces_that_share_the_only_node_of_a_scale_set() -> None:
    world = World(cluster(array("htc", SMALL, most=1)))
    world.submit("1", nodes=2, one_group=True)
    assert not told(world)


def test_pieces_that_fit_the_limits_on_one_larger_node_only() -> None:
    """Two of the cheaper nodes would be 32 vCPUs."""
    world = World(cluster(array("mem", BIG_MEMORY), array("gpu", GPU), max_vcpus=24))
    world.submit("1", memory=100 * GIB, nodes=2)
    assert not told(world)
    world.apply(*world.plan().azure)
    assert world.machines(GPU) == 1


@quick
@given(clusters(), st.lists(jobs(), min_size=1, max_size=5), st.sampled_from((8, 40, 200, 1000)))
@example(cluster(array("hpc", FAST, most=3, placement_group=True)), [{"cpus": 60, "nodes": 8, "one_group": True}], 40)
def test_never_is_said_of_jobs_that_no_quota_helps_and_of_no_other(
    made: t.Any, wanted: list[dict[str, t.Any]], cores: int
) -> None:
    """Alone in an empty cluster, the job that was told never does not start; the one that was not does, given time."""
    policy = replace(made.autoscale, grow_per_minute=0)
    world = World(replace(made, autoscale=policy), limits={"cores": cores})
    for number, job in enumerate(wanted):
        world.submit(str(number), **job)
    comments = told(world)
    for number, job in enumerate(wanted):
        text = comments.get(str(number), "")
        for limit in (cores, 10**6):
            alone = World(world.cluster, limits={"cores": limit})
            alone.submit(str(number), **{**job, "tasks": 1})
            starts = bool(served(alone))
            if text.startswith(NEVER):
                assert not starts or (limit > cores and "ask Azure for" in text)
            elif limit == 10**6:
                assert starts
            if limit > cores and "ask Azure for" in text:
                assert starts
