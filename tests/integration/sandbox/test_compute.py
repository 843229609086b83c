# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compute provider, used as people use Azure: by azure-mgmt-compute and azure-mgmt-network."""

from __future__ import annotations

import base64
import json
import re
import typing as t
import uuid
from collections.abc import Iterator

import pytest

pytest.importorskip("azure.mgmt.compute")
pytest.importorskip("azure.mgmt.network")

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

LOCATION = "westeurope"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com"
DEBIAN = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
API = "2024-07-01"


class Cloud:
    """Clients of one sandbox, and a resource group of its own."""

    def __init__(self, sandbox: t.Any) -> None:
        env: dict[str, str] = sandbox.env
        self.env, self.sandbox = env, sandbox
        self.subscription = env["AZURE_SUBSCRIPTION_ID"]
        transport = {
            "connection_verify": env["REQUESTS_CA_BUNDLE"],
            "proxies": {"https": env["HTTPS_PROXY"]},
        }
        credential = ClientSecretCredential(
            env["AZURE_TENANT_ID"],
            env["AZURE_CLIENT_ID"],
            env["AZURE_CLIENT_SECRET"],
            transport=RequestsTransport(
                connection_verify=env["REQUESTS_CA_BUNDLE"],
            ),
            proxies=transport["proxies"],
        )
        self.compute = ComputeManagementClient(credential, self.subscription, **transport)
        self.network = NetworkManagementClient(credential, self.subscription, **transport)
        self.credential = credential
        self.group = f"rg-{uuid.uuid4().hex[:8]}"
        self.send("PUT", f"/subscriptions/{self.subscription}/resourcegroups/{self.group}", {"location": LOCATION})

    def send(self, method: str, path: str, body: t.Any = None, api: str = API) -> t.Any:
        """One request as it is; answers the response of ``requests``."""
        import requests

        token = self.credential.get_token("https://management.azure.com/.default").token
        separator = "&" if "?" in path else "?"
        return requests.request(
            method,
            f"https://management.azure.com{path}{separator}api-version={api}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            verify=self.env["REQUESTS_CA_BUNDLE"],
            proxies={"https": self.env["HTTPS_PROXY"]},
            timeout=60,
        )

    def path(self, kind: str, name: str) -> str:
        head = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{head}/providers/Microsoft.Compute/{kind}/{name}"

    def fault(self, *words: str) -> None:
        self.sandbox.run("fault", *words)

    def subnet(self, prefix: str = "10.1.0.0/22") -> str:
        vnet = self.network.virtual_networks.begin_create_or_update(
            self.group,
            f"vnet-{uuid.uuid4().hex[:6]}",
            {
                "location": LOCATION,
                "properties": {
                    "addressSpace": {"addressPrefixes": [prefix]},
                    "subnets": [{"name": "default", "properties": {"addressPrefix": prefix}}],
                },
            },
        ).result()
        return str(vnet.subnets[0].id)

    def nic(self, subnet: str, name: str = "") -> str:
        nic = self.network.network_interfaces.begin_create_or_update(
            self.group,
            name or f"nic-{uuid.uuid4().hex[:6]}",
            {
                "location": LOCATION,
                "properties": {"ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": subnet}}}]},
            },
        ).result()
        return str(nic.id)

    def vm(self, nic: str, **changes: t.Any) -> dict[str, t.Any]:
        body: dict[str, t.Any] = {
            "location": LOCATION,
            "tags": {"hpc-role": "head"},
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": DEBIAN,
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
                },
                "osProfile": {
                    "computerName": "vm1",
                    "adminUsername": "azureuser",
                    "customData": base64.b64encode(b"#cloud-config\n{}\n").decode(),
                    "linuxConfiguration": linux(),
                },
                "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]},
            },
        }
        body["properties"].update(changes)
        return body

    def scale_set(
        self, subnet: str, capacity: int, size: str = "Standard_D2s_v5", **changes: t.Any
    ) -> dict[str, t.Any]:
        nic = {
            "name": "nic",
            "properties": {
                "primary": True,
                "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": subnet}}}],
            },
        }
        profile = {
            "osProfile": {
                "computerNamePrefix": "htc-d2sv5-",
                "adminUsername": "azureuser",
                "customData": base64.b64encode(b"#!/bin/sh\n").decode(),
                "linuxConfiguration": linux(),
            },
            "storageProfile": {"imageReference": DEBIAN, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {"networkInterfaceConfigurations": [nic]},
        }
        properties = {
            "overprovision": False,
            "singlePlacementGroup": False,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": profile,
        }
        properties.update(changes)
        return {
            "location": LOCATION,
            "sku": {"name": size, "tier": "Standard", "capacity": capacity},
            "tags": {"hpc-cluster": "demo"},
            "properties": properties,
        }


def linux() -> dict[str, t.Any]:
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    return {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}}


