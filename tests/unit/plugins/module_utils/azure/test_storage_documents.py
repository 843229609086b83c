# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts and NetApp volumes as documents: what is sent, compared, refused, and told."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import (
    netapp,
    netapp_documents,
    network,
    storage,
    storage_documents,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import Target, plan

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/data"
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/compute"
POOL = "/subscriptions/s/resourceGroups/g/providers/Microsoft.NetApp/netAppAccounts/a/capacityPools/p"
GIB = netapp_documents.GIB


def volume(**properties: t.Any) -> dict[str, t.Any]:
    return {
        "id": f"{POOL}/volumes/v",
        "location": "westeurope",
        "properties": {"usageThreshold": 100 * GIB, **properties},
    }


def test_who_reaches_an_account() -> None:
    assert storage_documents.network((), ())["defaultAction"] == "Allow"
    closed = storage_documents.network([SUBNET], ["8.8.8.8"])
    assert (closed["defaultAction"], closed["virtualNetworkRules"]) == ("Deny", [{"id": SUBNET}])
    served = storage_documents.usual({"kind": "FileStorage"})
    assert served["properties"]["networkAcls"]["defaultAction"] == "Deny"
    assert served["sku"] == {"name": "Premium_LRS"}


def test_rules_of_networks_are_sent_as_a_whole() -> None:
    rules = {"ipRules": [], "virtualNetworkRules": [{"id": SUBNET, "state": "Succeeded"}], "defaultAction": "Deny"}
    actual = {"id": ACCOUNT, "properties": {"networkAcls": {**rules, "bypass": "AzureServices"}, "isHnsEnabled": True}}
    body = storage_documents.changeable({"subnets": [SUBNET], "allowed": ["8.8.8.8"]})
    (write,) = plan([Target(ACCOUNT, body, update="PATCH")], {ACCOUNT.casefold(): actual})
    assert write.body["properties"] == body["properties"]
    body = storage_documents.changeable({"subnets": [SUBNET], "allowed": []})
    assert plan([Target(ACCOUNT, body, update="PATCH")], {ACCOUNT.casefold(): actual}) == ()


@pytest.mark.parametrize(
    ("scope", "role", "enough"),
    [
        (ACCOUNT, "ba92f5b4-2d11-453d-a403-e96b0029c9fe", True),
        ("/subscriptions/S/resourcegroups/g", "B7E6DC6D-f1e8-4753-8033-0f276bb0955b", True),
        ("/", "ba92f5b4-2d11-453d-a403-e96b0029c9fe", True),
        (f"{ACCOUNT}/blobServices/default/containers/in", "ba92f5b4-2d11-453d-a403-e96b0029c9fe", False),
        (f"{ACCOUNT}2", "ba92f5b4-2d11-453d-a403-e96b0029c9fe", False),
        (ACCOUNT, "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", False),
    ],
)
def test_which_assignments_let_an_identity_at_blobs(scope: str, role: str, enough: bool) -> None:
    roles = (storage_documents.DATA_CONTRIBUTOR[1], storage_documents.DATA_OWNER[1])
    assignment = {"scope": scope, "roleDefinitionId": f"/subscriptions/s/roleDefinitions/{role}"}
    assert storage._covers(assignment, ACCOUNT, roles) is enough


def test_a_share_is_mounted_only_if_it_speaks_nfs() -> None:
    account = {"name": "data", "properties": {"primaryEndpoints": {"file": "https://data.file.core.chinacloudapi.cn/"}}}
    shares = [{"name": one, "properties": {"enabledProtocols": one, "shareQuota": 100}} for one in ("NFS", "SMB")]
    nfs, smb = storage_documents.summary(account, [{"name": "in"}], shares)["shares"]
    assert (nfs["server"], nfs["export"]) == ("data.file.core.chinacloudapi.cn", "/data/NFS")
    assert (smb["server"], smb["export"]) == ("", "")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size_gib": 49}, "size_gib"),
        ({"size_gib": 100, "throughput": 64}, "throughput"),
        ({"pool_tib": 2049}, "pool_tib"),
        ({"pool_throughput": 128}, "pool_throughput"),
        ({"service_level": "Flexible", "size_gib": 100}, "throughput"),
        ({"service_level": "Flexible", "pool_throughput": 641}, "pool_throughput"),
    ],
)
def test_a_volume_that_cannot_be_is_refused_with_its_option(options: dict[str, t.Any], key: str) -> None:
    with pytest.raises(AzureError, match=f"{key}: "):
        netapp_documents.check_options(options, {})


def test_a_volume_can_be_mounted_when_it_has_an_address() -> None:
    begun = netapp_documents.summary(volume(provisioningState="Creating", creationToken="data"), {})
    assert (begun["ready"], begun["source"], begun["pool"]) == (False, "", "p")
    targets = [{"ipAddress": "10.0.5.4"}]
    made = netapp_documents.summary(
        volume(provisioningState="Succeeded", creationToken="data", mountTargets=targets),
        {"properties": {"size": 1 << 40}},
    )
    assert (made["ready"], made["source"], made["pool_tib"], made["size_gib"]) == (True, "10.0.5.4:/data", 1, 100)


def test_a_failed_change_is_not_a_lost_volume() -> None:
    half = netapp_documents.problems(volume(provisioningState="Failed"))
    assert "half made" in half[0]
    changed = netapp_documents.problems(volume(provisioningState="Failed", mountTargets=[{"ipAddress": "10.0.5.4"}]))
    assert "what is in it is there" in changed[0]


def test_a_pool_grows_before_its_volumes_and_shrinks_after_them() -> None:
    class Names:
        account, pool, volume = POOL.rpartition("/capacityPools/")[0], POOL, f"{POOL}/volumes/v"

    have = {
        POOL.casefold(): {"properties": {"size": 2 << 40}},
        f"{POOL}/volumes/v".casefold(): volume(protocolTypes=["NFSv3"]),
    }
    stages = [
        {one.id: one.stage for one in netapp._targets(Names(), {"name": "v", "size_gib": 200}, have, size)}[POOL]
        for size in (4, 1)
    ]
    assert stages == [1, 3]


def test_a_subnet_keeps_the_services_that_others_gave_it() -> None:
    subnet = {"service_endpoints": ["Microsoft.Storage"], "delegation": "Microsoft.Netapp/volumes"}
    actual = {
        "serviceEndpoints": [{"service": "Microsoft.KeyVault", "locations": ["*"]}],
        "delegations": [{"name": "x", "properties": {"serviceName": "Microsoft.NetApp/Volumes"}}],
    }
    found = network._services(subnet, actual)
    assert found == {"serviceEndpoints": [{"service": "Microsoft.KeyVault"}, {"service": "Microsoft.Storage"}]}
    assert network._services(subnet, {})["delegations"][0]["properties"] == {"serviceName": "Microsoft.Netapp/volumes"}
    assert network._services({}, actual) == {}
