# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure Managed Lustre: its kinds (SKUs), sizes of subnets, and what a file system's body holds. Pure."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

from sandbox.arm.errors import ArmError
from sandbox.arm.operations import stamp

Json = dict[str, Any]
FILE_SYSTEM = "Microsoft.StorageCache/amlFilesystems"
LUSTRE = "2.15"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HEALTH = {
    "Available": "The cluster is available",
    "Transitioning": "The cluster is in the process of changing states",
    "Expanding": "The cluster is being expanded",
    "Degraded": "The cluster is degraded",
    "Unavailable": "The cluster is not available",
    "Maintenance": "The cluster is being maintained",
}
# Storage capacity in TiB up to which a subnet with this many leading bits is large enough.
_SUBNETS = ((16, 27), (40, 26), (92, 25), (196, 24), (400, 23), (800, 22), (1600, 21))


@dataclass(frozen=True)
class Sku:
    """A kind of file system: MB/s per TiB, and the step, smallest and largest capacity in TiB."""

    name: str
    bandwidth: int
    step: int
    largest: int
    xl: int
    mds_step: int


SKUS = {
    sku.name.lower(): sku
    for sku in (
        Sku("AMLFS-Durable-Premium-40", 40, 48, 768, 12500, 768),
        Sku("AMLFS-Durable-Premium-125", 125, 16, 128, 4000, 128),
        Sku("AMLFS-Durable-Premium-250", 250, 8, 128, 2000, 128),
        Sku("AMLFS-Durable-Premium-500", 500, 4, 128, 1000, 128),
    )
}


def bad(target: str, message: str) -> ArmError:
    return ArmError(400, "InvalidParameter", message, target=target)


def sku_of(body: Json) -> Sku:
    """The SKU that a request names. 400 if there is no such."""
    name = str((body.get("sku") or {}).get("name") or "")
    if name.lower() not in SKUS:
        known = ", ".join(sku.name for sku in SKUS.values())
        raise bad("sku.name", f"The value '{name}' of parameter sku.name is not valid. Valid values are: {known}.")
    return SKUS[name.lower()]


def capacity_of(sku: Sku, asked: Any, *, target: str = "storageCapacityTiB") -> float:
    """The capacity in TiB that is provided for the one asked for: the next step of the SKU. 400 if out of range."""
    if not isinstance(asked, int | float) or isinstance(asked, bool) or asked <= 0:
        raise bad(target, f"Required parameter '{target}' is missing or not a positive number.")
    rounded = math.ceil(asked / sku.step) * sku.step
    if rounded > sku.largest:
        raise bad(
            target,
            f"The value '{asked:g}' of parameter {target} is out of range: {sku.name} takes {sku.step} to "
            f"{sku.largest} TiB in steps of {sku.step} TiB.",
        )
    return float(rounded)


def subnet_bits(capacity: float) -> int:
    """The length of the prefix of the smallest subnet for a capacity in TiB."""
    return next((bits for most, bits in _SUBNETS if capacity <= most), 20)


def addresses_needed(capacity: float) -> int:
    """How many free addresses of a subnet a capacity asks for: what the smallest subnet for it has to give, or less."""
    return int(2 ** (32 - subnet_bits(capacity))) - 8


