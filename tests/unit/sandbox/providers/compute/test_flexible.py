# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flexible scale sets: real virtual machines that come and go with a capacity."""

from __future__ import annotations

import re
import typing as t

import pytest

from sandbox.machines import PowerState

from .conftest import IMAGE, PROVIDERS, Cloud

VMS = f"{PROVIDERS}/Microsoft.Compute/virtualMachines"
NICS = f"{PROVIDERS}/Microsoft.Network/networkInterfaces"
DISKS = f"{PROVIDERS}/Microsoft.Compute/disks"


def flexible(cloud: Cloud, capacity: int, **changes: t.Any) -> str:
    return cloud.scale_set("flex", capacity, orchestrationMode="Flexible", **changes)


def names(cloud: Cloud, path: str) -> list[str]:
    return sorted(entry["name"] for entry in cloud.ok("GET", path)["value"])


def grow(cloud: Cloud, path: str, capacity: int) -> dict[str, t.Any]:
    return cloud.run("PATCH", path, {"sku": {"name": "Standard_D2s_v5", "capacity": capacity}})


def test_instances_are_machines_with_interfaces_and_disks_of_their_own(cloud: Cloud) -> None:
    path = flexible(cloud, 2)
    machines = cloud.ok("GET", VMS)["value"]
    assert len(machines) == len(names(cloud, NICS)) == len(names(cloud, DISKS)) == 2
    for machine in machines:
        properties = machine["properties"]
        assert re.fullmatch(r"flex_[0-9a-f]{8}", machine["name"])
        assert re.fullmatch(r"flex-[0-9A-Z]{6}", properties["osProfile"]["computerName"])
        assert properties["virtualMachineScaleSet"]["id"] == path
        assert properties["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
        assert cloud.driver.state(machine["id"]) == PowerState.RUNNING
    assert {spec.custom_data for spec in cloud.driver.created} == {b"#cloud-config\n"}


def test_the_list_of_instances_only_tells_where_they_are(cloud: Cloud) -> None:
    path = flexible(cloud, 1)
    (entry,) = cloud.ok("GET", f"{path}/virtualMachines")["value"]
    assert entry["instanceId"] == entry["name"] == names(cloud, VMS)[0]
    assert "properties" not in entry
    assert entry["zones"] == [None]


def test_a_smaller_capacity_takes_machines_away_with_all_that_is_theirs(cloud: Cloud) -> None:
    path = flexible(cloud, 3)
    assert grow(cloud, path, 1)["status"] == "Succeeded"
    assert len(names(cloud, VMS)) == len(names(cloud, NICS)) == len(names(cloud, DISKS)) == 1
    assert len(cloud.driver.machines()) == 1


def test_chosen_machines_are_deleted_and_counted_off(cloud: Cloud) -> None:
    path = flexible(cloud, 2)
    first, second = names(cloud, VMS)
    assert cloud.run("POST", f"{path}/delete", {"instanceIds": [first]})["status"] == "Succeeded"
    assert names(cloud, VMS) == [second]
    assert cloud.ok("GET", path)["sku"]["capacity"] == 1
    refused = cloud.send("POST", f"{path}/delete", {"instanceIds": [first]})
    assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidParameter")


def test_a_machine_deleted_by_itself_is_counted_off_too(cloud: Cloud) -> None:
    path = flexible(cloud, 2)
    cloud.run("DELETE", f"{VMS}/{names(cloud, VMS)[0]}")
    assert cloud.ok("GET", path)["sku"]["capacity"] == 1


def test_machines_that_do_not_come_up_stay_failed_and_fail_the_operation(cloud: Cloud) -> None:
    cloud.core.service("compute_limits").set_capacity("westeurope", "Standard_D2s_v5", 1)
    path = flexible(cloud, 1)
    ended = grow(cloud, path, 2)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "AllocationFailed")
    states = sorted(machine["properties"]["provisioningState"] for machine in cloud.ok("GET", VMS)["value"])
    assert states == ["Failed", "Succeeded"]
    assert cloud.ok("GET", path)["properties"]["provisioningState"] == "Failed"


def test_power_of_all_machines(cloud: Cloud) -> None:
    path = flexible(cloud, 2)
    assert cloud.run("POST", f"{path}/deallocate")["status"] == "Succeeded"
    for name in names(cloud, VMS):
        codes = [status["code"] for status in cloud.ok("GET", f"{VMS}/{name}/instanceView")["statuses"]]
        assert "PowerState/deallocated" in codes


def test_quota_counts_a_flexible_machine_once(cloud: Cloud) -> None:
    flexible(cloud, 2)
    place = f"{PROVIDERS.split('/resourceGroups')[0]}/providers/Microsoft.Compute/locations/westeurope/usages"
    used = {entry["name"]["value"]: entry["currentValue"] for entry in cloud.ok("GET", place)["value"]}
    assert (used["cores"], used["virtualMachines"]) == (4, 2)


def test_the_scale_set_goes_with_its_machines(cloud: Cloud) -> None:
    path = flexible(cloud, 2)
    assert cloud.run("DELETE", path)["status"] == "Succeeded"
    assert not names(cloud, VMS)
    assert not names(cloud, NICS)
    assert cloud.send("GET", path).status == 404


def test_extensions_of_the_model_are_on_every_machine(cloud: Cloud) -> None:
    extension = {"name": "Health", "properties": {"publisher": "P", "type": "T", "typeHandlerVersion": "1.0"}}
    flexible(cloud, 1, profile={"extensionProfile": {"extensions": [extension]}})
    (machine,) = cloud.ok("GET", VMS)["value"]
    read = cloud.ok("GET", machine["id"])
    (shown,) = read["resources"]
    assert (shown["name"], shown["properties"]["provisioningState"]) == ("Health", "Succeeded")


def test_the_network_is_told_of_many_new_machines_at_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has an interface with rules of its own; the network is drawn when all are stored, and not for each."""
    cloud.ok("PUT", f"{PROVIDERS}/Microsoft.Network/networkSecurityGroups/rules", {"location": "westeurope"})
    cloud.settle()
    rules = {"id": f"{PROVIDERS}/Microsoft.Network/networkSecurityGroups/rules"}
    address = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = {"name": "nic", "properties": {"networkSecurityGroup": rules, "ipConfigurations": [address]}}
    monkeypatch.setattr(cloud.core.operations, "_start", lambda *_unused: None)
    drawn: list[int] = []
    monkeypatch.setattr(cloud.driver, "apply_network", lambda state: drawn.append(len(state.nics)))
    profile = {
        "osProfile": {"computerNamePrefix": "f-", "adminUsername": "a", "adminPassword": "Secret-of-12-letters"},
        "storageProfile": {"imageReference": IMAGE},
        "networkProfile": {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [nic]},
    }
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard_D2s_v5", "capacity": 12},
        "properties": {"orchestrationMode": "Flexible", "virtualMachineProfile": profile},
    }
    cloud.ok("PUT", f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/many", body)
    assert drawn == [12]
