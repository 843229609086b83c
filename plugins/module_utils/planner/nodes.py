# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue and fleet seen together where a node is its machine: by the computer name, in every phase of its life."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.hostlist import sort_key
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import OWN_WORDS, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind, Stack
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import (
    BROKEN,
    COMING,
    JOINED,
    ON_NODES,
    PREFIX,
    Machine,
    NodeState,
    hear,
)

# Azure appends six characters to the prefix of a scale set.
_SUFFIX = 6
_SETTLED = ("succeeded", "failed", "")
# How the reasons begin by which a pass takes nodes out of service that say themselves that they must take no jobs.
_HEARD = tuple(PREFIX + words for words in OWN_WORDS)


class Node(NodeState):
    """A node of a scheduler that packs onto machines; ``machine`` is None where it is not one of the cluster's."""

    has_jobs = False

    @property
    def busy(self) -> bool:
        """Whether jobs run on it, as the node or the jobs say."""
        return self.has_jobs

    @property
    def out_of_service(self) -> bool:
        """Whether the scheduler gives it no new jobs."""
        return self.node.drained

    @property
    def ours(self) -> bool:
        """Whether a pass took it out of service, and not because of what it says itself."""
        return self.node.drained and self.node.reason.startswith(PREFIX) and not self.heard

    @property
    def by_itself(self) -> bool:
        """Whether it is out of service because of what it says itself, to the scheduler or by way of a pass."""
        return self.node.drained and self.node.reason.startswith(OWN_WORDS + _HEARD)

    @property
    def heard(self) -> bool:
        """Whether a pass took it out of service because it said that it must take no jobs."""
        return self.node.drained and self.node.reason.startswith(_HEARD)

    @property
    def said(self) -> str:
        """Why it says that it must take no jobs, on the head or to its scheduler."""
        own = self.by_itself and not self.heard
        return (self.machine.said if self.machine is not None else "") or (self.node.reason if own else "")

    @property
    def usable(self) -> bool:
        """Whether it is in service, or a pass may return it to service."""
        return not self.said and (self.ours or self.heard or not self.out_of_service)


class NodeView:
    """All nodes and machines with the links between them, in fixed orders."""

    def __init__(self, layout: Layout, queue: Queue, fleet: Fleet, now: int, boot_timeout: int) -> None:
        self._now, self._boot = now, boot_timeout
        running = {short(name) for job in queue.jobs if job.state in ON_NODES for name in job.nodes}
        self.scale_sets: dict[str, ScaleSet] = {item.name.casefold(): item for item in fleet.scale_sets}
        machines = [Machine(instance, item) for item in fleet.scale_sets for instance in item.instances]
        self.machines = sorted(machines, key=lambda machine: machine.order)
        hear(self.machines, queue)
        by_name = {short(one.instance.computer_name): one for one in self.machines if one.instance.computer_name}
        prefixes = {spec.computer_name_prefix.lower() for spec in layout.scale_sets if spec.computer_name_prefix}
        # A machine that the scheduler has lost sight of may still run jobs.
        self.hidden = frozenset(name for name in by_name if name in running)
        self.nodes: list[Node] = []
        self.lost: list[Node] = []
        for node in sorted(queue.nodes, key=lambda one: sort_key(one.name)):
            state = Node(node, None, JOINED if node.up else BROKEN, ())
            state.has_jobs = node.jobs > 0 or short(node.name) in running
            machine = by_name.get(short(node.name))
            if machine is not None and machine.node is None:
                machine.node, state.machine = state, machine
                if not node.up and machine.age(now) <= boot_timeout:
                    state.phase = COMING
            elif not node.up and short(node.name)[:-_SUFFIX] in prefixes:
                self.lost.append(state)
            self.nodes.append(state)

    def booting(self, machine: Machine) -> bool:
        """Whether a machine is on its way: not yet up, and not late."""
        if machine.leaving or machine.failed or machine.age(self._now) > self._boot:
            return False
        node = machine.node
        return node is None or (node.phase == COMING and not node.node.drained)

    def runs_jobs(self, machine: Machine) -> bool:
        """Whether jobs run on a machine, as far as anybody says."""
        return short(machine.instance.computer_name) in self.hidden or bool(machine.node and machine.node.busy)

    def ordered(self, item: ScaleSet) -> int:
        """Machines that the capacity of a scale set counts, and that Azure has not listed yet."""
        if item.provisioning_state.lower() in _SETTLED or item.provisioning_state.lower() == "deleting":
            return 0
        return max(0, item.capacity - len(item.instances))


def short(name: str) -> str:
    """A host name without its domain, as nodes are called."""
    return name.split(".", 1)[0].lower()


class Stacks:
    """The nodes of a view as the packer sees them: those in the same state are one stack."""

    def __init__(self, kinds: t.Mapping[str, Kind]) -> None:
        self._offers = kinds
        self._kinds: dict[t.Any, Kind] = {}
        self._found: dict[t.Any, Stack] = {}

    def all(self) -> list[Stack]:
        """What was added so far."""
        return list(self._found.values())

    def add_node(self, state: Node) -> None:
        """A node that is up, with what is free on it."""
        node, kind = state.node, self._kind(state)
        free = (node.free_cpus, node.free_memory_mib, node.free_gpus)
        key = (id(kind), free, node.free_resources, state.busy)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Stack(kind, [], free)
            found.resources, found.fresh = {**kind.resources, **dict(node.free_resources)}, not state.busy
        found.tags.append(state)

    def add_machines(self, scale_set: str, tags: t.Sequence[t.Any]) -> None:
        """Machines that boot; they are nothing to jobs if their scale set is not in the definition any more."""
        kind = self._offers.get(scale_set.casefold())
        if kind is not None and tags:
            self._found.setdefault(("booting", scale_set), Stack(kind, [])).tags.extend(tags)

    def _kind(self, state: Node) -> Kind:
        node, machine = state.node, state.machine
        offer = self._offers.get(machine.scale_set.name.casefold()) if machine is not None else None
        key = (
            id(offer),
            node.cpus,
            node.memory_mib,
            node.gpus,
            node.labels,
            node.partitions,
            node.resources,
        )
        found = self._kinds.get(key)
        if found is None:
            found = self._kinds[key] = _kind_of(node, offer)
        return found


def _kind_of(node: QueueNode, offer: t.Optional[Kind]) -> Kind:
    """What the scheduler says of a node counts; where it says nothing, what its scale set offers."""
    said = {name for name, _value in node.labels}
    labels = {*node.labels, *(pair for pair in (offer.labels if offer else ()) if pair[0] not in said)}
    queues: t.Optional[frozenset[str]] = frozenset(node.partitions) if node.partitions else None
    if queues is None and offer is not None:
        queues = offer.partitions
    group = min((value for name, value in labels if name == offers.PLACEMENT_GROUP), default="")
    near = offer.near if offer is not None else bool(group)
    capacity = (node.cpus, node.memory_mib, node.gpus)
    name = offer.name if offer is not None else ""
    return Kind(name, capacity, labels, queues, group, near, dict(node.resources))
