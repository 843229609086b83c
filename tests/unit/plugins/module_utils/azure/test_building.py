"""Building things once: machine, image, scale set, group. Right order, few requests, nothing twice."""

from __future__ import annotations

import base64
import gzip
import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import (
    groups,
    images,
    machines,
    scale_sets,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

from tests.unit.plugins.module_utils.azure.arm import SUBSCRIPTION, Answer, Arm, refusal, session

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
KEY = "ssh-ed25519 AAAAC3Nz someone"


def machine(**changes: t.Any) -> dict[str, t.Any]:
    return {
        "resource_group": "rg",
        "name": "demo-head",
        "location": "westeurope",
        "vm_size": "Standard_D4s_v5",
        "image": {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2"},
        "subnet_id": f"{NETWORK}/virtualNetworks/demo-vnet/subnets/head",
        "public_ip": True,
        "admin_username": "azureuser",
        "ssh_public_keys": [KEY],
        "custom_data": "#cloud-config\nsecret: hunter2",
        "os_disk_gib": 64,
        "state": "present",
        "tags": {"hpc-cluster": "demo"},
        **changes,
    }


def scale_set(**changes: t.Any) -> dict[str, t.Any]:
    return {
        **{key: value for key, value in machine().items() if key not in ("public_ip", "state")},
        "name": "demo-htc-d4sv5",
        "computer_name_prefix": "htc",
        "priority": "regular",
        "single_placement_group": False,
        **changes,
    }


# machine


def test_a_machine_is_made_after_its_interface_after_its_address() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
    assert [name for method, name in arm.writes()] == ["demo-head-ip", "demo-head-nic", "demo-head"]
    body = next(one.body for one in arm.sent if one.method == "PUT" and one.path.endswith("/demo-head"))
    assert base64.b64decode(body["properties"]["osProfile"]["customData"]).decode().endswith("hunter2")
    assert body["properties"]["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
    assert body["properties"]["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] == "Delete"


def running(arm: Arm, state: str = "running", **more: str) -> None:
    codes = [{"code": f"PowerState/{state}"}, *({"code": f"{key}/{value}"} for key, value in more.items())]
    arm.resources[f"{COMPUTE}/virtualMachines/demo-head".casefold()]["properties"]["instanceView"] = {"statuses": codes}


def test_a_machine_that_is_there_is_left_alone() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm)
        arm.sent.clear()
        outcome, _ids = machines.ensure(azure, machine(), check=False)
    assert (outcome.changed, len(arm.sent), arm.writes()) == (False, 3, [])


def test_custom_data_is_never_in_the_diff() -> None:
    arm = Arm()
    with session(arm) as azure:
        outcome, _ids = machines.ensure(azure, machine(), check=True)
    shown = json.dumps([outcome.diff("before"), outcome.diff("after")]) + repr(outcome)
    coded = base64.b64encode(machine()["custom_data"].encode()).decode()
    assert "hunter2" not in shown
    assert coded not in shown


def test_another_size_is_a_patch_of_the_size_alone() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm)
        arm.sent.clear()
        machines.ensure(azure, machine(vm_size="Standard_D8s_v5"), check=False)
    (sent,) = [one for one in arm.sent if one.method == "PATCH"]
    assert sent.body == {"properties": {"hardwareProfile": {"vmSize": "Standard_D8s_v5"}}}


def test_a_public_address_that_is_not_wanted_any_more_is_let_go_and_deleted() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm)
        arm.sent.clear()
        machines.ensure(azure, machine(public_ip=False), check=False)
    assert arm.writes() == [("PUT", "demo-head-nic"), ("DELETE", "demo-head-ip")]


@pytest.mark.parametrize(
    ("now", "wanted", "actions"),
    [
        ("running", "present", []),
        ("deallocated", "present", ["start"]),
        ("running", "stopped", ["powerOff"]),
        ("deallocated", "stopped", []),
        ("running", "deallocated", ["deallocate"]),
        ("stopped", "deallocated", ["deallocate"]),
        ("running", "generalized", ["deallocate", "generalize"]),
        ("deallocated", "generalized", ["generalize"]),
    ],
)
def test_a_power_state_is_reached_by_the_actions_it_takes(now: str, wanted: str, actions: list[str]) -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm, now)
        arm.sent.clear()
        checked, _ids = machines.ensure(azure, machine(state=wanted), check=True)
        assert arm.writes() == []
        outcome, _ids = machines.ensure(azure, machine(state=wanted), check=False)
    assert [name for method, name in arm.writes()] == actions
    assert outcome.changed is checked.changed is bool(actions)


def test_a_generalised_machine_cannot_be_started() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm, "deallocated", OSState="generalized")
        with pytest.raises(AzureError, match="never start"):
            machines.ensure(azure, machine(), check=False)
        assert not machines.ensure(azure, machine(state="generalized"), check=False)[0].changed


