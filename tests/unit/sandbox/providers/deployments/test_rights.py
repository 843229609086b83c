# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template does no more than whoever deploys it may, and no faster than the providers let it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.access import Access
from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import Route

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/g"
PATH = "/providers/Microsoft.Resources/deployments/d"
DEPLOY = "Microsoft.Resources/deployments/*"
NSG, NAT = "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/natGateways"
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "resources": [
        {"type": kind, "apiVersion": "2024-01-01", "name": "x", "location": "westeurope", "sku": {"name": "Standard"}}
        for kind in (NSG, NAT)
    ],
}


@pytest.fixture
def who(arm: Arm) -> dict[str, Any]:
    """The claims of an identity, where role assignments count."""
    identity = arm.make("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i")
    access = Access(arm.core)
    arm.core.offer("rights", access.check)
    arm.core.offer("gate", access.check)
    return {"oid": identity["properties"]["principalId"], "appid": "app", "xms_mirid": identity["id"]}


def grant(arm: Arm, who: dict[str, Any], *actions: str) -> None:
    role = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{uuid.uuid4()}"
    given = {"roleName": role[-8:], "permissions": [{"actions": list(actions)}], "assignableScopes": [SUBSCRIPTION]}
    assert arm.send("PUT", role, {"properties": given}).status == 201
    body = {"properties": {"roleDefinitionId": role, "principalId": who["oid"]}}
    path = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    assert arm.send("PUT", path, body).status == 201


def deploy(arm: Arm, who: dict[str, Any]) -> Answer:
    body = {"properties": {"template": TEMPLATE, "mode": "Incremental"}}
    query = {"api-version": "2024-01-01"}
    request = Request(arm.core, "PUT", f"{GROUP}{PATH}", {}, query, {}, "https://x", body, claims=who)
    answer = dispatch(arm.core, request)
    arm.wait()
    return answer


def test_what_the_caller_may_not_write_is_refused_before_anything_is_made(arm: Arm, who: dict[str, Any]) -> None:
    grant(arm, who, DEPLOY, f"{NSG}/*")
    answer = deploy(arm, who)
    assert (answer.status, answer.body["error"]["code"]) == (403, "InvalidTemplateDeployment")
    assert f"template resource 'x' of type '{NAT}'" in answer.body["error"]["message"]
    assert f"{NAT}/write" in answer.body["error"]["message"]
    assert arm.send("GET", f"/providers/{NSG}/x").status == 404


def test_who_may_write_all_of_it_deploys(arm: Arm, who: dict[str, Any]) -> None:
    grant(arm, who, DEPLOY, f"{NSG}/*", f"{NAT}/*")
    assert deploy(arm, who).status == 201
    assert arm.send("GET", PATH).body["properties"]["provisioningState"] == "Succeeded"


def test_a_right_that_is_lost_on_the_way_fails_the_deployment(arm: Arm, who: dict[str, Any]) -> None:
    def gate(request: Request, _route: Route | None) -> None:
        if NAT in request.path:
            raise ArmError(403, "AuthorizationFailed", "not any more")

    grant(arm, who, DEPLOY, f"{NSG}/*", f"{NAT}/*")
    arm.core.offer("gate", gate)
    assert deploy(arm, who).status == 201
    told = arm.send("GET", PATH).body["properties"]
    assert told["provisioningState"] == "Failed"
    assert told["error"]["details"][0]["code"] == "AuthorizationFailed"


def test_a_provider_that_is_asked_too_much_is_asked_again(arm: Arm, who: dict[str, Any]) -> None:
    asked: list[str] = []

    def gate(request: Request, _route: Route | None) -> None:
        asked.append(request.path)
        if len(asked) < 4:
            raise ArmError(429, "TooManyRequests", "slower", headers={"Retry-After": "0"})

    grant(arm, who, DEPLOY, f"{NSG}/*", f"{NAT}/*")
    arm.core.offer("gate", gate)
    deploy(arm, who)
    assert arm.send("GET", PATH).body["properties"]["provisioningState"] == "Succeeded"
    assert len(asked) == 5
