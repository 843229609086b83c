# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving resources to another resource group: ``moveResources`` and ``validateMoveResources``.

Machines, and what they hang on, stay where they are: they are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style
from sandbox.arm.router import GROUP
from sandbox.arm.store import Resource

STYLE = Style("moves", "", result_segment="operationresults", times=False, retry=15, poll=15, done=204)
# What Azure does not move (identities, file systems), and what is more than its row here.
REFUSED = (
    "microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets",
    "microsoft.network/networkinterfaces", "microsoft.network/loadbalancers", "microsoft.network/virtualnetworks",
    "microsoft.managedidentity/userassignedidentities", "microsoft.storagecache/amlfilesystems",
)  # fmt: skip
SECONDS = 60.0


class Moves:
    """The actions and their work."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def move(self, request: Request) -> Answer:
        return self._begin(request, {"move": True})

    def validate(self, request: Request) -> Answer:
        return self._begin(request, {"move": False})

    def _begin(self, request: Request, args: dict[str, Any]) -> Answer:
        given = shapes.read(request.body or {}, {"resources": [str], "targetResourceGroup": str})
        named, target = given.get("resources") or [], given.get("targetResourceGroup") or ""
        with self._core.store.transaction():
            group = self._core.require_group(request.subscription, request.group)
            where = self._target(target, group)
            chosen = [self._movable(one, group) for one in named]
            if not chosen:
                raise ArmError(400, "MoveResourcesNotProvided", "No resources to move were given.", headers=GATEWAY)
            for resource in chosen:
                there = _moved(resource.id, group.id, where.id)
                if self._core.store.exists(there):
                    text = f"The resource '{there}' already exists in the target resource group."
                    raise ArmError(409, "ResourceMoveFailed", text, headers=GATEWAY)
            return self._core.operations.begin(
                request, "resources.move", group.id, style=STYLE, headers="location", latency=SECONDS,
                args={**args, "resources": [one.id for one in chosen], "from": group.id, "to": where.id},
            )  # fmt: skip

    def _target(self, target: str, source: Resource) -> Resource:
        try:
            rid = ids.parse(target)
        except ValueError:
            text = f"The target resource group '{target}' is not a valid resource group id."
            raise ArmError(400, "InvalidTargetResourceGroup", text, headers=GATEWAY) from None
        found = self._core.require_group(rid.subscription, rid.group)
        if ids.key(found.id) == ids.key(source.id):
            text = "The source and target resource group are the same."
            raise ArmError(400, "MoveSourceAndTargetAreSame", text, headers=GATEWAY)
        return found

    def _movable(self, resource_id: str, group: Resource) -> Resource:
        found = self._core.require(ids.parse(resource_id))
        if not ids.key(found.id).startswith(f"{ids.key(group.id)}/"):
            text = f"The resource '{resource_id}' is not in the resource group '{group.body['name']}'."
            raise ArmError(400, "ResourceNotInSourceResourceGroup", text, headers=GATEWAY)
        if found.rid.type.lower() in REFUSED or found.rid.parent is not None:
            text = f"Resource move is not supported for resource types '{found.rid.type}'."
            raise ArmError(400, "ResourceMoveNotSupported", text, headers=GATEWAY)
        if found.body.get("managedBy") or found.properties.get("ipConfiguration"):
            text = f"The resource '{found.id}' is in use by resources that are not moved with it."
            raise ArmError(409, "MissingMoveDependentResources", text, headers=GATEWAY)
        return found

    def work(self, run: Run) -> None:
        """Give what is moved, and all that refers to it, the new ids."""
        if not run.args["move"]:
            return
        with self._core.store.transaction():
            for old in run.args["resources"]:
                self._rename(old, _moved(old, run.args["from"], run.args["to"]))

    def _rename(self, old: str, new: str) -> None:
        pattern = re.compile(re.escape(old) + r'(?=["/])', re.IGNORECASE)
        for row in list(self._core.store.in_scope(ids.parse(old).subscription)):
            text = json.dumps([row.id, row.body, row.internal])
            changed = pattern.sub(lambda _match: new, text)
            if changed == text:
                continue
            row_id, body, internal = json.loads(changed)
            if row_id != row.id:
                self._core.store.delete(row.id, children=False)
            self._core.store.put(Resource(row_id, body, internal, row.sort))


def _moved(resource_id: str, source: str, target: str) -> str:
    return target + resource_id[len(source) :]


def register(core: Core) -> None:
    moves = Moves(core)
    core.operations.add_style(STYLE)
    core.operations.register("resources.move", moves.work)
    kind = "Microsoft.Resources/resourceGroups"
    core.router.add("POST", f"{GROUP}/moveResources", moves.move, type=kind)
    core.router.add("POST", f"{GROUP}/validateMoveResources", moves.validate, type=kind)
