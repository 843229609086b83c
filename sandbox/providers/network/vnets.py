# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""virtualNetworks and their subnets. Subnets live inside their network's row."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from sandbox.arm import ids, paging, shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.arm.shapes import REFERENCE
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.network.addresses import respell, usable
from sandbox.providers.network.base import (
    NetworkType,
    check_match,
    child,
    not_found,
    reference,
    require_reference,
    stamp,
)
from sandbox.providers.network.delegations import actions
from sandbox.providers.network.encryption import encryption
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.peering_state import disconnect

OPTIONAL = (
    "dhcpOptions", "encryption", "flowTimeoutInMinutes", "bgpCommunities", "ddosProtectionPlan", "ipAllocations",
)  # fmt: skip
SUBNET_KIND = "virtualNetworks/subnets"
REFERENCES = ("networkSecurityGroup", "routeTable", "natGateway")


SUBNET_SHAPE = {
    "addressPrefix": str,
    "addressPrefixes": [str],
    **dict.fromkeys(REFERENCES, REFERENCE),
    "serviceEndpoints": [{"service": str, "locations": [str]}],
    "delegations": [{"name": str, "properties": {"serviceName": str}}],
    "privateEndpointNetworkPolicies": str,
    "privateLinkServiceNetworkPolicies": str,
    "defaultOutboundAccess": bool,
}


