# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a machine without a job: joins late or never, fails, falls silent, idles, is drained, then deleted."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.hostlist import sort_key
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.failures import error_code
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node, NodeView, short
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind, Stack
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.unwell import says
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import PREFIX, Machine

SILENT = PREFIX + "does not answer since "
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# Below that many silent nodes the view is believed: in a small cluster two dead nodes are a large share.
BRAKE_NODES = 3
# For how many seconds after a node is free the scheduler is asked to look at its queue.
_FRESH = 120


class Life:
    """Decides what is not about jobs. `judge` comes before packing, `settle` after it."""

    def __init__(
        self, cluster: Cluster, queue: Queue, view: NodeView, decided: Decisions, kinds: t.Mapping[str, Kind], now: int
    ) -> None:
        self._cluster, self._policy = cluster, cluster.autoscale
        self._queue, self._view, self._decided, self._kinds, self._now = queue, view, decided, kinds, now
        self._arrays = {array.name: array for array in cluster.node_arrays}
        self.braked = ""

    # before packing

    def judge(self) -> None:
        """Look at every node and machine by itself."""
        for state in self._view.lost:
            self._lost(state)
        silent: list[Machine] = []
        joined = 0
        for machine in self._view.machines:
            if machine.leaving:
                self._leaving(machine)
            elif machine.failed:
                self._failed(machine)
            elif isinstance(machine.node, Node) and machine.node.node.up:
                joined += 1
                self._health(machine.node)
            elif machine.age(self._now) > self._policy.boot_timeout:
                silent.append(machine)
            elif machine.node is None:
                self._introduce(machine)
        if len(silent) > BRAKE_NODES and len(silent) * 100 > self._policy.brake_percent * (len(silent) + joined):
            self.braked = (
                f"{len(silent)} of {len(silent) + joined} machines do not answer, which is more than brake_percent "
                f"({self._policy.brake_percent}): rather the view is wrong, so none is deleted and none bought"
            ) + says(next((one.said for one in silent if one.said), ""))
            self._decided.unmet((), self.braked)
            return
        for machine in silent:
            self._silent(machine)

    def _health(self, node: Node) -> None:
        """Take a node out of service that says that it must take no jobs, and back when it does not say so any more."""
        if node.said and not node.out_of_service:
            self._decided.drain(node, PREFIX + node.said, requeue=False)
        elif node.heard and not node.said:
            self._decided.resume(node, "nothing stands against it any more")

    def _lost(self, state: Node) -> None:
        """The machine of a node is gone; the scheduler may still have its jobs there."""
        if state.busy:
            if not state.ours:
                self._decided.drain(state, PREFIX + "machine is gone", requeue=True)
        else:
            self._decided.remove(state, "its machine is gone")

    def _leaving(self, machine: Machine) -> None:
        node = machine.node
        if isinstance(node, Node) and not node.busy and (node.ours or node.by_itself or not node.node.up):
            self._decided.remove(node, "its machine is being deleted")

    def _failed(self, machine: Machine) -> None:
        if self._view.runs_jobs(machine):
            return
        why = error_code(machine) if machine.instance.error else "it failed or is switched off"
        self._decided.shrink(machine, f"{machine.instance.instance_id}: {why}")
        if machine.node is not None:
            self._decided.remove(machine.node, "its machine failed")

    def _silent(self, machine: Machine) -> None:
        """Not up, and older than the boot timeout."""
        if self._view.runs_jobs(machine):
            return
        timeout = self._policy.boot_timeout
        node = machine.node
        if node is None:
            late = f"did not join within {timeout} s{says(machine.said)}"
            self._decided.shrink(machine, f"{machine.instance.instance_id} {late}")
            return
        if not (node.out_of_service or node.node.registered_at or node.node.last_busy or node.node.idle_since):
            self._decided.shrink(machine, f"{node.name} did not join within {timeout} s{says(machine.said)}")
            self._decided.remove(node, "it did not join" + says(machine.said))
            return
        since = _silent_since(node.node.reason)
        if since is None:
            if not node.out_of_service or node.ours or (isinstance(node, Node) and node.heard):
                self._decided.drain(node, SILENT + _stamp(self._now), requeue=False)
        elif self._now - since >= timeout and node.ours:
            self._decided.shrink(machine, f"{node.name} does not answer for {self._now - since} s")
            self._decided.remove(node, "it does not answer")

    def _introduce(self, machine: Machine) -> None:
        """Have the scheduler know a machine, so that it can join."""
        found, kind = machine.instance, self._kinds.get(machine.scale_set.name.casefold())
        if self._queue.adds_nodes and found.private_ip and found.computer_name and kind is not None:
            self._decided.add(
                steps.Add(
                    node=short(found.computer_name),
                    hostname=found.computer_name,
                    address=found.private_ip,
                    cpus=kind.cpus,
                    memory_mib=kind.memory,
                    gpus=kind.gpus,
                    reason="its machine is booting",
                    labels=tuple(sorted(kind.labels)),
                    partitions=tuple(sorted(kind.partitions or ())),
                )
            )

    # after packing

    def settle(self, stacks: t.Sequence[Stack]) -> None:
        """Return to service what jobs need, delete what was drained, drain what has been idle for long enough."""
        used = _used(stacks)
        self._kick(stacks)
        for state in self._view.nodes:
            if id(state) in used and state.ours:
                self._decided.resume(state, "jobs need it again")
        staying, spare, idle = self._count(used)
        deleting = sum(machine.leaving for machine in self._view.machines)
        idle.sort(key=lambda state: (not state.ours, self._idle_since(state), sort_key(state.name)))
        for state in idle:
            machine = state.machine
            array = self._arrays.get(machine.scale_set.node_array) if machine is not None else None
            if machine is None or self._decided.shrinks(machine):
                continue
            name = machine.scale_set.node_array
            warm = not state.said and array is not None and spare.get(name, 0) <= array.warm_nodes
            kept = array is not None and (array.keep_alive or staying[name] <= array.min_nodes or warm)
            timeout = (array.idle_timeout if array is not None else 0) or self._policy.idle_timeout
            if kept:
                if state.ours and not state.said:
                    self._decided.resume(state, "it is to be kept")
                continue
            if self._policy.shrink_at_once and deleting >= self._policy.shrink_at_once:
                break
            if state.ours:
                self._decided.shrink(machine, "drained and without a job")
                self._decided.remove(state, "it is drained and without a job")
            elif state.by_itself and state.said and self._now - self._idle_since(state) >= timeout:
                self._decided.shrink(machine, f"{state.name} must take no jobs and has none{says(state.said)}")
                self._decided.remove(state, "it must take no jobs and has none")
            elif self._now - self._idle_since(state) >= timeout and not state.out_of_service and not state.said:
                self._decided.drain(state, f"{PREFIX}idle for {timeout} s", requeue=False)
            else:
                continue
            deleting += 1
            staying[name] -= 1
            spare[name] = spare.get(name, 0) - (not state.said)

    def staying(self, stacks: t.Sequence[Stack]) -> tuple[dict[str, int], dict[str, int]]:
        """Machines that stay, and of them those that no job needs, per node array."""
        staying, spare, _idle = self._count(_used(stacks))
        return staying, spare

    def _count(self, used: t.AbstractSet[int]) -> tuple[dict[str, int], dict[str, int], list[Node]]:
        """Machines that stay and idle ones that no job needs, per node array; and the nodes that may be drained."""
        staying: dict[str, int] = {}
        spare: dict[str, int] = {}
        idle: list[Node] = []
        for machine in self._view.machines:
            if machine.leaving or self._decided.shrinks(machine):
                continue
            name = machine.scale_set.node_array
            staying[name] = staying.get(name, 0) + 1
            node = machine.node
            if isinstance(node, Node) and node.node.up:
                if id(node) in used:
                    continue
                if not node.busy and (node.usable or node.ours or node.by_itself):
                    spare[name] = spare.get(name, 0) + (not node.said)
                    idle.append(node)
            elif self._view.booting(machine) and id(machine) not in used:
                spare[name] = spare.get(name, 0) + 1
        return staying, spare, idle

    def _idle_since(self, state: Node) -> int:
        """Since when it has had no job; since it was made if nobody knows."""
        since = max(state.node.idle_since, state.node.last_busy)
        return since or (state.machine.instance.created_at if state.machine else 0) or self._now

    def _kick(self, stacks: t.Sequence[Stack]) -> None:
        if not self._queue.kicks:
            return
        tags = [tag for one in stacks if one.used for tag in one.tags]
        nodes = [tag for tag in tags if isinstance(tag, Node) and not tag.busy]
        if any(self._now - self._idle_since(node) < _FRESH for node in nodes):
            self._decided.kick("jobs fit onto nodes that have just joined")


def _used(stacks: t.Sequence[Stack]) -> set[int]:
    """What jobs were put onto."""
    return {id(tag) for one in stacks if one.used for tag in one.tags}


def _stamp(now: int) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime(_TIME)


def _silent_since(reason: str) -> t.Optional[int]:
    """When a pass first saw that a node does not answer, as it wrote it down on the node."""
    found = re.match(re.escape(SILENT) + r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", reason)
    if not found:
        return None
    try:
        when = datetime.datetime.strptime(found.group(1), _TIME)
    except ValueError:
        return None
    return int(when.replace(tzinfo=datetime.UTC).timestamp())
