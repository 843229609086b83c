# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From request bodies to resources."""

from __future__ import annotations

import base64
import copy
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.arm import ids
from sandbox.arm.errors import ArmError
from sandbox.providers.compute import instance_shape, shapes, sizes, views, vm_shape, vmss_shape
from sandbox.providers.compute.machines import decode
from sandbox.providers.compute.shapes import ImageFacts

GROUP = "/subscriptions/s/resourceGroups/rg/providers"
VM = ids.parse(f"{GROUP}/Microsoft.Compute/virtualMachines/vm1")
VMSS = ids.parse(f"{GROUP}/Microsoft.Compute/virtualMachineScaleSets/hpc")
SUBNET = f"{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s"
IMAGE = ImageFacts(os="Linux", generation="V2", gib=30, exact_version="0.1.2")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def d2s() -> sizes.Size:
    size = sizes.find("Standard_D2s_v5")
    assert size is not None
    return size


def vm_request() -> dict[str, t.Any]:
    return {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
            },
            "osProfile": {"adminUsername": "azureuser", "linuxConfiguration": {"disablePasswordAuthentication": True}},
            "networkProfile": {"networkInterfaces": [{"id": f"{GROUP}/Microsoft.Network/networkInterfaces/n"}]},
        },
    }


def scale_set_request(**changes: t.Any) -> dict[str, t.Any]:
    address = {"name": "ip", "properties": {"subnet": {"id": SUBNET}}}
    return {
        "location": "westeurope",
        "sku": {"name": "Standard_D2s_v5", "capacity": 3},
        "properties": {
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": {
                "osProfile": {"computerNamePrefix": "hpc-", "adminUsername": "azureuser"},
                "storageProfile": vm_request()["properties"]["storageProfile"],
                "networkProfile": {
                    "networkInterfaceConfigurations": [{"name": "nic", "properties": {"ipConfigurations": [address]}}]
                },
            },
            **changes,
        },
    }


