# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTCondor's output as values, on what a real HTCondor printed and on ads made up after it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.htcondor import HTCondor

from tests.unit.plugins.module_utils.schedulers.htcondor import pool
from tests.unit.plugins.module_utils.schedulers.htcondor.pool import expression, job, outputs, recorded, slot

SITUATIONS = sorted(path.name for path in pool.FIXTURES.iterdir() if path.is_dir())


def read(found: dict[str, Output]) -> Queue:
    return HTCondor().parse(found, pool.NOW)


def only(**ad: t.Any) -> Job:
    """One job of the queue, with nothing skipped."""
    found = read(outputs([job(**ad)]))
    assert (found.errors, found.skipped) == ((), ())
    (one,) = found.jobs
    return one


@pytest.mark.parametrize("situation", SITUATIONS)
def test_everything_that_was_recorded_is_read_completely(situation: str) -> None:
    queue = read(recorded(situation))
    assert (queue.errors, queue.skipped) == ((), ())
    assert queue.kicks
    assert not queue.adds_nodes


def test_nothing_printed_means_no_jobs() -> None:
    queue = read(recorded("00-empty"))
    assert queue.jobs == ()
    assert [(node.name, node.jobs, node.free_cpus, node.idle_since) for node in queue.nodes] == [
        ("ce-1", 0, 4, 1795163157), ("ce-2", 0, 4, 1795163157), ("ce-3", 0, 4, 1795163157)
    ]  # fmt: skip


def test_jobs_of_one_submission_that_wait_are_one_job() -> None:
    jobs = {one.id: one for one in read(recorded("02-running-and-idle")).jobs}
    assert (jobs["2"].tasks, jobs["2"].chunks) == (3, (Chunk(1, 4, 1024, 0, (), (("NodeArray", "hpc"),)),))
    assert jobs["3"].chunks[0].cpus == 64
    assert (jobs["4.0"].tasks, jobs["4.0"].startable) == (2, 0)
    assert jobs["4.0"].blocked == "it is held: submitted on hold at user's request"
    assert (jobs["6"].chunks[0].count, jobs["6"].tasks) == (2, 1)
    assert jobs["1.4"].nodes == ("ce-1",)
    assert not [identity for identity in jobs if identity.startswith("9")]  # a DAG runs on the head


def test_free_is_what_dynamic_slots_leave() -> None:
    nodes = {node.name: node for node in read(recorded("02-running-and-idle")).nodes}
    busy = nodes["ce-3"]
    assert (busy.jobs, busy.free_cpus, busy.free_memory_mib, busy.cpus, busy.idle_since) == (2, 0, 3744, 4, 0)


def test_what_is_claimed_for_a_job_that_still_waits_is_free_for_it() -> None:
    """Otherwise a pass would buy a second machine for it while it starts."""
    (node,) = read(outputs(slots=[slot(
        "htc-1", Cpus=1, Memory=1000, NumDynamicSlots=2, ChildActivity=["Busy", "Idle"], ChildCpus=[1, 2],
        ChildMemory=[128, 256], ChildGPUs=[0, 0],
    )])).nodes  # fmt: skip
    assert (node.free_cpus, node.free_memory_mib, node.jobs, node.idle_since) == (3, 1256, 1, 0)


def test_claims_for_a_parallel_job_that_waits_for_more_nodes_do_not_keep_a_node_busy() -> None:
    claimed = {"NumDynamicSlots": 1, "NumDynamicSlotsTime": pool.NOW - 1, "ChildActivity": ["Idle"], "ChildCpus": [4]}
    (node,) = read(outputs(slots=[slot("a", Cpus=0, HpcLastBusy=pool.NOW - 200, **claimed)])).nodes
    assert (node.jobs, node.idle_since, node.free_cpus) == (0, pool.NOW - 200, 4)
    (node,) = read(outputs(slots=[slot("a", Draining=True, HpcLastBusy=pool.NOW - 200, **claimed)])).nodes
    assert (node.jobs, node.idle_since) == (1, 0)  # nothing is deleted before it is gone


def test_a_node_that_never_had_a_job_is_idle_since_it_is_there() -> None:
    (node,) = read(outputs(slots=[slot("a", HpcLastBusy=5)])).nodes
    assert node.idle_since == pool.NOW - 300


def test_a_node_that_says_it_is_unwell_is_out_of_service_with_its_own_words() -> None:
    well, unwell = read(outputs(slots=[slot("a", HpcUnwell=""), slot("b", HpcUnwell="mounts: /data: gone")])).nodes
    assert (well.drained, well.reason) == (False, "")
    assert (unwell.drained, unwell.reason) == (True, "mounts: /data: gone")


def test_a_drained_node_has_its_reason() -> None:
    (node,) = read(outputs(slots=[slot(
        "htc-000001", State="Drained", Draining=True, DrainReason="azure_hpc: idle", LastDrainStartTime=pool.NOW - 5,
        EnteredCurrentState=pool.NOW - 5,
    )])).nodes  # fmt: skip
    assert (node.up, node.drained, node.reason, node.reason_at) == (True, True, "azure_hpc: idle", pool.NOW - 5)
    assert node.idle_since == pool.NOW - 100  # draining is no work


