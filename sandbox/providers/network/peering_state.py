# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How two peered virtual networks stand to each other."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.store import Resource, Store
from sandbox.providers.network.base import reference, stamp


def towards(network: Resource, other: Resource) -> dict[str, Any] | None:
    """The peering of ``network`` whose other side is ``other``."""
    for entry in network.properties["virtualNetworkPeerings"]:
        if ids.key(reference(entry["properties"]["remoteVirtualNetwork"])) == ids.key(other.id):
            found: dict[str, Any] = entry
            return found
    return None


def connect(entry: dict[str, Any], state: str) -> None:
    """Give a peering its state: Initiated, Connected or Disconnected."""
    level = "FullyInSync" if state == "Connected" else "RemoteNotInSync"
    entry["properties"] |= {"peeringState": state, "peeringSyncLevel": level}


def disconnect(store: Store, vnet: Resource, remote_id: str) -> None:
    """The peering of ``vnet`` with another network is gone; the other's stays, Disconnected."""
    remote = store.get(remote_id)
    back = towards(remote, vnet) if remote else None
    if remote is not None and back is not None:
        connect(back, "Disconnected")
        stamp(remote, remote.properties["provisioningState"])
        store.put(remote)
