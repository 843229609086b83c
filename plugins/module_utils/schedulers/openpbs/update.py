# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan to PBS commands: checked against strict patterns, and only for what differs from the queue."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers, plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing, plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Refusal, Write, checking

from . import asking, commands

_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_JOB = re.compile(r"[0-9]{1,12}(?:\[[0-9]{0,10}\])?(?:\.[A-Za-z0-9][A-Za-z0-9.-]{0,252})?")
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_.:=-]{1,100}")
_NO_USE = (plan.Claim, plan.Release, plan.Wake)

_NodesStep = t.Union[plan.Drain, plan.Resume, plan.Remove]


def check(steps: t.Sequence[plan.SchedulerStep]) -> tuple[Refusal, ...]:
    """Everything in the steps that is not what it should be: a node name, a job id, an address, a resource."""
    return checking.refusals(steps, _check_step)


def _check_step(step: plan.SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, _NO_USE):
        yield "is nothing that PBS needs"
    elif isinstance(step, plan.Comment):
        yield from checking.mismatch(_JOB, "job id", step.job)
    elif isinstance(step, plan.Add):
        yield from _check_add(step)
    elif not isinstance(step, plan.Kick):
        yield from checking.names(_NODE, step.nodes)
        if isinstance(step, plan.Drain) and not commands.harmless(step.reason):
            yield "has no reason"


def _check_add(step: plan.Add) -> t.Iterator[str]:
    yield from checking.mismatch(_NODE, "node name", step.node)
    if step.hostname:
        yield from checking.mismatch(_HOST, "host name", step.hostname)
    if step.address:
        yield from checking.mismatch(_ADDRESS, "address", step.address)
    for queue in step.partitions:
        yield from checking.mismatch(_QUEUE, "queue", queue)
    for name, value in step.labels:
        yield from checking.mismatch(_RESOURCE, "resource", name)
        yield from checking.mismatch(_VALUE, "value of a resource", value)
    for name, _amount in step.resources:
        yield from checking.mismatch(_RESOURCE, "resource", name)
    if min(step.cpus, step.memory_mib, step.gpus, *(value for _name, value in step.resources), 0) < 0:
        yield "offers less than nothing"


