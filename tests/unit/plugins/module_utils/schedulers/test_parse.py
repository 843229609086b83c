# ruff: noqa: E501 (whole messages)
"""Slurm's output as values, on what a real Slurm printed."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import phase
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.slurm import parse

FIXTURES = Path(__file__).parents[3] / "fixtures" / "slurm"
SITUATIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


def documents(situation: str) -> dict[str, t.Any]:
    """What the two commands printed."""
    folder = FIXTURES / situation
    return {
        "jobs": json.loads((folder / "squeue.json").read_text()),
        "nodes": json.loads((folder / "nodes.json").read_text()),
    }


def read(found: dict[str, t.Any]) -> Queue:
    return parse.queue({key: Output(0, json.dumps(value)) for key, value in found.items()}, 1)


def observe(situation: str) -> Queue:
    return read(documents(situation))


def states(queue: Queue) -> dict[str, int]:
    found: dict[str, int] = {}
    for job in queue.jobs:
        found[job.state] = found.get(job.state, 0) + 1
    return found


EXPECTED = {
    "00-empty": {},
    "01-powering-up": {"pending": 18, "configuring": 5},
    "02-powering-down": {},
    "03-running-and-pending": {"pending": 18, "running": 2},
    "04-mpi2-running": {"pending": 11, "running": 4},
    "05-backfill-planned": {"pending": 12, "running": 4},
    "06-drain-fail": {"pending": 6, "running": 5, "configuring": 3},
    "07-dynamic": {"pending": 4, "running": 8},
    "08-resume-failed-down": {"pending": 4, "running": 8},
    "09-partition-down-resources": {"pending": 8, "running": 7, "configuring": 1},
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_is_read_whole(situation: str) -> None:
    queue = observe(situation)
    assert queue.errors == ()
    assert queue.cluster == "hl"
    assert states(queue) == EXPECTED[situation]
    on_nodes = {name for job in queue.jobs if job.state != "pending" for name in job.nodes}
    used = {node.name for node in queue.nodes if node.flags & {"ALLOCATED", "MIXED"}}
    assert on_nodes == used, "jobs and nodes agree about which nodes are in use"


@pytest.mark.parametrize(
    ("situation", "phases"),
    [
        ("00-empty", {"off": 9, "joined": 2}),
        ("01-powering-up", {"coming": 9, "joined": 2}),
        ("02-powering-down", {"going": 9, "joined": 2}),
        ("08-resume-failed-down", {"off": 3, "joined": 9, "broken": 1}),
        ("09-partition-down-resources", {"off": 2, "coming": 2, "joined": 9}),
    ],
)
def test_power_states_become_phases(situation: str, phases: dict[str, int]) -> None:
    found: dict[str, int] = {}
    for node in observe(situation).nodes:
        found[phase(node.flags)] = found.get(phase(node.flags), 0) + 1
    assert found == phases


def test_arrays_het_jobs_and_several_partitions_are_told_apart() -> None:
    jobs = {job.id: job for job in observe("01-powering-up").jobs}
    assert {"5", "6", "6_0", "6_2", "6_4", "16+0", "16+1"} <= set(jobs)
    assert (jobs["5"].tasks, jobs["6"].tasks, jobs["6_2"].tasks) == (20, 48, 1)
    assert jobs["6_2"].nodes == ("htc-2",)
    assert jobs["21"].partitions == ("htc", "hpc")
    assert (jobs["2"].node_count, jobs["2"].nodes) == (4, ("hpc-1", "hpc-2", "hpc-3", "hpc-4"))
    assert (jobs["1"].cpus, jobs["1"].user, jobs["1"].name) == (8, "alice", "mpi2")


def test_reasons_are_given_with_slurms_own_sentence() -> None:
    reasons = {job.id: job.reason for job in observe("09-partition-down-resources").jobs if job.state == "pending"}
    assert reasons["49"] == "PartitionDown"
    assert reasons["52"].startswith("Resources: Nodes required for job are DOWN, DRAINED")
    waiting = {job.id: job.reason for job in observe("03-running-and-pending").jobs}
    assert waiting["27"] == "ReqNodeNotAvail, UnavailableNodes:hpc-[1-4]"
    assert waiting["26"] == ""


def test_claims_reasons_and_addresses_of_nodes_are_read() -> None:
    nodes = {node.name: node for node in observe("08-resume-failed-down").nodes}
    assert (nodes["hpc-3"].instance_id, nodes["hpc-3"].address, nodes["hpc-3"].hostname) == (
        "vm-123",
        "10.88.3.99",
        "hpc-3x",
    )
    assert nodes["hpc-1"].flags == {"DOWN", "CLOUD", "POWERED_DOWN"}
    assert nodes["hpc-1"].reason == "ResumeTimeout reached"
    assert (nodes["hpc-2"].cpus, nodes["hpc-2"].memory_mib) == (4, 4000)


@pytest.mark.parametrize(
    ("reason", "comment", "told"),
    [
        ("", "mounts: /data: gone", ("mounts: /data: gone", 0)),
        ("bad disk", "mounts: /data: gone", ("bad disk", 1700000000)),
        ("", "vm=abc", ("", 0)),
    ],
)
def test_what_a_node_says_of_itself_is_in_its_comment(reason: str, comment: str, told: tuple[str, int]) -> None:
    found = documents("01-powering-up")
    found["nodes"]["nodes"] = found["nodes"]["nodes"][:1]
    found["nodes"]["nodes"][0].update(reason=reason, comment=comment, reason_changed_at=1700000000 if reason else 0)
    (node,) = read(found).nodes
    assert (node.reason, node.reason_at) == told


def test_older_shapes_of_numbers_and_states_are_read_alike() -> None:
    found = documents("01-powering-up")
    plain = copy.deepcopy(found)
    for record in (*plain["jobs"]["jobs"], *plain["nodes"]["nodes"]):
        for key, value in record.items():
            if isinstance(value, dict) and "number" in value and key != "array_task_id":
                record[key] = value["number"]
    for node in plain["nodes"]["nodes"]:
        node["state"] = "+".join(node["state"])
    for document in plain.values():
        document["meta"]["Slurm"] = document["meta"].pop("slurm")
    assert read(plain) == read(found)


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        ({}, "squeue was not run"),
        (
            {"jobs": Output(1, "", "slurm_load_jobs error: Unable to contact slurm controller\n")},
            "squeue failed with status 1: slurm_load_jobs error: Unable to contact slurm controller",
        ),
        ({"jobs": Output(0, '{"jobs": [')}, "squeue did not print JSON: Expecting value: line 1 column 11 (char 10)"),
        ({"jobs": Output(0, "[]")}, "squeue did not print a dictionary"),
        ({"jobs": Output(0, '{"errors": [{"description": "boom"}], "jobs": []}')}, "squeue reported: boom"),
        ({"jobs": Output(0, "{}")}, "there is no list of jobs"),
        ({"jobs": Output(0, '{"jobs": [{"job_id": 1}]}')}, "jobs[0] has no job_state"),
        ({"jobs": Output(0, '{"jobs": [{"job_state": ["RUNNING"]}]}')}, "jobs[0] has no job_id"),
        ({"jobs": Output(0, '{"jobs": [{"job_id": 1, "job_state": ["RUNNING"], "nodes": "a[1-"}]}')}, "jobs[0].nodes is not a host list: 'a[1-'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_and_never_an_empty_queue(outputs: dict[str, Output], error: str) -> None:
    found = parse.queue({**outputs, "nodes": Output(0, '{"nodes": []}')}, 1)
    assert found.errors == (error,)
    assert found.jobs == ()


def test_a_node_without_a_state_makes_the_observation_incomplete() -> None:
    found = documents("00-empty")
    del found["nodes"]["nodes"][3]["state"]
    assert read(found).errors == ("nodes[3] has no state",)


def test_hostile_names_come_through_unchanged() -> None:
    found = documents("01-powering-up")
    evil = "{{ lookup('pipe','id') }} $(reboot)\n\"'; rm -rf / \u202e\u00e4"
    found["jobs"]["jobs"][0].update(name=evil, admin_comment=evil)
    job = read(found).jobs[0]
    assert (job.name, job.note) == (evil, evil)


@pytest.mark.parametrize(
    ("text", "count"), [("1-20%3", 20), ("6-100:2", 48), ("1,3,5-7", 5), ("[2-3]", 2), ("9,...", 1)]
)
def test_tasks_of_array_ranges_are_counted(text: str, count: int) -> None:
    assert parse.count_tasks(text) == count
