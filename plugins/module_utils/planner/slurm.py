# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass decides for Slurm. Pure: values in, a plan out, the same plan for the same values in any order.

Slurm's power saving says which nodes it wants (POWERING_UP) and which it gives back (POWERING_DOWN). A pass brings
machines and claims into line with that, and takes nodes that cannot be served out of service, so that Slurm chooses
others. It is level-triggered: whatever part of a plan was carried out, planning again leads to the same end.
"""

from __future__ import annotations

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, kept_nodes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import OWN_WORDS, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions, not_read
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.failures import error_code, remember
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.notes import Notes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.service import Service
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.supply import Supply
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import (
    BROKEN,
    COMING,
    JOINED,
    PREFIX,
    Machine,
    NodeState,
    View,
)

GONE = PREFIX + "machine is gone"


def plan(cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int) -> steps.Plan:
    """The decisions of one pass; ``now`` in seconds since the epoch.

    If queue or fleet could not be read completely, the plan is empty and says so. Planning again after the plan's
    Azure part (with the fleet listed again, and `limits.with_growth` applied to the catalog) asks for nothing twice.
    """
    unread = not_read(queue, fleet)
    if unread:
        return steps.Plan(unmet=unread)
    view = View(layout, queue, fleet)
    decided = Decisions(view)
    wanted = Judge(cluster, view, decided, now).judge()
    limits = Limits(cluster, layout, view.scale_sets, catalog, now, decided.kept(), decided.leaving())
    supply = Supply(cluster, layout, view, decided, limits, now)
    supply.serve(wanted)
    service = Service(cluster, layout, view, decided, limits, supply)
    service.decide()
    Notes(cluster, layout, view, decided, service, catalog).write()
    return decided.plan()


class Judge:
    """Looks at every node and machine by itself: what is broken, late, gone or over, and which nodes want a machine."""

    def __init__(self, cluster: Cluster, view: View, decided: Decisions, now: int) -> None:
        self._policy = cluster.autoscale
        self._view, self._decided, self._now = view, decided, now
        self._wanted: list[NodeState] = []
        self._kept = frozenset(kept_nodes(cluster))
        self._waiting = {name for job in view.jobs if job.state == "pending" for name in job.partitions}

    def judge(self) -> list[NodeState]:
        """The nodes that want a machine, in order."""
        losers = {state.name for state in self._view.losers}
        for state in self._view.nodes:
            if state.name in losers:
                self._decided.release(state, "its instance belongs to another node")
                if state.phase == COMING:
                    self._want(state)
            elif state.phase == COMING:
                self._coming(state)
            elif state.phase == JOINED:
                self._joined(state)
            elif state.phase == BROKEN:
                self._broken(state)
            else:
                self._powered_down(state)
        for machine in self._view.machines:
            self._machine(machine)
        remember(self._view, self._decided, self._policy, self._now)
        return self._wanted

    def _want(self, state: NodeState) -> None:
        if state.place is None:
            jobs = tuple(job.id for job in state.jobs)
            self._decided.unmet(jobs, f"{state.name} is no node of the cluster definition")
        elif state.busy or state.name in self._kept:
            self._wanted.append(state)
        elif not self._waiting.intersection(state.node.partitions):
            # Its job was cancelled, or moved elsewhere, before there was a machine: nobody needs one any more.
            # While other jobs wait, Slurm may be about to give it to one of them; then the next pass sees that.
            self._decided.remove(state, "no job wants it any more")

    def _coming(self, state: NodeState) -> None:
        machine = state.machine
        if "POWER_DOWN" in state.node.flags:
            return  # about to be powered down; slurmctld says so within seconds
        if state.ours:
            # It lost its jobs as it was taken out of service and waits for its return; `Service` knows when.
            if machine is not None and (machine.failed or machine.age(self._now) > self._policy.boot_timeout):
                self._decided.shrink(machine, f"{state.name} is out of service")
        elif machine is None or machine.leaving:
            self._decided.release(state, "its machine is gone")
            self._want(state)
        elif machine.failed:
            self._decided.shrink(machine, f"{state.name}'s machine failed")
            self._decided.release(state, "its machine failed")
            self._want(state)
        elif machine.age(self._now) > self._policy.boot_timeout:
            says = self._said(state, machine)
            late = f"did not join within {self._policy.boot_timeout} s" + (f" (it says: {says})" if says else "")
            self._decided.shrink(machine, f"{state.name}'s machine {late}")
            self._decided.release(state, f"its machine {late}")
            for job in state.jobs:
                self._decided.comment(job, f"the machine for {state.name} {late}; another one is asked for")
            self._want(state)
        elif said := self._said(state, machine):
            for job in state.jobs:
                self._decided.comment(job, f"the machine for {state.name} is there, but {said}")

    def _said(self, state: NodeState, machine: Machine) -> str:
        """Why this machine says that it must not take jobs, if it does. Words of an earlier one do not count, as far as
        Slurm tells when they were said. What Slurm could not be told, the head was."""
        node = state.node
        fresh = not node.reason_at or node.reason_at >= self._now - machine.age(self._now)
        own = fresh and node.reason.startswith(OWN_WORDS)
        return node.reason if own else machine.said

    def _joined(self, state: NodeState) -> None:
        if self._view.claims_missing(state):
            self._decided.release(state, "its machine is gone")
            self._decided.drain(state, GONE, requeue=True)
            self._decided.remove(state, "its machine is gone")
        elif state.machine is not None and state in self._view.healed:
            self._decided.claim(state, state.machine, "it has joined from this machine")
        if state.ours and state.machine is not None and not state.machine.failed:
            self._decided.resume(state, "it has a machine")

    def _broken(self, state: NodeState) -> None:
        machine = state.machine
        silent_for = self._now - state.node.reason_at if state.node.reason_at else 0
        if state.busy or "POWER_DOWN" in state.node.flags:
            return
        if self._view.claims_missing(state) or (machine is not None and (machine.leaving or machine.failed)):
            if machine is not None and not machine.leaving:
                self._decided.shrink(machine, f"{state.name} is down and its machine is off")
            self._decided.release(state, "its machine is gone")
            self._decided.remove(state, "its machine is gone")
        elif state.ours:
            self._decided.remove(state, "it was taken down to be powered down")
        elif machine is not None and "NOT_RESPONDING" in state.node.flags and silent_for > self._policy.boot_timeout:
            self._decided.remove(state, f"its machine does not answer for {silent_for} s")

    def _powered_down(self, state: NodeState) -> None:
        if state.busy:
            return
        if state.machine is not None and not state.machine.leaving:
            self._decided.shrink(state.machine, f"{state.name} is powered down")
        self._decided.release(state, "it is powered down")

    def _machine(self, machine: Machine) -> None:
        """Machines that serve nobody: those that failed, and those that are too old to be given to a node."""
        if machine.leaving or machine.node is not None:
            return
        age = machine.age(self._now)
        if machine.failed:
            why = error_code(machine) if machine.instance.error else "it failed or is switched off"
            self._decided.shrink(machine, f"{machine.instance.instance_id}: {why}")
        elif not machine.usable(self._now, self._policy.boot_timeout) and age > self._policy.orphan_grace:
            self._decided.shrink(machine, f"no node claims {machine.instance.instance_id}")
