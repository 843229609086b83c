# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments: order, outputs, loops, conditions, failures, what is kept and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.gateway import parse
from sandbox.arm.messages import Request
from sandbox.faults import Rule

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
DEPLOYMENTS = "/providers/Microsoft.Resources/deployments"
VNET = "Microsoft.Network/virtualNetworks"
PUBLIC = "Microsoft.Network/publicIPAddresses"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


def template(*resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    return {"$schema": schema, "contentVersion": "1.0.0.0", "resources": list(resources), **more}


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2024-01-01", "name": name, "location": "westeurope", **more}


def vnet(name: str = "v", **more: Any) -> dict[str, Any]:
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    return resource(VNET, name, properties=space, **more)


def nic(name: str = "n", **more: Any) -> dict[str, Any]:
    subnet = {"id": f"[resourceId('{VNET}/subnets', 'v', 's')]"}
    configuration = {"name": "c", "properties": {"subnet": subnet}}
    return resource(
        "Microsoft.Network/networkInterfaces", name, properties={"ipConfigurations": [configuration]}, **more
    )


def deploy(arm: Arm, body: dict[str, Any], name: str = "d", mode: str = "Incremental", **parameters: Any) -> Any:
    """The deployment's properties when it has ended."""
    given = {key: {"value": value} for key, value in parameters.items()}
    request = {"properties": {"template": body, "parameters": given, "mode": mode}}
    answer = arm.send("PUT", f"{DEPLOYMENTS}/{name}", request)
    assert answer.status in (200, 201), answer.body
    assert answer.body["properties"]["provisioningState"] == "Accepted"
    arm.wait()
    return arm.send("GET", f"{DEPLOYMENTS}/{name}").body["properties"]


def refused(arm: Arm, body: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    given = {key: {"value": value} for key, value in parameters.items()}
    answer = arm.send("PUT", f"{DEPLOYMENTS}/d", {"properties": {"template": body, "parameters": given}})
    assert answer.status == 400, answer.body
    assert not arm.core.store.exists(f"{GROUP}{DEPLOYMENTS}/d")
    error: dict[str, Any] = answer.body["error"]
    return error


def test_resources_come_in_the_order_of_their_dependencies(arm: Arm) -> None:
    # Written in the wrong order: without dependencies the interface would find no network.
    made = deploy(arm, template(nic(dependsOn=[f"[resourceId('{VNET}', 'v')]"]), vnet()))
    assert made["provisioningState"] == "Succeeded"
    names = [entry["id"].rsplit("/", 1)[-1] for entry in made["outputResources"]]
    assert names == ["n", "v"]
    assert [entry["resourceName"] for entry in made["dependencies"]] == ["n"]
    assert made["providers"][0]["resourceTypes"][0] == {
        "resourceType": "networkInterfaces",
        "locations": ["westeurope"],
    }


@pytest.mark.parametrize(
    "name", [f"{VNET}/v", f"{GROUP}/providers/{VNET}/v", "v", "MICROSOFT.NETWORK/virtualnetworks/V"]
)
def test_a_dependency_may_be_named_in_every_documented_way(arm: Arm, name: str) -> None:
    assert deploy(arm, template(nic(dependsOn=[name]), vnet()))["provisioningState"] == "Succeeded"


def test_reference_makes_a_dependency_and_answers_what_was_made(arm: Arm) -> None:
    tagged = resource(IDENTITY, "second", tags={"of": "[reference('first', '2023-01-31').principalId]"})
    outputs = {"Full": {"type": "object", "value": "[reference('first', '2023-01-31', 'Full')]"}}
    made = deploy(arm, template(tagged, resource(IDENTITY, "first"), outputs=outputs))
    assert made["provisioningState"] == "Succeeded", made
    first = arm.send("GET", f"/providers/{IDENTITY}/first").body
    second = arm.send("GET", f"/providers/{IDENTITY}/second").body
    assert second["tags"] == {"of": first["properties"]["principalId"]}
    assert made["outputs"]["full"]["value"]["location"] == "westeurope"
    assert made["dependencies"][0]["dependsOn"][0]["apiVersion"] == "2023-01-31"


def test_loops_conditions_and_children_become_resources(arm: Arm) -> None:
    loop = resource(PUBLIC, "[concat('ip', copyIndex())]", copy={"name": "ips", "count": "[parameters('n')]"})
    absent = resource(PUBLIC, "never", condition="[equals(parameters('n'), 9)]")
    group = resource("Microsoft.Network/networkSecurityGroups", "g")
    rule = {"protocol": "*", "access": "Allow", "direction": "Inbound", "priority": 100, "sourcePortRange": "*"}
    rule |= {"destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*"}
    group["resources"] = [
        {"type": "securityRules", "apiVersion": "2024-01-01", "name": "r", "properties": rule, "dependsOn": ["g"]}
    ]
    made = deploy(arm, template(loop, absent, group, parameters={"n": {"type": "int"}}), n=2)
    assert made["provisioningState"] == "Succeeded", made
    names = [entry["id"].rpartition("/providers/")[2] for entry in made["outputResources"]]
    assert names == [
        "Microsoft.Network/networkSecurityGroups/g",
        "Microsoft.Network/networkSecurityGroups/g/securityRules/r",
        f"{PUBLIC}/ip0",
        f"{PUBLIC}/ip1",
    ]


def test_symbolic_names_and_existing_resources_are_understood(arm: Arm) -> None:
    arm.make(f"/providers/{IDENTITY}/old", {"location": "westeurope"})
    body = template()
    body["languageVersion"] = "2.0"
    body["resources"] = {
        "old": {**resource(IDENTITY, "old"), "existing": True},
        "new": resource(IDENTITY, "new", tags={"of": "[reference('old').clientId]"}, dependsOn=["old"]),
    }
    made = deploy(arm, body)
    assert made["provisioningState"] == "Succeeded", made
    assert [entry["id"].rsplit("/", 1)[-1] for entry in made["outputResources"]] == ["new"]


def test_nested_deployments_keep_their_scope_and_hand_up_what_they_made(arm: Arm) -> None:
    inner = template(resource(IDENTITY, "[parameters('name')]"), parameters={"name": {"type": "string"}})
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "nested",
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"name": {"value": "[toLower('DEEP')]"}},
            "template": inner,
        },
    }
    made = deploy(arm, template(nested))
    assert made["provisioningState"] == "Succeeded", made
    assert [entry["id"].rsplit("/", 1)[-1] for entry in made["outputResources"]] == ["deep"]


