# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Authorization: role definitions and role assignments.

They are kept and answered for here; ``sandbox.arm.access`` enforces them.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import stamp
from sandbox.arm.router import SCOPE
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.at_scope import AtScope
from sandbox.providers.built_in_roles import BUILT_IN

NAMESPACE = "Microsoft.Authorization"
ASSIGNMENT, DEFINITION = f"{NAMESPACE}/roleAssignments", f"{NAMESPACE}/roleDefinitions"
PERMISSIONS = ("actions", "notActions", "dataActions", "notDataActions")
ROLE_SHAPE = {
    "roleName": str,
    "description": str,
    "assignableScopes": [str],
    "permissions": [{key: [str] for key in PERMISSIONS}],
}
ASSIGNMENT_SHAPE = {"roleDefinitionId": str, "principalId": str, "principalType": str, "condition": str}


class Authorization(AtScope):
    """The provider: definitions of roles, and what hangs on scopes, their assignments."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, ASSIGNMENT)

    # definitions

    def permissions(self, role_id: str) -> list[dict[str, Any]]:
        """The permissions of a role definition, none if there is no such role; offered as ``role_permissions``."""
        name = role_id.rpartition("/")[2].lower()
        parts = role_id.strip("/").split("/")
        for body in self._definitions(parts[1] if parts[0].lower() == "subscriptions" else ""):
            if body["name"].lower() == name:
                found: list[dict[str, Any]] = body["properties"]["permissions"]
                return found
        return []

    def _definitions(self, subscription: str) -> list[dict[str, Any]]:
        custom = [role.body for role in self._core.store.list(DEFINITION, subscription=subscription)]
        return [_built_in(subscription, name) for name in BUILT_IN] + custom

    def list_definitions(self, request: Request) -> Answer:
        wanted = re.search(r"roleName\s+eq\s+'([^']*)'", request.query.get("$filter", ""), re.IGNORECASE)
        kind = re.search(r"type\s+eq\s+'([^']*)'", request.query.get("$filter", ""), re.IGNORECASE)
        found = self._definitions(_subscription(request))
        if wanted:
            found = [b for b in found if b["properties"]["roleName"].lower() == wanted[1].lower()]
        if kind:
            found = [b for b in found if b["properties"]["type"].lower() == kind[1].lower()]
        return Answer(200, {"value": found})

    def get_definition(self, request: Request) -> Answer:
        name = request.params["name"].lower()
        for body in self._definitions(_subscription(request)):
            if body["name"].lower() == name:
                return Answer(200, body)
        text = f"The specified role definition with ID '{name.replace('-', '')}' does not exist."
        raise ArmError(404, "RoleDefinitionDoesNotExist", text)

    def put_definition(self, request: Request) -> Answer:
        subscription, name = _subscription(request), request.params["name"]
        given = shapes.read(request.body, {"properties": ROLE_SHAPE}).get("properties") or {}
        if any(entry[0] == name.lower() for entry in BUILT_IN.values()):
            raise ArmError(403, "RoleDefinitionIsBuiltIn", "Built-in roles cannot be changed.")
        role_id = f"/subscriptions/{subscription}/providers/{DEFINITION}/{name}"
        now, by = stamp(clock.now()), request.claims.get("oid")
        known = self._core.store.get(role_id)
        before = known.properties if known else {}
        properties = {
            "roleName": given.get("roleName", name),
            "type": "CustomRole",
            "description": given.get("description", ""),
            "assignableScopes": given.get("assignableScopes") or [f"/subscriptions/{subscription}"],
            "permissions": [
                {key: entry.get(key) or [] for key in PERMISSIONS} for entry in given.get("permissions") or []
            ],
            "createdOn": before.get("createdOn", now),
            "updatedOn": now,
            "createdBy": before.get("createdBy", by),
            "updatedBy": by,
        }
        role = Resource(role_id, {"properties": properties, "id": role_id, "type": DEFINITION, "name": name})
        self._core.store.put(role)
        return Answer(201, {**role.body, "properties": {**properties, "createdBy": None}})

    def delete_definition(self, request: Request) -> Answer:
        role_id = f"/subscriptions/{_subscription(request)}/providers/{DEFINITION}/{request.params['name']}"
        known = self._core.store.get(role_id)
        if known is None:
            return Answer(204)
        self._core.store.delete(role_id)
        return Answer(200, known.body)

    # assignments

    def put_assignment(self, request: Request) -> Answer:
        store, scope, name = self._core.store, request.params["scope"], request.params["name"]
        given = shapes.read(request.body, {"properties": ASSIGNMENT_SHAPE}).get("properties") or {}
        role_id, principal = given.get("roleDefinitionId"), given.get("principalId")
        if not role_id or not principal:
            text = "The request has missing or invalid properties: roleDefinitionId and principalId are required."
            raise ArmError(400, "InvalidRequestContent", text)
        self._require_scope(scope)
        kind = given.get("principalType") or self._kind_of(principal)
        assignment_id = self._id(request)
        with store.transaction():
            known = store.get(assignment_id)
            self._refuse_conflict(known, assignment_id, scope, role_id, principal)
            now, by = stamp(clock.now()), request.claims.get("oid")
            properties = {
                "roleDefinitionId": role_id,
                "principalId": principal,
                "principalType": kind,
                "scope": scope,
                "condition": given.get("condition"),
                "conditionVersion": given.get("conditionVersion"),
                "createdOn": known.properties["createdOn"] if known else now,
                "updatedOn": now,
                "createdBy": by,
                "updatedBy": by,
                "delegatedManagedIdentityResourceId": given.get("delegatedManagedIdentityResourceId"),
                "description": given.get("description"),
            }
            body = {"properties": properties, "id": assignment_id, "type": ASSIGNMENT, "name": name}
            store.put(Resource(assignment_id, body))
        return Answer(201, {**body, "properties": {**properties, "createdBy": None}})

    def _require_scope(self, scope: str) -> None:
        """404 if the assignment would hang on a resource or group that is not there."""
        if len(scope.strip("/").split("/")) > 2:
            rid = ids.parse(scope)
            if rid.types == ("resourceGroups",):
                self._core.require_group(rid.subscription, rid.group)
            elif not self._core.store.exists(rid) and rid.parent is None:
                self._core.require(rid)

    def _kind_of(self, principal: str) -> str:
        """ServicePrincipal for a principal that exists; 400 PrincipalNotFound for others."""
        settings = self._core.settings
        known = principal.lower() in (settings.client_object, settings.client)
        pattern = f'%"principalId": "{uuid.UUID(principal)}"%' if _is_guid(principal) else ""
        if not known and pattern:
            row = (
                self._core.store.db()
                .execute("SELECT 1 FROM resources WHERE body LIKE ? LIMIT 1", (pattern,))
                .fetchone()
            )
            known = row is not None
        if not known:
            text = (
                f"Principal {principal.replace('-', '')} does not exist in the directory {settings.tenant}. Check "
                "that you "
                "have the correct principal ID. If you are creating this principal and then immediately assigning a "
                "role, this error might be related to a replication delay. In this case, set the role assignment "
                "principalType property to a value, such as ServicePrincipal, User, or Group.  "
                "See https://aka.ms/docs-principaltype"
            )
            raise ArmError(400, "PrincipalNotFound", text)
        return "ServicePrincipal"

    def _refuse_conflict(
        self, known: Resource | None, assignment_id: str, scope: str, role_id: str, principal: str
    ) -> None:
        wanted = (ids.key(scope), role_id.rpartition("/")[2].lower(), principal.lower())
        if known is not None and _triple(known) != wanted:
            text = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            raise ArmError(400, "RoleAssignmentUpdateNotPermitted", text)
        for other in self._core.store.list(ASSIGNMENT):
            if _triple(other) == wanted and ids.key(other.id) != ids.key(assignment_id):
                text = (
                    f"The role assignment already exists. The ID of the existing role assignment is {other.rid.name}."
                )
                raise ArmError(409, "RoleAssignmentExists", text)

    def get_assignment(self, request: Request) -> Answer:
        text = f"The role assignment '{request.params['name']}' is not found."
        return self._shown(request, ArmError(404, "RoleAssignmentNotFound", text))

    def delete_assignment(self, request: Request) -> Answer:
        found = self._removed(request)
        return Answer(200, found.body) if found else Answer(204)

    def list_assignments(self, request: Request) -> Answer:
        """At the scope and above it; without ``atScope()`` also below it."""
        scope, text = ids.key(request.params["scope"]), request.query.get("$filter", "")
        principal = re.search(r"(?:principalId\s+eq\s+|assignedTo\()'([^']*)'", text, re.IGNORECASE)
        below = "atscope()" not in text.lower()
        found = []
        for assignment in self._core.store.list(ASSIGNMENT):
            at = ids.key(assignment.properties["scope"])
            related = scope == at or scope.startswith(at + "/") or (below and at.startswith(scope + "/"))
            if related and (not principal or assignment.properties["principalId"].lower() == principal[1].lower()):
                found.append(assignment.body)
        return Answer(200, {"value": found})


def _built_in(subscription: str, name: str) -> dict[str, Any]:
    role, description, actions, excluded, data = BUILT_IN[name]
    permissions = {"actions": actions, "notActions": excluded, "dataActions": data, "notDataActions": []}
    return {
        "properties": {
            "roleName": name,
            "type": "BuiltInRole",
            "description": description,
            "assignableScopes": ["/"],
            "permissions": [permissions],
            "createdOn": "2015-02-02T21:55:09.8806423Z",
            "updatedOn": "2021-11-11T20:13:47.8628684Z",
            "createdBy": None,
            "updatedBy": None,
        },
        "id": f"/subscriptions/{subscription}/providers/{DEFINITION}/{role}"
        if subscription
        else f"/providers/{DEFINITION}/{role}",
        "type": DEFINITION,
        "name": role,
    }


def _subscription(request: Request) -> str:
    parts = request.params["scope"].strip("/").split("/")
    return parts[1] if len(parts) > 1 and parts[0].lower() == "subscriptions" else ""


def _triple(assignment: Resource) -> tuple[str, str, str]:
    given = assignment.properties
    role = given["roleDefinitionId"].rpartition("/")[2].lower()
    return ids.key(given["scope"]), role, given["principalId"].lower()


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def register(core: Core) -> None:
    provider, add = Authorization(core), core.router.add
    core.offer("role_permissions", provider.permissions)
    for kind, type_, single in (
        ("roleDefinitions", DEFINITION, "definition"),
        ("roleAssignments", ASSIGNMENT, "assignment"),
    ):
        collection = f"{SCOPE}/providers/{NAMESPACE}/{kind}"
        add("GET", collection, getattr(provider, f"list_{single}s"), type=type_)
        for method in ("get", "put", "delete"):
            add(method.upper(), f"{collection}/{{name}}", getattr(provider, f"{method}_{single}"), type=type_)