@pytest.fixture(scope="module")
def cloud(sandbox: t.Any) -> Iterator[Cloud]:
    made = Cloud(sandbox)
    yield made
    made.send("DELETE", f"/subscriptions/{made.subscription}/resourcegroups/{made.group}")


@pytest.fixture(scope="module")
def subnet(cloud: Cloud) -> str:
    return cloud.subnet()


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def create_vm(cloud: Cloud, name: str, body: dict[str, t.Any]) -> t.Any:
    return cloud.compute.virtual_machines.begin_create_or_update(cloud.group, name, body).result()


def create_scale_set(cloud: Cloud, name: str, body: dict[str, t.Any]) -> t.Any:
    return cloud.compute.virtual_machine_scale_sets.begin_create_or_update(cloud.group, name, body).result()


def instances(cloud: Cloud, name: str) -> dict[str, t.Any]:
    found = cloud.compute.virtual_machine_scale_set_vms.list(cloud.group, name, expand="instanceView")
    return {row.instance_id: row for row in found}


def grow(cloud: Cloud, name: str, capacity: int) -> t.Any:
    return cloud.compute.virtual_machine_scale_sets.begin_update(cloud.group, name, {"sku": {"capacity": capacity}})


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    assert error.value.error is not None
    return str(error.value.error.code)


def power(view: t.Any) -> str:
    return next((status.code for status in view.statuses if status.code.startswith("PowerState/")), "")