def test_a_refused_resource_fails_the_deployment_with_the_providers_words(arm: Arm) -> None:
    made = deploy(arm, template(nic("alone"), resource(IDENTITY, "fine"), nic("after", dependsOn=["alone"])))
    assert made["provisioningState"] == "Failed"
    assert made["error"]["code"] == "DeploymentFailed"
    assert [detail["code"] for detail in made["error"]["details"]] == ["InvalidResourceReference"]
    assert arm.send("GET", f"/providers/{IDENTITY}/fine").status == 200
    entries = arm.send("GET", f"{DEPLOYMENTS}/d/operations").body["value"]
    states = {e["properties"]["targetResource"]["resourceName"]: e["properties"]["statusCode"] for e in entries}
    assert states == {"alone": "BadRequest", "fine": "Created"}


def test_a_resource_whose_operation_fails_is_told_with_its_cause(arm: Arm) -> None:
    arm.core.faults.add(Rule(code="InternalExecutionError", match=VNET, when="async"))
    made = deploy(arm, template(vnet()))
    detail = made["error"]["details"][0]
    assert detail["code"] == "ResourceDeploymentFailure"
    assert detail["target"].endswith("/virtualNetworks/v")
    assert detail["details"][0]["code"] == "InternalExecutionError"


def test_quota_is_refused_before_anything_is_made(arm: Arm) -> None:
    sku = {"name": "Standard_D4s_v5", "capacity": 100000}
    scale_set = resource("Microsoft.Compute/virtualMachineScaleSets", "ss", sku=sku, properties={})
    error = refused(arm, template(vnet(), scale_set))
    assert error["code"] == "InvalidTemplateDeployment"
    assert error["details"][0]["code"] == "QuotaExceeded"
    assert arm.send("GET", f"/providers/{VNET}/v").status == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (template(vnet(dependsOn=["other"])), "'other' is not defined in the template"),
        (template(vnet(dependsOn=["v"])), "Circular dependency"),
        (template(vnet(), vnet()), "defined multiple times"),
        (template(resource(f"{VNET}/subnets", "alone")), "incorrect segment lengths"),
        (template(vnet(tags={"a": "[variables('b')]"})), "variable 'b' is not found"),
        (template(parameters={"p": {"type": "string"}}), "'p' at line"),
        ({"resources": []}, "schema is missing"),
    ],
)
def test_invalid_templates_are_refused_as_invalid(arm: Arm, body: dict[str, Any], told: str) -> None:
    error = refused(arm, body)
    assert error["code"] == "InvalidTemplate"
    assert told in error["message"]


