# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass decides for schedulers that only queue: OpenPBS, Grid Engine, HTCondor, LSF and sites' own. Pure.

The planner packs the waiting jobs onto the nodes that are up, then onto machines that boot, and buys what is missing.
It then packs again as the next pass will, with what it bought: what that pass would still buy is bought now, so that a
plan that was carried out is followed by an empty one.
"""

from __future__ import annotations

import itertools
import math
import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER, Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing, plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.basket import Basket, Machines, together
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.coarse import memories
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions, not_read
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass, demand, order
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.failures import remember
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.gangs import Gangs, place
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.keeping import Keeper
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.lifecycle import Life
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits, Room
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.loose import (
    dealt,
    is_loose,
    loosened,
    tightened,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.mix import Mix, hardness
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.moves import in_vain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node, NodeView, Stacks
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.outlook import Outlook, Verdict
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.packing import Packer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import Choice, Market, New, Store
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Stack
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.unwell import held_up, they_say
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import PREFIX

# How often the plan is tried against itself before what it then has is taken.
_TRIES = 12
# How many other purchases are tried where the next pass would buy more on top of the cheapest.
_OTHERS = 2
# Up to so many jobs of several pieces, other ways to place them are tried.
_FEW = 500


def plan(cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int) -> steps.Plan:
    """The decisions of one pass; ``now`` in seconds since the epoch.

    If queue or fleet could not be read completely, the plan is empty and says so. Planning again after the plan's
    Azure part (with the fleet listed again, and `limits.with_growth` applied to the catalog) asks for nothing twice.
    """
    unread = not_read(queue, fleet)
    if unread:
        return steps.Plan(unmet=unread)
    return Pass(cluster, layout, queue, fleet, catalog, now).plan()


class Pass:
    """One pass with all that led to its plan, for those who ask why."""

    def __init__(
        self, cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int
    ) -> None:
        self.cluster, self.layout, self.queue, self.catalog, self.now = cluster, layout, queue, catalog, now
        self.view = NodeView(layout, queue, fleet, now, cluster.autoscale.boot_timeout)
        self.decided = Decisions(self.view)
        self.market = Market(cluster, layout, catalog)
        self.life = Life(cluster, queue, self.view, self.decided, self.market.kinds, now)
        self.life.judge()
        remember(self.view, self.decided, cluster.autoscale, now)
        self.demand = demand(queue, memories(self.market.kinds.values(), queue))
        self.limits = Limits(
            cluster, layout, self.view.scale_sets, catalog, now, self._counted(), self.decided.leaving()
        )
        self.specs: dict[str, ScaleSetSpec] = {spec.name.casefold(): spec for spec in layout.scale_sets}
        self.basket = Basket(self.market, self.limits, self.specs)
        self._outlook: t.Optional[Outlook] = None
        self._others: list[dict[str, int]] = []
        self.packer = self._pack()

    def _counted(self) -> dict[str, int]:
        """Machines that stay, with those that are ordered and not listed yet."""
        kept = self.decided.kept()
        for key, item in self.view.scale_sets.items():
            if self.view.ordered(item):
                kept[key] = kept.get(key, 0) + self.view.ordered(item)
        return kept

    @property
    def sold(self) -> Machines:
        """The machines that the plan buys, per scale set."""
        return self.basket.sold

    def supply(self) -> list[Stack]:
        """What is there: nodes that are up, machines that boot, those that are ordered, and what the plan buys."""
        found = Stacks(self.market.kinds)
        for state in self.view.nodes:
            leaving = state.machine is not None and (state.machine.leaving or self.decided.shrinks(state.machine))
            if state.node.up and not leaving and state.usable:
                found.add_node(state)
        for machine in self.view.machines:
            if self.view.booting(machine) and not self.decided.shrinks(machine):
                found.add_machines(machine.scale_set.name, [machine])
        for _key, item in sorted(self.view.scale_sets.items()):
            found.add_machines(item.name, [item] * self.view.ordered(item))
        for key in sorted(self.sold):
            found.add_machines(self.specs[key].name, [New(self.specs[key]) for _unused in range(self.sold[key])])
        return found.all()

    def _pack(self) -> Packer:
        """Pack and buy; the cheapest of a mix of sizes and of every size alone."""
        packer = self._settled()
        if not self.sold or self._short(packer):
            return packer
        packer = self._spared(packer)
        for choice in self.market.choices:
            best, cost = dict(self.sold), self.basket.cost()
            if self._floor(choice) >= cost - 1e-9:
                continue
            self.basket.exchange({})
            # What is bought has to be enough for the next pass, too, which looks at all sizes first.
            found = self._until_enough(None, self._until_enough(choice))
            if sum(found.left) <= sum(packer.left) and self.basket.cost() < cost - 1e-9:
                packer = found
            else:
                self.basket.exchange(best)
        return packer

    def _settled(self) -> Packer:
        """Pack and buy until nothing more is bought, in the way that then costs the least."""
        packer = self._until_enough(None)
        for other in self._others[:_OTHERS]:
            best, cost = dict(self.sold), self.basket.cost()
            self.basket.exchange(other)
            if self.basket.cost() >= cost - 1e-9:
                self.basket.exchange(best)
                break
            found = self._until_enough(None)
            if sum(found.left) <= sum(packer.left) and self.basket.cost() < cost - 1e-9:
                packer = found
            else:
                self.basket.exchange(best)
        return packer

    def _spared(self, packer: Packer) -> Packer:
        """Do without new nodes whose jobs fit onto nodes that are there, if the next pass can do without them, too."""
        spare = in_vain(packer)
        if spare:
            before = dict(self.sold)
            self.basket.exchange({key: count - spare.get(key, 0) for key, count in before.items()})
            found = self._until_enough(None)
            if sum(found.left) <= sum(packer.left) and self.basket.cost() < self.basket.cost(before) - 1e-9:
                packer = found
            else:
                self.basket.exchange(before)
        return packer

    def _until_enough(self, only: t.Optional[Choice], before: t.Optional[Packer] = None) -> Packer:
        """Pack and buy until nothing more is bought; leaves what else the first purchase could have been.

        ``before`` is how the jobs were packed when that was bought which is there.
        """
        others: t.Optional[list[dict[str, int]]] = None
        for _unused in range(_TRIES):
            packer, sold = self._try(only)
            others = self._others if others is None else others
            if not sold:
                packer = before if packer.later and before is not None else packer
                break
            before = packer
            self.basket.put(sold)
        self._others = others or []
        return packer

    def _floor(self, choice: Choice) -> float:
        """Less than what any plan with this size alone costs; endless if it cannot take all jobs that any size can."""
        store, wanted = Store(self.market, self.limits, choice), self._for_sale()
        if not all(store.fitting(item, piece) for item in wanted for piece in item.pieces):
            return math.inf
        stacks = [one for one in self.supply() if not isinstance(one.tags[0], New)]
        most = 0.0
        for name in ("cpus", "memory", "gpus"):
            pieces = ((item.count * piece.count, piece) for item in wanted for piece in item.pieces)
            needed = sum(count * getattr(piece, name) for count, piece in pieces)
            free = sum(getattr(one, name) * len(one.tags) for one in stacks)
            if needed > free and not getattr(choice.kind, name):
                return math.inf
            if needed > free:
                most = max(most, (needed - free) / getattr(choice.kind, name))
        return math.ceil(most - 1e-9) * choice.price

    def _try(self, only: t.Optional[Choice]) -> tuple[Packer, dict[str, int]]:
        """Pack what there is and buy what is missing: at the lowest price if there is enough, else in queue order."""
        if self.life.braked or not self.demand.classes:
            return self._all(None, None)
        packer, sold = self._all(Store(self.market, self.limits, only), only)
        if packer.later or not self._short(packer):
            return packer, sold
        self.basket.give_back(sold)
        store = Store(self.market, self.limits, only)
        packer = self._in_order(Packer(self.demand, self.supply(), self.market.kinds.values(), store))
        return packer, {key: count for key, count in store.sold.items() if count}

    def _all(self, store: t.Optional[Store], only: t.Optional[Choice]) -> tuple[Packer, dict[str, int]]:
        """Pack everything, the jobs that are hard to place first, whatever their turn is."""
        if any(map(is_loose, self.demand.classes)):
            found, sold = self._first_hard(store, only, True)
            if tightened(found, self.demand, found.later):
                return found, sold
            self.basket.give_back(sold)
            if store is not None:
                store.sold.clear()
        return self._first_hard(store, only, False)

    def _first_hard(
        self, store: t.Optional[Store], only: t.Optional[Choice], loosely: bool
    ) -> tuple[Packer, dict[str, int]]:
        """Jobs of several pieces, then all others; ``loosely``: pieces that may be anywhere are among the others."""
        several = [item for item in self.demand.classes if item.size > 1 and not (loosely and is_loose(item))]
        packer = self._with_several(several, store, True, False)
        few = sum(item.count for item in several) <= _FEW
        if few and (any(store.sold.values()) if store else _left(packer, several)):
            # Perhaps they fit onto what is there when they are placed in another way.
            for fewest, turned in ((False, False), (True, True), (False, True)):
                other = self._with_several(several, None, fewest, turned)
                if not _left(other, several):
                    if store is not None:
                        store.close()
                    packer = other
                    break
        sold, self._others = dict(store.sold) if store else {}, []
        packer = loosened(packer) if loosely else packer
        if any(packer.left[item.number] for item in packer.demand.classes if item.size == 1):
            mix = Mix(packer, self.market, self.limits, only)
            packer, more = mix.pack(store is not None)
            self._others = [together(sold, other) for other in mix.others]
            sold = together(sold, more.sold if more else {})
        return packer, {key: count for key, count in sold.items() if count}

    def _with_several(
        self, several: t.Sequence[JobClass], store: t.Optional[Store], fewest: bool, turned: bool
    ) -> Packer:
        """Place the jobs of several pieces."""
        packer = Packer(self.demand, self.supply(), self.market.kinds.values(), store)
        gangs = Gangs(packer, fewest)
        in_turn = sorted(several, key=hardness)
        for item in reversed(in_turn) if turned else in_turn:
            place(packer, gangs, item, item.count)
        return packer

    def _for_sale(self) -> list[JobClass]:
        """The classes for which there are machines to buy at all, whatever the limits are."""
        store = Store(self.market, self.limits)
        return [item for item in self.demand.classes if all(store.fitting(item, piece) for piece in item.pieces)]

    def _short(self, packer: Packer) -> bool:
        """Whether limits left out jobs that could have machines otherwise."""
        return any(packer.left[item.number] for item in self._for_sale())

    def _in_order(self, packer: Packer) -> Packer:
        """Pack the jobs in the order of the queue: what is short goes to those in front."""
        turns = sorted((order(job), item.number, tasks) for item in self.demand.classes for job, tasks in item.jobs)
        out: set[int] = set()
        gangs = Gangs(packer)
        for _unused, number, tasks in turns:
            if number not in out and place(packer, gangs, self.demand.classes[number], tasks) < tasks:
                out.add(number)
        return packer

    # the plan

    def plan(self) -> steps.Plan:
        """The steps, with a reason on each."""
        self._buy_kept()
        for key, count in sorted(self.sold.items()):
            item = self.view.scale_sets[key]
            self.decided.buy(self.specs[key], count + self.view.ordered(item), self._reason(key))
        self.life.settle(self.packer.stacks)
        self._notes()
        for text in self.queue.skipped:
            self.decided.unmet((), f"not understood: {text}")
        return self.decided.plan()

    def _buy_kept(self) -> None:
        """Machines that node arrays keep, whatever jobs need; then again, as the next pass may put jobs onto them."""
        keeper = Keeper(self.cluster, self.view, self.life, self.market, self.limits, self.basket)
        missing: dict[str, int] = {}
        for _unused in range(0 if self.life.braked else _TRIES):
            before = self.sold
            missing = keeper.buy(self.packer)
            if self.sold == before:
                break
            found = self._until_enough(None, self.packer)
            if found is self.packer:
                break
            self.packer = found
        for name, count in missing.items():
            self.decided.unmet((), f"node array {name} is to keep {count} more nodes than the limits allow now")

    def _reason(self, key: str) -> str:
        """For which jobs the machines of a scale set are bought."""
        names: dict[str, None] = {}
        for item, runs in zip(self.demand.classes, self.packer.placed):
            tags = (run.tags[0] for run in runs)
            if any(isinstance(tag, New) and tag.spec.name.casefold() == key for tag in tags):
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

    def new_nodes(self) -> list[New]:
        """The nodes that the plan buys."""
        return [tag for one in self.packer.stacks for tag in one.tags if isinstance(tag, New)]

    def placements(self) -> t.Iterator[tuple[Job, list[t.Any]]]:
        """Every task that got nodes, with the node (a `Node`, a machine or `New`) of each of its pieces."""
        for item, runs in zip(self.demand.classes, self.packer.placed):
            slots: t.Iterator[t.Any] = (tag for run in runs for tag in run.tags for _unused in range(run.pieces))
            left = item.count - self.packer.left[item.number]
            if item.number in self.packer.dealt and item.spread == SCATTER:
                slots = iter(dealt(list(slots), left))
            for job, tasks in item.jobs:
                for _unused in range(min(tasks, left)):
                    yield job, list(itertools.islice(slots, item.size))
                left -= min(tasks, left)

    @property
    def outlook(self) -> Outlook:
        """What could become of jobs if they were alone, on all nodes that there are, whatever their state."""
        if self._outlook is None:
            there = [one for one in self.supply() if not isinstance(one.tags[0], New)]
            out = Stacks(self.market.kinds)
            for state in self.view.nodes:
                if state not in self.view.lost:
                    out.add_node(state)
            self._outlook = Outlook(
                self.cluster,
                self.layout,
                self.catalog,
                self.market,
                self.view.scale_sets,
                [*out.all(), *(one for one in there if not isinstance(one.tags[0], Node))],
                self._counted(),
            )
        return self._outlook

    def verdict(self, item: JobClass) -> Verdict:
        """Why jobs of a class got no nodes, and whether they ever could."""
        found = self.outlook.verdict(item)
        if not found.possible:
            return found
        if self.life.braked or found.reason:
            return Verdict(True, self.life.braked or found.reason)
        room = self._in_the_way(item)
        return Verdict(True, room.reason + they_say(self.view, self.market.kinds, item), room.scope)

    def _in_the_way(self, item: JobClass) -> Room:
        """What keeps machines from jobs of a class that could have them."""
        room = Store(self.market, self.limits).blocked(item)
        if room is None:
            return Room(0, "the nodes that it could have are in use")
        if room.count:
            return replace(room, reason=f"there is no room for all of it at once: {room.reason}")
        return room

    def _notes(self) -> None:
        said: set[int] = set()
        for item in self.demand.classes:
            waiting = self.waiting(item)
            if not waiting or (self.packer.later and self.outlook.verdict(item).possible):
                continue
            said.update(id(job) for job in waiting)
            found = self.verdict(item)
            text = f"waits: {found.reason}" if found.possible else f"this job cannot start: {found.reason}"
            self.decided.unmet((job.id for job in waiting), found.reason)
            for job in waiting:
                self.decided.comment(job, text)
        held = held_up(self.placements() if self.queue.unwell else ())
        for item in self.demand.classes:
            for job, _tasks in item.jobs:
                if job.id in held and id(job) not in said:
                    self.decided.comment(job, f"waits: {held[job.id]}")
                elif job.note.startswith(PREFIX) and id(job) not in said:
                    self.decided.comment(job, plain("there are machines for it, or they are on their way"))


def _left(packer: Packer, items: t.Iterable[JobClass]) -> int:
    return sum(packer.left[item.number] for item in items)
