# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective routes and rules, routes of tables, names, and what is in no subnet here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Request

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
NETWORK = "/providers/Microsoft.Network"
NIC, TABLE = f"{NETWORK}/networkInterfaces/n", f"{NETWORK}/routeTables/t"
LOCATION = f"{GROUP.partition('/resourceGroups')[0]}{NETWORK}/locations/westeurope"
RULE = {
    "access": "Allow", "direction": "Inbound", "priority": 100, "protocol": "*", "sourcePortRange": "*",
    "destinationPortRanges": ["22", "80-90"], "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
}  # fmt: skip


@pytest.fixture
def nic(arm: Arm) -> Arm:
    """An interface in a subnet with a route table and rules."""
    arm.make(TABLE)
    route = {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.9"}
    arm.make(f"{TABLE}/routes/out", {"properties": route})
    rules = [{"name": "ssh", "properties": RULE}]
    arm.make(f"{NETWORK}/networkSecurityGroups/rules", {"properties": {"securityRules": rules}})
    subnet = {
        "addressPrefix": "10.0.0.0/24",
        "routeTable": {"id": f"{GROUP}{TABLE}"},
        "networkSecurityGroup": {"id": f"{GROUP}{NETWORK}/networkSecurityGroups/rules"},
    }
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": subnet}]}
    arm.make(f"{NETWORK}/virtualNetworks/v", {"properties": space})
    address = {"name": "c", "properties": {"subnet": {"id": f"{GROUP}{NETWORK}/virtualNetworks/v/subnets/s"}}}
    arm.make(NIC, {"properties": {"ipConfigurations": [address]}})
    return arm


def result(arm: Arm, path: str) -> Any:
    """What the operation of a POST answers at its Location when it has ended."""
    answer = arm.send("POST", path)
    assert answer.status == 202, answer.body
    arm.wait()
    return arm.send("GET", answer.headers["Location"].removeprefix("https://management.azure.com").split("?")[0]).body


def test_routes_of_the_table_go_before_those_of_azure(nic: Arm) -> None:
    routes = result(nic, f"{NIC}/effectiveRouteTable")["value"]
    told = {(route["source"], route["addressPrefix"][0]): (route["state"], route["nextHopType"]) for route in routes}
    assert told["Default", "10.0.0.0/16"] == ("Active", "VnetLocal")
    assert told["User", "0.0.0.0/0"] == ("Active", "VirtualAppliance")
    assert told["Default", "0.0.0.0/0"] == ("Invalid", "Internet")


def test_rules_of_the_subnet_hold_for_the_interface(nic: Arm) -> None:
    (found,) = result(nic, f"{NIC}/effectiveNetworkSecurityGroups")["value"]
    assert found["association"]["subnet"]["id"].endswith("/subnets/s")
    rules = {rule["name"]: rule for rule in found["effectiveSecurityRules"]}
    assert len(rules) == 7
    assert rules["ssh"]["destinationPortRanges"] == ["22-22", "80-90"]
    assert (rules["ssh"]["protocol"], rules["ssh"]["sourcePortRange"]) == ("All", "0-65535")


def test_a_route_is_written_read_and_deleted_by_itself(nic: Arm) -> None:
    path = f"{TABLE}/routes/in"
    body = {"properties": {"addressPrefix": "10.1.0.0/16", "nextHopType": "Internet"}}
    assert [nic.send("PUT", path, body).status for _unused in range(2)] == [201, 200]
    assert nic.send("GET", path).body["properties"]["nextHopType"] == "Internet"
    listed = nic.send("GET", f"{TABLE}/routes").body["value"]
    assert [entry["name"] for entry in listed] == ["out", "in"]
    assert nic.send("DELETE", path).status == 202
    nic.wait()
    assert nic.send("DELETE", path).status == 204
    assert [entry["name"] for entry in nic.send("GET", TABLE).body["properties"]["routes"]] == ["out"]


def test_a_label_that_is_taken_is_not_available(arm: Arm) -> None:
    path = f"{NETWORK}/publicIPAddresses/p"
    arm.make(path, {"sku": {"name": "Standard"}, "properties": {"dnsSettings": {"domainNameLabel": "mine"}}})

    def available(label: str) -> bool:
        return bool(_ask(arm, f"{LOCATION}/CheckDnsNameAvailability", domainnamelabel=label)["available"])

    assert (available("Mine"), available("other")) == (False, True)


def _ask(arm: Arm, path: str, **query: str) -> Any:
    given = {"api-version": "2025-04-01", **query}
    return dispatch(arm.core, Request(arm.core, "GET", path, {}, given, {}, "https://x")).body


@pytest.mark.parametrize(
    "path",
    [
        f"{NIC}/ipConfigurations",
        f"{LOCATION}/availableDelegations",
        f"{LOCATION}/virtualNetworkAvailableEndpointServices",
        f"{LOCATION}/serviceTags",
    ],
)
def test_lists_that_are_never_empty(nic: Arm, path: str) -> None:
    body = nic.send("GET", path).body
    assert (body.get("value") or body["values"])[0]["name"]


@pytest.mark.parametrize("kind", ["ResourceNavigationLinks", "ServiceAssociationLinks"])
def test_no_service_is_in_a_subnet(nic: Arm, kind: str) -> None:
    subnet = f"{NETWORK}/virtualNetworks/v/subnets"
    assert nic.send("GET", f"{subnet}/s/{kind}").body == {"value": []}
    assert nic.send("GET", f"{subnet}/missing/{kind}").status == 404
    assert nic.send("POST", f"{subnet}/s/PrepareNetworkPolicies", {"serviceName": "x"}).status == 202
    nic.wait()


def test_an_interface_of_a_machine_is_updated_by_an_operation_and_another_with_rules_is_not(nic: Arm) -> None:
    address = {"name": "c", "properties": {"subnet": {"id": f"{GROUP}{NETWORK}/virtualNetworks/v/subnets/s"}}}
    rules = {"networkSecurityGroup": {"id": f"{GROUP}{NETWORK}/networkSecurityGroups/rules"}}
    body = {"location": "westeurope", "properties": {"ipConfigurations": [address], **rules}}
    free = nic.send("PUT", NIC, body)
    assert "Azure-AsyncOperation" not in free.headers
    nic.core.service("network").attach(f"{GROUP}{NIC}", f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m", True)
    used = nic.send("PUT", NIC, body)
    assert "Azure-AsyncOperation" in used.headers
    assert used.body["properties"]["provisioningState"] == "Updating"
    nic.wait()
    assert nic.send("GET", NIC).body["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize(
    ("service", "locations"),
    [("Microsoft.Storage", ["*"]), ("Microsoft.Sql", ["westeurope"]), ("Microsoft.Web", ["*"])],
)
def test_a_service_endpoint_reaches_the_regions_of_its_service(arm: Arm, service: str, locations: list[str]) -> None:
    subnet = {"addressPrefix": "10.0.0.0/24", "serviceEndpoints": [{"service": service, "locations": []}]}
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": subnet}]}
    vnet = arm.make(f"{NETWORK}/virtualNetworks/v", {"properties": space})
    (endpoint,) = vnet["properties"]["subnets"][0]["properties"]["serviceEndpoints"]
    assert endpoint == {"service": service, "locations": locations, "provisioningState": "Succeeded"}


def test_an_interface_names_an_operation_when_it_comes_into_a_pool_and_when_it_leaves_it(nic: Arm) -> None:
    pools = {"backendAddressPools": [{"name": "p"}], "frontendIPConfigurations": [{"name": "f", "properties": {}}]}
    nic.make(f"{NETWORK}/loadBalancers/b", {"properties": pools})
    subnet = {"subnet": {"id": f"{GROUP}{NETWORK}/virtualNetworks/v/subnets/s"}}
    pool = {"loadBalancerBackendAddressPools": [{"id": f"{GROUP}{NETWORK}/loadBalancers/b/backendAddressPools/p"}]}
    told = []
    for member in ({}, pool, {}, {}):
        address = {"name": "c", "properties": {**subnet, **member}}
        body = {"location": "westeurope", "properties": {"ipConfigurations": [address]}}
        answer = nic.send("PUT", NIC, body)
        told.append(("Azure-AsyncOperation" in answer.headers, answer.body["properties"]["provisioningState"]))
        nic.wait()
    assert told == [(False, "Succeeded"), (True, "Updating"), (True, "Updating"), (False, "Succeeded")]


def test_words_are_taken_in_any_case_and_told_as_azure_spells_them(nic: Arm) -> None:
    spelled = {"access": "allow", "direction": "inbound", "protocol": "tcp", "priority": 200}
    rule = nic.make(f"{NETWORK}/networkSecurityGroups/rules/securityRules/r", {"properties": {**RULE, **spelled}})
    assert [rule["properties"][key] for key in ("access", "direction", "protocol")] == ["Allow", "Inbound", "Tcp"]
    address = {"sku": {"name": "standard", "tier": "global"}, "properties": {"publicIPAllocationMethod": "static"}}
    public = nic.make(f"{NETWORK}/publicIPAddresses/p", address)
    assert (public["sku"], public["properties"]["publicIPAllocationMethod"]) == (
        {"name": "Standard", "tier": "Global"}, "Static",
    )  # fmt: skip


def test_a_basic_public_address_has_no_global_tier(nic: Arm) -> None:
    body = {"location": "westeurope", "sku": {"name": "Basic", "tier": "Global"}, "properties": {}}
    refused = nic.send("PUT", f"{NETWORK}/publicIPAddresses/p", body)
    assert (refused.status, refused.body["error"]["code"]) == (
        400, "GlobalPublicIPAddressNotSupportedForBasicPublicIpAddress",
    )  # fmt: skip


def test_a_write_that_changes_nothing_but_tags_is_done_at_once(nic: Arm) -> None:
    path = f"{NETWORK}/virtualNetworks/v"
    known = nic.send("GET", path).body
    same = nic.send("PUT", path, {**known, "tags": {"a": "b"}}).body["properties"]
    assert (same["provisioningState"], same["subnets"][0]["properties"]["provisioningState"]) == ("Succeeded",) * 2
    nic.wait()
    subnet = known["properties"]["subnets"][0]
    again = nic.send("PUT", f"{path}/subnets/s", {"properties": subnet["properties"]}).body
    assert again["properties"]["provisioningState"] == "Succeeded"
    nic.wait()
    other = {**subnet["properties"], "privateEndpointNetworkPolicies": "Enabled"}
    changed = nic.send("PUT", f"{path}/subnets/s", {"properties": other}).body
    assert changed["properties"]["provisioningState"] == "Updating"
    nic.wait()