class TestVirtualMachine:
    def test_is_created_shown_stopped_started_and_deleted(self, cloud: Cloud, subnet: str, name: str) -> None:
        vms, nic = cloud.compute.virtual_machines, cloud.nic(subnet)
        vm = create_vm(cloud, name, cloud.vm(nic))
        assert vm.provisioning_state == "Succeeded"
        disk = vm.storage_profile.os_disk
        assert (disk.disk_size_gb, disk.managed_disk.storage_account_type, disk.os_type) == (30, "Premium_LRS", "Linux")
        assert vm.storage_profile.image_reference.exact_version.startswith("0.2025")
        assert vm.os_profile.custom_data is None
        nic_name = nic.rsplit("/", 1)[1]
        attached = cloud.network.network_interfaces.get(cloud.group, nic_name)
        assert attached.virtual_machine.id.lower() == vm.id.lower()
        view = vms.instance_view(cloud.group, name)
        assert (power(view), view.computer_name, view.hyper_v_generation) == ("PowerState/running", "vm1", "V2")

        vms.begin_power_off(cloud.group, name).result()
        assert power(vms.instance_view(cloud.group, name)) == "PowerState/stopped"
        vms.begin_deallocate(cloud.group, name).result()
        away = vms.get(cloud.group, name, expand="instanceView")
        assert power(away.instance_view) == "PowerState/deallocated"
        assert away.storage_profile.os_disk.disk_size_gb is None
        assert away.instance_view.computer_name is None
        vms.begin_start(cloud.group, name).result()
        assert power(vms.instance_view(cloud.group, name)) == "PowerState/running"
        vms.begin_restart(cloud.group, name).result()

        vms.begin_delete(cloud.group, name).result()
        with pytest.raises(ResourceNotFoundError):
            vms.get(cloud.group, name)
        assert cloud.network.network_interfaces.get(cloud.group, nic_name).virtual_machine is None
        with pytest.raises(ResourceNotFoundError):
            cloud.compute.disks.get(cloud.group, disk.name)
        vms.begin_delete(cloud.group, name).result()

    def test_shows_how_the_operation_is_followed_and_no_secret(self, cloud: Cloud, subnet: str, name: str) -> None:
        body = cloud.vm(cloud.nic(subnet))
        body["properties"]["osProfile"]["adminPassword"] = "Secret-in-here-1"
        answer = cloud.send("PUT", cloud.path("virtualMachines", name), body)
        assert answer.status_code == 201
        assert "azure-asyncoperation" in answer.headers
        assert "location" not in answer.headers
        assert answer.json()["properties"]["provisioningState"] == "Creating"
        shown = cloud.send("GET", cloud.path("virtualMachines", name) + "?$expand=instanceView,userData")
        for text in (answer.text, shown.text):
            assert "customData" not in text
            assert "Secret-in-here-1" not in text
        deleted = cloud.send("DELETE", cloud.path("virtualMachines", name))
        assert deleted.status_code == 202
        assert {"azure-asyncoperation", "location"} <= {key.lower() for key in deleted.headers}

    def test_answers_a_repeated_request_without_changing_anything(self, cloud: Cloud, subnet: str, name: str) -> None:
        nic = cloud.nic(subnet)
        first = create_vm(cloud, name, cloud.vm(nic))
        again = cloud.send("PUT", cloud.path("virtualMachines", name), cloud.vm(nic))
        assert again.status_code == 200
        assert "azure-asyncoperation" not in again.headers
        now = cloud.compute.virtual_machines.get(cloud.group, name)
        assert (now.vm_id, now.provisioning_state) == (first.vm_id, "Succeeded")

    @pytest.mark.parametrize(
        ("path", "value", "target"),
        [
            ("osProfile.customData", base64.b64encode(b"other").decode(), "osProfile.customData"),
            ("osProfile.adminUsername", "other", "osProfile.adminUsername"),
            ("storageProfile.imageReference.sku", "13", "imageReference"),
        ],
    )
    def test_refuses_to_change_what_is_fixed(
        self, cloud: Cloud, subnet: str, name: str, path: str, value: str, target: str
    ) -> None:
        body = cloud.vm(cloud.nic(subnet))
        create_vm(cloud, name, body)
        *parents, last = path.split(".")
        place = body["properties"]
        for key in parents:
            place[key] = dict(place[key])
            place = place[key]
        place[last] = value
        answer = cloud.send("PUT", cloud.path("virtualMachines", name), body)
        assert answer.status_code == 409
        error = answer.json()["error"]
        assert error["code"] == "PropertyChangeNotAllowed"
        assert error["target"] == target
        assert error["message"] == f"Changing property '{target}' is not allowed."

    def test_refuses_what_azure_refuses(self, cloud: Cloud, subnet: str, name: str) -> None:
        nic = cloud.nic(subnet)
        wrong: list[tuple[dict[str, t.Any], int, str]] = [
            (cloud.vm(nic, hardwareProfile={"vmSize": "Standard_Nonsense"}), 400, "InvalidParameter"),
            (cloud.vm(nic, hardwareProfile={"vmSize": "Standard_ND96isr_H100_v5"}), 400, "InvalidParameter"),
            (cloud.vm(nic, hardwareProfile={"vmSize": "Standard_HC44rs"}), 409, "SkuNotAvailable"),
            (cloud.vm(nic, hardwareProfile={"vmSize": "Standard_D2ps_v5"}), 400, "InvalidParameter"),
            (cloud.vm(nic + "x"), 400, "InvalidResourceReference"),
            (cloud.vm(nic, storageProfile={"imageReference": {**DEBIAN, "sku": "99"}}), 404, "PlatformImageNotFound"),
            (cloud.vm(nic, evictionPolicy="Delete"), 409, "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines"),
            (cloud.vm(nic, networkProfile={}), 400, "InvalidParameter"),
        ]
        for body, status, expected in wrong:
            answer = cloud.send("PUT", cloud.path("virtualMachines", name), body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, expected), answer.text
        assert cloud.send("GET", cloud.path("virtualMachines", name)).status_code == 404
        assert cloud.network.network_interfaces.get(cloud.group, nic.rsplit("/", 1)[1]).virtual_machine is None

    def test_takes_a_network_interface_of_another_machine_from_nobody(
        self, cloud: Cloud, subnet: str, name: str
    ) -> None:
        nic = cloud.nic(subnet)
        create_vm(cloud, name, cloud.vm(nic))
        answer = cloud.send("PUT", cloud.path("virtualMachines", name + "b"), cloud.vm(nic))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "NicInUse")

    def test_stays_failed_when_there_is_no_capacity(self, cloud: Cloud, subnet: str, name: str) -> None:
        cloud.fault("add", "AllocationFailed", "--method", "PUT", "--match", f"*/virtualMachines/{name}")
        with pytest.raises(HttpResponseError) as error:
            create_vm(cloud, name, cloud.vm(cloud.nic(subnet)))
        assert code(error) == "AllocationFailed"
        vm = cloud.compute.virtual_machines.get(cloud.group, name, expand="instanceView")
        assert vm.provisioning_state == "Failed"
        assert vm.instance_view.statuses[0].code == "ProvisioningState/failed/AllocationFailed"
        assert power(vm.instance_view) == ""

    def test_spot_machine_is_deallocated_by_an_eviction(self, cloud: Cloud, subnet: str, name: str) -> None:
        vm = create_vm(cloud, name, cloud.vm(cloud.nic(subnet), priority="Spot"))
        assert (vm.eviction_policy, vm.billing_profile.max_price) == ("Deallocate", -1.0)
        cloud.compute.virtual_machines.simulate_eviction(cloud.group, name)
        for _unused in range(50):
            if power(cloud.compute.virtual_machines.instance_view(cloud.group, name)) == "PowerState/deallocated":
                break
        else:
            pytest.fail("was not evicted")

    def test_deletes_with_itself_what_it_was_told_to(self, cloud: Cloud, subnet: str, name: str) -> None:
        nic = cloud.nic(subnet)
        entry = {"id": nic, "properties": {"primary": True, "deleteOption": "Delete"}}
        create_vm(cloud, name, cloud.vm(nic, networkProfile={"networkInterfaces": [entry]}))
        cloud.compute.virtual_machines.begin_delete(cloud.group, name).result()
        with pytest.raises(ResourceNotFoundError):
            cloud.network.network_interfaces.get(cloud.group, nic.rsplit("/", 1)[1])


