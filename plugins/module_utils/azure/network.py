# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a cluster: virtual network, subnets, a security group for each, and one way out."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Json, merged
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients

# For those who list networks over the session; what is built here goes through the typed client and its version.
VERSION = "2024-05-01"

_FIRST_RULE = 1000
_SSH_RULE = 200


class NetworkIds:
    """The resource ids of everything that belongs to one cluster network, known before anything exists."""

    def __init__(self, session: Session, options: t.Mapping[str, t.Any]) -> None:
        group, name = options["resource_group"], options["name"]
        stem = name[: -len("-vnet")] if name.endswith("-vnet") else name
        nat = options.get("nat_gateway") or {}
        self.vnet = session.resource_path(group, "Microsoft.Network/virtualNetworks", name)
        self.nat = session.resource_path(group, "Microsoft.Network/natGateways", nat.get("name") or f"{stem}-nat")
        self.address = session.resource_path(
            group, "Microsoft.Network/publicIPAddresses", nat.get("public_ip_name") or f"{stem}-nat-ip"
        )
        self.groups = {
            subnet["name"]: session.resource_path(
                group,
                "Microsoft.Network/networkSecurityGroups",
                subnet.get("security_group") or f"{stem}-{subnet['name']}-nsg",
            )
            for subnet in options.get("subnets") or ()
        }

    def subnet(self, name: str) -> str:
        """The id of a subnet."""
        return f"{self.vnet}/subnets/{name}"

    def everything(self) -> list[str]:
        """All ids."""
        return list(dict.fromkeys((self.vnet, self.nat, self.address, *self.groups.values())))


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, NetworkIds]:
    """Create or mend the network of the module's ``options``; raises AzureError."""
    nameless = [subnet["name"] for subnet in options["subnets"] if not subnet.get("cidr")]
    if nameless:
        raise AzureError(f"these subnets have no cidr: {', '.join(nameless)}", code="MissingOptions")
    clients, ids = TypedClients(session), NetworkIds(session, options)
    actual = read(clients, ids.everything())
    writes = plan(targets(ids, options, actual.get(ids.vnet.casefold())), actual)
    if not _way_out(options):
        # Nothing leads to the gateway any more once the network is written, but it is still billed.
        left = removals([[], [], [], [ids.nat], [ids.address]], actual)
        writes += left
    return apply(clients, writes, actual, check), ids


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, NetworkIds]:
    """Delete the network; raises AzureError if something still uses it.

    The security groups and the NAT gateway are also found through the subnets, so their names need not be given.
    """
    clients, ids = TypedClients(session), NetworkIds(session, options)
    actual = read(clients, ids.everything())
    subnets = (actual.get(ids.vnet.casefold(), {}).get("properties") or {}).get("subnets") or ()
    attached = [(subnet.get("properties") or {}).get("networkSecurityGroup", {}).get("id", "") for subnet in subnets]
    groups = list(dict.fromkeys([*ids.groups.values(), *(one for one in attached if one)]))
    actual.update(read(clients, [one for one in groups if one.casefold() not in actual]))
    order = [[ids.vnet], [ids.nat, *groups], [ids.address]]
    return apply(clients, removals(order, actual), actual, check), ids


def targets(ids: NetworkIds, options: t.Mapping[str, t.Any], vnet: Json | None) -> list[Target]:
    """Everything that the network should consist of. ``vnet`` is the actual one: its other subnets are kept. Pure."""
    location, tags = options["location"], options.get("tags")
    subnets = options["subnets"]
    wanted = [
        Target(
            ids.groups[subnet["name"]],
            {"location": location, "properties": {"securityRules": rules(subnet, options)}},
            tags,
            stage=0,
        )
        for subnet in subnets
    ]
    if _way_out(options):
        sku = {"sku": {"name": "Standard"}}
        address = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
        gateway = {"publicIpAddresses": [{"id": ids.address}]}
        wanted.append(Target(ids.address, {"location": location, **sku, "properties": address}, tags, stage=0))
        wanted.append(Target(ids.nat, {"location": location, **sku, "properties": gateway}, tags, stage=1))
    body = {
        "location": location,
        "properties": {
            "addressSpace": {"addressPrefixes": list(options["address_space"])},
            "subnets": _subnets(ids, subnets, vnet),
        },
    }
    wanted.append(Target(ids.vnet, body, tags, stage=2))
    return [replace(one, again=True) for one in wanted]


def _way_out(options: t.Mapping[str, t.Any]) -> bool:
    return any(subnet.get("nat_gateway") for subnet in options["subnets"])


