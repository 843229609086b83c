# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure NetApp Files: accounts, pools and volumes, what they refuse, and the files that machines mount."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.sandbox.conftest import GROUP

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

VNET = "/providers/Microsoft.Network/virtualNetworks/v"
SUBNET = f"{GROUP}{VNET}/subnets/netapp"
ACCOUNT = "/providers/Microsoft.NetApp/netAppAccounts/files"
POOL = f"{ACCOUNT}/capacityPools/premium"
VOLUME = f"{POOL}/volumes/projects"
TIB, GIB = 1 << 40, 1 << 30
DELEGATED = [{"name": "netapp", "properties": {"serviceName": "Microsoft.Netapp/volumes"}}]


def pool(size: int = 1, **changes: Any) -> dict[str, Any]:
    return {"properties": {"serviceLevel": "Premium", "size": size * TIB, **changes}}


def volume(size: int = 100, **changes: Any) -> dict[str, Any]:
    return {
        "location": "westeurope",
        "properties": {"usageThreshold": size * GIB, "creationToken": "projects", "subnetId": SUBNET, **changes},
    }


@pytest.fixture
def netapp(arm: Arm) -> Arm:
    """An account with a pool, and a network with a delegated subnet."""
    subnets = [
        {"name": "netapp", "properties": {"addressPrefix": "10.0.1.0/26", "delegations": DELEGATED}},
        {"name": "other", "properties": {"addressPrefix": "10.0.2.0/26"}},
    ]
    arm.make(VNET, {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}})
    arm.make(ACCOUNT)
    arm.make(POOL, pool())
    return arm


def code(answer: Any) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


def test_a_volume_has_an_address_of_its_subnet_and_a_directory_that_it_exports(netapp: Arm) -> None:
    begun = netapp.send("PUT", VOLUME, volume())
    assert (begun.status, begun.body["properties"]["provisioningState"]) == (201, "Creating")
    assert "operationResults" in begun.headers["Azure-AsyncOperation"]
    netapp.wait()
    made = netapp.send("GET", VOLUME).body
    assert made["name"] == "files/premium/projects"
    (target,) = made["properties"]["mountTargets"]
    assert target["ipAddress"] == "10.0.1.4"
    assert (made["properties"]["serviceLevel"], made["properties"]["throughputMibps"]) == ("Premium", 6.25)
    (table,) = netapp.core.settings.state.glob("servers/*/10.0.1.4/table.json")
    assert json.loads(table.read_text())["exports"] == {"/projects": [["0.0.0.0/0", ["rw"]]]}
    assert (table.parent / "data/projects").is_dir()
    assert netapp.send("DELETE", VOLUME).status == 202
    netapp.wait()
    assert not table.parent.exists()
    assert netapp.send("DELETE", VNET).status == 202


@pytest.mark.parametrize(
    ("size", "why"), [(0, "1 tebibytes in bytes or higher"), (2049, "multiple of 1 tebibyte"), (26, "25 TiB")]
)
def test_a_pool_has_a_legal_size_within_the_quota(netapp: Arm, size: int, why: str) -> None:
    refused = netapp.send("PUT", f"{POOL}2", {"location": "westeurope", **pool(size)})
    assert refused.status == 400
    assert why in refused.body["error"]["message"]


def test_a_pool_is_as_large_as_its_volumes(netapp: Arm) -> None:
    assert code(netapp.send("PUT", VOLUME, volume(1025))) == (400, "PoolSizeTooSmall")
    netapp.make(VOLUME, volume(1024))
    assert code(netapp.send("PATCH", VOLUME, volume(1025))) == (400, "PoolSizeTooSmall")
    assert netapp.send("PATCH", POOL, pool(2)).status == 202
    netapp.wait()
    assert netapp.send("PATCH", VOLUME, volume(1025)).status == 202
    netapp.wait()
    assert code(netapp.send("PATCH", POOL, pool(1))) == (400, "PoolSizeTooSmall")


def test_what_is_not_empty_is_not_deleted(netapp: Arm) -> None:
    netapp.make(VOLUME, volume())
    for path in (ACCOUNT, POOL):
        assert code(netapp.send("DELETE", path)) == (409, "CannotDeleteResource")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"subnetId": f"{GROUP}{VNET}/subnets/other"}, 400, "InvalidSubnet"),
        ({"subnetId": f"{GROUP}{VNET}/subnets/none"}, 400, "InvalidSubnet"),
        ({"creationToken": "no spaces"}, 400, "InvalidValueReceived"),
        ({"usageThreshold": 49 * GIB}, 400, "InvalidValueReceived"),
        ({"usageThreshold": 100 * GIB + 1}, 400, "InvalidValueReceived"),
        ({"protocolTypes": ["NFSv5"]}, 400, "InvalidValueReceived"),
        ({"exportPolicy": {"rules": [{"ruleIndex": 1}, {"ruleIndex": 1}]}}, 400, "InvalidValueReceived"),
    ],
)
def test_what_a_volume_cannot_be(netapp: Arm, changes: dict[str, Any], status: int, error: str) -> None:
    assert code(netapp.send("PUT", VOLUME, volume(**changes))) == (status, error)


def test_a_path_is_taken_once_in_a_subnet(netapp: Arm) -> None:
    netapp.make(VOLUME, volume())
    assert netapp.send("PUT", f"{VOLUME}2", volume()).status == 409
    assert netapp.send("PATCH", VOLUME, volume(creationToken="other")).status == 400


def test_a_flexible_pool_gives_throughput_by_hand(netapp: Arm) -> None:
    flexible = pool(serviceLevel="Flexible", qosType="Manual", customThroughputMibps=640)
    assert netapp.send("PUT", f"{POOL}2", {"location": "westeurope", **pool(serviceLevel="Flexible")}).status == 400
    made = netapp.make(f"{POOL}2", flexible)
    assert made["properties"]["totalThroughputMibps"] == 640
    inside = f"{POOL}2/volumes/fast"
    assert netapp.send("PUT", inside, volume(creationToken="fast")).status == 400
    assert netapp.send("PUT", inside, volume(creationToken="fast", throughputMibps=641)).status == 400
    fast = netapp.make(inside, volume(creationToken="fast", throughputMibps=600))
    assert fast["properties"]["throughputMibps"] == 600


def test_a_subnet_in_use_keeps_its_delegation(netapp: Arm) -> None:
    netapp.make(VOLUME, volume())
    path = f"{VNET}/subnets/netapp"
    refused = netapp.send("PUT", path, {"properties": {"addressPrefix": "10.0.1.0/26"}})
    assert code(refused) == (400, "SubnetDelegationsCannotChangeWhenSubnetUsedByResource")


def test_the_quota_of_a_region_is_told(netapp: Arm) -> None:
    head = f"{GROUP.split('/resourceGroups')[0]}/providers/Microsoft.NetApp/locations/westeurope/quotaLimits"
    one = netapp.send("GET", f"{head}/totalTiBsPerSubscription").body["properties"]
    assert one == {"current": 25, "default": 25, "usage": 1}
    assert len(netapp.send("GET", head).body["value"]) > 1


def test_a_group_is_deleted_with_volumes_in_it(netapp: Arm) -> None:
    netapp.make(VOLUME, volume())
    assert netapp.send("DELETE", "").status == 202
    netapp.wait()
    assert list(netapp.core.settings.state.glob("servers/*/*")) == []
