# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy definitions, sets of them, and assignments: kept, and not enforced. There are no built-in definitions."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import stamp
from sandbox.arm.router import SCOPE
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.at_scope import AtScope

NAMESPACE = "Microsoft.Authorization"
ASSIGNMENTS = "policyAssignments"
# What is missing if it is not there, as errors say it.
KINDS = {
    "policyDefinitions": "Policy definition",
    "policySetDefinitions": "Policy set definition",
    ASSIGNMENTS: "Policy assignment",
}
SHAPE = {"location": str, "identity": dict, "properties": dict}


class Policies(AtScope):
    """One of the three kinds, at any scope."""

    def __init__(self, core: Core, kind: str) -> None:
        super().__init__(core, f"{NAMESPACE}/{kind}")
        self._kind = kind

    def put(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, SHAPE)
        scope, name = request.params["scope"], request.params["name"]
        self._core.require_scope(scope)
        with self._core.store.transaction():
            known = self._find(request)
            policy = known or Resource(self._id(request), {})
            given = request.body.get("properties") or {}
            properties = {**self._defaults(given, scope), **given, "metadata": _metadata(request, known, given)}
            before = policy.body.get("identity") or {}
            policy.body = {"properties": properties, "id": policy.id, "type": self._type, "name": name}
            if self._kind == ASSIGNMENTS:
                policy.body |= self._place(request, before)
            self._core.store.put(policy)
        return Answer(201, policy.body)

    def _defaults(self, given: dict[str, Any], scope: str) -> dict[str, Any]:
        if self._kind == ASSIGNMENTS:
            if not given.get("policyDefinitionId"):
                text = "The policy assignment has no policyDefinitionId."
                raise ArmError(400, "InvalidPolicyAssignment", text)
            return {"scope": scope, "enforcementMode": "Default"}
        return {"policyType": "Custom", **({"mode": "Indexed"} if self._kind == "policyDefinitions" else {})}

    def _place(self, request: Request, before: dict[str, Any]) -> dict[str, Any]:
        """Location and identity; who had none of its own ``before`` gets another one than it may have had earlier."""
        place: dict[str, Any] = {}
        if request.body.get("location"):
            place["location"] = str(request.body["location"]).replace(" ", "").lower()
        identity = request.body.get("identity")
        if identity and identity.get("type") == "SystemAssigned":
            principal = before.get("principalId") or new_guid()
            identity = {"principalId": principal, "tenantId": self._core.settings.tenant, **identity}
        return {**place, **({"identity": identity} if identity else {})}

    def get(self, request: Request) -> Answer:
        code = f"{self._kind[0].upper()}{self._kind[1:-1]}NotFound"
        text = f"The {KINDS[self._kind].lower()} '{request.params['name']}' could not be found."
        return self._shown(request, ArmError(404, code, text))

    def delete(self, request: Request) -> Answer:
        found = self._removed(request)
        return Answer(200, found.body) if found else Answer(204)

    def list(self, request: Request) -> Answer:
        """Those at the scope, and of assignments those above and below it, too."""
        scope, found = ids.key(request.params["scope"]), []
        for policy in self._core.store.list(self._type):
            at = ids.key(policy.id).rpartition(f"/providers/{self._type.lower()}/")[0]
            near = self._kind == ASSIGNMENTS and (at.startswith(f"{scope}/") or scope.startswith(f"{at}/"))
            if at == scope or near:
                found.append(policy.body)
        return Answer(200, {"value": found})


def _metadata(request: Request, known: Resource | None, given: dict[str, Any]) -> dict[str, Any]:
    now, who = stamp(clock.now()), request.claims.get("oid")
    before = (known.properties["metadata"] if known else None) or {"createdBy": who, "createdOn": now}
    first = {key: before[key] for key in ("createdBy", "createdOn")}
    changed = {"updatedBy": who, "updatedOn": now} if known else {"updatedBy": None, "updatedOn": None}
    return {**(given.get("metadata") or {}), **first, **changed}


def register(core: Core) -> None:
    for kind in KINDS:
        policies, type = Policies(core, kind), f"{NAMESPACE}/{kind}"
        collection = f"{SCOPE}/providers/{type}"
        core.router.add("GET", collection, policies.list, type=type)
        for method in ("get", "put", "delete"):
            core.router.add(method.upper(), f"{collection}/{{name}}", getattr(policies, method), type=type)
