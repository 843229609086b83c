# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load balancers, peerings, prefixes and route tables: references in both directions, guards, states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
NETWORK = "/providers/Microsoft.Network"
PUBLIC = f"{NETWORK}/publicIPAddresses/p"
BALANCER = f"{NETWORK}/loadBalancers/lb"


def vnet(arm: Arm, name: str, prefix: str) -> dict[str, Any]:
    subnet = {"name": "s", "properties": {"addressPrefix": prefix.replace("/16", "/24")}}
    return arm.make(
        f"{NETWORK}/virtualNetworks/{name}",
        {"properties": {"addressSpace": {"addressPrefixes": [prefix]}, "subnets": [subnet]}},
    )


def balancer(**more: Any) -> dict[str, Any]:
    own = f"{GROUP}{BALANCER}"
    rule = {
        "frontendIPConfiguration": {"id": f"{own}/frontendIPConfigurations/front"},
        "backendAddressPool": {"id": f"{own}/backendAddressPools/pool"},
        "protocol": "tcp",
        "frontendPort": 80,
        "backendPort": 80,
    }
    properties = {
        "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": {"id": f"{GROUP}{PUBLIC}"}}}],
        "backendAddressPools": [{"name": "pool"}],
        "loadBalancingRules": [{"name": "rule", "properties": rule}],
    }
    return {"sku": {"name": "Standard"}, "properties": {**properties, **more}}


@pytest.fixture
def made(arm: Arm) -> dict[str, Any]:
    arm.make(PUBLIC, {"sku": {"name": "Standard"}})
    return arm.make(BALANCER, balancer())


def test_rules_are_shown_in_what_they_refer_to(arm: Arm, made: dict[str, Any]) -> None:
    rule = {"id": f"{GROUP}{BALANCER}/loadBalancingRules/rule"}
    front, pool = made["properties"]["frontendIPConfigurations"][0], made["properties"]["backendAddressPools"][0]
    assert front["properties"]["loadBalancingRules"] == [rule]
    assert pool["properties"]["loadBalancingRules"] == [rule]
    assert made["properties"]["loadBalancingRules"][0]["properties"]["protocol"] == "Tcp"
    held = arm.send("GET", PUBLIC).body["properties"]["ipConfiguration"]["id"]
    assert held == front["id"]
    assert arm.send("DELETE", PUBLIC).body["error"]["code"] == "PublicIPAddressCannotBeDeleted"


def test_interfaces_are_shown_in_the_pools_that_they_are_members_of(arm: Arm, made: dict[str, Any]) -> None:
    subnet = vnet(arm, "v", "10.0.0.0/16")["properties"]["subnets"][0]["id"]
    pool = made["properties"]["backendAddressPools"][0]["id"]
    properties = {"subnet": {"id": subnet}, "loadBalancerBackendAddressPools": [{"id": pool}]}
    arm.make(
        f"{NETWORK}/networkInterfaces/n",
        {"properties": {"ipConfigurations": [{"name": "c", "properties": properties}]}},
    )
    nat = {
        "frontendIPConfiguration": made["properties"]["loadBalancingRules"][0]["properties"]["frontendIPConfiguration"],
        "backendAddressPool": {"id": pool},
        "backendPort": "22",
        "frontendPortRangeStart": "50000",
        "frontendPortRangeEnd": "50010",
        "protocol": "tcp",
    }
    assert arm.send("PUT", f"{BALANCER}/inboundNatRules/nat", {"properties": nat}).status == 201
    arm.wait()
    shown = arm.send("GET", BALANCER).body["properties"]["backendAddressPools"][0]["properties"]
    member = {"id": f"{GROUP}{NETWORK}/networkInterfaces/n/ipConfigurations/c"}
    assert shown["backendIPConfigurations"] == [member]
    mapping = shown["loadBalancerBackendAddresses"][0]["properties"]["inboundNatRulesPortMapping"]
    assert mapping == [{"inboundNatRuleName": "nat", "frontendPort": 50000, "backendPort": 22}]
    assert arm.send("GET", f"{BALANCER}/backendAddressPools/pool").body["properties"]["inboundNatRules"]


