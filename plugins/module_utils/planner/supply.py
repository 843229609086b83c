# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives machines to the nodes that want one: spare ones first, then new ones; a job gets all of its nodes or none."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, NodePlace, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits, Room
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import (
    PREFIX,
    Machine,
    NodeState,
    View,
    job_key,
)

Key = tuple[str, int]


@dataclass
class Gang:
    """Nodes that are of use only together: those of one job. Without a job, a node is by itself."""

    nodes: list[NodeState] = field(default_factory=list)
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True)
class _Given:
    """A node, the set that serves it, and the spare machine if there was one."""

    node: NodeState
    spec: ScaleSetSpec
    machine: t.Optional[Machine]


def key_of(place: NodePlace) -> Key:
    """Nodes with the same key are served by the same scale sets."""
    return (place.group.prefix, place.placement_group)


class Supply:
    """The machines that are spare, and the room for new ones."""

    def __init__(
        self, cluster: Cluster, layout: Layout, view: View, decided: Decisions, limits: Limits, now: int
    ) -> None:
        self._layout, self._view, self._decided, self._limits = layout, view, decided, limits
        self._policy, self._now = cluster.autoscale, now
        self._spares: dict[str, list[Machine]] = {}
        for machine in reversed(view.machines):
            usable = machine.usable(now, self._policy.boot_timeout) and not decided.shrinks(machine)
            if machine.node is None and usable:
                self._spares.setdefault(machine.scale_set.name.casefold(), []).append(machine)

    def serve(self, wanted: t.Sequence[NodeState]) -> None:
        """Serve all nodes that can be served; take the others out of service; delete what nobody needs."""
        for gang in gangs(wanted):
            blocked = self._serve_gang(gang)
            if blocked is not None:
                self._refuse(gang, blocked)
        for machines in self._spares.values():
            for machine in machines:
                if machine.age(self._now) > self._policy.orphan_grace:
                    self._decided.shrink(machine, f"no node claims {machine.instance.instance_id}")

    def _serve_gang(self, gang: Gang) -> t.Optional[Room]:
        """Serve all nodes of a gang, or none and say what is in the way."""
        given: list[_Given] = []
        by_key: dict[Key, list[NodeState]] = {}
        for node in gang.nodes:
            if node.place is not None:
                by_key.setdefault(key_of(node.place), []).append(node)
        for nodes in by_key.values():
            blocked = self._serve_alike(nodes, given)
            if blocked is not None:
                for item in reversed(given):
                    self._give_back(item)
                return blocked
        for item in given:
            if item.machine is not None:
                self._decided.claim(item.node, item.machine, _claim_reason(item.node))
            else:
                self._decided.grow(item.spec, item.node)
        return None

    def _serve_alike(self, nodes: t.Sequence[NodeState], given: list[_Given]) -> t.Optional[Room]:
        """Serve nodes that have the same scale sets; what was given is noted in ``given``, also if it was in vain."""
        specs = self.choices(nodes[0].name)
        if specs[0].placement_group and len(specs) > 1:
            # One placement group of nodes is one fabric: all in the first zone that has room for all of them.
            fitting = [spec for spec in specs if self._spare_count(spec) + self._limits.room(spec).count >= len(nodes)]
            specs = tuple(fitting[:1]) or specs[:1]
        for node in nodes:
            spec = next((spec for spec in specs if self._spare_count(spec)), None)
            if spec is None:
                spec = next((spec for spec in specs if self._limits.room(spec).count > 0), None)
            if spec is None:
                return self.blocked(specs)
            given.append(self._give(node, spec))
        return None

    def _give(self, node: NodeState, spec: ScaleSetSpec) -> _Given:
        spares = self._spares.get(spec.name.casefold())
        if spares:
            return _Given(node, spec, spares.pop())
        self._limits.take(spec, 1)
        return _Given(node, spec, None)

    def _give_back(self, item: _Given) -> None:
        if item.machine is not None:
            self._spares[item.spec.name.casefold()].append(item.machine)
        else:
            self._limits.take(item.spec, -1)

    def _spare_count(self, spec: ScaleSetSpec) -> int:
        return len(self._spares.get(spec.name.casefold(), ()))

    def choices(self, node: str) -> tuple[ScaleSetSpec, ...]:
        """The sets that may serve a node now. A placement group that has machines stays in their zone."""
        specs = self._layout.candidates(node)
        if specs and specs[0].placement_group:
            return tuple(spec for spec in specs if self._limits.count(spec))[:1] or specs
        return specs

    def blocked(self, specs: t.Sequence[ScaleSetSpec]) -> Room:
        """What is in the way for all of these sets: deletions that end soon, else the reason of the preferred one."""
        rooms = [self._limits.room(spec) for spec in specs]
        return next((room for room in rooms if room.soon), rooms[0])

    def headroom(self, node: str) -> tuple[int, Room]:
        """How many more nodes like this one could be served now, and what is in the way of more."""
        specs = self.choices(node)
        taken = []
        for spec in specs:
            taken.append((spec, self._limits.room(spec).count))
            self._limits.take(*taken[-1])
        for spec, count in taken:
            self._limits.take(spec, -count)
        spare = sum(self._spare_count(spec) for spec in specs)
        return sum(count for _spec, count in taken) + spare, self.blocked(specs)

    def unavailable(self, node: str) -> t.Optional[Room]:
        """What is in the way if Azure refused lately in all sets that may serve the node, and nothing is spare."""
        specs = self.choices(node)
        rooms = [self._limits.refused(spec) for spec in specs]
        if any(room is None or not room.unavailable for room in rooms) or any(map(self._spare_count, specs)):
            return None
        return rooms[0]

    def _refuse(self, gang: Gang, blocked: Room) -> None:
        self._decided.unmet((job.id for job in gang.jobs), blocked.reason)
        if blocked.soon:
            return
        for node in gang.nodes:
            self._decided.drain(node, PREFIX + blocked.reason, requeue=True)
        self._decided.refuse(gang.jobs, blocked.reason)


def gangs(wanted: t.Sequence[NodeState]) -> list[Gang]:
    """The wanting nodes by the job that waits for them: jobs that asked first come first, nodes without one last."""
    by_job: dict[str, Gang] = {}
    first: dict[str, Job] = {}
    alone: list[Gang] = []
    for node in wanted:
        if not node.jobs:
            alone.append(Gang([node]))
            continue
        # Jobs on a node are in order, so nodes that jobs share go with the first of them.
        first.setdefault(node.jobs[0].id, node.jobs[0])
        gang = by_job.setdefault(node.jobs[0].id, Gang())
        gang.nodes.append(node)
        known = {job.id for job in gang.jobs}
        gang.jobs = (*gang.jobs, *(job for job in node.jobs if job.id not in known))
    order = sorted(by_job, key=lambda job: job_key(first[job]))
    return [by_job[job] for job in order] + alone


def _claim_reason(node: NodeState) -> str:
    return f"job {node.jobs[0].id} waits for it" if node.jobs else "Slurm wants it"