def test_what_is_missing_to_make_a_machine_is_listed_at_once() -> None:
    with session(Arm()) as azure, pytest.raises(AzureError, match="location, vm_size"):
        machines.ensure(azure, machine(location=None, vm_size=None, state="deallocated"), check=False)


def test_removal_also_finds_what_an_interrupted_creation_left() -> None:
    arm = Arm()
    arm.put(f"{NETWORK}/networkInterfaces/demo-head-nic", {"location": "w"})
    arm.put(f"{NETWORK}/publicIPAddresses/demo-head-ip", {"location": "w"})
    with session(arm) as azure:
        outcome, _ids = machines.remove(azure, machine(state="absent"), check=False)
    assert arm.writes() == [("DELETE", "demo-head-nic"), ("DELETE", "demo-head-ip")]
    assert outcome.changed


def test_a_failing_interface_stops_before_the_machine() -> None:
    arm = Arm()
    arm.script("PUT", "demo-head-nic", refusal(400, "SubnetIsFull", "no address left"))
    with session(arm) as azure, pytest.raises(AzureError, match="no address left"):
        machines.ensure(azure, machine(), check=False)
    assert ("PUT", "demo-head") not in arm.writes()


def test_a_machine_that_could_not_be_made_is_made_again() -> None:
    arm = Arm()
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        arm.resources[f"{COMPUTE}/virtualMachines/demo-head".casefold()]["properties"]["provisioningState"] = "Failed"
        arm.sent.clear()
        outcome, _ids = machines.ensure(azure, machine(), check=False)
    assert arm.writes() == [("PUT", "demo-head")]
    (sent,) = [one for one in arm.sent if one.method == "PUT"]
    assert sent.body["properties"]["storageProfile"]["imageReference"]["publisher"] == "Debian"
    assert outcome.diff("before") == {
        f"{COMPUTE}/virtualMachines/demo-head": {"properties.provisioningState": "Failed"}
    }


def test_a_write_waits_while_azure_is_busy_next_to_it() -> None:
    arm = Arm()
    arm.script("PUT", "demo-head-nic", *[refusal(409, "AnotherOperationInProgress")] * 2)
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
    assert arm.slept[:2] == [2, 5]
    arm.script("PUT", "other-nic", *[refusal(409, "AnotherOperationInProgress")] * 9)
    with session(arm) as azure, pytest.raises(AzureError, match="AnotherOperationInProgress"):
        machines.ensure(azure, machine(name="other"), check=False)


# image


def test_an_image_is_captured_from_a_sealed_machine_once() -> None:
    arm = Arm()
    options = {"resource_group": "images", "name": "node", "source": "demo-head", "source_resource_group": "rg"}
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm)
        arm.sent.clear()
        assert images.ensure(azure, options, check=True).changed
        assert arm.writes() == []
        made = images.ensure(azure, options, check=False)
        assert [name for method, name in arm.writes()] == ["deallocate", "generalize", "node"]
        arm.sent.clear()
        again = images.ensure(azure, {**options, "source": "gone"}, check=False)
    assert made.changed
    assert not again.changed
    assert len(arm.sent) == 1


def test_an_image_is_replaced_only_by_force() -> None:
    arm = Arm()
    options = {"resource_group": "rg", "name": "node", "source": f"{COMPUTE}/virtualMachines/demo-head", "force": True}
    with session(arm) as azure:
        machines.ensure(azure, machine(), check=False)
        running(arm, "deallocated", OSState="generalized")
        arm.put(f"{COMPUTE}/images/node", {"location": "westeurope"})
        arm.sent.clear()
        images.ensure(azure, options, check=False)
    assert arm.writes() == [("DELETE", "node"), ("PUT", "node")]


# scale set


def test_a_scale_set_begins_at_zero_without_overprovisioning() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(priority="spot", max_price=0.5, zones=["2"]), check=False)
    body = arm.sent[1].body
    assert body["sku"] == {"name": "Standard_D4s_v5", "tier": "Standard", "capacity": 0}
    assert (body["properties"]["overprovision"], body["properties"]["orchestrationMode"]) == (False, "Uniform")
    profile = body["properties"]["virtualMachineProfile"]
    assert (profile["priority"], profile["evictionPolicy"], profile["billingProfile"]) == (
        "Spot",
        "Delete",
        {"maxPrice": 0.5},
    )
    assert body["zones"] == ["2"]
    assert profile["osProfile"]["computerNamePrefix"] == "htc"


