# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces (and public addresses) that are made together with a machine, from its configurations."""

from __future__ import annotations

from typing import Any

from sandbox.arm.core import Core, hex_digits
from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Request

from .shapes import Json

NIC = "Microsoft.Network/networkInterfaces"
PUBLIC = "Microsoft.Network/publicIPAddresses"
_KEPT = (
    "enableAcceleratedNetworking",
    "enableIPForwarding",
    "disableTcpStateTracking",
    "networkSecurityGroup",
    "dnsSettings",
    "auxiliaryMode",
    "auxiliarySku",
)
_POOLS = ("applicationSecurityGroups", "loadBalancerBackendAddressPools", "applicationGatewayBackendAddressPools")


def make(request: Request, rid: ResourceId, location: str, profile: Json) -> tuple[list[Json], list[str]]:
    """Make what ``networkInterfaceConfigurations`` of the machine ``rid`` ask for, in the running transaction.

    Answers its ``networkInterfaces``, and the ids of public addresses that go with the machine. Raises ArmError as
    the network does.
    """
    version = str(profile.get("networkApiVersion") or "2020-11-01")
    interfaces, owned = [], []
    entries = profile.get("networkInterfaceConfigurations") or []
    for entry in entries:
        asked = entry.get("properties") or {}
        addresses = []
        for number, configuration in enumerate(asked.get("ipConfigurations") or []):
            given = configuration.get("properties") or {}
            wanted = {key: given[key] for key in ("subnet", "privateIPAddressVersion", *_POOLS) if given.get(key)}
            wanted["primary"] = bool(given.get("primary", number == 0))
            public = given.get("publicIPAddressConfiguration")
            if public:
                public_id, goes = _public_address(request, rid, location, public, version)
                wanted["publicIPAddress"] = {"id": public_id}
                owned += [public_id] if goes else []
            addresses.append({"name": configuration.get("name") or f"ipconfig{number + 1}", "properties": wanted})
        kept = {key: asked[key] for key in _KEPT if asked.get(key) not in (None, "")}
        nic_id = f"{rid.group_id}/providers/{NIC}/{entry.get('name', 'nic')}-{hex_digits(8)}"
        body = {"location": location, "properties": {"ipConfigurations": addresses, **kept}}
        _put(request, nic_id, body, version)
        primary = str(asked.get("primary", len(entries) == 1)).lower() == "true"
        properties = {"primary": primary, "deleteOption": asked.get("deleteOption") or "Delete"}
        interfaces.append({"id": nic_id, "properties": properties})
    return interfaces, owned


def _public_address(request: Request, rid: ResourceId, location: str, given: Json, version: str) -> tuple[str, bool]:
    """Make a public address; answers its id, and whether it is deleted with the machine."""
    asked = given.get("properties") or {}
    public_id = f"{rid.group_id}/providers/{PUBLIC}/{given.get('name', 'pip')}-{hex_digits(8)}"
    keys = ("idleTimeoutInMinutes", "dnsSettings", "publicIPAddressVersion", "ipTags")
    method = asked.get("publicIPAllocationMethod") or "Static"
    body = {
        "location": location,
        "sku": given.get("sku") or {"name": "Standard"},
        "properties": {**{key: asked[key] for key in keys if asked.get(key)}, "publicIPAllocationMethod": method},
    }
    _put(request, public_id, body, version)
    return public_id, asked.get("deleteOption", "Delete") == "Delete"


def _put(request: Request, resource_id: str, body: Json, version: str) -> None:
    """A PUT of the machine's own request: by the network's handler, and with the network's refusals."""
    core: Core = request.core
    query = {"api-version": version}
    nested = Request(core, "PUT", resource_id, {}, query, {}, request.base_url, body, claims=request.claims)
    answer = dispatch(core, nested)
    if answer.status >= 400:
        error: dict[str, Any] = (answer.body or {}).get("error") or {}
        message = str(error.get("message", ""))
        raise ArmError(answer.status, str(error.get("code", "BadRequest")), message, target=error.get("target"))
