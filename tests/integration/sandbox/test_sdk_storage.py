# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed clients, made as on Azure: netapp and storage."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.netapp import NetAppManagementClient
from azure.mgmt.storage import StorageManagementClient

from tests.integration.sandbox.test_sdk_services import LOCATION, Cloud, cloud

__all__ = ["cloud"]
TIB, GIB = 1 << 40, 1 << 30
DELEGATED = [{"name": "netapp", "properties": {"serviceName": "Microsoft.Netapp/volumes"}}]


def delegated(cloud: Cloud) -> str:
    subnets = [{"name": "netapp", "properties": {"addressPrefix": "10.0.1.0/26", "delegations": DELEGATED}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    wanted = {"location": LOCATION, "properties": properties}
    net = cloud.network.virtual_networks.begin_create_or_update(cloud.group, "files", wanted).result()
    return str(net.subnets[0].id)


def test_a_volume_in_its_pool_and_account(cloud: Cloud) -> None:
    client, group, place = cloud.client(NetAppManagementClient), cloud.group, {"location": LOCATION}
    account = client.accounts.begin_create_or_update(group, "files", place).result()
    assert account.name == "files"
    size = {"size": TIB, "serviceLevel": "Premium"}
    pool = client.pools.begin_create_or_update(group, "files", "premium", {**place, "properties": size}).result()
    assert pool.name == "files/premium"
    names = (group, "files", "premium", "projects")
    wanted = {"creationToken": "projects", "usageThreshold": 100 * GIB, "subnetId": delegated(cloud)}
    made = client.volumes.begin_create_or_update(*names, {**place, "properties": wanted}).result()
    assert made.properties.mount_targets[0].ip_address == "10.0.1.4"
    grown = client.volumes.begin_update(*names, {"properties": {"usageThreshold": 200 * GIB}}).result()
    assert grown.properties.usage_threshold == 200 * GIB
    with pytest.raises(HttpResponseError) as refused:
        client.volumes.begin_update(*names, {"properties": {"usageThreshold": 2 * TIB}}).result()
    assert refused.value.error.code == "PoolSizeTooSmall"
    client.pools.begin_update(group, "files", "premium", {"properties": {"size": 2 * TIB}}).result()
    assert [one.name for one in client.volumes.list(group, "files", "premium")] == ["files/premium/projects"]
    client.volumes.begin_delete(*names).result()
    client.pools.begin_delete(group, "files", "premium").result()
    client.accounts.begin_delete(group, "files").result()
    assert list(client.accounts.list(group)) == []


def test_an_account_with_a_share(cloud: Cloud) -> None:
    client, name = cloud.client(StorageManagementClient), f"sdk{cloud.group[3:]}"
    wanted = {"location": LOCATION, "kind": "FileStorage", "sku": {"name": "Premium_LRS"}}
    account = client.storage_accounts.begin_create(cloud.group, name, wanted).result()
    assert account.primary_endpoints.file == f"https://{name}.file.core.windows.net/"
    nfs = {"properties": {"shareQuota": 128, "enabledProtocols": "NFS"}}
    assert client.file_shares.create(cloud.group, name, "home", nfs).share_quota == 128
    grown = client.file_shares.update(cloud.group, name, "home", {"properties": {"shareQuota": 256}})
    assert grown.share_quota == 256
    read = client.file_shares.get(cloud.group, name, "home")
    assert (read.enabled_protocols, read.root_squash) == ("NFS", "NoRootSquash")
    client.file_shares.delete(cloud.group, name, "home")
    assert list(client.file_shares.list(cloud.group, name)) == []