class TestVirtualMachine:
    def test_gets_the_values_that_azure_fills_in(self) -> None:
        body = vm_shape.new_body(VM, vm_request(), "westeurope", d2s(), IMAGE, 0.0)
        properties = body["properties"]
        disk = properties["storageProfile"]["osDisk"]
        assert disk["name"].startswith("vm1_OsDisk_1_")
        assert disk["managedDisk"]["id"].endswith(disk["name"])
        assert {key: disk[key] for key in ("osType", "createOption", "caching", "deleteOption", "diskSizeGB")} == {
            "osType": "Linux",
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "deleteOption": "Detach",
            "diskSizeGB": 30,
        }
        assert properties["storageProfile"]["imageReference"]["exactVersion"] == "0.1.2"
        assert properties["osProfile"] == {
            "computerName": "vm1",
            "adminUsername": "azureuser",
            "linuxConfiguration": {
                "disablePasswordAuthentication": True,
                "provisionVMAgent": True,
                "patchSettings": {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"},
            },
            "secrets": [],
            "allowExtensionOperations": True,
            "requireGuestProvisionSignal": True,
        }
        assert properties["timeCreated"] == "1970-01-01T00:00:00.0000000+00:00"

    def test_has_no_disk_ids_in_the_first_answer(self) -> None:
        request = vm_request()
        body = vm_shape.new_body(VM, request, "westeurope", d2s(), IMAGE, 0.0)
        disk = vm_shape.accepted(body, request)["properties"]["storageProfile"]["osDisk"]
        assert "name" not in disk
        assert "id" not in disk["managedDisk"]

    def test_an_update_without_news_changes_nothing(self) -> None:
        body = vm_shape.new_body(VM, vm_request(), "westeurope", d2s(), IMAGE, 0.0)
        assert vm_shape.nothing_but_tags(body, vm_shape.updated(VM, body, vm_request(), d2s()))
        vm_shape.check_unchanged(body, vm_request(), {}, {})

    def test_its_own_answer_sent_back_changes_nothing(self) -> None:
        body = vm_shape.new_body(VM, vm_request(), "westeurope", d2s(), IMAGE, 0.0)
        vm_shape.check_unchanged(body, copy.deepcopy(body), {}, {})
        assert vm_shape.nothing_but_tags(body, vm_shape.updated(VM, body, copy.deepcopy(body), d2s()))

    def test_a_detached_disk_is_shown_leaving_and_an_attached_one_gets_its_name(self) -> None:
        request = vm_request()
        request["properties"]["storageProfile"]["dataDisks"] = [{"lun": 0, "createOption": "Empty", "diskSizeGB": 1}]
        body = vm_shape.new_body(VM, request, "westeurope", d2s(), IMAGE, 0.0)
        other = {"lun": 2, "createOption": "Attach", "managedDisk": {"id": f"{GROUP}/Microsoft.Compute/disks/d2"}}
        change = {"properties": {"storageProfile": {"dataDisks": [other]}}}
        disks = vm_shape.updated(VM, body, change, d2s())["properties"]["storageProfile"]["dataDisks"]
        assert [(disk["lun"], disk["toBeDetached"]) for disk in disks] == [(0, True), (2, False)]
        assert disks[1]["name"] == "d2"

    def test_a_deallocated_machine_does_not_tell_its_disk(self) -> None:
        body = vm_shape.new_body(VM, vm_request(), "westeurope", d2s(), IMAGE, 0.0)
        shown = vm_shape.shown(body, {"power": "deallocated"})["properties"]["storageProfile"]["osDisk"]
        assert "diskSizeGB" not in shown
        assert list(shown["managedDisk"]) == ["id"]
        assert vm_shape.shown(body, {"power": "running"}) is body


class TestProfiles:
    @pytest.mark.parametrize(
        ("profile", "target"),
        [
            ({"computerName": "x", "adminPassword": "p"}, "osProfile.adminUsername"),
            ({"computerName": "x", "adminUsername": "root", "adminPassword": "p"}, "adminUsername"),
            ({"computerName": "a_b", "adminUsername": "me", "adminPassword": "p"}, "computerName"),
            ({"computerName": "x" * 65, "adminUsername": "me", "adminPassword": "p"}, "computerName"),
            ({"computerName": "x", "adminUsername": "me"}, "linuxConfiguration"),
            (
                {
                    "computerName": "x",
                    "adminUsername": "me",
                    "linuxConfiguration": {
                        "ssh": {"publicKeys": [{"path": "/home/you/.ssh/authorized_keys", "keyData": "ssh-rsa A"}]}
                    },
                },
                "linuxConfiguration.ssh.publicKeys.path",
            ),
        ],
    )
    def test_that_nobody_could_log_in_with_are_refused(self, profile: dict[str, t.Any], target: str) -> None:
        with pytest.raises(ArmError) as refusal:
            shapes.check_os_profile(profile, "Linux")
        assert (refusal.value.code, refusal.value.target) == ("InvalidParameter", target)

    def test_give_up_their_secrets(self) -> None:
        profile = {"adminUsername": "me", "adminPassword": "p", "customData": "ZQ=="}
        assert shapes.take_secrets(profile) == {"adminPassword": "p", "customData": "ZQ=="}
        assert profile == {"adminUsername": "me"}

    def test_of_spot_machines_go_together(self) -> None:
        spot = shapes.spot_profile({"priority": "Spot"})
        assert spot == {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": -1.0}}
        with pytest.raises(ArmError, match="EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines"):
            shapes.spot_profile({"evictionPolicy": "Delete"})
        with pytest.raises(ArmError, match="MaxPriceValueInvalid"):
            shapes.spot_profile({"priority": "Spot", "billingProfile": {"maxPrice": 0}})


def test_words_are_spelled_as_azure_does_but_tags_are_left_alone() -> None:
    given_body = {
        "tags": {"mode": "manual"},
        "properties": {"upgradePolicy": {"mode": "manual"}, "osDisk": [{"caching": "none"}]},
    }
    assert shapes.canonical(given_body) == {
        "tags": {"mode": "manual"},
        "properties": {"upgradePolicy": {"mode": "Manual"}, "osDisk": [{"caching": "None"}]},
    }


def test_numbers_and_truth_values_may_be_strings_but_not_in_what_is_for_others() -> None:
    given_body = {
        "sku": {"capacity": "2"},
        "dataDisks": [{"lun": "0", "diskSizeGB": " 128 "}],
        "primary": "True",
        "overprovision": "perhaps",
        "settings": {"lun": "0", "mode": "manual"},
    }
    assert shapes.canonical(given_body) == {
        "sku": {"capacity": 2},
        "dataDisks": [{"lun": 0, "diskSizeGB": 128}],
        "primary": True,
        "overprovision": "perhaps",
        "settings": {"lun": "0", "mode": "manual"},
    }


class TestMerge:
    @given(JSON)
    def test_with_itself_changes_nothing(self, value: t.Any) -> None:
        clean = shapes.tidy(value)
        assert shapes.merge(clean, clean) == clean

    @given(JSON, JSON)
    def test_leaves_its_arguments_alone(self, base: t.Any, patch: t.Any) -> None:
        before = copy.deepcopy((base, patch))
        shapes.merge(base, patch)
        assert (base, patch) == before


class TestScaleSet:
    def test_gets_the_values_that_azure_fills_in(self) -> None:
        body = vmss_shape.new_body(VMSS, scale_set_request(), "westeurope", d2s(), IMAGE, 0.0)
        assert body["sku"] == {"name": "Standard_D2s_v5", "tier": "Standard", "capacity": 3}
        properties = body["properties"]
        assert (properties["singlePlacementGroup"], properties["overprovision"]) == (True, True)
        profile = properties["virtualMachineProfile"]
        assert "name" not in profile["storageProfile"]["osDisk"]
        nic = profile["networkProfile"]["networkInterfaceConfigurations"][0]["properties"]
        assert nic["primary"]
        assert nic["dnsSettings"] == {"dnsServers": []}
        assert nic["ipConfigurations"][0]["properties"]["privateIPAddressVersion"] == "IPv4"

    def test_is_refused_without_a_policy_or_with_too_many_machines(self) -> None:
        with pytest.raises(ArmError, match="upgradePolicy"):
            vmss_shape.new_body(VMSS, scale_set_request(upgradePolicy=None), "westeurope", d2s(), IMAGE, 0.0)
        body = vmss_shape.new_body(VMSS, scale_set_request(), "westeurope", d2s(), IMAGE, 0.0)
        body["sku"]["capacity"] = 101
        with pytest.raises(ArmError, match="total limit of '100'"):
            vmss_shape.check_capacity(body)
        body["properties"]["singlePlacementGroup"] = False
        vmss_shape.check_capacity(body)

    def test_a_change_of_tags_or_capacity_leaves_the_model(self) -> None:
        body = vmss_shape.new_body(VMSS, scale_set_request(), "westeurope", d2s(), IMAGE, 0.0)
        after = vmss_shape.updated(body, {"tags": {"a": "b"}, "sku": {"capacity": 9}}, d2s(), None)
        assert vmss_shape.same_model(body, after)
        assert (after["tags"], after["sku"]["capacity"]) == ({"a": "b"}, 9)
        again = vmss_shape.updated(body, copy.deepcopy(body), d2s(), IMAGE)
        assert vmss_shape.same_model(body, again)

    @pytest.mark.parametrize(
        ("change", "target"),
        [
            ({"properties": {"orchestrationMode": "Flexible"}}, "orchestrationMode"),
            ({"zones": ["1"]}, "zones"),
            (
                {"properties": {"virtualMachineProfile": {"osProfile": {"computerNamePrefix": "x"}}}},
                "osProfile.computerNamePrefix",
            ),
        ],
    )
    def test_keeps_what_is_fixed(self, change: dict[str, t.Any], target: str) -> None:
        body = vmss_shape.new_body(VMSS, scale_set_request(), "westeurope", d2s(), IMAGE, 0.0)
        with pytest.raises(ArmError) as refusal:
            vmss_shape.updated(body, change, d2s(), None)
        assert (refusal.value.code, refusal.value.target) == ("PropertyChangeNotAllowed", target)


class TestInstance:
    @pytest.mark.parametrize(("number", "name"), [(0, "hpc-000000"), (35, "hpc-00000Z"), (36, "hpc-000010")])
    def test_is_named_by_its_number_in_base_36(self, number: int, name: str) -> None:
        assert instance_shape.computer_name("hpc-", number) == name

    @given(st.integers(min_value=0, max_value=36**6 - 1))
    def test_its_name_can_be_read_back(self, number: int) -> None:
        digits = shapes.base36(number)
        assert len(digits) == 6
        assert int(digits, 36) == number

    def test_is_made_from_the_model(self) -> None:
        body = vmss_shape.new_body(VMSS, scale_set_request(), "westeurope", d2s(), IMAGE, 0.0)
        row = instance_shape.instance_body(instance_shape.Template(body, VMSS, "0.1.2", 0.0), 7, "2")
        assert (row["name"], row["instanceId"], row["zones"]) == ("hpc_7", "7", ["2"])
        assert row["id"].endswith("/virtualMachineScaleSets/hpc/virtualMachines/7")
        properties = row["properties"]
        assert properties["osProfile"]["computerName"] == "hpc-000007"
        assert "computerNamePrefix" not in properties["osProfile"]
        assert properties["storageProfile"]["imageReference"]["exactVersion"] == "0.1.2"
        nics = [nic["id"] for nic in properties["networkProfile"]["networkInterfaces"]]
        assert nics == [f"{row['id']}/networkInterfaces/nic"]

    @given(st.lists(st.sampled_from(["1", "2", "3"]), max_size=12), st.integers(0, 12))
    def test_zones_are_as_even_as_they_can_be(self, existing: list[str], count: int) -> None:
        chosen = vmss_shape.spread(["1", "2", "3"], existing, count)
        assert len(chosen) == count
        loads = [(existing + chosen).count(zone) for zone in ("1", "2", "3")]
        untouched = [existing.count(zone) for zone in ("1", "2", "3")]
        grown = [after for after, before in zip(loads, untouched, strict=True) if after > before]
        assert all(load <= min(loads) + 1 for load in grown)

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["", "1"])), unique_by=lambda e: e[0]),
        st.integers(0, 60),
    )
    def test_shrinking_takes_existing_ones_and_no_more_than_asked(
        self, rows: list[tuple[int, str]], count: int
    ) -> None:
        removed = vmss_shape.to_remove(rows, count)
        assert len(removed) == len(set(removed)) == min(count, len(rows))
        assert set(removed) <= {number for number, _unused in rows}

    def test_shrinking_takes_the_newest_of_the_fullest_zone(self) -> None:
        assert vmss_shape.to_remove([(0, "1"), (1, "2"), (2, "1"), (3, "2"), (4, "1")], 2) == [4, 3]
        assert vmss_shape.to_remove([(0, ""), (5, ""), (9, "")], 2) == [9, 5]


