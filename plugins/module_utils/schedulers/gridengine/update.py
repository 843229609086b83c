# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a plan to Grid Engine's commands: checked against strict patterns, only for what differs from the queue."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist, offers, plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Refusal, Write, checking

from . import commands
from .asking import EXCLUSIVE, GPU, MEMORY
from .jobs import as_context, quote
from .nodes import SUBMIT, UNREACHABLE

_NODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62})")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_JOB = re.compile(r"[0-9]{1,10}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
# One command changes many hosts; one host that cannot be resolved spoils its command.
AT_ONCE = 25
_NOTHING = (plan.Claim, plan.Release, plan.Wake, plan.Kick)


def check(steps: t.Sequence[plan.SchedulerStep]) -> tuple[Refusal, ...]:
    """Everything in the steps that is not what it should be: a node name, a job id, a label, an amount."""
    return checking.refusals(steps, _check_step)


def _check_step(step: plan.SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, _NOTHING):
        yield "is nothing that Grid Engine needs"
    elif isinstance(step, plan.Comment):
        yield from checking.mismatch(_JOB, "job id", step.job)
    elif isinstance(step, plan.Add):
        yield from _check_add(step)
    else:
        yield from checking.names(_NODE, step.nodes)
        if isinstance(step, plan.Drain):
            yield from checking.mismatch(_TEXT, "reason", step.reason)


def _check_add(step: plan.Add) -> t.Iterator[str]:
    yield from checking.mismatch(_NODE, "node name", step.node)
    yield from checking.mismatch(_HOST, "host name", step.hostname or step.node)
    labels = dict(step.labels)
    for name in (offers.NODE_ARRAY, offers.VM_SIZE):
        if name not in labels:
            yield f"has no label {name}"
    for name, value in step.labels:
        yield from checking.mismatch(_WORD, "label", name)
        yield from checking.mismatch(_WORD, "value of a label", value)
    for name, _amount in step.resources:
        yield from checking.mismatch(_WORD, "resource", name)
    if step.cpus < 1 or step.memory_mib < 0 or step.gpus < 0:
        yield "offers less than nothing"


