# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan to Slurm commands: checked against strict patterns, and only for what differs from the queue."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist, plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Refusal, Write, checking

from . import commands

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_JOB = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})")
_RESOURCE_ID = re.compile(r"/subscriptions/[A-Za-z0-9/_.()-]{1,1000}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_BUSY = frozenset(("ALLOCATED", "MIXED", "COMPLETING"))
_POWER_OFF = frozenset(("POWERED_DOWN", "POWERING_DOWN"))


def check(steps: t.Sequence[plan.SchedulerStep]) -> tuple[Refusal, ...]:
    """Everything in the steps that is not what it should be: a node name, a job id, an address, a resource id."""
    return checking.refusals(steps, _check_step)


def _check_step(step: plan.SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, plan.Claim):
        yield from checking.mismatch(_NODE, "node name", step.node)
        yield from checking.mismatch(_RESOURCE_ID, "resource id", step.instance_id)
        yield from checking.mismatch(_ADDRESS, "address", step.address)
        yield from checking.mismatch(_HOSTNAME, "host name", step.hostname)
    elif isinstance(step, plan.Comment):
        yield from checking.mismatch(_JOB, "job id", step.job)
    elif isinstance(step, (plan.Add, plan.Kick)):
        yield "is nothing that Slurm needs"
    else:
        yield from checking.names(_NODE, step.nodes)
        if isinstance(step, plan.Drain):
            yield from checking.mismatch(_TEXT, "reason", step.reason)


def writes(steps: t.Sequence[plan.SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
    """The commands that are needed, in order, and the steps that name nodes or jobs which Slurm does not know.

    A job that is gone needs no comment any more: that is no refusal.
    """
    nodes = {node.name: node for node in queue.nodes}
    forced = {name for step in steps if isinstance(step, plan.Drain) and step.requeue for name in step.nodes}
    jobs = {job.id: job for job in queue.jobs}
    wanted: list[Write] = []
    refused: list[Refusal] = []
    for number, step in enumerate(steps):
        if isinstance(step, plan.Comment):
            wanted.extend(_comment(number, step, jobs.get(step.job)))
            continue
        if isinstance(step, (plan.Add, plan.Kick)):
            continue  # `check` refuses them
        names = (step.node,) if isinstance(step, plan.Claim) else step.nodes
        unknown = [name for name in names if name not in nodes]
        if unknown:
            refused.append(Refusal(number, f"Slurm knows no node {hostlist.compress(unknown)}"))
        known = [nodes[name] for name in hostlist.in_order(names) if name in nodes]
        if isinstance(step, plan.Claim):
            wanted.extend(_claim(number, step, known))
        else:
            changes = list(_for_nodes(number, step, known, forced))
            wanted.extend(changes)
            if changes and isinstance(step, plan.Drain) and step.requeue:
                wanted.extend(_start_again(number, step, queue.jobs))
    return tuple(wanted), tuple(refused)


def _claim(number: int, step: plan.Claim, known: t.Sequence[QueueNode]) -> t.Iterator[Write]:
    for node in known:
        now = (node.instance_id, node.address, node.hostname)
        if now != (step.instance_id, step.address, step.hostname):
            command = commands.claim(step.node, step.instance_id, step.address, step.hostname)
            after = _line(step.node, step.instance_id, step.address, step.hostname)
            yield Write(command, (_line(node.name, *now),), (after,), number)


def _line(node: str, instance_id: str, address: str, hostname: str) -> str:
    return f"{node}: instance {instance_id or '-'} address {address} host {hostname}"


def _comment(number: int, step: plan.Comment, job: t.Optional[Job]) -> t.Iterator[Write]:
    text = plain(step.text)
    if job is not None and job.note != text:
        command = commands.comment(step.job, text)
        yield Write(command, (f"job {job.id}: {plain(job.note)}",), (f"job {job.id}: {text}",), number)


_NodesStep = t.Union[plan.Release, plan.Drain, plan.Resume, plan.Wake, plan.Remove]


def _start_again(number: int, step: plan.Drain, jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    """Jobs that lose their nodes may start on others at once."""
    lost = frozenset(step.nodes)
    for job in jobs:
        if job.state in ("configuring", "running") and lost.intersection(job.nodes):
            before = f"job {job.id}: {job.state} on {hostlist.compress(job.nodes)}"
            yield Write(commands.start_now(job.id), (before,), (f"job {job.id}: requeued",), number)


def _for_nodes(
    number: int, step: _NodesStep, known: t.Sequence[QueueNode], forced: t.AbstractSet[str]
) -> t.Iterator[Write]:
    """The commands of a step for many nodes, each for the nodes that are not yet as they should be."""
    for build, pending, after in _actions(step, forced):
        todo = [node for node in known if pending(node)]
        if todo:
            before = tuple(f"{node.name}: {describe(node)}" for node in todo)
            names = [node.name for node in todo]
            yield Write(build(names), before, tuple(f"{name}: {after}" for name in names), number)


_Action = tuple[t.Callable[[t.Sequence[str]], Command], t.Callable[[QueueNode], bool], str]


def _actions(step: _NodesStep, forced: t.AbstractSet[str]) -> list[_Action]:
    """What a step means for nodes in different states: command, which nodes, and their state after it."""
    if isinstance(step, plan.Release):
        return [(commands.release, _is_claimed, "no instance")]
    if isinstance(step, plan.Resume):
        # Resumed as it is, a node that was drained on its way up would still want a machine, for nobody.
        return [
            (commands.power_down_force, lambda node: _is_out(node) and _is_coming(node), "POWERING_DOWN"),
            (commands.resume, lambda node: _is_out(node) and _is_settled(node), "in service"),
        ]
    if isinstance(step, plan.Wake):
        return [
            (
                commands.power_up,
                lambda node: "POWERED_DOWN" in node.flags and "POWER_UP" not in node.flags,
                "POWERING_UP",
            )
        ]
    if isinstance(step, plan.Remove):
        return [
            (commands.power_down_force, lambda node: _is_up(node) and _by_force(node, forced), "POWERING_DOWN"),
            (commands.power_down, lambda node: _is_up(node) and _politely(node, forced), "POWERING_DOWN"),
        ]
    return _drain_actions(step)


def _drain_actions(step: plan.Drain) -> list[_Action]:
    reason = step.reason

    def drain(names: t.Sequence[str]) -> Command:
        return commands.drain(names, reason)

    def undrained(node: QueueNode) -> bool:
        return "DRAIN" not in node.flags or node.reason != reason

    if not step.requeue:
        return [(drain, undrained, f"DRAIN {reason}")]
    # Draining gives jobs back that wait for the node to come up; jobs that run end only when the node is down.
    return [
        (drain, lambda node: _is_coming(node) and undrained(node), f"DRAIN {reason}"),
        (
            lambda names: commands.down(names, reason),
            lambda node: not _is_coming(node) and ("DOWN" not in node.flags or node.reason != reason),
            f"DOWN {reason}",
        ),
    ]


def _is_coming(node: QueueNode) -> bool:
    return "POWERING_UP" in node.flags and not node.flags & _POWER_OFF


def _is_out(node: QueueNode) -> bool:
    return bool(node.flags & {"DOWN", "DRAIN", "FAIL"})


def _is_settled(node: QueueNode) -> bool:
    return not _is_coming(node) and "POWER_DOWN" not in node.flags


def _is_up(node: QueueNode) -> bool:
    return not node.flags & (_POWER_OFF | {"POWER_DOWN"})


def _by_force(node: QueueNode, forced: t.AbstractSet[str]) -> bool:
    # A polite request is kept until a node has joined. A node that was given to a job meanwhile stays.
    return "DOWN" in node.flags or node.name in forced or (_is_coming(node) and not node.flags & _BUSY)


def _politely(node: QueueNode, forced: t.AbstractSet[str]) -> bool:
    return not _is_coming(node) and not _by_force(node, forced)


def _is_claimed(node: QueueNode) -> bool:
    return bool(node.instance_id) or node.address not in ("", node.name) or node.hostname not in ("", node.name)


def describe(node: QueueNode) -> str:
    """A node's state on one line."""
    claim = f" instance {node.instance_id}" if node.instance_id else ""
    reason = f" ({plain(node.reason)})" if node.reason else ""
    return "+".join(sorted(node.flags)) + claim + reason
