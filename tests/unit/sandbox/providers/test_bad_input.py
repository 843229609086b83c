# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a body holds, the answer is an answer: bad input is never an internal error."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

NETWORK = "/providers/Microsoft.Network"
BASE = f"/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g{NETWORK}"
RULE = {
    "access": "Allow",
    "direction": "Inbound",
    "priority": 100,
    "protocol": "Tcp",
    "sourcePortRange": "*",
    "destinationPortRange": "22",
    "sourceAddressPrefixes": ["10.0.0.0/8"],
    "destinationAddressPrefix": "*",
}
SUBNET = {
    "addressPrefix": "10.1.0.0/24",
    "networkSecurityGroup": {"id": f"{BASE}/networkSecurityGroups/n"},
    "natGateway": {"id": f"{BASE}/natGateways/nat"},
    "serviceEndpoints": [{"service": "Microsoft.Storage"}],
    "delegations": [{"name": "d", "properties": {"serviceName": "x"}}],
}
CONFIGURATION = {
    "primary": True,
    "privateIPAddress": "10.0.0.9",
    "privateIPAllocationMethod": "Static",
    "privateIPAddressVersion": "IPv4",
    "subnet": {"id": f"{BASE}/virtualNetworks/v/subnets/a"},
    "publicIPAddress": {"id": f"{BASE}/publicIPAddresses/ip"},
}
BODIES: dict[str, dict[str, Any]] = {
    "": {"location": "westeurope", "tags": {"a": "b"}, "managedBy": "me"},
    f"{NETWORK}/virtualNetworks/w": {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
            "dhcpOptions": {"dnsServers": ["1.2.3.4"]},
            "subnets": [{"name": "a", "properties": SUBNET}],
        },
    },
    f"{NETWORK}/virtualNetworks/v/subnets/b": {"properties": {**SUBNET, "addressPrefix": "10.0.1.0/24"}},
    f"{NETWORK}/networkSecurityGroups/m": {
        "location": "westeurope",
        "properties": {"securityRules": [{"name": "ssh", "properties": RULE}]},
    },
    f"{NETWORK}/networkSecurityGroups/n/securityRules/r": {"properties": RULE},
    f"{NETWORK}/publicIPAddresses/other": {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "zones": ["1"],
        "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": "x"}},
    },
    f"{NETWORK}/natGateways/other": {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {"idleTimeoutInMinutes": 4, "publicIpAddresses": [{"id": f"{BASE}/publicIPAddresses/ip"}]},
    },
    f"{NETWORK}/networkInterfaces/nic": {
        "location": "westeurope",
        "properties": {
            "ipConfigurations": [{"name": "c", "properties": CONFIGURATION}],
            "dnsSettings": {"dnsServers": []},
            "networkSecurityGroup": {"id": f"{BASE}/networkSecurityGroups/n"},
        },
    },
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i": {"location": "westeurope", "tags": {"a": "b"}},
    "/providers/Microsoft.Authorization/roleAssignments/11111111-1111-4111-8111-111111111111": {
        "properties": {"roleDefinitionId": "/x/y", "principalId": "11111111-1111-4111-8111-111111111112"}
    },
    "/providers/Microsoft.Authorization/roleDefinitions/11111111-1111-4111-8111-111111111111": {
        "properties": {"roleName": "r", "permissions": [{"actions": ["*"]}], "assignableScopes": ["/"]}
    },
}
JUNK = st.sampled_from(
    [None, 0, -1, 1.5, True, "", "x", "/subscriptions/x", "10.0.0.0/99", [], {}, [None], ["x"], {"id": 1}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def spoil(body: dict[str, Any], path: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    spoiled: Any = copy.deepcopy(body)
    target = spoiled
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = junk
    return dict(spoiled)


@pytest.fixture
def world(arm: Arm, tmp_path: Path) -> Arm:
    """Something for each reference to refer to."""
    standard = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    arm.make(f"{NETWORK}/publicIPAddresses/ip", standard)
    arm.make(f"{NETWORK}/networkSecurityGroups/n")
    arm.make(f"{NETWORK}/natGateways/nat", {"sku": {"name": "Standard"}})
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    subnet = {"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}
    arm.make(f"{NETWORK}/virtualNetworks/v", {"properties": {"addressSpace": space, "subnets": [subnet]}})
    return arm


@pytest.mark.parametrize("path", list(BODIES))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoiled_body_is_accepted_or_refused_but_never_an_internal_error(
    world: Arm, path: str, data: st.DataObject
) -> None:
    body = BODIES[path]
    spoiled = spoil(body, data.draw(st.sampled_from(list(places(body)))), data.draw(JUNK))
    answer = world.send("PUT", path, spoiled)
    assert answer.status < 500, (spoiled, answer.body)
    read = world.send("GET", path)
    assert read.status < 500
    world.wait()
    failed = world.core.store.db().execute("SELECT record FROM operations WHERE status = 'Failed'").fetchall()
    assert [row["record"] for row in failed] == []


@pytest.mark.parametrize("path", list(BODIES))
def test_the_whole_bodies_are_accepted(world: Arm, path: str) -> None:
    answer = world.send("PUT", path, {**BODIES[path], **_known_principal(path)})
    assert answer.status in (200, 201), answer.body


def _known_principal(path: str) -> dict[str, Any]:
    if "roleAssignments" not in path:
        return {}
    given = BODIES[path]["properties"]
    return {"properties": {**given, "principalType": "ServicePrincipal"}}
