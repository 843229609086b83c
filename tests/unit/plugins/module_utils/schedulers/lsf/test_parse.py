"""Outputs of LSF as a queue. They have the shapes that its documentation and public scripts show; none was recorded."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output, scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.lsf import parse

NOW = int(time.mktime((2026, 4, 12, 19, 0, 0, 0, 0, -1)))
JOB = {
    "JOBID": "321", "JOBINDEX": "0", "STAT": "PEND", "USER": "alice", "QUEUE": "htc", "JOB_NAME": "bash",
    "JOB_DESCRIPTION": "", "JOB_PRIORITY": "-", "EXCLUSIVE": "N", "NREQ_SLOT": "4", "MIN_REQ_PROC": "4", "GPU_NUM": "-",
    "COMBINED_RESREQ": "select[(q_htc) && (type == local)] order[r15s:pg] rusage[mem=1000.00] span[hosts=1]",
    "PEND_REASON": "Job's requirements for resources not satisfied: 3 hosts;", "SUBMIT_TIME": "Apr 12 18:10:00 2026",
    "START_TIME": "-", "EXEC_HOST": "-",
}  # fmt: skip
HOST = {
    "HOST_NAME": "htc-000001.internal", "STATUS": "ok", "MAX": "4", "NJOBS": "1", "RUN": "1", "SSUSP": "0",
    "USUSP": "0", "RSV": "0", "COMMENTS": "-", "NGPUS": "1", "NGPUS_ALLOC": "0", "TOTAL_MEM": "15.5G",
    "AVAILABLE_MEM": "14.2G",
}  # fmt: skip
STATIC = {
    "HOST_NAME": "htc-000001.internal",
    "NCPUS": "4",
    "MAXMEM": "15.5G",
    "SERVER": "Dyn",
    "RESOURCES": "(ib q_htc)",
}
LABELS = """RESOURCE                                VALUE       LOCATION
node_array                                htc       htc-000001.internal
placement_group                demo_htc_d4sv5       htc-000001.internal
"""


def document(command: str, what: str, records: t.Sequence[dict[str, str]]) -> Output:
    return Output(0, json.dumps({"COMMAND": command, what: len(records), "RECORDS": records}))


def outputs(*jobs: dict[str, str], hosts: t.Sequence[dict[str, str]] = (), **more: Output) -> dict[str, Output]:
    queues = [
        {"QUEUE_NAME": "htc", "STATUS": "Open:Active", "PRIORITY": "30"},
        {"QUEUE_NAME": "off", "STATUS": "Open:Inact", "PRIORITY": "1"},
    ]
    return {
        "jobs": document("bjobs", "JOBS", jobs),
        "ended": Output(255, "", "No DONE/EXIT job found\n"),
        "hosts": document("bhosts", "HOSTS", hosts),
        "static": document("lshosts", "HOSTS", [STATIC]),
        "labels": Output(0, LABELS),
        "queues": document("bqueues", "QUEUES", queues),
        "parameters": Output(0, "    RESOURCE_RESERVE_PER_TASK = Y\n"),
        **more,
    }


def queue(*jobs: dict[str, str], hosts: t.Sequence[dict[str, str]] = (), **more: Output) -> Queue:
    return scheduler("lsf").parse(outputs(*jobs, hosts=hosts, **more), NOW)


def test_a_waiting_job_says_what_it_needs() -> None:
    (job,) = queue(JOB).jobs
    assert (job.id, job.state, job.partitions, job.user) == ("321", "pending", ("htc",), "alice")
    assert job.chunks == (Chunk(1, 4, 4000),)
    assert job.startable is None
    assert job.submitted_at == NOW - 50 * 60
    assert job.reason.startswith("Job's requirements")


def test_elements_that_wait_alike_are_one_job_and_those_that_run_are_their_own() -> None:
    waits = [{**JOB, "JOBINDEX": str(index), "JOB_NAME": f"a[{index}]"} for index in (3, 4, 5)]
    runs = [{**JOB, "JOBINDEX": str(index), "STAT": "RUN", "EXEC_HOST": "4*htc-000001"} for index in (1, 2)]
    found = queue(*runs, *waits).jobs
    assert [(job.id, job.state, job.tasks) for job in found] == [
        ("321[1]", "running", 1), ("321[2]", "running", 1), ("321", "pending", 3),
    ]  # fmt: skip
    assert found[2].name == "a"
    assert found[0].nodes == ("htc-000001",)


@pytest.mark.parametrize(
    ("changes", "blocked"),
    [
        ({"STAT": "PSUSP"}, "it is held"),
        ({"QUEUE": "off"}, "queue off is Open:Inact"),
        ({"PEND_REASON": "Job dependency condition not satisfied;"}, "Job dependency condition not satisfied"),
        ({"PEND_REASON": "User has reached the per-user job slot limit of the queue;"},
         "User has reached the per-user job slot limit of the queue"),
        ({"PEND_REASON": "The job array has reached its running element limit;"},
         "The job array has reached its running element limit"),
        ({"PEND_REASON": "Resource (lic) limit defined cluster-wide has been reached;"},
         "Resource (lic) limit defined cluster-wide has been reached"),
        ({"PEND_REASON": "Job slot limit reached: 3 hosts; Not enough slots: 2 hosts;"}, ""),
        ({"PEND_REASON": "New job is waiting for scheduling;"}, ""),
        ({"PEND_REASON": "Closed by LSF administrator: 1 host;"}, ""),
    ],
)  # fmt: skip
def test_only_reasons_of_the_whole_job_that_no_machine_would_end_block_it(
    changes: dict[str, str], blocked: str
) -> None:
    (job,) = queue({**JOB, **changes}).jobs
    assert job.blocked == blocked
    assert job.startable == (0 if blocked else None)


def test_hosts_say_what_is_free_which_queues_they_serve_and_what_jobs_can_ask_for() -> None:
    running = {**JOB, "STAT": "RUN", "EXEC_HOST": "1*htc-000001.internal"}
    (node,) = queue(running, hosts=[HOST]).nodes
    assert (node.name, node.up, node.drained, node.jobs) == ("htc-000001", True, False, 1)
    assert (node.cpus, node.free_cpus, node.gpus, node.free_gpus) == (4, 3, 1, 1)
    assert (node.memory_mib, node.free_memory_mib) == (15872, 14540)
    assert node.partitions == ("htc",)
    assert node.labels == (("ib", "true"), ("node_array", "htc"), ("placement_group", "demo-htc-d4sv5"))


@pytest.mark.parametrize(
    ("status", "up", "drained"),
    [
        ("ok", True, False),
        ("closed_Full", True, False),
        ("closed_Excl", True, False),
        ("closed_Adm", True, True),
        ("closed_Lock", True, True),
        ("unavail", False, False),
        ("unreach", False, False),
        ("closed_LIM", False, False),
    ],
)
def test_states_of_hosts(status: str, up: bool, drained: bool) -> None:
    (node,) = queue(hosts=[{**HOST, "STATUS": status}]).nodes
    assert (node.up, node.drained) == (up, drained)


def test_a_drain_of_a_pass_is_known_by_its_comment_and_one_of_an_operator_is_not_ours() -> None:
    ours = {**HOST, "STATUS": "closed_Adm", "COMMENTS": '"azure_hpc: idle for 60 s"'}
    theirs = {**HOST, "STATUS": "closed_Adm", "COMMENTS": "disk broken"}
    assert queue(hosts=[ours]).nodes[0].reason == "azure_hpc: idle for 60 s"
    assert queue(hosts=[theirs]).nodes[0].reason == "disk broken"
    assert queue(hosts=[{**ours, "STATUS": "ok"}]).nodes[0].reason == ""


def test_a_host_that_was_taken_away_is_not_seen_while_lsf_still_remembers_it() -> None:
    gone = {**HOST, "STATUS": "unavail", "NJOBS": "0", "RUN": "0", "COMMENTS": "azure_hpc: removed"}
    assert queue(hosts=[gone]).nodes == ()
    crashed = {**gone, "COMMENTS": "-"}
    assert len(queue(hosts=[crashed]).nodes) == 1
    busy = {**gone, "NJOBS": "4", "RUN": "4"}
    assert queue(hosts=[busy]).nodes[0].jobs


def test_a_host_is_idle_since_its_last_job_ended() -> None:
    ended = {"JOBID": "7", "EXEC_HOST": "4*htc-000001:2*htc-000002", "FINISH_TIME": "Apr 12 18:27:01 2026 L"}
    idle = {**HOST, "NJOBS": "0", "RUN": "0"}
    (node,) = queue(hosts=[idle], ended=document("bjobs", "JOBS", [ended])).nodes
    assert node.idle_since == NOW - 33 * 60 + 1
    assert queue(hosts=[idle]).nodes[0].idle_since == 0
    assert queue(hosts=[HOST], ended=document("bjobs", "JOBS", [ended])).nodes[0].idle_since == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Apr 12 18:10:00 2026", 50 * 60), ("Apr 12 18:10", 50 * 60), ("Apr 12 18:10 L", 50 * 60), ("-", NOW)],
)
def test_times_with_and_without_a_year(text: str, seconds: int) -> None:
    assert parse.when(text, NOW) == NOW - seconds


def test_a_time_that_is_still_to_come_was_last_year() -> None:
    assert time.localtime(parse.when("Dec 31 10:00", NOW)).tm_year == 2025


def test_no_job_is_no_error_whether_lsf_says_it_in_words_or_in_json() -> None:
    assert queue().errors == ()
    words = Output(255, "", "No unfinished job found\n")
    assert queue(jobs=words).errors == ()


@pytest.mark.parametrize("key", ["jobs", "ended", "hosts", "static", "labels", "queues", "parameters"])
def test_what_cannot_be_read_is_an_error_and_no_empty_queue(key: str) -> None:
    down = {**outputs(JOB, hosts=[HOST]), key: Output(255, "", "LSF is down. Please wait ...")}
    found = scheduler("lsf").parse(down, NOW)
    assert (found.jobs, found.nodes) == ((), ())
    assert len(found.errors) == 1
    assert "LSF is down" in found.errors[0]


def test_a_table_without_labels_is_no_error() -> None:
    found = queue(hosts=[HOST], labels=Output(255, "", "No matching resource found."))
    assert found.errors == ()


def test_older_fix_packs_are_asked_for_fewer_fields() -> None:
    kind = scheduler("lsf")
    refused = {"hosts": Output(255, "", "bhosts: Illegal field name: COMMENTS")}
    assert "comments" not in kind.again(refused)[0].argv[-1]
    assert kind.again({"hosts": Output(255, "", "LSF is down. Please wait ...")}) == ()
    few = {key: HOST[key] for key in ("HOST_NAME", "STATUS", "MAX", "NJOBS", "RUN", "SSUSP", "USUSP", "RSV")}
    (node,) = queue(hosts=[few]).nodes
    assert (node.memory_mib, node.free_memory_mib) == (15872, 15872)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"STAT": "ODD"}, "its state 'ODD' is not known"),
        ({"COMBINED_RESREQ": "select[a || b]"}, "has alternatives"),
        ({"JOBID": "x"}, "it has no number"),
    ],
)
def test_a_job_that_is_not_understood_is_named_and_the_others_are_kept(changes: dict[str, str], words: str) -> None:
    found = queue({**JOB, **changes}, {**JOB, "JOBID": "5"})
    assert [job.id for job in found.jobs] == ["5"]
    assert len(found.skipped) == 1
    assert words in found.skipped[0]


def test_it_survives_the_way_to_the_controller() -> None:
    found = queue(JOB, {**JOB, "JOBID": "9", "JOB_DESCRIPTION": "mine"}, hosts=[HOST])
    assert serial.load(Queue, json.loads(json.dumps(serial.dump(found)))) == found
    assert not found.adds_nodes
    assert not found.kicks