def test_the_capacity_of_a_scale_set_that_exists_is_never_touched() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(), check=False)
        arm.resources[f"{COMPUTE}/virtualMachineScaleSets/demo-htc-d4sv5".casefold()]["sku"]["capacity"] = 7
        assert not scale_sets.ensure(azure, scale_set(), check=False)[0].changed
        arm.sent.clear()
        outcome, _id = scale_sets.ensure(azure, scale_set(image={"id": f"{COMPUTE}/images/new"}), check=False)
    (sent,) = [one for one in arm.sent if one.method != "GET"]
    assert (sent.method, "sku" in sent.body) == ("PATCH", False)
    reference = sent.body["properties"]["virtualMachineProfile"]["storageProfile"]["imageReference"]
    assert reference == {"id": f"{COMPUTE}/images/new"}
    assert outcome.changed


def test_new_custom_data_is_noticed_by_its_digest_and_sent() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(), check=False)
        arm.sent.clear()
        outcome, _id = scale_sets.ensure(azure, scale_set(custom_data="other"), check=False)
    (sent,) = [one for one in arm.sent if one.method == "PATCH"]
    profile = sent.body["properties"]["virtualMachineProfile"]["osProfile"]
    assert profile == {"customData": base64.b64encode(b"other").decode()}
    assert [".".join(one.path) for one in outcome.writes[0].changes] == ["tags.hpc-custom-data"]


def test_custom_data_that_azure_would_not_take_is_packed_and_the_same_every_time() -> None:
    text = "#cloud-config\n" + "x" * 60_000
    first, second = (machines.os_profile(machine(custom_data=text))["customData"] for _turn in range(2))
    assert first == second
    assert len(first) < 2_000
    assert gzip.decompress(base64.b64decode(first)).decode() == text


def test_instances_are_told_before_they_are_deleted_where_that_is_asked_for() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(), check=False)
        arm.sent.clear()
        for _turn in range(2):
            outcome, _id = scale_sets.ensure(azure, scale_set(terminate_notice=5), check=False)
    (sent,) = [one for one in arm.sent if one.method == "PATCH"]
    told = {"terminateNotificationProfile": {"enable": True, "notBeforeTimeout": "PT5M"}}
    assert sent.body["properties"]["virtualMachineProfile"] == {"scheduledEventsProfile": told}
    assert not outcome.changed


def test_the_autoscalers_memory_survives_an_update() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(), check=False)
        tags = arm.resources[f"{COMPUTE}/virtualMachineScaleSets/demo-htc-d4sv5".casefold()]["tags"]
        tags["hpc-unavailable"] = "1 AllocationFailed 1"
        assert not scale_sets.ensure(azure, scale_set(), check=False)[0].changed
        scale_sets.ensure(azure, scale_set(tags={"owner": "me"}), check=False)
    (sent,) = [one for one in arm.sent if one.method == "PATCH"]
    assert sent.body["tags"]["hpc-unavailable"] == "1 AllocationFailed 1"


def test_what_azure_cannot_change_is_an_error_before_anything_is_sent() -> None:
    arm = Arm()
    with session(arm) as azure:
        scale_sets.ensure(azure, scale_set(), check=False)
        arm.sent.clear()
        with pytest.raises(AzureError, match=r"sku\.name is 'Standard_D4s_v5'"):
            scale_sets.ensure(azure, scale_set(vm_size="Standard_D8s_v5"), check=False)
    assert arm.writes() == []


# resource group and identity


def test_a_group_in_another_location_is_an_error() -> None:
    arm = Arm()
    arm.put(GROUP, {"location": "eastus"})
    with session(arm) as azure, pytest.raises(AzureError, match="cannot be moved"):
        groups.ensure_group(azure, {"name": "rg", "location": "westeurope"}, check=False)


def test_a_group_with_something_in_it_is_deleted_only_by_force() -> None:
    arm = Arm()
    arm.put(GROUP, {"location": "westeurope"})
    arm.script("GET", "/resources$", *[Answer(200, {"value": [{"id": "/x"}]})] * 3)
    with session(arm) as azure:
        with pytest.raises(AzureError, match="not empty"):
            groups.remove_group(azure, {"name": "rg"}, check=False)
        assert groups.remove_group(azure, {"name": "rg", "force": True}, check=True)[1] == ["/x"]
        assert arm.writes() == []
        assert groups.remove_group(azure, {"name": "rg", "force": True}, check=False)[0].changed
        assert not groups.remove_group(azure, {"name": "rg", "force": True}, check=False)[0].changed


def test_an_identity_with_a_relative_location_header_is_no_operation() -> None:
    arm = Arm()
    made = Answer(201, {"id": "/i", "properties": {"principalId": "p"}}, {"Location": "/subscriptions/x"})
    arm.script("PUT", "userAssignedIdentities/one", made)
    arm.script("GET", "userAssignedIdentities/one", Answer(404, {}), Answer(200, made.body))
    with session(arm) as azure:
        options = {"resource_group": "rg", "name": "one", "location": "westeurope"}
        outcome, identity = groups.ensure_identity(azure, options, check=False)
    assert outcome.changed
    assert identity["properties"]["principalId"] == "p"
