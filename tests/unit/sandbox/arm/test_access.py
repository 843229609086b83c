# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role assignments: whom they bind, what they allow, and what a refusal says."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.access import Access
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/g"
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/hpc"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"


class Who:
    """An identity with roles, and what it may do."""

    def __init__(self, arm: Arm) -> None:
        self.arm, self.access = arm, Access(arm.core)
        made = arm.send(
            "PUT", "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i", {"location": "westeurope"}
        )
        self.oid = made.body["properties"]["principalId"]

    def grant(self, scope: str, *actions: str, without: tuple[str, ...] = ()) -> None:
        role = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{uuid.uuid4()}"
        permissions = [{"actions": list(actions), "notActions": list(without)}]
        body = {"properties": {"roleName": role[-8:], "permissions": permissions, "assignableScopes": [SUBSCRIPTION]}}
        assert self.arm.send("PUT", role, body).status == 201
        self.assign(scope, role)

    def assign(self, scope: str, role: str) -> None:
        body = {"properties": {"roleDefinitionId": role, "principalId": self.oid}}
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        assert self.arm.send("PUT", path, body).status == 201

    def tries(self, method: str, path: str, body: Any = None, *, identity: bool = True) -> str:
        """The code of the refusal, empty if there is none."""
        claims = {"oid": self.oid, "appid": "app", **({"xms_mirid": "/i"} if identity else {})}
        request = Request(self.arm.core, method, path, {}, {}, {}, "", body, claims=claims)
        found = self.arm.core.router.match(method, path)
        try:
            self.access.check(request, found[0] if found else None)
        except ArmError as error:
            self.message = error.message
            return error.code if error.status == 403 else f"{error.status}"
        return ""


@pytest.fixture
def who(arm: Arm) -> Who:
    return Who(arm)


def test_an_identity_without_roles_may_do_nothing_and_is_told_what(who: Who) -> None:
    assert who.tries("POST", f"{SCALE_SET}/start") == "AuthorizationFailed"
    assert who.message == (
        f"The client 'app' with object id '{who.oid}' does not have authorization to perform action "
        f"'Microsoft.Compute/virtualMachineScaleSets/start/action' over scope '{SCALE_SET}' or the scope is invalid. "
        "If access was recently granted, please refresh your credentials."
    )
    assert who.tries("GET", SUBSCRIPTION) == "AuthorizationFailed"
    assert who.tries("GET", "/subscriptions") == ""


def test_roles_hold_below_their_scope_and_for_their_actions_only(who: Who) -> None:
    who.grant(GROUP, "Microsoft.Compute/virtualMachineScaleSets/*", without=("*/delete",))
    assert who.tries("GET", SCALE_SET.upper()) == ""
    assert who.tries("POST", f"{SCALE_SET}/delete", {"instanceIds": ["1"]}) == ""
    assert who.tries("GET", f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets") == ""
    assert who.tries("DELETE", SCALE_SET) == "AuthorizationFailed"
    assert who.tries("GET", SCALE_SET.replace("/g/", "/g2/")) == "AuthorizationFailed"
    assert (
        who.tries("GET", f"{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachineScaleSets") == "AuthorizationFailed"
    )
    assert who.tries("GET", f"{SUBSCRIPTION}/resourceGroups") == ""


def test_built_in_roles_hold_too(who: Who) -> None:
    reader = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    who.assign(SUBSCRIPTION, reader)
    assert who.tries("GET", f"{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/usages") == ""
    assert who.tries("PATCH", SCALE_SET, {"tags": {}}) == "AuthorizationFailed"


def test_what_a_request_refers_to_needs_rights_of_its_own(who: Who) -> None:
    who.grant(GROUP, "Microsoft.Compute/virtualMachineScaleSets/write")
    body = {"properties": {"virtualMachineProfile": {"subnet": {"id": SUBNET}}}}
    assert who.tries("PUT", SCALE_SET, {"tags": {}}) == ""
    assert who.tries("PUT", SCALE_SET, body) == "LinkedAuthorizationFailed"
    assert f"'{JOIN}' on the linked scope(s) '{SUBNET}'" in who.message
    who.grant(SUBNET, JOIN)
    assert who.tries("PUT", SCALE_SET, body) == ""


def test_a_growth_refers_to_what_the_model_does(who: Who) -> None:
    from sandbox.arm.store import Resource

    model = {"sku": {"capacity": 1}, "properties": {"virtualMachineProfile": {"subnet": {"id": SUBNET}}}}
    who.arm.core.store.put(Resource(SCALE_SET, {"id": SCALE_SET, **model}))
    who.grant(GROUP, "Microsoft.Compute/virtualMachineScaleSets/write")
    assert who.tries("PATCH", SCALE_SET, {"sku": {"capacity": 1}}) == ""
    assert who.tries("PATCH", SCALE_SET, {"sku": {"capacity": 2}}) == "LinkedAuthorizationFailed"


def test_others_than_identities_are_bound_only_if_that_is_wanted(who: Who) -> None:
    assert who.tries("DELETE", SCALE_SET, identity=False) == ""
    who.access.set_mode("everybody")
    assert who.tries("DELETE", SCALE_SET, identity=False) == "AuthorizationFailed"
    who.access.set_mode("off")
    assert who.tries("DELETE", SCALE_SET) == ""
    with pytest.raises(ValueError, match="identities, everybody, off"):
        who.access.set_mode("some")


def test_a_machine_that_makes_its_disk_needs_the_right_to_make_disks(who: Who) -> None:
    machine = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m"
    who.grant(GROUP, "Microsoft.Compute/virtualMachines/write")
    fresh = {"properties": {"storageProfile": {"osDisk": {"createOption": "FromImage"}}}}
    attached = {"properties": {"storageProfile": {"osDisk": {"createOption": "Attach"}}}}
    assert who.tries("PUT", machine, fresh) == "LinkedAuthorizationFailed"
    assert "'Microsoft.Compute/disks/write'" in who.message
    assert who.tries("PUT", machine, attached) == ""
    who.grant(GROUP, "Microsoft.Compute/disks/write")
    assert who.tries("PUT", machine, fresh) == ""


def test_what_was_needed_is_known_afterwards_whoever_asked(who: Who) -> None:
    body = {"properties": {"virtualMachineProfile": {"subnet": {"id": SUBNET}}}}
    who.tries("PUT", SCALE_SET, body, identity=False)
    who.tries("GET", f"{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines", identity=False)
    assert who.access.used(forget=True) == {
        "Microsoft.Compute/virtualMachineScaleSets/write": [GROUP],
        JOIN: [GROUP],
        "Microsoft.Compute/virtualMachines/read": [SUBSCRIPTION],
    }
    assert who.access.used() == {}