def test_secrets_are_neither_shown_nor_kept(arm: Arm) -> None:
    outputs = {"out": {"type": "securestring", "value": "[parameters('secret')]"}}
    body = template(parameters={"secret": {"type": "securestring"}}, outputs=outputs)
    made = deploy(arm, body, secret="hunter2")
    assert made["parameters"] == {"secret": {"type": "SecureString"}}
    assert made["outputs"] == {"out": {"type": "SecureString"}}
    stored = arm.core.store.get(f"{GROUP}{DEPLOYMENTS}/d")
    assert stored is not None
    assert "hunter2" not in f"{stored.body}{stored.internal}"


def test_mode_complete_removes_what_the_template_does_not_name(arm: Arm) -> None:
    arm.make(f"/providers/{IDENTITY}/stray", {"location": "westeurope"})
    deploy(arm, template(resource(IDENTITY, "kept")), mode="Complete")
    assert arm.send("GET", f"/providers/{IDENTITY}/stray").status == 404
    assert arm.send("GET", f"/providers/{IDENTITY}/kept").status == 200


def test_versions_before_2019_tell_all_of_what_they_validate(arm: Arm) -> None:
    body = {"properties": {"template": template(resource(IDENTITY, "a")), "mode": "Incremental"}}
    query = {"api-version": "2018-02-01"}
    path = f"{GROUP}{DEPLOYMENTS}/d/validate"
    answer = dispatch(arm.core, Request(arm.core, "POST", path, {}, query, {}, "https://management.azure.com", body))
    (told,) = answer.body["properties"]["validatedResources"]
    assert (told["id"], told["name"], told["type"]) == (f"{GROUP}/providers/{IDENTITY}/a", "a", IDENTITY)
    assert told["apiVersion"]


def test_a_template_may_have_comments_and_strings_of_many_lines() -> None:
    assert parse(b'{"a": "x\n y", // it\'s "c"\n b: 1, /* "q\n" */ "u": "http://x//y"}') == {
        "a": "x\n y",
        "b": 1,
        "u": "http://x//y",
    }
    with pytest.raises(ArmError):
        parse(b'{"a": }')


