# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric alerts, workspaces and cost queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.store import Resource
from sandbox.providers import cost

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
ALERT = "/providers/Microsoft.Insights/metricAlerts/a"
WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces/logs"
QUERY = "/providers/Microsoft.CostManagement/query"
VM = "Microsoft.Compute/virtualMachines"


def alert(**more: Any) -> dict[str, Any]:
    criterion = {"name": "c", "metricName": "Percentage CPU", "dimensions": [], "operator": "GreaterThan"}
    properties = {
        "severity": 2,
        "enabled": True,
        "evaluationFrequency": "PT1M",
        "windowSize": "PT5M",
        "scopes": [f"{GROUP}/providers/{VM}/vm"],
        "criteria": {"allOf": [criterion]},
    }
    return {"location": "global", "properties": {**properties, **more}}


def test_alerts_are_kept_patched_and_healthy(arm: Arm) -> None:
    assert arm.send("PUT", ALERT, alert()).status == 200
    assert "dimensions" not in arm.send("GET", ALERT).body["properties"]["criteria"]["allOf"][0]
    assert arm.send("PATCH", ALERT, {"properties": {"enabled": False}}).body["properties"]["enabled"] is False
    assert arm.send("GET", ALERT).body["properties"]["severity"] == 2
    assert arm.send("GET", f"{ALERT}/status").body["value"][0]["properties"]["status"] == "Healthy"
    assert [arm.send("DELETE", ALERT).status for _unused in range(2)] == [200, 204]


@pytest.mark.parametrize(
    "wrong",
    [
        {"severity": 9},
        {"scopes": None},
        {"scopes": []},
        {"evaluationFrequency": "PT6H"},
        {"windowSize": "PT2M"},
        {"evaluationFrequency": "PT15M"},
        {"criteria": {"allOf": [{"name": "c", "operator": "NotEquals"}]}},
    ],
)
def test_alerts_that_say_too_little_or_nonsense_are_refused(arm: Arm, wrong: dict[str, Any]) -> None:
    assert arm.send("PUT", ALERT, alert(**wrong)).body["error"]["code"] == "BadRequest"


def test_receivers_of_an_action_group_have_different_names(arm: Arm) -> None:
    path = "/providers/Microsoft.Insights/actionGroups/ops"
    one = {"name": "a", "emailAddress": "ops@example.org"}
    told = {"location": "Global", "properties": {"groupShortName": "ops", "emailReceivers": [one]}}
    assert arm.send("PUT", path, told).body["properties"]["emailReceivers"][0]["status"] == "Enabled"
    told["properties"]["webhookReceivers"] = [{"name": "A", "serviceUri": "https://example.org"}]
    assert arm.send("PUT", path, told).status == 400


def test_a_workspace_is_ready_when_it_says_so_and_keeps_its_identity(arm: Arm) -> None:
    answer = arm.send("PUT", WORKSPACE, {"location": "westeurope"})
    assert answer.status == 201
    assert answer.body["properties"]["provisioningState"] == "Creating"
    arm.wait()
    first = arm.send("GET", WORKSPACE).body
    assert first["properties"]["provisioningState"] == "Succeeded"
    changed = {"location": "westeurope", "properties": {"sku": {"name": "capacityreservation"}, "retentionInDays": 60}}
    second = arm.send("PUT", WORKSPACE, changed).body
    assert second["properties"]["sku"]["name"] == "CapacityReservation"
    assert second["properties"]["customerId"] == first["properties"]["customerId"]
    assert set(arm.send("POST", f"{WORKSPACE}/sharedKeys").body) == {"primarySharedKey", "secondarySharedKey"}


def machine(arm: Arm, name: str, hours: float, **tags: str) -> None:
    body = {"location": "westeurope", "tags": tags, "properties": {"hardwareProfile": {"vmSize": "Standard_D4s_v5"}}}
    made = Resource(f"{GROUP}/providers/{VM}/{name}", body)
    made.created = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    arm.core.store.put(made)


def ask(arm: Arm, scope: str = GROUP, **dataset: Any) -> dict[str, Any]:
    start = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    aggregation = {"totalCost": {"name": "PreTaxCost", "function": "Sum"}}
    body = {"type": "Usage", "timeframe": "Custom", "timePeriod": {"from": start, "to": end}}
    answer = arm.send("POST", f"{scope}{QUERY}", {**body, "dataset": {"aggregation": aggregation, **dataset}})
    assert answer.status == 200, answer.body
    properties: dict[str, Any] = answer.body["properties"]
    return properties


