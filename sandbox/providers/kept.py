# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources that are kept as they are given, and do nothing: the handlers that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sandbox.arm import shapes
from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers import common


class Kept(ABC):
    """One resource type (also a nested one), answered at once. ``created`` is the status of a first PUT.

    ``placed`` says where it lives: "region" (it has a location and tags), "global" (the same, with that location by
    default), or "" (a child, which has neither).
    """

    def __init__(self, core: Core, kind: str, created: int = 201, placed: str = "") -> None:
        self._core = core
        self._kind = kind
        self._created = created
        self._placed = placed

    @abstractmethod
    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        """The properties as they are kept. Raises ArmError."""

    def put(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"location": str, "properties": dict})
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id)
            resource = known or Resource(str(request.id), {})
            body: dict[str, Any] = {"id": resource.id, "name": resource.rid.name, "type": self._kind}
            body |= self._place(request, known)
            body["properties"] = self.shape(request.body.get("properties") or {}, known)
            resource.body = body
            self._core.store.put(resource)
        return Answer(200 if known else self._created, resource.body)

    def _place(self, request: Request, known: Resource | None) -> dict[str, Any]:
        if not self._placed:
            return {}
        where = str(request.body.get("location") or "global").lower()
        place: dict[str, Any] = {"location": where if self._placed == "global" else common.region(request, known)}
        found = common.tags(request.body)
        if found is not None:
            place["tags"] = found
        for key in ("zones", "sku", "identity", "kind"):
            if request.body.get(key):
                place[key] = request.body[key]
        return place

    def patch(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, {"properties": dict})
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            found = common.tags(request.body)
            if found is not None:
                resource.body["tags"] = found
            merged = {**resource.properties, **(request.body.get("properties") or {})}
            resource.body["properties"] = self.shape(merged, resource)
            self._core.store.put(resource)
        return Answer(200, resource.body)

    def delete(self, request: Request) -> Answer:
        return self._core.delete_handler(request)

    def routes(self) -> None:
        listed = self._core.list_handler
        self._core.router.resource(
            self._kind,
            get=self._core.get_handler,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=listed,
            list_all=listed if self._placed else None,
        )


class Plain(Kept):
    """A type whose properties are the given ones over defaults."""

    def __init__(
        self, core: Core, kind: str, defaults: dict[str, Any] | None = None, *, created: int = 201, placed: str = ""
    ) -> None:
        super().__init__(core, kind, created, placed)
        self._defaults = defaults or {}

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        return {**self._defaults, **given}
