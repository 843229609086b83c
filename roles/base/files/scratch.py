# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch space on the local disks of a machine in Azure, which are empty whenever it comes to another host.

Only disks that Azure gives with the machine are ever touched: NVMe disks by their model, the temporary disk by the name
that udev gives it. Several become one stripe. What was made before is found again. Standard library and Python 3.9.
"""

from __future__ import annotations

import json
import os
import time
import typing as t

import node
from node import JoinError, say

NVME = ("Microsoft NVMe Direct Disk", "Microsoft NVMe Direct Disk v2")
TEMPORARY = ("/dev/disk/azure/resource", "/dev/disk/cloud/azure_resource")
FIELDS = "NAME,PATH,TYPE,MODEL,FSTYPE,LABEL,MOUNTPOINTS"
LABEL = "hpc-scratch"  # xfs takes 12 characters
ARRAY = "/dev/md/hpc-scratch"
Device = t.Mapping[str, t.Any]


def ready(disks: str, format_: str) -> str:
    """The device with a file system of that format on the local disks (nvme, temporary, any); '' if there are none.

    Raises JoinError if disks hold what was not made here.
    """
    found = _disks(disks, devices())
    if not found:
        return ""
    device = found[0] if len(found) == 1 else _array(found)
    has = (device.get("fstype") or "", (device.get("label") or "").strip())
    if has == (format_, LABEL):
        return str(device["path"])
    free(device)
    if has[0] and not _is_temporary(device) and has[1] != LABEL:
        raise JoinError(f"{device['path']} has a file system ({' '.join(has).strip()}) that was not made here")
    make(str(device["path"]), format_)
    return str(device["path"])


def devices() -> list[Device]:
    """All disks with what is on them, as lsblk tells."""
    try:
        return list(json.loads(node.run("lsblk", "--json", "--output", FIELDS))["blockdevices"])
    except (ValueError, KeyError, TypeError) as error:
        raise JoinError(f"lsblk is not understood: {error!r}") from error


def _disks(which: str, all_: t.Sequence[Device]) -> list[Device]:
    nvme = [one for one in all_ if one.get("type") == "disk" and (one.get("model") or "").strip() in NVME]
    if which == "nvme" or (which == "any" and nvme):
        return sorted(nvme, key=lambda one: str(one["path"]))
    return [one for one in all_ if one.get("type") == "disk" and _is_temporary(one)][:1]


def _is_temporary(device: Device) -> bool:
    return any(os.path.realpath(name) == device["path"] for name in TEMPORARY if os.path.exists(name))


def _array(disks: t.Sequence[Device]) -> Device:
    """The stripe over these disks: the one that they are part of already, or a new one."""
    above: t.List[t.Dict[str, Device]] = [
        {child["path"]: child for child in disk.get("children") or ()} for disk in disks
    ]
    common = set(above[0]).intersection(*above[1:])
    if len(common) == 1 and all(len(children) == 1 for children in above):
        return above[0][common.pop()]
    names = [str(disk["path"]) for disk in disks]
    if all(disk.get("fstype") == "linux_raid_member" for disk in disks) and not any(above):
        try:
            node.run("mdadm", "--assemble", "--run", ARRAY, *names)
            return _named(ARRAY)
        except JoinError as error:
            say(f"the stripe that was there cannot be used: {error}")
    for disk in disks:
        if disk.get("fstype") not in (None, "", "linux_raid_member") or disk.get("children"):
            raise JoinError(f"{disk['path']} has something on it that was not made here")
        if disk.get("fstype"):
            node.run("mdadm", "--zero-superblock", str(disk["path"]))
    node.run("mdadm", "--create", ARRAY, "--run", "--level=0", f"--raid-devices={len(names)}", "--homehost=any", *names)
    say(f"made a stripe over {', '.join(names)}")
    return _named(ARRAY)


def _named(name: str) -> Device:
    """What lsblk tells of one device, which udev may need a moment for."""
    for _attempt in range(20):
        try:
            found = json.loads(node.run("lsblk", "--json", "--nodeps", "--output", FIELDS, name))
        except JoinError:
            time.sleep(0.5)
        else:
            return t.cast(Device, found["blockdevices"][0])
    raise JoinError(f"{name} does not appear")


def free(device: Device) -> None:
    """Take the temporary disk from where the image mounts it."""
    for part in (device, *(device.get("children") or ())):
        for point in part.get("mountpoints") or ():
            if not point:
                continue
            if not _is_temporary(device):
                raise JoinError(f"{part['path']} is in use: {point}")
            node.run(*(("swapoff", str(part["path"])) if point == "[SWAP]" else ("umount", str(point))))
            say(f"took {part['path']} from {point}")


def make(path: str, format_: str) -> None:
    """A new file system on a device, over whatever is there."""
    node.run("wipefs", "--all", "--force", path)
    # Disks that were just given are empty: there is nothing to discard, and that would take minutes.
    quick = {"xfs": ("-f", "-K"), "ext4": ("-F", "-q", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1")}
    node.run(f"mkfs.{format_}", *quick[format_], "-L", LABEL, path)
    say(f"made {format_} on {path}")
