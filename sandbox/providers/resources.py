# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Resources: subscriptions, regions, providers, resource groups, and lists over all types."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sandbox.arm import ids, paging, shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError, group_not_found
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import GROUPS, Run
from sandbox.arm.router import GROUP, SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.state import SUBSCRIPTION as DEFAULT_SUBSCRIPTION

TYPE = "Microsoft.Resources/resourceGroups"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
PAGE = 1000
DELETE_SECONDS = 30.0


class Groups:
    """Resource groups."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def put(self, request: Request) -> Answer:
        name, store = request.group, self._core.store
        check_subscription(request)
        request.body = shapes.read(request.body, {"location": str, "managedBy": str})
        with store.transaction():
            known = store.get(request.id)
            if known is not None:
                self._refuse_while_deleting(known)
            location = _group_region(request, known)
            body = {"id": str(request.id), "name": name, "type": TYPE, "location": location}
            if known is not None:
                body |= {"id": known.body["id"], "name": known.body["name"]}
            if request.body.get("managedBy"):
                body["managedBy"] = request.body["managedBy"]
            group = known or Resource(str(request.id), {})
            found = common.tags(request.body)
            group.body = {**body, **({} if found is None else {"tags": found})}
            group.properties["provisioningState"] = "Succeeded"
            store.put(group)
        return Answer(200 if known else 201, group.body)

    def _refuse_while_deleting(self, group: Resource) -> None:
        if group.properties["provisioningState"] == "Deleting":
            name = group.body["name"]
            message = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
            raise ArmError(409, "ResourceGroupBeingDeleted", message, headers=GATEWAY)

    def get(self, request: Request) -> Answer:
        return Answer(200, self._core.require_group(request.subscription, request.group).body)

    def head(self, request: Request) -> Answer:
        return Answer(204 if self._core.store.exists(request.id) else 404)

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            group = self._core.require_group(request.subscription, request.group)
            self._refuse_while_deleting(group)
            found = common.tags(request.body)
            if found is not None:
                group.body["tags"] = found
            self._core.store.put(group)
        return Answer(200, group.body)

    def list(self, request: Request) -> Answer:
        check_subscription(request)
        groups = [group.body for group in self._core.store.list(TYPE, subscription=request.subscription)]
        test = resource_filter(request.query.get("$filter", ""))
        groups = [body for body in groups if test(body)]
        top = request.query.get("$top", "")
        if top.isdigit():
            groups = groups[: int(top)]
        return paging.paged(request, lambda offset, limit: groups[offset : offset + limit], PAGE)

    def delete(self, request: Request) -> Answer:
        store = self._core.store
        with store.transaction():
            group = store.get(request.id)
            if group is None:
                raise group_not_found(request.group)
            running = self._core.operations.active(group.id)
            if running:
                return self._core.operations.rejoin(request, running[0], headers="location")
            group.properties["provisioningState"] = "Deleting"
            store.put(group)
            return self._core.operations.begin(
                request, "resources.delete_group", group.id, style=GROUPS, headers="location", latency=DELETE_SECONDS
            )

    def delete_work(self, run: Run) -> None:
        """Delete what is in the group in the order that dependencies ask for, then the group."""
        core, rid = self._core, ids.parse(run.resource_id)
        try:
            found = [r for r in core.store.in_scope(rid.subscription, rid.group) if r.rid.parent is None]
            for resource in sorted(found, key=lambda r: core.deleter(r.rid.type)[0]):
                core.deleter(resource.rid.type)[1](resource)
            with core.store.transaction():
                # Children of what was deleted meanwhile, and anything that was put during the deletion.
                for resource in core.store.in_scope(rid.subscription, rid.group):
                    core.store.delete(resource.id)
                core.store.delete(run.resource_id)
        except ArmError as error:
            message = (
                f"Deletion of resource group '{rid.group}' failed as resources could not be deleted: {error.message}"
            )
            raise ArmError(409, "ResourceGroupDeletionBlocked", message, details=[error.error()]) from error


def _group_region(request: Request, known: Resource | None) -> str:
    """A group's region: as for any resource, with the group's own words for a change."""
    given = request.body.get("location")
    if known is not None and isinstance(given, str) and common.normal(given) != known.body["location"]:
        message = (
            f"Invalid resource group location '{given}'. The Resource group already exists in location "
            f"'{known.body['location']}'."
        )
        raise ArmError(409, "InvalidResourceGroupLocation", message, headers=GATEWAY)
    return common.region(request, known)


def check_subscription(request: Request) -> None:
    """Any GUID is a subscription here; anything else is refused as Azure does."""
    if not GUID.fullmatch(request.subscription):
        message = f"The provided subscription identifier '{request.subscription}' is malformed or invalid."
        raise ArmError(400, "InvalidSubscriptionId", message, headers=GATEWAY)


CLAUSE = re.compile(
    r"(?:substringof\('(?P<part>[^']*)',\s*(?P<of>\w+)\)|startswith\((?P<field2>\w+),\s*'(?P<prefix>[^']*)'\)"
    r"|(?P<field>\w+)\s+(?P<op>eq|ne)\s+'(?P<value>(?:[^']|'')*)')",
    re.IGNORECASE,
)


def resource_filter(text: str) -> Any:
    """The ``$filter`` of resource lists as a function of a body: clauses joined by ``and``, or by ``or``.

    Fields: resourceType, name, location, resourceGroup, tagName with tagValue. 400 InvalidFilterInQueryString
    otherwise.
    """
    if not text.strip():
        return lambda body: True
    pieces = re.split(r"\s+(and|or)\s+", text.strip(), flags=re.IGNORECASE)
    words = {word.lower() for word in pieces[1::2]}
    clauses = [
        CLAUSE.fullmatch(piece.strip("() ") + (")" if "(" in piece.strip("() ") else "")) for piece in pieces[::2]
    ]
    if not all(clauses) or len(words) > 1:
        message = f"Invalid $filter '{text}' specified in the query string."
        raise ArmError(400, "InvalidFilterInQueryString", message, headers=GATEWAY)
    tests = [_clause(clause, text) for clause in clauses if clause]
    return (lambda body: any(t(body) for t in tests)) if "or" in words else (lambda body: all(t(body) for t in tests))


def _clause(clause: re.Match[str], text: str) -> Any:
    if clause["part"] is not None:
        return lambda body: clause["part"].lower() in _field(body, clause["of"]).lower()
    if clause["prefix"] is not None:
        return lambda body: _field(body, clause["field2"]).lower().startswith(clause["prefix"].lower())
    field, value = clause["field"].lower(), clause["value"].replace("''", "'")
    wanted = clause["op"].lower() == "eq"
    if field == "tagname":
        return lambda body: (value.lower() in {k.lower() for k in body.get("tags") or {}}) is wanted
    if field == "tagvalue":
        name = re.search(r"tagname\s+eq\s+'([^']*)'", text, re.IGNORECASE)
        tag = name[1].lower() if name else ""
        return lambda body: (
            any(v == value for k, v in (body.get("tags") or {}).items() if not tag or k.lower() == tag) is wanted
        )
    if field == "location":
        value = common.normal(value)
    return lambda body: (_field(body, field).lower() == value.lower()) is wanted


def _field(body: dict[str, Any], field: str) -> str:
    if field.lower() == "resourcetype":
        return str(body.get("type", ""))
    if field.lower() == "resourcegroup":
        return ids.parse(body["id"]).group
    lowered = {key.lower(): value for key, value in body.items()}
    return str(lowered.get(field.lower(), ""))


class Listings:
    """Lists over all types, subscriptions, regions, providers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def resources(self, request: Request) -> Answer:
        """Top-level resources of a subscription or a group."""
        if request.group:
            self._core.require_group(request.subscription, request.group)
        expand = {part.strip().lower() for part in request.query.get("$expand", "").split(",")}
        test = resource_filter(request.query.get("$filter", ""))
        found = []
        for resource in self._core.store.in_scope(request.subscription, request.group or None):
            if resource.rid.parent is None and resource.body.get("location"):
                body = _entry(resource, expand)
                if test(body):
                    found.append(body)
        top = request.query.get("$top", "")
        size = int(top) if top.isdigit() and int(top) else PAGE
        return paging.paged(request, lambda offset, limit: found[offset : offset + limit], size)

    def subscriptions(self, request: Request) -> Answer:
        body = {"value": [self._subscription(DEFAULT_SUBSCRIPTION)], "count": {"type": "Total", "value": 1}}
        return Answer(200, body)

    def subscription(self, request: Request) -> Answer:
        check_subscription(request)
        return Answer(200, self._subscription(request.subscription))

    def _subscription(self, name: str) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{name}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "tags": {},
            "subscriptionId": name,
            "tenantId": self._core.settings.tenant,
            "displayName": "Sandbox",
            "state": "Enabled",
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    def tenants(self, request: Request) -> Answer:
        tenant = self._core.settings.tenant
        return Answer(200, {"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant, "tenantCategory": "Home"}]})

    def locations(self, request: Request) -> Answer:
        check_subscription(request)
        return Answer(200, {"value": [_region(request.subscription, region) for region in common.REGIONS]})

    def providers(self, request: Request) -> Answer:
        names = sorted({type.split("/")[0] for type in self._core.router.types.values()})
        return Answer(200, {"value": [self._provider(request.subscription, name) for name in names]})

    def provider(self, request: Request) -> Answer:
        wanted = request.params["namespace"].lower()
        for name in {type.split("/")[0] for type in self._core.router.types.values()}:
            if name.lower() == wanted:
                return Answer(200, self._provider(request.subscription, name))
        message = f"The resource namespace '{request.params['namespace']}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", message, headers=GATEWAY)

    def _provider(self, subscription: str, name: str) -> dict[str, Any]:
        prefix = f"/subscriptions/{subscription}" if subscription else ""
        types = sorted(t for t in set(self._core.router.types.values()) if t.split("/")[0] == name)
        places = [region.display for region in common.REGIONS]
        return {
            "id": f"{prefix}/providers/{name}",
            "namespace": name,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [
                {
                    "resourceType": type.partition("/")[2],
                    "locations": places,
                    "apiVersions": API_VERSIONS,
                    "defaultApiVersion": API_VERSIONS[0],
                    "capabilities": "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SupportsTags",
                }
                for type in types
            ],
        }


# What the sandbox names when asked; it answers to any.
API_VERSIONS = [
    "2026-04-01",
    "2026-03-01",
    "2025-04-01",
    "2024-11-30",
    "2024-07-01",
    "2023-09-01",
    "2022-04-01",
    "2021-07-01",
]


def _entry(resource: Resource, expand: set[str]) -> dict[str, Any]:
    keys = ("id", "name", "type", "kind", "location", "tags", "sku", "identity", "zones", "managedBy", "plan")
    body = {key: resource.body[key] for key in keys if key in resource.body}
    for name, seconds in (("createdTime", resource.created), ("changedTime", resource.changed)):
        if name.lower() in expand:
            body[name] = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
    if "provisioningstate" in expand:
        body["provisioningState"] = resource.properties.get("provisioningState", "Succeeded")
    return body


def _region(subscription: str, region: common.Region) -> dict[str, Any]:
    prefix = f"/subscriptions/{subscription}/locations"
    body: dict[str, Any] = {
        "id": f"{prefix}/{region.name}",
        "name": region.name,
        "type": "Region",
        "displayName": region.display,
        "regionalDisplayName": region.regional_display,
        "metadata": {
            "regionType": "Physical",
            "regionCategory": "Recommended" if region.zones else "Other",
            "geographyGroup": region.group,
            "longitude": region.longitude,
            "latitude": region.latitude,
            "physicalLocation": region.place,
            "pairedRegion": [{"name": region.pair, "id": f"{prefix}/{region.pair}"}] if region.pair else [],
        },
    }
    if region.zones:
        body["availabilityZoneMappings"] = [
            {"logicalZone": str(zone), "physicalZone": f"{region.name}-az{zone}"} for zone in (1, 2, 3)
        ]
    return body


def register(core: Core) -> None:
    groups, listings, add = Groups(core), Listings(core), core.router.add
    for method in ("put", "get", "head", "patch", "delete"):
        add(method.upper(), GROUP, getattr(groups, method), type=TYPE, kind="resource")
    add("GET", f"{SUBSCRIPTION}/resourceGroups", groups.list, type=TYPE, kind="list")
    core.operations.register("resources.delete_group", groups.delete_work)
    add("GET", f"{GROUP}/resources", listings.resources, type="Microsoft.Resources/resources", kind="list")
    add("GET", f"{SUBSCRIPTION}/resources", listings.resources, type="Microsoft.Resources/resources", kind="list")
    add("GET", "/subscriptions", listings.subscriptions, type="Microsoft.Resources/subscriptions", kind="list")
    add("GET", SUBSCRIPTION, listings.subscription, type="Microsoft.Resources/subscriptions")
    add("GET", f"{SUBSCRIPTION}/locations", listings.locations, type="Microsoft.Resources/locations", kind="list")
    add("GET", "/tenants", listings.tenants, type="Microsoft.Resources/tenants", kind="list")
    for scope in (SUBSCRIPTION, ""):
        add("GET", f"{scope}/providers", listings.providers, type="Microsoft.Resources/providers", kind="list")
        add("GET", f"{scope}/providers/{{namespace}}", listings.provider, type="Microsoft.Resources/providers")
    for verb in ("register", "unregister"):
        add(
            "POST",
            f"{SUBSCRIPTION}/providers/{{namespace}}/{verb}",
            listings.provider,
            type="Microsoft.Resources/providers",
        )
