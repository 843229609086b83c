# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""loadBalancers with all that is in them. They are kept and shown; nothing balances packets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from sandbox.arm import ids, shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers.network.base import ALLOCATION, VERSION, child, not_found, reference
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.faces import FacedType
from sandbox.providers.network.interfaces import subnet_of

RULE: dict[str, Any] = {
    "frontendPort": 0,
    "backendPort": 0,
    "enableFloatingIP": False,
    "idleTimeoutInMinutes": 4,
    "protocol": "Tcp",
    "enableDestinationServiceEndpoint": False,
    "enableTcpReset": False,
    "allowBackendPortConflict": False,
}
# What each kind of child is filled up with.
DEFAULTS: dict[str, dict[str, Any]] = {
    "frontendIPConfigurations": {"privateIPAllocationMethod": "Dynamic"},
    "backendAddressPools": {},
    "loadBalancingRules": {**RULE, "loadDistribution": "Default", "disableOutboundSnat": False},
    "probes": {
        "intervalInSeconds": 15,
        "numberOfProbes": 2,
        "probeThreshold": 1,
        "noHealthyBackendsBehavior": "AllProbedDown",
    },
    "inboundNatRules": RULE,
    "inboundNatPools": {
        key: RULE[key]
        for key in ("backendPort", "enableFloatingIP", "idleTimeoutInMinutes", "protocol", "enableTcpReset")
    },
    "outboundRules": {
        "allocatedOutboundPorts": 0,
        "enableTcpReset": False,
        "idleTimeoutInMinutes": 4,
        "protocol": "All",
    },
}
PORTS = (
    "frontendPort", "backendPort", "frontendPortRangeStart", "frontendPortRangeEnd", "port", "idleTimeoutInMinutes",
    "intervalInSeconds", "numberOfProbes", "probeThreshold",
)  # fmt: skip
# What a child carries that its owner computes.
COMPUTED = ("provisioningState", "loadBalancingRules", "inboundNatRules", "inboundNatPools", "outboundRules")
# Which references in which children are shown back in what they refer to.
BACK = {
    "loadBalancingRules": ("frontendIPConfiguration", "backendAddressPool", "probe"),
    "inboundNatRules": ("frontendIPConfiguration", "backendAddressPool"),
    "inboundNatPools": ("frontendIPConfiguration",),
    "outboundRules": ("frontendIPConfigurations", "backendAddressPool"),
}
WORDS: dict[str, Any] = {
    "loadDistribution": shapes.Words("Default", "SourceIP", "SourceIPProtocol"),
    "privateIPAllocationMethod": ALLOCATION,
    "privateIPAddressVersion": VERSION,
}
WRITABLE = ("backendAddressPools", "inboundNatRules")
CHILD_SHAPE = [{"name": str, "properties": WORDS}]