def test_machines_cost_their_price_for_as_long_as_they_are_there(arm: Arm) -> None:
    machine(arm, "one", 10)
    machine(arm, "two", 20)
    found = ask(arm, grouping=[{"type": "Dimension", "name": "ResourceId"}])
    assert [column["name"] for column in found["columns"]] == ["PreTaxCost", "ResourceId", "Currency"]
    costs = {row[1].rsplit("/", 1)[-1]: row[0] for row in found["rows"]}
    assert costs["two"] == pytest.approx(2 * costs["one"], rel=1e-3)
    assert costs["one"] > 0
    assert ask(arm)["rows"][0][0] == pytest.approx(sum(costs.values()), rel=1e-3)


def test_days_tags_and_filters_divide_the_costs(arm: Arm) -> None:
    machine(arm, "one", 49, cluster="a")
    machine(arm, "two", 49, cluster="b")
    by_day = ask(arm, granularity="Daily")
    assert len(by_day["rows"]) == 3
    by_tag = ask(arm, grouping=[{"type": "TagKey", "name": "cluster"}])
    assert [row[1:3] for row in by_tag["rows"]] == [["cluster", "a"], ["cluster", "b"]]
    only = ask(arm, filter={"tags": {"name": "cluster", "operator": "In", "values": ["a"]}})
    assert only["rows"][0][0] == pytest.approx(sum(row[0] for row in by_day["rows"]) / 2, rel=1e-3)


def test_a_query_that_is_none_is_refused(arm: Arm) -> None:
    for body in ({}, {"type": "Usage"}, {"type": "Usage", "timeframe": "Custom"}):
        assert arm.send("POST", QUERY, body).body["error"]["code"] == "BadRequest"


def test_timeframes_begin_where_the_calendar_says() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    month = datetime(2026, 11, 1, tzinfo=UTC)
    assert cost.period({"timeframe": "MonthToDate"}, now) == (month, now)
    assert cost.period({"timeframe": "TheLastMonth"}, now) == (datetime(2026, 10, 1, tzinfo=UTC), month)
    assert cost.period({"timeframe": "WeekToDate"}, now)[0] == datetime(2026, 11, 15, tzinfo=UTC)


def test_what_belongs_to_a_workspace_is_kept_with_it(arm: Arm) -> None:
    arm.make(WORKSPACE)
    search = {"properties": {"category": "c", "displayName": "d", "query": "Heartbeat"}}
    export = {"properties": {"tableNames": ["Heartbeat"], "destination": {"resourceId": f"{GROUP}/x"}}}
    for path, body in ((f"{WORKSPACE}/savedSearches/s", search), (f"{WORKSPACE}/dataExports/e", export)):
        assert arm.send("PUT", path, {"properties": {}}).status == 400
        assert arm.send("PUT", path, body).status in (200, 201)
        again = arm.send("PUT", path, body)
        assert again.status == 200
        assert arm.send("GET", path.rpartition("/")[0]).body["value"] == [again.body]
    assert arm.send("DELETE", WORKSPACE).status == 200
    arm.make(WORKSPACE)
    assert arm.send("GET", f"{WORKSPACE}/savedSearches").body["value"] == []


def test_tables_are_built_in_or_ones_own(arm: Arm) -> None:
    arm.make(WORKSPACE)
    assert arm.send("GET", f"{WORKSPACE}/tables/heartbeat").body["properties"]["retentionInDays"] == 30
    assert arm.send("PATCH", f"{WORKSPACE}/tables/Heartbeat", {"properties": {"retentionInDays": 90}}).status == 200
    assert arm.send("PUT", f"{WORKSPACE}/tables/Mine", {"properties": {}}).status == 400
    assert arm.send("PUT", f"{WORKSPACE}/tables/Mine_CL", {"properties": {"plan": "Basic"}}).status == 200
    listed = {entry["name"]: entry["properties"] for entry in arm.send("GET", f"{WORKSPACE}/tables").body["value"]}
    assert listed["Heartbeat"]["retentionInDays"] == 90
    assert (listed["Mine_CL"]["plan"], listed["Perf"]["plan"]) == ("Basic", "Analytics")
    assert len(listed) == len(set(listed))


def test_solutions_of_a_workspace_are_switched_and_a_purge_is_told(arm: Arm) -> None:
    arm.make(WORKSPACE)
    packs = f"{WORKSPACE}/intelligencePacks"
    assert arm.send("POST", f"{packs}/vminsights/Enable").status == 200
    assert {e["name"]: e["enabled"] for e in arm.send("GET", packs).body}["VMInsights"] is True
    assert arm.send("POST", f"{packs}/Nonsense/Enable").status == 404
    answer = arm.send("POST", f"{WORKSPACE}/purge", {"table": "Heartbeat", "filters": []})
    assert answer.status == 202
    status = answer.headers["x-ms-status-location"].removeprefix("https://management.azure.com").split("?")[0]
    assert arm.send("GET", status).body == {"status": "completed"}
