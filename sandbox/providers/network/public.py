# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""publicIPAddresses and natGateways."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.arm import ids
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.shapes import REFERENCE, Words
from sandbox.arm.store import Resource
from sandbox.providers.network.base import ALLOCATION, VERSION, NetworkType, reference, require_reference
from sandbox.providers.network.fabric import VNET
from sandbox.providers.network.interfaces import forget


class PublicAddresses(NetworkType):
    """Public addresses. Static ones get their address when they are made, dynamic ones when they are used."""

    kind = "publicIPAddresses"
    shape: ClassVar[dict[str, Any]] = {
        "publicIPAllocationMethod": ALLOCATION,
        "publicIPAddressVersion": VERSION,
        "idleTimeoutInMinutes": int,
        "dnsSettings": {"domainNameLabel": str},
        "ipTags": [dict],
        "ddosSettings": dict,
        "publicIPPrefix": REFERENCE,
        "deleteOption": Words("Delete", "Detach"),
    }

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        given = body.get("sku") or (known.body["sku"] if known else {})
        body["sku"] = {"name": given.get("name", "Basic"), "tier": given.get("tier", "Regional")}
        if known is not None and known.body["sku"]["name"] != body["sku"]["name"]:
            text = f"SKU of public IP address {known.id} cannot be changed."
            raise ArmError(400, "PublicIPSkuCannotBeChanged", text, details=[])
        return body

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        version = given.get("publicIPAddressVersion", "IPv4")
        sku = (request.body.get("sku") or {}).get("name") or "Basic"
        standard = sku.lower() != "basic"
        if not standard and (request.body.get("sku") or {}).get("tier") == "Global":
            text = f"Public IP address {request.id} is of Basic sku, which has no Global tier."
            raise ArmError(400, "GlobalPublicIPAddressNotSupportedForBasicPublicIpAddress", text, details=[])
        method = given.get("publicIPAllocationMethod") or ("Static" if standard else "Dynamic")
        if standard and method != "Static":
            text = f"Standard sku publicIp {request.id} must have AllocationMethod set to Static."
            raise ArmError(400, "StandardSkuPublicIPAddressesMustBeStatic", text, details=[])
        properties: dict[str, Any] = {
            "publicIPAddressVersion": version,
            "publicIPAllocationMethod": method,
            "idleTimeoutInMinutes": given.get("idleTimeoutInMinutes", 4),
            "ipTags": given.get("ipTags") or [],
            "ddosSettings": given.get("ddosSettings") or {"protectionMode": "VirtualNetworkInherited"},
        }
        label = (given.get("dnsSettings") or {}).get("domainNameLabel")
        if label:
            location = str(request.body.get("location", "")).replace(" ", "").lower()
            fqdn = f"{label}.{location}.cloudapp.azure.com"
            properties["dnsSettings"] = {**given["dnsSettings"], "fqdn": fqdn}
        prefix = reference(given.get("publicIPPrefix"))
        if prefix:
            properties["publicIPPrefix"] = {"id": require_reference(self.core, prefix, request.id).id}
        if given.get("deleteOption"):
            properties["deleteOption"] = given["deleteOption"]
        for key in ("ipAddress", "ipConfiguration", "natGateway"):
            if known is not None and key in known.properties:
                properties[key] = known.properties[key]
        return properties

    def settled(self, resource: Resource) -> None:
        properties = resource.properties
        used = "ipConfiguration" in properties or "natGateway" in properties
        if properties["publicIPAllocationMethod"] == "Static" or used:
            properties["ipAddress"] = self.addresses.public(resource.id)

    def guard(self, resource: Resource) -> None:
        holder = reference(resource.properties.get("ipConfiguration"))
        holder = holder or reference(resource.properties.get("natGateway"))
        if holder:
            text = (
                f"Public IP address {resource.id} can not be deleted since it is still allocated to resource {holder}. "
                "In order to delete the public IP, disassociate/detach the Public IP address from the resource.  "
                "To learn how to do this, see aka.ms/deletepublicip."
            )
            raise ArmError(400, "PublicIPAddressCannotBeDeleted", text, details=[])

    def removed(self, resource: Resource) -> None:
        self.addresses.release([resource.id])

    def networks(self, resource: Resource) -> set[str]:
        configuration = reference(resource.properties.get("ipConfiguration"))
        gateway = reference(resource.properties.get("natGateway"))
        found = set()
        if configuration:
            taken = self.addresses.of(configuration)
            if taken:
                found.add(str(ids.parse(taken[0]).parent))
        if gateway:
            found |= {str(ids.parse(s["id"]).parent) for s in subnets_of(self.core, gateway)}
        return found


