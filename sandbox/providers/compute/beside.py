# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside machines, and is only kept: keys, hosts, reservations, encryption sets, restore points.

A machine may name them; here they do nothing for it.
"""

from __future__ import annotations

from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.arm.core import Core, new_guid
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, DISKS, Run, Style, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.kept import Kept, Plain

from .shapes import Json, required

NAMESPACE = "Microsoft.Compute"
KEYS = f"{NAMESPACE}/sshPublicKeys"
POINTS = f"{NAMESPACE}/restorePointCollections"


class Begun(Plain):
    """A type that is written and deleted by operations."""

    def __init__(
        self, core: Core, kind: str, style: Style, defaults: Json | None = None, *, placed: str = "region"
    ) -> None:
        super().__init__(core, kind, defaults, placed=placed)
        self._style = style
        self._work = f"compute.beside.{kind.partition('/')[2]}"
        core.operations.register(f"{self._work}.put", self._finish)
        core.operations.register(f"{self._work}.delete", self._remove)

    def put(self, request: Request) -> Answer:
        with self._core.store.transaction():
            kept = super().put(request)
            resource = self._core.require(request.id)
            resource.properties["provisioningState"] = "Creating" if kept.status == 201 else "Updating"
            self._core.store.put(resource)
            status = 202 if self._style is DISKS else kept.status
            return self._begin(request, resource, "put", status=status, body=resource.body)

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            self._core.require_group(request.subscription, request.group)
            resource = self._core.store.get(request.id)
            return Answer(204) if resource is None else self._begin(request, resource, "delete")

    def _begin(self, request: Request, resource: Resource, what: str, **more: Any) -> Answer:
        parent = resource.rid.parent
        owner = self._core.require(parent) if parent else resource
        headers: Literal["aao", "both"] = "aao" if what == "put" and self._style is COMPUTE else "both"
        return self._core.operations.begin(
            request, f"{self._work}.{what}", resource.id, style=self._style, latency=10,
            location=resource.body.get("location") or owner.body["location"], headers=headers, **more,
        )  # fmt: skip

    def _finish(self, run: Run) -> Any:
        def settle(resource: Resource) -> None:
            resource.properties["provisioningState"] = "Succeeded"

        found = self._core.store.update(run.resource_id, settle)
        return found.body if found is not None and self._style is DISKS else None

    def _remove(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)


class Keys(Kept):
    """Public keys by name; Azure makes a pair on request, and tells the private half once."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        own = given.get("publicKey") or (known.properties.get("publicKey") if known else None)
        return {"publicKey": own} if own else {}

    def generate(self, request: Request) -> Answer:
        pair = rsa.generate_private_key(public_exponent=65537, key_size=3072)
        encoding = serialization.Encoding
        plain = serialization.NoEncryption()
        private = pair.private_bytes(encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain).decode()
        public = pair.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            resource.properties["publicKey"] = public
            self._core.store.put(resource)
        return Answer(200, {"privateKey": private, "publicKey": public, "id": resource.id})


class Collections(Kept):
    """Restore point collections of a machine."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        source = known.properties["source"]["id"] if known else required({"properties": given}, "properties.source.id")
        machine = self._core.require(source)
        where = {"id": machine.id, "location": machine.body["location"]}
        own = known.properties["restorePointCollectionId"] if known else new_guid()
        return {"source": where, "provisioningState": "Succeeded", "restorePointCollectionId": own}


class Points(Begun):
    """Restore points: what a machine was like at a moment."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        times = {"consistencyMode": "CrashConsistent", "timeCreated": stamp(clock.now())}
        return {**times, **given, **({"timeCreated": known.properties["timeCreated"]} if known else {})}


def _encrypted(core: Core) -> Begun:
    return Begun(core, f"{NAMESPACE}/diskEncryptionSets", DISKS, {"encryptionType": "EncryptionAtRestWithCustomerKey"})


def register(core: Core) -> None:
    keys = Keys(core, KEYS, placed="region")
    keys.routes()
    core.router.action(KEYS, "generateKeyPair", keys.generate)
    for kind, defaults in (
        ("hostGroups", {"platformFaultDomainCount": 1, "supportAutomaticPlacement": False}),
        ("capacityReservationGroups", {}),
    ):
        Plain(core, f"{NAMESPACE}/{kind}", defaults, placed="region").routes()
    Begun(core, f"{NAMESPACE}/hostGroups/hosts", COMPUTE, {"autoReplaceOnFailure": True}).routes()
    Begun(core, f"{NAMESPACE}/capacityReservationGroups/capacityReservations", COMPUTE).routes()
    _encrypted(core).routes()
    Begun(core, f"{NAMESPACE}/diskAccesses", DISKS, {"privateEndpointConnections": []}).routes()
    Collections(core, POINTS, placed="region").routes()
    Points(core, f"{POINTS}/restorePoints", COMPUTE, placed="").routes()
    schedules = Plain(core, "Microsoft.DevTestLab/schedules", {"provisioningState": "Succeeded"}, placed="region")
    schedules.routes()
