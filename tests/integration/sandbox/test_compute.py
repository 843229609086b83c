# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines, images, disks and what regions offer, by azure-mgmt-compute and azure-mgmt-network."""

from __future__ import annotations

import base64
import json
import typing as t

import pytest
from azure.core.exceptions import ResourceNotFoundError

from tests.integration.sandbox.compute_cloud import (
    DEBIAN,
    LOCATION,
    Cloud,
    HttpResponseError,
    a_cloud,
    code,
    create_vm,
    new_name,
    power,
)


@pytest.fixture(scope="module")
def cloud(sandbox: t.Any) -> t.Iterator[Cloud]:
    yield from a_cloud(sandbox)


@pytest.fixture(scope="module")
def subnet(cloud: Cloud) -> str:
    return cloud.subnet()


@pytest.fixture
def name() -> str:
    return new_name()


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
        for _unused in range(5000):
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
