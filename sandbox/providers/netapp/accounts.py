# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netAppAccounts and their capacityPools."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from sandbox.arm import shapes as bodies
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers import common

from . import shapes
from .quota import check_quota
from .shapes import ACCOUNT, GIB, POOL, STYLE, TIB, VOLUME, Json


class NetAppType(ABC):
    """What accounts, pools and volumes have in common: how they are written, settled and deleted."""

    kind = ""
    below = ""
    shape: ClassVar[Json] = {}
    seconds = 2.0
    delete_seconds = 10.0

    def __init__(self, core: Core) -> None:
        self.core = core

    def register(self) -> None:
        core, work = self.core, self.kind.rpartition("/")[2]
        core.router.resource(
            self.kind,
            get=core.get_handler,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=core.list_handler,
            list_all=core.list_handler if self.kind == ACCOUNT else None,
        )
        core.operations.register(f"netapp.{work}.put", self.settle)
        core.operations.register(f"netapp.{work}.delete", self.work_delete)

    @abstractmethod
    def made(self, request: Request, given: Json) -> Json:
        """The properties of a new one. Raises ArmError."""

    @abstractmethod
    def changed(self, known: Resource, given: Json) -> None:
        """Write what may change into the known one. Raises ArmError."""

    def settled(self, resource: Resource) -> Json:
        """What is known of it when it is there."""
        return {}

    def put(self, request: Request) -> Answer:
        request.body = bodies.read(request.body, {"location": str, "properties": self.shape})
        with self.core.store.transaction():
            self.core.require_parent(request.id)
            known = self.core.store.get(request.id)
            location = common.region(request, known)
            given = request.body.get("properties") or {}
            if known is not None:
                return self._change(request, known, given, status=200)
            shapes.check_name(self.kind, request.id.name)
            tags = common.tags(request.body)
            body = shapes.body(request.id, location, tags, self.made(request, given), clock.now())
            for key in ("zones", "identity"):
                if request.body.get(key):
                    body[key] = request.body[key]
            resource = Resource(str(request.id), body)
            self.core.store.put(resource)
            return self._begin(request, resource, "put", self.seconds, status=201)

    def patch(self, request: Request) -> Answer:
        request.body = bodies.read(request.body or {}, {"properties": self.shape})
        with self.core.store.transaction():
            known = self.core.require(request.id)
            return self._change(request, known, request.body.get("properties") or {}, status=202)

    def _change(self, request: Request, known: Resource, given: Json, status: int) -> Answer:
        self._check_settled(known)
        self.changed(known, given)
        tags = common.tags(request.body)
        if tags is not None:
            known.body["tags"] = tags
        known.body["etag"] = shapes.etag(clock.now())
        known.properties["provisioningState"] = "Patching" if status == 202 else "Updating"
        self.core.store.put(known)
        return self._begin(request, known, "put", self.seconds, status=status)

    def _begin(self, request: Request, resource: Resource, work: str, latency: float, status: int) -> Answer:
        name = f"netapp.{self.kind.rpartition('/')[2]}.{work}"
        return self.core.operations.begin(
            request, name, resource.id, style=STYLE, status=status, body=None if status == 202 else resource.body,
            headers="both" if status == 202 else "aao", latency=latency, location=resource.body["location"],
        )  # fmt: skip

    @staticmethod
    def _check_settled(known: Resource) -> None:
        state = known.properties["provisioningState"]
        if state not in ("Succeeded", "Failed"):
            text = f"The resource '{known.rid.name}' is in state {state}: wait until that has ended."
            raise ArmError(409, "AnotherOperationInProgress", text)

    def settle(self, run: Run) -> None:
        known = self.core.store.get(run.resource_id)
        if known is None or known.properties["provisioningState"] == "Deleting":
            return
        more = self.settled(known)

        def change(known: Resource) -> None:
            if known.properties["provisioningState"] != "Deleting":
                known.properties.update(**more, provisioningState="Succeeded")

        self.core.store.update(run.resource_id, change)

    def delete(self, request: Request) -> Answer:
        with self.core.store.transaction():
            known = self.core.store.get(request.id)
            if known is None:
                self.core.require_group(request.subscription, request.group)
                return Answer(204)
            nested = self.core.store.list(self.below, parent=known.id) if self.below else []
            if nested:
                text = (
                    "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
                    f"'{nested[0].rid.type_and_name}'. Please delete all nested resources before deleting this "
                    "resource."
                )
                raise ArmError(409, "CannotDeleteResource", text)
            known.properties["provisioningState"] = "Deleting"
            self.core.store.put(known)
            return self._begin(request, known, "delete", self.delete_seconds, status=202)

    def work_delete(self, run: Run) -> None:
        known = self.core.store.get(run.resource_id)
        if known is not None:
            self.remove(known)

    def remove(self, known: Resource) -> None:
        """Take it away, without any guard."""
        self.core.store.delete(known.id)


