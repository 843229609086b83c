# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many machines may still be added: scale sets, node arrays, VM sizes, quota; and why no more."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet, ScaleSet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import clock

MINUTE, MONTH_LAG = 60, 24


@dataclasses.dataclass(frozen=True)
class Room:
    """How many more, and what is in the way of another one.

    ``soon``: deletions that are under way will make room. ``azure``: Azure is in the way, not the definition;
    ``unavailable``: because it failed lately, and is not to be asked again yet. ``limit`` is what is in the way where
    nothing is there yet, '' if ``reason`` says it. ``scope`` is what the limit is about: ``cluster``, or one of
    ``array``, ``size`` (of an array), ``set`` and ``quota`` with its name.
    """

    count: int
    reason: str = ""
    soon: bool = False
    azure: bool = False
    unavailable: bool = False
    limit: str = ""
    scope: tuple[str, ...] = ()


def spot(spec_or_set: t.Union[ScaleSetSpec, ScaleSet]) -> bool:
    """Whether machines of it are spot machines."""
    return spec_or_set.priority.lower() == "spot"


def quotas_of(catalog: Catalog, vm_size: str, is_spot: bool) -> dict[str, int]:
    """Which quotas one machine takes, and how much of each. Spot has one quota for all families."""
    size = catalog.size(vm_size)
    if size is None:
        return {}
    cores = ("lowprioritycores",) if is_spot else (size.family.lower(), "cores")
    taken = {name: size.vcpus for name in cores if name}
    return {name: amount for name, amount in {**taken, "virtualmachines": 1}.items() if name in catalog.quotas}


def with_growth(catalog: Catalog, before: Fleet, after: Fleet) -> Catalog:
    """The catalog with the quota that machines take which are in ``after`` and not in ``before``.

    For planning again in one pass without asking Azure for its usage again, which lags anyway.
    """
    known = {instance.id.casefold() for item in before.scale_sets for instance in item.instances}
    grown: dict[str, int] = {}
    for item in after.scale_sets:
        new = sum(instance.id.casefold() not in known for instance in item.instances)
        for name, amount in quotas_of(catalog, item.vm_size, spot(item)).items() if new else ():
            grown[name] = grown.get(name, 0) + new * amount
    if not grown:
        return catalog
    quotas = {
        name: dataclasses.replace(quota, used=quota.used + grown.get(name, 0)) for name, quota in catalog.quotas.items()
    }
    return dataclasses.replace(catalog, quotas=quotas)