class NatGateways(NetworkType):
    """NAT gateways. Which subnets use one is written in the subnets."""

    kind = "natGateways"
    shape: ClassVar[dict[str, Any]] = {
        "idleTimeoutInMinutes": int,
        "publicIpAddresses": [REFERENCE],
        "publicIPAddresses": [REFERENCE],
        "publicIpPrefixes": [REFERENCE],
    }

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        body["sku"] = {"name": "Standard", "tier": "Regional", **(body.get("sku") or {})}
        return body

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        properties: dict[str, Any] = {"idleTimeoutInMinutes": given.get("idleTimeoutInMinutes", 4)}
        wanted = [reference(entry) for entry in given.get("publicIpAddresses") or given.get("publicIPAddresses") or []]
        gateway = known.id if known else str(request.id)
        if known is not None:
            for target in map(reference, known.properties.get("publicIpAddresses", [])):
                if ids.key(target) not in map(ids.key, wanted):
                    self.core.store.update(target, lambda public: forget(public, "natGateway"))
        spelled = [self._take(target, gateway) for target in wanted]
        if spelled:
            properties["publicIpAddresses"] = [{"id": target} for target in spelled]
        if given.get("publicIpPrefixes"):
            properties["publicIpPrefixes"] = given["publicIpPrefixes"]
        return properties

    def _take(self, target: str, gateway: str) -> str:
        public = require_reference(self.core, target, gateway)
        if public.body["sku"]["name"] == "Basic":
            text = f"NAT gateway {gateway} cannot use public IP address {public.id} of Basic sku."
            raise ArmError(400, "NatGatewayPublicIpSkuNotSupported", text, details=[])
        holder = reference(public.properties.get("ipConfiguration")) or reference(public.properties.get("natGateway"))
        if holder and ids.key(holder) != ids.key(gateway):
            text = (
                f"Resource {gateway} is referencing public IP address {public.id} that is already allocated to "
                f"resource {holder}."
            )
            raise ArmError(400, "PublicIPAddressInUse", text, details=[])
        public.properties["natGateway"] = {"id": gateway}
        self.core.store.put(public)
        return public.id

    def guard(self, resource: Resource) -> None:
        users = subnets_of(self.core, resource.id)
        if users:
            text = (
                f"Nat Gateway {resource.id} cannot be deleted because it is in use by the following resources: "
                f"{', '.join(user['id'] for user in users)}."
            )
            raise ArmError(400, "InUseNatGatewayCannotBeDeleted", text, details=[])

    def shown(self, resource: Resource) -> dict[str, Any]:
        users = subnets_of(self.core, resource.id)
        used = {"subnets": users} if users else {}
        return {**resource.body, "properties": {**resource.properties, **used}}

    def removed(self, resource: Resource) -> None:
        for target in map(reference, resource.properties.get("publicIpAddresses", [])):
            self.core.store.update(target, lambda public: forget(public, "natGateway"))

    def networks(self, resource: Resource) -> set[str]:
        return {str(ids.parse(subnet["id"]).parent) for subnet in subnets_of(self.core, resource.id)}


def subnets_of(core: Any, gateway_id: str) -> list[dict[str, str]]:
    """The subnets that go out through a NAT gateway."""
    return [
        {"id": subnet["id"]}
        for vnet in core.store.list(VNET, subscription=ids.parse(gateway_id).subscription)
        for subnet in vnet.properties["subnets"]
        if ids.key(reference(subnet["properties"].get("natGateway"))) == ids.key(gateway_id)
    ]
