# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients ask of the network beside its resources: effective routes and rules, links, names, services."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import NETWORK, Headers, Run
from sandbox.arm.router import SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.network import delegations
from sandbox.providers.network.base import NAMESPACE, not_found, reference
from sandbox.providers.network.interfaces import subnet_of
from sandbox.providers.network.vnets import VirtualNetworks, find

NIC, PUBLIC = f"{NAMESPACE}/networkInterfaces", f"{NAMESPACE}/publicIPAddresses"
LOCATION = f"{SUBSCRIPTION}/providers/{NAMESPACE}/locations/{{location}}"
# Services that subnets can be delegated to, and that they have endpoints for.
ENDPOINTS = (
    "Microsoft.Storage", "Microsoft.Sql", "Microsoft.AzureCosmosDB", "Microsoft.KeyVault", "Microsoft.ServiceBus",
    "Microsoft.EventHub", "Microsoft.Web", "Microsoft.CognitiveServices", "Microsoft.ContainerRegistry",
    "Microsoft.Storage.Global",
)  # fmt: skip
SECONDS = 5.0
# Ranges that lead nowhere unless the virtual network has them.
NOWHERE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


class Questions:
    """The handlers."""

    def __init__(self, core: Core, vnets: VirtualNetworks) -> None:
        self._core, self._vnets = core, vnets

    def register(self) -> None:
        router, operations = self._core.router, self._core.operations
        router.action(NIC, "effectiveRouteTable", self.routes)
        router.action(NIC, "effectiveNetworkSecurityGroups", self.rules)
        router.action(NIC, "ipConfigurations", self.configurations, method="GET")
        for kind in ("loadBalancers", "tapConfigurations"):
            router.action(NIC, kind, self.nothing, method="GET")
        router.add("GET", f"{_path(NIC)}/ipConfigurations/{{configuration}}", self.configuration, type=NIC)
        for kind in (self._vnets.type, PUBLIC):
            router.action(kind, "ddosProtectionStatus", self.protection)
        subnets = f"{self._vnets.type}/subnets"
        for verb in ("PrepareNetworkPolicies", "UnprepareNetworkPolicies"):
            router.action(subnets, verb, self.policies)
        for kind in ("ResourceNavigationLinks", "ServiceAssociationLinks"):
            router.action(subnets, kind, self.links, method="GET")
        for name, handler in (
            ("CheckDnsNameAvailability", self.dns_name),
            ("availableDelegations", self.delegations),
            ("virtualNetworkAvailableEndpointServices", self.endpoints),
            ("serviceTags", self.service_tags),
        ):
            router.add("GET", f"{LOCATION}/{name}", handler, type=f"{NAMESPACE}/locations/{name}")
        operations.register("network.routes", self.work_routes)
        operations.register("network.rules", self.work_rules)
        operations.register("network.protection", self.work_protection)
        operations.register("network.policies", lambda _run: None)

    def _begin(self, request: Request, work: str, resource: Resource, headers: Headers = "both") -> Answer:
        """An operation that changes nothing: its result is the answer."""
        place = resource.body["location"]
        return self._core.operations.begin(
            request, work, resource.id, style=NETWORK, headers=headers, latency=SECONDS, location=place
        )

    # interfaces

    def routes(self, request: Request) -> Answer:
        return self._begin(request, "network.routes", self._core.require(request.id), "location")

    def rules(self, request: Request) -> Answer:
        return self._begin(request, "network.rules", self._core.require(request.id), "location")

    def _subnet(self, nic_id: str) -> dict[str, Any]:
        nic = self._core.store.get(nic_id)
        entries = nic.properties["ipConfigurations"] if nic else []
        first = next((reference(one["properties"].get("subnet")) for one in entries), "")
        return (subnet_of(self._core, first) if first else None) or {"id": first, "properties": {}}

    def work_routes(self, run: Run) -> dict[str, Any]:
        subnet = self._subnet(run.resource_id)
        vnet = self._core.store.get(subnet["id"].rpartition("/subnets/")[0])
        own = vnet.properties["addressSpace"]["addressPrefixes"] if vnet else []
        found = [_route("Default", prefix, "VnetLocal") for prefix in own]
        for peering in vnet.properties["virtualNetworkPeerings"] if vnet else []:
            far = (peering["properties"].get("remoteAddressSpace") or {}).get("addressPrefixes") or []
            found += [_route("Default", prefix, "VNetPeering") for prefix in far]
        given = list(self._own_routes(subnet))
        replaced = {route["addressPrefix"][0] for route in given}
        found.append(_route("Default", "0.0.0.0/0", "Internet", active="0.0.0.0/0" not in replaced))
        found += [_route("Default", prefix, "None") for prefix in NOWHERE if prefix not in own]
        return {"value": [*found, *given]}

    def _own_routes(self, subnet: dict[str, Any]) -> Iterator[dict[str, Any]]:
        target = reference(subnet["properties"].get("routeTable"))
        table = self._core.store.get(target) if target else None
        for entry in table.properties["routes"] if table else []:
            own = entry["properties"]
            hop = [own["nextHopIpAddress"]] if own.get("nextHopIpAddress") else []
            yield {**_route("User", own["addressPrefix"], own["nextHopType"], hop=hop), "name": entry["name"]}

    def work_rules(self, run: Run) -> dict[str, Any]:
        nic, subnet = self._core.store.get(run.resource_id), self._subnet(run.resource_id)
        holders = [("subnet", subnet["id"], subnet["properties"].get("networkSecurityGroup"))]
        if nic is not None:
            holders.append(("networkInterface", nic.id, nic.properties.get("networkSecurityGroup")))
        found = []
        for what, holder, group_reference in holders:
            group = self._core.store.get(reference(group_reference)) if reference(group_reference) else None
            if group is not None:
                found.append(
                    {
                        "networkSecurityGroup": {"id": group.id},
                        "association": {what: {"id": holder}},
                        "effectiveSecurityRules": [_effective(rule) for rule in _rules(group)],
                    }
                )
        return {"value": found}

    def configurations(self, request: Request) -> Answer:
        return Answer(200, {"value": self._core.require(request.id).properties["ipConfigurations"]})

    def configuration(self, request: Request) -> Answer:
        names = request.params
        nic = self._core.require(
            f"/subscriptions/{request.subscription}/resourceGroups/{request.group}/providers/{NIC}/{names['name']}"
        )
        for entry in nic.properties["ipConfigurations"]:
            if entry["name"].lower() == names["configuration"].lower():
                return Answer(200, entry)
        raise not_found(f"{nic.id}/ipConfigurations/{names['configuration']}")

    def nothing(self, request: Request) -> Answer:
        """What an interface never has here."""
        self._core.require(request.id)
        return Answer(200, {"value": []})

    # networks

    def protection(self, request: Request) -> Answer:
        return self._begin(request, "network.protection", self._core.require(request.id))

    def work_protection(self, run: Run) -> dict[str, Any]:
        """Nothing is under attack, and nothing is protected."""
        found = self._core.store.get(run.resource_id)
        if found is None or found.rid.type == PUBLIC:
            return {"publicIpAddressId": run.resource_id, "isWorkloadProtected": "False"}
        return {"value": []}

    def _parent(self, request: Request) -> tuple[Resource, dict[str, Any]]:
        parent = request.id.parent
        vnet = self._core.require(parent) if parent else None
        subnet = find(vnet, request.id.name) if vnet else None
        if vnet is None or subnet is None:
            raise not_found(request.id)
        return vnet, subnet

    def policies(self, request: Request) -> Answer:
        return self._begin(request, "network.policies", self._parent(request)[0])

    def links(self, request: Request) -> Answer:
        """No service has put anything into a subnet."""
        self._parent(request)
        return Answer(200, {"value": []})

    # regions

    def dns_name(self, request: Request) -> Answer:
        label, place = request.query.get("domainnamelabel", ""), common.normal(request.params["location"])
        if not label:
            raise ArmError(400, "DomainNameLabelMissing", "The domainNameLabel is required.", details=[])
        wanted = f"{label}.{place}.cloudapp.azure.com".lower()
        taken = any(
            str((one.properties.get("dnsSettings") or {}).get("fqdn", "")).lower() == wanted
            for one in self._core.store.list(PUBLIC)
        )
        return Answer(200, {"available": not taken})

    def delegations(self, request: Request) -> Answer:
        values = [
            {
                "name": service.replace("/", "."),
                "id": f"/subscriptions/{request.subscription}/providers/{NAMESPACE}/availableDelegations/{service}",
                "type": f"{NAMESPACE}/availableDelegations",
                "serviceName": service,
                "actions": delegations.actions(service),
            }
            for service in delegations.SERVICES
        ]
        return Answer(200, {"value": values})

    def endpoints(self, request: Request) -> Answer:
        head = f"/subscriptions/{request.subscription}/providers/{NAMESPACE}/virtualNetworkEndpointServices"
        kind = f"{NAMESPACE}/virtualNetworkEndpointServices"
        return Answer(200, {"value": [{"name": one, "id": f"{head}/{one}", "type": kind} for one in ENDPOINTS]})

    def service_tags(self, request: Request) -> Answer:
        """Names of services as rules use them; their address ranges are documentation ones."""
        number = str(zlib.crc32("".join(ENDPOINTS).encode()) % 100)
        tags = ["AzureCloud", "AzureLoadBalancer", "AzureResourceManager", *(e.split(".")[1] for e in ENDPOINTS[:7])]
        values = [
            {
                "name": tag,
                "id": tag,
                "properties": {
                    "changeNumber": number,
                    "region": "",
                    "systemService": tag,
                    "addressPrefixes": ["198.51.100.0/24"],
                },
            }
            for tag in tags
        ]
        own = f"/subscriptions/{request.subscription}/providers/{NAMESPACE}/serviceTags/Public"
        body = {"name": "Public", "id": own, "type": f"{NAMESPACE}/serviceTags", "changeNumber": number}
        return Answer(200, {**body, "cloud": "Public", "values": values})


