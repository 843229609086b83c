# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed clients, made as on Azure: compute, network, storagecache, monitor, loganalytics, costmanagement."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.costmanagement import CostManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storagecache import StorageCacheManagementClient

LOCATION = "westeurope"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com"
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}


class Cloud:
    """Clients that were told nothing but the subscription, and a group with a subnet."""

    def __init__(self, subscription: str) -> None:
        self.subscription, self.credential = subscription, DefaultAzureCredential()
        self.group = f"rg-{uuid.uuid4().hex[:8]}"
        self.scope = f"/subscriptions/{subscription}/resourceGroups/{self.group}"
        self.resources = self.client(ResourceManagementClient)
        self.resources.resource_groups.create_or_update(self.group, {"location": LOCATION})
        self.network, self.compute = self.client(NetworkManagementClient), self.client(ComputeManagementClient)

    def client(self, kind: Any) -> Any:
        return kind(self.credential, self.subscription)

    def subnet(self) -> str:
        subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}]
        properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
        wanted = {"location": LOCATION, "properties": properties}
        net = self.network.virtual_networks.begin_create_or_update(self.group, "net", wanted).result()
        found: str = net.subnets[0].id
        return found


@pytest.fixture
def cloud(azure_environment: dict[str, str]) -> Iterator[Cloud]:
    made = Cloud(azure_environment["AZURE_SUBSCRIPTION_ID"])
    yield made
    made.resources.resource_groups.begin_delete(made.group).result()


def _profile() -> dict[str, Any]:
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}}
    return {"adminUsername": "azureuser", "linuxConfiguration": linux}


def test_a_machine_with_its_interface(cloud: Cloud) -> None:
    address = {"name": "primary", "properties": {"subnet": {"id": cloud.subnet()}}}
    wanted = {"location": LOCATION, "properties": {"ipConfigurations": [address]}}
    nic = cloud.network.network_interfaces.begin_create_or_update(cloud.group, "nic", wanted).result()
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"imageReference": IMAGE},
        "osProfile": {"computerName": "vm", **_profile()},
        "networkProfile": {"networkInterfaces": [{"id": nic.id}]},
    }
    machines = cloud.compute.virtual_machines
    vm = machines.begin_create_or_update(cloud.group, "vm", {"location": LOCATION, "properties": properties}).result()
    assert vm.provisioning_state == "Succeeded"
    for action, code in ((machines.begin_deallocate, "deallocated"), (machines.begin_start, "running")):
        action(cloud.group, "vm").result()
        assert machines.instance_view(cloud.group, "vm").statuses[-1].code == f"PowerState/{code}"
    with pytest.raises(HttpResponseError) as caught:
        cloud.network.network_interfaces.begin_delete(cloud.group, "nic").result()
    assert caught.value.error.code == "NicInUse"
    machines.begin_delete(cloud.group, "vm").result()
    with pytest.raises(ResourceNotFoundError):
        machines.get(cloud.group, "vm")


def test_a_scale_set_and_its_instances(cloud: Cloud) -> None:
    address = {"name": "primary", "properties": {"subnet": {"id": cloud.subnet()}}}
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [address]}}
    profile = {
        "storageProfile": {"imageReference": IMAGE},
        "osProfile": {"computerNamePrefix": "node", **_profile()},
        "networkProfile": {"networkInterfaceConfigurations": [nic]},
    }
    properties = {"overprovision": False, "upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": profile}
    wanted = {"location": LOCATION, "sku": {"name": "Standard_D2s_v5", "capacity": 3}, "properties": properties}
    sets, instances = cloud.compute.virtual_machine_scale_sets, cloud.compute.virtual_machine_scale_set_vms
    sets.begin_create_or_update(cloud.group, "set", wanted).result()
    assert [one.instance_id for one in instances.list(cloud.group, "set")] == ["0", "1", "2"]
    sets.begin_delete_instances(cloud.group, "set", {"instanceIds": ["1"]}).result()
    left = {one.instance_id: one for one in instances.list(cloud.group, "set", expand="instanceView")}
    assert sorted(left) == ["0", "2"]
    assert left["2"].instance_view.statuses[-1].code == "PowerState/running"
    usages = {one.name.value: one.current_value for one in cloud.compute.usage.list(LOCATION)}
    assert usages["cores"] >= 4
    sizes = {one.name for one in cloud.compute.resource_skus.list(filter=f"location eq '{LOCATION}'")}
    assert "Standard_HB120rs_v3" in sizes


