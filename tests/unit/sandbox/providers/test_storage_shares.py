# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage account cannot be, which networks reach it, and its file shares."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.providers import blobs
from tests.unit.sandbox.conftest import GROUP

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

ACCOUNT = "/providers/Microsoft.Storage/storageAccounts/account1"
SHARE = f"{ACCOUNT}/fileServices/default/shares/home"
VNET = "/providers/Microsoft.Network/virtualNetworks/v"
DENY = {"networkAcls": {"defaultAction": "Deny"}}


def account(kind: str = "StorageV2", sku: str = "Standard_LRS", **properties: Any) -> dict[str, Any]:
    return {"location": "westeurope", "kind": kind, "sku": {"name": sku}, "properties": properties}


def share(size: int = 100, **more: Any) -> dict[str, Any]:
    return {"properties": {"shareQuota": size, "enabledProtocols": "NFS", **more}}


def network(arm: Arm, vnet: str = VNET) -> None:
    endpoint = {"serviceEndpoints": [{"service": "Microsoft.Storage"}]}
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.1.0/26", **endpoint}}]
    arm.make(vnet, {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}})


def let_in(vnet: str = VNET) -> dict[str, Any]:
    return {"defaultAction": "Deny", "virtualNetworkRules": [{"id": f"{GROUP}{vnet}/subnets/nodes"}]}


def code(answer: Any) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


@pytest.fixture
def files(arm: Arm) -> Arm:
    arm.make(ACCOUNT, account("FileStorage", "Premium_LRS"))
    return arm


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (account("FileStorage", "Premium_LRS", isHnsEnabled=True), "InvalidRequestPropertyValue"),
        (account(isNfsV3Enabled=True, **DENY), "InvalidRequestPropertyValue"),
        (account(isHnsEnabled=True, isNfsV3Enabled=True), "NetworkAclsDefaultActionMisconfigured"),
        (account(sku="Standard_RAGRS", isHnsEnabled=True, isNfsV3Enabled=True, **DENY), "InvalidRequestPropertyValue"),
        (account(networkAcls={"ipRules": [{"value": "8.8.8.8/32"}]}), "InvalidValuesForRequestParameters"),
        (account(networkAcls={"virtualNetworkRules": [{"id": "/x"}]}), "NetworkAclsValidationFailure"),
    ],
)
def test_what_an_account_cannot_be(arm: Arm, body: dict[str, Any], error: str) -> None:
    assert code(arm.send("PUT", ACCOUNT, body)) == (400, error)


def test_a_namespace_and_nfs_are_for_life(arm: Arm) -> None:
    arm.make(ACCOUNT, account(isHnsEnabled=True, isNfsV3Enabled=True, **DENY))
    for body in ({"properties": {"isNfsV3Enabled": False}}, {"kind": "FileStorage"}, {"sku": {"name": "Premium_LRS"}}):
        assert code(arm.send("PATCH", ACCOUNT, body)) == (409, "AccountPropertyCannotBeUpdated")
    assert arm.send("PUT", ACCOUNT, account(**DENY)).body["properties"]["isNfsV3Enabled"] is True


def test_a_subnet_reaches_an_account_through_its_endpoint_only(arm: Arm) -> None:
    endpoint = {"serviceEndpoints": [{"service": "Microsoft.Storage"}]}
    subnets = [
        {"name": "with", "properties": {"addressPrefix": "10.0.1.0/26", **endpoint}},
        {"name": "without", "properties": {"addressPrefix": "10.0.2.0/26"}},
    ]
    arm.make(VNET, {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}})
    rule = {"id": f"{GROUP}{VNET}/subnets/without"}
    refused = arm.send("PUT", ACCOUNT, account(networkAcls={"virtualNetworkRules": [rule]}))
    assert code(refused) == (400, "NetworkAclsValidationFailure")
    assert "SubnetsHaveNoServiceEndpointsConfigured" in refused.body["error"]["message"]
    rule = {"id": f"{GROUP}{VNET}/subnets/with"}
    made = arm.make(ACCOUNT, account(networkAcls={"virtualNetworkRules": [rule]}))
    kept = {**rule, "action": "Allow", "state": "Succeeded"}
    assert made["properties"]["networkAcls"]["virtualNetworkRules"] == [kept]


def test_a_share_lives_below_an_account_of_its_kind(files: Arm) -> None:
    made = files.send("PUT", SHARE, share())
    assert (made.status, made.body["name"]) == (201, "home")
    found = files.send("GET", SHARE).body["properties"]
    assert (found["shareQuota"], found["rootSquash"], found["accessTier"]) == (100, "NoRootSquash", "Premium")
    assert [one["name"] for one in files.send("GET", SHARE.rpartition("/")[0]).body["value"]] == ["home"]
    assert files.send("DELETE", SHARE).status == 200
    assert code(files.send("GET", SHARE)) == (404, "ShareNotFound")
    assert files.send("DELETE", SHARE).status == 204


