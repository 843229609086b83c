# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents: when they report first; who has the extensions in the model of a scale set."""

from __future__ import annotations

import typing as t

from sandbox.clock import clock

from .conftest import PROVIDERS

if t.TYPE_CHECKING:
    from .conftest import Cloud

AGENT = {
    "publisher": "Microsoft.Azure.Monitor",
    "type": "AzureMonitorLinuxAgent",
    "typeHandlerVersion": "1.21",
    "protectedSettings": {"key": "hidden"},
}


def test_instances_have_the_extensions_of_the_model_that_they_were_made_of(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    cloud.run("PUT", f"{path}/extensions/AzureMonitorLinuxAgent", {"properties": AGENT})
    cloud.run("PATCH", path, {"sku": {"capacity": 2}})
    old, new = (cloud.ok("GET", f"{path}/virtualMachines/{number}?$expand=instanceView") for number in (0, 1))
    assert "resources" not in old
    (agent,) = new["resources"]
    assert (agent["name"], agent["properties"]["provisioningState"]) == ("AzureMonitorLinuxAgent", "Succeeded")
    assert "hidden" not in str(new)
    (told,) = new["properties"]["instanceView"]["extensions"]
    assert told["type"] == "Microsoft.Azure.Monitor.AzureMonitorLinuxAgent"


def windows(cloud: Cloud) -> str:
    image = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2022-datacenter-g2"}
    own = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = f"{PROVIDERS}/Microsoft.Network/networkInterfaces/nic"
    cloud.ok("PUT", nic, {"location": "westeurope", "properties": {"ipConfigurations": [own]}})
    cloud.settle()
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "osProfile": {"computerName": "win", "adminUsername": "someone", "adminPassword": "Password-1234"},
        "storageProfile": {
            "imageReference": {**image, "version": "latest"},
            "osDisk": {"createOption": "FromImage"},
        },
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }
    path = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/win"
    cloud.run("PUT", path, {"location": "westeurope", "properties": properties})
    return path


def attached(cloud: Cloud, name: str, creation: dict[str, t.Any]) -> str:
    """A machine that boots from a disk that was made so."""
    disk = f"{PROVIDERS}/Microsoft.Compute/disks/{name}"
    given = {"creationData": creation, "diskSizeGB": 30, "osType": "Linux", "hyperVGeneration": "V2"}
    cloud.run("PUT", disk, {"location": "westeurope", "properties": given})
    nic = f"{PROVIDERS}/Microsoft.Network/networkInterfaces/{name}"
    own = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    cloud.ok("PUT", nic, {"location": "westeurope", "properties": {"ipConfigurations": [own]}})
    cloud.settle()
    storage = {"osDisk": {"createOption": "Attach", "osType": "Linux", "managedDisk": {"id": disk}}}
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": storage,
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }
    path = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/{name}"
    assert cloud.run("PUT", path, {"location": "westeurope", "properties": properties})["status"] == "Succeeded"
    return path


def test_nobody_waits_for_the_agent_of_a_disk_that_is_attached(cloud: Cloud) -> None:
    clock.stop(0.0)
    try:
        empty = attached(cloud, "empty", {"createOption": "Empty"})
        copy = {"createOption": "Copy", "sourceResourceId": f"{PROVIDERS}/Microsoft.Compute/disks/empty"}
        copied = attached(cloud, "copied", copy)
        assert [agent_of(cloud, path) for path in (empty, copied)] == ["Not Ready", "Not Ready"]
        clock.advance(10)
        assert [agent_of(cloud, path) for path in (empty, copied)] == ["Not Ready", "Ready"]
        storage = cloud.ok("GET", copied)["properties"]["storageProfile"]
        assert storage["diskControllerType"] == "SCSI"
    finally:
        clock.real()


def agent_of(cloud: Cloud, path: str) -> str:
    view = cloud.ok("GET", f"{path}?$expand=instanceView")["properties"]["instanceView"]
    assert view["statuses"][-1]["code"] == "PowerState/running"
    assert ("osName" in view) == (view["vmAgent"]["statuses"][0]["displayStatus"] == "Ready")
    return str(view["vmAgent"]["statuses"][0]["displayStatus"])


def test_the_agent_of_windows_reports_a_while_after_the_machine_is_there(cloud: Cloud) -> None:
    clock.stop(0.0)
    try:
        path = windows(cloud)
        assert agent_of(cloud, path) == "Not Ready"
        clock.advance(10)
        assert agent_of(cloud, path) == "Ready"
    finally:
        clock.real()


def test_an_extension_waits_for_the_agent(cloud: Cloud) -> None:
    clock.stop(0.0)
    try:
        path = windows(cloud)
        cloud.run("PUT", f"{path}/extensions/a", {"location": "westeurope", "properties": AGENT})
        assert agent_of(cloud, path) == "Ready"
    finally:
        clock.real()
