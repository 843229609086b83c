"""The end of the demo, for people: timelines, facts, seconds per stage, requests per pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.timeline import JobLine, NodeLine, Time, array


@dataclass(frozen=True)
class Outcome:
    """What the demo found, for the report and for tests. ``passes`` are the passes' own records, in order."""

    begun: float
    nodes: Sequence[NodeLine]
    jobs: Sequence[JobLine]
    passes: Sequence[dict[str, Any]]
    stages: Sequence[tuple[str, float]]
    mpi_output: str
    owner_sees: str
    left: Sequence[str]

    def node_seconds(self) -> float:
        """How long machines existed, in all, in seconds."""
        return sum(line.deleted - line.created for line in self.nodes if line.deleted and line.created)


def show(outcome: Outcome, console: Console) -> None:
    """Print the whole report."""
    console.print(_node_table(outcome))
    console.print(_job_table(outcome))
    console.print(_pass_table(outcome))
    console.print(_stage_table(outcome))
    console.print(f"machines existed for {outcome.node_seconds():.0f} node seconds in all", highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column[0].islower() else "left", overflow="fold")
    return table


def _since(begun: float, at: Time) -> str:
    return "" if at is None else f"+{max(at - begun, 0):.0f}"


def _node_table(outcome: Outcome) -> Table:
    steps = ("asked", "created", "joined", "started", "ended", "drained", "deleted")
    table = _table("\nNodes (seconds since the first job was submitted)", "Node", "Instance", *steps)
    for line in outcome.nodes:
        instance = "/".join(line.instance.split("/")[-3::2])
        table.add_row(line.name, instance, *(_since(outcome.begun, getattr(line, step)) for step in steps))
    return table


def _job_table(outcome: Outcome) -> Table:
    table = _table("\nJobs", "Job", "Name", "State", "Nodes", "cpus", "submitted", "started", "ended", "exit", "Why")
    for line in _folded(outcome.jobs):
        times = (_since(outcome.begun, at) for at in (line.submitted, line.started, line.ended))
        code = "" if line.exit_code is None else str(line.exit_code)
        why = line.note or (line.reason if line.state == "PENDING" else "")
        table.add_row(line.id, line.name, line.state, line.nodes, str(line.cpus), *times, code, why)
    return table


def _folded(jobs: Sequence[JobLine]) -> list[JobLine]:
    """Tasks of one array as one line: from the first start to the last end."""
    arrays: dict[str, list[JobLine]] = {}
    for line in jobs:
        arrays.setdefault(array(line), []).append(line)
    folded = []
    for identity, tasks in arrays.items():
        if len(tasks) == 1:
            folded.append(tasks[0])
            continue
        first = tasks[0]
        started = [task.started for task in tasks if task.started]
        ended = [task.ended for task in tasks if task.ended]
        states = ", ".join(f"{count} {state}" for state, count in Counter(task.state for task in tasks).items())
        folded.append(
            JobLine(
                id=f"{identity}_[{len(tasks)} tasks]",
                name=first.name,
                comment=first.comment,
                partition=first.partition,
                state=states,
                nodes=f"{len({task.nodes for task in tasks if task.nodes})} nodes",
                cpus=sum(task.cpus for task in tasks),
                submitted=first.submitted,
                started=min(started, default=None),
                ended=max(ended, default=None),
                reason=first.reason,
                note=first.note,
                exit_code=max((task.exit_code or 0) for task in tasks),
            )
        )
    return folded


def _pass_table(outcome: Outcome) -> Table:
    table = _table("\nPasses", "at", "seconds", "requests", "steps", "Decisions")
    for record in outcome.passes:
        seconds = sum(record["seconds"].values())
        lines = record["lines"]
        text = lines[0] + (f" (+{len(lines) - 1} more)" if len(lines) > 1 else "") if lines else "nothing to do"
        table.add_row(
            _since(outcome.begun, _at(record["time"])), f"{seconds:.1f}", str(record["requests"]), str(len(lines)), text
        )
    return table


def _at(stamp: str) -> float:
    """Seconds since the epoch of a time in the decision log, which is UTC."""
    return datetime.fromisoformat(stamp).timestamp()


def _stage_table(outcome: Outcome) -> Table:
    table = _table("\nStages", "Stage", "seconds")
    for name, seconds in outcome.stages:
        table.add_row(name, f"{seconds:.0f}")
    table.add_row("all", f"{sum(seconds for _unused, seconds in outcome.stages):.0f}")
    return table
