# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure NetApp Files as ARM documents: from options to what is sent, from what comes back to what people need. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import MOVE_DATA, AzureError, refuse_change
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, differences
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage

ACCOUNT = "Microsoft.NetApp/netAppAccounts"
POOL = f"{ACCOUNT}/capacityPools"
VOLUME = f"{POOL}/volumes"
TIB, GIB = 1 << 40, 1 << 30
SETTLED = ("Succeeded", "Failed")
NEEDED = ("location", "size_gib", "subnet_id")
DELEGATION = storage.DELEGATION


def check_options(options: t.Mapping[str, t.Any], pool: Json) -> None:
    """Raise one AzureError (InvalidOptions) with everything that is wrong with the options by themselves.

    ``pool`` is the actual one, {} for a new one.
    """
    properties = pool.get("properties") or {}
    level = options.get("service_level") or properties.get("serviceLevel") or "Premium"
    wrong = []
    if options.get("size_gib"):
        wrong += storage.volume_mistakes(options["size_gib"], level, options.get("throughput") or 0)
    size = options.get("pool_tib") or int(properties.get("size") or 0) // TIB or 1
    wrong += storage.pool_mistakes(size, level, options.get("pool_throughput") or 0)
    if level == "Flexible" and not pool and not options.get("pool_throughput"):
        wrong.append(("pool_throughput", "is missing: a Flexible pool has what it is given"))
    if level == "Flexible" and options.get("size_gib") and not options.get("throughput"):
        wrong.append(("throughput", "is missing: a volume in a Flexible pool has what it is given"))
    if wrong:
        raise AzureError("; ".join(f"{key}: {text}" for key, text in wrong), code="InvalidOptions")


def pool_body(options: t.Mapping[str, t.Any], new: bool, size_tib: int) -> Json:
    """The pool as far as the options name it; a new one is ``size_tib`` TiB."""
    level = options.get("service_level") or ("Premium" if new else "")
    properties: Json = {}
    if size_tib:
        properties["size"] = size_tib * TIB
    if options.get("pool_throughput"):
        properties["customThroughputMibps"] = options["pool_throughput"]
    if new:
        properties.update(serviceLevel=level, qosType="Manual" if level == "Flexible" else "Auto")
    return {"properties": properties} if properties else {}


def volume_fixed(options: t.Mapping[str, t.Any]) -> Json:
    """What a volume is born with and keeps, as far as the options name it."""
    properties: Json = {}
    if options.get("subnet_id"):
        properties["subnetId"] = options["subnet_id"]
    if options.get("protocol"):
        properties["protocolTypes"] = [options["protocol"]]
    if options.get("path"):
        properties["creationToken"] = options["path"]
    body: Json = {"properties": properties} if properties else {}
    if options.get("location"):
        body["location"] = options["location"]
    if options.get("zone"):
        body["zones"] = [options["zone"]]
    return body


def volume_changeable(options: t.Mapping[str, t.Any], protocol: str) -> Json:
    """What may be changed while the volume is in use, as far as the options name it."""
    properties: Json = {}
    if options.get("size_gib"):
        properties["usageThreshold"] = options["size_gib"] * GIB
    if options.get("throughput"):
        properties["throughputMibps"] = options["throughput"]
    if options.get("permissions"):
        properties["unixPermissions"] = options["permissions"]
    if options.get("clients") is not None or options.get("root_access") is not None:
        properties["exportPolicy"] = {"rules": [_rule(options, protocol)]}
    return {"properties": properties} if properties else {}


def _rule(options: t.Mapping[str, t.Any], protocol: str) -> Json:
    clients = options.get("clients") or ["0.0.0.0/0"]
    root = options.get("root_access")
    return {
        "ruleIndex": 1,
        "allowedClients": ",".join(clients),
        "unixReadOnly": False,
        "unixReadWrite": True,
        "cifs": False,
        "nfsv3": protocol == "NFSv3",
        "nfsv41": protocol == "NFSv4.1",
        "hasRootAccess": True if root is None else root,
    }


def usual(options: t.Mapping[str, t.Any], level: str) -> Json:
    """What a new volume gets where the options say nothing."""
    return {
        "properties": {
            "creationToken": str(options["name"]).replace("_", "-"),
            "protocolTypes": ["NFSv3"],
            "serviceLevel": level,
            "networkFeatures": "Standard",
            "unixPermissions": "0755",
            "snapshotDirectoryVisible": False,
        }
    }


def refuse_fixed(options: t.Mapping[str, t.Any], volume: Json, pool: Json) -> None:
    """Raise AzureError (PropertyChangeNotAllowed) with all that differs and cannot be changed."""
    found = list(differences(volume_fixed(options), volume))
    level, have = options.get("service_level"), (pool.get("properties") or {}).get("serviceLevel")
    if level and have and level != have:
        found.append(Difference(("properties", "serviceLevel"), have, level))
    if not found:
        return
    said = "; ".join(f"{one.path[-1]} is {_word(one.before)}, not {_word(one.after)}" for one in found)
    refuse_change(options["name"], "volume", said, MOVE_DATA)


def _word(value: t.Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "not set"
    return "not set" if value in (None, "") else str(value)


def size_of(volume: Json) -> int:
    """GiB, 0 if the document does not say."""
    return int((volume.get("properties") or {}).get("usageThreshold") or 0) // GIB


def state_of(document: Json) -> str:
    """The provisioning state."""
    return str((document.get("properties") or {}).get("provisioningState") or "")


def summary(volume: Json, pool: Json) -> Json:
    """What people and playbooks need of a volume. Sizes in GiB, of the pool in TiB, throughput in MiB/s."""
    properties, of_pool = volume.get("properties") or {}, pool.get("properties") or {}
    targets = properties.get("mountTargets") or [{}]
    address = str(targets[0].get("ipAddress") or "")
    path = f"/{properties.get('creationToken') or ''}"
    parts = str(volume.get("id", "")).split("/")
    account, of = (parts[8], parts[10]) if len(parts) > 12 else ("", "")
    ready = state_of(volume) == "Succeeded" and bool(address)
    return {
        "id": volume.get("id", ""),
        "name": parts[-1],
        "account": account,
        "pool": of,
        "location": volume.get("location", ""),
        "zone": next(iter(volume.get("zones") or ()), ""),
        "size_gib": size_of(volume),
        "service_level": properties.get("serviceLevel", ""),
        "pool_tib": int(of_pool.get("size") or 0) // TIB,
        "throughput": float(properties.get("throughputMibps") or 0),
        "protocol": next(iter(properties.get("protocolTypes") or ()), ""),
        "subnet_id": properties.get("subnetId", ""),
        "server": address,
        "export": path,
        "source": f"{address}:{path}" if address else "",
        "provisioning_state": state_of(volume),
        "tags": volume.get("tags") or {},
        "ready": ready,
        "problems": problems(volume),
    }


def problems(volume: Json) -> list[str]:
    """What is not as it should be, and what to do about it."""
    name = str(volume.get("id", "")).rpartition("/")[2]
    if state_of(volume) != "Failed":
        return []
    if size_of(volume) and (volume.get("properties") or {}).get("mountTargets"):
        return [f"the last change of the volume {name} failed; what is in it is there: make the change again"]
    return [
        f"the volume {name} is half made and cannot be used: delete it (state: absent, confirm: {name}) and make it "
        "again"
    ]
