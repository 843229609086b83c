"""Steps of a plan as PBS commands."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.openpbs import commands, update
from hypothesis import given
from hypothesis import strategies as st

ADD = plan.Add(
    node="demo-htc000001", hostname="demo-htc000001", address="10.0.0.4", cpus=4, memory_mib=15360, gpus=0,
    reason="new", labels=(("ib", "true"), ("node_array", "htc"), ("placement_group", "demo-htc-d4sv5")),
    partitions=("htc", "all"),
)  # fmt: skip
CREATED = (
    "create node demo-htc000001 resources_available.Qlist=\"htc,all\",resources_available.azure_hpc_address=10.0.0.4,"
    "resources_available.group_id=demo-htc-d4sv5,resources_available.ib=True,resources_available.mem=15360mb,"
    "resources_available.ncpus=4,resources_available.ngpus=0,resources_available.node_array=htc"
)  # fmt: skip


def node(name: str = "demo-htc000001", **fields: t.Any) -> QueueNode:
    usual = {
        "cpus": 4, "memory_mib": 15360, "address": "10.0.0.4", "partitions": ("all", "htc"), "up": True,
        "labels": (*ADD.labels, ("host", name), ("vnode", name)),
    }  # fmt: skip
    return QueueNode(name, frozenset({"FREE"}), **{**usual, **fields})  # type: ignore[arg-type]


def queue(*nodes: QueueNode, jobs: tuple[Job, ...] = (), kicks: bool = True) -> Queue:
    return Queue("openpbs", "head", 1, jobs, nodes, adds_nodes=True, kicks=kicks)


def run(step: plan.SchedulerStep, found: Queue) -> list[tuple[str, ...]]:
    assert update.check([step]) == ()
    writes, refused = update.writes([step], found)
    assert refused == ()
    return [write.command.argv for write in writes]


def test_a_new_node_is_made_with_all_that_it_offers() -> None:
    assert run(ADD, queue()) == [("qmgr", "-c", CREATED)]


def test_a_node_that_is_known_as_it_should_be_is_left_alone() -> None:
    assert run(ADD, queue(node())) == []


def test_of_a_known_node_only_what_differs_is_set() -> None:
    wanted = "set node demo-htc000001 resources_available.mem=15360mb,resources_available.ncpus=4"
    assert run(ADD, queue(node(cpus=2, memory_mib=1))) == [("qmgr", "-c", wanted)]


def test_a_node_whose_address_changed_is_made_anew_unless_it_is_in_use() -> None:
    moved = node(address="10.0.0.9", up=False)
    assert run(ADD, queue(moved)) == [("qmgr", "-c", "delete node demo-htc000001"), ("qmgr", "-c", CREATED)]
    wanted = "set node demo-htc000001 resources_available.azure_hpc_address=10.0.0.4"
    assert run(ADD, queue(node(address="10.0.0.9"))) == [("qmgr", "-c", wanted)]


def test_a_drain_keeps_its_reason_in_a_resource_before_the_node_goes_offline() -> None:
    step = plan.Drain(("a-1", "a-2"), "azure_hpc: idle since 12:40 UTC")
    assert run(step, queue(node("a-1"), node("a-2"))) == [
        ("qmgr", "-c", 'set node a-1,a-2 resources_available.azure_hpc_drain="azure_hpc: idle since 12:40 UTC"'),
        ("pbsnodes", "-o", "-C", "azure_hpc: idle since 12:40 UTC", "a-1", "a-2"),
    ]


def test_a_drain_that_holds_is_not_written_again_and_one_that_a_restart_undid_is() -> None:
    step = plan.Drain(("a-1",), "azure_hpc: idle")
    assert run(step, queue(node("a-1", drained=True, reason="azure_hpc: idle"))) == []
    assert len(run(step, queue(node("a-1")))) == 2


def test_a_drain_that_gives_jobs_back_reruns_them_by_force() -> None:
    jobs = (Job("7.head", "running", nodes=("a-1",)), Job("8[3].head", "running", nodes=("a-2",)))
    found = run(plan.Drain(("a-1",), "azure_hpc: gone", requeue=True), queue(node("a-1"), node("a-2"), jobs=jobs))
    assert found[2:] == [("qrerun", "-W", "force", "7.head")]


def test_a_node_that_is_resumed_loses_reason_and_comment() -> None:
    found = run(plan.Resume(("a-1", "a-2"), ""), queue(node("a-1", drained=True), node("a-2")))
    assert found == [
        ("pbsnodes", "-r", "a-1"),
        ("qmgr", "-c", "unset node a-1 resources_available.azure_hpc_drain,comment"),
    ]


def test_a_removed_node_is_deleted_with_its_vnodes_and_jobs_of_a_dead_one_are_given_back() -> None:
    parts = (("vnode", "a-1"), ("vnode", "a-1[0]"), ("vnode", "a-1[1]"))
    jobs = (Job("7.head", "running", nodes=("a-1",)),)
    assert run(plan.Remove(("a-1",), ""), queue(node("a-1", labels=parts, up=False), jobs=jobs)) == [
        ("qrerun", "-W", "force", "7.head"),
        ("qmgr", "-c", "delete node a-1[0]"),
        ("qmgr", "-c", "delete node a-1[1]"),
        ("qmgr", "-c", "delete node a-1"),
    ]


def test_a_node_that_answers_is_not_taken_from_its_job() -> None:
    jobs = (Job("7.head", "running", nodes=("a-1",)),)
    found = run(plan.Remove(("a-1",), ""), queue(node("a-1"), jobs=jobs))
    assert found == [("qmgr", "-c", "delete node a-1")], "PBS itself refuses while the job is there"


def test_a_node_that_is_gone_already_needs_no_removal() -> None:
    assert run(plan.Remove(("a-1",), ""), queue()) == []


def test_unknown_nodes_are_refused_by_name() -> None:
    writes, refused = update.writes([plan.Drain(("x-1",), "azure_hpc: x")], queue())
    assert writes == ()
    assert [one.message for one in refused] == ["PBS knows no node x-1"]


def test_a_comment_is_one_quoted_value_and_written_once() -> None:
    text = 'azure_hpc: no "capacity", a=b \\ until 12:40'
    jobs = (Job("7[].head", "pending"),)
    shown = "comment=\"azure_hpc: no 'capacity', a=b / until 12:40\""
    assert run(plan.Comment("7[].head", text), queue(jobs=jobs)) == [("qalter", "-W", shown, "7[].head")]
    assert run(plan.Comment("7[].head", "x"), queue(jobs=(Job("7[].head", "pending", note="x"),))) == []
    assert run(plan.Comment("9.head", "x"), queue()) == []


def test_a_kick_begins_a_cycle_unless_somebody_switched_scheduling_off() -> None:
    assert run(plan.Kick("nodes joined"), queue()) == [("qmgr", "-c", "set server scheduling = True")]
    assert run(plan.Kick("nodes joined"), queue(kicks=False)) == []


@pytest.mark.parametrize(
    "step",
    [
        plan.Claim("a", "/subscriptions/x", "10.0.0.1", "a", ""),
        plan.Wake(("a-1",), ""),
        plan.Release(("a-1",), ""),
        plan.Drain((), "azure_hpc: x"),
        plan.Drain(("a-1; delete node b",), "azure_hpc: x"),
        plan.Drain(("a-1",), "\n"),
        plan.Resume(("-a",), ""),
        plan.Remove(("a,b",), ""),
        plan.Comment("7 -W x", "text"),
        plan.Add("a", "a", "10.0.0.1 x", 1, 1, 0, ""),
        plan.Add("a", "a", "10.0.0.1", 1, 1, 0, "", labels=(("x", 'a",b'),)),
        plan.Add("a", "a", "10.0.0.1", 1, 1, 0, "", labels=(("x y", "a"),)),
        plan.Add("a", "a", "10.0.0.1", 1, 1, 0, "", partitions=("a;b",)),
        plan.Add("a", "a", "10.0.0.1", -1, 1, 0, ""),
    ],
)
def test_values_that_are_not_what_they_should_be_are_refused(step: plan.SchedulerStep) -> None:
    assert update.check([step])


@given(st.text(max_size=300))
def test_no_reason_can_become_anything_else_for_qmgr(text: str) -> None:
    found = commands.harmless(text)
    assert len(found) <= commands.REASON_LENGTH
    assert not set(found) & set("\"'\\;#\n\r")


@given(st.text(max_size=300))
def test_no_comment_can_end_its_quotes(text: str) -> None:
    value = commands.comment("7", text).argv[2]
    assert value.startswith('comment="')
    assert value.endswith('"')
    assert value.count('"') == 2
    assert "\\" not in value
