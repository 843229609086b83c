# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre, galleries and Flexible scale sets, used as people use Azure: by the typed clients."""

from __future__ import annotations

import typing as t
import uuid

import pytest

pytest.importorskip("azure.mgmt.compute")
pytest.importorskip("azure.mgmt.network")
pytest.importorskip("azure.mgmt.storagecache")

import requests
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.storagecache import StorageCacheManagementClient

LOCATION = "westeurope"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com"
DEBIAN = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}


class Cloud:
    """Clients of one sandbox, a resource group of its own, and a subnet in it."""

    def __init__(self, env: dict[str, str]) -> None:
        ca, proxies = env["REQUESTS_CA_BUNDLE"], {"https": env["HTTPS_PROXY"]}
        credential = ClientSecretCredential(
            env["AZURE_TENANT_ID"],
            env["AZURE_CLIENT_ID"],
            env["AZURE_CLIENT_SECRET"],
            transport=RequestsTransport(connection_verify=ca),
            proxies=proxies,
        )
        common: dict[str, t.Any] = {"connection_verify": ca, "proxies": proxies}
        subscription = env["AZURE_SUBSCRIPTION_ID"]
        self.compute = ComputeManagementClient(credential, subscription, **common)
        self.network = NetworkManagementClient(credential, subscription, **common)
        self.lustre = StorageCacheManagementClient(credential, subscription, **common)
        self.group = f"rg-{uuid.uuid4().hex[:8]}"
        self._token = credential.get_token("https://management.azure.com/.default").token
        self._http: dict[str, t.Any] = {"verify": ca, "proxies": proxies}
        self._url = f"https://management.azure.com/subscriptions/{subscription}/resourcegroups/{self.group}"
        assert self.put("", {"location": LOCATION}).status_code == 201
        subnets = [{"name": "default", "properties": {"addressPrefix": "10.1.0.0/22"}}]
        properties = {"addressSpace": {"addressPrefixes": ["10.1.0.0/22"]}, "subnets": subnets}
        vnet = {"location": LOCATION, "properties": properties}
        made = self.network.virtual_networks.begin_create_or_update(self.group, "v", vnet).result()
        self.subnet = str(made.subnets[0].id)

    def put(self, path: str, body: dict[str, t.Any]) -> requests.Response:
        """A PUT below the group, without a typed client."""
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self._url}{path}?api-version=2022-09-01"
        return requests.put(url, json=body, headers=headers, timeout=60, **self._http)

    def containers(self, *names: str) -> list[str]:
        """New containers of a new storage account; answers their ids."""
        account = f"/providers/Microsoft.Storage/storageAccounts/a{uuid.uuid4().hex[:12]}"
        body = {"location": LOCATION, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        assert self.put(account, body).status_code == 202
        made = [self.put(f"{account}/blobServices/default/containers/{name}", {}) for name in names]
        return [answer.json()["id"] for answer in made]


@pytest.fixture(scope="module")
def cloud(sandbox: t.Any) -> Cloud:
    return Cloud(sandbox.env)


def test_a_file_system_has_a_life(cloud: Cloud) -> None:
    systems = cloud.lustre.aml_filesystems
    data, log = cloud.containers("data", "log")
    properties = {
        "storageCapacityTiB": 16,
        "filesystemSubnet": cloud.subnet,
        "maintenanceWindow": {"dayOfWeek": "Friday", "timeOfDayUTC": "22:00"},
        "hsm": {"settings": {"container": data, "loggingContainer": log}},
    }
    body = {"location": LOCATION, "sku": {"name": "AMLFS-Durable-Premium-250"}, "properties": properties}
    made = systems.begin_create_or_update(cloud.group, "fs", body).result()
    assert made.properties.health.state == "Available"
    assert made.properties.client_info.mgs_address.startswith("10.1.")
    jobs = cloud.lustre.auto_export_jobs
    jobs.begin_create_or_update(cloud.group, "fs", "out", {"location": LOCATION, "properties": {}}).result()
    jobs.begin_update(cloud.group, "fs", "out", {"properties": {"adminStatus": "Disable"}}).result()
    assert jobs.get(cloud.group, "fs", "out").properties.status.state == "Disabled"
    assert [job.name for job in cloud.lustre.import_jobs.list_by_aml_filesystem(cloud.group, "fs")]
    assert [entry.name for entry in systems.list_by_resource_group(cloud.group)] == ["fs"]
    systems.begin_delete(cloud.group, "fs").result()
    with pytest.raises(ResourceNotFoundError):
        systems.get(cloud.group, "fs")


def test_a_subnet_is_checked_before(cloud: Cloud) -> None:
    asked = {"sku": {"name": "AMLFS-Durable-Premium-40"}, "storageCapacityTiB": 768, "location": LOCATION}
    size = cloud.lustre.get_required_aml_fs_subnets_size(asked).filesystem_subnet_size
    assert size == 1016
    cloud.lustre.check_aml_fs_subnets({**asked, "filesystemSubnet": cloud.subnet})
    with pytest.raises(HttpResponseError):
        cloud.lustre.check_aml_fs_subnets({**asked, "filesystemSubnet": f"{cloud.subnet}-not"})


def test_a_flexible_scale_set_is_made_of_machines(cloud: Cloud) -> None:
    sets = cloud.compute.virtual_machine_scale_sets
    address = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [address]}}
    ssh = {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]}
    profile = {
        "osProfile": {
            "computerNamePrefix": "node",
            "adminUsername": "azureuser",
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": ssh},
        },
        "storageProfile": {"imageReference": DEBIAN},
        "networkProfile": {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [nic]},
    }
    sku = {"name": "Standard_D2s_v5", "capacity": 2}
    properties = {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1, "virtualMachineProfile": profile}
    body = {"location": LOCATION, "sku": sku, "properties": properties}
    made = sets.begin_create_or_update(cloud.group, "flex", body).result()
    machines = list(cloud.compute.virtual_machines.list(cloud.group))
    assert {machine.virtual_machine_scale_set.id for machine in machines} == {made.id}
    chosen = machines[0].name
    sets.begin_delete_instances(cloud.group, "flex", {"instanceIds": [chosen]}).result()
    assert chosen not in [machine.name for machine in cloud.compute.virtual_machines.list(cloud.group)]
    assert sets.get(cloud.group, "flex").sku.capacity == 1
    sets.begin_delete(cloud.group, "flex").result()
    assert not list(cloud.compute.virtual_machines.list(cloud.group))


