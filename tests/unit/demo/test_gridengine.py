"""Grid Engine's outputs as the demo sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.schedulers.gridengine import GridEngine

FIXTURES = Path(__file__).parents[1] / "fixtures" / "gridengine" / "cluster"
# What sge_qmaster writes when a job ends: here an MPI job on two nodes, of which only the first is named, and a task.
ENDED = (
    "hpc:hpc-e8c07-000002.internal.cloudapp.net:g:u:mpirun:19:sge:0:1795182853:1795182854:1795182914:0:0:60"
    + ":0" * 17
    + ":NONE:defaultdepartment:mpi-hpc-hb120rsv3-pg1:240:0:0.0\n"
    "hpc:hpc-e8c07-000003.internal.cloudapp.net:g:u:arr:21:sge:0:1795182853:1795182854:1795182914:0:3:60"
    + ":0" * 17
    + ":NONE:defaultdepartment:NONE:1:1:0.0\n"
)
MACHINES = {"hpc-e8c07-000002": "/subscriptions/x/2", "hpc-e8c07-000009": "/subscriptions/x/9"}


def look(jobs: str, ended: str = "") -> str:
    return f"{jobs}---\n{(FIXTURES / 'hosts.xml').read_text()}---\n{ended}"


def test_jobs_and_nodes_are_read_while_they_last_and_after() -> None:
    kind = GridEngine()
    nodes, jobs = kind.read(look((FIXTURES / "jobs.xml").read_text()), MACHINES)
    words = {node.name: node.word for node in nodes}
    assert words["hpc-e8c07-000002"] == "busy"
    assert words["hpc-e8c07-000004"] == "idle"
    assert words["hpc-e8c07-000005"] == "draining"
    assert words["hpc-e8c07-000009"] == "booting"
    found = {job.id: job for job in jobs}
    assert (found["19"].state, found["19"].cpus, found["19"].nodes) == (
        "RUNNING",
        240,
        "hpc-e8c07-000002,hpc-e8c07-000005",
    )
    assert (found["21_[5-9:2]"].tasks, found["34_[1-100:1]"].tasks, found["21_1"].tasks) == (3, 100, 1)
    _nodes, jobs = kind.read(look("<job_info/>", ENDED), {})
    ended = {job.id: job for job in jobs}
    assert (ended["19"].state, ended["19"].nodes) == ("COMPLETED", "hpc-e8c07-000002,hpc-e8c07-000005")
    assert (ended["21_1"].state, ended["21_1"].exit_code) == ("FAILED", 3)


def test_what_is_not_complete_is_said() -> None:
    with pytest.raises(ValueError, match="no element"):
        GridEngine().read(look(""), {})
