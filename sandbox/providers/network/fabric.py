# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machines' networks have to be like: resources in, ``VnetState`` for the driver out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any, Literal

from sandbox import machines
from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.store import Resource
from sandbox.providers.network.addresses import Addresses

log = logging.getLogger(__name__)
VNET = "Microsoft.Network/virtualNetworks"
NIC = "Microsoft.Network/networkInterfaces"
PUBLIC = "Microsoft.Network/publicIPAddresses"


class Fabric:
    """Tells the driver about each virtual network, and only when something has changed for it."""

    def __init__(self, core: Core, addresses: Addresses) -> None:
        self._core = core
        self._addresses = addresses
        self._locks: dict[str, threading.Lock] = {}
        self._applied: dict[str, machines.VnetState] = {}
        self._guard = threading.Lock()
        # What this thread's running transaction has changed: told once, when it is committed.
        self._pending = threading.local()

    def apply(self, vnet_ids: Iterable[str]) -> None:
        """Bring these virtual networks to what the resources say; remove those that are gone.

        At once, or after the running transaction. A driver's error is logged: Azure's control plane accepts a network
        before any host has heard of it.
        """
        pending: set[str] = self._pending.__dict__.setdefault("vnets", set())
        pending.update(ids.key(vnet_id) for vnet_id in vnet_ids)
        self._core.store.after_commit(self._apply_pending)

    def _apply_pending(self) -> None:
        pending: set[str] = self._pending.__dict__.pop("vnets", set())
        for vnet_id in pending:
            with self._guard:
                lock = self._locks.setdefault(vnet_id, threading.Lock())
            with lock:
                try:
                    self._apply(vnet_id)
                except machines.MachineError:
                    log.exception("network of %s", vnet_id)

    def _apply(self, key: str) -> None:
        vnet = self._core.store.get(key)
        if vnet is None:
            self._applied.pop(key, None)
            self._core.driver.remove_network(key)
            return
        state = self.render(vnet)
        if self._applied.get(key) != state:
            self._core.driver.apply_network(state)
            self._applied[key] = state

    def recovered(self) -> None:
        """After a restart: tell the driver about all networks."""
        self.apply(vnet.id for vnet in self._core.store.list(VNET))

    def render(self, vnet: Resource) -> machines.VnetState:
        """The state of one virtual network."""
        subnets = vnet.properties["subnets"]
        nics: list[machines.NicState] = []
        publics = self._publics(vnet.rid.subscription)
        for subnet in subnets:
            nics += self._nics(subnet["id"], publics)
        return machines.VnetState(
            vnet_id=vnet.id,
            address_prefixes=tuple(vnet.properties["addressSpace"]["addressPrefixes"]),
            subnets=tuple(
                machines.SubnetState(
                    subnet_id=subnet["id"],
                    prefix=prefix_of(subnet),
                    rules=self._rules(_id(subnet["properties"].get("networkSecurityGroup"))),
                    nat_public_ips=self._nat(_id(subnet["properties"].get("natGateway"))),
                )
                for subnet in subnets
            ),
            nics=tuple(nics),
        )

    def _nics(self, subnet_id: str, publics: dict[str, str]) -> list[machines.NicState]:
        """The addresses in the subnet that have a security group or a public address of their own."""
        return [
            machines.NicState(
                private_ip=taken.address,
                rules=self._rules(taken.nsg_id),
                public_ip=publics.get(taken.owner, ""),
            )
            for taken in self._addresses.special(subnet_id, publics)
        ]

    def _publics(self, subscription: str) -> dict[str, str]:
        """The public addresses in use, by the ip configuration (its id in lower case) that has each."""
        found = {}
        for public in self._core.store.list(PUBLIC, subscription=subscription):
            owner, address = _id(public.properties.get("ipConfiguration")), public.properties.get("ipAddress")
            if owner and address:
                found[ids.key(owner)] = str(address)
        return found

    def _address(self, public_id: str) -> str:
        public = self._core.store.get(public_id) if public_id else None
        return str(public.properties.get("ipAddress", "")) if public else ""

    def _nat(self, gateway_id: str) -> tuple[str, ...]:
        gateway = self._core.store.get(gateway_id) if gateway_id else None
        if gateway is None:
            return ()
        found = (self._address(_id(entry)) for entry in gateway.properties.get("publicIpAddresses", []))
        return tuple(address for address in found if address)

    def _rules(self, group_id: str) -> tuple[machines.SecurityRule, ...] | None:
        group = self._core.store.get(group_id) if group_id else None
        if group is None:
            return None
        rules = (_rule(entry) for entry in group.properties["securityRules"])
        return tuple(sorted(rules, key=lambda rule: (rule.direction, rule.priority)))


def prefix_of(subnet: dict[str, Any]) -> str:
    """The (first) address prefix of a subnet."""
    properties = subnet["properties"]
    return str(properties.get("addressPrefix") or properties["addressPrefixes"][0])


def _rule(entry: dict[str, Any]) -> machines.SecurityRule:
    given = entry["properties"]
    direction: Literal["Inbound", "Outbound"] = "Inbound" if given["direction"].lower() == "inbound" else "Outbound"
    access: Literal["Allow", "Deny"] = "Allow" if given["access"].lower() == "allow" else "Deny"
    return machines.SecurityRule(
        name=entry["name"],
        priority=given["priority"],
        direction=direction,
        access=access,
        protocol=given["protocol"],
        source_prefixes=_either(given, "sourceAddressPrefix", "sourceAddressPrefixes"),
        source_ports=_either(given, "sourcePortRange", "sourcePortRanges"),
        destination_prefixes=_either(given, "destinationAddressPrefix", "destinationAddressPrefixes"),
        destination_ports=_either(given, "destinationPortRange", "destinationPortRanges"),
    )


def _either(given: dict[str, Any], one: str, many: str) -> tuple[str, ...]:
    return tuple(given.get(many) or ([given[one]] if given.get(one) else []))


def _id(value: Any) -> str:
    return str(value.get("id") or "") if isinstance(value, dict) else ""
