# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.arm.core import Core, Settings
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Store
from sandbox.providers.network.addresses import Addresses, mac, usable

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
SUBNET = f"{VNET}/subnets/a"


def owner(number: int) -> str:
    return f"{VNET.replace('virtualNetworks/v', 'networkInterfaces')}/n{number}/ipConfigurations/c"


@pytest.mark.parametrize(
    ("prefix", "first", "last"), [("10.0.0.0/24", "10.0.0.4", "10.0.0.254"), ("10.0.0.0/29", "10.0.0.4", "10.0.0.6")]
)
def test_azure_keeps_the_first_four_addresses_and_the_last(prefix: str, first: str, last: str) -> None:
    numbers = usable(ipaddress.IPv4Network(prefix))
    assert (str(ipaddress.IPv4Address(numbers[0])), str(ipaddress.IPv4Address(numbers[-1]))) == (first, last)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30))
def test_no_address_is_ever_given_to_two_owners(steps: list[tuple[bool, int]]) -> None:
    with TemporaryDirectory() as directory:
        core = Core(Settings(Path(directory)), Store(Path(directory) / "state.db"))
        addresses, held = Addresses(core), dict[int, str]()
        for taking, number in steps:
            if not taking:
                addresses.release([owner(number)])
                held.pop(number, None)
            elif len(held) < 3 or number in held:
                given_ = addresses.allocate(SUBNET, "10.0.0.0/29", [owner(number)])[0]
                assert held.setdefault(number, given_) == given_
            else:
                with pytest.raises(ArmError, match="SubnetIsFull"):
                    addresses.allocate(SUBNET, "10.0.0.0/29", [owner(number)])
            assert len(set(held.values())) == len(held)
            assert [taken.address for taken in addresses.in_subnet(SUBNET)] == sorted(held.values())
        core.store.close()


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ("10.0.1.4", "PrivateIPAddressNotInSubnet"),
        ("10.0.0.3", "PrivateIPAddressInReservedRange"),
        ("10.0.0.255", "PrivateIPAddressInReservedRange"),
        ("10.0.0.9", "PrivateIPAddressIsAllocated"),
    ],
)
def test_a_static_address_must_be_free_and_in_the_subnet(tmp_path: Path, wanted: str, code: str) -> None:
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    addresses = Addresses(core)
    assert addresses.allocate(SUBNET, "10.0.0.0/24", [owner(1)], wanted="10.0.0.9") == ["10.0.0.9"]
    with pytest.raises(ArmError, match=code):
        addresses.allocate(SUBNET, "10.0.0.0/24", [owner(2)], wanted=wanted)


def test_many_are_given_at_once_and_released_together(tmp_path: Path) -> None:
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    addresses = Addresses(core)
    given_ = addresses.allocate(SUBNET, "10.0.0.0/16", [owner(number) for number in range(1000)])
    assert len(set(given_)) == 1000
    addresses.release_below(owner(1).rpartition("/n1/")[0])
    assert addresses.in_subnet(SUBNET) == []


def test_hardware_addresses_follow_from_addresses() -> None:
    assert mac("10.20.0.255") == "00-0D-3A-14-00-FF"


def network(arm: Arm) -> dict[str, Any]:
    """A network with a security group on its subnet, a NAT gateway and an interface with a public address."""
    base = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Network"
    standard = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    for name in ("ip", "nat-ip"):
        arm.make(f"{base}/publicIPAddresses/{name}", standard)
    rule = {"access": "Allow", "direction": "Inbound", "priority": 100, "protocol": "Tcp", "sourcePortRange": "*"}
    rule |= {
        "destinationPortRange": "22",
        "sourceAddressPrefixes": ["198.51.100.0/24"],
        "destinationAddressPrefix": "*",
    }
    arm.make(
        f"{base}/networkSecurityGroups/n", {"properties": {"securityRules": [{"name": "ssh", "properties": rule}]}}
    )
    gateway = {"publicIpAddresses": [{"id": f"{base}/publicIPAddresses/nat-ip"}]}
    arm.make(f"{base}/natGateways/nat", {"sku": {"name": "Standard"}, "properties": gateway})
    subnet = {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": f"{base}/networkSecurityGroups/n"}}
    subnet["natGateway"] = {"id": f"{base}/natGateways/nat"}
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "a", "properties": subnet}]}
    vnet = arm.make(f"{base}/virtualNetworks/v", {"properties": space})
    configuration = {"subnet": {"id": f"{base}/virtualNetworks/v/subnets/a"}}
    configuration["publicIPAddress"] = {"id": f"{base}/publicIPAddresses/ip"}
    nic = {"ipConfigurations": [{"name": "c", "properties": configuration}]}
    arm.make(f"{base}/networkInterfaces/nic", {"properties": nic})
    return vnet


class Recorder:
    """Stands where the driver does and remembers what it is told about networks."""

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.removed: list[str] = []

    def apply_network(self, state: Any) -> None:
        self.applied.append(state)

    def reserved_public_addresses(self) -> tuple[str, ...]:
        return ()

    def remove_network(self, vnet_id: str) -> None:
        self.removed.append(vnet_id)


def test_the_driver_is_told_what_decides_about_packets(arm: Arm) -> None:
    recorder = Recorder()
    arm.core.driver = recorder  # type: ignore[assignment]
    vnet = network(arm)
    last = recorder.applied[-1]
    assert (last.vnet_id, last.address_prefixes) == (vnet["id"], ("10.0.0.0/16",))
    subnet, nic = last.subnets[0], last.nics[0]
    assert subnet.prefix == "10.0.0.0/24"
    assert [(r.name, r.source_prefixes, r.destination_ports) for r in subnet.rules] == [
        ("ssh", ("198.51.100.0/24",), ("22",))
    ]
    assert (nic.private_ip, nic.rules) == ("10.0.0.4", None)
    addresses = [*subnet.nat_public_ips, nic.public_ip]
    assert len(set(addresses)) == 2
    assert all(address.startswith("203.0.113.") for address in addresses)


def test_the_driver_hears_of_a_changed_rule_and_not_of_a_changed_tag(arm: Arm) -> None:
    recorder = Recorder()
    arm.core.driver = recorder  # type: ignore[assignment]
    network(arm)
    told = len(recorder.applied)
    group = "/providers/Microsoft.Network/networkSecurityGroups/n"
    arm.send("PATCH", group, {"tags": {"a": "b"}})
    arm.wait()
    assert len(recorder.applied) == told
    arm.send("DELETE", f"{group}/securityRules/ssh")
    arm.wait()
    assert recorder.applied[-1].subnets[0].rules == ()


def test_deleting_the_group_removes_the_network_from_the_driver(arm: Arm) -> None:
    recorder = Recorder()
    arm.core.driver = recorder  # type: ignore[assignment]
    vnet = network(arm)
    arm.send("DELETE", "")
    arm.wait()
    assert recorder.removed[-1] == vnet["id"].lower()
    assert arm.core.store.counts() == {}


def test_public_addresses_do_not_end_with_the_first_network(arm: Arm) -> None:
    addresses = Addresses(arm.core)
    owners = [f"{VNET.replace('virtualNetworks/v', 'publicIPAddresses')}/ip{number}" for number in range(800)]
    given = [addresses.public(owner) for owner in owners]
    assert len(set(given)) == len(owners)
    assert {address.rpartition(".")[0] for address in given[:254]} == {"203.0.113"}
    assert not any(ipaddress.ip_address(address).is_global for address in given)
    assert [addresses.public(owner) for owner in owners] == given
