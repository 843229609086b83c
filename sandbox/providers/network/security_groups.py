# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""networkSecurityGroups and their rules."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.arm import ids, shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.arm.shapes import REFERENCE, Words
from sandbox.arm.store import Resource
from sandbox.providers.network.base import (
    NetworkType,
    check_match,
    child,
    not_found,
    reference,
    stamp,
)
from sandbox.providers.network.fabric import NIC, VNET

RULE_KIND = "networkSecurityGroups/securityRules"
# name, description, source, destination, access, priority
DEFAULT_RULES = (
    (
        "AllowVnetInBound",
        "Allow inbound traffic from all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
    ),
    (
        "AllowAzureLoadBalancerInBound",
        "Allow inbound traffic from azure load balancer",
        "AzureLoadBalancer",
        "*",
        "Allow",
        65001,
    ),
    ("DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", 65500),
    (
        "AllowVnetOutBound",
        "Allow outbound traffic from all VMs to all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
    ),
    ("AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "*", "Internet", "Allow", 65001),
    ("DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", 65500),
)
PAIRS = (
    ("sourcePortRange", "sourcePortRanges"),
    ("destinationPortRange", "destinationPortRanges"),
    ("sourceAddressPrefix", "sourceAddressPrefixes"),
    ("destinationAddressPrefix", "destinationAddressPrefixes"),
)
PROTOCOLS = Words("Tcp", "Udp", "Icmp", "Esp", "Ah", "*")
ACCESS, DIRECTION = Words("Allow", "Deny"), Words("Inbound", "Outbound")


RULE_SHAPE = {
    **{key: str for pair in PAIRS for key in pair[:1]},
    **{key: [str] for pair in PAIRS for key in pair[1:]},
    "description": str,
    "protocol": PROTOCOLS,
    "access": ACCESS,
    "direction": DIRECTION,
    "priority": int,
    "sourceApplicationSecurityGroups": [REFERENCE],
    "destinationApplicationSecurityGroups": [REFERENCE],
}


class SecurityGroups(NetworkType):
    """Security groups; rules live inside their group's row."""

    kind = "networkSecurityGroups"
    shape: ClassVar[dict[str, Any]] = {"securityRules": [{"name": str, "properties": RULE_SHAPE}]}

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        nsg_id = known.id if known else str(request.id)
        wanted = given.get("securityRules")
        if wanted is None:
            rules = known.properties["securityRules"] if known else []
        else:
            rules = [rule(nsg_id, str(entry.get("name") or ""), entry) for entry in wanted]
        check_conflicts(rules)
        return {"securityRules": rules, "defaultSecurityRules": default_rules(nsg_id)}

    def guard(self, resource: Resource) -> None:
        users = [entry["id"] for entry in (*self._subnets(resource), *self._interfaces(resource))]
        if users:
            text = (
                f"Network security group {resource.id} cannot be deleted because it is in use by the following "
                f"resources: {', '.join(users)}. In order to delete the Network security group, remove the association "
                "with the resource(s). To learn how to do this, see aka.ms/deletensg."
            )
            raise ArmError(400, "InUseNetworkSecurityGroupCannotBeDeleted", text, details=[])

    def _subnets(self, resource: Resource) -> list[dict[str, str]]:
        key = ids.key(resource.id)
        return [
            {"id": subnet["id"]}
            for vnet in self.core.store.list(VNET, subscription=resource.rid.subscription)
            for subnet in vnet.properties["subnets"]
            if ids.key(reference(subnet["properties"].get("networkSecurityGroup"))) == key
        ]

    def _interfaces(self, resource: Resource) -> list[dict[str, str]]:
        key = ids.key(resource.id)
        return [
            {"id": nic.id}
            for nic in self.core.store.list(NIC, subscription=resource.rid.subscription)
            if ids.key(reference(nic.properties.get("networkSecurityGroup"))) == key
        ]

    def shown(self, resource: Resource) -> dict[str, Any]:
        found = {"networkInterfaces": self._interfaces(resource), "subnets": self._subnets(resource)}
        used = {key: value for key, value in found.items() if value}
        return {**resource.body, "properties": {**resource.properties, **used}}

    def networks(self, resource: Resource) -> set[str]:
        subnets = {entry["id"] for entry in self._subnets(resource)}
        for taken in self.core.store.db().execute(
            "SELECT DISTINCT pool FROM addresses WHERE extra LIKE ?", (f'%{ids.key(resource.id)}"%',)
        ):
            subnets.add(taken["pool"])
        return {str(ids.parse(subnet).parent) for subnet in subnets}

    # rules

    def add_rule_routes(self) -> None:
        self.core.operations.register("network.securityRules.delete", self._delete_rule_work)
        self.core.router.resource(
            f"{self.type}/securityRules",
            get=lambda request: self._get_rule(request, "securityRules"),
            put=self._put_rule,
            delete=self._delete_rule,
            list=lambda request: self._list_rules(request, "securityRules"),
        )
        self.core.router.resource(
            f"{self.type}/defaultSecurityRules",
            get=lambda request: self._get_rule(request, "defaultSecurityRules"),
            list=lambda request: self._list_rules(request, "defaultSecurityRules"),
        )

    def _get_rule(self, request: Request, key: str) -> Answer:
        for entry in self.parent_of(request.id, "read").properties[key]:
            if entry["name"].lower() == request.id.name.lower():
                return Answer(200, entry, {"ETag": entry["etag"]})
        raise not_found(request.id)

    def _list_rules(self, request: Request, key: str) -> Answer:
        return Answer(200, {"value": self.core.require(request.id).properties[key]})

    def _put_rule(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"properties": RULE_SHAPE})
        with self.core.store.transaction():
            group = self.parent_of(request.id)
            name = request.id.name.lower()
            kept = [entry for entry in group.properties["securityRules"] if entry["name"].lower() != name]
            before = next((e for e in group.properties["securityRules"] if e not in kept), None)
            check_match(request, Resource(str(request.id), before) if before else None)
            created = before is None
            made = rule(group.id, request.id.name, request.body)
            group.properties["securityRules"] = [*kept, made]
            check_conflicts(group.properties["securityRules"])
            answer = self.child_written(request, group, made, created=created)
        self.fabric.apply(self.networks(group))
        return answer

    def _delete_rule(self, request: Request) -> Answer:
        with self.core.store.transaction():
            group = self.parent_of(request.id)
            name = request.id.name.lower()
            if name not in (entry["name"].lower() for entry in group.properties["securityRules"]):
                return Answer(204)
            return self.child_leaving(request, group, "network.securityRules.delete", name)

    def _delete_rule_work(self, run: Run) -> None:
        with self.core.store.transaction():
            group = self.core.store.get(run.resource_id)
            if group is None:
                return
            rules = group.properties["securityRules"]
            group.properties["securityRules"] = [e for e in rules if e["name"].lower() != run.args["name"]]
            stamp(group, "Succeeded")
            self.core.store.put(group)
        self.fabric.apply(self.networks(group))


