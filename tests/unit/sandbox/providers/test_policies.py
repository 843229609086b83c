# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies are kept where they are put, and are not enforced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
AUTHORIZATION = "/providers/Microsoft.Authorization"
DEFINITION = f"{SUBSCRIPTION}{AUTHORIZATION}/policyDefinitions/place"
ASSIGNMENT = f"{AUTHORIZATION}/policyAssignments/lock"
RULE = {"if": {"field": "location", "equals": "northeurope"}, "then": {"effect": "deny"}}


def define(arm: Arm) -> Any:
    return arm.send("PUT", DEFINITION, {"properties": {"policyRule": RULE}})


def test_a_definition_is_custom_and_tells_who_made_it(arm: Arm) -> None:
    made = define(arm)
    assert made.status == 201
    properties = made.body["properties"]
    assert (properties["policyType"], properties["policyRule"]) == ("Custom", RULE)
    assert properties["metadata"]["updatedOn"] is None
    assert define(arm).body["properties"]["metadata"]["createdOn"] == properties["metadata"]["createdOn"]
    listed = arm.send("GET", DEFINITION.rpartition("/")[0]).body["value"]
    assert [one["name"] for one in listed] == ["place"]
    assert arm.send("GET", f"{DEFINITION}2").body["error"]["code"] == "PolicyDefinitionNotFound"


def test_an_assignment_has_a_scope_and_an_identity(arm: Arm) -> None:
    define(arm)
    body = {"location": "West Europe", "identity": {"type": "SystemAssigned"}, "properties": {}}
    assert arm.send("PUT", ASSIGNMENT, body).body["error"]["code"] == "InvalidPolicyAssignment"
    made = arm.send("PUT", ASSIGNMENT, {**body, "properties": {"policyDefinitionId": DEFINITION}}).body
    assert made["properties"]["scope"] == f"{SUBSCRIPTION}/resourceGroups/g"
    assert (made["location"], made["identity"]["type"]) == ("westeurope", "SystemAssigned")
    first = made["identity"]["principalId"]
    given = {**body, "properties": {"policyDefinitionId": DEFINITION}}
    assert arm.send("PUT", ASSIGNMENT, given).body["identity"]["principalId"] == first
    arm.send("PUT", ASSIGNMENT, {**given, "identity": {"type": "None"}})
    assert arm.send("PUT", ASSIGNMENT, given).body["identity"]["principalId"] != first
    above = arm.send("GET", f"{SUBSCRIPTION}{ASSIGNMENT.rpartition('/')[0]}").body["value"]
    assert [one["name"] for one in above] == ["lock"]
    assert arm.send("DELETE", ASSIGNMENT).body["name"] == "lock"
    assert arm.send("DELETE", ASSIGNMENT).status == 204
    elsewhere = f"{SUBSCRIPTION}/resourceGroups/other{ASSIGNMENT}"
    assert arm.send("PUT", elsewhere, given).body["error"]["code"] == "ResourceGroupNotFound"
