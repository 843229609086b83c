# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""az: signing in, groups, networks."""

from __future__ import annotations

import pytest

from tests.clients.conftest import LOCATION, Az


@pytest.fixture(scope="module")
def network(az: Az, group: str) -> str:
    """A virtual network ``net`` with the subnet ``nodes``; answers the group."""
    prefixes = ("--address-prefixes", "10.0.0.0/16", "--subnet-name", "nodes", "--subnet-prefixes", "10.0.0.0/24")
    made = az("network", "vnet", "create", "-g", group, "-n", "net", *prefixes)["newVNet"]
    assert made["provisioningState"] == "Succeeded"
    assert [subnet["addressPrefix"] for subnet in made["subnets"]] == ["10.0.0.0/24"]
    return group


def test_the_account_and_a_token_are_the_sandboxs(az: Az) -> None:
    account = az("account", "show")
    assert account["tenantId"] == az.environment["AZURE_TENANT"]
    assert az("account", "get-access-token")["subscription"] == account["id"]
    assert LOCATION in [one["name"] for one in az("account", "list-locations")]


def test_a_wrong_secret_does_not_sign_in(az: Az, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Az(az.environment, tmp_path_factory.mktemp("other"))
    who = ("--username", az.environment["AZURE_CLIENT_ID"], "--tenant", az.environment["AZURE_TENANT"])
    assert "AADSTS7000215" in other.refused("login", "--service-principal", *who, "--password", "wrong")


def test_groups_come_and_go(az: Az) -> None:
    az("group", "create", "-n", "passing", "-l", LOCATION, "--tags", "a=b")
    assert az("group", "show", "-n", "passing")["tags"] == {"a": "b"}
    assert "passing" in [one["name"] for one in az("group", "list", "--tag", "a=b")]
    assert az("group", "update", "-n", "passing", "--set", "tags.a=c")["tags"] == {"a": "c"}
    az("group", "delete", "-n", "passing", "--yes")
    assert az("group", "exists", "-n", "passing") is False
    assert "ResourceGroupNotFound" in az.refused("group", "show", "-n", "passing")


def test_subnets_and_security_groups(az: Az, network: str) -> None:
    az("network", "nsg", "create", "-g", network, "-n", "nsg")
    rule = ("--priority", "100", "--destination-port-ranges", "22", "--access", "Allow", "--protocol", "Tcp")
    az("network", "nsg", "rule", "create", "-g", network, "--nsg-name", "nsg", "-n", "ssh", *rule)
    az("network", "nsg", "rule", "update", "-g", network, "--nsg-name", "nsg", "-n", "ssh", "--priority", "110")
    rules = az("network", "nsg", "rule", "list", "-g", network, "--nsg-name", "nsg")
    assert [(one["name"], one["priority"], one["destinationPortRange"]) for one in rules] == [("ssh", 110, "22")]
    where = ("-g", network, "--vnet-name", "net", "-n", "more")
    az("network", "vnet", "subnet", "create", *where, "--address-prefixes", "10.0.1.0/24")
    az("network", "vnet", "subnet", "update", *where, "--network-security-group", "nsg")
    assert az("network", "vnet", "subnet", "show", *where)["networkSecurityGroup"]["id"].endswith("/nsg")
    names = [one["name"] for one in az("network", "vnet", "subnet", "list", "-g", network, "--vnet-name", "net")]
    assert sorted(names) == ["more", "nodes"]
    assert "InUseNetworkSecurityGroupCannotBeDeleted" in az.refused(
        "network", "nsg", "delete", "-g", network, "-n", "nsg"
    )
    az("network", "vnet", "subnet", "delete", *where)
    az("network", "nsg", "delete", "-g", network, "-n", "nsg")
    assert az("network", "nsg", "list", "-g", network) == []


def test_a_nat_gateway_with_its_address(az: Az, network: str) -> None:
    az("network", "public-ip", "create", "-g", network, "-n", "out", "--sku", "Standard")
    address = az("network", "public-ip", "show", "-g", network, "-n", "out")
    assert (address["publicIPAllocationMethod"], address["provisioningState"]) == ("Static", "Succeeded")
    az("network", "nat", "gateway", "create", "-g", network, "-n", "nat", "--public-ip-addresses", "out")
    az(
        "network",
        "vnet",
        "subnet",
        "update",
        "-g",
        network,
        "--vnet-name",
        "net",
        "-n",
        "nodes",
        "--nat-gateway",
        "nat",
    )
    gateway = az("network", "nat", "gateway", "show", "-g", network, "-n", "nat")
    assert [one["id"].rpartition("/")[2] for one in gateway["subnets"]] == ["nodes"]
    assert [one["name"] for one in az("network", "nat", "gateway", "list", "-g", network)] == ["nat"]
    assert "PublicIPAddressCannotBeDeleted" in az.refused("network", "public-ip", "delete", "-g", network, "-n", "out")


def test_an_interface_holds_its_subnet(az: Az, network: str) -> None:
    az("network", "nic", "create", "-g", network, "-n", "nic", "--vnet-name", "net", "--subnet", "nodes")
    configurations = az("network", "nic", "ip-config", "list", "-g", network, "--nic-name", "nic")
    assert [one["privateIPAddress"] for one in configurations] == ["10.0.0.4"]
    assert "InUseSubnetCannotBeDeleted" in az.refused("network", "vnet", "delete", "-g", network, "-n", "net")
    az("network", "nic", "delete", "-g", network, "-n", "nic")
    assert az("network", "nic", "list", "-g", network) == []
    assert [one["name"] for one in az("network", "vnet", "list", "-g", network)] == ["net"]
    usages = az("network", "list-usages", "-l", LOCATION)
    assert {one["localName"]: one["currentValue"] for one in usages}["Virtual Networks"]