class TestInstanceView:
    def body(self, state: str) -> dict[str, t.Any]:
        body = vm_shape.new_body(VM, vm_request(), "westeurope", d2s(), IMAGE, 0.0)
        body["properties"]["provisioningState"] = state
        return body

    def test_a_failure_tells_its_code_and_no_power(self) -> None:
        internal = {"power": "", "error": {"code": "AllocationFailed", "message": "no"}}
        statuses = views.machine(self.body("Failed"), internal, created=0.0, changed=1.0)["statuses"]
        assert [(entry["code"], entry["level"]) for entry in statuses] == [
            ("ProvisioningState/failed/AllocationFailed", "Error")
        ]

    def test_a_running_machine_tells_of_its_guest_and_a_deallocated_one_does_not(self) -> None:
        internal = {"power": "running", "agent": True, "os_name": "debian", "os_version": "13", "generation": "V2"}
        running = views.machine(self.body("Succeeded"), internal, created=0.0, changed=1.0)
        assert (running["computerName"], running["hyperVGeneration"]) == ("vm1", "V2")
        assert running["statuses"][1] == {"code": "PowerState/running", "level": "Info", "displayStatus": "VM running"}
        away = views.machine(self.body("Succeeded"), {**internal, "power": "deallocated"}, created=0.0, changed=1.0)
        assert "computerName" not in away
        assert "vmAgent" not in away

    def test_a_generalised_machine_says_so(self) -> None:
        internal = {"power": "deallocated", "generalized": True}
        statuses = views.machine(self.body("Succeeded"), internal, created=0.0, changed=1.0)["statuses"]
        assert [entry["code"] for entry in statuses] == [
            "ProvisioningState/succeeded",
            "OSState/generalized",
            "PowerState/deallocated",
        ]


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(bytes(65536)).decode()])
def test_custom_data_is_base64_and_not_longer_than_azure_takes(text: str) -> None:
    with pytest.raises(ArmError, match="maximum length of 87380 characters"):
        decode(text)
    assert decode(base64.b64encode(bytes(65535)).decode()) == bytes(65535)
