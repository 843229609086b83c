# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks: encryption, delegated subnets, peerings of some subnets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

VNETS = "/providers/Microsoft.Network/virtualNetworks"


def network(arm: Arm, name: str, first: int, **more: Any) -> Any:
    subnets = [{"name": one, "properties": {"addressPrefix": f"10.{first}.{at}.0/24"}} for at, one in enumerate("ab")]
    space = {"addressPrefixes": [f"10.{first}.0.0/16"]}
    body = {"location": "westeurope", "properties": {"addressSpace": space, "subnets": subnets, **more}}
    answer = arm.send("PUT", f"{VNETS}/{name}", body)
    arm.wait()
    return answer.body


def test_encryption_says_how_strict_it_is(arm: Arm) -> None:
    refused = network(arm, "v", 1, encryption={"enabled": True})
    assert refused["error"]["code"] == "MustSpecifyBothEncryptionIntentAndEnforcementPolicy"
    kept = network(arm, "v", 1, encryption={"enabled": False})["properties"]["encryption"]
    assert kept == {"enabled": False, "enforcement": "AllowUnencrypted"}


def test_what_a_service_may_do_in_a_subnet_depends_on_the_service(arm: Arm) -> None:
    network(arm, "v", 1)
    service = {"name": "0", "properties": {"serviceName": "microsoft.sql/managedInstances"}}
    body = {"properties": {"addressPrefix": "10.1.9.0/24", "delegations": [service]}}
    made = arm.send("PUT", f"{VNETS}/v/subnets/c", body).body["properties"]
    assert made["provisioningState"] == "Updating"
    delegation = made["delegations"][0]["properties"]
    assert delegation["provisioningState"] == "Succeeded"
    assert [one.rpartition("/subnets/")[2] for one in delegation["actions"]] == [
        "join/action",
        "prepareNetworkPolicies/action",
        "unprepareNetworkPolicies/action",
    ]


def test_a_peering_of_some_subnets_tells_their_addresses_only(arm: Arm) -> None:
    strict = {"enabled": True, "enforcement": "DropUnencrypted"}
    network(arm, "near", 1)
    far = network(arm, "far", 2, encryption=strict)["id"]
    given = {
        "remoteVirtualNetwork": {"id": far},
        "peerCompleteVnets": False,
        "localSubnetNames": ["a"],
        "remoteSubnetNames": ["b"],
    }
    made = arm.send("PUT", f"{VNETS}/near/virtualNetworkPeerings/p", {"properties": given}).body["properties"]
    assert made["localAddressSpace"]["addressPrefixes"] == ["10.1.0.0/24"]
    assert made["remoteAddressSpace"]["addressPrefixes"] == ["10.2.1.0/24"]
    assert made["remoteVirtualNetworkEncryption"] == strict
