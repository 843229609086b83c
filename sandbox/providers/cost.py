# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.CostManagement/query: what machines have cost, from their age and the retail prices.

Only machines that exist cost something, for all the time since they were made: the sandbox keeps no meter readings, so
machines that are gone and hours in which one was deallocated are not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE
from sandbox.arm.store import Resource
from sandbox.clock import clock

TYPE = "Microsoft.CostManagement/query"
MACHINES = ("Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets")
TIMEFRAMES = ("MonthToDate", "BillingMonthToDate", "TheLastMonth", "TheLastBillingMonth", "WeekToDate", "Custom")
DAY = 86400.0


@dataclass
class Charge:
    """What one resource cost on one day, in USD."""

    resource: Resource
    day: datetime
    cost: float


class Costs:
    """The provider."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def query(self, request: Request) -> Answer:
        """Answer rows of costs below the scope: ``columns`` and ``rows``, as the request's dataset asks for."""
        body = request.body if isinstance(request.body, dict) else {}
        if str(body.get("type", "")).lower() not in ("usage", "actualcost", "amortizedcost"):
            raise _invalid("type")
        dataset = body.get("dataset") or {}
        start, end = period(body, datetime.fromtimestamp(clock.now(), UTC))
        scope = request.params.get("scope", "")
        subscription, group = self._scope(scope)
        charges = [
            charge
            for resource in self._machines(subscription, group)
            if matches(resource, dataset.get("filter"))
            for charge in self._charges(resource, start, end)
        ]
        name = new_guid()
        found = {
            "id": f"{scope.lstrip('/')}/providers/{TYPE}/{name}",
            "name": name,
            "type": TYPE,
            "location": None,
            "sku": None,
            "eTag": None,
            "properties": {"nextLink": None, **table(dataset, charges)},
        }
        return Answer(200, found)

    def _scope(self, scope: str) -> tuple[str, str | None]:
        parts = scope.strip("/").split("/")
        if len(parts) < 2 or parts[0].lower() != "subscriptions":
            raise ArmError(404, "NotFound", f"The scope '{scope}' is not supported.")
        if len(parts) >= 4:
            return parts[1], ids.parse(self._core.require_group(parts[1], parts[3]).id).group
        return parts[1], None

    def _machines(self, subscription: str, group: str | None) -> Iterator[Resource]:
        for kind in MACHINES:
            yield from self._core.store.list(kind, subscription=subscription, group=group)

    def _charges(self, resource: Resource, start: datetime, end: datetime) -> Iterator[Charge]:
        rate = self._rate(resource)
        first, last = max(resource.created, start.timestamp()), min(clock.now(), end.timestamp())
        day = datetime.fromtimestamp(first, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while rate and day.timestamp() < last:
            seconds = min(last, day.timestamp() + DAY) - max(first, day.timestamp())
            if seconds > 0:
                yield Charge(resource, day, rate * seconds / 3600)
            day += timedelta(days=1)

    def _rate(self, resource: Resource) -> float:
        """USD/hour."""
        sku, properties = resource.body.get("sku") or {}, resource.properties
        size = (properties.get("hardwareProfile") or {}).get("vmSize") or sku.get("name", "")
        profile = properties.get("virtualMachineProfile") or properties
        spot = profile.get("priority") in ("Spot", "Low")
        count = int(sku.get("capacity", 0)) if "capacity" in sku else 1
        for item in self._core.service("retail_prices", list)():
            if item["armSkuName"].lower() == size.lower() and item["armRegionName"] == resource.body.get("location"):
                label = item["skuName"]
                if label.endswith(" Spot") if spot else not label.endswith((" Spot", " Low Priority")):
                    return float(item["retailPrice"]) * count
        return 0.0


def _invalid(what: str) -> ArmError:
    return ArmError(
        400, "BadRequest", f"Invalid query definition: Missing or invalid {what}. (Request ID: {new_guid()})"
    )


def period(body: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Begin and end of what is asked for."""
    names = {name.lower(): name for name in TIMEFRAMES}
    frame = names.get(str(body.get("timeframe", "")).lower())
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    if frame == "Custom":
        given = body.get("timePeriod") or {}
        try:
            begin, end = (datetime.fromisoformat(str(given.get(key))) for key in ("from", "to"))
        except ValueError:
            raise _invalid("timePeriod") from None
        return begin.replace(tzinfo=begin.tzinfo or UTC), end.replace(tzinfo=end.tzinfo or UTC)
    if frame is None:
        raise _invalid("timeframe")
    if frame.startswith("TheLast"):
        return (month - timedelta(days=1)).replace(day=1), month
    if frame == "WeekToDate":
        return today - timedelta(days=(today.weekday() + 1) % 7), now
    return month, now


def value_of(resource: Resource, name: str) -> str:
    """A dimension of a resource, in the spelling of cost data."""
    rid = resource.rid
    known = {
        "resourceid": ids.key(resource.id),
        "resourcegroup": rid.group.lower(),
        "resourcegroupname": rid.group.lower(),
        "resourcetype": rid.type.lower(),
        "resourcelocation": str(resource.body.get("location", "")),
        "subscriptionid": rid.subscription,
        "servicename": "Virtual Machines",
        "metercategory": "Virtual Machines",
        "chargetype": "usage",
        "publishertype": "azure",
    }
    if name.lower() not in known:
        raise _invalid(f"dimension '{name}'")
    return known[name.lower()]


def matches(resource: Resource, test: Any) -> bool:
    """Does a resource pass a query's filter (and, or, not, dimensions, tags)?"""
    if not isinstance(test, dict) or not test:
        return True
    lowered = {key.lower(): value for key, value in test.items()}
    if "and" in lowered:
        return all(matches(resource, part) for part in lowered["and"])
    if "or" in lowered:
        return any(matches(resource, part) for part in lowered["or"])
    if "not" in lowered:
        return not matches(resource, lowered["not"])
    for kind in ("dimensions", "dimension", "tags", "tag"):
        if kind in lowered:
            clause = lowered[kind]
            wanted = [str(value).lower() for value in clause.get("values") or []]
            if kind.startswith("tag"):
                found = {k.lower(): v for k, v in (resource.body.get("tags") or {}).items()}
                return str(found.get(str(clause.get("name")).lower(), "")).lower() in wanted
            return value_of(resource, str(clause.get("name"))).lower() in wanted
    raise _invalid("filter")


def table(dataset: dict[str, Any], charges: Iterable[Charge]) -> dict[str, Any]:
    """``columns`` and ``rows``: sums of the charges by day or month and by what they are grouped by."""
    granularity = str(dataset.get("granularity") or "None").lower()
    if granularity not in ("none", "daily", "monthly"):
        raise _invalid("granularity")
    sums = [str(entry.get("name")) for entry in (dataset.get("aggregation") or {}).values()] or ["Cost"]
    grouping = [(str(g.get("type")).lower(), str(g.get("name"))) for g in dataset.get("grouping") or []]
    columns = [{"name": name, "type": "Number"} for name in sums]
    if granularity != "none":
        daily = granularity == "daily"
        columns.append(
            {"name": "UsageDate", "type": "Number"} if daily else {"name": "BillingMonth", "type": "Datetime"}
        )
    for kind, name in grouping:
        names = ("TagKey", "TagValue") if kind.startswith("tag") else (name,)
        columns += [{"name": column, "type": "String"} for column in names]
    columns.append({"name": "Currency", "type": "String"})
    totals: dict[tuple[Any, ...], float] = {}
    for charge in charges:
        key = (*_when(charge, granularity), *_group(charge.resource, grouping))
        totals[key] = totals.get(key, 0.0) + charge.cost
    rows = [[*[cost] * len(sums), *key, "USD"] for key, cost in sorted(totals.items())]
    return {"columns": columns, "rows": rows}


def _when(charge: Charge, granularity: str) -> tuple[Any, ...]:
    if granularity == "daily":
        return (int(f"{charge.day:%Y%m%d}"),)
    return (f"{charge.day:%Y-%m}-01T00:00:00",) if granularity == "monthly" else ()


def _group(resource: Resource, grouping: list[tuple[str, str]]) -> list[str]:
    made: list[str] = []
    for kind, name in grouping:
        if kind.startswith("tag"):
            tags = {key.lower(): value for key, value in (resource.body.get("tags") or {}).items()}
            made += [name.lower(), str(tags.get(name.lower(), ""))]
        else:
            made.append(value_of(resource, name))
    return made


def register(core: Core) -> None:
    core.router.add("POST", f"{SCOPE}/providers/{TYPE}", Costs(core).query, type=TYPE)
