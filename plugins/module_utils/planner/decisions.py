# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the decisions of a pass and puts them into a plan: few steps, in a fixed order, each with its reason."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, ScaleSet, Unavailable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing, plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import (
    COMING,
    PREFIX,
    Machine,
    NodeState,
    job_key,
)

COMMENTS = 200
_SETTLED = ("succeeded", "failed", "")


def not_read(queue: Queue, fleet: Fleet) -> tuple[steps.Unmet, ...]:
    """Why a pass changes nothing: what of queue and fleet could not be read completely; empty if all could."""
    unread = [*(f"the queue: {error}" for error in queue.errors), *(f"Azure: {error}" for error in fleet.errors)]
    return tuple(steps.Unmet((), f"nothing was changed, cannot read {text}") for text in unread)


class Seen(t.Protocol):
    """What decisions are about: machines, and scale sets by name in lower case."""

    machines: list[Machine]
    scale_sets: dict[str, ScaleSet]


class Decisions:
    """What a pass has decided so far. Asking twice for the same thing changes nothing."""

    def __init__(self, view: Seen) -> None:
        self._view = view
        self._shrink: dict[str, tuple[Machine, str]] = {}
        self._marks: dict[str, steps.MarkUnavailable] = {}
        self._grow: dict[str, tuple[ScaleSetSpec, list[NodeState]]] = {}
        self._buy: dict[str, tuple[ScaleSetSpec, int, str]] = {}
        self._add: dict[str, steps.Add] = {}
        self._kick = ""
        self._claims: dict[str, steps.Claim] = {}
        self._release: dict[str, str] = {}
        self._drain: dict[str, tuple[str, bool]] = {}
        self._resume: dict[str, str] = {}
        self._wake: dict[str, str] = {}
        self._remove: dict[str, str] = {}
        self._comments: dict[str, tuple[Job, str]] = {}
        self._unmet: dict[str, set[str]] = {}
        self.refused: dict[str, tuple[Job, str]] = {}

    def shrink(self, machine: Machine, reason: str) -> None:
        """Delete a machine; never one that a node with jobs has joined from, whatever its state is said to be."""
        node = machine.node
        if node is None or node.phase == COMING or not node.busy:
            self._shrink.setdefault(machine.key, (machine, reason))

    def shrinks(self, machine: Machine) -> bool:
        """Whether the machine is to be deleted."""
        return machine.key in self._shrink

    def mark(self, scale_set: ScaleSet, found: Unavailable, reason: str) -> None:
        """Remember or forget (``until`` 0) that a set cannot grow."""
        self._marks[scale_set.name] = steps.MarkUnavailable(
            scale_set.name, found.until, found.code, found.count, reason
        )

    def grow(self, spec: ScaleSetSpec, node: NodeState) -> None:
        """One more machine in a set, for a node."""
        self._grow.setdefault(spec.name.casefold(), (spec, []))[1].append(node)

    def buy(self, spec: ScaleSetSpec, count: int, reason: str) -> None:
        """``count`` more machines in a set, whatever nodes they become; said once for each set."""
        self._buy[spec.name.casefold()] = (spec, count, reason)

    def add(self, step: steps.Add) -> None:
        """Make a node known to the scheduler."""
        self._add[step.node] = step

    def kick(self, reason: str) -> None:
        """Have the scheduler look at its queue."""
        self._kick = reason

    def claim(self, state: NodeState, machine: Machine, reason: str) -> None:
        """Give a machine to a node as soon as its address and name are known."""
        found = machine.instance
        if found.private_ip and found.computer_name:
            self._claims[state.name] = steps.Claim(state.name, found.id, found.private_ip, found.computer_name, reason)

    def release(self, state: NodeState, reason: str) -> None:
        """Take the claim of a node away, if it has one."""
        if state.node.instance_id:
            self._release.setdefault(state.name, reason)

    def drain(self, state: NodeState, reason: str, requeue: bool) -> None:
        """Take a node out of service, with a reason that begins with our prefix."""
        self._drain.setdefault(state.name, (plain(reason), requeue))

    def drained(self, state: NodeState) -> bool:
        """Whether the node is taken out of service by this plan."""
        return state.name in self._drain

    def released(self, state: NodeState) -> bool:
        """Whether the node's claim is taken away by this plan."""
        return state.name in self._release

    def resume(self, state: NodeState, reason: str) -> None:
        """Return a node to service."""
        self._resume.setdefault(state.name, reason)

    def wake(self, state: NodeState, reason: str) -> None:
        """Bring a node up without a job."""
        self._wake.setdefault(state.name, reason)

    def remove(self, state: NodeState, reason: str) -> None:
        """Have a node powered down, which also ends its being down."""
        self._remove.setdefault(state.name, reason)

    def comment(self, job: Job, text: str) -> None:
        """Tell the owner of a job; what was said first in a pass holds."""
        self._comments.setdefault(job.id, (job, plain(PREFIX + text)))

    def unmet(self, jobs: t.Iterable[str], reason: str) -> None:
        """Note a demand that was not met."""
        self._unmet.setdefault(reason, set()).update(jobs)

    def refuse(self, jobs: t.Iterable[Job], reason: str) -> None:
        """Note jobs that lose the nodes they waited for, because those cannot be served."""
        for job in jobs:
            self.refused.setdefault(job.id, (job, reason))

    def kept(self) -> dict[str, int]:
        """Living machines per scale set (lower case) that stay."""
        return self._count(lambda machine: not machine.leaving and not self.shrinks(machine))

    def leaving(self) -> dict[str, int]:
        """Machines per scale set (lower case) that are being deleted, or will be by this plan."""
        return self._count(lambda machine: machine.leaving or self.shrinks(machine))

    def _count(self, counts: t.Callable[[Machine], bool]) -> dict[str, int]:
        found: dict[str, int] = {}
        for machine in self._view.machines:
            if counts(machine):
                key = machine.scale_set.name.casefold()
                found[key] = found.get(key, 0) + 1
        return found

    def plan(self) -> steps.Plan:
        """The plan. Room is made before room is taken; nodes are free before they are claimed."""
        azure: list[steps.AzureStep] = [*self._shrink_steps()]
        azure.extend(self._marks[name] for name in sorted(self._marks))
        azure.extend(self._grow_steps())
        release = {name: why for name, why in self._release.items() if name not in self._claims}
        scheduler: list[steps.SchedulerStep] = [steps.Release(names, why) for why, names in _by_reason(release)]
        for requeue in (True, False):
            nodes = {name: why for name, (why, again) in self._drain.items() if again == requeue}
            scheduler.extend(steps.Drain(names, why, requeue) for why, names in _by_reason(nodes))
        scheduler.extend(steps.Remove(names, why) for why, names in _by_reason(self._remove))
        resume = {name: why for name, why in self._resume.items() if name not in self._drain}
        scheduler.extend(steps.Resume(names, why) for why, names in _by_reason(resume))
        scheduler.extend(steps.Wake(names, why) for why, names in _by_reason(self._wake))
        scheduler.extend(self._claims[name] for name in sorted(self._claims, key=hostlist.sort_key))
        scheduler.extend(self._add[name] for name in sorted(self._add, key=hostlist.sort_key))
        scheduler.extend(self._comment_steps())
        scheduler.extend([steps.Kick(self._kick)] if self._kick else [])
        unmet = (
            steps.Unmet(tuple(sorted(jobs, key=hostlist.sort_key)), why) for why, jobs in sorted(self._unmet.items())
        )
        return steps.Plan(tuple(azure), tuple(scheduler), tuple(unmet))

    def _shrink_steps(self) -> t.Iterator[steps.Shrink]:
        by_set: dict[str, list[tuple[Machine, str]]] = {}
        for machine, reason in self._shrink.values():
            by_set.setdefault(machine.scale_set.name, []).append((machine, reason))
        for name in sorted(by_set):
            found = sorted(by_set[name], key=lambda item: item[0].order)
            ids = tuple(machine.instance.instance_id for machine, _reason in found)
            yield steps.Shrink(name, ids, listing(list(dict.fromkeys(reason for _machine, reason in found))))

    def _grow_steps(self) -> t.Iterator[steps.Grow]:
        kept = self.kept()
        wanted = {key: (spec, len(nodes), _growth_reason(nodes)) for key, (spec, nodes) in self._grow.items()}
        wanted.update(self._buy)
        for key in sorted(wanted):
            spec, count, reason = wanted[key]
            item = self._view.scale_sets[key]
            shrunk = sum(machine.scale_set.name == item.name for machine, _reason in self._shrink.values())
            current = max(0, item.capacity - shrunk)
            target = kept.get(key, 0) + count
            # Azure may have lost machines that the capacity still counts: asking for the same number again mends that.
            lost = item.provisioning_state.lower() in _SETTLED and len(item.instances) < item.capacity
            if target > current or lost:
                yield steps.Grow(spec.name, max(target, current), current, reason)

    def _comment_steps(self) -> t.Iterator[steps.Comment]:
        # Each comment is a command. Of a long queue the jobs in front are told, the others when it is their turn.
        first = sorted(self._comments.values(), key=lambda item: job_key(item[0]))[:COMMENTS]
        for job, text in first:
            if job.note != text:
                yield steps.Comment(job.id, text, "its owner should know")


def _by_reason(nodes: t.Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    found: dict[str, list[str]] = {}
    for name, reason in nodes.items():
        found.setdefault(reason, []).append(name)
    return [(reason, tuple(hostlist.in_order(found[reason]))) for reason in sorted(found)]


def _growth_reason(nodes: t.Sequence[NodeState]) -> str:
    jobs = sorted({job.id: job for node in nodes for job in node.jobs}.values(), key=job_key)
    names = hostlist.compress(node.name for node in nodes)
    if not jobs:
        return f"Slurm wants {names}"
    ids = listing([job.id for job in jobs])
    return f"job {ids} needs {names}" if len(jobs) == 1 else f"jobs {ids} need {names}"
