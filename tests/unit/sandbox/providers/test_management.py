# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Resource Manager does for every type: locks, tags, features, moves; and credentials of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Request

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/g"
VNET = "/providers/Microsoft.Network/virtualNetworks/v"
PUBLIC = "/providers/Microsoft.Network/publicIPAddresses/p"
IDENTITY = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
LOCKS = "/providers/Microsoft.Authorization/locks"
TAGS = "/providers/Microsoft.Resources/tags/default"


def network(arm: Arm) -> None:
    arm.make(VNET, {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}})


def lock(arm: Arm, scope: str, level: str, name: str = "l") -> None:
    answer = arm.send("PUT", f"{scope}{LOCKS}/{name}", {"properties": {"level": level, "notes": "mine"}})
    assert answer.status == 201, answer.body


def code(answer: Any) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


@pytest.mark.parametrize("scope", [SUBSCRIPTION, GROUP, f"{GROUP}{VNET}"])
def test_a_lock_keeps_what_is_below_it_until_it_is_removed(arm: Arm, scope: str) -> None:
    network(arm)
    lock(arm, scope, "CanNotDelete")
    assert code(arm.send("DELETE", VNET)) == (409, "ScopeLocked")
    assert code(arm.send("DELETE", "")) == (409, "ScopeLocked"), "the group has something that cannot go"
    assert arm.send("PATCH", VNET, {"tags": {"a": "b"}}).status == 200, "it may be changed"
    assert arm.send("DELETE", f"{scope}{LOCKS}/l").status == 200
    assert arm.send("DELETE", VNET).status == 202


def test_a_read_only_lock_forbids_writes_too(arm: Arm) -> None:
    network(arm)
    lock(arm, GROUP, "readonly")
    refusal = arm.send("PUT", f"{VNET}/subnets/s", {"properties": {"addressPrefix": "10.0.0.0/24"}})
    assert code(refusal) == (409, "ScopeLocked")
    assert GROUP in refusal.body["error"]["message"]
    assert arm.send("GET", VNET).status == 200


def test_locks_are_listed_below_a_scope_and_go_with_what_they_are_on(arm: Arm) -> None:
    network(arm)
    lock(arm, f"{GROUP}{VNET}", "CanNotDelete", "inner")
    lock(arm, GROUP, "CanNotDelete", "outer")
    names = [entry["name"] for entry in arm.send("GET", LOCKS).body["value"]]
    assert sorted(names) == ["inner", "outer"]
    above = arm.send("GET", f"{VNET}{LOCKS}", filter="atScope()").body["value"]
    assert sorted(entry["name"] for entry in above) == ["inner", "outer"]
    assert [entry["name"] for entry in arm.send("GET", f"{VNET}{LOCKS}").body["value"]] == ["inner"]


def test_a_lock_has_a_level_that_there_is(arm: Arm) -> None:
    refusal = arm.send("PUT", f"{GROUP}{LOCKS}/l", {"properties": {"level": "Strict"}})
    assert code(refusal) == (400, "InvalidLockLevel")
    assert code(arm.send("GET", f"{LOCKS}/l")) == (404, "LockNotFound")