def test_a_gallery_holds_definitions_and_versions(cloud: Cloud) -> None:
    disk = {"location": LOCATION, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 32}}
    source = cloud.compute.disks.begin_create_or_update(cloud.group, "d", disk).result()
    galleries = cloud.compute.galleries
    galleries.begin_create_or_update(cloud.group, "g", {"location": LOCATION}).result()
    identifier = {"publisher": "p", "offer": "o", "sku": "s"}
    image = {"osType": "Linux", "osState": "Specialized", "hyperVGeneration": "V2", "identifier": identifier}
    definition = {"location": LOCATION, "properties": image}
    cloud.compute.gallery_images.begin_create_or_update(cloud.group, "g", "node", definition).result()
    storage = {"osDiskImage": {"source": {"id": source.id}}}
    version = {"location": LOCATION, "properties": {"storageProfile": storage}}
    versions = cloud.compute.gallery_image_versions
    made = versions.begin_create_or_update(cloud.group, "g", "node", "1.0.0", version).result()
    assert made.storage_profile.os_disk_image.size_in_gb == 32
    told = versions.get(cloud.group, "g", "node", "1.0.0", expand="ReplicationStatus")
    assert told.replication_status.aggregated_state == "Completed"
    with pytest.raises(HttpResponseError, match="CannotDeleteResource"):
        galleries.begin_delete(cloud.group, "g").result()
