# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A resource group as a template: what would make it again."""

from __future__ import annotations

import re
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
KEPT = ("location", "tags", "sku", "kind", "zones", "identity", "plan", "extendedLocation")
# What only the service says.
READ_ONLY = {
    "provisioningstate", "resourceguid", "etag", "vmid", "uniqueid", "timecreated", "creationtime", "principalid",
    "clientid", "tenantid", "ipaddress", "instanceview", "macaddress", "virtualmachine", "defaultsecurityrules",
    "statusofprimary", "primaryendpoints", "primarylocation", "keycreationtime", "customerid", "createddate",
    "modifieddate", "hostedworkloads", "ipconfiguration", "natgateway", "managedby", "diskstate", "disksizebytes",
}  # fmt: skip


class Exports:
    """``POST <group>/exportTemplate``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def export(self, request: Request) -> Answer:
        group = self._core.require_group(request.subscription, request.group)
        body = request.body if isinstance(request.body, dict) else {}
        wanted = [str(entry).lower() for entry in body.get("resources") or ["*"]]
        options = str(body.get("options", "")).lower()
        plain, told = "skipallparameterization" in options, "includecomments" in options
        found = [
            resource
            for resource in self._core.store.in_scope(request.subscription, ids.parse(group.id).group)
            if resource.rid.parent is None and resource.body.get("location")
            if "*" in wanted or ids.key(resource.id) in wanted
        ]
        version = "2023-09-01"
        parameters: dict[str, Any] = {}
        resources: list[dict[str, Any]] = []
        for resource in found:
            whole = _resource(resource, version, parameters, plain)
            resources += [whole, *_children(resource, whole, plain)]
        if told:
            for entry in resources:
                entry["comments"] = f"Generalized from resource: '{entry['_id']}'."
        for entry in resources:
            del entry["_id"]
        template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": parameters, "variables": {}}
        return Answer(200, {"template": {**template, "resources": resources}})


# The parts of a resource that are resources of their own, too.
CHILDREN = {
    "microsoft.network/virtualnetworks": ("subnets", "virtualNetworkPeerings"),
    "microsoft.network/networksecuritygroups": ("securityRules",),
    "microsoft.network/routetables": ("routes",),
}


def _resource(resource: Resource, version: str, parameters: dict[str, Any], plain: bool) -> dict[str, Any]:
    """The resource in a template, with its id under ``_id``."""
    rid, body = resource.rid, resource.body
    made: dict[str, Any] = {"_id": resource.id, "type": rid.type, "apiVersion": version, "name": rid.name}
    if not plain:
        name = re.sub(r"\W", "_", f"{rid.types[0]}_{rid.name}_name")
        parameters[name] = {"defaultValue": rid.name, "type": "String"}
        made["name"] = f"[parameters('{name}')]"
    made |= {key: body[key] for key in KEPT if body.get(key)}
    made["properties"] = _writable(body.get("properties") or {})
    return made


def _children(resource: Resource, whole: dict[str, Any], plain: bool) -> list[dict[str, Any]]:
    """What a template says of the parts of a resource once more, each after the whole."""
    found = []
    text = whole["name"].removeprefix("[").removesuffix("]") if not plain else f"'{whole['name']}'"
    for kind in CHILDREN.get(resource.rid.type.lower(), ()):
        for entry in resource.properties.get(kind) or []:
            name = f"{whole['name']}/{entry['name']}" if plain else f"[concat({text}, '/{entry['name']}')]"
            found.append(
                {
                    "_id": entry["id"],
                    "type": f"{resource.rid.type}/{kind}",
                    "apiVersion": whole["apiVersion"],
                    "name": name,
                    "dependsOn": [f"[resourceId('{resource.rid.type}', {text})]"],
                    "properties": _writable(entry["properties"]),
                }
            )
    return found


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        # The ids of a resource's own parts follow from their names.
        own = "properties" in value and "name" in value and "id" in value
        return {
            key: _writable(entry)
            for key, entry in value.items()
            if key.lower() not in READ_ONLY and not (own and key in ("id", "type"))
        }
    return [_writable(entry) for entry in value] if isinstance(value, list) else value