def writes(steps: t.Sequence[plan.SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
    """The commands that are needed, in order, and the steps that name nodes which PBS does not know.

    A job that is gone needs no comment, and a node that is gone does not have to be removed: these are no refusals.
    """
    nodes = {node.name: node for node in queue.nodes}
    jobs = {job.id: job for job in queue.jobs}
    wanted: list[Write] = []
    refused: list[Refusal] = []
    for number, step in enumerate(steps):
        if isinstance(step, plan.Comment):
            wanted.extend(_comment(number, step, jobs.get(step.job)))
        elif isinstance(step, plan.Add):
            wanted.extend(_add(number, step, nodes.get(step.node)))
        elif isinstance(step, plan.Kick):
            if queue.kicks:
                wanted.append(Write(commands.kick(), (), ("a scheduling cycle begins",), number))
        elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
            unknown = [name for name in step.nodes if name not in nodes]
            if unknown and not isinstance(step, plan.Remove):
                refused.append(Refusal(number, f"PBS knows no node {listing(unknown)}"))
            known = [nodes[name] for name in dict.fromkeys(step.nodes) if name in nodes]
            wanted.extend(_for_nodes(number, step, known, queue.jobs))
    return tuple(wanted), tuple(refused)


def _comment(number: int, step: plan.Comment, job: t.Optional[Job]) -> t.Iterator[Write]:
    text = plain(step.text)
    if job is not None and job.note != text:
        before = f"job {job.id}: {plain(job.note or job.reason)}"
        yield Write(commands.comment(step.job, text), (before,), (f"job {job.id}: {text}",), number)


def settings(step: plan.Add) -> dict[str, str]:
    """The resources of a node as PBS takes them, by name."""
    found = {"ncpus": str(step.cpus), "mem": f"{step.memory_mib}mb", asking.GPUS: str(step.gpus)}
    found.update({name: f"{value:g}" for name, value in step.resources})
    for name, value in step.labels:
        found[asking.GROUP_RESOURCE if name == offers.PLACEMENT_GROUP else name] = "True" if value == "true" else value
    if step.partitions:
        found[asking.QUEUES_RESOURCE] = ",".join(step.partitions)
    if step.address:
        found[commands.ADDRESS_RESOURCE] = step.address
    return found


def _add(number: int, step: plan.Add, node: t.Optional[QueueNode]) -> t.Iterator[Write]:
    wanted = settings(step)
    lines = [commands.available(name, value) for name, value in sorted(wanted.items())]
    after = (f"{step.node}: {' '.join(f'{name}={value}' for name, value in sorted(wanted.items()))}",)
    if node is None:
        yield Write(commands.create(step.node, lines), (), after, number)
        return
    moved = bool(step.address) and node.address not in ("", step.address)
    if moved and not node.up and not node.jobs:
        # PBS reads an address once, when a node is made; waiting does not help.
        yield from _delete(number, node)
        yield Write(commands.create(step.node, lines), (), after, number)
        return
    differs = [commands.available(name, value) for name, value in sorted(_differing(step, node).items())]
    if differs:
        yield Write(commands.change([step.node], differs), (f"{node.name}: {describe(node)}",), after, number)


def _differing(step: plan.Add, node: QueueNode) -> dict[str, str]:
    """Those of the wanted resources that a node has otherwise."""
    wanted = settings(step)
    same = {
        "ncpus": node.cpus == step.cpus,
        "mem": node.memory_mib == step.memory_mib,
        asking.GPUS: node.gpus == step.gpus,
        asking.QUEUES_RESOURCE: set(node.partitions) == set(step.partitions),
        commands.ADDRESS_RESOURCE: node.address == step.address,
    }
    amounts, labels = dict(node.resources), set(node.labels)
    for name, amount in step.resources:
        same[name] = amounts.get(name) == amount
    for name, value in step.labels:
        same[asking.GROUP_RESOURCE if name == offers.PLACEMENT_GROUP else name] = (name, value) in labels
    return {name: value for name, value in wanted.items() if not same.get(name)}


def _for_nodes(number: int, step: _NodesStep, known: t.Sequence[QueueNode], jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    if isinstance(step, plan.Drain):
        yield from _drain(number, step, known, jobs)
    elif isinstance(step, plan.Resume):
        yield from _resume(number, [node for node in known if node.drained])
    else:
        for node in known:
            if not node.up:
                yield from _rerun(number, {node.name}, jobs)
            yield from _delete(number, node)


def _drain(number: int, step: plan.Drain, known: t.Sequence[QueueNode], jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    """The reason goes to a resource first: comments, and in some versions the state, do not outlive the server."""
    reason = commands.harmless(step.reason)
    todo = [node for node in known if not node.drained or node.reason != reason]
    keep = [commands.available(commands.DRAIN_RESOURCE, reason)]
    for part in commands.in_parts([node.name for node in todo]):
        before = tuple(f"{node.name}: {describe(node)}" for node in todo if node.name in part)
        after = tuple(f"{name}: OFFLINE ({reason})" for name in part)
        yield Write(commands.change(part, keep), before, after, number)
        yield Write(commands.offline(part, reason), (), (), number)
    if step.requeue:
        yield from _rerun(number, {node.name for node in known}, jobs)


def _rerun(number: int, nodes: set[str], jobs: t.Sequence[Job]) -> t.Iterator[Write]:
    for job in jobs:
        if job.state in ("running", "completing", "suspended") and nodes.intersection(job.nodes):
            before = f"job {job.id}: {job.state} on {listing(job.nodes)}"
            yield Write(commands.rerun(job.id), (before,), (f"job {job.id}: requeued",), number)


def _resume(number: int, todo: t.Sequence[QueueNode]) -> t.Iterator[Write]:
    for part in commands.in_parts([node.name for node in todo]):
        before = tuple(f"{node.name}: {describe(node)}" for node in todo if node.name in part)
        yield Write(commands.online(part), before, tuple(f"{name}: in service" for name in part), number)
        yield Write(
            commands.forget(part, [f"resources_available.{commands.DRAIN_RESOURCE}", "comment"]), (), (), number
        )


def _delete(number: int, node: QueueNode) -> t.Iterator[Write]:
    """Delete all vnodes of a host, the natural one last. PBS refuses if a job came meanwhile; the next pass sees it."""
    vnodes = {value for name, value in node.labels if name == "vnode"} or {node.name}
    for vnode in sorted(vnodes, key=lambda name: ("[" not in name, name)):
        before = (f"{node.name}: {describe(node)}",) if "[" not in vnode else ()
        yield Write(commands.delete(vnode), before, (), number)


def describe(node: QueueNode) -> str:
    """A node's state on one line."""
    reason = f" ({plain(node.reason)})" if node.reason else ""
    return "+".join(sorted(node.flags)) + reason
