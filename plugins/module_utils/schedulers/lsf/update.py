# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan to LSF commands: checked against strict patterns, and only for what differs from the queue."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing, plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Refusal, Write, checking

from . import commands, parse

_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_JOB = re.compile(r"[0-9]{1,12}(?:\[[0-9]{1,10}\])?")
_NO_USE = (plan.Claim, plan.Add, plan.Release, plan.Wake, plan.Kick)
# The last word on a host that is gone: the next pass does not see it any more, and LSF forgets it by itself.
GONE = "azure_hpc: removed"

_NodesStep = t.Union[plan.Drain, plan.Resume, plan.Remove]


def check(steps: t.Sequence[plan.SchedulerStep]) -> tuple[Refusal, ...]:
    """Everything in the steps that is not what it should be: a host name, a job id, a reason."""
    return checking.refusals(steps, _check_step)


def _check_step(step: plan.SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, _NO_USE):
        yield "is nothing that LSF needs: its hosts add themselves"
    elif isinstance(step, plan.Comment):
        yield from checking.mismatch(_JOB, "job id", step.job)
    else:
        yield from checking.names(_NODE, step.nodes)
        if isinstance(step, plan.Drain) and not commands.harmless(step.reason):
            yield "has no reason"


def writes(steps: t.Sequence[plan.SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
    """The commands that are needed, in order, and the steps that name hosts which LSF does not know.

    A job that is gone needs no comment, and a host that is gone does not have to be removed: these are no refusals.
    """
    nodes = {node.name: node for node in queue.nodes}
    jobs = {job.id: job for job in queue.jobs}
    wanted: list[Write] = []
    refused: list[Refusal] = []
    for number, step in enumerate(steps):
        if isinstance(step, plan.Comment):
            wanted.extend(_comment(number, step, jobs.get(step.job)))
        elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
            unknown = [name for name in step.nodes if name not in nodes]
            if unknown and not isinstance(step, plan.Remove):
                refused.append(Refusal(number, f"LSF knows no host {listing(unknown)}"))
            known = [nodes[name] for name in dict.fromkeys(step.nodes) if name in nodes]
            wanted.extend(_for_nodes(number, step, known, queue.jobs))
    return tuple(wanted), tuple(refused)


def _comment(number: int, step: plan.Comment, job: t.Optional[Job]) -> t.Iterator[Write]:
    """A description of the job where its owner gave it none: all of them can be read at once. Else a message."""
    text = commands.harmless(step.text)
    if job is None or job.note == text:
        return
    own = parse.has_own_description(job)
    command = commands.post(step.job, text) if own else commands.describe_job(step.job, text)
    yield Write(command, (f"job {job.id}: {plain(job.note or job.reason)}",), (f"job {job.id}: {text}",), number)


def _for_nodes(number: int, step: _NodesStep, known: t.Sequence[QueueNode], jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    if isinstance(step, plan.Drain):
        reason = commands.harmless(step.reason)
        yield from _close(number, [node for node in known if not node.drained or node.reason != reason], reason)
        if step.requeue:
            yield from _requeue(number, {node.name for node in known}, jobs)
    elif isinstance(step, plan.Resume):
        for part in commands.in_parts([node.name for node in known if node.drained]):
            before = tuple(f"{node.name}: {describe(node)}" for node in known if node.name in part)
            yield Write(commands.open_(part), before, tuple(f"{name}: in service" for name in part), number)
    else:
        dead = [node for node in known if not node.up]
        yield from _requeue(number, {node.name for node in dead}, jobs)
        yield from _close(number, [node for node in known if not node.drained or node.reason != GONE], GONE)


def _close(number: int, todo: t.Sequence[QueueNode], reason: str) -> t.Iterator[Write]:
    for part in commands.in_parts([node.name for node in todo]):
        before = tuple(f"{node.name}: {describe(node)}" for node in todo if node.name in part)
        yield Write(commands.close(part, reason), before, tuple(f"{name}: closed ({reason})" for name in part), number)


def _requeue(number: int, nodes: set[str], jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    for job in jobs:
        if job.state in ("running", "completing", "suspended") and nodes.intersection(job.nodes):
            before = f"job {job.id}: {job.state} on {listing(job.nodes)}"
            yield Write(commands.requeue(job.id), (before,), (f"job {job.id}: requeued",), number)


def describe(node: QueueNode) -> str:
    """A host's state on one line."""
    reason = f" ({plain(node.reason)})" if node.reason else ""
    return "+".join(sorted(node.flags)) + reason