def _subnets(ids: NetworkIds, subnets: t.Sequence[Json], vnet: Json | None) -> list[Json]:
    """The subnets to send: ours over the actual ones, because a PUT of the network deletes those left out."""
    actual = {one["name"].casefold(): one for one in ((vnet or {}).get("properties") or {}).get("subnets") or ()}
    result = {}
    for subnet in subnets:
        properties: Json = {
            "addressPrefix": subnet["cidr"],
            "networkSecurityGroup": {"id": ids.groups[subnet["name"]]},
            # Outbound goes through the NAT gateway or not at all; Azure's implicit way out is being retired.
            "defaultOutboundAccess": False,
        }
        if subnet.get("nat_gateway"):
            properties["natGateway"] = {"id": ids.nat}
        there = actual.pop(subnet["name"].casefold(), None)
        properties.update(_services(subnet, (there or {}).get("properties") or {}))
        ours = {"name": subnet["name"], "properties": properties}
        result[subnet["name"]] = _cleared(merged(there, ours) if there else ours, bool(subnet.get("nat_gateway")))
    return [*result.values(), *actual.values()]


def _services(subnet: Json, actual: Json) -> Json:
    """What a subnet has to do with services: those described, besides those that others gave it."""
    found: Json = {}
    wanted = subnet.get("service_endpoints") or ()
    if wanted:
        there = [str(one.get("service", "")) for one in actual.get("serviceEndpoints") or ()]
        known = {one.casefold() for one in there}
        services = [*there, *(one for one in wanted if one.casefold() not in known)]
        found["serviceEndpoints"] = [{"service": one} for one in services]
    if subnet.get("delegation"):
        service = subnet["delegation"]
        have = [(one.get("properties") or {}).get("serviceName", "") for one in actual.get("delegations") or ()]
        if service.casefold() not in (one.casefold() for one in have):
            name = service.rpartition(".")[2].replace("/", "-")
            found["delegations"] = [{"name": name, "properties": {"serviceName": service}}]
    return found


def _cleared(subnet: Json, nat: bool) -> Json:
    if not nat and "natGateway" in subnet["properties"]:
        # None is compared as "must not be there" and sent as null, which detaches it.
        return {**subnet, "properties": {**subnet["properties"], "natGateway": None}}
    return subnet


def rules(subnet: Json, options: t.Mapping[str, t.Any]) -> list[Json]:
    """The security rules of a subnet: closed, but for the cluster itself, ssh from where it is allowed, and ``rules``.

    Azure's own default rules would let every peered network in; the last rule takes that back.
    """
    inside = list(options["address_space"])
    found = []
    ssh_from = list(options.get("ssh_from") or ())
    if ssh_from and subnet.get("ssh", True):
        found.append(_rule("allow-ssh", _SSH_RULE, "Tcp", ssh_from, ["*"], ["22"], description="ssh from outside"))
    for index, rule in enumerate(subnet.get("rules") or ()):
        found.append(
            _rule(
                rule["name"],
                rule.get("priority") or _FIRST_RULE + 10 * index,
                rule.get("protocol") or "Tcp",
                rule.get("source") or ["*"],
                rule.get("destination") or ["*"],
                rule.get("ports") or ["*"],
                rule.get("direction") or "Inbound",
                rule.get("access") or "Allow",
                rule.get("description") or "",
            )
        )
    found.append(_rule("allow-cluster", 4000, "*", inside, inside, ["*"], description="the cluster's own machines"))
    found.append(_rule("deny-inbound", 4096, "*", ["*"], ["*"], ["*"], access="Deny", description="closed by default"))
    return found


def _rule(
    name: str,
    priority: int,
    protocol: str,
    source: list[str],
    destination: list[str],
    ports: list[str],
    direction: str = "Inbound",
    access: str = "Allow",
    description: str = "",
) -> Json:
    properties: Json = {
        "priority": priority,
        "direction": direction,
        "access": access,
        "protocol": protocol,
        "sourcePortRange": "*",
        "description": description,
        **_one_or_many("sourceAddressPrefix", "sourceAddressPrefixes", source),
        **_one_or_many("destinationAddressPrefix", "destinationAddressPrefixes", destination),
        **_one_or_many("destinationPortRange", "destinationPortRanges", [str(port) for port in ports]),
    }
    return {"name": name, "properties": properties}


def _one_or_many(one: str, many: str, values: list[str]) -> Json:
    """ARM has a field for one value and another for several; ``*`` goes into the first only. One is empty."""
    return {one: values[0], many: []} if len(values) == 1 else {one: None, many: values}
