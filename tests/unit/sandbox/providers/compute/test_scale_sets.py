# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to scale sets when several things happen at once, or machines fail."""

from __future__ import annotations

import typing as t

import pytest

from sandbox.arm.store import Store
from sandbox.machines import PowerState
from sandbox.providers.compute.limits import Limits

if t.TYPE_CHECKING:
    from .conftest import Cloud


def capacity(number: int) -> dict[str, t.Any]:
    return {"sku": {"capacity": number}}


def test_a_newer_capacity_overtakes_the_one_before_and_all_instances_come(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.driver.gate.clear()
    first, second = cloud.begin("PATCH", path, capacity(2)), cloud.begin("PATCH", path, capacity(3))
    assert cloud.states(path) == {"0": "Creating", "1": "Creating", "2": "Creating"}
    cloud.driver.gate.set()
    overtaken = cloud.end(first)
    assert overtaken["status"] == "Canceled"
    assert overtaken["error"] == {
        "code": "OperationPreempted",
        "message": "Operation execution has been preempted by a more recent operation.",
    }
    assert cloud.end(second)["status"] == "Succeeded"
    assert set(cloud.states(path).values()) == {"Succeeded"}
    assert cloud.ok("GET", path)["properties"]["provisioningState"] == "Succeeded"


def test_an_instance_deleted_while_it_boots_leaves_no_machine(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.driver.gate.clear()
    growing = cloud.begin("PATCH", path, capacity(2))
    deleting = cloud.begin("POST", f"{path}/delete", {"instanceIds": ["1"]})
    assert cloud.ok("GET", path)["sku"]["capacity"] == 1
    cloud.driver.gate.set()
    cloud.end(deleting)
    cloud.end(growing)
    assert cloud.states(path) == {"0": "Succeeded"}
    assert list(cloud.driver.machines()) == [f"{path}/virtualMachines/0"]


def test_numbers_are_never_given_twice(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    cloud.run("POST", f"{path}/delete", {"instanceIds": ["0", "1"]})
    cloud.run("PATCH", path, capacity(1))
    assert list(cloud.states(path)) == ["2"]


def test_a_machine_that_does_not_answer_is_failed_but_runs(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.driver.failing["hpc-000001"] = "OSProvisioningTimedOut"
    ended = cloud.run("PATCH", path, capacity(2))
    assert (ended["status"], ended["error"]["code"], ended["error"]["target"]) == (
        "Failed",
        "OSProvisioningTimedOut",
        "1",
    )
    assert cloud.states(path) == {"0": "Succeeded", "1": "Failed"}
    view = cloud.ok("GET", f"{path}/virtualMachines/1/instanceView")
    assert [status["code"] for status in view["statuses"]] == [
        "ProvisioningState/failed/OSProvisioningTimedOut",
        "PowerState/running",
    ]


def test_a_region_with_room_for_some_gives_those_and_fails_the_rest(cloud: Cloud) -> None:
    limits: Limits = cloud.core.service("compute_limits")
    limits.set_capacity("westeurope", "Standard_D2s_v5", 2)
    path = cloud.scale_set("hpc")
    ended = cloud.run("PATCH", path, capacity(4))
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "AllocationFailed")
    assert list(cloud.states(path).values()) == ["Succeeded", "Succeeded", "Failed", "Failed"]
    limits.set_capacity("westeurope", "Standard_D2s_v5", None)
    cloud.run("POST", f"{path}/delete", {"instanceIds": ["2", "3"]})
    assert cloud.run("PATCH", path, capacity(3))["status"] == "Succeeded"


def test_quota_counts_regular_and_spot_cores_apart_and_forgets_deallocated_ones(cloud: Cloud) -> None:
    limits: Limits = cloud.core.service("compute_limits")
    limits.set_quota("westeurope", "cores", 4)
    limits.set_quota("westeurope", "lowPriorityCores", 2)
    path = cloud.scale_set("reg", 2)
    refused = cloud.send("PATCH", path, capacity(3))
    assert (refused.status, refused.body["error"]["code"]) == (409, "OperationNotAllowed")
    assert "Total Regional Cores quota" in refused.body["error"]["message"]
    assert cloud.states(path) == {"0": "Succeeded", "1": "Succeeded"}
    spot = cloud.scale_set("spot", 1, profile={"priority": "Spot"})
    refused = cloud.send("PATCH", spot, capacity(2))
    assert "LowPriorityCores quota" in refused.body["error"]["message"]
    cloud.run("POST", f"{path}/deallocate", {"instanceIds": ["1"]})
    assert cloud.run("PATCH", path, capacity(3))["status"] == "Succeeded"
    refused = cloud.send("POST", f"{path}/start", {"instanceIds": ["1"]})
    assert refused.body["error"]["code"] == "OperationNotAllowed"


def test_the_machine_is_made_of_what_the_model_says(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    spec = cloud.driver.created[0]
    assert spec.arm_id == f"{path}/virtualMachines/0"
    assert (spec.computer_name, spec.private_ip, spec.mac) == ("hpc-000000", "10.0.0.4", "00-0D-3A-00-00-04")
    assert (spec.admin_username, spec.custom_data) == ("azureuser", b"#cloud-config\n")
    assert (spec.vcpus, spec.memory_mib, spec.image) == (2, 8192, "debian-13")


def test_a_change_of_custom_data_reaches_new_machines_only(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    profile = {"osProfile": {"customData": "bmV3"}}
    cloud.run("PATCH", path, {"properties": {"virtualMachineProfile": profile}})
    cloud.run("PATCH", path, capacity(2))
    assert [spec.custom_data for spec in cloud.driver.created] == [b"#cloud-config\n", b"new"]
    assert "customData" not in str(cloud.ok("GET", path))
    rows = cloud.ok("GET", f"{path}/virtualMachines")["value"]
    assert [row["properties"]["latestModelApplied"] for row in rows] == [False, True]


def test_metadata_is_told_to_the_machine_that_asks(cloud: Cloud) -> None:
    cloud.scale_set("hpc", 2)
    tell = cloud.core.service("instance_metadata")
    vnet = cloud.subnet.rsplit("/subnets", 1)[0]
    told = tell(vnet, "10.0.0.5")
    assert told["resource_id"].endswith("/virtualMachineScaleSets/hpc/virtualMachines/1")
    assert (told["compute"]["vmScaleSetName"], told["compute"]["name"]) == ("hpc", "hpc_1")
    assert told["network"]["interface"][0]["ipv4"]["subnet"] == [{"address": "10.0.0.0", "prefix": "20"}]
    assert tell(vnet, "10.0.0.99") is None


def test_a_list_is_read_page_by_page_without_loss(cloud: Cloud) -> None:
    path = cloud.scale_set("big", 230, singlePlacementGroup=False)
    for kind in ("virtualMachines", "networkInterfaces"):
        seen: list[str] = []
        page = cloud.ok("GET", f"{path}/{kind}")
        while True:
            seen += [row["id"] for row in page["value"]]
            if "nextLink" not in page:
                break
            page = cloud.ok("GET", page["nextLink"].removeprefix("https://management.azure.com"))
        assert len(seen) == len(set(seen)) == 230


def test_deleting_the_scale_set_leaves_no_machine_and_no_address(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 3)
    assert cloud.run("DELETE", path)["status"] == "Succeeded"
    assert cloud.driver.machines() == {}
    assert cloud.send("GET", path).status == 404
    cloud.scale_set("next", 1)
    assert cloud.driver.created[-1].private_ip == "10.0.0.4"


def test_work_that_a_dead_server_left_is_finished_by_the_next(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.driver.gate.clear()
    growing = cloud.begin("PATCH", path, capacity(2))
    cloud.core.operations.close()
    dead = cloud.driver
    cloud.open()
    cloud.core.service("network").apply(cloud.subnet.rsplit("/subnets", 1)[0])
    assert isinstance(cloud.core.store, Store)
    assert cloud.core.operations.resume() == 1
    assert cloud.end(growing)["status"] == "Succeeded"
    assert cloud.states(path) == {"0": "Succeeded", "1": "Succeeded"}
    assert set(cloud.driver.machines().values()) == {PowerState.RUNNING}
    dead.gate.set()


def test_machines_come_back_after_a_restart_and_unknown_ones_go(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    cloud.driver.stop(f"{path}/virtualMachines/1")
    ghost = cloud.driver.spec(f"{path}/virtualMachines/0")
    cloud.driver.delete(ghost.arm_id)
    cloud.core.service("machines_recovered")({**cloud.driver.machines(), "/subscriptions/x/ghost": PowerState.RUNNING})
    for _unused in range(2000):
        if list(cloud.driver.machines().values()) == [PowerState.RUNNING, PowerState.RUNNING]:
            return
        cloud.settle()
    pytest.fail("they did not come back")


def test_if_match_protects_a_capacity_from_being_lowered_by_chance(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    etag = cloud.ok("GET", path)["etag"]
    assert cloud.send("PATCH", path, capacity(2), if_match=etag).status == 200
    assert cloud.send("PATCH", path, capacity(1), if_match=etag).status == 412
    cloud.settle()
    assert cloud.ok("GET", path)["sku"]["capacity"] == 2


def test_an_instance_that_can_not_be_deleted_is_failed_and_counts_again(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    cloud.driver.stuck.add(f"{path}/virtualMachines/1")
    ended = cloud.run("POST", f"{path}/delete", {"instanceIds": ["0", "1"]})
    assert (ended["status"], ended["error"]["target"]) == ("Failed", "1")
    assert cloud.states(path) == {"1": "Failed"}
    assert cloud.ok("GET", path)["sku"]["capacity"] == 1
    cloud.driver.stuck.clear()
    assert cloud.run("POST", f"{path}/delete", {"instanceIds": ["1"]})["status"] == "Succeeded"
    assert cloud.states(path) == {}


def test_an_extension_of_a_scale_set_is_a_part_of_its_model(cloud: Cloud) -> None:
    path = cloud.scale_set("s", 1)
    one = f"{path}/extensions/Script"
    given = {"publisher": "Microsoft.Azure.Extensions", "type": "CustomScript", "typeHandlerVersion": "2.1"}
    secret = {"settings": {"a": 1}, "protectedSettings": {"password": "hidden"}}
    first = cloud.send("PUT", one, {"properties": {**given, **secret}})
    assert (first.status, first.body["properties"]["provisioningState"]) == (201, "Creating")
    assert "protectedSettings" not in first.body["properties"]
    cloud.settle()
    assert cloud.run("PATCH", one, {"properties": {"settings": {"b": 2}}})["status"] == "Succeeded"
    (entry,) = cloud.ok("GET", path)["properties"]["virtualMachineProfile"]["extensionProfile"]["extensions"]
    assert entry["properties"]["settings"] == {"a": 1, "b": 2}
    assert cloud.ok("GET", f"{path}/extensions")["value"] == [cloud.ok("GET", f"{path}/extensions/script")]
    assert cloud.run("DELETE", one)["status"] == "Succeeded"
    assert cloud.send("DELETE", one).status == 204
    assert cloud.send("GET", one).status == 404
    assert cloud.send("PATCH", one, {"properties": {}}).status == 404
    (row,) = cloud.ok("GET", f"{path}/virtualMachines")["value"]
    assert row["properties"]["latestModelApplied"] is False


def test_an_action_may_name_all_instances_in_its_path(cloud: Cloud) -> None:
    path = cloud.scale_set("pool", 2)
    assert cloud.run("POST", f"{path}/virtualMachines/*/deallocate")["status"] == "Succeeded"
    for number in (0, 1):
        statuses = cloud.ok("GET", f"{path}/virtualMachines/{number}/instanceView")["statuses"]
        assert statuses[-1]["code"] == "PowerState/deallocated"
