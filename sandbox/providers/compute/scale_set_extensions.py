# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of scale sets as resources: they live in the model, and writing one is an update of the scale set."""

from __future__ import annotations

from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import resource_not_found
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource

from .extensions import HIDDEN
from .limits import VMSS
from .scale_sets import ScaleSets
from .shapes import Json, merge, refuse_while_deleting, tidy

EXTENSION = f"{VMSS}/extensions"


class ScaleSetExtensions:
    """Handlers of reads and writes."""

    def __init__(self, core: Core, sets: ScaleSets) -> None:
        self._core, self._sets = core, sets

    def register(self) -> None:
        self._core.router.resource(
            EXTENSION,
            get=self.get,
            put=partial(self.write, True),
            patch=partial(self.write, False),
            delete=self.delete,
            list=self.list_,
        )

    def _owner(self, request: Request, verb: str) -> Resource:
        owner = self._core.require_parent(request.id, verb)
        if owner is None:
            raise resource_not_found(request.id.type_and_name, request.group)
        return owner

    def get(self, request: Request) -> Answer:
        owner = self._owner(request, "read")
        found = _find(owner, request.id.name)
        if found is None:
            raise resource_not_found(request.id.type_and_name, request.group)
        return Answer(200, _shown(owner, found, "Succeeded"))

    def list_(self, request: Request) -> Answer:
        owner = self._core.require(request.id)
        return Answer(200, {"value": [_shown(owner, entry, "Succeeded") for entry in _entries(owner)]})

    def write(self, replace: bool, request: Request) -> Answer:
        given = tidy(request.body).get("properties") or {}
        asked = {key: value for key, value in given.items() if key not in HIDDEN}
        with self._core.store.transaction():
            owner = self._owner(request, "write")
            refuse_while_deleting(owner.body)
            known = _find(owner, request.id.name)
            if known is None and not replace:
                raise resource_not_found(request.id.type_and_name, request.group)
            before = {} if known is None or replace else known["properties"]
            entry = {"name": known["name"] if known else request.id.name, "properties": merge(before, asked)}
            others = [one for one in _entries(owner) if one is not known]
            answer = self._change(request, owner, [*others, entry])
            shown = _shown(owner, entry, "Updating" if known else "Creating")
            return Answer(200 if known else 201, shown, answer.headers)

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            self._core.require_group(request.subscription, request.group)
            owner = self._core.require_parent(request.id)
            known = _find(owner, request.id.name) if owner else None
            if owner is None or known is None:
                return Answer(204)
            refuse_while_deleting(owner.body)
            answer = self._change(request, owner, [one for one in _entries(owner) if one is not known])
            return Answer(202, None, answer.headers)

    def _change(self, request: Request, owner: Resource, extensions: list[Json]) -> Answer:
        profile = {"extensionProfile": {"extensions": extensions}}
        return self._sets.change(request, owner, {"properties": {"virtualMachineProfile": profile}})


def _entries(owner: Resource) -> list[Json]:
    profile = owner.properties.get("virtualMachineProfile") or {}
    found: list[Json] = (profile.get("extensionProfile") or {}).get("extensions") or []
    return found


def _find(owner: Resource, name: str) -> Json | None:
    return next((entry for entry in _entries(owner) if entry["name"].lower() == name.lower()), None)


def _shown(owner: Resource, entry: Json, state: str) -> Json:
    return {
        "name": entry["name"],
        "id": f"{owner.id}/extensions/{entry['name']}",
        "type": EXTENSION,
        "properties": {"autoUpgradeMinorVersion": False, **entry["properties"], "provisioningState": state},
    }