def writes(steps: t.Sequence[plan.SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
    """The commands that are needed, in order, and the steps that name nodes which Grid Engine does not know.

    A job that is gone needs no comment any more, a node that is gone need not be removed: that is no refusal.
    """
    nodes = {node.name: node for node in queue.nodes}
    jobs = {job.id: job for job in queue.jobs}
    wanted: list[Write] = []
    refused: list[Refusal] = []
    wanted.extend(_add([(number, step) for number, step in enumerate(steps) if isinstance(step, plan.Add)], nodes))
    for number, step in enumerate(steps):
        if isinstance(step, plan.Comment):
            wanted.extend(_comment(number, step, jobs.get(step.job)))
        elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
            unknown = [name for name in step.nodes if name not in nodes]
            if unknown and not isinstance(step, plan.Remove):
                refused.append(Refusal(number, f"Grid Engine knows no node {hostlist.compress(unknown)}"))
            known = [nodes[name] for name in hostlist.in_order(step.nodes) if name in nodes]
            for found in _parts(known):
                wanted.extend(_for_nodes(number, step, found))
    return tuple(wanted), tuple(refused)


def _parts(known: t.Sequence[QueueNode]) -> t.Iterator[t.Sequence[QueueNode]]:
    for start in range(0, len(known), AT_ONCE):
        yield known[start : start + AT_ONCE]


def group_of(labels: t.Sequence[tuple[str, str]]) -> str:
    """The host group of nodes with these labels: their placement group, else their size of their array."""
    found = dict(labels)
    size = f"{found.get(offers.NODE_ARRAY, '')}-{found.get(offers.VM_SIZE, '')}"
    group = found.get(offers.PLACEMENT_GROUP, "")
    return f"@{group}" if re.fullmatch(re.escape(size) + r"-pg[0-9]+", group) else f"@{size}"


def resources_of(step: plan.Add) -> str:
    """What a host has, as its complex_values."""
    found = {
        "slots": str(step.cpus),
        EXCLUSIVE: "true",
        GPU: str(step.gpus),
        **dict.fromkeys(MEMORY, f"{step.memory_mib}M"),
        commands.MEMORY: str(step.memory_mib),
        **{name: f"{amount:g}" for name, amount in step.resources},
        **dict(step.labels),
    }
    return ",".join(f"{name}={value}" for name, value in found.items())


def _add(steps: t.Sequence[tuple[int, plan.Add]], nodes: t.Mapping[str, QueueNode]) -> t.Iterator[Write]:
    """Hosts are added to their group first, which makes execution hosts of them, and are known when they say what they
    have: one whose second command failed is added again."""
    alike: dict[tuple[str, str], list[tuple[int, plan.Add]]] = {}
    for number, step in steps:
        if step.node not in nodes or not _offers(nodes[step.node], step):
            alike.setdefault((group_of(step.labels), resources_of(step)), []).append((number, step))
    for (group, values), found in alike.items():
        for start in range(0, len(found), AT_ONCE):
            part = found[start : start + AT_ONCE]
            number = part[0][0]
            hosts = [nodes[step.node].hostname if step.node in nodes else step.node for _number, step in part]
            after = tuple(f"{step.node}: in {group} with {values}" for _number, step in part)
            yield Write(commands.add_to_group(hosts, group), (), after, number)
            yield Write(commands.set_resources(hosts, values), (), (), number)
            strangers = [step.node for _number, step in part if step.node not in nodes]
            if strangers:
                yield Write(commands.add_submit_hosts(strangers), (), (), number)


def _offers(node: QueueNode, step: plan.Add) -> bool:
    labels = set(node.labels) >= set(step.labels)
    return labels and (node.cpus, node.memory_mib, node.gpus) == (step.cpus, step.memory_mib, step.gpus)


def _comment(number: int, step: plan.Comment, job: t.Optional[Job]) -> t.Iterator[Write]:
    text = plain(step.text)
    if job is not None and job.note != text:
        command = commands.comment(step.job, as_context(text)) if text else commands.forget_comment(step.job)
        yield Write(command, (f"job {job.id}: {plain(job.note)}",), (f"job {job.id}: {text}",), number)


_NodesStep = t.Union[plan.Drain, plan.Resume, plan.Remove]


def _for_nodes(number: int, step: _NodesStep, known: t.Sequence[QueueNode]) -> t.Iterator[Write]:
    for build, needs, after in _actions(step):
        todo = [node for node in known if needs(node)]
        if todo:
            before = tuple(f"{node.name}: {describe(node)}" for node in todo)
            hosts = [node.hostname or node.name for node in todo]
            yield Write(build(hosts), before, tuple(f"{node.name}: {after}" for node in todo), number)
    if isinstance(step, plan.Remove):
        yield from _remove(number, known)


_Action = tuple[t.Callable[[t.Sequence[str]], Command], t.Callable[[QueueNode], bool], str]


def _actions(step: _NodesStep) -> list[_Action]:
    """Command, nodes that need it, and what it leads to."""
    if isinstance(step, plan.Resume):
        return [
            (commands.clear_errors, lambda node: "ERROR" in node.flags, "without error"),
            (commands.enable, lambda node: "DISABLED" in node.flags, "in service"),
            (commands.forget_drain, lambda node: bool(node.reason), "in service"),
        ]
    if isinstance(step, plan.Drain):
        reason = step.reason
        # The reason comes first: a node that takes no jobs without one would be taken for the administrator's.
        found: list[_Action] = [
            (
                lambda hosts: commands.set_drain(hosts, quote(reason)),
                lambda node: not node.drained or node.reason != reason,
                reason,
            ),
            (commands.disable, lambda node: bool(node.partitions) and not node.drained, "takes no jobs"),
        ]
        if step.requeue:
            found.append((commands.requeue, lambda node: node.jobs > 0, "jobs wait again"))
        return found
    return [
        (
            commands.requeue,
            lambda node: bool(node.partitions) and (node.jobs > 0 or UNREACHABLE in node.flags),
            "jobs wait again",
        )
    ]


def _remove(number: int, known: t.Sequence[QueueNode]) -> t.Iterator[Write]:
    """Out of the group, then forgotten; a host that cannot be forgotten yet is known until it can."""
    groups: dict[str, list[QueueNode]] = {}
    for node in known:
        groups.setdefault(group_of(node.labels), []).append(node)
    for group, found in groups.items():
        hosts = [node.hostname or node.name for node in found]
        yield Write(
            commands.remove_from_group(hosts, group), tuple(f"{node.name}: in {group}" for node in found), (), number
        )
    submit = [node.hostname or node.name for node in known if SUBMIT in node.flags]
    if submit:
        yield Write(commands.remove_submit_hosts(submit), (), (), number)
    if known:
        yield Write(commands.remove_hosts([node.hostname or node.name for node in known]), (), (), number)


def describe(node: QueueNode) -> str:
    """A node's state on one line."""
    words = "+".join(sorted(node.flags - {SUBMIT})) or "in service"
    return words + (f" ({plain(node.reason)})" if node.reason else "")
