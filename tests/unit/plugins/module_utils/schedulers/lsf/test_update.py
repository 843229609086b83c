"""Steps of a plan as LSF commands."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.lsf import commands, update
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.schedulers.lsf.test_parse import JOB
from tests.unit.plugins.module_utils.schedulers.lsf.test_parse import queue as parsed


def node(name: str, **fields: t.Any) -> QueueNode:
    return QueueNode(name, frozenset({"OK"}), **{"up": True, **fields})  # type: ignore[arg-type]


def queue(*nodes: QueueNode, jobs: tuple[Job, ...] = ()) -> Queue:
    return Queue("lsf", "", 1, jobs, nodes)


def run(step: plan.SchedulerStep, found: Queue) -> list[tuple[str, ...]]:
    assert update.check([step]) == ()
    writes, refused = update.writes([step], found)
    assert refused == ()
    return [write.command.argv for write in writes]


def test_a_drain_closes_hosts_under_our_lock_with_the_reason() -> None:
    step = plan.Drain(("a-1", "a-2"), "azure_hpc: idle for 60 s")
    assert run(step, queue(node("a-1"), node("a-2"))) == [
        ("badmin", "hclose", "-i", "azure_hpc", "-C", "azure_hpc: idle for 60 s", "a-1", "a-2")
    ]
    assert run(step, queue(*(node(name, drained=True, reason="azure_hpc: idle for 60 s") for name in step.nodes))) == []


def test_jobs_of_a_dead_host_go_back_to_their_queue() -> None:
    jobs = (Job("7", "running", nodes=("a-1",)), Job("8[2]", "running", nodes=("a-2",)))
    found = run(plan.Drain(("a-1",), "azure_hpc: gone", requeue=True), queue(node("a-1"), node("a-2"), jobs=jobs))
    assert found[1:] == [("brequeue", "-r", "7")]


def test_a_resume_takes_only_our_lock_back() -> None:
    found = run(plan.Resume(("a-1", "a-2"), ""), queue(node("a-1", drained=True), node("a-2")))
    assert found == [("badmin", "hopen", "-i", "azure_hpc", "a-1")]


def test_a_removed_host_stays_closed_until_lsf_forgets_it() -> None:
    found = run(plan.Remove(("a-1", "gone"), ""), queue(node("a-1", up=False)))
    assert found == [("badmin", "hclose", "-i", "azure_hpc", "-C", "azure_hpc: removed", "a-1")]


def test_a_reason_is_the_description_of_a_job_that_has_none_and_else_a_message() -> None:
    found = parsed(
        JOB, {**JOB, "JOBID": "9", "JOB_DESCRIPTION": "mine"}, {**JOB, "JOBID": "10", "JOB_DESCRIPTION": "azure_hpc: x"}
    )
    text = "azure_hpc: no capacity"
    assert run(plan.Comment("321", text), found) == [("bmod", "-Jd", text, "321")]
    assert run(plan.Comment("9", text), found) == [("bpost", "-i", "9", "-d", text, "9")]
    assert run(plan.Comment("10", "azure_hpc: x"), found) == [], "it is there already"
    assert run(plan.Comment("11", text), found) == [], "the job is gone"


def test_unknown_hosts_are_refused_by_name() -> None:
    writes, refused = update.writes([plan.Drain(("x-1",), "azure_hpc: x")], queue())
    assert writes == ()
    assert [one.message for one in refused] == ["LSF knows no host x-1"]


@pytest.mark.parametrize(
    "step",
    [
        plan.Claim("a", "/subscriptions/x", "10.0.0.1", "a", ""),
        plan.Add("a", "a", "10.0.0.1", 1, 1, 0, ""),
        plan.Wake(("a-1",), ""),
        plan.Kick(""),
        plan.Drain((), "azure_hpc: x"),
        plan.Drain(("-a",), "azure_hpc: x"),
        plan.Drain(("a-1",), "\n"),
        plan.Resume(("a b",), ""),
        plan.Comment("7 -r", "text"),
        plan.Comment("x", "text"),
    ],
)
def test_values_that_are_not_what_they_should_be_are_refused(step: plan.SchedulerStep) -> None:
    assert update.check([step])


@given(st.text(max_size=400))
def test_texts_are_one_line_without_quotes(text: str) -> None:
    found = commands.harmless(text)
    assert len(found) <= commands.REASON_LENGTH
    assert not set(found) & set("\"'`\\\n\r")