def test_a_lustre_file_system(cloud: Cloud) -> None:
    client, subnet = cloud.client(StorageCacheManagementClient), cloud.subnet()
    sku, capacity = {"name": "AMLFS-Durable-Premium-125"}, 16
    client.check_aml_fs_subnets(
        {"filesystemSubnet": subnet, "sku": sku, "storageCapacityTiB": capacity, "location": LOCATION}
    )
    assert client.get_required_aml_fs_subnets_size({"sku": sku, "storageCapacityTiB": capacity}).filesystem_subnet_size
    window = {"dayOfWeek": "Friday", "timeOfDayUTC": "22:00"}
    properties = {"storageCapacityTiB": capacity, "filesystemSubnet": subnet, "maintenanceWindow": window}
    wanted = {"location": LOCATION, "sku": sku, "zones": ["1"], "properties": properties}
    made = client.aml_filesystems.begin_create_or_update(cloud.group, "scratch", wanted).result()
    assert made.properties.health.state == "Available"
    assert made.properties.client_info.mgs_address.startswith("10.0.0.")
    changed = client.aml_filesystems.begin_update(cloud.group, "scratch", {"tags": {"a": "b"}}).result()
    assert changed.tags == {"a": "b"}
    assert [one.name for one in client.aml_filesystems.list_by_resource_group(cloud.group)] == ["scratch"]
    client.aml_filesystems.begin_delete(cloud.group, "scratch").result()
    assert not list(client.aml_filesystems.list_by_resource_group(cloud.group))


def test_alerts_and_a_workspace(cloud: Cloud) -> None:
    monitor, logs = cloud.client(MonitorManagementClient), cloud.client(LogAnalyticsManagementClient)
    group = {"location": "global", "group_short_name": "ops", "enabled": True}
    receiver = monitor.action_groups.create_or_update(cloud.group, "ops", group)
    criterion = {
        "name": "busy",
        "metric_name": "Percentage CPU",
        "operator": "GreaterThan",
        "threshold": 80,
        "time_aggregation": "Average",
        "criterion_type": "StaticThresholdCriterion",
    }
    criteria = {
        "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
        "all_of": [criterion],
    }
    alert = {"location": "global", "severity": 3, "enabled": True, "scopes": [cloud.scope], "criteria": criteria}
    alert |= {"evaluation_frequency": "PT1M", "window_size": "PT5M", "actions": [{"action_group_id": receiver.id}]}
    monitor.metric_alerts.create_or_update(cloud.group, "busy", alert)
    found = list(monitor.metric_alerts.list_by_resource_group(cloud.group))
    assert [(one.name, one.criteria.all_of[0].threshold) for one in found] == [("busy", 80)]
    wanted = {"location": LOCATION, "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30}}
    workspace = logs.workspaces.begin_create_or_update(cloud.group, "logs", wanted).result()
    assert uuid.UUID(workspace.properties.customer_id)
    assert [one.name for one in logs.workspaces.list_by_resource_group(cloud.group)] == ["logs"]
    logs.workspaces.begin_delete(cloud.group, "logs", force=True).result()
    assert not list(logs.workspaces.list_by_resource_group(cloud.group))


def test_costs_of_a_group(cloud: Cloud) -> None:
    dataset = {
        "granularity": "None",
        "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
        "grouping": [{"type": "Dimension", "name": "ResourceId"}],
    }
    asked = {"type": "ActualCost", "timeframe": "MonthToDate", "dataset": dataset}
    answer = CostManagementClient(cloud.credential).query.usage(cloud.scope, asked)
    assert [one.name for one in answer.columns] == ["Cost", "ResourceId", "Currency"]
    assert answer.rows == []
