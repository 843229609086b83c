"""From what was seen of queue and fleet to a timeline per node and job. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Time = float | None


@dataclass(frozen=True)
class Snapshot:
    """What one look showed. ``at`` is seconds since the epoch; ``nodes`` and ``jobs`` are the records of
    ``scontrol show nodes --json`` and ``squeue --json --states=all``; ``instances`` maps the lower-case resource id of
    every instance to the time it was created."""

    at: float
    nodes: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Mapping[str, Any]] = ()
    instances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeLine:
    """The life of one node, times in seconds since the epoch, None where it was not seen."""

    name: str
    instance: str = ""
    asked: Time = None
    created: Time = None
    joined: Time = None
    started: Time = None
    ended: Time = None
    drained: Time = None
    deleted: Time = None


@dataclass(frozen=True)
class JobLine:
    """The life of one job or array task."""

    id: str
    name: str
    comment: str
    partition: str
    state: str
    nodes: str
    cpus: int
    submitted: Time
    started: Time
    ended: Time
    reason: str
    note: str
    exit_code: int | None


def number(value: Any) -> float | None:
    """A number as Slurm's JSON writes it: ``{"set": bool, "infinite": bool, "number": n}``, or plain."""
    if isinstance(value, Mapping):
        return float(value["number"]) if value.get("set") and not value.get("infinite") else None
    return float(value) if value else None


def jobs(snapshots: Iterable[Snapshot]) -> list[JobLine]:
    """The last state seen of every job, in order of their ids."""
    last: dict[str, JobLine] = {}
    for snapshot in snapshots:
        for record in snapshot.jobs:
            line = _job(record)
            last[line.id] = line
    arrays = {line.id.split("_")[0] for line in last.values() if "_" in line.id and "[" not in line.id}
    kept = [line for line in last.values() if not ("[" in line.id and line.id.split("_")[0] in arrays)]
    return sorted(kept, key=lambda line: [int(part) for part in line.id.replace("[", "").split("_") if part.isdigit()])


def _job(record: Mapping[str, Any]) -> JobLine:
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
    )


def nodes(snapshots: Sequence[Snapshot], expand: Mapping[str, Sequence[str]]) -> list[NodeLine]:
    """One line per node that was ever asked for. ``expand`` maps each host list of a job to its node names."""
    lines: dict[str, NodeLine] = {}
    for snapshot in snapshots:
        for record in snapshot.nodes:
            _see(lines, record, snapshot)
        for name, line in lines.items():
            if line.instance and line.deleted is None and line.instance not in snapshot.instances:
                lines[name] = replace(line, deleted=snapshot.at)
    for job in jobs(snapshots):
        for name in expand.get(job.nodes, ()):
            if name in lines and job.started:
                lines[name] = _worked(lines[name], job)
    return sorted(lines.values(), key=lambda line: (line.asked or 0, line.name))


def _see(lines: dict[str, NodeLine], record: Mapping[str, Any], snapshot: Snapshot) -> None:
    name, flags = record["name"], set(record["state"])
    if name not in lines and not flags & {"POWERING_UP", "POWER_UP"} and not record.get("instance_id"):
        return
    line = lines.get(name) or NodeLine(name=name, asked=snapshot.at)
    instance = (record.get("instance_id") or "").lower()
    if instance and instance in snapshot.instances and line.drained is None:
        line = replace(line, instance=instance, created=snapshot.instances[instance])
    up = number(record.get("slurmd_start_time"))
    if line.joined is None and up and up >= (line.asked or 0) - 60 and not flags & {"POWERING_UP", "POWERED_DOWN"}:
        line = replace(line, joined=up)
    if line.drained is None and line.joined and flags & {"POWERING_DOWN", "POWERED_DOWN"}:
        line = replace(line, drained=snapshot.at)
    lines[name] = line


def _worked(line: NodeLine, job: JobLine) -> NodeLine:
    started = min(t for t in (line.started, job.started) if t is not None)
    ends = [t for t in (line.ended, job.ended) if t is not None]
    return replace(line, started=started, ended=max(ends) if ends else None)
