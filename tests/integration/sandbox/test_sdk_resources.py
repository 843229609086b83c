# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed clients, made as on Azure: resource, resource-deployments, subscription, msi, authorization."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential, DefaultAzureCredential, EnvironmentCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.subscription import SubscriptionClient

LOCATION = "westeurope"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


@pytest.fixture
def subscription(azure_environment: dict[str, str]) -> str:
    return azure_environment["AZURE_SUBSCRIPTION_ID"]


@pytest.fixture
def resources(subscription: str) -> ResourceManagementClient:
    return ResourceManagementClient(DefaultAzureCredential(), subscription)


@pytest.fixture
def group(resources: ResourceManagementClient) -> str:
    name = f"rg-{uuid.uuid4().hex[:8]}"
    assert resources.resource_groups.create_or_update(name, {"location": LOCATION}).location == LOCATION
    return name


@pytest.mark.parametrize("kind", ["secret", "environment", "default"])
def test_each_credential_of_a_service_principal_works(azure_environment: dict[str, str], kind: str) -> None:
    env = azure_environment
    credential: Any = {
        "secret": lambda: ClientSecretCredential(
            env["AZURE_TENANT_ID"], env["AZURE_CLIENT_ID"], env["AZURE_CLIENT_SECRET"]
        ),
        "environment": EnvironmentCredential,
        "default": DefaultAzureCredential,
    }[kind]()
    client = SubscriptionClient(credential)
    assert [one.subscription_id for one in client.subscriptions.list()] == [env["AZURE_SUBSCRIPTION_ID"]]
    assert [one.tenant_id for one in client.tenants.list()] == [env["AZURE_TENANT_ID"]]
    assert LOCATION in [one.name for one in client.subscriptions.list_locations(env["AZURE_SUBSCRIPTION_ID"])]


def test_groups_providers_and_lists_of_resources(
    resources: ResourceManagementClient, subscription: str, group: str
) -> None:
    assert resources.resource_groups.check_existence(group)
    assert resources.resource_groups.update(group, {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert group in [one.name for one in resources.resource_groups.list(filter="tagName eq 'a' and tagValue eq 'b'")]
    types = {one.resource_type for one in resources.providers.get("Microsoft.Compute").resource_types}
    assert {"virtualMachines", "virtualMachineScaleSets"} <= types
    wanted = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    network = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/net"
    version = {"api_version": "2024-05-01"}
    made = resources.resources.begin_create_or_update_by_id(network, parameters=wanted, **version).result()
    assert [one.id for one in resources.resources.list_by_resource_group(group)] == [made.id]
    resources.resources.begin_delete_by_id(made.id, **version).result()
    resources.resource_groups.begin_delete(group).result()
    assert not resources.resource_groups.check_existence(group)
    with pytest.raises(ResourceNotFoundError) as caught:
        resources.resource_groups.get(group)
    assert caught.value.error.code == "ResourceGroupNotFound"


def _network_template() -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {"name": {"type": "string"}},
        "resources": [
            {
                "type": "Microsoft.Network/virtualNetworks",
                "apiVersion": "2024-05-01",
                "name": "[parameters('name')]",
                "location": "[resourceGroup().location]",
                "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}},
            }
        ],
        "outputs": {"id": {"type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', 'net')]"}},
    }


def test_a_template_is_deployed(subscription: str, group: str) -> None:
    client = DeploymentsMgmtClient(DefaultAzureCredential(), subscription)
    given = {"mode": "Incremental", "template": _network_template(), "parameters": {"name": {"value": "net"}}}
    foreseen = client.deployments.begin_what_if(group, "first", {"properties": given}).result()
    assert [one.change_type for one in foreseen.properties.changes] == ["Create"]
    done = client.deployments.begin_create_or_update(group, "first", {"properties": given}).result()
    assert done.properties.provisioning_state == "Succeeded"
    assert done.properties.outputs["id"]["value"].endswith("/virtualNetworks/net")
    assert "Succeeded" in [
        one.properties.provisioning_state for one in client.deployment_operations.list(group, "first")
    ]
    with pytest.raises(HttpResponseError) as caught:
        client.deployments.begin_validate(group, "second", {"properties": {**given, "parameters": {}}}).result()
    assert caught.value.error.code == "InvalidTemplate"


def test_an_identity_gets_a_role(subscription: str, group: str) -> None:
    credential, scope = DefaultAzureCredential(), f"/subscriptions/{subscription}/resourceGroups/{group}"
    identities = ManagedServiceIdentityClient(credential, subscription).user_assigned_identities
    identity = identities.create_or_update(group, "nodes", {"location": LOCATION})
    assert [one.client_id for one in identities.list_by_resource_group(group)] == [identity.client_id]
    client = AuthorizationManagementClient(credential, subscription)
    roles = client.role_definitions.list(scope, filter="roleName eq 'Reader'")
    wanted = {"role_definition_id": next(iter(roles)).id, "principal_id": identity.principal_id}
    wanted["principal_type"] = "ServicePrincipal"
    made = client.role_assignments.create(scope, str(uuid.uuid4()), wanted)
    with pytest.raises(ResourceExistsError) as caught:
        client.role_assignments.create(scope, str(uuid.uuid4()), wanted)
    assert caught.value.error.code == "RoleAssignmentExists"
    mine = f"principalId eq '{identity.principal_id}'"
    assert [one.name for one in client.role_assignments.list_for_scope(scope, filter=mine)] == [made.name]
    client.role_assignments.delete(scope, made.name)
    assert not list(client.role_assignments.list_for_scope(scope, filter=mine))
    identities.delete(group, "nodes")
    assert not list(identities.list_by_resource_group(group))


def test_a_role_of_ones_own(subscription: str, group: str) -> None:
    client = AuthorizationManagementClient(DefaultAzureCredential(), subscription)
    scope, name = f"/subscriptions/{subscription}/resourceGroups/{group}", f"Role {group}"
    wanted = {"role_name": name, "role_type": "CustomRole", "assignable_scopes": [scope]}
    wanted["permissions"] = [{"actions": ["Microsoft.Compute/*/read"], "not_actions": []}]
    made = client.role_definitions.create_or_update(scope, str(uuid.uuid4()), wanted)
    found = list(client.role_definitions.list(scope, filter=f"roleName eq '{name}'"))
    assert [one.permissions[0].actions for one in found] == [["Microsoft.Compute/*/read"]]
    client.role_definitions.delete(scope, made.name)
    assert not list(client.role_definitions.list(scope, filter=f"roleName eq '{name}'"))
