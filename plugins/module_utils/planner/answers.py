# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to people, as plain data: why a job does not run, what it would take, what it and more of it would cost."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import listing
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed, slurm
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import Demand, demand
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node, short
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.purchase import New
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.reasons import lacks, nodes_for
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.unwell import held_up
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import ON_NODES, PREFIX, Machine

Json = dict[str, t.Any]


class Answers:
    """Answers about the jobs of one observation; nothing is changed, and nothing but values is looked at."""

    def __init__(
        self, cluster: Cluster, layout: Layout, queue: Queue, fleet: Fleet, catalog: Catalog, now: int
    ) -> None:
        self._cluster, self._layout, self._queue, self._fleet = cluster, layout, queue, fleet
        self._catalog, self._now = catalog, now
        self._packs = cluster.scheduler.type != "slurm"
        self._base = queue if self._packs else _without_slurm(queue, fleet)
        self._pass = self._packed(self._base)
        self._jobs = {job.id: job for job in queue.jobs}
        # What a plan for Slurm cannot meet, by job: asked for once, whatever the number of jobs.
        self._unmet: t.Optional[dict[str, list[str]]] = None

    def _packed(self, queue: Queue) -> packed.Pass:
        return packed.Pass(self._cluster, self._layout, queue, self._fleet, self._catalog, self._now)

    def answer(self, name: str, more: int) -> Json:
        """All about one job; ``more``: how many more like it to count the cost of.

        Keys: job, found, state, why (one line), needs, nodes (what it runs on or would get), sizes (per size of each
        node array: fits, why_not, nodes, cost_per_hour, room, in_the_way), cheapest (of them) and more.
        """
        job = self._jobs.get(name)
        if job is None:
            return {"job": name, "found": False, "why": "the scheduler does not list this job: it ended, or never was"}
        alone = self._alone(job)
        item = alone.classes[0]
        sizes = self._sizes(alone)
        possible = [one for one in sizes if one["fits"] and one["cost_per_hour"] is not None]
        return {
            "job": job.id,
            "found": True,
            "state": job.state,
            "why": self._why(job, alone),
            "needs": item.text,
            "nodes": list(job.nodes) or self._places(job),
            "sizes": sizes,
            "cheapest": min(possible, key=lambda one: (one["cost_per_hour"], one["vm_size"])) if possible else None,
            "more": self._more(job, more) if more else None,
        }

    def _alone(self, job: Job) -> Demand:
        """One task of the job as if nothing held it."""
        return demand(replace(self._queue, jobs=(replace(job, state="pending", tasks=1, startable=None),)))

    def _why(self, job: Job, alone: Demand) -> str:
        """Why it does not run, in one line."""
        if job.state != "pending":
            # A machine that boots for it may have said why it does not join: the pass wrote that down.
            told = job.state == "configuring" and job.note.startswith(PREFIX)
            return f"it does not wait: it is {job.state}" + (f"; {job.note[len(PREFIX) :]}" if told else "")
        item = alone.classes[0]
        if not self._packs:
            lacking = self._pass.outlook.lacking(item)
            return f"this job cannot start: {lacking}" if lacking else self._why_in_slurm(job)
        found = self._pass.verdict(item)
        if not found.possible:
            return f"this job cannot start: {found.reason}"
        number = self._pass.demand.of_job.get(job.id)
        if number is None:
            return job.blocked or job.reason or "the scheduler holds it"
        if all(one.id != job.id for one in self._pass.waiting(self._pass.demand.classes[number])):
            return self._when(job)
        if self._pass.packer.later:
            return "machines that are on their way have room for it"
        return f"{found.reason}{self._holders(found.scope)}"

    def _holders(self, scope: tuple[str, ...]) -> str:
        """Which jobs have, or are about to get, the machines that a limit counts; and who else takes of a quota."""
        if not scope:
            return ""
        within = {key for key, spec in self._pass.specs.items() if self._pass.limits.in_scope(spec, scope)}
        running = {short(name): job.id for job in self._queue.jobs if job.state in ON_NODES for name in job.nodes}
        jobs: dict[str, None] = {}
        for machine in self._pass.view.machines:
            name = short(machine.instance.computer_name)
            if name in running and machine.scale_set.name.casefold() in within:
                jobs[running[name]] = None
        for job, tags in self._pass.placements():
            if any(_scale_set(tag).casefold() in within for tag in tags):
                jobs[job.id] = None
        others = self._pass.outlook.taken_elsewhere(scope[1]) if scope[:1] == ("quota",) else 0
        said = [f"jobs that have them: {listing(list(jobs))}"] if jobs else []
        said += [f"{others} are taken outside this cluster's node arrays"] if others else []
        return f" ({'; '.join(said)})" if said else ""

    def _why_in_slurm(self, job: Job) -> str:
        if self._unmet is None:
            plan: Plan = slurm.plan(self._cluster, self._layout, self._queue, self._fleet, self._catalog, self._now)
            self._unmet = {}
            for one in plan.unmet:
                for name in one.jobs:
                    self._unmet.setdefault(name, []).append(one.reason)
        found = self._unmet.get(job.id, [])
        said = job.reason or "Slurm gives no reason"
        return "; ".join(found) if found else f"Slurm says {said}"

    def _when(self, job: Job) -> str:
        """The job has nodes in the plan."""
        tags = self._tags(job)
        new = sum(isinstance(tag, New) for tag in tags)
        booting = sum(not isinstance(tag, (New, Node)) for tag in tags)
        if new:
            return f"{new} machines for it are bought by this pass"
        if booting:
            held = held_up([(job, tags)]).get(job.id, "")
            return f"{booting} machines for it are booting" + (f": {held}" if held else "")
        return "there is room for it: the scheduler starts it when it looks at it next"

    def _tags(self, job: Job) -> list[t.Any]:
        found = {id(tag): tag for one, tags in self._pass.placements() if one.id == job.id for tag in tags}
        return list(found.values())

    def _places(self, job: Job) -> list[str]:
        names = []
        for tag in self._tags(job):
            if isinstance(tag, Node):
                names.append(tag.name)
            elif isinstance(tag, Machine):
                names.append(f"{tag.instance.computer_name} (boots)")
            elif isinstance(tag, New):
                names.append(f"a new machine of {tag.spec.name}")
        return names

    def _sizes(self, alone: Demand) -> list[Json]:
        """What every size of every node array would take and cost, cheapest machine first."""
        item, found = alone.classes[0], []
        for choice in self._pass.market.choices:
            why = next((why for why in (lacks(choice.kind, item, piece) for piece in item.pieces) if why), "")
            row: Json = {"vm_size": choice.vm_size, "node_array": choice.array, "fits": not why, "why_not": why}
            row.update(nodes=None, cost_per_hour=None, room=None, in_the_way="")
            if not why:
                nodes = sum(nodes_for(item, piece, choice.kind) for piece in item.pieces)
                rooms = [self._pass.limits.room(spec) for spec, _kind in choice.kinds]
                row["nodes"] = nodes
                row["cost_per_hour"] = round(nodes * choice.price, 4) if choice.known else None
                row["room"] = sum(room.count for room in rooms)
                row["in_the_way"] = "" if row["room"] >= nodes else rooms[0].reason
            found.append(row)
        return found

    def _more(self, job: Job, count: int) -> Json:
        """What ``count`` more tasks like this job would make a pass buy, beyond what it buys anyway."""
        extra = replace(
            job,
            id=f"{job.id}+",
            state="pending",
            tasks=count,
            startable=count,
            nodes=(),
            priority=float("-inf"),
            note="",
        )
        wanted = self._packed(replace(self._base, jobs=(*self._base.jobs, extra)))
        before, after = self._bought(self._pass), self._bought(wanted)
        machines = {name: after.get(name, 0) - before.get(name, 0) for name in sorted({*before, *after})}
        number = wanted.demand.of_job[extra.id]
        left = min(count, wanted.packer.left[number])
        costs = [self._hourly(wanted, after), self._hourly(self._pass, before)]
        known = None not in costs
        return {
            "count": count,
            "cost_per_hour": round((costs[0] or 0.0) - (costs[1] or 0.0), 4) if known else None,
            "machines": {name: number for name, number in machines.items() if number},
            "without_machines": left,
            "why": wanted.verdict(wanted.demand.classes[number]).reason if left else "",
        }

    @staticmethod
    def _bought(done: packed.Pass) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, count in done.sold.items():
            name = done.specs[key].vm_size
            found[name] = found.get(name, 0) + count
        return found

    @staticmethod
    def _hourly(done: packed.Pass, bought: t.Mapping[str, int]) -> t.Optional[float]:
        """USD/hour of what a pass buys; None if a price is not known."""
        prices = [(done.market.price(done.specs[key]), count) for key, count in done.sold.items()]
        if any(price is None for price, _count in prices):
            return None
        return sum((price or 0.0) * count for price, count in prices)


def _scale_set(tag: t.Any) -> str:
    """The scale set of a node that a plan uses: up, booting, ordered, or bought by it; '' for nodes of others."""
    if isinstance(tag, New):
        return tag.spec.name
    machine = tag.machine if isinstance(tag, Node) else tag
    return machine.scale_set.name if isinstance(machine, Machine) else getattr(machine, "name", "")


def _without_slurm(queue: Queue, fleet: Fleet) -> Queue:
    """No jobs, and the machines that there are as nodes that take none: Slurm itself decides about both."""
    names = [one.computer_name for item in fleet.scale_sets for one in item.instances if one.computer_name]
    nodes = tuple(QueueNode(name, frozenset(), up=True, drained=True, jobs=1) for name in names)
    return replace(queue, jobs=(), nodes=nodes)
