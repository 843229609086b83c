# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data collection rules, what they are associated with, and alerts that Azure would refuse."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Request
from sandbox.arm.store import Resource

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces/logs"
RULE = "/providers/Microsoft.Insights/dataCollectionRules/r"
VM = "/providers/Microsoft.Compute/virtualMachines/vm"
LINK = f"{VM}/providers/Microsoft.Insights/dataCollectionRuleAssociations/r"
COUNTERS = {
    "name": "counters",
    "streams": ["Microsoft-Perf"],
    "samplingFrequencyInSeconds": 60,
    "counterSpecifiers": ["Processor(*)\\% Processor Time"],
}
SYSLOG = {"name": "log", "streams": ["Microsoft-Syslog"], "facilityNames": ["daemon"], "logLevels": ["Warning"]}


def rule() -> dict[str, Any]:
    return {
        "location": "westeurope",
        "kind": "Linux",
        "properties": {
            "dataSources": {"performanceCounters": [copy.deepcopy(COUNTERS)], "syslog": [copy.deepcopy(SYSLOG)]},
            "destinations": {"logAnalytics": [{"name": "w", "workspaceResourceId": f"{GROUP}{WORKSPACE}"}]},
            "dataFlows": [{"streams": ["Microsoft-Perf", "Microsoft-Syslog"], "destinations": ["w"]}],
        },
    }


@pytest.fixture
def watched(arm: Arm) -> Arm:
    arm.send("PUT", WORKSPACE, {"location": "westeurope"})
    arm.wait()
    arm.core.store.put(
        Resource(f"{GROUP}{VM}", {"type": "vm", "name": "vm", "location": "westeurope", "properties": {}})
    )
    assert arm.send("PUT", RULE, rule()).status == 200
    return arm


def link(arm: Arm) -> Any:
    return arm.send("PUT", LINK, {"properties": {"dataCollectionRuleId": f"{GROUP}{RULE}"}})


def test_a_rule_has_an_immutable_id_and_names_the_workspace(watched: Arm) -> None:
    first = watched.send("GET", RULE).body
    assert first["properties"]["immutableId"].startswith("dcr-")
    assert first["kind"] == "Linux"
    (destination,) = first["properties"]["destinations"]["logAnalytics"]
    workspace = watched.send("GET", WORKSPACE).body
    assert destination["workspaceId"] == workspace["properties"]["customerId"]
    again = watched.send("PUT", RULE, rule()).body
    assert again["properties"]["immutableId"] == first["properties"]["immutableId"]


@pytest.mark.parametrize(
    ("path", "value", "target"),
    [
        (("dataFlows", 0, "destinations"), ["x"], "properties.dataFlows[0]"),
        (("dataFlows", 0, "streams"), ["Microsoft-Event"], "properties.dataFlows[0]"),
        (("dataSources", "syslog", 0, "facilityNames"), ["munge"], "properties.dataSources.syslog[0]"),
        (("dataSources", "syslog", 0, "logLevels"), ["Loud"], "properties.dataSources.syslog[0]"),
        (("dataSources", "syslog", 0, "name"), "counters", "properties.dataSources.syslog[0]"),
        (
            ("dataSources", "performanceCounters", 0, "samplingFrequencyInSeconds"),
            0,
            "properties.dataSources.performanceCounters[0]",
        ),
        (
            ("destinations", "logAnalytics", 0, "workspaceResourceId"),
            f"{GROUP}{WORKSPACE}2",
            "properties.destinations.logAnalytics[0]",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_by_place(
    watched: Arm, path: tuple[Any, ...], value: Any, target: str
) -> None:
    wrong = rule()
    place = wrong["properties"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    answer = watched.send("PUT", RULE, wrong)
    assert (answer.status, answer.body["error"]["code"]) == (400, "InvalidPayload")
    assert target in [one["target"] for one in answer.body["error"]["details"]]


def test_an_association_hangs_on_its_machine_and_goes_with_it(watched: Arm) -> None:
    assert [link(watched).status for _unused in range(2)] == [201, 200]
    assert len(watched.send("GET", f"{RULE}/associations").body["value"]) == 1
    assert len(watched.send("GET", LINK.rsplit("/", 1)[0]).body["value"]) == 1
    assert not [one for one in watched.send("GET", "/resources").body["value"] if "Association" in one["type"]]
    watched.core.store.delete(f"{GROUP}{VM}")
    assert watched.send("GET", f"{RULE}/associations").body["value"] == []


def test_a_rule_in_use_goes_only_with_its_associations(watched: Arm) -> None:
    link(watched)
    assert watched.send("DELETE", RULE).status == 409
    query = {"api-version": "2023-03-11", "deleteassociations": "true"}
    request = Request(watched.core, "DELETE", f"{GROUP}{RULE}", {}, query, {}, "https://management.azure.com", None)
    assert dispatch(watched.core, request).status == 200
    assert watched.send("GET", LINK).status == 404


def test_an_association_needs_a_rule_and_a_machine(watched: Arm) -> None:
    assert watched.send("PUT", LINK, {"properties": {}}).body["error"]["code"] == "InvalidPayload"
    other = LINK.replace("/vm/", "/other/")
    assert watched.send("PUT", other, {"properties": {"dataCollectionRuleId": f"{GROUP}{RULE}"}}).status == 404


def test_an_endpoint_keeps_its_addresses(watched: Arm) -> None:
    path = "/providers/Microsoft.Insights/dataCollectionEndpoints/e"
    first, second = (watched.send("PUT", path, {"location": "westeurope"}).body for _unused in range(2))
    assert first["properties"]["logsIngestion"] == second["properties"]["logsIngestion"]
