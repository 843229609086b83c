# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template that ``az vm create`` sends: what it makes, and how shortages are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.faults import Rule

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
ROLES = f"{GROUP.partition('/resourceGroups')[0]}/providers/Microsoft.Authorization/roleDefinitions"
READER = f"{ROLES}/acdd72a7-3385-48ef-bd42-f606fba81ae7"
DEPLOYMENT = "/providers/Microsoft.Resources/deployments/vm_deploy"
NETWORK, VM = f"{GROUP}/providers/Microsoft.Network", f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"


def entry(kind: str, name: str, *after: str, **more: Any) -> dict[str, Any]:
    common = {"location": "westeurope", "apiVersion": "2022-01-01", "tags": {}, "dependsOn": list(after)}
    return {"type": kind, "name": name, **common, **more}


def machine(size: str = "Standard_D2s_v5") -> dict[str, Any]:
    image = {
        "publisher": "Canonical",
        "offer": "0001-com-ubuntu-server-jammy",
        "sku": "22_04-lts-gen2",
        "version": "latest",
    }
    key = {"keyData": "ssh-ed25519 AAAA", "path": "/home/a/.ssh/authorized_keys"}
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    properties = {
        "hardwareProfile": {"vmSize": size},
        "networkProfile": {
            "networkInterfaces": [{"id": f"{NETWORK}/networkInterfaces/n", "properties": {"deleteOption": None}}]
        },
        "storageProfile": {
            "osDisk": {"createOption": "fromImage", "name": None, "managedDisk": {"storageAccountType": None}},
            "imageReference": image,
        },
        "osProfile": {"computerName": "vm", "adminUsername": "a", "linuxConfiguration": linux},
    }
    identity = {"type": "SystemAssigned"}
    after = "Microsoft.Network/networkInterfaces/n"
    return entry("Microsoft.Compute/virtualMachines", "vm", after, properties=properties, identity=identity)


def template(**more: Any) -> dict[str, Any]:
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    configuration = {
        "subnet": {"id": f"{NETWORK}/virtualNetworks/v/subnets/s"},
        "publicIPAddress": {"id": f"{NETWORK}/publicIPAddresses/p"},
    }
    nic = {
        "ipConfigurations": [{"name": "c", "properties": configuration}],
        "networkSecurityGroup": {"id": f"{NETWORK}/networkSecurityGroups/g"},
    }
    names = ("virtualNetworks/v", "networkSecurityGroups/g", "publicIpAddresses/p")
    principal = f"[reference('{VM}', '2019-07-01', 'Full').identity.principalId]"
    role = {
        "roleDefinitionId": READER,
        "principalId": principal,
        "scope": GROUP,
    }
    return {
        "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            entry("Microsoft.Network/virtualNetworks", "v", properties=space),
            entry("Microsoft.Network/networkSecurityGroups", "g"),
            entry("Microsoft.Network/publicIPAddresses", "p", sku={"name": "Standard"}, properties={}),
            entry(
                "Microsoft.Network/networkInterfaces",
                "n",
                *(f"Microsoft.Network/{name}" for name in names),
                properties=nic,
            ),
            {
                "type": "Microsoft.Authorization/roleAssignments",
                "name": "07a72c4d-efa3-4929-8dc3-c017b2a99909",
                "apiVersion": "2015-07-01",
                "dependsOn": ["Microsoft.Compute/virtualMachines/vm"],
                "properties": role,
            },
            machine(**more),
        ],
        "outputs": {"vm": {"type": "object", "value": f"[reference('{VM}', '2024-07-01')]"}},
    }


def put(arm: Arm, body: dict[str, Any]) -> Any:
    answer = arm.send("PUT", DEPLOYMENT, {"properties": {"template": body, "parameters": {}, "mode": "incremental"}})
    arm.wait()
    return answer


def test_a_machine_comes_up_with_its_network_its_identity_and_its_role(arm: Arm) -> None:
    assert put(arm, template()).status == 201
    made = arm.send("GET", DEPLOYMENT).body["properties"]
    assert made["provisioningState"] == "Succeeded", made
    assert made["outputs"]["vm"]["value"]["provisioningState"] == "Succeeded"
    assert len(made["outputResources"]) == 6
    vm = arm.send("GET", VM).body
    roles = arm.send("GET", "/providers/Microsoft.Authorization/roleAssignments").body["value"]
    assert vm["identity"]["principalId"] in [role["properties"]["principalId"] for role in roles]
    needed = {d["resourceName"]: [n["resourceName"] for n in d["dependsOn"]] for d in made["dependencies"]}
    assert needed["n"] == ["v", "g", "p"]
    assert needed["07a72c4d-efa3-4929-8dc3-c017b2a99909"] == ["vm", "vm"]
    # Sent again, it changes nothing and is no new deployment.
    assert put(arm, template()).status == 200
    assert arm.send("GET", VM).body["properties"]["vmId"] == vm["properties"]["vmId"]


@pytest.mark.parametrize("code", ["SkuNotAvailable", "OperationNotAllowed"])
def test_what_the_machines_provider_would_refuse_is_told_before_anything_is_made(arm: Arm, code: str) -> None:
    arm.core.faults.add(
        Rule(code=code, method="PUT", match="Microsoft.Compute/virtualMachines", when="sync", status=409)
    )
    error = put(arm, template()).body["error"]
    assert error["code"] == "InvalidTemplateDeployment"
    assert [detail["code"] for detail in error["details"]] == [code]
    assert "{" not in error["details"][0]["message"]
    assert arm.send("GET", f"{NETWORK}/virtualNetworks/v").status == 404


def test_an_image_that_is_not_there_is_told_before_anything_is_made(arm: Arm) -> None:
    body = template()
    body["resources"][-1]["properties"]["storageProfile"]["imageReference"]["offer"] = "no-such-offer"
    error = put(arm, body).body["error"]
    assert (error["code"], error["details"][0]["target"]) == ("InvalidTemplateDeployment", "imageReference")
    assert "Offer: no-such-offer" in error["details"][0]["message"]
    assert arm.send("GET", f"{NETWORK}/virtualNetworks/v").status == 404


def test_a_machine_that_cannot_be_allocated_fails_its_deployment(arm: Arm) -> None:
    arm.core.faults.add(Rule(code="AllocationFailed", match="Microsoft.Compute/virtualMachines"))
    assert put(arm, template()).status == 201
    failed = arm.send("GET", DEPLOYMENT).body["properties"]
    assert failed["provisioningState"] == "Failed"
    detail = failed["error"]["details"][0]
    assert (detail["code"], detail["target"]) == ("ResourceDeploymentFailure", VM)
    assert detail["details"][0]["code"] == "AllocationFailed"
    assert arm.send("GET", VM).body["properties"]["provisioningState"] == "Failed"
    assert "outputs" not in failed


def test_quota_counts_all_machines_of_a_template_together(arm: Arm) -> None:
    arm.core.service("compute_limits").set_quota("westeurope", "cores", 3)
    vm = machine()
    vm |= {"name": "[concat('vm', copyIndex())]", "copy": {"name": "many", "count": 2}, "dependsOn": []}
    error = put(arm, {**template(), "resources": [vm], "outputs": {}}).body["error"]
    assert error["code"] == "InvalidTemplateDeployment"
    assert error["details"][0]["code"] == "QuotaExceeded"
    assert "Current Limit: 3, Current Usage: 0, Additional Required: 4" in error["details"][0]["message"]
