# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""az: scale sets of both kinds. ``vmss create`` sends a template deployment."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Az

DEBIAN = "Debian:debian-13:13-gen2:latest"
USER = ("--admin-username", "azureuser", "--ssh-key-values", "key.pub")


def instances(az: Az, group: str, name: str) -> list[str]:
    return sorted(one["instanceId"] for one in az("vmss", "list-instances", "-g", group, "-n", name))


@pytest.fixture(scope="module")
def uniform(az: Az, group: str) -> str:
    """A Uniform scale set ``set`` of two, with network and load balancer; answers the group."""
    kind = ("--orchestration-mode", "Uniform", "--vm-sku", "Standard_D2s_v5", "--instance-count", "2")
    made = az("vmss", "create", "-g", group, "-n", "set", "--image", DEBIAN, *kind, *USER)["vmss"]
    assert (made["orchestrationMode"], made["provisioningState"]) == ("Uniform", "Succeeded")
    return group


def test_a_scale_set_grows_and_gives_back(az: Az, uniform: str) -> None:
    before = instances(az, uniform, "set")
    assert len(before) == 2
    assert az("vmss", "scale", "-g", uniform, "-n", "set", "--new-capacity", "4")["sku"]["capacity"] == 4
    grown = instances(az, uniform, "set")
    assert len(grown) == 4
    assert set(before) < set(grown)
    az("vmss", "delete-instances", "-g", uniform, "-n", "set", "--instance-ids", *before)
    assert instances(az, uniform, "set") == sorted(set(grown) - set(before))
    assert az("vmss", "show", "-g", uniform, "-n", "set")["sku"]["capacity"] == 2
    assert [one["name"] for one in az("vmss", "list", "-g", uniform)] == ["set"]


def test_a_scale_sets_machines_stop_and_start(az: Az, uniform: str) -> None:
    at = ("-g", uniform, "-n", "set")
    for command, code in (
        ("stop", "stopped"),
        ("start", "running"),
        ("deallocate", "deallocated"),
        ("start", "running"),
    ):
        az("vmss", command, *at)
        views = az("vmss", "get-instance-view", *at, "--instance-id", "*")
        assert {view["statuses"][-1]["code"] for view in views} == {f"PowerState/{code}"}
    for command in ("restart", "reimage"):
        az("vmss", command, *at)
    az("vmss", "update", *at, "--set", "tags.a=b")
    az("vmss", "update-instances", *at, "--instance-ids", "*")
    assert all(one["latestModelApplied"] for one in az("vmss", "list-instances", *at))


def test_a_scale_sets_addresses(az: Az, uniform: str) -> None:
    at = ("-g", uniform, "-n", "set")
    assert len(az("vmss", "nic", "list", "-g", uniform, "--vmss-name", "set")) == 2
    assert az("vmss", "list-instance-public-ips", *at) == []
    assert len(az("vmss", "list-instance-connection-info", *at)) == 2
    assert {one["resourceType"] for one in az("vmss", "list-skus", *at)} == {
        "Microsoft.Compute/virtualMachineScaleSets"
    }


def test_a_flexible_scale_set_of_spot_machines(az: Az, uniform: str) -> None:
    spot = ("--priority", "Spot", "--eviction-policy", "Delete", "--single-placement-group", "false")
    size = ("--vm-sku", "Standard_D2s_v5", "--instance-count", "2", "--load-balancer", "")
    made = az("vmss", "create", "-g", uniform, "-n", "flex", "--image", DEBIAN, *size, *USER, *spot)["vmss"]
    assert made["orchestrationMode"] == "Flexible"
    names = instances(az, uniform, "flex")
    members = az("vm", "list", "-g", uniform, "--vmss", "flex")
    assert sorted(one["name"] for one in members) == names
    assert {one["evictionPolicy"] for one in members} == {"Delete"}
    az("vmss", "scale", "-g", uniform, "-n", "flex", "--new-capacity", "3")
    az("vmss", "delete-instances", "-g", uniform, "-n", "flex", "--instance-ids", names[0])
    left = instances(az, uniform, "flex")
    assert len(left) == 2
    assert names[0] not in left
    az("vmss", "delete", "-g", uniform, "-n", "flex")
    assert az("vm", "list", "-g", uniform) == []


def test_a_scale_set_in_one_placement_group(az: Az, uniform: str) -> None:
    az("ppg", "create", "-g", uniform, "-n", "near", "--type", "Standard")
    kind = ("--orchestration-mode", "Uniform", "--vm-sku", "Standard_HB120rs_v3", "--instance-count", "0")
    one = ("--single-placement-group", "true", "--load-balancer", "", "--ppg", "near")
    az("vmss", "create", "-g", uniform, "-n", "hpc", "--image", DEBIAN, *kind, *USER, *one)
    assert az("vmss", "show", "-g", uniform, "-n", "hpc")["singlePlacementGroup"] is True
    sets = az("ppg", "show", "-g", uniform, "-n", "near")["virtualMachineScaleSets"]
    assert [entry["id"].rpartition("/")[2].lower() for entry in sets] == ["hpc"]


def test_a_group_is_deleted_with_all_it_holds(az: Az, uniform: str) -> None:
    az("group", "delete", "-n", uniform, "--yes")
    assert az("group", "exists", "-n", uniform) is False
    assert az("vmss", "list") == []