@pytest.mark.parametrize("scope", ["", VNET, SUBSCRIPTION])
def test_tags_are_written_merged_and_deleted_as_a_resource(arm: Arm, scope: str) -> None:
    network(arm)
    path = f"{scope}{TAGS}"
    written = arm.send("PUT", path, {"properties": {"tags": {"a": "1", "B": "2"}}})
    assert (written.status, written.body["properties"]["tags"]) == (200, {"a": "1", "B": "2"})
    for operation, given, left in (
        ("Merge", {"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
        ("Delete", {"A": ""}, {"b": "3", "c": "4"}),
        ("Replace", {"d": "5"}, {"d": "5"}),
    ):
        arm.send("PATCH", path, {"operation": operation, "properties": {"tags": given}})
        assert arm.send("GET", path).body["properties"]["tags"] == left, operation
    if scope != SUBSCRIPTION:
        assert arm.send("GET", scope).body["tags"] == {"d": "5"}
    assert arm.send("DELETE", path).status == 200
    assert arm.send("GET", path).body["properties"]["tags"] == {}


def test_tag_names_count_who_has_them(arm: Arm) -> None:
    network(arm)
    names = f"{SUBSCRIPTION}/tagNames"
    assert code(arm.send("PUT", f"{names}/env/tagValues/test")) == (404, "TagNameNotFound")
    assert arm.send("PUT", f"{names}/env").status == 201
    assert arm.send("PUT", f"{names}/env/tagValues/test").status == 201
    arm.send("PATCH", VNET, {"tags": {"env": "test"}})
    (entry,) = arm.send("GET", names).body["value"]
    assert (entry["tagName"], entry["count"]["value"], entry["values"][0]["count"]["value"]) == ("env", 1, 1)
    assert arm.send("DELETE", f"{names}/env").status == 409
    assert arm.send("DELETE", f"{names}/env/tagValues/test").status == 200
    assert arm.send("DELETE", f"{names}/env").status == 200


def test_a_feature_is_registered_and_an_unknown_one_is_not_there(arm: Arm) -> None:
    features = f"{SUBSCRIPTION}/providers/Microsoft.Features/providers/microsoft.compute/features"
    one = f"{features}/UseStandardSecurityType"
    assert arm.send("GET", one).body["properties"]["state"] == "NotRegistered"
    assert arm.send("POST", f"{one}/register").body["properties"]["state"] == "Registered"
    assert arm.send("GET", one).body["name"] == "Microsoft.Compute/UseStandardSecurityType"
    listed = {entry["name"]: entry["properties"]["state"] for entry in arm.send("GET", features).body["value"]}
    assert listed["Microsoft.Compute/UseStandardSecurityType"] == "Registered"
    assert code(arm.send("GET", f"{features}/Nonsense")) == (404, "FeatureNotFound")


def test_operations_of_a_provider_are_what_roles_name(arm: Arm) -> None:
    query = {"api-version": "2024-07-01"}
    request = Request(arm.core, "GET", "/providers/Microsoft.Compute/operations", {}, query, {}, "https://x")
    names = {entry["name"] for entry in dispatch(arm.core, request).body["value"]}
    assert {"Microsoft.Compute/virtualMachines/start/action", "Microsoft.Compute/virtualMachines/read"} <= names


def move(arm: Arm, *paths: str, target: str = "h", action: str = "moveResources") -> Any:
    resources = [f"{GROUP}{path}" for path in paths]
    body = {"resources": resources, "targetResourceGroup": f"{SUBSCRIPTION}/resourceGroups/{target}"}
    answer = arm.send("POST", f"/{action}", body)
    arm.wait()
    return answer


def test_what_is_moved_is_found_there_and_what_refers_to_it_knows(arm: Arm) -> None:
    arm.send("PUT", f"{SUBSCRIPTION}/resourceGroups/h", {"location": "westeurope"})
    for name in ("NSG", "Nsg2"):
        arm.make(f"/providers/Microsoft.Network/networkSecurityGroups/{name}")
    nsg = "/providers/Microsoft.Network/networkSecurityGroups/NSG"
    subnet = {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": f"{GROUP}{nsg}"}}
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": subnet}]}
    arm.make(VNET, {"properties": space})
    assert move(arm, nsg, action="validateMoveResources").status == 202
    assert arm.send("GET", nsg).status == 200, "that was only asked"
    answer = move(arm, nsg)
    assert answer.status == 202
    assert "Location" in answer.headers
    assert arm.send("GET", nsg).status == 404
    moved = arm.send("GET", f"{SUBSCRIPTION}/resourceGroups/h{nsg}").body
    assert moved["id"] == f"{SUBSCRIPTION}/resourceGroups/h{nsg}"
    assert all(moved["id"] in rule["id"] for rule in moved["properties"]["defaultSecurityRules"])
    (found,) = arm.send("GET", VNET).body["properties"]["subnets"]
    assert found["properties"]["networkSecurityGroup"]["id"] == moved["id"]
    assert arm.send("GET", "/providers/Microsoft.Network/networkSecurityGroups/Nsg2").status == 200


def test_what_cannot_be_moved_stays(arm: Arm) -> None:
    arm.send("PUT", f"{SUBSCRIPTION}/resourceGroups/h", {"location": "westeurope"})
    network(arm)
    arm.make(PUBLIC, {"sku": {"name": "Standard"}})
    assert code(move(arm, VNET)) == (400, "ResourceMoveNotSupported")
    assert code(move(arm, PUBLIC, target="nowhere")) == (404, "ResourceGroupNotFound")
    assert code(move(arm, PUBLIC, target="g")) == (400, "MoveSourceAndTargetAreSame")
    assert code(move(arm, "/providers/Microsoft.Network/publicIPAddresses/q")) == (404, "ResourceNotFound")
    assert arm.send("GET", PUBLIC).status == 200


@pytest.mark.parametrize(
    ("name", "told"), [("bad~name", "invalid characters: '~'"), ("ends.", "ends with a period"), ("x" * 91, "longer")]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_bad_name_of_a_group_is_refused_whatever_is_asked(arm: Arm, method: str, name: str, told: str) -> None:
    answer = arm.send(method, f"{SUBSCRIPTION}/resourceGroups/{name}", {"location": "westeurope"})
    assert code(answer) == (400, "InvalidResourceGroup")
    assert told in answer.body["error"]["message"]


def test_an_identity_trusts_an_issuer_and_subject_once(arm: Arm) -> None:
    arm.make(IDENTITY)
    one, two = f"{IDENTITY}/federatedIdentityCredentials/one", f"{IDENTITY}/federatedIdentityCredentials/two"
    body = {"properties": {"issuer": "https://token.example", "subject": "s", "audiences": ["api"]}}
    assert arm.send("PUT", one, body).status == 201
    assert arm.send("PUT", one, body).status == 200
    assert code(arm.send("PUT", two, body)) == (409, "Conflict")
    assert code(arm.send("PUT", two, {"properties": {"issuer": "https://x", "subject": "s"}})) == (400, "BadRequest")
    assert [entry["name"] for entry in arm.send("GET", one.rpartition("/")[0]).body["value"]] == ["one"]
    assert arm.send("DELETE", IDENTITY).status == 200
    assert arm.send("GET", one).status == 404