def test_nfs_is_for_premium_files(arm: Arm) -> None:
    arm.make(ACCOUNT, account())
    assert code(arm.send("PUT", SHARE, share())) == (400, "InvalidHeaderValue")
    arm.make(ACCOUNT.replace("account1", "account2"), account("BlockBlobStorage", "Premium_LRS"))
    refused = arm.send("PUT", SHARE.replace("account1", "account2"), share())
    assert code(refused) == (400, "FeatureNotSupportedForAccount")


@pytest.mark.parametrize("size", [99, 102401])
def test_a_share_has_a_legal_size(files: Arm, size: int) -> None:
    assert code(files.send("PUT", SHARE, share(size))) == (400, "InvalidHeaderValue")


def test_a_share_grows_and_gets_smaller_a_day_later(files: Arm) -> None:
    files.send("PUT", SHARE, share())
    assert files.send("PATCH", SHARE, {"properties": {"shareQuota": 200}}).body["properties"]["shareQuota"] == 200
    assert code(files.send("PATCH", SHARE, share(150))) == (409, "ContainerQuotaDowngradeNotAllowed")
    known = files.core.store.get(f"{GROUP}{SHARE}")
    assert known is not None
    known.internal["grown"] -= 86401
    files.core.store.put(known)
    assert files.send("PATCH", SHARE, share(150)).status == 200
    assert code(files.send("PATCH", SHARE, share(150, enabledProtocols="SMB"))) == (400, "InvalidHeaderValue")


def test_all_shares_of_an_account_have_a_limit(files: Arm) -> None:
    files.send("PUT", SHARE, share(102400))
    refused = files.send("PUT", f"{SHARE}2", share())
    assert code(refused) == (409, "TotalSharesProvisionedCapacityExceedsAccountLimit")


def test_shares_go_with_their_account(files: Arm) -> None:
    files.send("PUT", SHARE, share())
    assert files.send("DELETE", ACCOUNT).status == 200
    files.make(ACCOUNT, account("FileStorage", "Premium_LRS"))
    assert files.send("GET", SHARE).status == 404


def test_what_machines_mount_is_exported_to_the_subnets_that_are_let_in(arm: Arm) -> None:
    network(arm)
    arm.make(ACCOUNT, account("FileStorage", "Premium_LRS", networkAcls=let_in()))
    arm.send("PUT", SHARE, share())
    (table,) = arm.core.settings.state.glob("servers/*/100.96.*/table.json")
    assert json.loads(table.read_text())["exports"] == {"/account1/home": [["10.0.1.0/26", ["rw"]]]}
    (table.parent / "data/account1/home/kept").write_text("x")
    arm.send("PUT", f"{SHARE}2", share())
    arm.send("DELETE", f"{SHARE}2")
    assert [one.name for one in (table.parent / "data/account1").iterdir()] == ["home"]
    assert (table.parent / "data/account1/home/kept").exists()
    arm.send("PATCH", ACCOUNT, {"properties": {"networkAcls": {"defaultAction": "Deny"}}})
    assert not table.exists()


def test_containers_by_nfs_are_the_blobs(arm: Arm) -> None:
    network(arm)
    arm.make(ACCOUNT, account(isHnsEnabled=True, isNfsV3Enabled=True, networkAcls=let_in()))
    arm.send("PUT", f"{ACCOUNT}/blobServices/default/containers/inputs", {})
    blob = arm.core.settings.state / "blobs/account1/inputs"
    (blob / "mesh").write_text("a mesh")
    (files,) = arm.core.settings.state.glob("servers/*/100.96.*/data/account1/inputs")
    assert (files / "mesh").read_text() == "a mesh"
    arm.send("PATCH", ACCOUNT, {"properties": {"networkAcls": {"defaultAction": "Deny"}}})
    assert (blob / "mesh").read_text() == "a mesh"
    assert not files.exists()
    arm.send("DELETE", ACCOUNT)
    assert not blob.exists()


def test_files_that_went_with_their_network_leave_an_empty_container(arm: Arm) -> None:
    network(arm)
    arm.make(ACCOUNT, account(isHnsEnabled=True, isNfsV3Enabled=True, networkAcls=let_in()))
    container = f"{ACCOUNT}/blobServices/default/containers/inputs"
    arm.send("PUT", container, {})
    (files,) = arm.core.settings.state.glob("servers/*/100.96.*/data/account1/inputs")
    shutil.rmtree(files)
    assert blobs.directory(arm.core, f"{GROUP}{container}").is_dir()
    arm.send("PUT", container, {})
    assert files.is_dir()


def test_files_move_to_the_network_that_is_let_in(arm: Arm) -> None:
    for one in (VNET, f"{VNET}2"):
        network(arm, one)
    arm.make(ACCOUNT, account(isHnsEnabled=True, isNfsV3Enabled=True, networkAcls=let_in()))
    arm.send("PUT", f"{ACCOUNT}/blobServices/default/containers/inputs", {})
    blob = arm.core.settings.state / "blobs/account1/inputs"
    (blob / "mesh").write_text("a mesh")
    before = blob.resolve()
    arm.send("PATCH", ACCOUNT, {"properties": {"networkAcls": let_in(f"{VNET}2")}})
    assert (blob / "mesh").read_text() == "a mesh"
    assert blob.resolve() != before
    assert not before.exists()
