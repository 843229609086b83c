# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups and networks through the real Azure clients, which know only the environment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.mgmt.core import ARMPipelineClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.network import NetworkManagementClient

LOCATION = "westeurope"


@pytest.fixture(scope="module")
def network(azure_environment: dict[str, str]) -> Iterator[NetworkManagementClient]:
    with NetworkManagementClient(DefaultAzureCredential(), azure_environment["AZURE_SUBSCRIPTION_ID"]) as client:
        yield client


@pytest.fixture(scope="module")
def arm(azure_environment: dict[str, str]) -> Iterator[ARMPipelineClient]:
    policy = ARMChallengeAuthenticationPolicy(DefaultAzureCredential(), "https://management.azure.com/.default")
    with ARMPipelineClient("https://management.azure.com", policies=[policy]) as client:
        yield client


class Group:
    """A resource group and plain ARM calls about it."""

    def __init__(self, arm: ARMPipelineClient, subscription: str, name: str) -> None:
        self.arm, self.name = arm, name
        self.id = f"https://management.azure.com/subscriptions/{subscription}/resourceGroups/{name}"

    def send(self, method: str, path: str = "", body: Any = None) -> Any:
        separator = "&" if "?" in path else "?"
        url = f"{self.id}{path}{separator}api-version=2025-04-01"
        return self.arm.send_request(HttpRequest(method, url, json=body))


@pytest.fixture
def group(arm: ARMPipelineClient, azure_environment: dict[str, str]) -> Group:
    made = Group(arm, azure_environment["AZURE_SUBSCRIPTION_ID"], f"test-{uuid.uuid4().hex[:8]}")
    assert made.send("PUT", body={"location": LOCATION, "tags": {"a": "b"}}).status_code == 201
    return made


def vnet_of(network: NetworkManagementClient, group: str, name: str = "v") -> Any:
    return make_vnet(network, group, name, "10.20.0.0/16", head="10.20.0.0/24", compute="10.20.16.0/20")


def make_vnet(network: NetworkManagementClient, group: str, name: str, space: str, **subnets: str) -> Any:
    entries = [{"name": key, "properties": {"addressPrefix": prefix}} for key, prefix in subnets.items()]
    body = resource(addressSpace={"addressPrefixes": [space]}, subnets=entries)
    return network.virtual_networks.begin_create_or_update(group, name, body).result()


def resource(**properties: Any) -> dict[str, Any]:
    return {"location": LOCATION, "properties": properties}


def make_public(network: NetworkManagementClient, group: str) -> Any:
    body = {**resource(publicIPAllocationMethod="Static"), "sku": {"name": "Standard"}}
    return network.public_ip_addresses.begin_create_or_update(group, "ip", body).result()


def make_nic(network: NetworkManagementClient, group: str, name: str, subnet: str, **more: Any) -> Any:
    nsg = {"networkSecurityGroup": more.pop("nsg")} if "nsg" in more else {}
    configuration = {"name": "main", "properties": {"subnet": {"id": subnet}, **more}}
    body = resource(ipConfigurations=[configuration], **nsg)
    return network.network_interfaces.begin_create_or_update(group, name, body).result()


def test_a_network_comes_back_as_it_was_asked_for_with_azures_defaults(
    network: NetworkManagementClient, group: Group
) -> None:
    made = vnet_of(network, group.name)
    read = network.virtual_networks.get(group.name, "V")
    assert read.name == "v"
    assert read.provisioning_state == "Succeeded"
    assert [(s.name, s.address_prefix) for s in read.subnets] == [
        ("head", "10.20.0.0/24"),
        ("compute", "10.20.16.0/20"),
    ]
    assert read.subnets[0].private_link_service_network_policies == "Enabled"
    assert read.etag == made.etag
    assert read.etag.startswith('W/"')


def test_a_repeated_write_changes_the_etag_and_not_the_guid(network: NetworkManagementClient, group: Group) -> None:
    first, second = vnet_of(network, group.name), vnet_of(network, group.name)
    assert first.resource_guid == second.resource_guid
    assert first.etag != second.etag


