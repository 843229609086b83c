# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass decides for schedulers that only queue: OpenPBS, Grid Engine, HTCondor, LSF and sites' own. Pure.

The planner packs the waiting jobs onto the nodes that are up, then onto machines that boot, and buys what is missing.
It then packs again as the next pass will, with what it bought: what that pass would still buy is bought now, so that a
plan that was carried out is followed by an empty one.
"""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing, plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.answers import never
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass, demand, order
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.failures import remember
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.lifecycle import Life
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Bins, NodeView
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Bin, Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Market, Store
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import PREFIX

# How often the plan is tried against itself before what it then has is taken.
_TRIES = 12


def plan(cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int) -> steps.Plan:
    """The decisions of one pass; ``now`` in seconds since the epoch.

    If queue or fleet could not be read completely, the plan is empty and says so. Planning again after the plan's
    Azure part (with the fleet listed again, and `limits.with_growth` applied to the catalog) asks for nothing twice.
    """
    unread = [*(f"the queue: {error}" for error in queue.errors), *(f"Azure: {error}" for error in fleet.errors)]
    if unread:
        return steps.Plan(unmet=tuple(steps.Unmet((), f"nothing was changed, cannot read {text}") for text in unread))
    return Pass(cluster, layout, queue, fleet, catalog, now).plan()


class Pass:
    """One pass with all that led to its plan, for those who ask why."""

    def __init__(
        self, cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int
    ) -> None:
        self.cluster, self.queue, self.now = cluster, queue, now
        self.view = NodeView(layout, queue, fleet, now, cluster.autoscale.boot_timeout)
        self.decided = Decisions(self.view)
        self.market = Market(cluster, layout, catalog)
        self.life = Life(cluster, queue, self.view, self.decided, self.market.kinds, now)
        self.life.judge()
        remember(self.view, self.decided, cluster.autoscale, now)
        self.demand = demand(queue)
        self.limits = Limits(
            cluster, layout, self.view.scale_sets, catalog, now, self._counted(), self.decided.leaving()
        )
        self.specs: dict[str, ScaleSetSpec] = {spec.name.casefold(): spec for spec in layout.scale_sets}
        self.sold: dict[str, int] = {}
        self.packer = self._pack()

    def _counted(self) -> dict[str, int]:
        """Machines that stay, with those that are ordered and not listed yet."""
        kept = self.decided.kept()
        for key, item in self.view.scale_sets.items():
            if self.view.ordered(item):
                kept[key] = kept.get(key, 0) + self.view.ordered(item)
        return kept

    def supply(self) -> list[Bin]:
        """What is there: nodes that are up, then machines that boot, then those that are ordered."""
        bins = Bins(self.market.kinds)
        found = [
            bins.of_node(state)
            for state in self.view.nodes
            if state.node.up
            and (state.ours or not state.out_of_service)
            and not (state.machine and (state.machine.leaving or self.decided.shrinks(state.machine)))
        ]
        for machine in self.view.machines:
            if self.view.booting(machine) and not self.decided.shrinks(machine):
                one = bins.of_machine(machine)
                found += [one] if one is not None else []
        for key, item in sorted(self.view.scale_sets.items()):
            count = self.view.ordered(item)
            if count and key in self.market.kinds:
                found += [Bin(self.market.kinds[key], item) for _unused in range(count)]
        return found

    def _bought(self) -> list[Bin]:
        return [
            Bin(self.market.kinds[key], self.specs[key])
            for key in sorted(self.sold)
            for _unused in range(self.sold[key])
        ]

    def _pack(self) -> Packer:
        for _unused in range(_TRIES):
            packer, store = self._try()
            if not store.sold:
                return packer
            for key, count in store.sold.items():
                self.sold[key] = self.sold.get(key, 0) + count
        return self._run(None)

    def _try(self) -> tuple[Packer, Store]:
        """Pack what there is and buy what is missing: at the lowest price if there is enough, else in queue order."""
        packer = self._run(None)
        store = Store(self.market, self.limits)
        if self.life.braked or not any(packer.left):
            return packer, store
        packer = self._run(store)
        if self._short(packer, store):
            for key, count in store.sold.items():
                self.limits.take(self.specs[key], -count)
            store = Store(self.market, self.limits)
            packer = self._in_order(Packer(self.demand, [*self.supply(), *self._bought()], self._kinds(), store))
        return packer, store

    def _kinds(self) -> t.Any:
        return self.market.kinds.values()

    def _short(self, packer: Packer, store: Store) -> bool:
        """Whether limits left out jobs that could have machines otherwise."""
        return any(
            left and all(store.fitting(item, piece) for piece in item.pieces)
            for item, left in zip(self.demand.classes, packer.left)
        )

    def _run(self, store: t.Optional[Store]) -> Packer:
        """Pack the jobs that are hard to place first, whatever their turn is."""
        packer = Packer(self.demand, [*self.supply(), *self._bought()], self._kinds(), store)
        for item in sorted(self.demand.classes, key=_hardest):
            packer.place(item.number, item.count)
        return packer

    def _in_order(self, packer: Packer) -> Packer:
        """Pack the jobs in the order of the queue: what is short goes to those in front."""
        turns = sorted((order(job), item.number, tasks) for item in self.demand.classes for job, tasks in item.jobs)
        out: set[int] = set()
        for _unused, number, tasks in turns:
            if number not in out and packer.place(number, tasks) < tasks:
                out.add(number)
        return packer

    # the plan

    def plan(self) -> steps.Plan:
        """The steps, with a reason on each."""
        self._buy_kept()
        for key, count in sorted(self.sold.items()):
            item = self.view.scale_sets[key]
            self.decided.buy(self.specs[key], count + self.view.ordered(item), self._reason(key))
        self.life.settle(self.packer.bins)
        self._notes()
        for text in self.queue.skipped:
            self.decided.unmet((), f"not understood: {text}")
        return self.decided.plan()

    def _buy_kept(self) -> None:
        """Machines that node arrays keep, whatever jobs need."""
        if self.life.braked:
            return
        staying, spare = self.life.staying(self.packer.bins)
        for array in self.cluster.node_arrays:
            if not array.min_nodes and not array.warm_nodes:
                continue
            new = sum(count for key, count in self.sold.items() if self.specs[key].node_array == array.name)
            there = staying.get(array.name, 0) + self._ordered_in(array.name) + new
            missing = max(array.min_nodes - there, array.warm_nodes - spare.get(array.name, 0))
            self._keep(array.name, missing)

    def _ordered_in(self, array: str) -> int:
        return sum(self.view.ordered(item) for item in self.view.scale_sets.values() if item.node_array == array)

    def _keep(self, array: str, missing: int) -> None:
        for choice in self.market.choices:
            for spec, _kind in choice.kinds if choice.array == array else ():
                count = min(missing, self.limits.room(spec).count) if missing > 0 else 0
                if count > 0:
                    self.limits.take(spec, count)
                    key = spec.name.casefold()
                    self.sold[key] = self.sold.get(key, 0) + count
                    missing -= count
        if missing > 0:
            self.decided.unmet((), f"node array {array} is to keep {missing} more nodes than the limits allow now")

    def _reason(self, key: str) -> str:
        """For which jobs the machines of a scale set are bought."""
        names: dict[str, None] = {}
        for item, runs in zip(self.demand.classes, self.packer.placed):
            if any(isinstance(run.bin.tag, ScaleSetSpec) and run.bin.tag.name.casefold() == key for run in runs):
                names.update((job.id, None) for job, _tasks in item.jobs)
        jobs = list(names)
        if not jobs:
            return f"node array {self.specs[key].node_array} keeps nodes without jobs (min_nodes, warm_nodes)"
        return f"for job {jobs[0]}" if len(jobs) == 1 else f"for jobs {listing(jobs)}"

    def waiting(self, item: JobClass) -> list[Job]:
        """The jobs of a class that got no node, or not for all their tasks: the last ones."""
        left = self.packer.left[item.number]
        found: list[Job] = []
        for job, tasks in reversed(item.jobs):
            if left <= 0:
                break
            found.append(job)
            left -= tasks
        return found[::-1]

    def new_nodes(self) -> list[tuple[Bin, str]]:
        """The nodes that the plan buys, with the names of their scale sets."""
        return [(one, one.tag.name) for one in self.packer.bins if isinstance(one.tag, ScaleSetSpec)]

    def placements(self) -> t.Iterator[tuple[Job, list[Bin]]]:
        """Every task that got nodes, with the node of each of its pieces."""
        for item, runs in zip(self.demand.classes, self.packer.placed):
            slots = (run.bin for run in runs for _unused in range(run.pieces))
            left = item.count - self.packer.left[item.number]
            for job, tasks in item.jobs:
                for _unused in range(min(tasks, left)):
                    yield job, [next(slots) for _piece in range(item.size)]
                left -= min(tasks, left)

    def _notes(self) -> None:
        store = Store(self.market, self.limits)
        for item in self.demand.classes:
            waiting = self.waiting(item)
            if not waiting:
                continue
            room = store.blocked(item)
            if room is None:
                reason = never(item, self.packer, self.market)
                text = f"this job cannot start: {reason}" if reason else ""
            else:
                reason = self.life.braked or room.reason
                text = f"waits: {reason}"
            self.decided.unmet((job.id for job in waiting), reason)
            for job in waiting:
                self.decided.comment(job, text)
        said = {id(job) for item in self.demand.classes for job in self.waiting(item)}
        for item in self.demand.classes:
            for job, _tasks in item.jobs:
                if job.note.startswith(PREFIX) and id(job) not in said:
                    self.decided.comment(job, plain("there are machines for it, or they are on their way"))


def _hardest(item: JobClass) -> tuple[t.Any, ...]:
    """Groups first, then whole nodes, then the largest pieces."""
    piece = item.pieces[0]
    biggest = (piece.gpus, bool(piece.labels), max(piece.cpus / 4, piece.memory / 16384))
    return (not item.one_group, not item.exclusive, item.size == 1, -item.size, *(-one for one in biggest), item.number)
