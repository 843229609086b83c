"""Slurm in the demo."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from demo.session import Session
from demo.timeline import JobLine, NodeSeen, Time


class Slurm:
    """See `demo.schedulers.Kind`."""

    name = "slurm"
    commands = (
        "mpicc -O2 -o mpi_test mpi_test.c",
        "sbatch mpi.sbatch",
        "sbatch array.sbatch",
        "sbatch --job-name=toobig --partition=hpc --nodes=8 --time=5 --wrap=hostname",
    )
    look = "scontrol show nodes --json; echo ---; squeue --json --states=all"

    def read(self, text: str, machines: Mapping[str, str]) -> tuple[list[NodeSeen], list[JobLine]]:
        """Slurm's nodes carry the resource ids of their instances."""
        nodes, _unused, jobs = text.partition("---\n")
        return (
            [node(record) for record in json.loads(nodes)["nodes"]],
            [job(record) for record in json.loads(jobs)["jobs"]],
        )

    def nodes_of(self, session: Session, head: str, text: str) -> list[str]:
        """A host list, expanded by Slurm itself."""
        return session.ssh(head, f"scontrol show hostnames {shlex.quote(text)}").split()

    def owner_sees(self, session: Session, login: str) -> tuple[str, str, str]:
        """squeue's line and the administrator's comment."""
        line = session.ssh(login, "squeue --name=toobig --noheader --format='%i %T %r'").strip()
        identity = line.split()[0]
        note = session.ssh(login, f"scontrol show job {identity} | grep AdminComment")
        return identity, line, note.strip()

    def cancel(self, job: str) -> str:
        """See `demo.schedulers.Kind`."""
        return f"scancel {job}"


def number(value: Any) -> float | None:
    """A number as Slurm's JSON writes it: ``{"set": bool, "infinite": bool, "number": n}``, or plain."""
    if isinstance(value, Mapping):
        return float(value["number"]) if value.get("set") and not value.get("infinite") else None
    return float(value) if value else None


def node(record: Mapping[str, Any]) -> NodeSeen:
    """A record of ``scontrol show nodes --json``."""
    flags, instance = set(record["state"]), (record.get("instance_id") or "").lower()
    up: Time = None if flags & {"POWERING_UP", "POWERED_DOWN"} else number(record.get("slurmd_start_time"))
    return NodeSeen(
        name=record["name"],
        word=_node_word(record["state"]),
        instance=instance,
        wanted=bool(flags & {"POWERING_UP", "POWER_UP"} or instance),
        up_since=up,
        going=bool(flags & {"POWERING_DOWN", "POWERED_DOWN"}),
    )


def _node_word(state: list[str]) -> str:
    flags = set(state)
    if "POWERED_DOWN" in flags and not flags & {"DRAIN", "DOWN"}:
        return ""
    marks = (word for word in ("POWERING_UP", "POWERING_DOWN", "DRAIN", "DOWN") if word in flags)
    return next(marks, state[0]).lower()


def job(record: Mapping[str, Any]) -> JobLine:
    """A record of ``squeue --json``."""
    array, task = number(record.get("array_job_id")), record.get("array_task_id", {})
    identity = str(record["job_id"])
    if array and record.get("array_task_string"):
        identity = f"{int(array)}_[{record['array_task_string']}]"
    elif array and task.get("set"):
        identity = f"{int(array)}_{task['number']}"
    states = record["job_state"]
    ended = number(record.get("end_time")) if states[0] not in {"PENDING", "RUNNING"} else None
    code = record.get("exit_code", {}).get("return_code", {})
    return JobLine(
        id=identity,
        name=record["name"],
        comment=record.get("comment", ""),
        partition=record["partition"],
        state=states[0],
        nodes=record.get("nodes", ""),
        cpus=int(number(record.get("cpus")) or 0),
        submitted=number(record.get("submit_time")),
        # Slurm gives a job that was cancelled while it waited the time of that as its start, but no nodes.
        started=number(record.get("start_time")) if states[0] != "PENDING" and record.get("nodes") else None,
        ended=ended,
        reason=record.get("state_reason", ""),
        note=record.get("admin_comment", ""),
        exit_code=int(code["number"]) if code.get("set") else None,
        word=("CONFIGURING" if "CONFIGURING" in states else states[0]).lower(),
        tasks=_tasks(record.get("array_task_string") or ""),
    )


def _tasks(text: str) -> int:
    count = 0
    for part in filter(None, text.split("%")[0].split(",")):
        first, _unused, rest = part.partition("-")
        last, _unused, step = rest.partition(":")
        count += (int(last) - int(first)) // int(step or 1) + 1 if last else 1
    return count or 1
