# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that bring their interfaces along, extensions, commands, and disks that come with an image."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import IMAGE, KEY, PROVIDERS, Cloud

VM = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/head"
NICS = f"{PROVIDERS}/Microsoft.Network/networkInterfaces"
ADDRESSES = f"{PROVIDERS}/Microsoft.Network/publicIPAddresses"


@pytest.fixture
def body(cloud: Cloud) -> dict[str, t.Any]:
    public = {"name": "pip", "sku": {"name": "Standard"}}
    address = {"subnet": {"id": cloud.subnet}, "publicIPAddressConfiguration": public}
    nic = {"ipConfigurations": [{"name": "ip", "properties": address}]}
    return {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"imageReference": IMAGE},
            "osProfile": {
                "adminUsername": "azureuser",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
            },
            "networkProfile": {
                "networkApiVersion": "2022-11-01",
                "networkInterfaceConfigurations": [{"name": "nic", "properties": nic}],
            },
        },
    }


def test_interfaces_and_addresses_come_and_go_with_the_machine(cloud: Cloud, body: dict[str, t.Any]) -> None:
    assert cloud.run("PUT", VM, body)["status"] == "Succeeded"
    cloud.settle()
    (nic,) = cloud.ok("GET", NICS)["value"]
    (public,) = cloud.ok("GET", ADDRESSES)["value"]
    shown = cloud.ok("GET", VM)["properties"]["networkProfile"]["networkInterfaces"]
    assert shown == [{"id": nic["id"], "properties": {"primary": True, "deleteOption": "Delete"}}]
    assert nic["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"]["id"] == public["id"]
    cloud.run("DELETE", VM)
    assert cloud.ok("GET", NICS)["value"] == cloud.ok("GET", ADDRESSES)["value"] == []


def test_a_refusal_of_the_network_refuses_the_machine_and_leaves_nothing(cloud: Cloud, body: dict[str, t.Any]) -> None:
    configuration = body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]["properties"]
    configuration["ipConfigurations"][0]["properties"]["subnet"]["id"] += "-not"
    refused = cloud.send("PUT", VM, body)
    assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidResourceReference")
    assert cloud.send("GET", VM).status == 404
    assert cloud.ok("GET", ADDRESSES)["value"] == []


def test_an_extension_is_shown_with_its_machine_and_by_its_agent(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    asked = {"publisher": "P", "type": "T", "typeHandlerVersion": "1.0", "protectedSettings": {"key": "hidden"}}
    first = cloud.send("PUT", f"{VM}/extensions/e", {"location": "westeurope", "properties": asked})
    cloud.settle()
    read = cloud.ok("GET", f"{VM}?$expand=instanceView")
    assert first.status == 201
    assert [entry["name"] for entry in read["resources"]] == ["e"]
    assert read["properties"]["instanceView"]["extensions"][0]["type"] == "P.T"
    assert "hidden" not in str(first.body) + str(read)
    cloud.run("DELETE", f"{VM}/extensions/e")
    assert "resources" not in cloud.ok("GET", VM)


def test_extensions_and_commands_need_a_machine_that_runs(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    cloud.run("POST", f"{VM}/deallocate")
    for method, path, asked in (
        ("PUT", f"{VM}/extensions/e", {"location": "westeurope", "properties": {}}),
        ("POST", f"{VM}/runCommand", {"commandId": "RunShellScript", "script": ["true"]}),
    ):
        refused = cloud.send(method, path, asked)
        assert (refused.status, refused.body["error"]["code"]) == (409, "OperationNotAllowed")


def test_low_priority_may_be_called_spot_later(cloud: Cloud, body: dict[str, t.Any]) -> None:
    body["properties"]["priority"] = "Low"
    cloud.run("PUT", VM, body)
    assert cloud.send("PATCH", VM, {"properties": {"priority": "Spot"}}).status == 200
    cloud.settle()
    assert cloud.ok("GET", VM)["properties"]["priority"] == "Spot"
    refused = cloud.send("PATCH", VM, {"properties": {"priority": "Regular"}})
    assert (refused.status, refused.body["error"]["target"]) == (409, "priority")


def test_rolling_upgrades_are_told_and_can_be_cancelled(cloud: Cloud) -> None:
    path = cloud.scale_set("pool", 1)
    assert cloud.send("GET", f"{path}/rollingUpgrades/latest").status == 404
    assert cloud.run("POST", f"{path}/osRollingUpgrade")["status"] == "Succeeded"
    told = cloud.ok("GET", f"{path}/rollingUpgrades/latest")["properties"]
    assert (told["runningStatus"]["code"], told["progress"]["successfulInstanceCount"]) == ("Completed", 1)
    over = cloud.send("POST", f"{path}/rollingUpgrades/cancel")
    assert (over.status, over.body["error"]["code"]) == (409, "OperationNotAllowed")
    cloud.core.store.update(path, lambda row: row.internal["rolling"].update(code="RollingForward"))
    assert cloud.run("POST", f"{path}/rollingUpgrades/cancel")["status"] == "Succeeded"
    assert cloud.ok("GET", f"{path}/rollingUpgrades/latest")["properties"]["runningStatus"]["code"] == "Cancelled"
