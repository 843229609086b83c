# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core: what every provider is given. See the package's docstring for how to write one."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.arm import ids
from sandbox.arm.errors import ArmError, group_not_found, resource_not_found
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Operations
from sandbox.arm.router import Route, Router
from sandbox.arm.store import Resource, Store
from sandbox.clock import clock
from sandbox.faults import Faults

if TYPE_CHECKING:
    from sandbox.machines import Driver

Deleter = Callable[[Resource], None]


@dataclass(frozen=True)
class Settings:
    """What is fixed while a server runs. ``time_scale``: 1 realistic latencies, 0 none."""

    state: Path
    time_scale: float = 1.0
    driver: str = "record"
    tenant: str = "00000000-0000-4000-8000-00000000007e"
    client: str = "00000000-0000-4000-8000-0000000000c1"
    client_object: str = "00000000-0000-4000-8000-0000000000c2"

    def retry_after(self, seconds: float) -> dict[str, str]:
        """The header for a wait of ``seconds`` at scale 1, at most 60 s; by the client's clock where ours runs faster.

        Below a second it is ``retry-after-ms``: typed clients read Retry-After as a whole number, and take 0 for
        "not given", which makes them wait for 30 seconds.
        """
        scaled = clock.real_seconds(min(seconds, 60) * self.time_scale)
        if scaled >= 1:
            return {"Retry-After": f"{scaled:.0f}"}
        return {"retry-after-ms": f"{max(scaled, 0.1) * 1000:.0f}"}


class Core:
    """The store, the router, the operations, the faults, the machines, and what providers offer to each other."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.router = Router()
        self.faults = Faults(store)
        self.operations = Operations(self)
        self.operations.add_routes()
        self.faults.cleared = self.operations.release
        self._driver: Driver | None = None
        self._services: dict[str, Any] = {}
        self._deleters: dict[str, tuple[int, Deleter]] = {}
        # What looks at every request before its handler does, and may raise ArmError.
        self.guards: list[Callable[[Request, Route], None]] = []
        # What the command line may ask for by name: a function of a JSON value that answers one.
        self.admin: dict[str, Callable[[Any], Any]] = {}

    @property
    def driver(self) -> Driver:
        """The machine driver; set when the server has opened it."""
        if self._driver is None:
            raise RuntimeError("the machine driver is not open yet")
        return self._driver

    @driver.setter
    def driver(self, driver: Driver) -> None:
        self._driver = driver

    # what providers offer to each other

    def offer(self, name: str, service: Any) -> None:
        """Make an object or function known to the other providers under a name (see the package's docstring)."""
        self._services[name] = service

    def service(self, name: str, default: Any = None) -> Any:
        """What another provider offered; ``default`` if nobody did."""
        return self._services.get(name, default)

    def on_group_delete(self, type: str, order: int, deleter: Deleter) -> None:
        """How a resource of ``type`` goes away with its group: types with a low order first, ``deleter(resource)``
        for each.

        The deleter removes the row (and all that hangs on it) without any guard; it may block for machines.
        Types without a deleter go last, by removing their rows.
        """
        self._deleters[type.lower()] = (order, deleter)

    def deleter(self, type: str) -> tuple[int, Deleter]:
        return self._deleters.get(type.lower(), (1000, lambda resource: self.store.delete(resource.id)))

    # finding

    def require_group(self, subscription: str, group: str) -> Resource:
        """The resource group, or 404 ResourceGroupNotFound."""
        found = self.store.get(f"/subscriptions/{subscription}/resourceGroups/{group}")
        if found is None:
            raise group_not_found(group)
        return found

    def require_scope(self, scope: str) -> None:
        """404 if what an extension resource would hang on is not there: a group, or a resource of one."""
        if len(scope.strip("/").split("/")) > 2:
            rid = ids.parse(scope)
            if rid.types == ("resourceGroups",):
                self.require_group(rid.subscription, rid.group)
            elif rid.parent is None:
                self.require(rid)

    def require(self, rid: str | ids.ResourceId) -> Resource:
        """The resource, or the 404 that Resource Manager itself answers: group, parent, or resource not found."""
        rid = ids.parse(rid) if isinstance(rid, str) else rid
        resource = self.store.get(rid)
        if resource is not None:
            return resource
        self.require_group(rid.subscription, rid.group)
        self.require_parent(rid, "read")
        raise resource_not_found(rid.type_and_name, rid.group)

    def require_parent(self, rid: ids.ResourceId, verb: str = "write") -> Resource | None:
        """The resource that ``rid`` is nested in (None if it is a top-level one), or 404.

        Who only reads is told that the parent is not there, all others that it is the parent of what they write.
        """
        if rid.parent is None:
            return None
        parent = self.store.get(rid.parent)
        if parent is None and verb == "read":
            raise resource_not_found(rid.parent.type_and_name, rid.group)
        if parent is None:
            message = (
                f"Failed to perform '{verb}' on resource(s) of type '{'/'.join(rid.types)}', because the parent "
                f"resource '{rid.parent}' could not be found."
            )
            raise ArmError(404, "ParentResourceNotFound", message, headers={"x-ms-failure-cause": "gateway"})
        return parent

    # answering

    def get_handler(self, request: Request) -> Answer:
        """The plain GET: the stored body."""
        return self.answer(self.require(request.id))

    def list_handler(self, request: Request) -> Answer:
        """The plain list of a type: below ``request.rid`` if the route names a parent, else in the group or
        subscription.
        """
        if request.rid is not None:
            self.require(request.rid)
        elif request.group:
            self.require_group(request.subscription, request.group)
        found = self.store.list(
            request.type,
            subscription=request.subscription,
            group=request.group or None,
            parent=request.rid,
        )
        return Answer(200, {"value": [resource.body for resource in found]})

    def delete_handler(self, request: Request) -> Answer:
        """The plain DELETE, done at once."""
        self.require_group(request.subscription, request.group)
        known = self.store.exists(request.id)
        self.store.delete(request.id)
        return Answer(200 if known else 204)

    @staticmethod
    def answer(resource: Resource, status: int = 200) -> Answer:
        """The resource's body, with its etag as a header if it has one."""
        etag = resource.body.get("etag")
        return Answer(status, resource.body, {"ETag": etag} if isinstance(etag, str) else {})


def new_guid() -> str:
    return str(uuid.uuid4())


def hex_digits(count: int) -> str:
    """Random lower-case hexadecimal digits, as in generated names."""
    return "".join(random.choices("0123456789abcdef", k=count))