def test_a_private_frontend_takes_an_address_and_gives_it_back(arm: Arm) -> None:
    subnet = vnet(arm, "v", "10.0.0.0/16")["properties"]["subnets"][0]["id"]
    front = [{"name": "front", "properties": {"subnet": {"id": subnet}}}]
    made = arm.make(BALANCER, balancer(frontendIPConfigurations=front, loadBalancingRules=[]))
    assert made["properties"]["frontendIPConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.0.4"
    users = arm.send("GET", f"{NETWORK}/virtualNetworks/v/subnets/s").body["properties"]["ipConfigurations"]
    assert users == [{"id": f"{GROUP}{BALANCER}/frontendIPConfigurations/front"}]
    arm.send("DELETE", BALANCER)
    arm.wait()
    assert "ipConfigurations" not in arm.send("GET", f"{NETWORK}/virtualNetworks/v/subnets/s").body["properties"]


def test_rules_that_point_elsewhere_are_refused(arm: Arm) -> None:
    body = balancer()
    body["properties"]["frontendIPConfigurations"] = []
    body["properties"]["loadBalancingRules"][0]["properties"]["backendAddressPool"] = {"id": f"{GROUP}{PUBLIC}"}
    error = arm.send("PUT", BALANCER, {"location": "westeurope", **body}).body["error"]
    assert error["code"] == "InvalidResourceReference"


def test_peerings_are_connected_when_both_sides_want_each_other(arm: Arm) -> None:
    one, two = vnet(arm, "one", "10.0.0.0/16"), vnet(arm, "two", "10.1.0.0/16")

    def peer(own: str, remote: dict[str, Any]) -> str:
        path = f"{NETWORK}/virtualNetworks/{own}/virtualNetworkPeerings/p"
        assert arm.send("PUT", path, {"properties": {"remoteVirtualNetwork": {"id": remote["id"]}}}).status == 201
        arm.wait()
        return path

    first = peer("one", two)
    assert arm.send("GET", first).body["properties"]["peeringState"] == "Initiated"
    second = peer("two", one)
    states = [arm.send("GET", path).body["properties"] for path in (first, second)]
    assert [state["peeringState"] for state in states] == ["Connected", "Connected"]
    assert states[0]["remoteAddressSpace"]["addressPrefixes"] == ["10.1.0.0/16"]
    assert arm.send("DELETE", first).status == 202
    arm.wait()
    assert arm.send("GET", first).status == 404
    assert arm.send("GET", second).body["properties"]["peeringState"] == "Disconnected"


def test_a_network_that_goes_away_leaves_its_peer_disconnected(arm: Arm) -> None:
    one, two = vnet(arm, "one", "10.0.0.0/16"), vnet(arm, "two", "10.1.0.0/16")
    for own, remote in (("one", two), ("two", one)):
        path = f"{NETWORK}/virtualNetworks/{own}/virtualNetworkPeerings/p"
        arm.send("PUT", path, {"properties": {"remoteVirtualNetwork": {"id": remote["id"]}}})
        arm.wait()
    assert arm.send("DELETE", f"{NETWORK}/virtualNetworks/one").status == 202
    arm.wait()
    assert arm.send("GET", path).body["properties"]["peeringState"] == "Disconnected"


def test_networks_whose_addresses_overlap_cannot_be_peered(arm: Arm) -> None:
    vnet(arm, "one", "10.0.0.0/16")
    remote = {"id": vnet(arm, "two", "10.0.0.0/16")["id"]}
    path = f"{NETWORK}/virtualNetworks/one/virtualNetworkPeerings/p"
    answer = arm.send("PUT", path, {"properties": {"remoteVirtualNetwork": remote}})
    assert (answer.status, answer.body["error"]["code"]) == (400, "VnetAddressSpacesOverlap")


def test_a_prefix_in_use_by_a_gateway_stays(arm: Arm) -> None:
    prefix = arm.make(f"{NETWORK}/publicIPPrefixes/p", {"properties": {"prefixLength": 30}})
    assert prefix["properties"]["ipPrefix"].endswith("/30")
    arm.make(f"{NETWORK}/natGateways/n", {"properties": {"publicIpPrefixes": [{"id": prefix["id"]}]}})
    shown = arm.send("GET", f"{NETWORK}/publicIPPrefixes/p").body
    assert shown["properties"]["natGateway"]["id"].endswith("/natGateways/n")
    assert arm.send("DELETE", f"{NETWORK}/publicIPPrefixes/p").body["error"]["code"] == "PublicIPPrefixCannotBeDeleted"


def test_a_route_table_in_use_by_a_subnet_stays(arm: Arm) -> None:
    table = arm.make(f"{NETWORK}/routeTables/t", {"properties": {"routes": []}})
    vnet(arm, "v", "10.0.0.0/16")
    properties = {"addressPrefix": "10.0.0.0/24", "routeTable": {"id": table["id"]}}
    arm.send("PUT", f"{NETWORK}/virtualNetworks/v/subnets/s", {"properties": properties})
    arm.wait()
    assert arm.send("GET", f"{NETWORK}/routeTables/t").body["properties"]["subnets"]
    assert arm.send("DELETE", f"{NETWORK}/routeTables/t").body["error"]["code"] == "InUseRouteTableCannotBeDeleted"


def test_an_application_gateway_has_a_face_that_it_gives_back(arm: Arm) -> None:
    path, public = f"{NETWORK}/applicationGateways/web", f"{NETWORK}/publicIPAddresses/face"
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.7.0.0/24"}}]
    arm.make(
        f"{NETWORK}/virtualNetworks/w",
        {"properties": {"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}, "subnets": subnets}},
    )
    arm.make(public, {"sku": {"name": "Standard"}})
    properties: dict[str, Any] = {
        "sku": {"name": "Standard_v2", "tier": "Standard_v2", "capacity": 1},
        "gatewayIPConfigurations": [
            {"name": "g", "properties": {"subnet": {"id": f"{GROUP}{NETWORK}/virtualNetworks/w/subnets/s"}}}
        ],
        "frontendIPConfigurations": [{"name": "f", "properties": {"publicIPAddress": {"id": f"{GROUP}{public}"}}}],
        "frontendPorts": [{"name": "p", "properties": {"port": 80}}],
        "httpListeners": [{"name": "l", "properties": {"protocol": "Http"}}],
    }
    lacking = {key: value for key, value in properties.items() if key != "frontendPorts"}
    refusal = arm.send("PUT", path, {"location": "westeurope", "properties": lacking})
    assert refusal.body["error"]["code"] == "ApplicationGatewayMustHaveFrontendPorts"
    made = arm.make(path, {"properties": properties})["properties"]
    assert (made["operationalState"], made["frontendPorts"][0]["properties"]["port"]) == ("Running", 80)
    assert arm.send("GET", public).body["properties"]["ipConfiguration"]["id"].endswith("/frontendIPConfigurations/f")
    assert arm.send("POST", f"{path}/stop").status == 202
    arm.wait()
    assert arm.send("GET", path).body["properties"]["operationalState"] == "Stopped"
    assert arm.send("DELETE", public).status == 400
    arm.send("DELETE", path)
    arm.wait()
    assert arm.send("DELETE", public).status == 202
