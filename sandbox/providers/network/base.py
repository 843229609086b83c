# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all network resources have in common: etags, states, references, accepted writes and deletes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import NETWORK, Run
from sandbox.arm.store import Resource
from sandbox.providers import common
from sandbox.providers.network.addresses import Addresses
from sandbox.providers.network.fabric import Fabric

NAMESPACE = "Microsoft.Network"
# What all resources may have beside their properties.
SKU = {"name": shapes.Words("Basic", "Standard", "StandardV2", "Gateway"), "tier": shapes.Words("Regional", "Global")}
COMMON = {"location": str, "tags": dict, "zones": [str], "sku": SKU, "extendedLocation": dict}
ALLOCATION, VERSION = shapes.Words("Static", "Dynamic"), shapes.Words("IPv4", "IPv6")
WRITE_SECONDS, DELETE_SECONDS = 4.0, 10.0
Settle = Callable[[Resource, dict[str, Any]], None]


class NetworkType(ABC):
    """One resource type.

    Subclasses set ``kind`` and ``shape`` (of their properties) and give ``build`` and, where something may be in the
    way of a deletion, ``guard``.
    """

    kind = ""
    shape: ClassVar[dict[str, Any]] = {}
    first_state = "Updating"

    def __init__(self, core: Core, addresses: Addresses, fabric: Fabric) -> None:
        self.core = core
        self.addresses = addresses
        self.fabric = fabric
        core.operations.register(f"network.{self.kind}.settle", self._settle_work)
        core.operations.register(f"network.{self.kind}.delete", self._delete_work)

    @property
    def type(self) -> str:
        return f"{NAMESPACE}/{self.kind}"

    # for subclasses

    @abstractmethod
    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        """The ``properties`` after the write, from the request and what is stored. Raises ArmError."""

    def guard(self, resource: Resource) -> None:  # noqa: B027  # most types have nothing to do
        """Raise ArmError (400) if the resource must not be deleted now."""

    def settled(self, resource: Resource) -> None:  # noqa: B027  # most types have nothing to do
        """Finish the resource when its operation does; it is written afterwards."""

    def removed(self, resource: Resource) -> None:  # noqa: B027  # most types have nothing to do
        """Undo what hangs on the resource; within the transaction that deletes it."""

    def shown(self, resource: Resource) -> dict[str, Any]:
        """The body as answered: back references are computed, not stored."""
        return resource.body

    def networks(self, resource: Resource) -> set[str]:
        """Ids of the virtual networks whose traffic this resource has a say in."""
        return set()

    # requests

    def put(self, request: Request) -> Answer:
        store = self.core.store
        request.body = shapes.read(request.body, {**COMMON, "properties": self.shape})
        with store.transaction():
            known = store.get(request.id)
            check_match(request, known)
            resource = known or Resource(str(request.id), {})
            before = self.networks(resource) if known else set()
            earlier = bare(known.properties) if known else None
            resource.body = self._body(request, known)
            # What changes nothing but tags has nothing to wait for, and says so.
            stamp(resource, "Succeeded" if bare(resource.properties) == earlier else self.first_state)
            store.put(resource)
            answer = self.accept(request, resource, created=known is None)
            answer.body = self.shown(resource)
        self.fabric.apply(before | self.networks(resource))
        return answer

    def _body(self, request: Request, known: Resource | None) -> dict[str, Any]:
        rid, given = request.id, request.body
        location = common.region(request, known)
        body: dict[str, Any] = {"name": rid.name, "id": known.id if known else str(rid), "etag": ""}
        body |= {"type": self.type, "location": location}
        found = common.tags(given)
        if found is not None:
            body["tags"] = found
        for key in ("zones", "sku", "extendedLocation"):
            if given.get(key):
                body[key] = given[key]
        guid = (known.properties.get("resourceGuid") if known else None) or new_guid()
        body["properties"] = {"provisioningState": "Updating", "resourceGuid": guid, **self.build(request, known)}
        return body

    def accept(self, request: Request, resource: Resource, *, created: bool) -> Answer:
        """Begin the operation that settles ``resource``."""
        return self.core.operations.begin(
            request,
            f"network.{self.kind}.settle",
            resource.id,
            style=NETWORK,
            status=201 if created else 200,
            headers="aao",
            latency=WRITE_SECONDS,
            location=resource.body["location"],
        )

    # children that live inside the row of their parent

    def parent_of(self, rid: ids.ResourceId, verb: str = "write") -> Resource:
        """The resource that a child belongs to, or 404."""
        self.core.require_group(rid.subscription, rid.group)
        parent = self.core.require_parent(rid, verb)
        if parent is None:
            raise not_found(rid)
        return parent

    def child_written(
        self,
        request: Request,
        owner: Resource,
        made: dict[str, Any],
        *,
        created: bool,
        before: dict[str, Any] | None = None,
        state: str = "Updating",
        exclusive: bool = False,
        shown: Callable[[dict[str, Any]], dict[str, Any]] = lambda entry: entry,
    ) -> Answer:
        """Store the owner with its new child, and begin the operation that settles both. ``shown`` is what of the
        child is answered, ``exclusive`` refuses what else is under way on the owner, ``before`` is the child as it was.
        """
        if before is not None and bare(before["properties"]) == bare(made["properties"]):
            state = "Succeeded"
        stamp(owner, state)
        self.core.store.put(owner)
        return self.core.operations.begin(
            request,
            f"network.{self.kind}.settle",
            owner.id,
            style=NETWORK,
            status=201 if created else 200,
            body=shown(made),
            headers="aao",
            latency=WRITE_SECONDS,
            location=owner.body["location"],
            exclusive=exclusive,
        )

    def child_leaving(
        self, request: Request, owner: Resource, work: str, name: str, *, exclusive: bool = False
    ) -> Answer:
        """Store the owner, and begin the work that takes the child of that name out of it."""
        stamp(owner, "Updating")
        self.core.store.put(owner)
        return self.core.operations.begin(
            request,
            work,
            owner.id,
            style=NETWORK,
            latency=DELETE_SECONDS,
            location=owner.body["location"],
            args={"name": name},
            exclusive=exclusive,
        )

    def get(self, request: Request) -> Answer:
        resource = self.core.require(request.id)
        return Answer(200, self.shown(resource), {"ETag": resource.body["etag"]})

    def list(self, request: Request) -> Answer:
        if request.group:
            self.core.require_group(request.subscription, request.group)
        found = self.core.store.list(self.type, subscription=request.subscription, group=request.group or None)
        return Answer(200, {"value": [self.shown(resource) for resource in found]})

    def patch(self, request: Request) -> Answer:
        """Only tags may be patched."""
        with self.core.store.transaction():
            resource = self.core.require(request.id)
            found = common.tags(request.body)
            if found is not None:
                resource.body["tags"] = found
                stamp(resource, resource.properties["provisioningState"])
                self.core.store.put(resource)
        return Answer(200, self.shown(resource))

    def delete(self, request: Request) -> Answer:
        store = self.core.store
        with store.transaction():
            self.core.require_group(request.subscription, request.group)
            resource = store.get(request.id)
            if resource is None:
                return Answer(204)
            check_match(request, resource)
            self.guard(resource)
            stamp(resource, "Deleting")
            store.put(resource)
            return self.core.operations.begin(
                request,
                f"network.{self.kind}.delete",
                resource.id,
                style=NETWORK,
                latency=DELETE_SECONDS,
                location=resource.body["location"],
            )

    # works

    def _settle_work(self, run: Run) -> None:
        with self.core.store.transaction():
            resource = self.core.store.get(run.resource_id)
            if resource is None or resource.properties["provisioningState"] == "Deleting":
                return
            self.settled(resource)
            stamp(resource, "Succeeded")
            self.core.store.put(resource)
        self.fabric.apply(self.networks(resource))

    def _delete_work(self, run: Run) -> None:
        resource = self.core.store.get(run.resource_id)
        if resource is not None:
            self.destroy(resource)

    def destroy(self, resource: Resource) -> None:
        """Delete without any guard."""
        networks = self.networks(resource)
        with self.core.store.transaction():
            current = self.core.store.get(resource.id)
            if current is not None:
                self.removed(current)
                self.core.store.delete(current.id)
        self.fabric.apply(networks)