def _path(kind: str) -> str:
    return f"{SUBSCRIPTION}/resourceGroups/{{group}}/providers/{kind}/{{name}}"


def _route(source: str, prefix: str, kind: str, *, hop: list[str] | None = None, active: bool = True) -> dict[str, Any]:
    return {
        "source": source,
        "state": "Active" if active else "Invalid",
        "addressPrefix": [prefix],
        "nextHopType": kind,
        "nextHopIpAddress": hop or [],
    }


def _rules(group: Resource) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [*group.properties["securityRules"], *group.properties["defaultSecurityRules"]]
    return found


def _effective(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as the interface sees it: one list for each of what may be given as one value or as many."""
    own = rule["properties"]
    shown = {key: own[key] for key in ("priority", "access", "direction") if key in own}
    shown["protocol"] = "All" if own["protocol"] == "*" else own["protocol"]
    for one, many in (
        ("sourcePortRange", "sourcePortRanges"),
        ("destinationPortRange", "destinationPortRanges"),
        ("sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destinationAddressPrefix", "destinationAddressPrefixes"),
    ):
        values = own.get(many) or ([own[one]] if own.get(one) else [])
        if "PortRange" in one:
            values = [_range(value) for value in values]
        shown[many], shown[one] = values, values[0] if values else ""
    return {"name": rule["name"], **shown}


def _range(ports: str) -> str:
    if ports == "*":
        return "0-65535"
    return ports if "-" in ports else f"{ports}-{ports}"
