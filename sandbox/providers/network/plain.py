# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network resources that are only kept: prefixes, application groups, route tables, plans, policies, watchers."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from sandbox.arm import ids, shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.network.base import NAMESPACE, NetworkType, check_match, child, not_found, reference
from sandbox.providers.network.fabric import VNET

# Documentation addresses (RFC 5735): prefixes are shown, machines get no address from them.
PREFIXES = ipaddress.IPv4Network("198.51.100.0/24")
PREFIXES_V6 = ipaddress.IPv6Network("2001:db8::/32")


class PublicPrefixes(NetworkType):
    """publicIPPrefixes: a range of public addresses."""

    kind = "publicIPPrefixes"
    shape: ClassVar[dict[str, Any]] = {"prefixLength": int, "publicIPAddressVersion": str, "ipTags": [dict]}

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        body["sku"] = {"name": "Standard", "tier": "Regional", **(body.get("sku") or {})}
        return body

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        version = given.get("publicIPAddressVersion", "IPv4")
        length = given.get("prefixLength", 28 if version == "IPv4" else 124)
        low, high = (21, 31) if version == "IPv4" else (109, 127)
        if not low <= length <= high:
            text = f"Prefix length {length} of {request.id} is invalid. It must be between {low} and {high}."
            raise ArmError(400, "PublicIpPrefixLengthInvalid", text, details=[])
        if known is not None and known.properties["prefixLength"] != length:
            text = f"Prefix length of {known.id} cannot be changed."
            raise ArmError(400, "PublicIpPrefixLengthCannotBeChanged", text, details=[])
        made = {"prefixLength": length, "publicIPAddressVersion": version, "ipTags": given.get("ipTags") or []}
        if known is not None and "ipPrefix" in known.properties:
            made["ipPrefix"] = known.properties["ipPrefix"]
        return made

    def settled(self, resource: Resource) -> None:
        properties = resource.properties
        if "ipPrefix" not in properties:
            number = self.core.store.next_number("public-prefixes")
            pool = PREFIXES if properties["publicIPAddressVersion"] == "IPv4" else PREFIXES_V6
            size = 1 << (pool.max_prefixlen - properties["prefixLength"])
            start = int(pool.network_address) + number * size % max(pool.num_addresses, size)
            properties["ipPrefix"] = f"{ipaddress.ip_address(start)}/{properties['prefixLength']}"

    def shown(self, resource: Resource) -> dict[str, Any]:
        used: dict[str, Any] = {}
        for gateway in self.core.store.list("Microsoft.Network/natGateways", subscription=resource.rid.subscription):
            wanted = (ids.key(reference(entry)) for entry in gateway.properties.get("publicIpPrefixes", []))
            if ids.key(resource.id) in wanted:
                used["natGateway"] = {"id": gateway.id}
        members = [
            {"id": public.id}
            for public in self.core.store.list(f"{NAMESPACE}/publicIPAddresses", subscription=resource.rid.subscription)
            if ids.key(reference(public.properties.get("publicIPPrefix"))) == ids.key(resource.id)
        ]
        if members:
            used["publicIPAddresses"] = members
        return {**resource.body, "properties": {**resource.properties, **used}}

    def guard(self, resource: Resource) -> None:
        shown = self.shown(resource)["properties"]
        holder = reference(shown.get("natGateway")) or reference((shown.get("publicIPAddresses") or [None])[0])
        if holder:
            text = (
                f"Public IP prefix {resource.id} can not be deleted since it is still allocated to resource {holder}."
            )
            raise ArmError(400, "PublicIPPrefixCannotBeDeleted", text, details=[])


class ApplicationGroups(NetworkType):
    """applicationSecurityGroups: names for interfaces in security rules."""

    kind = "applicationSecurityGroups"

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        return {}

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        body["properties"].pop("resourceGuid", None)
        return body


class ProtectionPlans(NetworkType):
    """ddosProtectionPlans. Nothing is protected."""

    kind = "ddosProtectionPlans"

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        return {}

    def shown(self, resource: Resource) -> dict[str, Any]:
        users = self._users(resource)
        return {**resource.body, "properties": {**resource.properties, **({"virtualNetworks": users} if users else {})}}

    def _users(self, resource: Resource) -> list[dict[str, str]]:
        return [
            {"id": vnet.id}
            for vnet in self.core.store.list(VNET, subscription=resource.rid.subscription)
            if ids.key(reference(vnet.properties.get("ddosProtectionPlan"))) == ids.key(resource.id)
        ]

    def guard(self, resource: Resource) -> None:
        users = self._users(resource)
        if users:
            text = f"Ddos protection plan {resource.id} cannot be deleted because it is in use by {users[0]['id']}."
            raise ArmError(400, "DdosProtectionPlanInUse", text, details=[])


