# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource
from sandbox.providers.resources import resource_filter

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups"
BODY = {
    "id": f"{GROUP}/g/providers/Microsoft.Compute/disks/head_OsDisk",
    "name": "head_OsDisk",
    "type": "Microsoft.Compute/disks",
    "location": "westeurope",
    "tags": {"hpc-cluster": "c", "owner": "it's me"},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("resourceType eq 'microsoft.compute/disks'", True),
        ("resourceType ne 'Microsoft.Compute/disks'", False),
        ("resourceType eq 'Microsoft.Compute/images' or resourceType eq 'Microsoft.Compute/disks'", True),
        ("tagName eq 'hpc-cluster' and tagValue eq 'c'", True),
        ("tagName eq 'owner' and tagValue eq 'c'", False),
        ("tagname eq 'owner' and tagvalue eq 'it''s me'", True),
        ("name eq 'HEAD_osdisk' and location eq 'West Europe'", True),
        ("resourceGroup eq 'other'", False),
        ("substringof('OsDisk', name)", True),
        ("startswith(name, 'login')", False),
    ],
)
def test_filters_of_resource_lists(text: str, matches: bool) -> None:
    assert bool(resource_filter(text)(BODY)) is matches


@pytest.mark.parametrize("text", ["name", "name gt 'a'", "a eq 'b' and c eq 'd' or e eq 'f'"])
def test_filters_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ArmError, match="InvalidFilterInQueryString"):
        resource_filter(text)


def add_thing(arm: Arm, kind: str, order: int, deleter: Any) -> None:
    path = f"{GROUP}/g/providers/Microsoft.Test/{kind}/t"
    arm.core.store.put(Resource(path, {"id": path, "name": "t", "location": "westeurope"}))
    arm.core.on_group_delete(f"Microsoft.Test/{kind}", order, deleter)


def test_a_group_goes_in_the_order_that_its_types_ask_for(arm: Arm) -> None:
    gone: list[str] = []

    def deleter(resource: Resource) -> None:
        gone.append(resource.rid.types[0])
        arm.core.store.delete(resource.id)

    for kind, order in (("networks", 60), ("machines", 10), ("disks", 30)):
        add_thing(arm, kind, order, deleter)
    assert arm.send("DELETE", "").status == 202
    arm.wait()
    assert gone == ["machines", "disks", "networks"]
    assert arm.core.store.counts() == {}


def test_a_group_that_is_being_deleted_takes_nothing_new_and_is_deleted_once(arm: Arm) -> None:
    gate, calls = threading.Event(), list[str]()

    def deleter(resource: Resource) -> None:
        calls.append(resource.id)
        gate.wait(60)

    add_thing(arm, "machines", 10, deleter)
    first, second = arm.send("DELETE", ""), arm.send("DELETE", "")
    refused = arm.send("PUT", "/providers/Microsoft.Network/networkSecurityGroups/n", {"location": "westeurope"})
    shown = arm.send("GET", "").body["properties"]["provisioningState"]
    gate.set()
    arm.wait()
    assert first.headers["Location"] == second.headers["Location"]
    assert (refused.status, refused.body["error"]["code"], shown) == (409, "ResourceGroupBeingDeleted", "Deleting")
    assert len(calls) == 1
    assert arm.send("HEAD", "").status == 404


def test_what_cannot_be_deleted_keeps_the_group_and_says_why(arm: Arm) -> None:
    def deleter(resource: Resource) -> None:
        raise ArmError(409, "Conflict", "it is held")

    add_thing(arm, "machines", 10, deleter)
    arm.send("DELETE", "")
    arm.wait()
    record = arm.core.store.db().execute("SELECT record FROM operations WHERE status = 'Failed'").fetchone()[0]
    assert "ResourceGroupDeletionBlocked" in record
    assert "it is held" in record
    assert arm.send("HEAD", "").status == 204


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/subscriptions/not-a-guid/resourceGroups/x", {"location": "westeurope"}, "InvalidSubscriptionId"),
        (f"{GROUP}/ends.", {"location": "westeurope"}, "InvalidResourceGroup"),
        (f"{GROUP}/x", {}, "LocationRequired"),
        (f"{GROUP}/x", {"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        (f"{GROUP}/x", {"location": "westeurope", "tags": {"a": 1}}, "InvalidRequestContent"),
        (f"{GROUP}/x", {"location": "westeurope", "tags": {str(n): "" for n in range(51)}}, "TooManyTags"),
        (f"{GROUP}/x", {"location": "westeurope", "tags": {"a" * 513: ""}}, "InvalidTagNameCharacters"),
    ],
)
def test_bad_groups_are_refused(arm: Arm, path: str, body: dict[str, Any], code: str) -> None:
    answer = arm.send("PUT", path, body)
    assert answer.body["error"]["code"] == code
    assert answer.status == 400