class TestImage:
    def test_is_captured_from_a_generalised_machine_and_boots(self, cloud: Cloud, subnet: str, name: str) -> None:
        vms, images = cloud.compute.virtual_machines, cloud.compute.images
        vm = create_vm(cloud, name, cloud.vm(cloud.nic(subnet)))
        request: t.Any = {
            "location": LOCATION,
            "properties": {"hyperVGeneration": "V2", "sourceVirtualMachine": {"id": vm.id}},
        }
        with pytest.raises(HttpResponseError) as error:
            images.begin_create_or_update(cloud.group, "image", request).result()
        assert code(error) == "OperationNotAllowed"
        with pytest.raises(HttpResponseError) as error:
            vms.generalize(cloud.group, name)
        assert f"Operation 'generalize' is not allowed on VM '{name}' since the VM is running." in str(error.value)
        vms.begin_deallocate(cloud.group, name).result()
        vms.generalize(cloud.group, name)
        with pytest.raises(HttpResponseError) as error:
            vms.begin_start(cloud.group, name).result()
        assert code(error) == "OperationNotAllowed"
        image = images.begin_create_or_update(cloud.group, "image", request).result()
        assert image.provisioning_state == "Succeeded"
        assert (image.storage_profile.os_disk.os_state, image.storage_profile.os_disk.disk_size_gb) == (
            "Generalized",
            30,
        )
        vms.begin_delete(cloud.group, name).result()

        reference = {"imageReference": {"id": image.id}, "osDisk": {"createOption": "FromImage"}}
        second = create_vm(cloud, name + "b", cloud.vm(cloud.nic(subnet), storageProfile=reference))
        assert second.storage_profile.image_reference.id == image.id
        images.begin_delete(cloud.group, "image").result()
        assert [entry.name for entry in images.list_by_resource_group(cloud.group)] == []
        missing = cloud.vm(cloud.nic(subnet), storageProfile=reference)
        answer = cloud.send("PUT", cloud.path("virtualMachines", name + "c"), missing)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")