class VirtualNetworks(NetworkType):
    """Networks; the subnet routes are here, too, because a subnet's writes change its network."""

    kind = "virtualNetworks"
    shape: ClassVar[dict[str, Any]] = {
        "addressSpace": {"addressPrefixes": [str]},
        "dhcpOptions": {"dnsServers": [str]},
        "subnets": [{"name": str, "properties": SUBNET_SHAPE}],
        "privateEndpointVNetPolicies": str,
        "enableDdosProtection": bool,
        "enableVmProtection": bool,
    }

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        prefixes = (given.get("addressSpace") or {}).get("addressPrefixes") or []
        if not prefixes:
            text = f"Virtual network {request.id} must have at least one address prefix."
            raise ArmError(400, "InvalidRequestFormat", text, details=[])
        for prefix in prefixes:
            network_of(prefix, str(request.id))
        properties: dict[str, Any] = {
            "addressSpace": {"addressPrefixes": prefixes, "ipamPoolPrefixAllocations": []},
            "privateEndpointVNetPolicies": given.get("privateEndpointVNetPolicies", "Disabled"),
        }
        for key in OPTIONAL:
            if given.get(key) is not None:
                properties[key] = given[key]
        if properties.get("encryption"):
            properties["encryption"] = encryption(properties["encryption"], str(request.id))
        if "dhcpOptions" in properties:
            properties["dhcpOptions"] = {"dnsServers": [], **properties["dhcpOptions"]}
        if request.api_version < "2021":
            properties["enableVmProtection"] = bool(given.get("enableVmProtection", False))
        old = known.properties["subnets"] if known else []
        properties["subnets"] = self._subnets(request, given, old)
        properties["virtualNetworkPeerings"] = known.properties["virtualNetworkPeerings"] if known else []
        properties["enableDdosProtection"] = bool(given.get("enableDdosProtection", False))
        self._check(str(request.id), request.id.name, prefixes, properties["subnets"])
        return properties

    def _subnets(self, request: Request, given: dict[str, Any], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Leaving the list out leaves the subnets alone; an empty list removes them.
        if given.get("subnets") is None:
            return old
        known, version = {entry["name"].lower(): entry for entry in old}, request.api_version
        location = common.normal(str(request.body.get("location") or ""))
        made = [
            self._subnet(
                str(request.id),
                entry.get("name") or "",
                entry,
                known.get(str(entry.get("name")).lower()),
                version,
                location,
            )
            for entry in given["subnets"]
        ]
        kept = {entry["name"].lower() for entry in made}
        for name, entry in known.items():
            if name not in kept:
                self._guard_subnet(entry)
        return made

    def _subnet(
        self,
        vnet_id: str,
        name: str,
        given: dict[str, Any],
        known: dict[str, Any] | None,
        api_version: str,
        location: str,
    ) -> dict[str, Any]:
        if not name:
            raise ArmError(400, "InvalidRequestFormat", "Cannot parse the request: a subnet has no name.", details=[])
        wanted = given.get("properties") or {}
        if known is not None:
            name = known["name"]
        properties: dict[str, Any] = {}
        for key in ("addressPrefix", "addressPrefixes"):
            if wanted.get(key):
                properties[key] = wanted[key]
        if not properties:
            text = f"Subnet {vnet_id}/subnets/{name} must have an address prefix."
            raise ArmError(400, "SubnetMissingAddressPrefix", text, details=[])
        entry = child(vnet_id, SUBNET_KIND, name, properties)
        properties = entry["properties"]
        properties["ipamPoolPrefixAllocations"] = []
        for key in REFERENCES:
            target = reference(wanted.get(key))
            if target:
                properties[key] = {"id": require_reference(self.core, target, entry["id"]).id}
        if wanted.get("serviceEndpoints"):
            properties["serviceEndpoints"] = [_endpoint(one, location) for one in wanted["serviceEndpoints"]]
        properties["delegations"] = [self._delegation(entry["id"], one) for one in wanted.get("delegations") or []]
        # Versions before the property was there leave what is the default now; those up to 2021 had another.
        default = "Enabled" if "2019" <= api_version < "2022" else "Disabled"
        properties["privateEndpointNetworkPolicies"] = wanted.get("privateEndpointNetworkPolicies", default)
        properties["privateLinkServiceNetworkPolicies"] = wanted.get("privateLinkServiceNetworkPolicies", "Enabled")
        for key in ("defaultOutboundAccess", "serviceEndpointPolicies", "networkIdentifier", "sharingScope"):
            if wanted.get(key) is not None:
                properties[key] = wanted[key]
        if known is not None and prefix_of(known) != prefix_of(entry):
            self._guard_prefix(known)
        if known is not None:
            self._guard_delegations(vnet_id, known, entry)
        return entry

    def _delegation(self, subnet_id: str, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or "0"
        service = (given.get("properties") or {}).get("serviceName", "")
        told = {"serviceName": service, "actions": actions(service)}
        return child(subnet_id, f"{SUBNET_KIND}/delegations", name, told)

    def _check(self, vnet_id: str, name: str, prefixes: list[str], subnets: list[dict[str, Any]]) -> None:
        spaces = [network_of(prefix, vnet_id) for prefix in prefixes]
        seen: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for subnet in subnets:
            network = network_of(prefix_of(subnet), subnet["id"])
            if not any(_within(network, space) for space in spaces):
                text = (
                    f"Subnet '{subnet['name']}' is not valid because its IP address range is outside the IP address "
                    f"range of virtual network '{name}'."
                )
                raise ArmError(400, "NetcfgSubnetRangeOutsideVnet", text, details=[])
            if any(network.overlaps(other) for other in seen):
                text = (
                    f"Subnet '{subnet['name']}' is not valid because its IP address range overlaps with that of an "
                    f"existing subnet in virtual network '{name}'."
                )
                raise ArmError(400, "NetcfgSubnetRangesOverlap", text, details=[])
            if network.prefixlen > 29 and network.version == 4:
                text = f"Subnet '{subnet['name']}' is not valid in virtual network '{name}'."
                raise ArmError(400, "NetcfgInvalidSubnet", text, details=[])
            seen.append(network)

    def guard(self, resource: Resource) -> None:
        for subnet in resource.properties["subnets"]:
            self._guard_subnet(subnet)

    def _guard_subnet(self, subnet: dict[str, Any]) -> None:
        users = self.addresses.in_subnet(subnet["id"])
        if users:
            text = (
                f"Subnet {subnet['name']} is in use by {self._spelled(users[0].owner)} and cannot be deleted. In "
                "order to "
                "delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
            )
            raise ArmError(400, "InUseSubnetCannotBeDeleted", text, details=[])

    def _guard_prefix(self, subnet: dict[str, Any]) -> None:
        if self.addresses.in_subnet(subnet["id"]):
            text = (
                f"IpPrefix {prefix_of(subnet)} on Subnet {subnet['name']} has active allocations and cannot be deleted."
            )
            raise ArmError(400, "InUsePrefixCannotBeDeleted", text, details=[])

    def _guard_delegations(self, vnet_id: str, known: dict[str, Any], entry: dict[str, Any]) -> None:
        before, after = (
            [one["properties"]["serviceName"] for one in subnet["properties"].get("delegations", [])]
            for subnet in (known, entry)
        )
        users = self.addresses.in_subnet(known["id"])
        if users and sorted(map(str.lower, before)) != sorted(map(str.lower, after)):
            text = (
                f"Delegations of subnet {ids.parse(vnet_id).name}/{known['name']} cannot be changed from "
                f"[{', '.join(before)}] to [{', '.join(after)}] because it is being used by the resource "
                f"{self._spelled(users[0].owner)}."
            )
            raise ArmError(400, "SubnetDelegationsCannotChangeWhenSubnetUsedByResource", text, details=[])

    def _spelled(self, owner: str) -> str:
        """An ip configuration's id as it was written, if its interface is stored."""
        if "/virtualmachinescalesets/" in owner:
            return respell(owner)
        nic = self.core.store.get(owner.rpartition("/ipconfigurations/")[0])
        for configuration in nic.properties.get("ipConfigurations", []) if nic else []:
            if ids.key(configuration["id"]) == owner:
                return str(configuration["id"])
        return respell(owner)

    def shown(self, resource: Resource) -> dict[str, Any]:
        properties = {**resource.properties}
        properties["subnets"] = [self._shown_subnet(entry) for entry in properties["subnets"]]
        return {**resource.body, "properties": properties}

    def _shown_subnet(self, entry: dict[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        users = self.addresses.in_subnet(entry["id"])
        if users:
            more["ipConfigurations"] = [{"id": self._spelled(user.owner)} for user in users]
        state = entry["properties"]["provisioningState"]
        if "serviceEndpoints" in entry["properties"]:
            endpoints = entry["properties"]["serviceEndpoints"]
            more["serviceEndpoints"] = [{**one, "provisioningState": state} for one in endpoints]
        return {**entry, "properties": {**entry["properties"], **more}} if more else entry

    def networks(self, resource: Resource) -> set[str]:
        return {resource.id}

    def removed(self, resource: Resource) -> None:
        for entry in resource.properties["virtualNetworkPeerings"]:
            disconnect(self.core.store, resource, reference(entry["properties"]["remoteVirtualNetwork"]))

    # subnets

    def add_subnet_routes(self) -> None:
        self.core.operations.register("network.subnets.delete", self._delete_subnet_work)
        self.core.router.resource(
            f"{self.type}/subnets",
            get=self._get_subnet,
            put=self._put_subnet,
            delete=self._delete_subnet,
            list=self._list_subnets,
        )
        self.core.router.action(self.type, "usages", self._usages, method="GET")
        self.core.router.action(self.type, "CheckIPAddressAvailability", self._available, method="GET")

    def _get_subnet(self, request: Request) -> Answer:
        entry = find(self.parent_of(request.id, "read"), request.id.name)
        if entry is None:
            raise not_found(request.id)
        return Answer(200, self._shown_subnet(entry), {"ETag": entry["etag"]})

    def _list_subnets(self, request: Request) -> Answer:
        subnets = self.core.require(request.id).properties["subnets"]

        def fetch(offset: int, limit: int) -> list[dict[str, Any]]:
            return [self._shown_subnet(entry) for entry in subnets[offset : offset + limit]]

        return paging.paged(request, fetch, 100)

    def _put_subnet(self, request: Request) -> Answer:
        store = self.core.store
        request.body = shapes.read(request.body, {"properties": SUBNET_SHAPE})
        with store.transaction():
            vnet = self.parent_of(request.id)
            known = find(vnet, request.id.name)
            check_match(request, Resource(str(request.id), known) if known else None)
            made = self._subnet(
                vnet.id, request.id.name, request.body, known, request.api_version, vnet.body["location"]
            )
            subnets = [made if entry is known else entry for entry in vnet.properties["subnets"]]
            if known is None:
                subnets.append(made)
            self._check(vnet.id, vnet.body["name"], vnet.properties["addressSpace"]["addressPrefixes"], subnets)
            vnet.properties["subnets"] = subnets
            answer = self.child_written(
                request, vnet, made, created=known is None, before=known, exclusive=True, shown=self._shown_subnet
            )
        self.fabric.apply({vnet.id})
        return answer

    def _delete_subnet(self, request: Request) -> Answer:
        with self.core.store.transaction():
            vnet = self.parent_of(request.id)
            entry = find(vnet, request.id.name)
            if entry is None:
                return Answer(204)
            self._guard_subnet(entry)
            answer = self.child_leaving(request, vnet, "network.subnets.delete", entry["name"], exclusive=True)
            entry["properties"]["provisioningState"] = "Deleting"
            self.core.store.put(vnet)
            return answer

    def _delete_subnet_work(self, run: Run) -> None:
        with self.core.store.transaction():
            vnet = self.core.store.get(run.resource_id)
            if vnet is None:
                return
            name = run.args["name"].lower()
            vnet.properties["subnets"] = [e for e in vnet.properties["subnets"] if e["name"].lower() != name]
            stamp(vnet, "Succeeded")
            self.core.store.put(vnet)
        self.fabric.apply({vnet.id})

    def _usages(self, request: Request) -> Answer:
        """How full each subnet is; Azure keeps five addresses of each for itself."""
        entries = [
            {
                "currentValue": float(len(self.addresses.in_subnet(subnet["id"]))),
                "id": subnet["id"],
                "limit": float(max(network_of(prefix_of(subnet), subnet["id"]).num_addresses - 5, 0)),
                "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
                "unit": "Count",
            }
            for subnet in self.core.require(request.id).properties["subnets"]
        ]
        return Answer(200, {"value": entries})

    def _available(self, request: Request) -> Answer:
        """Is an address free? If not, five that are."""
        vnet = self.core.require(request.id)
        try:
            address = ipaddress.IPv4Address(request.query.get("ipaddress", ""))
        except ValueError as error:
            raise ArmError(400, "InvalidIPAddress", str(error), details=[]) from None
        for subnet in vnet.properties["subnets"]:
            network = ipaddress.IPv4Network(prefix_of(subnet))
            if address in network:
                taken = {user.address for user in self.addresses.in_subnet(subnet["id"])}
                reserved = int(address) not in usable(network)
                if not reserved and str(address) not in taken:
                    return Answer(200, {"available": True, "isPlatformReserved": False})
                free = (str(ipaddress.IPv4Address(number)) for number in usable(network))
                some = [one for one, _unused in zip((a for a in free if a not in taken), range(5), strict=False)]
                return Answer(200, {"available": False, "availableIPAddresses": some, "isPlatformReserved": reserved})
        text = f"Private static IP address {address} does not belong to the range of subnet prefix."
        raise ArmError(400, "PrivateIPAddressNotInAnySubnet", text, details=[])


def find(vnet: Resource, name: str) -> dict[str, Any] | None:
    """The subnet of that name, any case."""
    for entry in vnet.properties["subnets"]:
        if entry["name"].lower() == name.lower():
            found: dict[str, Any] = entry
            return found
    return None


def _endpoint(given: dict[str, Any], location: str) -> dict[str, Any]:
    """A service endpoint with the regions that it reaches: all of them, but SQL only in its own."""
    service = str(given.get("service", ""))
    places = [location] if service.lower() == "microsoft.sql" else ["*"]
    return {"provisioningState": "Succeeded", **given, "locations": given.get("locations") or places}


def network_of(prefix: Any, owner: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read a CIDR, or refuse it in Azure's words."""
    try:
        interface = ipaddress.ip_interface(str(prefix))
    except ValueError:
        interface = None
    if interface is None or "/" not in str(prefix):
        text = (
            f"Address prefix {prefix} of resource {owner} is not formatted correctly. It should follow CIDR notation, "
            "for example 10.0.0.0/24."
        )
        raise ArmError(400, "InvalidAddressPrefixFormat", text, details=[])
    if interface.ip != interface.network.network_address:
        text = (
            f"The address prefix {prefix} in resource {owner} has an invalid CIDR notation. For the given prefix "
            "length, "
            f"the address prefix should be {interface.network}."
        )
        raise ArmError(400, "InvalidCIDRNotation", text, details=[])
    return interface.network


def _within(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.subnet_of(outer))