def test_interfaces_get_addresses_in_order_and_public_ones_show_on_both_sides(
    network: NetworkManagementClient, group: Group
) -> None:
    subnet = vnet_of(network, group.name).subnets[0]
    public = make_public(network, group.name)
    assert public.ip_address.startswith("203.0.113.")

    first = make_nic(network, group.name, "n1", subnet.id, publicIPAddress={"id": public.id})
    second = make_nic(network, group.name, "n2", subnet.id)
    fixed = {"privateIPAddress": "10.20.0.200", "privateIPAllocationMethod": "Static"}
    third = make_nic(network, group.name, "n3", subnet.id, **fixed)
    addresses = [one.ip_configurations[0].private_ip_address for one in (first, second, third)]
    assert addresses == ["10.20.0.4", "10.20.0.5", "10.20.0.200"]
    read = network.public_ip_addresses.get(group.name, "ip")
    assert read.ip_configuration.id == first.ip_configurations[0].id
    users = network.subnets.get(group.name, "v", "head").ip_configurations
    assert {user.id for user in users} == {one.ip_configurations[0].id for one in (first, second, third)}


def test_what_is_in_use_cannot_be_deleted_and_says_by_whom(network: NetworkManagementClient, group: Group) -> None:
    subnet = vnet_of(network, group.name).subnets[0]
    nsg = network.network_security_groups.begin_create_or_update(group.name, "g", {"location": LOCATION}).result()
    public = make_public(network, group.name)
    nic = make_nic(network, group.name, "n", subnet.id, publicIPAddress={"id": public.id}, nsg={"id": nsg.id})
    for operation, names, code in (
        (network.virtual_networks, ("v",), "InUseSubnetCannotBeDeleted"),
        (network.subnets, ("v", "head"), "InUseSubnetCannotBeDeleted"),
        (network.network_security_groups, ("g",), "InUseNetworkSecurityGroupCannotBeDeleted"),
        (network.public_ip_addresses, ("ip",), "PublicIPAddressCannotBeDeleted"),
    ):
        with pytest.raises(HttpResponseError) as refusal:
            operation.begin_delete(group.name, *names).result()
        assert refusal.value.status_code == 400
        assert refusal.value.error.code == code
        assert nic.name in refusal.value.message
    network.network_interfaces.begin_delete(group.name, "n").result()
    network.virtual_networks.begin_delete(group.name, "v").result()
    network.network_security_groups.begin_delete(group.name, "g").result()
    network.public_ip_addresses.begin_delete(group.name, "ip").result()
    assert list(network.virtual_networks.list(group.name)) == []


def test_security_rules_conflict_by_priority_and_direction(network: NetworkManagementClient, group: Group) -> None:
    def rule(priority: int, direction: str) -> dict[str, Any]:
        ends = {f"{side}AddressPrefix": "*" for side in ("source", "destination")}
        ends |= {f"{side}PortRange": "*" for side in ("source", "destination")}
        given = {"access": "Allow", "protocol": "Tcp", "priority": priority, "direction": direction, **ends}
        return {"properties": given}

    nsg = network.network_security_groups.begin_create_or_update(group.name, "g", {"location": LOCATION}).result()
    assert sorted({r.priority for r in nsg.default_security_rules}) == [65000, 65001, 65500]
    write = network.security_rules.begin_create_or_update
    write(group.name, "g", "in", rule(100, "Inbound")).result()
    write(group.name, "g", "out", rule(100, "Outbound")).result()
    with pytest.raises(HttpResponseError) as refusal:
        write(group.name, "g", "again", rule(100, "Inbound")).result()
    assert refusal.value.error.code == "SecurityRuleConflict"
    with pytest.raises(HttpResponseError) as refusal:
        write(group.name, "g", "low", rule(99, "Inbound")).result()
    assert refusal.value.error.code == "SecurityRuleInvalidPriority"
    assert [r.name for r in network.security_rules.list(group.name, "g")] == ["in", "out"]


@pytest.mark.parametrize(
    ("prefixes", "code"),
    [
        (["10.20.0.0/24", "10.20.0.128/25"], "NetcfgSubnetRangesOverlap"),
        (["10.21.0.0/24"], "NetcfgSubnetRangeOutsideVnet"),
        (["10.20.0.1/24"], "InvalidCIDRNotation"),
        (["10.20.0.0/33"], "InvalidAddressPrefixFormat"),
    ],
)
def test_bad_subnets_are_refused(
    network: NetworkManagementClient, group: Group, prefixes: list[str], code: str
) -> None:
    subnets = {f"s{number}": prefix for number, prefix in enumerate(prefixes)}
    with pytest.raises(HttpResponseError) as refusal:
        make_vnet(network, group.name, "bad", "10.20.0.0/16", **subnets)
    assert refusal.value.error.code == code
    assert list(network.virtual_networks.list(group.name)) == []


