# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan as HTCondor's commands."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.htcondor import HTCondor

from tests.unit.plugins.module_utils.schedulers.htcondor import pool
from tests.unit.plugins.module_utils.schedulers.htcondor.pool import job, outputs, slot

HOST = "slot1@htc-1.internal.example"
IDLE = "azure_hpc: idle for 300 s"


def commands(*steps: plan.SchedulerStep, **found: t.Any) -> list[tuple[str, ...]]:
    condor = HTCondor()
    queue = condor.parse(outputs(**{"slots": [slot("htc-1"), slot("htc-2")], **found}), pool.NOW)
    assert queue.errors == ()
    assert condor.check(steps) == ()
    writes, refused = condor.writes(steps, queue)
    assert refused == ()
    return [write.command.argv for write in writes]


def drained(reason: str = IDLE) -> dict[str, t.Any]:
    return slot("htc-1", State="Drained", Draining=True, DrainReason=reason)


def test_a_node_is_drained_so_that_its_jobs_can_end() -> None:
    found = commands(plan.Drain(("htc-1",), IDLE))
    assert found == [("condor_drain", "-graceful", "-reason", IDLE, HOST)]


def test_jobs_are_given_back_at_once_where_that_is_wanted() -> None:
    assert commands(plan.Drain(("htc-1",), IDLE, requeue=True))[0][:2] == ("condor_drain", "-fast")


def test_a_node_that_is_drained_already_is_left_alone() -> None:
    assert commands(plan.Drain(("htc-1",), IDLE), slots=[drained()]) == []


def test_a_node_that_is_drained_for_another_reason_gets_the_new_one() -> None:
    found = commands(plan.Drain(("htc-1",), IDLE), slots=[drained("by root")])
    assert [argv[1] for argv in found] == ["-cancel", "-graceful"]


def test_only_a_drained_node_is_resumed() -> None:
    step = plan.Resume(("htc-1", "htc-2"), "wanted again")
    assert commands(step, slots=[drained(), slot("htc-2")]) == [("condor_drain", "-cancel", HOST)]


def test_machines_that_are_gone_are_forgotten_in_one_command() -> None:
    (argv,) = commands(plan.Remove(("htc-1", "htc-2"), "their machines are gone"))
    assert argv == ("/usr/libexec/azure_hpc/condor_forget", "htc-1.internal.example", "htc-2.internal.example")


def test_what_is_not_listed_needs_nothing() -> None:
    assert commands(plan.Remove(("gone",), "x"), plan.Drain(("gone",), IDLE), plan.Resume(("gone",), "x")) == []


def test_a_comment_goes_to_all_jobs_of_the_cluster_that_wait() -> None:
    (argv,) = commands(plan.Comment("7", 'no "capacity" \\ at all\n'), jobs=[job(7, 0), job(7, 1)])
    assert argv == (
        "condor_qedit", "-constraint", "ClusterId == 7 && JobStatus == 1", "HpcComment",
        '"no \\"capacity\\" \\\\ at all"',
    )  # fmt: skip


def test_a_comment_on_one_job_goes_to_it_alone() -> None:
    (argv,) = commands(plan.Comment("7.1", "x"), jobs=[job(7, 0), job(7, 1, RequestCpus=2)])
    assert argv[2] == "ClusterId == 7 && ProcId == 1"


def test_a_comment_that_is_there_already_is_not_written_again() -> None:
    step = plan.Comment("7", "azure_hpc: wait")
    assert commands(step, jobs=[job(7, 0, HpcComment="azure_hpc: wait")]) == []
    assert commands(step, jobs=[]) == []


def test_jobs_are_matched_with_machines_at_once_when_that_is_wanted() -> None:
    assert commands(plan.Kick("nodes have joined")) == [("condor_reschedule",)]


@pytest.mark.parametrize(
    "step",
    [
        plan.Drain(("a b",), IDLE),
        plan.Drain(("-all",), IDLE),
        plan.Drain((), IDLE),
        plan.Drain(("htc-1",), "two\nlines"),
        plan.Resume(("a.b",), "x"),
        plan.Remove(('x" || true',), "x"),
        plan.Comment("7 || true", "x"),
        plan.Comment("alice", "x"),
        plan.Wake(("htc-1",), "x"),
        plan.Claim("htc-1", "/subscriptions/x", "10.0.0.4", "h", "x"),
        plan.Add("htc-1", "h", "10.0.0.4", 1, 1, 0, "x"),
    ],
)
def test_what_is_no_node_job_or_step_of_htcondor_is_refused(step: plan.SchedulerStep) -> None:
    assert HTCondor().check([step])


def test_a_host_that_is_no_host_name_never_becomes_an_argument() -> None:
    found = commands(plan.Drain(("htc-1",), IDLE), slots=[slot("htc-1", Machine="htc-1 -all")])
    assert found == []
