"""Building a network once: right order, few requests, nothing twice."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import (
    network,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.azure.arm import SUBSCRIPTION, Arm, session

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network"


def net(**changes: t.Any) -> dict[str, t.Any]:
    return {
        "resource_group": "rg",
        "name": "demo-vnet",
        "location": "westeurope",
        "address_space": ["10.20.0.0/16"],
        "subnets": [
            {"name": "head", "cidr": "10.20.0.0/24", "nat_gateway": True},
            {"name": "compute", "cidr": "10.20.16.0/20", "nat_gateway": True, "ssh": False},
        ],
        "ssh_from": ["198.51.100.0/24"],
        "tags": {"hpc-cluster": "demo"},
        **changes,
    }


def test_a_network_is_made_in_the_order_of_its_dependencies() -> None:
    arm = Arm()
    with session(arm) as azure:
        outcome, ids = network.ensure(azure, net(), check=False)
    made = [name for method, name in arm.writes() if method == "PUT"]
    assert sorted(made[:3]) == ["demo-compute-nsg", "demo-head-nsg", "demo-nat-ip"]
    assert made[3:] == ["demo-nat", "demo-vnet"]
    assert outcome.changed
    assert ids.subnet("head").endswith("/demo-vnet/subnets/head")


def test_a_network_that_is_there_costs_one_read_of_each_part() -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(), check=False)
        arm.sent.clear()
        outcome, _ids = network.ensure(azure, net(), check=False)
    assert not outcome.changed
    assert len(arm.sent) == 5
    assert arm.writes() == []


def test_check_mode_sends_no_write_and_finds_the_same_changes() -> None:
    arm = Arm()
    with session(arm) as azure:
        checked, _ids = network.ensure(azure, net(), check=True)
        assert arm.writes() == []
        done, _ids = network.ensure(azure, net(), check=False)
    assert [write.id for write in checked.writes] == [write.id for write in done.writes]
    assert checked.diff("after") == done.diff("after")


def test_subnets_of_others_survive_an_update() -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(), check=False)
        vnet = arm.resources[f"{NETWORK}/virtualNetworks/demo-vnet".casefold()]
        other = {"name": "theirs", "properties": {"addressPrefix": "10.20.9.0/24", "delegations": [{"name": "d"}]}}
        vnet["properties"]["subnets"].append(other)
        changed = net()
        changed["subnets"][0]["nat_gateway"] = False
        outcome, _ids = network.ensure(azure, changed, check=False)
    (sent,) = [one for one in arm.sent if one.method == "PUT" and one.path.endswith("demo-vnet")][-1:]
    by_name = {one["name"]: one["properties"] for one in sent.body["properties"]["subnets"]}
    assert by_name["theirs"] == other["properties"]
    assert by_name["head"]["natGateway"] is None
    assert [".".join(c.path) for c in outcome.writes[0].changes] == ["properties.subnets.head.properties.natGateway"]


def test_security_groups_are_closed_but_for_what_is_allowed() -> None:
    rule = {"name": "web", "ports": ["80", "443"], "source": ["Internet"]}
    subnet = {"name": "head", "cidr": "10.20.0.0/24", "rules": [rule]}
    found = {one["name"]: one["properties"] for one in network.rules(subnet, net())}
    assert found["deny-inbound"]["access"] == "Deny"
    assert max(one["priority"] for one in found.values()) == found["deny-inbound"]["priority"] == 4096
    assert found["allow-ssh"]["sourceAddressPrefix"] == "198.51.100.0/24"
    assert found["allow-ssh"]["destinationPortRange"] == "22"
    assert found["allow-cluster"]["sourceAddressPrefix"] == found["allow-cluster"]["destinationAddressPrefix"]
    assert found["web"]["destinationPortRanges"] == ["80", "443"]
    assert found["web"]["destinationPortRange"] is None
    assert "allow-ssh" not in [one["name"] for one in network.rules({**subnet, "ssh": False}, net())]
    assert "allow-ssh" not in [one["name"] for one in network.rules(subnet, net(ssh_from=[]))]


def test_a_rule_that_somebody_added_is_removed() -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(), check=False)
        group = arm.resources[f"{NETWORK}/networkSecurityGroups/demo-head-nsg".casefold()]
        group["properties"]["securityRules"].append({"name": "open", "properties": {"access": "Allow"}})
        outcome, _ids = network.ensure(azure, net(), check=False)
    assert [write.id.rsplit("/", 1)[-1] for write in outcome.writes] == ["demo-head-nsg"]
    assert [one["name"] for one in outcome.writes[0].body["properties"]["securityRules"]][-1] == "deny-inbound"


def test_a_network_is_removed_with_the_groups_that_are_found_through_it() -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(), check=False)
        arm.sent.clear()
        outcome, _ids = network.remove(azure, {"resource_group": "rg", "name": "demo-vnet"}, check=False)
        again, _ids = network.remove(azure, {"resource_group": "rg", "name": "demo-vnet"}, check=False)
    gone = [name for method, name in arm.writes() if method == "DELETE"]
    assert (gone[0], gone[-1], len(gone)) == ("demo-vnet", "demo-nat-ip", 5)
    assert outcome.changed
    assert not again.changed
    assert arm.resources == {}


def test_a_gateway_that_no_subnet_uses_any_more_is_deleted() -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(), check=False)
        arm.sent.clear()
        closed = net()
        for subnet in closed["subnets"]:
            subnet["nat_gateway"] = False
        network.ensure(azure, closed, check=False)
        assert arm.writes() == [("PUT", "demo-vnet"), ("DELETE", "demo-nat"), ("DELETE", "demo-nat-ip")]
        assert not network.ensure(azure, closed, check=False)[0].changed


subnet_options = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["head", "compute", "storage"]),
            "cidr": st.sampled_from(["10.20.0.0/24", "10.20.1.0/24"]),
            "nat_gateway": st.booleans(),
            "ssh": st.booleans(),
            "rules": st.lists(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["web", "nfs"]), "ports": st.sampled_from([["80"], ["80", "443"], []])}
                ),
                max_size=2,
                unique_by=lambda rule: str(rule["name"]),
            ),
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda subnet: str(subnet["name"]),
)


@given(
    before=subnet_options, after=subnet_options, ssh=st.sampled_from([[], ["1.2.3.0/24"], ["1.2.3.0/24", "4.5.6.7/32"]])
)
@settings(max_examples=40, deadline=None)
def test_any_network_becomes_any_other_in_one_run(before: t.Any, after: t.Any, ssh: list[str]) -> None:
    arm = Arm()
    with session(arm) as azure:
        network.ensure(azure, net(subnets=before), check=False)
        network.ensure(azure, net(subnets=after, ssh_from=ssh), check=False)
        assert not network.ensure(azure, net(subnets=after, ssh_from=ssh), check=False)[0].changed


def test_subnets_without_a_prefix_are_named_at_once() -> None:
    with session(Arm()) as azure, pytest.raises(AzureError, match="no cidr: a, b"):
        network.ensure(azure, net(subnets=[{"name": "a"}, {"name": "b"}]), check=False)
