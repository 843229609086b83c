"""The demo's timeline, from snapshots as Slurm 24.11 writes them."""

from __future__ import annotations

from typing import Any

from demo import timeline
from demo.schedulers import slurm
from demo.timeline import JobLine, NodeSeen, Snapshot

VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines/0"


def node(*state: str, instance: str = "", up: int = 0) -> NodeSeen:
    started = {"set": bool(up), "infinite": False, "number": up}
    return slurm.node({"name": "hpc-1", "state": list(state), "instance_id": instance, "slurmd_start_time": started})


def job(state: str, *, start: int = 0, end: int = 0, nodes: str = "hpc-1", **more: Any) -> JobLine:
    record = {
        "job_id": 7,
        "name": "mpi", "partition": "hpc", "job_state": [state], "nodes": nodes,
        "cpus": {"set": True, "infinite": False, "number": 16},
        "submit_time": {"set": True, "infinite": False, "number": 100},
        "start_time": {"set": bool(start), "infinite": False, "number": start},
        "end_time": {"set": bool(end), "infinite": False, "number": end},
        "exit_code": {"return_code": {"set": True, "number": 0}},
        **more,
    }  # fmt: skip
    return slurm.job(record)


LIFE = [
    Snapshot(100, [node("IDLE", "CLOUD", "POWERED_DOWN")], [job("PENDING")]),
    Snapshot(102, [node("ALLOCATED", "CLOUD", "POWERING_UP")], [job("RUNNING", start=101)]),
    Snapshot(110, [node("ALLOCATED", "CLOUD", "POWERING_UP", instance=VM)], [], {VM.lower(): 108.0}),
    Snapshot(120, [node("ALLOCATED", "CLOUD", instance=VM, up=117)], [job("RUNNING", start=119)], {VM.lower(): 108.0}),
    Snapshot(
        140, [node("IDLE", "CLOUD", instance=VM, up=117)], [job("COMPLETED", start=119, end=130)], {VM.lower(): 108.0}
    ),
    Snapshot(150, [node("IDLE", "CLOUD", "POWERING_DOWN", instance=VM, up=117)], [], {VM.lower(): 108.0}),
    Snapshot(160, [node("IDLE", "CLOUD", "POWERED_DOWN")], [], {}),
]


def test_a_node_line_holds_every_step_of_its_life() -> None:
    (line,) = timeline.nodes(LIFE, {"hpc-1": ["hpc-1"]})
    assert (line.asked, line.created, line.joined) == (102, 108, 117)
    assert (line.started, line.ended, line.drained, line.deleted) == (119, 130, 150, 160)
    assert line.instance == VM.lower()


def test_a_node_that_was_never_asked_for_has_no_line() -> None:
    assert timeline.nodes([Snapshot(1, [node("IDLE", "CLOUD", "POWERED_DOWN")])], {}) == []


def test_the_last_state_of_a_job_counts() -> None:
    (line,) = timeline.jobs(LIFE)
    assert (line.state, line.started, line.ended, line.exit_code) == ("COMPLETED", 119, 130, 0)


def test_a_job_that_never_had_a_node_has_not_started() -> None:
    (line,) = timeline.jobs([Snapshot(1, jobs=[job("CANCELLED", start=5, end=5, nodes="")])])
    assert (line.started, line.ended) == (None, 5)


def test_tasks_replace_the_pending_rest_of_their_array() -> None:
    array = {"set": True, "infinite": False, "number": 9}
    unset = {"set": False, "infinite": False, "number": 0}
    rest = job("PENDING", array_job_id=array, array_task_id=unset, array_task_string="1-2")
    tasks = [
        job("RUNNING", start=5, array_job_id=array, array_task_id={"set": True, "infinite": False, "number": n})
        for n in (1, 2)
    ]
    lines = timeline.jobs([Snapshot(1, jobs=[rest]), Snapshot(2, jobs=tasks)])
    assert [line.id for line in lines] == ["9_1", "9_2"]
