"""From what was seen of queue and fleet to a timeline per node and job. Pure: values in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

Time = float | None


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
    """The life of one job or array task; the pending rest of an array is one line for ``tasks``. ``word`` is its state
    for people."""

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
    word: str = ""
    tasks: int = 1


@dataclass(frozen=True)
class NodeSeen:
    """A node in one snapshot.

    ``word`` is its state for people, '' when it is off; ``instance`` the lower-case resource id of its machine;
    ``wanted``: it has a machine or one was asked for; ``up_since`` when its daemon started, if it answers;
    ``going``: it gets no jobs any more.
    """

    name: str
    word: str
    instance: str = ""
    wanted: bool = True
    up_since: Time = None
    going: bool = False


@dataclass(frozen=True)
class Snapshot:
    """What one look showed. ``at`` is seconds since the epoch; ``jobs`` are also those that have ended; ``instances``
    maps the lower-case resource id of every instance to the time it was created."""

    at: float
    nodes: Sequence[NodeSeen] = ()
    jobs: Sequence[JobLine] = ()
    instances: Mapping[str, float] = field(default_factory=dict)


def array(line: JobLine) -> str:
    """What the ids of all tasks of an array begin with: 12 of 12_3, 12.3 and 12[3]."""
    return re.split(r"[_.\[]", line.id)[0]


def jobs(snapshots: Iterable[Snapshot]) -> list[JobLine]:
    """The last state seen of every job, in order of their ids."""
    last = {line.id: line for snapshot in snapshots for line in snapshot.jobs}
    arrays = {array(line) for line in last.values() if array(line) != line.id and "_[" not in line.id}
    kept = [line for line in last.values() if not ("_[" in line.id and array(line) in arrays)]
    return sorted(kept, key=lambda line: [int(part) for part in re.findall(r"\d+", line.id)])


def nodes(snapshots: Sequence[Snapshot], expand: Mapping[str, Sequence[str]]) -> list[NodeLine]:
    """One line per node that was ever asked for. ``expand`` maps each host list of a job to its node names."""
    lines: dict[str, NodeLine] = {}
    for snapshot in snapshots:
        for seen in snapshot.nodes:
            _see(lines, seen, snapshot)
        for name, line in lines.items():
            if line.instance and line.deleted is None and line.instance not in snapshot.instances:
                lines[name] = replace(line, deleted=snapshot.at)
    for job in jobs(snapshots):
        for name in expand.get(job.nodes, ()):
            if name in lines and job.started:
                lines[name] = _worked(lines[name], job)
    return sorted(lines.values(), key=lambda line: (line.asked or 0, line.name))


def _see(lines: dict[str, NodeLine], seen: NodeSeen, snapshot: Snapshot) -> None:
    if seen.name not in lines and not seen.wanted:
        return
    line = lines.get(seen.name) or NodeLine(name=seen.name, asked=snapshot.at)
    if seen.instance in snapshot.instances and line.drained is None:
        line = replace(line, instance=seen.instance, created=snapshot.instances[seen.instance])
    if line.joined is None and seen.up_since and seen.up_since >= (line.asked or 0) - 60:
        line = replace(line, joined=seen.up_since)
    if line.drained is None and line.joined and seen.going:
        line = replace(line, drained=snapshot.at)
    lines[seen.name] = line


def _worked(line: NodeLine, job: JobLine) -> NodeLine:
    started = min(t for t in (line.started, job.started) if t is not None)
    ends = [t for t in (line.ended, job.ended) if t is not None]
    return replace(line, started=started, ended=max(ends) if ends else None)
