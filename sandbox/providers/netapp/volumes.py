# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""volumes: sizes, delegated subnets, mount targets, and the directory that machines mount."""

from __future__ import annotations

from typing import ClassVar

from sandbox.arm.core import new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.store import Resource
from sandbox.providers import nfs
from sandbox.providers.network.interfaces import subnet_of

from . import shapes
from .accounts import NetAppType, used
from .shapes import GIB, VOLUME, Json

DELEGATION = "microsoft.netapp/volumes"
FIXED = ("creationToken", "subnetId", "protocolTypes")


class Volumes(NetAppType):
    """Volumes."""

    kind = VOLUME
    shape: ClassVar[Json] = {
        "usageThreshold": int,
        "creationToken": str,
        "subnetId": str,
        "serviceLevel": str,
        "networkFeatures": str,
        "unixPermissions": str,
    }
    seconds, delete_seconds = 150.0, 60.0

    def made(self, request: Request, given: Json) -> Json:
        pool = self.core.require(request.id.parent or request.id)
        size, protocol = shapes.volume_size(given.get("usageThreshold")), shapes.protocols(given)
        token, subnet = str(given.get("creationToken") or ""), str(given.get("subnetId") or "")
        if not shapes.TOKEN.fullmatch(token):
            raise shapes.invalid(token, "Volume.CreationToken", "Must be letters, digits and hyphens, at most 80")
        self._check_subnet(subnet, token)
        self._check_room(pool, size, "")
        self.core.service("network").allocate(subnet, [f"{request.id}/ipConfigurations/mount"])
        properties: Json = {
            "fileSystemId": new_guid(),
            "serviceLevel": pool.properties["serviceLevel"],
            "creationToken": token,
            "usageThreshold": size,
            "protocolTypes": protocol,
            "exportPolicy": shapes.export_policy(given, protocol[0]),
            "subnetId": subnet,
            "networkFeatures": given.get("networkFeatures", "Basic"),
            "snapshotDirectoryVisible": bool(given.get("snapshotDirectoryVisible", True)),
            "kerberosEnabled": False,
            "securityStyle": "unix",
            "encryptionKeySource": "Microsoft.NetApp",
            "ldapEnabled": False,
            "unixPermissions": str(given.get("unixPermissions") or "0770"),
            "coolAccess": False,
            "avsDataStore": "Disabled",
            "isDefaultQuotaEnabled": False,
            "enableSubvolumes": "Disabled",
            "maximumNumberOfFiles": 106255630,
            "isLargeVolume": False,
            "volumeType": "",
        }
        return {**properties, **self._throughput(pool, given, size)}

    def _throughput(self, pool: Resource, given: Json, size: int) -> Json:
        if pool.properties["qosType"] != "Manual":
            each = shapes.SERVICE_LEVELS[pool.properties["serviceLevel"]]
            return {"throughputMibps": round(each * size / shapes.TIB, 3)}
        asked = given.get("throughputMibps")
        if not isinstance(asked, int | float) or asked <= 0:
            raise shapes.invalid(asked, "Volume.ThroughputMibps", "Volumes of a pool with qosType Manual need one")
        if asked > pool.properties["totalThroughputMibps"]:
            raise shapes.invalid(asked, "Volume.ThroughputMibps", "It is more than the pool has")
        return {"throughputMibps": float(asked)}

    def _check_room(self, pool: Resource, size: int, volume: str) -> None:
        if used(self.core, pool, volume) * GIB + size > pool.properties["size"]:
            raise shapes.too_small()

    def _check_subnet(self, subnet_id: str, token: str) -> None:
        found: Json | None = subnet_of(self.core, subnet_id)
        if found is None:
            raise ArmError(400, "InvalidSubnet", f"The subnet '{subnet_id}' was not found.")
        services = [
            str(one["properties"].get("serviceName", "")).lower() for one in found["properties"].get("delegations", [])
        ]
        if DELEGATION not in services:
            text = f"The subnet '{found['name']}' is not delegated to Microsoft.Netapp/volumes."
            raise ArmError(400, "InvalidSubnet", text)
        for other in self.core.store.list(VOLUME):
            same = other.properties["subnetId"].lower() == subnet_id.lower()
            if same and other.properties["creationToken"].lower() == token.lower():
                text = f"The file path '{token}' is in use by the volume '{other.body['name']}' in the same subnet."
                raise ArmError(409, "CreationTokenInUse", text)

    def changed(self, known: Resource, given: Json) -> None:
        for key in FIXED:
            asked, have = given.get(key), known.properties[key]
            if asked is not None and str(asked).lower() != str(have).lower():
                raise shapes.fixed(key[0].upper() + key[1:])
        pool = self.core.require(known.rid.parent or known.rid)
        size = shapes.volume_size(given.get("usageThreshold", known.properties["usageThreshold"]))
        self._check_room(pool, size, known.id)
        asked = {"throughputMibps": known.properties["throughputMibps"], **given}
        known.properties.update(usageThreshold=size, **self._throughput(pool, asked, size))
        if given.get("exportPolicy"):
            known.properties["exportPolicy"] = shapes.export_policy(given, known.properties["protocolTypes"][0])
        for key in ("unixPermissions", "snapshotDirectoryVisible"):
            if given.get(key) is not None:
                known.properties[key] = given[key]

    def settled(self, resource: Resource) -> Json:
        """The volume is served: its directory, its mount target."""
        address = self._address(resource)
        path = resource.properties["creationToken"]
        files = nfs.serve(self.core, self._vnet(resource), address, path, _clients(resource))
        files.chmod(int(resource.properties["unixPermissions"], 8))
        target = {
            "mountTargetId": resource.properties["fileSystemId"],
            "fileSystemId": resource.properties["fileSystemId"],
            "ipAddress": address,
        }
        return {"mountTargets": [target], "actualThroughputMibps": resource.properties["throughputMibps"]}

    def remove(self, known: Resource) -> None:
        """The volume with all that is in it; its address is free again."""
        self.core.driver.unserve(self._vnet(known), self._address(known))
        with self.core.store.transaction():
            self.core.service("network").release_below(known.id)
            self.core.store.delete(known.id)

    def _vnet(self, volume: Resource) -> str:
        found: str = self.core.service("network").vnet_of(volume.properties["subnetId"])
        return found

    def _address(self, volume: Resource) -> str:
        subnet, owner = volume.properties["subnetId"], f"{volume.id}/ipConfigurations/mount"
        return str(self.core.service("network").allocate(subnet, [owner])[0])


def _clients(volume: Resource) -> list[tuple[str, list[str]]]:
    """Who may mount it, by its export policy: the first rule that names a client decides."""
    rules = sorted(volume.properties["exportPolicy"]["rules"], key=lambda rule: int(rule["ruleIndex"]))
    return [
        (client.strip(), ["ro" if rule["unixReadOnly"] else "rw"])
        for rule in rules
        for client in str(rule["allowedClients"]).split(",")
    ]
