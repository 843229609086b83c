# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private zones, their links and their record sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Request

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
NETWORK = "/providers/Microsoft.Network"
ZONE = f"{NETWORK}/privateDnsZones/my.zone"
VNET = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
LINK = {
    "location": "global",
    "properties": {"virtualNetwork": {"id": f"{GROUP}{NETWORK}/virtualNetworks/v"}, "registrationEnabled": True},
}


@pytest.fixture
def zone(arm: Arm) -> Arm:
    arm.make(f"{NETWORK}/virtualNetworks/v", VNET)
    assert arm.send("PUT", ZONE, {"location": "global"}).status == 202
    arm.wait()
    return arm


def read(arm: Arm, path: str) -> dict[str, Any]:
    answer = arm.send("GET", path)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.body["properties"]
    return found


def test_a_zone_counts_what_is_in_it(zone: Arm) -> None:
    found = read(zone, ZONE)
    assert (found["provisioningState"], found["numberOfRecordSets"]) == ("Succeeded", 1)
    zone.send("PUT", f"{ZONE}/virtualNetworkLinks/l", LINK)
    zone.wait()
    assert read(zone, f"{ZONE}/virtualNetworkLinks/l")["virtualNetworkLinkState"] == "Completed"
    found = read(zone, ZONE)
    assert (found["numberOfVirtualNetworkLinks"], found["numberOfVirtualNetworkLinksWithRegistration"]) == (1, 1)


@pytest.mark.parametrize("name", ["zone", "my..zone", "-.zone"])
def test_a_zone_has_a_domain_name(arm: Arm, name: str) -> None:
    assert arm.send("PUT", f"{NETWORK}/privateDnsZones/{name}", {"location": "global"}).status == 400


def test_a_network_is_linked_once_to_a_zone_and_must_be_there(zone: Arm) -> None:
    zone.send("PUT", f"{ZONE}/virtualNetworkLinks/l", LINK)
    zone.wait()
    assert zone.send("PUT", f"{ZONE}/virtualNetworkLinks/other", LINK).status == 409
    assert zone.send("PUT", f"{ZONE}/virtualNetworkLinks/l", LINK).status == 202
    gone = {"location": "global", "properties": {"virtualNetwork": {"id": f"{GROUP}{NETWORK}/virtualNetworks/gone"}}}
    answer = zone.send("PUT", f"{ZONE}/virtualNetworkLinks/gone", gone)
    assert (answer.status, answer.body["error"]["code"]) == (400, "InvalidResourceReference")


def test_a_zone_stays_while_it_is_linked(zone: Arm) -> None:
    zone.send("PUT", f"{ZONE}/virtualNetworkLinks/l", LINK)
    zone.wait()
    assert zone.send("DELETE", ZONE).status == 409
    assert zone.send("DELETE", f"{ZONE}/virtualNetworkLinks/l").status == 202
    zone.wait()
    assert zone.send("DELETE", ZONE).status == 202
    zone.wait()
    assert [zone.send(method, ZONE).status for method in ("GET", "DELETE")] == [404, 204]
    assert zone.send("GET", f"{ZONE}/SOA/@").status == 404


def test_record_sets(zone: Arm) -> None:
    path = f"{ZONE}/A/www"
    given = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}}
    assert [zone.send("PUT", path, given).status for _unused in range(2)] == [201, 200]
    found = read(zone, path)
    assert (found["fqdn"], found["ttl"], found["aRecords"]) == ("www.my.zone.", 60, [{"ipv4Address": "10.0.0.4"}])
    assert zone.send("PATCH", path, {"properties": {"ttl": 5}}).body["properties"]["aRecords"]
    assert read(zone, path)["ttl"] == 5
    assert {one["name"] for one in zone.send("GET", f"{ZONE}/ALL").body["value"]} == {"@", "www"}
    assert [one["name"] for one in zone.send("GET", f"{ZONE}/A").body["value"]] == ["www"]
    assert [zone.send("DELETE", path).status for _unused in range(2)] == [200, 204]
    assert zone.send("DELETE", f"{ZONE}/SOA/@").status == 400
    assert zone.send("PUT", f"{NETWORK}/privateDnsZones/no.zone/A/www", given).status == 404


def test_conditions(zone: Arm) -> None:
    def send(method: str, body: Any, **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        path, query = f"{GROUP}{ZONE}", {"api-version": "2020-06-01"}
        request = Request(zone.core, method, path, {}, query, given, "https://management.azure.com", body)
        return dispatch(zone.core, request).status

    assert send("PUT", {"location": "global"}, if_none_match="*") == 412
    assert send("DELETE", None, if_match="old") == 412
    tag = zone.send("GET", ZONE).body["etag"]
    assert send("PATCH", {"tags": {"a": "b"}}, if_match=tag) == 202
    zone.wait()
    assert zone.send("GET", ZONE).body["tags"] == {"a": "b"}


def test_plans_and_policies_and_watchers(arm: Arm) -> None:
    plan = f"{NETWORK}/ddosProtectionPlans/p"
    arm.make(plan, {"location": "westeurope"})
    own = arm.send("GET", plan).body["id"]
    arm.make(
        f"{NETWORK}/virtualNetworks/v",
        {**VNET, "properties": {**VNET["properties"], "ddosProtectionPlan": {"id": own}}},
    )
    assert [one["id"].rpartition("/")[2] for one in read(arm, plan)["virtualNetworks"]] == ["v"]
    assert arm.send("DELETE", plan).status == 400
    definition = {"name": "d", "properties": {"service": "Microsoft.Storage", "serviceResources": [GROUP]}}
    policy = {"location": "westeurope", "properties": {"serviceEndpointPolicyDefinitions": [definition]}}
    arm.make(f"{NETWORK}/serviceEndpointPolicies/s", policy)
    (entry,) = read(arm, f"{NETWORK}/serviceEndpointPolicies/s")["serviceEndpointPolicyDefinitions"]
    assert (entry["name"], entry["properties"]["provisioningState"]) == ("d", "Succeeded")
    arm.make(f"{NETWORK}/networkWatchers/w", {"location": "westeurope"})
    assert arm.send("PUT", f"{NETWORK}/networkWatchers/second", {"location": "westeurope"}).status == 400
