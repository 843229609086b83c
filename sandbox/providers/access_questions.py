# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients ask about access beside roles: their own permissions, deny assignments, policies, operations."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE, SUBSCRIPTION
from sandbox.providers.features import Features

NAMESPACE = "Microsoft.Authorization"
ASSIGNMENT = f"{NAMESPACE}/roleAssignments"
# Of these there are never any: nobody denies anything, and no policy is assigned.
NONE = ("denyAssignments", "policyExemptions", "eligibleChildResources", "roleAssignmentSchedules")


class Questions:
    """The handlers."""

    def __init__(self, core: Core, features: Features) -> None:
        self._core, self._features = core, features

    def permissions(self, request: Request) -> Answer:
        """What the caller may do at a scope. Who is not held to role assignments may do everything."""
        found = self._assigned(request.claims.get("oid", ""), ids.key(request.params["scope"]))
        everything: dict[str, list[str]] = {"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}
        bound = bool(request.claims.get("xms_mirid")) or self._core.store.setting("authorization") == "everybody"
        return Answer(200, {"value": found if bound else [everything]})

    def _assigned(self, principal: str, scope: str) -> list[dict[str, Any]]:
        roles, found = self._core.service("role_permissions", lambda _role: []), []
        for assignment in self._core.store.list(ASSIGNMENT):
            given = assignment.properties
            at = ids.key(given["scope"])
            if given["principalId"].lower() == principal.lower() and f"{scope}/".startswith(f"{at}/"):
                found += roles(given["roleDefinitionId"])
        return found

    def nothing(self, _request: Request) -> Answer:
        return Answer(200, {"value": []})

    def provider_operations(self, request: Request) -> Answer:
        """Operations of one provider, or of all, as roles name them."""
        wanted = request.params.get("namespace", "").lower()
        found = [
            self._described(name)
            for name in sorted({kind.split("/")[0] for kind in self._core.router.types.values()})
            if wanted in ("", name.lower())
        ]
        if wanted and found:
            return Answer(200, found[0])
        return Answer(200, {"value": found})

    def _described(self, namespace: str) -> dict[str, Any]:
        by_type: dict[str, list[dict[str, Any]]] = {}
        for action in self._features.actions(namespace):
            kind = "/".join(action.split("/")[1:-1])
            entry = {"name": action, "displayName": action, "description": action, "origin": "user,system"}
            by_type.setdefault(kind, []).append({**entry, "isDataAction": False})
        return {
            "id": f"/providers/{NAMESPACE}/providerOperations/{namespace}",
            "type": f"{NAMESPACE}/providerOperations",
            "name": namespace,
            "displayName": namespace,
            "operations": [],
            "resourceTypes": [
                {"name": kind, "displayName": kind, "operations": operations} for kind, operations in by_type.items()
            ],
        }


def register(core: Core) -> None:
    questions, add = Questions(core, Features(core)), core.router.add
    add("GET", f"{SCOPE}/providers/{NAMESPACE}/permissions", questions.permissions)
    for kind in NONE:
        add("GET", f"{SCOPE}/providers/{NAMESPACE}/{kind}", questions.nothing)
    add("GET", f"{SUBSCRIPTION}/providers/{NAMESPACE}/classicAdministrators", questions.nothing)
    add("GET", f"/providers/{NAMESPACE}/providerOperations", questions.provider_operations)
    add("GET", f"/providers/{NAMESPACE}/providerOperations/{{namespace}}", questions.provider_operations)