def bare(value: Any) -> Any:
    """Properties without what each write changes."""
    if isinstance(value, dict):
        return {key: bare(entry) for key, entry in value.items() if key not in ("etag", "provisioningState")}
    return [bare(entry) for entry in value] if isinstance(value, list) else value


def stamp(resource: Resource, state: str) -> None:
    """Give the resource and everything embedded in it a new etag and a provisioning state."""
    etag = f'W/"{new_guid()}"'
    for body in (resource.body, *embedded(resource.body)):
        body["etag"] = etag
        # A delegation has nothing to wait for.
        at_once = state == "Updating" and str(body.get("type", "")).endswith("/delegations")
        body["properties"]["provisioningState"] = "Succeeded" if at_once else state


def embedded(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The child resources that a body carries in its properties."""
    for value in body["properties"].values():
        if isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict) and "etag" in entry:
                    yield entry
                    yield from embedded(entry)


def child(parent: str, kind: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """An embedded child; ``kind`` is like ``virtualNetworks/subnets``."""
    collection = kind.rpartition("/")[2]
    return {
        "name": name,
        "id": f"{parent}/{collection}/{name}",
        "etag": "",
        "properties": {"provisioningState": "Updating", **properties},
        "type": f"{NAMESPACE}/{kind}",
    }


def check_match(request: Request, resource: Resource | None) -> None:
    """412 if the request's If-Match is not the resource's etag."""
    wanted = request.headers.get("if-match", "*")
    if wanted != "*" and (resource is None or wanted != resource.body.get("etag")):
        text = (
            f"Etag provided in if-match header {wanted} does not match etag of resource {request.id} in NRP data store."
        )
        raise ArmError(412, "PreconditionFailed", text, details=[])


def reference(value: Any) -> str:
    """The id in ``{"id": ...}``; empty if there is none."""
    return str(value.get("id") or "") if isinstance(value, dict) else ""


def require_reference(core: Core, target: str, source: str | ids.ResourceId) -> Resource:
    """The resource that ``source`` refers to, or 400 InvalidResourceReference."""
    try:
        found = core.store.get(ids.parse(target))
    except ValueError:
        text = f"Value for reference id is missing or malformed. Path {source}: {target}."
        raise ArmError(400, "LinkedInvalidPropertyId", text, details=[]) from None
    if found is None or found.properties.get("provisioningState") == "Deleting":
        raise invalid_reference(target, source)
    return found


def invalid_reference(target: str, source: str | ids.ResourceId) -> ArmError:
    text = (
        f"Resource {target} referenced by resource {source} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region."
    )
    return ArmError(400, "InvalidResourceReference", text, details=[])


def not_found(rid: str | ids.ResourceId) -> ArmError:
    """A child that is not there."""
    return ArmError(404, "NotFound", f"Resource {rid} not found.", details=[])
