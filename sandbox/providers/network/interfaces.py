# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""networkInterfaces: addresses for machines."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

from sandbox.arm import ids
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.shapes import REFERENCE
from sandbox.arm.store import Resource
from sandbox.providers.network.addresses import mac
from sandbox.providers.network.base import (
    ALLOCATION,
    VERSION,
    NetworkType,
    child,
    invalid_reference,
    reference,
    require_reference,
    stamp,
)
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.vnets import find

CONFIGURATION_KIND = "networkInterfaces/ipConfigurations"


# What a configuration may be a member of; kept as given.
MEMBERSHIPS = (
    "loadBalancerBackendAddressPools",
    "loadBalancerInboundNatRules",
    "applicationSecurityGroups",
    "applicationGatewayBackendAddressPools",
)
CONFIGURATION_SHAPE = {
    "primary": bool,
    "privateIPAddress": str,
    "privateIPAllocationMethod": ALLOCATION,
    "privateIPAddressVersion": VERSION,
    "subnet": REFERENCE,
    "publicIPAddress": REFERENCE,
    **{key: [REFERENCE] for key in MEMBERSHIPS},
}


class Interfaces(NetworkType):
    """Network interfaces. A machine that uses one is noted by ``attach``."""

    kind = "networkInterfaces"
    shape: ClassVar[dict[str, Any]] = {
        "ipConfigurations": [{"name": str, "properties": CONFIGURATION_SHAPE}],
        "dnsSettings": {"dnsServers": [str], "internalDnsNameLabel": str},
        "networkSecurityGroup": REFERENCE,
        "enableIPForwarding": bool,
        "enableAcceleratedNetworking": bool,
        "disableTcpStateTracking": bool,
    }

    # Real answers say so at once, unless a machine has to be told.
    first_state = "Succeeded"

    def accept(self, request: Request, resource: Resource, *, created: bool) -> Answer:
        """Newer versions name an operation only where somebody else has to be told: a machine, or what the interface
        is or was a member of.
        """
        was, resource.internal["member"] = resource.internal.get("member", False), member(resource.properties)
        in_use = "virtualMachine" in resource.properties
        busy = in_use or (request.api_version >= "2021" and (was or resource.internal["member"]))
        if busy:
            stamp(resource, "Updating")
        self.core.store.put(resource)
        if request.api_version >= "2021" and not busy:
            return Answer(201 if created else 200)
        return super().accept(request, resource, created=created)

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        body["kind"] = "Regular"
        return body

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        nic_id = known.id if known else str(request.id)
        wanted = given.get("ipConfigurations") or []
        if not wanted:
            text = f"Network interface {nic_id} must have at least one IP configuration."
            raise ArmError(400, "NetworkInterfaceMustHaveIpConfigurations", text, details=[])
        group = reference(given.get("networkSecurityGroup"))
        if group:
            group = require_reference(self.core, group, nic_id).id
        old = {entry["name"].lower(): entry for entry in known.properties["ipConfigurations"]} if known else {}
        if all((entry.get("properties") or {}).get("privateIPAddressVersion") == "IPv6" for entry in wanted):
            text = f"Network interface {nic_id} must have at least one IPv4 configuration."
            raise ArmError(400, "NetworkInterfaceMustHaveIPv4Configuration", text, details=[])
        primary = next((e for e in wanted if (e.get("properties") or {}).get("primary")), wanted[0])
        made = [self._configuration(nic_id, entry, entry is primary, group, known) for entry in wanted]
        for name, entry in old.items():
            if name not in {one["name"].lower() for one in made}:
                self._drop(entry)
        servers = (given.get("dnsSettings") or {}).get("dnsServers") or []
        first = next((one["properties"]["subnet"]["id"] for one in made if "subnet" in one["properties"]), "")
        vnet_key = ids.key(first).rpartition("/subnets/")[0]
        properties: dict[str, Any] = {
            "ipConfigurations": made,
            "dnsSettings": {
                "dnsServers": servers,
                "appliedDnsServers": [],
                "internalDomainNameSuffix": f"{zlib.crc32(vnet_key.encode()):08x}.bx.internal.cloudapp.net",
            },
            "vnetEncryptionSupported": False,
            "enableIPForwarding": bool(given.get("enableIPForwarding", False)),
            "enableAcceleratedNetworking": bool(given.get("enableAcceleratedNetworking", False)),
            "disableTcpStateTracking": bool(given.get("disableTcpStateTracking", False)),
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": given.get("nicType", "Standard"),
            "allowPort25Out": True,
            "auxiliaryMode": given.get("auxiliaryMode", "None"),
            "auxiliarySku": given.get("auxiliarySku", "None"),
        }
        label = (given.get("dnsSettings") or {}).get("internalDnsNameLabel")
        if label:
            suffix = properties["dnsSettings"]["internalDomainNameSuffix"]
            properties["dnsSettings"] |= {"internalDnsNameLabel": label, "internalFqdn": f"{label}.{suffix}"}
        if group:
            properties["networkSecurityGroup"] = {"id": group}
        for key in ("macAddress", "primary", "virtualMachine"):
            if known is not None and key in known.properties:
                properties[key] = known.properties[key]
        return properties

    def _configuration(
        self, nic_id: str, given: dict[str, Any], primary: bool, group: str, known: Resource | None
    ) -> dict[str, Any]:
        name, wanted = given.get("name") or "", given.get("properties") or {}
        entry = child(nic_id, CONFIGURATION_KIND, name, {})
        properties = entry["properties"]
        version = wanted.get("privateIPAddressVersion", "IPv4")
        method = wanted.get("privateIPAllocationMethod") or "Dynamic"
        subnet_id = reference(wanted.get("subnet"))
        if version == "IPv6":
            # As recorded: accepted, and without an address.
            properties |= {"privateIPAllocationMethod": method, "privateIPAddressVersion": version}
            if subnet_id:
                properties["subnet"] = {"id": subnet_id}
            return entry
        subnet = self._require_subnet(subnet_id, nic_id)
        asked = wanted.get("privateIPAddress") or ""
        if method == "Static" and not asked:
            text = f"Private static IP address not specified for IP configuration {entry['id']}."
            raise ArmError(400, "PrivateIPAddressMissing", text, details=[])
        chosen = asked if method == "Static" else ""
        address = self.addresses.allocate(subnet["id"], prefix_of(subnet), [entry["id"]], wanted=chosen, nsg_id=group)[
            0
        ]
        properties |= {"privateIPAddress": address, "privateIPAllocationMethod": method}
        public = reference(wanted.get("publicIPAddress"))
        self._swap_public(entry["id"], public, known)
        if public:
            properties["publicIPAddress"] = {"id": require_reference(self.core, public, nic_id).id}
        properties |= {"subnet": {"id": subnet["id"]}, "primary": primary, "privateIPAddressVersion": version}
        properties |= {key: wanted[key] for key in MEMBERSHIPS if wanted.get(key)}
        return entry

    def _require_subnet(self, subnet_id: str, nic_id: str) -> dict[str, Any]:
        if not subnet_id:
            text = f"Subnet reference is required for IP configuration of resource {nic_id}."
            raise ArmError(400, "SubnetIdMissing", text, details=[])
        subnet = subnet_of(self.core, subnet_id)
        if subnet is None:
            raise invalid_reference(subnet_id, nic_id)
        return subnet

    def _swap_public(self, configuration_id: str, target: str, known: Resource | None) -> None:
        """Move the association of public addresses to what is wanted now."""
        store = self.core.store
        for entry in known.properties["ipConfigurations"] if known else []:
            before = reference(entry["properties"].get("publicIPAddress"))
            if ids.key(entry["id"]) == ids.key(configuration_id) and before and ids.key(before) != ids.key(target):
                store.update(before, lambda public: forget(public, "ipConfiguration"))
        if not target:
            return
        public = require_reference(self.core, target, configuration_id)
        holder = reference(public.properties.get("ipConfiguration")) or reference(public.properties.get("natGateway"))
        if holder and ids.key(holder) != ids.key(configuration_id):
            text = (
                f"Resource {configuration_id} is referencing public IP address {public.id} that is already allocated "
                f"to resource {holder}."
            )
            raise ArmError(400, "PublicIPAddressInUse", text, details=[])
        public.properties["ipConfiguration"] = {"id": configuration_id}
        if "ipAddress" not in public.properties and public.properties["provisioningState"] == "Succeeded":
            public.properties["ipAddress"] = self.addresses.public(public.id)
        store.put(public)

    def _drop(self, configuration: dict[str, Any]) -> None:
        self.addresses.release([configuration["id"]])
        public = reference(configuration["properties"].get("publicIPAddress"))
        if public:
            self.core.store.update(public, lambda found: forget(found, "ipConfiguration"))

    def guard(self, resource: Resource) -> None:
        machine = reference(resource.properties.get("virtualMachine"))
        if machine:
            text = (
                f"Network Interface {resource.id} is used by existing resource {machine}. In order to delete the "
                "network "
                "interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
            )
            raise ArmError(400, "NicInUse", text, details=[])

    def removed(self, resource: Resource) -> None:
        for entry in resource.properties["ipConfigurations"]:
            self._drop(entry)

    def networks(self, resource: Resource) -> set[str]:
        found = (reference(e["properties"].get("subnet")) for e in resource.properties.get("ipConfigurations", []))
        return {str(ids.parse(subnet).parent) for subnet in found if subnet}

    # machines

    def attach(self, nic_id: str, vm_id: str, primary: bool) -> Resource:
        """Note that a machine uses the interface. 400 if another one does, or it is not there."""

        def change(nic: Resource) -> None:
            holder = reference(nic.properties.get("virtualMachine"))
            if holder and ids.key(holder) != ids.key(vm_id):
                text = (
                    f"Resource {vm_id} is referencing network interface {nic.id} that is already in use by "
                    f"resource {holder}."
                )
                raise ArmError(400, "NicInUse", text, details=[])
            configurations = (entry["properties"] for entry in nic.properties["ipConfigurations"])
            address = next(one["privateIPAddress"] for one in configurations if "privateIPAddress" in one)
            nic.properties.update({"macAddress": mac(address), "primary": primary, "virtualMachine": {"id": vm_id}})

        found = self.core.store.update(nic_id, change)
        if found is None:
            raise invalid_reference(nic_id, vm_id)
        return found

    def detach(self, nic_id: str) -> None:
        def change(nic: Resource) -> None:
            for key in ("virtualMachine", "primary", "macAddress"):
                nic.properties.pop(key, None)

        self.core.store.update(nic_id, change)


def member(properties: dict[str, Any]) -> bool:
    """Whether an interface is in a pool, behind a rule or in an application security group."""
    return any(one["properties"].get(key) for one in properties["ipConfigurations"] for key in MEMBERSHIPS)


def forget(resource: Resource, key: str) -> None:
    """Drop an association; a dynamic public address goes with it."""
    resource.properties.pop(key, None)
    if resource.properties.get("publicIPAllocationMethod") == "Dynamic":
        resource.properties.pop("ipAddress", None)


def subnet_of(core: Any, subnet_id: str) -> dict[str, Any] | None:
    """The embedded subnet of that id, or None."""
    try:
        rid = ids.parse(subnet_id)
    except ValueError:
        return None
    vnet = core.store.get(rid.parent) if rid.parent else None
    return find(vnet, rid.name) if vnet else None