class TestScaleSet:
    def test_grows_is_listed_shrinks_and_goes(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        made = create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        assert (made.sku.capacity, made.provisioning_state) == (0, "Succeeded")
        assert instances(cloud, name) == {}
        grown = grow(cloud, name, 3).result()
        assert grown.sku.capacity == 3
        found = instances(cloud, name)
        assert sorted(found) == ["0", "1", "2"]
        row = found["1"]
        assert row.name == f"{name}_1"
        assert row.os_profile.computer_name == "htc-d2sv5-000001"
        assert row.provisioning_state == "Succeeded"
        assert row.latest_model_applied
        assert power(row.instance_view) == "PowerState/running"

        sets.begin_delete_instances(cloud.group, name, {"instanceIds": ["1"]}).result()
        assert sorted(instances(cloud, name)) == ["0", "2"]
        assert sets.get(cloud.group, name).sku.capacity == 2
        grow(cloud, name, 3).result()
        assert sorted(instances(cloud, name)) == ["0", "2", "3"]
        grow(cloud, name, 1).result()
        assert sorted(instances(cloud, name)) == ["0"]
        grow(cloud, name, 2).result()
        assert sorted(instances(cloud, name)) == ["0", "4"]

        view = sets.get_instance_view(cloud.group, name)
        summary = {entry.code: entry.count for entry in view.virtual_machine.statuses_summary}
        assert summary == {"ProvisioningState/succeeded": 2}
        sets.begin_delete(cloud.group, name).result()
        with pytest.raises(ResourceNotFoundError):
            sets.get(cloud.group, name)

    def test_instances_are_listed_at_once_as_creating(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        answer = cloud.send("PATCH", cloud.path("virtualMachineScaleSets", name), {"sku": {"capacity": 2}})
        assert answer.status_code == 200
        assert "azure-asyncoperation" in answer.headers
        body = answer.json()
        assert (body["properties"]["provisioningState"], body["sku"]["capacity"]) == ("Updating", 2)
        listed = cloud.send("GET", cloud.path("virtualMachineScaleSets", name) + "/virtualMachines").json()["value"]
        assert len(listed) == 2
        assert {row["properties"]["provisioningState"] for row in listed} <= {"Creating", "Succeeded"}

    def test_tells_the_addresses_of_all_instances_in_one_list(self, cloud: Cloud, name: str) -> None:
        subnet = cloud.subnet("10.9.0.0/24")
        create_scale_set(cloud, name, cloud.scale_set(subnet, 3))
        nics = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name)
        )
        addresses = {nic.ip_configurations[0].private_ip_address for nic in nics}
        assert addresses == {"10.9.0.4", "10.9.0.5", "10.9.0.6"}
        assert {nic.virtual_machine.id.rsplit("/", 1)[1] for nic in nics} == {"0", "1", "2"}
        one = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_vm_network_interfaces(
                cloud.group, name, "2"
            )
        )
        assert [nic.ip_configurations[0].private_ip_address for nic in one] == ["10.9.0.6"]
        grow(cloud, name, 0).result()
        assert (
            list(cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name))
            == []
        )
        grow(cloud, name, 1).result()
        again = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name)
        )
        assert again[0].ip_configurations[0].private_ip_address == "10.9.0.4"

    def test_instances_that_get_no_capacity_stay_failed_and_count(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 1))
        cloud.fault("add", "AllocationFailed", "--method", "PATCH", "--match", f"*/virtualMachineScaleSets/{name}")
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 3).result()
        assert code(error) == "AllocationFailed"
        found = instances(cloud, name)
        assert {number: row.provisioning_state for number, row in found.items()} == {
            "0": "Succeeded",
            "1": "Failed",
            "2": "Failed",
        }
        assert found["1"].instance_view.statuses[0].code == "ProvisioningState/failed/AllocationFailed"
        assert power(found["1"].instance_view) == ""
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.sku.capacity, made.provisioning_state) == (3, "Failed")
        cloud.compute.virtual_machine_scale_sets.begin_delete_instances(
            cloud.group,
            name,
            {"instanceIds": ["1", "2"]},
        ).result()
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.sku.capacity, made.provisioning_state) == (1, "Succeeded")

    def test_refuses_more_than_the_placement_group_and_the_quota_hold(
        self, cloud: Cloud, subnet: str, name: str
    ) -> None:
        body = cloud.scale_set(subnet, 0, size="Standard_HB120rs_v3", singlePlacementGroup=True)
        create_scale_set(cloud, name, body)
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 101).result()
        assert code(error) == "OperationNotAllowed"
        assert "exceeds the total limit of '100' Virtual Machine instances" in str(error.value)
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 11).result()
        assert code(error) == "OperationNotAllowed"
        assert "exceeding approved standardHBv3Family Cores quota" in str(error.value)
        assert re.search(r"Current Limit: 1200, Current Usage: \d+, Additional Required: 1320", str(error.value))
        assert cloud.compute.virtual_machine_scale_sets.get(cloud.group, name).sku.capacity == 0

    def test_usages_follow_what_exists(self, cloud: Cloud, subnet: str, name: str) -> None:
        def used() -> dict[str, int]:
            return {entry.name.value: entry.current_value for entry in cloud.compute.usage.list(LOCATION)}

        before = used()
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2, size="Standard_F4s_v2"))
        after = used()
        assert after["standardFSv2Family"] - before["standardFSv2Family"] == 8
        assert after["cores"] - before["cores"] == 8
        assert after["virtualMachines"] - before["virtualMachines"] == 2
        cloud.compute.virtual_machine_scale_sets.begin_delete(cloud.group, name).result()
        assert used() == before

    def test_spreads_over_zones_and_shrinks_the_fullest(self, cloud: Cloud, subnet: str, name: str) -> None:
        body = {**cloud.scale_set(subnet, 5), "zones": ["1", "2"]}
        create_scale_set(cloud, name, body)
        assert [row.zones[0] for row in instances(cloud, name).values()] == ["1", "2", "1", "2", "1"]
        grow(cloud, name, 2).result()
        assert sorted(row.zones[0] for row in instances(cloud, name).values()) == ["1", "2"]

    def test_actions_move_the_chosen_instances(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        sets.begin_deallocate(cloud.group, name, {"instanceIds": ["1"]}).result()
        assert {k: power(row.instance_view) for k, row in instances(cloud, name).items()} == {
            "0": "PowerState/running",
            "1": "PowerState/deallocated",
        }
        sets.begin_start(cloud.group, name).result()
        assert {power(row.instance_view) for row in instances(cloud, name).values()} == {"PowerState/running"}
        sets.begin_power_off(cloud.group, name, {"instanceIds": ["*"]}).result()
        assert {power(row.instance_view) for row in instances(cloud, name).values()} == {"PowerState/stopped"}
        answer = cloud.send("POST", cloud.path("virtualMachineScaleSets", name) + "/delete", {"instanceIds": ["77"]})
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "code": "InvalidParameter",
            "message": "The provided instanceId 77 is not an active Virtual Machine Scale Set VM instanceId.",
            "target": "instanceIds",
        }

    def test_a_changed_model_reaches_instances_by_manual_upgrade(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        older = {
            "virtualMachineProfile": {"storageProfile": {"imageReference": {**DEBIAN, "version": "0.20250814.2204"}}}
        }
        sets.begin_update(cloud.group, name, {"properties": older}).result()
        assert {row.latest_model_applied for row in instances(cloud, name).values()} == {False}
        sets.begin_update_instances(cloud.group, name, {"instanceIds": ["0"]}).result()
        found = instances(cloud, name)
        assert (found["0"].latest_model_applied, found["1"].latest_model_applied) == (True, False)
        assert found["0"].storage_profile.image_reference.exact_version == "0.20250814.2204"

    def test_tags_change_and_capacity_stays(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        tags = {"hpc-cluster": "demo", "hpc-unavailable": "1 AllocationFailed 1", "odd": "{{ lookup('pipe','id') }}"}
        cloud.compute.virtual_machine_scale_sets.begin_update(cloud.group, name, {"tags": tags}).result()
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.tags, made.sku.capacity) == (tags, 2)
        assert len(instances(cloud, name)) == 2

    def test_a_stale_etag_is_refused(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        with pytest.raises(HttpResponseError) as error:
            cloud.compute.virtual_machine_scale_sets.begin_update(
                cloud.group,
                name,
                {"sku": {"capacity": 1}},
                headers={"If-Match": '"999"'},
            ).result()
        assert error.value.status_code == 412


class TestWhatRegionsOffer:
    def test_sizes_differ_by_region_and_carry_azures_facts(self, cloud: Cloud) -> None:
        def sizes(location: str) -> dict[str, t.Any]:
            found = cloud.compute.resource_skus.list(filter=f"location eq '{location}'")
            return {sku.name: sku for sku in found if sku.resource_type == "virtualMachines"}

        west, north = sizes("westeurope"), sizes("northeurope")
        assert "Standard_HB120rs_v3" in west
        assert "Standard_HB120rs_v3" not in north
        facts = {entry.name: entry.value for entry in west["Standard_HB120-16rs_v3"].capabilities}
        assert (facts["vCPUs"], facts["vCPUsAvailable"], facts["MemoryGB"], facts["RdmaEnabled"]) == (
            "120",
            "16",
            "448",
            "True",
        )
        assert west["Standard_HC44rs"].restrictions[0].reason_code == "NotAvailableForSubscription"

    def test_platform_images_are_found_as_the_command_line_does(self, cloud: Cloud) -> None:
        images = cloud.compute.virtual_machine_images
        versions = images.list(LOCATION, "Debian", "debian-13", "13-gen2", top=1, orderby="name desc")
        assert len(versions) == 1
        image = images.get(LOCATION, "Debian", "debian-13", "13-gen2", versions[0].name)
        assert (image.hyper_v_generation, image.os_disk_image.operating_system) == ("V2", "Linux")
        assert "microsoft-dsvm" in {entry.name for entry in images.list_publishers(LOCATION)}


def test_a_disk_is_created_resized_and_deleted(cloud: Cloud, name: str) -> None:
    disks = cloud.compute.disks
    body: t.Any = {
        "location": LOCATION,
        "sku": {"name": "Premium_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 100},
    }
    disk = disks.begin_create_or_update(cloud.group, name, body).result()
    assert (disk.tier, disk.disk_iops_read_write, disk.disk_state) == ("P10", 500, "Unattached")
    disk = disks.begin_update(cloud.group, name, {"properties": {"diskSizeGB": 200}}).result()
    assert (disk.tier, disk.disk_size_gb) == ("P15", 200)
    disks.begin_delete(cloud.group, name).result()
    assert json.loads(cloud.send("GET", cloud.path("disks", name)).text)["error"]["code"] == "ResourceNotFound"