class Accounts(NetAppType):
    """netAppAccounts."""

    kind, below = ACCOUNT, POOL
    shape: ClassVar[Json] = {"encryption": dict, "activeDirectories": list}
    seconds = 1.0

    def __init__(self, core: Core, remove_volume: Callable[[Resource], None]) -> None:
        super().__init__(core)
        self._remove_volume = remove_volume

    def register(self) -> None:
        super().register()
        self.core.on_group_delete(self.kind, 38, self.remove)

    def remove(self, known: Resource) -> None:
        """With all that is in it, as its group goes."""
        rid = known.rid
        for volume in self.core.store.list(VOLUME, subscription=rid.subscription, group=rid.group):
            if volume.id.lower().startswith(f"{known.id.lower()}/"):
                self._remove_volume(volume)
        super().remove(known)

    def made(self, request: Request, given: Json) -> Json:
        if given.get("activeDirectories"):
            raise shapes.invalid("activeDirectories", "Account", "The sandbox has no Active Directory")
        return {"encryption": {"keySource": "Microsoft.NetApp", **(given.get("encryption") or {})}}

    def changed(self, known: Resource, given: Json) -> None:
        known.properties["encryption"].update(given.get("encryption") or {})


class Pools(NetAppType):
    """capacityPools."""

    kind, below = POOL, VOLUME
    shape: ClassVar[Json] = {"size": int, "serviceLevel": str, "qosType": str, "coolAccess": bool}

    def made(self, request: Request, given: Json) -> Json:
        level, size = shapes.service_level(given, "Premium"), shapes.pool_size(given)
        qos = str(given.get("qosType") or "Auto")
        if level == "Flexible" and qos != "Manual":
            raise shapes.invalid(qos, "Pool.QosType", "Pools of service level Flexible have qosType Manual")
        throughput = shapes.pool_throughput(level, size, given.get("customThroughputMibps"))
        check_quota(self.core, request, size // TIB)
        return {
            "poolId": new_guid(),
            "serviceLevel": level,
            "size": size,
            "qosType": qos,
            "totalThroughputMibps": throughput,
            "utilizedThroughputMibps": 0.0,
            "encryptionType": given.get("encryptionType", "Single"),
            "coolAccess": bool(given.get("coolAccess", False)),
            **({"customThroughputMibps": throughput} if level == "Flexible" else {}),
        }

    def changed(self, known: Resource, given: Json) -> None:
        level = known.properties["serviceLevel"]
        if shapes.service_level(given, level) != level:
            raise shapes.fixed("ServiceLevel")
        size = shapes.pool_size(given, known.properties["size"])
        if size < used(self.core, known) * GIB:
            raise shapes.too_small()
        custom = given.get("customThroughputMibps", known.properties.get("customThroughputMibps"))
        throughput = shapes.pool_throughput(level, size, custom)
        known.properties.update(size=size, totalThroughputMibps=throughput)
        if level == "Flexible":
            known.properties["customThroughputMibps"] = throughput


def used(core: Core, pool: Resource, without: str = "") -> int:
    """How many GiB the volumes of a pool have together, but for one of them."""
    volumes = core.store.list(VOLUME, parent=pool.id)
    return sum(int(one.properties["usageThreshold"]) for one in volumes if one.id.lower() != without.lower()) // GIB
