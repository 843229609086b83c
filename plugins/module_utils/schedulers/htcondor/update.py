# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan to HTCondor's commands: checked against strict patterns, and only for what differs from the queue."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Refusal, Write, checking

from . import commands

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_JOB = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10})?")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_NOT_OURS = (plan.Add, plan.Claim, plan.Release, plan.Wake)


def check(steps: t.Sequence[plan.SchedulerStep]) -> tuple[Refusal, ...]:
    """Everything in the steps that is not what it should be."""
    return checking.refusals(steps, _check_step)


def _check_step(step: plan.SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, _NOT_OURS):
        yield "is nothing that HTCondor needs: its machines make themselves known"
    elif isinstance(step, plan.Comment):
        yield from checking.mismatch(_JOB, "job id", step.job)
    elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
        yield from checking.names(_NODE, step.nodes)
        if isinstance(step, plan.Drain):
            yield from checking.mismatch(_TEXT, "reason", step.reason)


def writes(steps: t.Sequence[plan.SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
    """The commands that are needed, in order.

    A node or a job that HTCondor does not list any more needs nothing: machines leave the list by themselves.
    """
    nodes = {node.name: node for node in queue.nodes if _HOST.fullmatch(node.hostname)}
    jobs = {job.id: job for job in queue.jobs}
    wanted: list[Write] = []
    for number, step in enumerate(steps):
        if isinstance(step, plan.Comment):
            wanted.extend(_comment(number, step, jobs.get(step.job)))
        elif isinstance(step, plan.Kick):
            wanted.append(Write(commands.kick(), (), ("jobs are matched with machines",), number))
        elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
            known = [nodes[name] for name in dict.fromkeys(name.lower() for name in step.nodes) if name in nodes]
            wanted.extend(_for_nodes(number, step, known))
    return tuple(wanted), ()


def _comment(number: int, step: plan.Comment, job: t.Optional[Job]) -> t.Iterator[Write]:
    text = plain(step.text)
    if job is not None and job.note != text:
        command = commands.comment(step.job, text)
        yield Write(command, (f"job {job.id}: {plain(job.note)}",), (f"job {job.id}: {text}",), number)


_NodesStep = t.Union[plan.Drain, plan.Resume, plan.Remove]


def _for_nodes(number: int, step: _NodesStep, known: t.Sequence[QueueNode]) -> t.Iterator[Write]:
    if isinstance(step, plan.Remove):
        if known:
            before = tuple(f"{node.name}: {describe(node)}" for node in known)
            command = commands.forget([node.hostname for node in known])
            yield Write(command, before, tuple(f"{node.name}: unknown" for node in known), number)
        return
    for node in known:
        before = (f"{node.name}: {describe(node)}",)
        if isinstance(step, plan.Resume):
            if node.drained:
                yield Write(commands.resume(node.hostname), before, (f"{node.name}: in service",), number)
        elif not node.drained or node.reason != plain(step.reason):
            # HTCondor refuses to drain a node again: for another reason, the first draining has to end.
            if node.drained:
                yield Write(commands.resume(node.hostname), before, (f"{node.name}: in service",), number)
            build = commands.drain_now if step.requeue else commands.drain
            yield Write(
                build(node.hostname, plain(step.reason)), before, (f"{node.name}: drains ({step.reason})",), number
            )


def describe(node: QueueNode) -> str:
    """A node's state on one line."""
    reason = f" ({plain(node.reason)})" if node.reason else ""
    return "+".join(sorted(node.flags)) + (" drains" if node.drained else "") + reason
