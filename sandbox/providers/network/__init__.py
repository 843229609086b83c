# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Network: virtual networks, subnets, security groups, interfaces, public addresses, NAT gateways."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.providers.network import private_dns, usages
from sandbox.providers.network.addresses import Addresses, mac
from sandbox.providers.network.app_gateways import ApplicationGateways
from sandbox.providers.network.base import NetworkType, invalid_reference
from sandbox.providers.network.fabric import Fabric, prefix_of
from sandbox.providers.network.interfaces import Interfaces, subnet_of
from sandbox.providers.network.load_balancers import LoadBalancers
from sandbox.providers.network.peerings import Peerings
from sandbox.providers.network.plain import PLAIN, RouteTables
from sandbox.providers.network.public import NatGateways, PublicAddresses
from sandbox.providers.network.questions import Questions
from sandbox.providers.network.security_groups import SecurityGroups
from sandbox.providers.network.vnets import VirtualNetworks


class Network:
    """What other providers may ask of the network; see the docstring of ``sandbox.arm``."""

    def __init__(
        self, core: Core, addresses: Addresses, fabric: Fabric, interfaces: Interfaces, public: PublicAddresses
    ) -> None:
        self._core = core
        self._addresses = addresses
        self._fabric = fabric
        self._interfaces = interfaces
        self._public = public
        self.release = addresses.release
        self.release_below = addresses.release_below
        self.attach = interfaces.attach
        self.detach = interfaces.detach
        self.mac = mac
        self.public = addresses.public

    def allocate(self, subnet_id: str, owners: Sequence[str], wanted: str = "", nsg_id: str = "") -> list[str]:
        """Addresses for ip configurations, one per owner. 400 if there is no such subnet or not enough room."""
        subnet = subnet_of(self._core, subnet_id)
        if subnet is None:
            raise invalid_reference(subnet_id, owners[0] if owners else "")
        return self._addresses.allocate(subnet["id"], prefix_of(subnet), owners, wanted=wanted, nsg_id=nsg_id)

    def vnet_of(self, subnet_id: str) -> str:
        """The id of the subnet's virtual network, as first spelled. 400 if there is none."""
        rid = ids.parse(subnet_id)
        vnet = self._core.store.get(rid.parent) if rid.parent else None
        if vnet is None:
            raise invalid_reference(subnet_id, subnet_id)
        return vnet.id

    def address_of(self, nic_id: str) -> tuple[str, str, str]:
        """(virtual network id, subnet id, private address) of the interface's primary configuration. 400 if
        not there.
        """
        nic = self._core.store.get(nic_id)
        if nic is None:
            raise invalid_reference(nic_id, nic_id)
        configurations = nic.properties["ipConfigurations"]
        usable = [entry for entry in configurations if "privateIPAddress" in entry["properties"]]
        primary = next((entry for entry in usable if entry["properties"].get("primary")), usable[0])
        subnet = primary["properties"]["subnet"]["id"]
        return self.vnet_of(subnet), subnet, primary["properties"]["privateIPAddress"]

    def delete_nic(self, nic_id: str) -> None:
        """Delete an interface without guards; nothing if there is none."""
        found = self._core.store.get(nic_id)
        if found is not None:
            self._interfaces.destroy(found)

    def delete_public_address(self, public_id: str) -> None:
        """Delete a public address without guards; nothing if there is none."""
        found = self._core.store.get(public_id)
        if found is not None:
            self._public.destroy(found)

    def apply(self, vnet_id: str) -> None:
        """Bring the machines' network to what the resources say."""
        self._fabric.apply([vnet_id])

    def subnet_exists(self, subnet_id: str) -> bool:
        return subnet_of(self._core, subnet_id) is not None


def register(core: Core) -> None:
    addresses = Addresses(core)
    fabric = Fabric(core, addresses)
    vnets, groups = VirtualNetworks(core, addresses, fabric), SecurityGroups(core, addresses, fabric)
    interfaces, public = Interfaces(core, addresses, fabric), PublicAddresses(core, addresses, fabric)
    gateways, tables = NatGateways(core, addresses, fabric), RouteTables(core, addresses, fabric)
    balancers, peerings = LoadBalancers(core, addresses, fabric), Peerings(vnets)
    web = ApplicationGateways(core, addresses, fabric)
    orders: list[tuple[NetworkType, int]] = [
        (interfaces, 40),
        (balancers, 50),
        (web, 50),
        (vnets, 60),
        (gateways, 65),
        (groups, 70),
        (public, 80),
        (tables, 85),
        *((plain(core, addresses, fabric), 85) for plain in PLAIN),
    ]
    for provider, order in orders:
        core.router.resource(
            provider.type,
            get=provider.get,
            put=provider.put,
            patch=provider.patch,
            delete=provider.delete,
            list=provider.list,
            list_all=provider.list,
        )
        core.on_group_delete(provider.type, order, provider.destroy)
    vnets.add_subnet_routes()
    peerings.add_routes()
    groups.add_rule_routes()
    tables.add_route_routes()
    balancers.add_child_routes()
    web.add_actions()
    Questions(core, vnets).register()
    usages.register(core)
    private_dns.register(core)
    core.offer("network", Network(core, addresses, fabric, interfaces, public))
    core.offer("network_recovered", fabric.recovered)
