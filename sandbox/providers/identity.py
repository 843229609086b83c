# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.ManagedIdentity: user-assigned identities, and the principals of system-assigned ones."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers import common

TYPE = "Microsoft.ManagedIdentity/userAssignedIdentities"


class Identities:
    """The provider; offered to others as ``identity``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def describe(self, identity_id: str) -> dict[str, str]:
        """principalId, clientId and tenantId of a user-assigned identity; 400 if there is none."""
        found = self._core.store.get(identity_id)
        if found is None:
            rid = ids.parse(identity_id)
            message = (
                f"The Resource '{rid.type_and_name}' under resource group '{rid.group}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            raise ArmError(
                404, "FailedIdentityOperation", f"Identity operation for resource failed with error '{message}'."
            )
        return {key: found.properties[key] for key in ("principalId", "clientId", "tenantId")}

    def system(self, resource_id: str) -> dict[str, str]:
        """The identity that a resource has of its own: derived from its id, so that it stays the same."""
        seed = ids.key(resource_id)
        return {
            "principalId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"principal:{seed}")),
            "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"client:{seed}")),
            "tenantId": self._core.settings.tenant,
        }

    def put(self, request: Request) -> Answer:
        store = self._core.store
        request.body = shapes.read(request.body, {"location": str})
        with store.transaction():
            known = store.get(request.id)
            resource = known or self._new(request.id)
            resource.body["location"] = common.region(request, known)
            resource.body["tags"] = common.tags(request.body) or {}
            store.put(resource)
        return Answer(200 if known else 201, resource.body, {} if known else {"Location": request.path})

    def _new(self, rid: ids.ResourceId) -> Resource:
        properties: dict[str, Any] = {
            "tenantId": self._core.settings.tenant,
            "principalId": new_guid(),
            "clientId": new_guid(),
        }
        # This provider writes the group segment of its ids in lower case.
        shown = str(rid).replace("/resourceGroups/", "/resourcegroups/", 1)
        return Resource(str(rid), {"id": shown, "name": rid.name, "type": TYPE, "properties": properties})

    def patch(self, request: Request) -> Answer:
        def change(resource: Resource) -> None:
            if "tags" in request.body:
                resource.body["tags"] = common.tags(request.body) or {}

        self._core.require(request.id)
        changed = self._core.store.update(request.id, change)
        return Answer(200, changed.body if changed else None)

    def associated(self, request: Request) -> Answer:
        """Resources that use the identity."""
        wanted, found = ids.key(self._core.require(request.id).id), []
        for resource in self._core.store.in_scope(request.subscription):
            used = (resource.body.get("identity") or {}).get("userAssignedIdentities") or {}
            if wanted in (ids.key(name) for name in used):
                rid = resource.rid
                entry = {"id": resource.id, "name": rid.name, "type": rid.type.lower(), "resourceGroup": rid.group}
                found.append({**entry, "subscriptionId": rid.subscription, "subscriptionDisplayName": "sandbox"})
        return Answer(200, {"totalCount": len(found), "value": found})


def register(core: Core) -> None:
    identities = Identities(core)
    core.offer("identity", identities)
    core.router.resource(
        TYPE,
        get=core.get_handler,
        put=identities.put,
        patch=identities.patch,
        delete=core.delete_handler,
        list=core.list_handler,
        list_all=core.list_handler,
    )
    core.router.action(TYPE, "listAssociatedResources", identities.associated)