def test_a_node_whose_draining_was_cancelled_has_no_reason() -> None:
    (node,) = read(outputs(slots=[slot("a", DrainReason="azure_hpc: idle", LastDrainStartTime=5)])).nodes
    assert (node.drained, node.reason) == (False, "")


def test_a_node_is_named_after_its_machine() -> None:
    (node,) = read(outputs(slots=[slot("HTC-00000a")])).nodes
    assert (node.name, node.hostname, node.address) == ("htc-00000a", "HTC-00000a.internal.example", "10.0.0.4")
    assert node.labels == (("node_array", "htc"), ("vm_size", "d4sv5"))


@pytest.mark.parametrize(
    ("where", "labels"),
    [
        ('node_array == "htc"', {"node_array": "htc"}),
        ('TARGET.node_array =?= "hpc"', {"node_array": "hpc"}),
        ("ib", {"node_array": "hpc"}),
        ("ib =?= true", {"node_array": "hpc"}),
        ('vm_size == "D8SV5"', {"vm_size": "d8sv5"}),
        ('node_array == "htc" && vm_size == "d8sv5"', {"vm_size": "d8sv5"}),
        ('node_array == "htc" || node_array == "hpc" || node_array == "gpu"', {}),
        ('node_array != "gpu" && node_array != "hpc"', {"node_array": "htc"}),
        ('vm_size == "d4sv5" || vm_size == "d8sv5"', {"node_array": "htc"}),
        ('regexp("^hb", vm_size)', {"node_array": "hpc"}),
        ('stringListMember(node_array, "hpc")', {"node_array": "hpc"}),
        ('placement_group == "hpc-hb120rsv3-pg2"', {"placement_group": "hpc-hb120rsv3-pg2"}),
        ("TotalSlotCpus > 100", {"node_array": "hpc"}),
        ("isUndefined(ib) && TotalSlotGpus == 0", {"node_array": "htc"}),
    ],
)
def test_requirements_become_the_labels_of_what_satisfies_them(where: str, labels: dict[str, str]) -> None:
    assert dict(only(where=where).chunks[0].labels) == labels


def test_where_no_labels_say_it_those_of_most_machines_are_taken() -> None:
    """A node of the others that is there is used by HTCondor all the same."""
    found = only(where='node_array == "htc" || node_array == "gpu"')
    assert dict(found.chunks[0].labels) == {"node_array": "htc"}


def test_a_job_that_no_machine_satisfies_is_blocked_with_the_reason() -> None:
    found = only(where='node_array == "none"')
    assert (found.startable, found.blocked) == (0, "no machine of this cluster satisfies its requirements")


def test_a_job_that_wants_what_nobody_knows_of_is_blocked_with_its_name() -> None:
    found = only(where="HasTelescope")
    assert (found.startable, found.blocked) == (
        0,
        "its requirements use hastelescope, which no machine is known to have",
    )


def test_attributes_that_a_site_says_of_its_machines_are_known() -> None:
    found = outputs([job(where="HasTelescope")], attributes={**pool.ATTRIBUTES, "HasTelescope": True})
    (one,) = read(found).jobs
    assert (one.startable, one.chunks[0].labels) == (None, ())


def test_a_job_that_is_too_big_keeps_its_labels_so_that_the_planner_can_say_why() -> None:
    found = only(RequestCpus=500, where='node_array == "htc"')
    assert (found.blocked, found.chunks[0].cpus, dict(found.chunks[0].labels)) == ("", 500, {"node_array": "htc"})


def test_a_big_disk_is_nobodys() -> None:
    assert only(RequestDisk=500 * 1024 * 1024).blocked == ""
    assert only(where="TARGET.Disk < 1").blocked == "no machine of this cluster satisfies its requirements"


def test_requests_may_be_expressions() -> None:
    found = only(RequestMemory=expression("ifThenElse(MemoryUsage isnt undefined, MemoryUsage, 3 * 1000)"))
    assert found.chunks[0].memory_mib == 3072  # in the steps that HTCondor gives it


def test_a_gpu_job_says_so() -> None:
    found = only(RequestGPUs=1, where="TARGET.GPUs >= RequestGPUs")
    assert (found.chunks[0].gpus, dict(found.chunks[0].labels)["node_array"]) == (1, "gpu")


def test_a_parallel_job_is_one_with_many_chunks() -> None:
    found = only(JobUniverse=11, MaxHosts=3, RequestCpus=120, WantParallelSchedulingGroups=True)
    assert (found.chunks[0].count, found.cpus, found.one_group, found.tasks) == (3, 360, True, 1)


def test_a_parallel_job_may_be_anywhere_if_it_says_so() -> None:
    assert only(JobUniverse=11, MaxHosts=3, WantParallelSchedulingGroups=False).one_group is False


def test_a_job_that_wants_a_whole_node_has_one_alone() -> None:
    found = only(WantWholeNode=True, RequestCpus=expression("ifThenElse(isUndefined(TARGET.TotalSlotCpus), 1, 2)"))
    assert (found.exclusive, found.chunks[0].cpus) == (True, 1)