class Limits:
    """Counts what is there and what a plan adds. ``kept`` are living machines per scale set, ``leaving`` dying ones."""

    def __init__(
        self,
        cluster: Cluster,
        layout: Layout,
        scale_sets: t.Mapping[str, ScaleSet],
        catalog: Catalog,
        now: int,
        kept: t.Mapping[str, int],
        leaving: t.Mapping[str, int],
    ) -> None:
        self._arrays = {array.name: array for array in cluster.node_arrays}
        self._policy = cluster.autoscale
        self._groups = {(group.node_array, group.vm_size.lower()): group for group in layout.node_groups}
        self._sets, self._catalog, self._now = scale_sets, catalog, now
        self._count: dict[str, int] = dict(kept)
        self._array_nodes: dict[str, int] = {}
        self._array_vcpus: dict[str, int] = {}
        self._group_nodes: dict[tuple[str, str], int] = {}
        self._leaving = leaving
        # Quota is looked at only when a machine is wanted: most passes want none, and asking Azure takes a request.
        self._taken: dict[str, int] = {}
        self._returning: t.Optional[dict[str, int]] = None
        self._demands: dict[str, dict[str, int]] = {}
        self._total_nodes = self._total_vcpus = 0
        self._young = sum(
            0 < item_now.created_at > now - MINUTE for item in scale_sets.values() for item_now in item.instances
        )
        self._hourly: t.Optional[float] = None
        self._hourly_before = 0.0
        for name, item in scale_sets.items():
            self._add(item.node_array, item.vm_size, kept.get(name, 0))

    def _add(self, array: str, vm_size: str, count: int) -> None:
        group = (array, vm_size.lower())
        self._array_nodes[array] = self._array_nodes.get(array, 0) + count
        self._array_vcpus[array] = self._array_vcpus.get(array, 0) + count * self._vcpus(vm_size)
        self._group_nodes[group] = self._group_nodes.get(group, 0) + count
        self._total_nodes += count
        if self._policy.max_vcpus:
            self._total_vcpus += count * self._vcpus(vm_size)

    def _vcpus(self, vm_size: str) -> int:
        size = self._catalog.size(vm_size)
        return size.vcpus if size else 0

    def count(self, spec: ScaleSetSpec) -> int:
        """How many living machines the set has, with those that the plan adds."""
        return self._count.get(spec.name.casefold(), 0)

    def take(self, spec: ScaleSetSpec, count: int) -> None:
        """Add ``count`` machines to a set; negative to give them back."""
        key = spec.name.casefold()
        self._count[key] = self._count.get(key, 0) + count
        self._add(spec.node_array, spec.vm_size, count)
        self._young += count
        if self._hourly is not None:
            self._hourly += count * (self._price(spec) or 0.0)
        for quota, amount in self._quotas(spec).items():
            self._taken[quota] = self._taken.get(quota, 0) + amount * count

    def _quotas(self, spec: ScaleSetSpec) -> dict[str, int]:
        found = self._demands.get(spec.name)
        if found is None:
            found = self._demands[spec.name] = quotas_of(self._catalog, spec.vm_size, spot(spec))
        return found

    def _coming_back(self) -> dict[str, int]:
        """Quota that machines which are being deleted will give back."""
        if self._returning is None:
            self._returning = {}
            for key, count in self._leaving.items():
                item = self._sets[key]
                for quota, amount in quotas_of(self._catalog, item.vm_size, spot(item)).items():
                    self._returning[quota] = self._returning.get(quota, 0) + amount * count
        return self._returning

    def refused(self, spec: ScaleSetSpec) -> t.Optional[Room]:
        """What is in the way if the set cannot grow at all now, whatever the limits are."""
        item = self._sets.get(spec.name.casefold())
        if item is None or item.provisioning_state.lower() == "deleting":
            return Room(0, f"scale set {spec.name} does not exist; the site playbook makes it")
        if item.unavailable is None or item.unavailable.until <= self._now:
            return None
        code = re.sub(r"[^A-Za-z0-9_.-]", "", item.unavailable.code)[:60]
        where = f" in zone {spec.zone}" if spec.zone else ""
        reason = f"Azure has no {spec.vm_size}{where} ({code}), next try at {clock(item.unavailable.until)}"
        return Room(0, reason, azure=True, unavailable=True)

    def room(self, spec: ScaleSetSpec) -> Room:
        """How many more machines the set may get."""
        refused = self.refused(spec)
        if refused is not None:
            return refused
        rooms = (
            *self._array_rooms(spec),
            *self._cluster_rooms(spec),
            self._set_room(spec),
            *self._quota_rooms(spec),
            *self._budget_rooms(spec),
        )
        return min(rooms, key=lambda r: r.count)

    def in_scope(self, spec: ScaleSetSpec, scope: tuple[str, ...]) -> bool:
        """Whether the machines of a scale set count in what a limit is about, see `Room`."""
        return scope in (
            ("cluster",),
            ("array", spec.node_array),
            ("size", spec.node_array, spec.vm_size.lower()),
            ("set", spec.name.casefold()),
            *(("quota", name) for name in self._quotas(spec)),
        )

    def most(self, specs: t.Sequence[ScaleSetSpec], together: bool) -> Room:
        """How many more machines the scale sets of one size of one node array may get, as the definition has it.

        ``together``: all of them in one set. What Azure refuses at the moment, and its quotas, do not count.
        """
        first = specs[0]
        sets = [self._set_room(spec) for spec in specs]
        count = (max if together else sum)(room.count for room in sets)
        where = "one placement group" if first.placement_group else "one scale set"
        capacity = max(spec.max_capacity for spec in specs) if together else sum(spec.max_capacity for spec in specs)
        limit = f"{where if together else f'{first.node_array} with {first.vm_size}'} may have {capacity}"
        common = (*self._array_rooms(first), *self._cluster_rooms(first), *self._budget_rooms(first))
        return min((*common, Room(count, limit=limit)), key=lambda room: room.count)

    def _set_room(self, spec: ScaleSetSpec) -> Room:
        left = spec.max_capacity - self.count(spec)
        reason = f"scale set {spec.name} has its {spec.max_capacity} machines"
        return Room(max(0, left), reason, scope=("set", spec.name.casefold()))

    def _array_rooms(self, spec: ScaleSetSpec) -> t.Iterator[Room]:
        array, vcpus = self._arrays[spec.node_array], self._vcpus(spec.vm_size)
        left = array.max_nodes - self._array_nodes.get(array.name, 0)
        limit = f"node array {array.name} may have {array.max_nodes} (max_nodes)"
        scope = ("array", array.name)
        reason = f"node array {array.name} has its {array.max_nodes} nodes"
        yield Room(max(0, left), reason, limit=limit, scope=scope)
        group = (spec.node_array, spec.vm_size.lower())
        most = self._groups[group].count
        limit = f"{array.name} may have {most} {spec.vm_size} (vm_sizes[].max_nodes)"
        reason = f"{array.name} has its {most} {spec.vm_size}"
        yield Room(max(0, most - self._group_nodes.get(group, 0)), reason, limit=limit, scope=("size", *group))
        if array.max_vcpus and vcpus:
            left = (array.max_vcpus - self._array_vcpus.get(array.name, 0)) // vcpus
            reason = f"node array {array.name} may have {array.max_vcpus} vCPUs (max_vcpus)"
            yield Room(max(0, left), reason, scope=scope)

    def _quota_rooms(self, spec: ScaleSetSpec) -> t.Iterator[Room]:
        for name, amount in self._quotas(spec).items():
            quota = self._catalog.quotas[name]
            free = max(0, quota.limit - quota.used) - self._taken.get(name, 0)
            left = max(0, free) // max(1, amount)
            unit = "machines" if name == "virtualmachines" else "vCPUs"
            reason = f"quota {quota.name} allows {quota.limit} {unit}, one {spec.vm_size} takes {amount}"
            soon = free + self._coming_back().get(name, 0) >= amount
            yield Room(left, reason, soon=soon and not left, azure=True, scope=("quota", name))

    def _cluster_rooms(self, spec: ScaleSetSpec) -> t.Iterator[Room]:
        policy, vcpus = self._policy, self._vcpus(spec.vm_size) if self._policy.max_vcpus else 0
        if policy.max_nodes:
            left = policy.max_nodes - self._total_nodes
            reason = f"the cluster has its {policy.max_nodes} nodes (autoscale.max_nodes)"
            limit = f"the cluster may have {policy.max_nodes} (autoscale.max_nodes)"
            yield Room(max(0, left), reason, limit=limit, scope=("cluster",))
        if vcpus:
            left = (policy.max_vcpus - self._total_vcpus) // vcpus
            reason = f"the cluster may have {policy.max_vcpus} vCPUs (autoscale.max_vcpus)"
            yield Room(max(0, left), reason, scope=("cluster",))
        if policy.grow_per_minute:
            left = policy.grow_per_minute - self._young
            reason = f"at most {policy.grow_per_minute} machines are asked for in a minute (autoscale.grow_per_minute)"
            yield Room(max(0, left), reason, soon=left <= 0)

    def _price(self, item: t.Union[ScaleSetSpec, ScaleSet]) -> t.Optional[float]:
        return self._catalog.price(item.vm_size, spot(item))

    def _per_hour(self) -> float:
        """What all living machines cost in an hour, as far as their prices are known."""
        if self._hourly is None:
            self._hourly = sum(
                self._count.get(key, 0) * (self._price(item) or 0.0)
                for key, item in self._sets.items()
                if self._count.get(key, 0)
            )
            self._hourly_before = self._hourly
        return self._hourly

    def _budget_rooms(self, spec: ScaleSetSpec) -> t.Iterator[Room]:
        budget = self._policy.budget
        if not budget.per_hour and not budget.per_month:
            return
        price = self._price(spec)
        if price is None:
            yield Room(0, f"the price of {spec.vm_size} is not known, so it cannot be held against the budget")
            return
        now = self._per_hour()
        if budget.per_hour:
            reason = (
                f"the budget is {budget.per_hour:g} USD/hour, {now:.2f} are in use, one {spec.vm_size} costs {price:g}"
            )
            limit = f"the budget is {budget.per_hour:g} USD/hour, one costs {price:g} (autoscale.budget.per_hour)"
            yield Room(_times(budget.per_hour - now, price), reason, limit=limit, scope=("cluster",))
        if budget.per_month:
            yield self._month_room(spec, price, now)

    def _month_room(self, spec: ScaleSetSpec, price: float, now: float) -> Room:
        """Azure says a day late what was spent. That day is taken to have cost what the machines of now cost, and what
        is bought must be able to run for an hour."""
        budget, spent = self._policy.budget.per_month, self._catalog.spent.get("month")
        if spent is None:
            return Room(0, "what the month has cost so far cannot be read, so nothing is held against the budget")
        late_usd = self._hourly_before * MONTH_LAG
        free = budget - spent - late_usd
        late = f"the last day may have cost {late_usd:.2f}"
        reason = f"the budget is {budget:g} USD/month, {spent:.2f} are spent and {late}"
        limit = f"the budget is {budget:g} USD/month, one costs {price:g} USD/hour (autoscale.budget.per_month)"
        return Room(_times(free - now, price), reason, limit=limit)


def _times(free: float, price: float) -> int:
    """How often a price goes into what is free."""
    return max(0, int(free / price + 1e-9)) if price > 0 else 1 << 30