def test_validate_makes_nothing_and_the_template_can_be_exported(arm: Arm) -> None:
    body = template(resource(IDENTITY, "a"))
    answer = arm.send("POST", f"{DEPLOYMENTS}/d/validate", {"properties": {"template": body, "mode": "Incremental"}})
    assert answer.status == 200
    assert answer.body["properties"]["validatedResources"] == [{"id": f"{GROUP}/providers/{IDENTITY}/a"}]
    assert arm.send("GET", f"/providers/{IDENTITY}/a").status == 404
    assert arm.send("GET", f"{DEPLOYMENTS}/d").body["error"]["code"] == "DeploymentNotFound"
    deploy(arm, body)
    assert arm.send("POST", f"{DEPLOYMENTS}/d/exportTemplate").body == {"template": body}
    assert arm.send("HEAD", f"{DEPLOYMENTS}/d").status == 204
    assert arm.send("POST", f"{DEPLOYMENTS}/d/cancel").body["error"]["code"] == "DeploymentCannotBeCancelled"
    assert arm.send("DELETE", f"{DEPLOYMENTS}/d").status == 202
    arm.wait()
    assert arm.send("GET", f"/providers/{IDENTITY}/a").status == 200
    assert arm.send("GET", f"{DEPLOYMENTS}/d").status == 404


def test_a_deployment_to_the_subscription_makes_groups(arm: Arm) -> None:
    subscription = GROUP.partition("/resourceGroups")[0]
    group = {
        "type": "Microsoft.Resources/resourceGroups",
        "apiVersion": "2022-09-01",
        "name": "made",
        "location": "uksouth",
    }
    request = {"location": "uksouth", "properties": {"mode": "Incremental", "template": template(group)}}
    assert arm.send("PUT", f"{subscription}{DEPLOYMENTS}/d", request).status == 201
    arm.wait()
    assert arm.send("GET", f"{subscription}{DEPLOYMENTS}/d").body["properties"]["provisioningState"] == "Succeeded"
    assert arm.send("GET", f"{subscription}/resourceGroups/made").status == 200


def test_what_if_tells_what_would_change_and_changes_nothing(arm: Arm) -> None:
    arm.make(f"/providers/{IDENTITY}/same", {"location": "westeurope", "tags": {"a": "1"}})
    arm.make(f"/providers/{IDENTITY}/other", {"location": "westeurope"})
    arm.make(f"/providers/{IDENTITY}/changed", {"location": "westeurope", "tags": {"a": "1"}})
    body = template(
        resource(IDENTITY, "same", tags={"a": "1"}),
        resource(IDENTITY, "changed", tags={"a": "2"}),
        resource(IDENTITY, "new"),
    )
    request = {"properties": {"template": body, "mode": "Incremental"}}
    answer = arm.send("POST", f"{DEPLOYMENTS}/d/whatIf", request)
    assert answer.status == 202
    arm.wait()
    operation = arm.core.operations.get(answer.headers["Location"].partition("?")[0].rpartition("/")[2])
    assert operation is not None
    found = {c["resourceId"].rsplit("/", 1)[-1]: c for c in operation.record["output"]["properties"]["changes"]}
    kinds = {name: change["changeType"] for name, change in found.items()}
    assert kinds == {"same": "NoChange", "changed": "Modify", "new": "Create", "other": "Ignore"}
    delta = {"path": "tags.a", "propertyChangeType": "Modify", "before": "1", "after": "2"}
    assert found["changed"]["delta"] == [delta]
    assert arm.send("GET", f"/providers/{IDENTITY}/new").status == 404


def test_an_exported_group_can_be_deployed_again(arm: Arm) -> None:
    deploy(arm, template(nic(dependsOn=["v"]), vnet()))
    exported = arm.send("POST", "/exportTemplate", {"resources": ["*"]}).body["template"]
    assert set(exported["parameters"]) == {"virtualNetworks_v_name", "networkInterfaces_n_name"}
    again = deploy(arm, exported, name="again")
    assert again["provisioningState"] == "Succeeded", again
    error = arm.send("POST", "/exportTemplate", {"resources": ["*"], "options": "SkipAllParameterization"})
    assert error.body["template"]["parameters"] == {}