def test_a_nat_gateway_shows_its_subnets_and_its_address_shows_the_gateway(
    network: NetworkManagementClient, group: Group
) -> None:
    public = make_public(network, group.name)
    body = {**resource(publicIpAddresses=[{"id": public.id}]), "sku": {"name": "Standard"}}
    gateway = network.nat_gateways.begin_create_or_update(group.name, "nat", body).result()
    subnet = {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24", "natGateway": {"id": gateway.id}}}
    space = resource(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[subnet])
    made = network.virtual_networks.begin_create_or_update(group.name, "v", space).result()
    assert [s.id for s in network.nat_gateways.get(group.name, "nat").subnets] == [made.subnets[0].id]
    assert network.public_ip_addresses.get(group.name, "ip").nat_gateway.id == gateway.id
    with pytest.raises(HttpResponseError) as refusal:
        network.nat_gateways.begin_delete(group.name, "nat").result()
    assert refusal.value.error.code == "InUseNatGatewayCannotBeDeleted"


def test_deleting_a_group_deletes_everything_in_it(network: NetworkManagementClient, group: Group) -> None:
    subnet = vnet_of(network, group.name).subnets[0]
    make_nic(network, group.name, "n", subnet.id)
    found = group.send("GET", "/resources").json()["value"]
    assert {entry["type"] for entry in found} == {
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/networkInterfaces",
    }
    answer = group.send("DELETE")
    assert answer.status_code == 202
    assert "Azure-AsyncOperation" not in answer.headers
    url, statuses = answer.headers["Location"], [202]
    while statuses[-1] == 202:
        statuses.append(group.arm.send_request(HttpRequest("GET", url)).status_code)
    assert statuses[-1] == 200
    assert group.send("HEAD").status_code == 404


def test_lists_of_resources_are_filtered_by_type_and_tag(network: NetworkManagementClient, group: Group) -> None:
    write = network.network_security_groups.begin_create_or_update
    write(group.name, "one", {"location": LOCATION, "tags": {"hpc-cluster": "c"}}).result()
    write(group.name, "two", {"location": LOCATION}).result()
    vnet_of(network, group.name)
    by_type = group.send("GET", "/resources?$filter=resourceType eq 'Microsoft.Network/networkSecurityGroups'").json()
    by_tag = group.send("GET", "/resources?$filter=tagName eq 'hpc-cluster' and tagValue eq 'c'").json()
    assert {entry["name"] for entry in by_type["value"]} == {"one", "two"}
    assert [entry["name"] for entry in by_tag["value"]] == ["one"]
    pages = group.send("GET", "/resources?$top=2").json()
    assert len(pages["value"]) == 2
    assert pages["nextLink"].startswith("https://management.azure.com/")
    rest = group.arm.send_request(HttpRequest("GET", pages["nextLink"])).json()
    assert len(rest["value"]) == 1
    assert "nextLink" not in rest


def test_a_group_stays_where_it_is(group: Group) -> None:
    answer = group.send("PUT", body={"location": "eastus"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "InvalidResourceGroupLocation"


def test_a_write_below_a_missing_group_is_refused(network: NetworkManagementClient) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        vnet_of(network, "no-such-group")
    assert refusal.value.status_code == 404
    assert refusal.value.error.code == "ResourceGroupNotFound"


def test_a_stale_etag_is_refused(network: NetworkManagementClient, group: Group) -> None:
    vnet_of(network, group.name)
    path = "/providers/Microsoft.Network/virtualNetworks/v"
    stale = group.send("GET", path).json()
    vnet_of(network, group.name)
    url = f"{group.id}{path}?api-version=2025-04-01"
    answer = group.arm.send_request(HttpRequest("PUT", url, json=stale, headers={"If-Match": stale["etag"]}))
    assert answer.status_code == 412
    assert answer.json()["error"]["code"] == "PreconditionFailed"


def test_a_resource_cannot_move_to_another_region(network: NetworkManagementClient, group: Group) -> None:
    network.network_security_groups.begin_create_or_update(group.name, "g", {"location": LOCATION}).result()
    with pytest.raises(ResourceExistsError) as refusal:
        network.network_security_groups.begin_create_or_update(group.name, "g", {"location": "eastus"}).result()
    assert refusal.value.error.code == "InvalidResourceLocation"