def test_the_nodes_of_a_running_parallel_job_are_all_its_hosts_that_are_heard_of() -> None:
    """One that died is still the job's for HTCondor, until the lease has ended: its machine is not kept for that."""
    ad = job(
        JobStatus=2, JobUniverse=11, MaxHosts=2, RemoteHost="slot1_1@b.x", AllRemoteHosts="slot1_1@b.x,slot1_1@A.x"
    )
    (both,) = read(outputs([ad], [slot("a"), slot("b")])).jobs
    assert (both.id, both.state, both.nodes) == ("1.0", "running", ("a", "b"))
    (one,) = read(outputs([ad], [slot("b")])).jobs
    assert (one.state, one.nodes) == ("running", ("b",))


def test_jobs_of_a_cluster_that_ask_for_different_things_keep_their_numbers() -> None:
    jobs = [job(7, 0), job(7, 1, RequestCpus=2), job(7, 2), job(7, 3, JobStatus=2, RemoteHost="slot1_1@a.x")]
    found = {one.id: one.tasks for one in read(outputs(jobs)).jobs}
    assert found == {"7.0": 2, "7.1": 1, "7.3": 1}


def test_a_comment_counts_only_if_all_jobs_have_it() -> None:
    one = read(outputs([job(7, 0, HpcComment="wait"), job(7, 1, HpcComment="wait")])).jobs[0]
    other = read(outputs([job(7, 0, HpcComment="wait"), job(7, 1)])).jobs[0]
    assert (one.note, other.note, one.tasks, other.tasks) == ("wait", "", 2, 2)


def test_limits_that_jobs_share_keep_them_back_and_machines_do_not_help() -> None:
    jobs = [job(1, n, ConcurrencyLimits="Licence:2") for n in range(5)]
    jobs.append(job(2, 0, JobStatus=2, ConcurrencyLimits="licence", RemoteHost="slot1_1@a.x"))
    found = read(outputs(jobs, config="UPDATE_INTERVAL = 30\nLICENCE_LIMIT = 6\nARC_LIMIT = $(X)\n"))
    one = next(one for one in found.jobs if one.state == "pending")
    assert (one.tasks, one.startable, one.blocked) == (5, 2, "the limit licence leaves room for 2 of them")


def test_limits_that_nobody_set_keep_nobody_back() -> None:
    assert only(ConcurrencyLimits="other:3").startable is None


@pytest.mark.parametrize(
    "ad",
    [
        {"RequestCpus": "/Expr(1 +)/"},
        {"RequestCpus": "many"},
        {"Requirements": "/Expr(nosuchfunction(1))/"},
        {"JobStatus": "1"},
        {"JobUniverse": None},
        {"RequestMemory": "/Expr(error)/"},
    ],
)
def test_a_job_that_is_not_understood_is_skipped_and_blinds_nothing(ad: dict[str, t.Any]) -> None:
    found = read(outputs([job(1), job(2, **ad), job(3)]))
    assert found.errors == ()
    assert [one.id for one in found.jobs] == ["1", "3"]
    (reason,) = found.skipped
    assert reason.startswith("job 2.0: its ")


def test_hostile_names_are_only_text() -> None:
    text = "{{ lookup('pipe', 'id') }} $(reboot) /Expr(1)/ \"; rm"
    found = only(JobBatchName=text, Owner=text)
    assert (found.name, found.user) == (text, text)


@pytest.mark.parametrize("key", ["jobs", "slots", "machines", "config", "collector"])
@pytest.mark.parametrize("output", [Output(1, "", "no answer"), Output(0, "{"), Output(-1, "", "too late")])
def test_an_incomplete_observation_says_so(key: str, output: Output) -> None:
    if key == "config" and not output.status:
        return  # no line is no mistake
    assert read({**outputs([job()]), key: output}).errors


def test_a_collector_that_has_just_started_is_no_basis_for_decisions() -> None:
    """Machines report every 30 s: until then they would seem to be gone."""
    (error,) = read(outputs(started=pool.NOW - 20)).errors
    assert error == "the collector has just started: all machines will have reported in 22 s"
    assert read(outputs(started=pool.NOW - 42)).errors == ()


def test_a_collector_that_lists_nobody_is_no_basis_either() -> None:
    assert "lists no collector" in read(outputs(collector=Output(0, ""))).errors[0]


def test_attributes_of_jobs_that_requirements_use_are_asked_for() -> None:
    found = outputs([job(1, where='MyNeed < 3 && TARGET.node_array == "htc" && missing2 is undefined')])
    (command,) = HTCondor().again(found)
    assert command.argv[-1] == "ClusterId,ProcId,missing2,myneed"
    more = Output(0, '[{"ClusterId": 1, "ProcId": 0, "MyNeed": 1}]')
    (one,) = read({**found, "more": more}).jobs
    assert (one.startable, dict(one.chunks[0].labels)) == (None, {"node_array": "htc"})


def test_usually_nothing_more_is_asked_for() -> None:
    assert HTCondor().again(outputs([job()])) == ()
    assert HTCondor().again(recorded("02-running-and-idle")) == ()