def default_rules(nsg_id: str) -> list[dict[str, Any]]:
    """The six rules that every group has."""
    made = []
    for name, description, source, destination, access, priority in DEFAULT_RULES:
        properties: dict[str, Any] = {
            "description": description,
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": destination,
            "access": access,
            "priority": priority,
            "direction": "Outbound" if name.endswith("OutBound") else "Inbound",
            **{many: [] for _unused, many in PAIRS},
        }
        made.append(child(nsg_id, "networkSecurityGroups/defaultSecurityRules", name, properties))
    return made


def rule(nsg_id: str, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A rule from a request; 400 for what Azure refuses."""
    given, rule_id = entry.get("properties") or {}, f"{nsg_id}/securityRules/{name}"
    for key in ("protocol", "access", "direction", "priority"):
        if given.get(key) is None:
            text = f"Required security rule parameter {key} is missing in {rule_id}."
            raise ArmError(400, "SecurityRuleParameterMissing", text, details=[])
    if not isinstance(given["priority"], int) or not 100 <= given["priority"] <= 4096:
        text = f"Security rule has invalid Priority. Value provided: {given['priority']} Allowed range 100-4096."
        raise ArmError(400, "SecurityRuleInvalidPriority", text, details=[])
    for key, known in {"access": ACCESS, "direction": DIRECTION, "protocol": PROTOCOLS}.items():
        if given[key] not in known.words:
            text = f"Security rule {rule_id} has an invalid value for {key}: {given[key]}."
            raise ArmError(400, "SecurityRuleParameterInvalid", text, details=[])
    for one, many in PAIRS:
        groups = "ApplicationSecurityGroups"
        side = one.replace("AddressPrefix", groups) if "Address" in one else ""
        if not given.get(one) and not given.get(many) and not (side and given.get(side)):
            text = f"Required security rule parameter {one} is missing in {rule_id}."
            raise ArmError(400, "SecurityRuleParameterMissing", text, details=[])
    properties: dict[str, Any] = {"description": given["description"]} if given.get("description") else {}
    properties["protocol"] = given["protocol"]
    properties |= {one: given[one] for one, _unused in PAIRS if given.get(one)}
    properties |= {"access": given["access"], "priority": given["priority"], "direction": given["direction"]}
    properties |= {many: given.get(many) or [] for _unused, many in PAIRS}
    for key in ("sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"):
        if given.get(key):
            properties[key] = given[key]
    return child(nsg_id, RULE_KIND, name, properties)


def check_conflicts(rules: list[dict[str, Any]]) -> None:
    """No two rules of one direction may have the same priority."""
    seen: dict[tuple[str, int], str] = {}
    for entry in rules:
        given = entry["properties"]
        place = (given["direction"].lower(), given["priority"])
        if place in seen:
            text = (
                f"Security rule {entry['name']} conflicts with rule {seen[place]}. "
                "Rules cannot have the same Priority and Direction."
            )
            raise ArmError(400, "SecurityRuleConflict", text, details=[])
        seen[place] = entry["name"]
