# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to virtual machines when several things happen at once, or machines fail."""

from __future__ import annotations

import typing as t

import pytest

from sandbox.machines import PowerState

from .conftest import IMAGE, KEY, PROVIDERS, Cloud

VM = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/head"
IMAGE_PATH = f"{PROVIDERS}/Microsoft.Compute/images/node"


@pytest.fixture
def body(cloud: Cloud) -> dict[str, t.Any]:
    nic = f"{PROVIDERS}/Microsoft.Network/networkInterfaces/head-nic"
    addresses = [{"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}]
    cloud.ok("PUT", nic, {"location": "westeurope", "properties": {"ipConfigurations": addresses}})
    cloud.settle()
    return {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "fromImage"}},
            "osProfile": {
                "adminUsername": "azureuser",
                "customData": "I2Nsb3VkLWNvbmZpZwo=",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
            },
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
        },
    }


def test_the_machine_gets_what_the_resource_says(cloud: Cloud, body: dict[str, t.Any]) -> None:
    assert cloud.run("PUT", VM, body)["status"] == "Succeeded"
    spec = cloud.driver.created[0]
    assert (spec.computer_name, spec.private_ip, spec.custom_data) == ("head", "10.0.0.4", b"#cloud-config\n")
    assert (spec.vcpus, spec.memory_mib, spec.ssh_public_keys) == (4, 16384, (KEY["keyData"],))
    told = cloud.core.service("instance_metadata")(cloud.subnet.rsplit("/subnets", 1)[0], "10.0.0.4")
    assert (told["compute"]["name"], told["compute"]["vmSize"]) == ("head", "Standard_D4s_v5")


def test_the_secrets_of_a_request_are_in_no_answer(cloud: Cloud, body: dict[str, t.Any]) -> None:
    first = cloud.send("PUT", VM, body)
    cloud.settle()
    for answer in (first.body, cloud.ok("GET", VM), cloud.ok("GET", f"{VM}?$expand=instanceView,userData")):
        assert "I2Nsb3VkLWNvbmZpZwo" not in str(answer)


def test_a_machine_deleted_while_it_boots_leaves_nothing(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.driver.gate.clear()
    creating = cloud.begin("PUT", VM, body)
    deleting = cloud.begin("DELETE", VM)
    assert cloud.send("POST", f"{VM}/start").body["error"]["code"] == "Conflict"
    cloud.driver.gate.set()
    cloud.end(creating)
    cloud.end(deleting)
    assert cloud.driver.machines() == {}
    assert cloud.send("GET", VM).status == 404


def test_a_failed_machine_is_tried_again_by_the_same_request(cloud: Cloud, body: dict[str, t.Any]) -> None:
    limits = cloud.core.service("compute_limits")
    limits.set_capacity("westeurope", "Standard_D4s_v5", 0)
    ended = cloud.run("PUT", VM, body)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "AllocationFailed")
    assert cloud.ok("GET", VM)["properties"]["provisioningState"] == "Failed"
    limits.set_capacity("westeurope", "Standard_D4s_v5", None)
    assert cloud.run("PUT", VM, body)["status"] == "Succeeded"
    assert cloud.ok("GET", VM)["properties"]["provisioningState"] == "Succeeded"
    assert cloud.driver.machines() == {VM: PowerState.RUNNING}


def test_a_machine_that_found_no_room_when_started_stays_deallocated(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    cloud.run("POST", f"{VM}/deallocate")
    cloud.core.service("compute_limits").set_capacity("westeurope", "Standard_D4s_v5", 0)
    assert cloud.run("POST", f"{VM}/start")["error"]["code"] == "AllocationFailed"
    codes = [status["code"] for status in cloud.ok("GET", f"{VM}/instanceView")["statuses"]]
    assert codes == ["ProvisioningState/failed/AllocationFailed", "PowerState/deallocated"]


def test_an_image_is_captured_once_the_machine_is_ready_for_it(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    image = {
        "location": "westeurope",
        "properties": {"hyperVGeneration": "V2", "sourceVirtualMachine": {"id": VM}},
    }
    refused = cloud.send("PUT", IMAGE_PATH, image)
    assert refused.status == 409
    assert refused.body["error"]["message"] == (
        "The operation 'Create Image' requires the Virtual Machine 'head' to be Generalized."
    )
    cloud.run("POST", f"{VM}/deallocate")
    assert cloud.send("POST", f"{VM}/generalize").status == 200
    assert cloud.run("PUT", IMAGE_PATH, image)["status"] == "Succeeded"
    path = cloud.scale_set("hpc", 1, profile={"storageProfile": {"imageReference": {"id": IMAGE_PATH}}})
    assert cloud.driver.created[-1].image == IMAGE_PATH
    cloud.run("DELETE", IMAGE_PATH)
    assert cloud.states(path) == {"0": "Succeeded"}
    refused = cloud.send("PATCH", path, {"sku": {"capacity": 2}})
    assert (refused.status, refused.body["error"]["code"]) == (404, "NotFound")


def test_a_resize_is_seen_and_charged_to_the_quota(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    change = {"properties": {"hardwareProfile": {"vmSize": "Standard_E8s_v5"}}}
    assert cloud.run("PATCH", VM, change)["status"] == "Succeeded"
    assert cloud.ok("GET", VM)["properties"]["hardwareProfile"]["vmSize"] == "Standard_E8s_v5"
    used = cloud.core.service("compute_limits").usage("00000000-0000-4000-8000-000000000001", "westeurope")
    assert (used["standardESv5Family"], used["standardDSv5Family"], used["cores"]) == (8, 0, 8)


def test_a_data_disk_comes_goes_and_stays(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    disks: list[dict[str, t.Any]] = [{"lun": 0, "name": "data", "createOption": "Empty", "diskSizeGB": 8}]
    cloud.run("PATCH", VM, {"properties": {"storageProfile": {"dataDisks": disks}}})
    path = f"{PROVIDERS}/Microsoft.Compute/disks/data"
    assert cloud.ok("GET", path)["managedBy"] == VM
    assert cloud.send("DELETE", path).body["error"]["code"] == "OperationNotAllowed"
    cloud.run("PATCH", VM, {"properties": {"storageProfile": {"dataDisks": []}}})
    assert cloud.ok("GET", VM)["properties"]["storageProfile"]["dataDisks"] == []
    assert cloud.ok("GET", path)["properties"]["diskState"] == "Unattached"


def test_deleting_the_group_takes_everything_with_it(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    cloud.scale_set("hpc", 2)
    cloud.send("DELETE", PROVIDERS.rsplit("/", 1)[0])
    cloud.settle()
    assert cloud.driver.machines() == {}
    assert cloud.core.store.counts() == {}


def test_a_reimaged_machine_boots_anew(cloud: Cloud, body: dict[str, t.Any]) -> None:
    cloud.run("PUT", VM, body)
    old = cloud.send("POST", f"{VM}/reimage?api-version=2020-06-01")
    assert (old.status, old.body["error"]["code"]) == (409, "OperationNotAllowed")
    assert cloud.run("POST", f"{VM}/reimage")["status"] == "Succeeded"
    assert [spec.computer_name for spec in cloud.driver.created] == ["head", "head"]
    assert cloud.ok("GET", VM)["properties"]["provisioningState"] == "Succeeded"