class EndpointPolicies(NetworkType):
    """serviceEndpointPolicies. No packet is asked where it goes."""

    kind = "serviceEndpointPolicies"
    shape: ClassVar[dict[str, Any]] = {
        "serviceEndpointPolicyDefinitions": [
            {"name": str, "properties": {"description": str, "service": str, "serviceResources": [str]}}
        ]
    }

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        own = known.id if known else str(request.id)
        entries = given.get("serviceEndpointPolicyDefinitions") or []
        kind = f"{self.kind}/serviceEndpointPolicyDefinitions"
        return {
            "serviceEndpointPolicyDefinitions": [
                child(own, kind, str(entry.get("name") or ""), entry.get("properties") or {}) for entry in entries
            ]
        }


class Watchers(NetworkType):
    """networkWatchers: one per region. None of their questions is answered."""

    kind = "networkWatchers"

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        where = common.region(request, known)
        for other in self.core.store.list(self.type, subscription=request.subscription):
            if other.body["location"] == where and ids.key(other.id) != ids.key(request.id):
                text = f"Cannot create more than 1 network watchers for this subscription in the region {where}."
                raise ArmError(400, "NetworkWatcherCountLimitReached", text, details=[])
        return {"runningOperationIdentifiers": []}


class RouteTables(NetworkType):
    """routeTables. Booted machines do not follow them."""

    kind = "routeTables"
    shape: ClassVar[dict[str, Any]] = {
        "disableBgpRoutePropagation": bool,
        "routes": [{"name": str, "properties": {"addressPrefix": str, "nextHopType": str, "nextHopIpAddress": str}}],
    }

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        own = known.id if known else str(request.id)
        return {
            "disableBgpRoutePropagation": bool(given.get("disableBgpRoutePropagation", False)),
            "routes": [self._route(own, entry) for entry in given.get("routes") or []],
        }

    def _route(self, own: str, given: dict[str, Any]) -> dict[str, Any]:
        properties = {"hasBgpOverride": False, **(given.get("properties") or {})}
        return child(own, f"{self.kind}/routes", str(given.get("name") or ""), properties)

    # routes as resources of their own

    def add_route_routes(self) -> None:
        self.core.router.resource(
            f"{self.type}/routes",
            get=self._get_route,
            put=self._put_route,
            delete=self._delete_route,
            list=self._list_routes,
        )

    def _get_route(self, request: Request) -> Answer:
        for entry in self.parent_of(request.id, "read").properties["routes"]:
            if entry["name"].lower() == request.id.name.lower():
                return Answer(200, entry, {"ETag": entry["etag"]})
        raise not_found(request.id)

    def _list_routes(self, request: Request) -> Answer:
        return Answer(200, {"value": self.core.require(request.id).properties["routes"]})

    def _put_route(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, self.shape["routes"][0])
        with self.core.store.transaction():
            table = self.parent_of(request.id)
            made = self._route(table.id, {**request.body, "name": request.id.name})
            before, others = _split(table.properties["routes"], request.id.name)
            check_match(request, Resource(str(request.id), before) if before else None)
            table.properties["routes"] = [*others, made]
            return self.child_written(request, table, made, created=before is None)

    def _delete_route(self, request: Request) -> Answer:
        with self.core.store.transaction():
            table = self.parent_of(request.id)
            before, others = _split(table.properties["routes"], request.id.name)
            if before is None:
                return Answer(204)
            table.properties["routes"] = others
            return self.child_leaving(request, table, f"network.{self.kind}.settle", request.id.name)

    def shown(self, resource: Resource) -> dict[str, Any]:
        users = self._users(resource)
        return {**resource.body, "properties": {**resource.properties, **({"subnets": users} if users else {})}}

    def _users(self, resource: Resource) -> list[dict[str, str]]:
        return [
            {"id": subnet["id"]}
            for vnet in self.core.store.list(VNET, subscription=resource.rid.subscription)
            for subnet in vnet.properties["subnets"]
            if ids.key(reference(subnet["properties"].get("routeTable"))) == ids.key(resource.id)
        ]

    def guard(self, resource: Resource) -> None:
        users = self._users(resource)
        if users:
            text = f"Route table {resource.body['name']} is in use and cannot be deleted."
            raise ArmError(400, "InUseRouteTableCannotBeDeleted", text, details=[])


PLAIN = (PublicPrefixes, ApplicationGroups, ProtectionPlans, EndpointPolicies, Watchers)
"""Types without children that are resources."""


def _split(routes: list[dict[str, Any]], name: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The route of that name, in any case, and the others."""
    found = next((entry for entry in routes if entry["name"].lower() == name.lower()), None)
    return found, [entry for entry in routes if entry is not found]
