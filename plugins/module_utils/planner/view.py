# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue and fleet seen together: which node is in which phase, which instance serves it, which jobs are on it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, Instance, ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.hostlist import sort_key
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, NodePlace
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode

# Every reason that a pass gives to a node begins so: by it the next pass knows what it may undo.
PREFIX = "azure_hpc: "
RESUME_TIMEOUT = "ResumeTimeout reached"

COMING, GOING, OFF, BROKEN, JOINED = "coming", "going", "off", "broken", "joined"
_BUSY = frozenset(("ALLOCATED", "MIXED", "COMPLETING"))
ON_NODES = frozenset(("configuring", "running", "completing", "suspended"))
_SET_IN_ID = re.compile(r"/virtualmachinescalesets/([^/]+)/virtualmachines/[^/]+$", re.IGNORECASE)
_OFF_POWER = ("deallocated", "deallocating", "stopped", "stopping")


def phase(flags: t.AbstractSet[str]) -> str:
    """Where a node is in its life, as slurmctld sees it.

    ``coming`` wants a machine, ``joined`` has one that answered, ``broken`` is DOWN, ``going`` is being powered down
    and ``off`` is powered down.
    """
    if "POWERING_DOWN" in flags:
        return GOING
    if "POWERED_DOWN" in flags and "POWERING_UP" not in flags:
        return OFF
    if "DOWN" in flags:
        return BROKEN
    return COMING if "POWERING_UP" in flags else JOINED


def job_key(job: Job) -> tuple[int, int, str]:
    """Order of jobs: who asked first, first."""
    number = re.match(r"\d+", job.id)
    return (job.submitted_at, int(number.group()) if number else 0, job.id)


@dataclass
class Machine:
    """An instance with its scale set."""

    instance: Instance
    scale_set: ScaleSet
    node: t.Optional[NodeState] = None
    said: str = ""
    """Why it says that it must take no jobs."""

    @property
    def key(self) -> str:
        """Its resource id, comparable."""
        return self.instance.id.casefold()

    @property
    def leaving(self) -> bool:
        """Whether Azure deletes it already."""
        return self.instance.provisioning_state.lower() == "deleting"

    @property
    def failed(self) -> bool:
        """Whether it was never made, or is switched off: it will not serve anybody as it is."""
        power = self.instance.power_state.lower().rpartition("/")[2]
        return self.instance.provisioning_state.lower() in ("failed", "canceled") or power in _OFF_POWER

    @property
    def order(self) -> tuple[str, tuple[str, int, str]]:
        """A fixed order: by scale set, then by number."""
        return (self.scale_set.name, sort_key(self.instance.instance_id))

    def age(self, now: int) -> int:
        """Seconds since it was made; 0 when that is not known, so that nothing is done to it for its age."""
        return max(0, now - self.instance.created_at) if self.instance.created_at > 0 else 0

    def usable(self, now: int, boot_timeout: int) -> bool:
        """Whether it can still be given to a node: it must have time left to join."""
        return not self.failed and not self.leaving and self.age(now) <= boot_timeout // 2


@dataclass
class NodeState:
    """A scheduler node with all that is known about it. ``place`` is None when the layout does not have it."""

    node: QueueNode
    place: t.Optional[NodePlace]
    phase: str
    jobs: tuple[Job, ...]
    machine: t.Optional[Machine] = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.node.name

    @property
    def busy(self) -> bool:
        """Whether jobs are on it, by the jobs or by its own state."""
        return bool(self.jobs) or bool(self.node.flags & _BUSY)

    @property
    def out_of_service(self) -> bool:
        """Whether the scheduler gives it no new jobs."""
        return bool(self.node.flags & {"DRAIN", "DOWN", "FAIL"})

    @property
    def ours(self) -> bool:
        """Whether a pass, or slurmctld itself after a machine did not come, took it out of service."""
        reason = self.node.reason
        return self.out_of_service and (reason.startswith((PREFIX, RESUME_TIMEOUT)))


class View:
    """All nodes, machines and jobs with the links between them, in fixed orders."""

    def __init__(self, layout: Layout, queue: Queue, fleet: Fleet) -> None:
        on_node: dict[str, list[Job]] = {}
        self.jobs = sorted(queue.jobs, key=job_key)
        for job in self.jobs:
            if job.state in ON_NODES:
                for name in job.nodes:
                    on_node.setdefault(name, []).append(job)
        cloud = [node for node in queue.nodes if "CLOUD" in node.flags or layout.place(node.name)]
        self.nodes = [
            NodeState(node, layout.place(node.name), phase(node.flags), tuple(on_node.get(node.name, ())))
            for node in sorted(cloud, key=lambda node: sort_key(node.name))
        ]
        self.scale_sets = {item.name.casefold(): item for item in fleet.scale_sets}
        machines = [Machine(instance, item) for item in fleet.scale_sets for instance in item.instances]
        self.machines = sorted(machines, key=lambda machine: machine.order)
        hear(self.machines, queue)
        self.losers: list[NodeState] = []
        self.healed: list[NodeState] = []
        self._link()

    def _link(self) -> None:
        """Tie nodes to machines: by claim; a machine without one by the address of a node that has joined.

        slurmctld drops a claim when slurmd registers without an instance id; the machine is in use all the same.
        """
        by_id = {machine.key: machine for machine in self.machines}
        claims: dict[str, list[NodeState]] = {}
        for state in self.nodes:
            if state.node.instance_id.casefold() in by_id:
                claims.setdefault(state.node.instance_id.casefold(), []).append(state)
        for key, states in claims.items():
            winner, *losers = sorted(states, key=_claim_rank)
            winner.machine, by_id[key].node = by_id[key], winner
            self.losers.extend(losers)
        by_address = {m.instance.private_ip: m for m in self.machines if m.instance.private_ip and m.node is None}
        for state in self.nodes:
            machine = by_address.get(state.node.address)
            if machine and machine.node is None and not state.node.instance_id and state.phase in (JOINED, BROKEN):
                machine.node, state.machine = state, machine
                self.healed.append(state)

    def claims_missing(self, state: NodeState) -> bool:
        """Whether the node claims an instance that its scale set, which is there, does not have any more."""
        found = _SET_IN_ID.search(state.node.instance_id)
        return (
            bool(state.node.instance_id)
            and not state.machine
            and (not found or found.group(1).casefold() in self.scale_sets)
        )


def hear(machines: t.Iterable[Machine], queue: Queue) -> None:
    """Give machines what they said on the head; not what an earlier machine of the same address said."""
    said = {one.address: one for one in queue.unwell}
    for machine in machines:
        found = said.get(machine.instance.private_ip)
        if found is not None and (not found.at or found.at >= machine.instance.created_at):
            machine.said = found.reason


def _claim_rank(state: NodeState) -> tuple[int, int, tuple[str, int, str]]:
    """Of nodes that claim one instance, the one that has it is the one that joined, then the one that waits."""
    ranks = {JOINED: 0, BROKEN: 1, COMING: 2, GOING: 3, OFF: 4}
    return (0 if state.busy and state.phase == JOINED else 1, ranks[state.phase], sort_key(state.name))