def addresses(sku: Sku, capacity: float) -> int:
    """How many addresses a file system takes: its management server, and the servers of its storage."""
    return 2 + int(capacity // sku.step)


def client_info(address: str, capacity: float, handle: str) -> Json:
    """How clients mount the file system: the command, and the manifests for containers, each base64 of YAML."""
    if not address:
        nothing = {"persistentVolumeClaim": "", "persistentVolume": "", "storageClass": ""}
        return {"mgsAddress": "", "mountCommand": "", "lustreVersion": "", "containerStorageInterface": nothing}
    return {
        "mgsAddress": address,
        "mountCommand": f"mount -t lustre -o noatime,user_xattr {address}@tcp0:/lustrefs /<local path>",
        "lustreVersion": LUSTRE,
        "containerStorageInterface": _manifests(address, capacity, handle),
    }


_CLASS = "sc.azurelustre.csi.azure.com"
_DRIVER = "azurelustre.csi.azure.com"


def _manifests(address: str, capacity: float, handle: str) -> Json:
    claim = f"""\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: pvc-lustre
spec:
  accessModes:
    - ReadWriteMany
  resources:
    requests:
      storage: {capacity:.1f}Ti
  storageClassName: {_CLASS}
"""
    volume = f"""\
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: pv-lustre
spec:
  accessModes:
    - ReadWriteMany
  capacity:
    storage: {capacity:.1f}Ti
  csi:
    driver: {_DRIVER}
    volumeAttributes:
      fs-name: lustrefs
      mgs-ip-address: {address}
    volumeHandle: {handle}
  mountOptions:
    - noatime
    - flock
  persistentVolumeReclaimPolicy: Retain
  storageClassName: {_CLASS}
"""
    storage_class = f"""\
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: {_CLASS}
parameters:
  fs-name: lustrefs
  mgs-ip-address: {address}
provisioner: {_DRIVER}
reclaimPolicy: Retain
volumeBindingMode: Immediate
mountOptions:
  - noatime
  - flock
"""
    texts = {"persistentVolumeClaim": claim, "persistentVolume": volume, "storageClass": storage_class}
    return {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}


def health(state: str) -> Json:
    return {"state": state, "statusDescription": HEALTH[state]}


def hsm(asked: Json | None) -> Json:
    """``hsm`` with its defaults: without settings there is no container to import from. 400 for half of them."""
    settings = (asked or {}).get("settings")
    if not settings:
        return {}
    for key in ("container", "loggingContainer"):
        if not settings.get(key):
            target = f"hsm.settings.{key}"
            raise bad(target, f"Required parameter '{target}' is missing (null).")
    if settings.get("importPrefixesInitial"):
        return {"settings": settings}
    return {"settings": {**settings, "importPrefix": settings.get("importPrefix") or "/"}}


def fixed(known: Json, given: Json) -> list[str]:
    """What a PUT of an existing file system would change and cannot."""
    asked, have = given.get("properties") or {}, known["properties"]
    sku = sku_of(given if given.get("sku") else known)
    capacity = asked.get("storageCapacityTiB", have["storageCapacityTiB"])
    subnet = str(asked.get("filesystemSubnet") or have["filesystemSubnet"])
    settings = hsm(asked.get("hsm")).get("settings")
    changes = {
        "sku.name": sku.name != known["sku"]["name"],
        "storageCapacityTiB": capacity_of(sku, capacity) != have["storageCapacityTiB"],
        "filesystemSubnet": subnet.lower() != have["filesystemSubnet"].lower(),
        "zones": given.get("zones") is not None and given["zones"] != known.get("zones", []),
        "hsm.settings": settings is not None and settings != have["hsm"].get("settings"),
    }
    return [target for target, changed in changes.items() if changed]


def maintenance(asked: Json | None) -> Json:
    """The ``maintenanceWindow``. 400 if it is missing or not one."""
    window = asked or {}
    day = str(window.get("dayOfWeek") or "")
    named = {known.lower(): known for known in DAYS}.get(day.lower())
    time = str(window.get("timeOfDayUTC") or "")
    hour, _unused, minute = time.partition(":")
    good = hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60
    if named is None or not good:
        raise bad("maintenanceWindow", "The maintenanceWindow must have a dayOfWeek and a timeOfDayUTC (HH:MM).")
    return {"dayOfWeek": named, "timeOfDayUTC": time}


def squash(asked: Json) -> Json:
    """``rootSquashSettings`` with the status that the servers report. 400 for an unknown mode."""
    mode = asked.get("mode") or "None"
    if mode not in ("None", "RootOnly", "All"):
        message = f"The value '{mode}' is not valid: use None, RootOnly or All."
        raise bad("rootSquashSettings.mode", message)
    return {**asked, "mode": mode, "status": f"nodemap.active={0 if mode == 'None' else 1}"}


def moment(seconds: float) -> str:
    """A time as ``systemData`` has it: seven decimals and a Z."""
    return stamp(seconds).replace("+00:00", "Z")


def system_data(claims: Json, now: float, known: Json | None = None) -> Json:
    """Who made and who changed the resource, and when."""
    who = str(claims.get("appid") or claims.get("oid") or "")
    kind = "Application" if claims.get("appid") else "User"
    first = {"createdBy": who, "createdByType": kind, "createdAt": moment(now)}
    last = {"lastModifiedBy": who, "lastModifiedByType": kind, "lastModifiedAt": moment(now)}
    return {**(known or first), **last}


def sku_entry(sku: Sku, location: str, zones: list[str]) -> Json:
    """One element of ``Microsoft.StorageCache/skus``."""
    values = {
        "OSS capacity increment (TiB)": sku.step,
        "MDS capacity increment (TiB)": sku.mds_step,
        "default maximum capacity (TiB)": sku.largest,
        "large cluster maximum capacity (TiB)": sku.xl,
        "bandwidth increment (MB/s/TiB)": sku.bandwidth,
        "durable": "yes",
    }
    return {
        "resourceType": "amlFilesystems",
        "name": sku.name,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": zones}],
        "capabilities": [{"name": name, "value": str(value)} for name, value in values.items()],
        "restrictions": [],
    }
