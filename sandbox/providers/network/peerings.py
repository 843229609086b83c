# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peerings of virtual networks. They live inside their network's row, as subnets do.

A peering is Initiated until the other network has one back, and Disconnected when the other side's goes away. Booted
machines do not reach each other through it.
"""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.arm.shapes import REFERENCE
from sandbox.arm.store import Resource
from sandbox.providers.network.base import (
    check_match,
    child,
    not_found,
    reference,
    require_reference,
    stamp,
)
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.peering_state import connect, disconnect, towards
from sandbox.providers.network.vnets import VirtualNetworks, find, network_of

KIND = "virtualNetworks/virtualNetworkPeerings"
FLAGS = {
    "allowVirtualNetworkAccess": True,
    "allowForwardedTraffic": False,
    "allowGatewayTransit": False,
    "useRemoteGateways": False,
    "doNotVerifyRemoteGateways": False,
    "peerCompleteVnets": True,
}
# The subnets that are peered where not the whole networks are.
NAMES = ("localSubnetNames", "remoteSubnetNames")
SHAPE = {
    "properties": {
        **dict.fromkeys((*FLAGS, "enableOnlyIPv6Peering"), bool),
        **{key: [str] for key in NAMES},
        "remoteVirtualNetwork": REFERENCE,
    }
}


class Peerings:
    """The routes and the life of peerings."""

    def __init__(self, vnets: VirtualNetworks) -> None:
        self._vnets = vnets
        self._core = vnets.core
        self._core.operations.register("network.peerings.delete", self._delete_work)

    def add_routes(self) -> None:
        self._core.router.resource(
            f"Microsoft.Network/{KIND}", get=self._get, put=self._put, delete=self._delete, list=self._list
        )

    def _get(self, request: Request) -> Answer:
        entry = _find(self._vnets.parent_of(request.id, "read"), request.id.name)
        if entry is None:
            raise not_found(request.id)
        return Answer(200, entry, {"ETag": entry["etag"]})

    def _list(self, request: Request) -> Answer:
        return Answer(200, {"value": self._core.require(request.id).properties["virtualNetworkPeerings"]})

    def _put(self, request: Request) -> Answer:
        request.body = shapes.read(request.body, SHAPE)
        with self._core.store.transaction():
            vnet = self._vnets.parent_of(request.id)
            known = _find(vnet, request.id.name)
            check_match(request, Resource(str(request.id), known) if known else None)
            remote = self._remote(request, vnet, known)
            made = self._made(request, vnet, remote, known)
            others = [e for e in vnet.properties["virtualNetworkPeerings"] if e is not known]
            vnet.properties["virtualNetworkPeerings"] = [*others, made]
            back = towards(remote, vnet)
            if back is not None:
                connect(back, "Connected")
                stamp(remote, "Succeeded")
                self._core.store.put(remote)
            return self._vnets.child_written(request, vnet, made, created=known is None, exclusive=True)

    def _remote(self, request: Request, vnet: Resource, known: dict[str, Any] | None) -> Resource:
        target = reference((request.body.get("properties") or {}).get("remoteVirtualNetwork"))
        if not target:
            text = f"Peering {request.id} has no remote virtual network."
            raise ArmError(400, "InvalidRequestFormat", text, details=[])
        remote = require_reference(self._core, target, request.id)
        before = reference(known["properties"]["remoteVirtualNetwork"]) if known else ""
        if before and ids.key(before) != ids.key(remote.id):
            text = f"Remote virtual network of peering {request.id} cannot be changed."
            raise ArmError(400, "ChangingRemoteVirtualNetworkNotAllowed", text, details=[])
        other = towards(vnet, remote)
        if other is not None and other is not known:
            text = (
                f"Virtual network {vnet.id} already has a peering {other['id']} referencing remote virtual network "
                f"{remote.id}. A virtual network can only have one peering to another."
            )
            raise ArmError(400, "MultiplePeeringsToRemoteVnetNotAllowed", text, details=[])
        for own in _space(vnet)["addressPrefixes"]:
            for far in _space(remote)["addressPrefixes"]:
                one, two = network_of(own, vnet.id), network_of(far, remote.id)
                if one.version == two.version and one.overlaps(two):
                    text = (
                        f"Cannot create or update peering {request.id}. Virtual networks {vnet.id} and {remote.id} "
                        f"cannot be peered because their address spaces overlap. Overlapping address prefixes: {own}, "
                        f"{far}"
                    )
                    raise ArmError(400, "VnetAddressSpacesOverlap", text, details=[])
        return remote

    def _made(self, request: Request, vnet: Resource, remote: Resource, known: dict[str, Any] | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        entry = child(vnet.id, KIND, known["name"] if known else request.id.name, {})
        pair = sorted((ids.key(vnet.id), ids.key(remote.id)))
        entry["properties"] |= {
            "resourceGuid": str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join(pair))),
            "remoteVirtualNetwork": {"id": remote.id},
            **{flag: bool(given.get(flag, default)) for flag, default in FLAGS.items()},
            **_spaces(vnet, remote, given),
            "routeServiceVips": {},
        }
        if remote.properties.get("encryption"):
            entry["properties"]["remoteVirtualNetworkEncryption"] = remote.properties["encryption"]
        connect(entry, "Connected" if towards(remote, vnet) is not None else "Initiated")
        return entry

    def _delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            vnet = self._vnets.parent_of(request.id)
            entry = _find(vnet, request.id.name)
            if entry is None:
                return Answer(204)
            answer = self._vnets.child_leaving(request, vnet, "network.peerings.delete", entry["name"], exclusive=True)
            entry["properties"]["provisioningState"] = "Deleting"
            self._core.store.put(vnet)
            return answer

    def _delete_work(self, run: Run) -> None:
        with self._core.store.transaction():
            vnet = self._core.store.get(run.resource_id)
            entry = _find(vnet, run.args["name"]) if vnet else None
            if vnet is None or entry is None:
                return
            vnet.properties["virtualNetworkPeerings"].remove(entry)
            stamp(vnet, "Succeeded")
            self._core.store.put(vnet)
            disconnect(self._core.store, vnet, reference(entry["properties"]["remoteVirtualNetwork"]))


def _find(vnet: Resource, name: str) -> dict[str, Any] | None:
    for entry in vnet.properties["virtualNetworkPeerings"]:
        if entry["name"].lower() == name.lower():
            found: dict[str, Any] = entry
            return found
    return None


def _spaces(vnet: Resource, remote: Resource, given: dict[str, Any]) -> dict[str, Any]:
    """The address spaces that a peering tells: of the networks, or of the subnets that alone are peered."""
    if given.get("peerCompleteVnets", True):
        far = _space(remote)
        return {"remoteAddressSpace": far, "remoteVirtualNetworkAddressSpace": far}
    near, far = (_subnets(network, given.get(key) or []) for network, key in zip((vnet, remote), NAMES, strict=True))
    told = {key: list(given[key]) for key in NAMES if given.get(key)}
    return {
        **told,
        "enableOnlyIPv6Peering": bool(given.get("enableOnlyIPv6Peering", False)),
        "remoteAddressSpace": far,
        "remoteVirtualNetworkAddressSpace": far,
        "localAddressSpace": near,
        "localVirtualNetworkAddressSpace": near,
    }


def _subnets(vnet: Resource, names: list[str]) -> dict[str, Any]:
    found = (find(vnet, name) for name in names)
    return {"addressPrefixes": [prefix_of(one) for one in found if one], "ipamPoolPrefixAllocations": []}


def _space(vnet: Resource) -> dict[str, Any]:
    prefixes = list(vnet.properties["addressSpace"]["addressPrefixes"])
    return {"addressPrefixes": prefixes, "ipamPoolPrefixAllocations": []}