def test_an_exported_network_names_its_subnets_once_more_and_says_what_it_was_made_of(arm: Arm) -> None:
    deploy(arm, template(vnet()))
    exported = arm.send("POST", "/exportTemplate", {"resources": ["*"], "options": "IncludeComments"}).body["template"]
    whole, part = exported["resources"]
    assert part["name"] == "[concat(parameters('virtualNetworks_v_name'), '/s')]"
    assert part["dependsOn"] == [f"[resourceId('{VNET}', parameters('virtualNetworks_v_name'))]"]
    assert part["comments"] == f"Generalized from resource: '{GROUP}/providers/{VNET}/v/subnets/s'."
    assert whole["properties"]["subnets"] == [{"name": "s", "properties": part["properties"]}]


def test_defaults_that_are_new_each_time_stay_what_they_were_when_accepted(arm: Arm) -> None:
    body = template(
        resource(IDENTITY, "[parameters('name')]"),
        resource(IDENTITY, "second", dependsOn=["[resourceId('" + IDENTITY + "', parameters('name'))]"]),
        parameters={"name": {"type": "string", "defaultValue": "[newGuid()]"}},
    )
    made = deploy(arm, body)
    assert made["provisioningState"] == "Succeeded", made
    assert made["outputResources"][0]["id"].rsplit("/", 1)[-1] == made["parameters"]["name"]["value"]


def test_a_deployment_that_a_stopped_server_left_is_carried_on(arm: Arm, reopen: Callable[[], Arm]) -> None:
    arm.core.operations.close()
    request = {"properties": {"template": template(vnet()), "mode": "Incremental"}}
    assert arm.send("PUT", f"{DEPLOYMENTS}/d", request).status == 201
    arm.close()
    again = reopen()
    assert again.core.operations.resume() == 1
    again.wait()
    assert again.send("GET", f"{DEPLOYMENTS}/d").body["properties"]["provisioningState"] == "Succeeded"
    assert again.send("GET", f"/providers/{VNET}/v").status == 200
    again.close()


def test_a_cancelled_deployment_starts_nothing_more(arm: Arm) -> None:
    arm.core.faults.add(Rule(code="Slow", match=VNET, when="async", delay=0.3))
    body = template(vnet(), resource(IDENTITY, "never", dependsOn=["v"]))
    assert arm.send("PUT", f"{DEPLOYMENTS}/d", {"properties": {"template": body}}).status == 201
    assert (
        arm.send("PUT", f"{DEPLOYMENTS}/d", {"properties": {"template": body}}).body["error"]["code"]
        == "DeploymentActive"
    )
    assert arm.send("POST", f"{DEPLOYMENTS}/d/cancel").status == 204
    arm.wait()
    assert arm.send("GET", f"{DEPLOYMENTS}/d").body["properties"]["provisioningState"] == "Canceled"
    assert arm.send("GET", f"/providers/{IDENTITY}/never").status == 404


def test_what_to_do_on_an_error_is_told_with_the_deployment_that_it_means(arm: Arm) -> None:
    deploy(arm, template(vnet()), "good")
    body = {
        "properties": {"template": template(), "mode": "Incremental", "onErrorDeployment": {"type": "LastSuccessful"}}
    }
    told = arm.send("PUT", f"{DEPLOYMENTS}/next", body).body["properties"]["onErrorDeployment"]
    assert told == {"type": "LastSuccessful", "deploymentName": "good"}
    arm.wait()


def test_validation_looks_into_nested_deployments(arm: Arm) -> None:
    inner = {"mode": "Incremental", "template": template(vnet("inner"))}
    nested = {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "n", "properties": inner}
    body = {"properties": {"template": template(nested, vnet("outer")), "mode": "Incremental"}}
    found = arm.send("POST", f"{DEPLOYMENTS}/d/validate", body).body["properties"]["validatedResources"]
    assert sorted(one["id"].rsplit("/", 1)[-1] for one in found) == ["inner", "n", "outer"]
    nested["resourceGroup"] = "elsewhere"
    refused = arm.send("POST", f"{DEPLOYMENTS}/d/validate", body)
    assert (refused.status, refused.body["error"]["code"]) == (404, "ResourceGroupNotFound")