class LoadBalancers(FacedType):
    """Load balancers; their rules, pools and probes live in their rows."""

    kind = "loadBalancers"
    first_state = "Succeeded"
    shape: ClassVar[dict[str, Any]] = dict.fromkeys(DEFAULTS, CHILD_SHAPE)

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        body = super()._body(request, known)
        given = body.get("sku") or (known.body["sku"] if known else {})
        body["sku"] = {"name": given.get("name", "Basic"), "tier": given.get("tier", "Regional")}
        if body["sku"]["name"].lower() != "basic":
            body["properties"].setdefault("outboundRules", [])
        return body

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given, own = request.body.get("properties") or {}, known.id if known else str(request.id)
        made: dict[str, Any] = {}
        for kind in DEFAULTS:
            if kind == "outboundRules" and not given.get(kind):
                continue
            entries = [self._child(own, kind, str(one.get("name") or ""), one) for one in given.get(kind) or []]
            # Rules that were put one by one stay when the whole is put without naming them.
            if kind == "inboundNatRules" and kind not in given and known is not None:
                entries = known.properties[kind]
            made[kind] = entries
        kept = {ids.key(entry["id"]) for entry in made["frontendIPConfigurations"]}
        for entry in known.properties["frontendIPConfigurations"] if known else []:
            if ids.key(entry["id"]) not in kept:
                self.release(entry)
        return made

    def _child(self, own: str, kind: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
        wanted = {key: value for key, value in (given.get("properties") or {}).items() if value is not None}
        entry = child(own, f"{self.kind}/{kind}", name, {**DEFAULTS[kind]})
        properties = entry["properties"]
        properties.update({key: value for key, value in wanted.items() if key not in COMPUTED})
        for key in PORTS:
            if isinstance(properties.get(key), str) and properties[key].isdigit():
                properties[key] = int(properties[key])
        if isinstance(properties.get("protocol"), str):
            properties["protocol"] = properties["protocol"].capitalize()
        if kind == "loadBalancingRules" and "backendAddressPool" in properties:
            properties.setdefault("backendAddressPools", [properties["backendAddressPool"]])
        if kind == "frontendIPConfigurations":
            self._frontend(entry, given)
        for key in BACK.get(kind, ()):
            self._check(own, entry["id"], properties.get(key))
        return entry

    def _check(self, own: str, source: str, value: Any) -> None:
        """What a rule refers to belongs to the same load balancer."""
        for target in map(reference, value if isinstance(value, list) else [value]):
            if target and not ids.key(target).startswith(f"{ids.key(own)}/"):
                text = f"Resource {target} referenced by {source} is not part of load balancer {own}."
                raise ArmError(400, "InvalidResourceReference", text, details=[])

    def _frontend(self, entry: dict[str, Any], given: dict[str, Any]) -> None:
        properties = entry["properties"]
        if given.get("zones"):
            entry["zones"] = given["zones"]
        public, private = reference(properties.get("publicIPAddress")), reference(properties.get("subnet"))
        if public:
            self.hold(entry)
        elif private:
            subnet = subnet_of(self.core, private)
            if subnet is None:
                raise not_found(private)
            static = properties["privateIPAllocationMethod"].lower() == "static"
            wanted = properties.get("privateIPAddress", "") if static else ""
            found_address = self.addresses.allocate(subnet["id"], prefix_of(subnet), [entry["id"]], wanted=wanted)[0]
            properties |= {"privateIPAddress": found_address, "privateIPAddressVersion": "IPv4"}
            properties["subnet"] = {"id": subnet["id"]}

    def guard(self, resource: Resource) -> None:
        for pool in resource.properties["backendAddressPools"]:
            users = list(self._members(resource, pool["id"]))
            if any("/virtualMachineScaleSets/" in user for user in users):
                text = f"Load Balancer {resource.id} is in use by {users[0]} and cannot be deleted."
                raise ArmError(400, "InUseLoadBalancerCannotBeDeleted", text, details=[])

    # showing

    def shown(self, resource: Resource) -> dict[str, Any]:
        """With the references back: rules in frontends and pools, machines in pools."""
        own = {kind: [_copy(e) for e in resource.properties.get(kind, [])] for kind in DEFAULTS}
        targets = {ids.key(e["id"]): e for entries in own.values() for e in entries}
        for kind, keys in BACK.items():
            for entry in own[kind]:
                for target in (t for key in keys for t in _targets(entry["properties"].get(key))):
                    found = targets.get(ids.key(target))
                    if found is not None:
                        found["properties"].setdefault(kind, []).append({"id": entry["id"]})
        for pool in own["backendAddressPools"]:
            self._fill(resource, pool, own["inboundNatRules"])
        shown = {kind: entries for kind, entries in own.items() if kind in resource.properties}
        return {**resource.body, "properties": {**resource.properties, **shown}}

    def _fill(self, resource: Resource, pool: dict[str, Any], rules: list[dict[str, Any]]) -> None:
        members = list(self._members(resource, pool["id"]))
        if not members:
            return
        served = [
            r for r in rules if ids.key(reference(r["properties"].get("backendAddressPool"))) == ids.key(pool["id"])
        ]
        addresses = []
        for number, member in enumerate(members):
            name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{pool['id']}{member}".lower()))
            entry = child(pool["id"], f"{self.kind}/backendAddressPools/loadBalancerBackendAddresses", name, {})
            entry["etag"] = pool["etag"]
            properties = entry["properties"]
            properties |= {"provisioningState": "Succeeded", "networkInterfaceIPConfiguration": {"id": member}}
            if served:
                properties["inboundNatRulesPortMapping"] = [_mapping(rule, number) for rule in served]
            addresses.append(entry)
        pool["properties"]["loadBalancerBackendAddresses"] = addresses
        pool["properties"]["backendIPConfigurations"] = [{"id": member} for member in members]

    def _members(self, resource: Resource, pool_id: str) -> Iterator[str]:
        """Ids of the ip configurations behind a pool."""
        store, wanted = self.core.store, ids.key(pool_id)
        for nic in store.list("Microsoft.Network/networkInterfaces", subscription=resource.rid.subscription):
            for configuration in nic.properties.get("ipConfigurations", []):
                pools = configuration["properties"].get("loadBalancerBackendAddressPools") or []
                if any(ids.key(reference(pool)) == wanted for pool in pools):
                    yield configuration["id"]
        for scale_set in store.list(
            "Microsoft.Compute/virtualMachineScaleSets", subscription=resource.rid.subscription
        ):
            yield from self._instances(scale_set, wanted)

    def _instances(self, scale_set: Resource, wanted: str) -> Iterator[str]:
        profile = scale_set.properties.get("virtualMachineProfile") or {}
        if scale_set.properties.get("orchestrationMode") == "Flexible":
            return  # its instances have interfaces with rows of their own
        for nic in (profile.get("networkProfile") or {}).get("networkInterfaceConfigurations") or []:
            for entry in (nic.get("properties") or {}).get("ipConfigurations") or []:
                pools = (entry.get("properties") or {}).get("loadBalancerBackendAddressPools") or []
                if any(ids.key(reference(pool)) == wanted for pool in pools):
                    kind = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"
                    for row in self.core.store.list(kind, parent=scale_set.id):
                        name = row.rid.name
                        path = f"{scale_set.id}/virtualMachines/{name}/networkInterfaces/{nic['name']}"
                        yield f"{path}/ipConfigurations/{entry['name']}"

    # children

    def add_child_routes(self) -> None:
        for kind in DEFAULTS:
            writes = {"put": self._put_child, "delete": self._delete_child} if kind in WRITABLE else {}
            self.core.router.resource(f"{self.type}/{kind}", get=self._get_child, list=self._list_children, **writes)

    def _get_child(self, request: Request) -> Answer:
        body = self.shown(self.parent_of(request.id, "read"))
        for entry in body["properties"].get(request.id.types[-1], []):
            if entry["name"].lower() == request.id.name.lower():
                return Answer(200, entry, {"ETag": entry["etag"]})
        raise not_found(request.id)

    def _list_children(self, request: Request) -> Answer:
        kind = request.type.rpartition("/")[2]
        return Answer(200, {"value": self.shown(self.core.require(request.id))["properties"].get(kind, [])})

    def _put_child(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"properties": WORDS})
        with self.core.store.transaction():
            owner, kind = self.parent_of(request.id), request.id.types[-1]
            entries = owner.properties[kind]
            at = next((n for n, e in enumerate(entries) if e["name"].lower() == request.id.name.lower()), None)
            made = self._child(owner.id, kind, request.id.name, request.body)
            owner.properties[kind] = [*entries, made] if at is None else [*entries[:at], made, *entries[at + 1 :]]
            return self.child_written(request, owner, made, created=at is None, state="Succeeded")

    def _delete_child(self, request: Request) -> Answer:
        with self.core.store.transaction():
            owner, kind = self.parent_of(request.id), request.id.types[-1]
            kept = [e for e in owner.properties[kind] if e["name"].lower() != request.id.name.lower()]
            if len(kept) == len(owner.properties[kind]):
                return Answer(204)
            owner.properties[kind] = kept
            return self.child_leaving(request, owner, f"network.{self.kind}.settle", request.id.name)


def _copy(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "properties": {**entry["properties"]}}


def _targets(value: Any) -> list[str]:
    return [found for found in map(reference, value if isinstance(value, list) else [value]) if found]


def _mapping(rule: dict[str, Any], number: int) -> dict[str, Any]:
    properties = rule["properties"]
    first = properties.get("frontendPortRangeStart") or properties["frontendPort"]
    return {
        "inboundNatRuleName": rule["name"],
        "frontendPort": first + number,
        "backendPort": properties["backendPort"],
    }
