# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes that virtual machines, scale sets and images share: profiles with the values that Azure fills in.

Functions here are pure: they take request bodies and facts, and give what is stored and answered. What must never be
answered (passwords, custom data) is kept apart by ``take_secrets``.
"""

from __future__ import annotations

import copy
import random
import re
from dataclasses import dataclass
from typing import Any

from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.shapes import unquoted

Json = dict[str, Any]


@dataclass(frozen=True)
class ImageFacts:
    """What an image decides about a machine.

    ``exact_version`` is empty for captured images; ``image_id`` is what the driver knows a captured disk by, empty for
    its base image. A ``specialized`` image has its users already: machines made of it have no ``osProfile``.
    ``data`` are its data disks: lun, GiB, caching, kind of storage. Kinds are empty where the size decides.
    """

    os: str
    generation: str
    gib: int
    exact_version: str = ""
    image_id: str = ""
    os_name: str = ""
    os_version: str = ""
    architecture: str = "x64"
    specialized: bool = False
    data: tuple[tuple[int, int, str, str], ...] = ()
    storage: str = ""

    def storage_of(self, lun: int) -> str:
        """The kind of storage of the data disk with this lun."""
        return next((kind for number, _gib, _caching, kind in self.data if number == lun), "")


def refuse_while_deleting(body: Json) -> None:
    """409 Conflict, as Compute words it, for a write to something that is on its way out."""
    if body["properties"].get("provisioningState") == "Deleting":
        message = (
            "The request failed due to conflict with a concurrent request. To resolve it, please refer to "
            "https://aka.ms/activitylog to get more details on the conflicting requests."
        )
        raise ArmError(409, "Conflict", message)


def hex32() -> str:
    return f"{random.getrandbits(128):032x}"


def merge(base: Any, patch: Any) -> Any:
    """A JSON merge patch: objects merge, null removes, everything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict) or not isinstance(base, dict):
        return copy.deepcopy(patch)
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def tidy(value: Any) -> Any:
    """Without the nulls that serialisers send for what is not set."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return value


def take_secrets(profile: Json) -> Json:
    """Remove from an ``osProfile`` what is never answered, and give it back: adminPassword and customData."""
    return {key: profile.pop(key) for key in ("adminPassword", "customData") if key in profile}


# fmt: off
_WORDS = {
    "createOption": ("FromImage", "Empty", "Attach", "Copy", "Restore"),
    "caching": ("None", "ReadOnly", "ReadWrite"),
    "deleteOption": ("Delete", "Detach"),
    "osType": ("Linux", "Windows"),
    "mode": ("Manual", "Automatic", "Rolling"),
    "priority": ("Regular", "Low", "Spot"),
    "evictionPolicy": ("Deallocate", "Delete"),
    "orchestrationMode": ("Uniform", "Flexible"),
    "diskControllerType": ("SCSI", "NVMe"),
    "storageAccountType": (
        "Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS", "PremiumV2_LRS",
        "UltraSSD_LRS",
    ),
}
_NUMBERS = {
    "capacity", "lun", "diskSizeGB", "platformFaultDomainCount", "platformUpdateDomainCount", "idleTimeoutInMinutes",
    "maxBatchInstancePercent", "maxUnhealthyInstancePercent", "maxUnhealthyUpgradedInstancePercent",
}
_TRUTHS = {
    "primary", "enabled", "overprovision", "singlePlacementGroup", "zoneBalance", "enableIPForwarding",
    "enableAcceleratedNetworking", "provisionVMAgent", "enableAutomaticUpdates", "disablePasswordAuthentication",
    "writeAcceleratorEnabled", "ultraSSDEnabled", "encryptionAtHost", "secureBootEnabled", "vTpmEnabled",
    "enableAutomaticOSUpgrade", "disableAutomaticRollback", "autoUpgradeMinorVersion", "enableAutomaticUpgrade",
}
# What is somebody else's to read.
_FOREIGN = {"tags", "settings", "protectedSettings"}
# fmt: on
# Keys that clients are known to spell in another case than Azure.
_KEYS = {"publicipaddressconfiguration": "publicIPAddressConfiguration"}


def canonical(value: Any) -> Any:
    """The same body with Azure's spelling of words that it takes in any case, such as ``fromImage`` or ``manual``,
    and of numbers and truth values that templates write as strings.
    """
    if isinstance(value, dict):
        spelled = {}
        for said, item in value.items():
            key = _KEYS.get(said.lower(), said)
            if key in _WORDS and isinstance(item, str):
                item = next((word for word in _WORDS[key] if word.lower() == item.lower()), item)
            elif key in _NUMBERS and isinstance(item, str):
                item = unquoted(item, int)
            elif key in _TRUTHS and isinstance(item, str):
                item = unquoted(item, bool)
            spelled[key] = item if key in _FOREIGN else canonical(item)
        return spelled
    return [canonical(item) for item in value] if isinstance(value, list) else value


def required(body: Json, path: str) -> Any:
    """The value at a dotted path, or 400 InvalidParameter as Azure words a missing one."""
    value: Any = body
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value in (None, ""):
        target = path.removeprefix("properties.").split(".", 1)[-1] if "." in path else path
        raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
    return value


# Keys of disks that have defaults; all others are shown as they were given.
_OS_DISK = ("osType", "name", "createOption", "caching", "managedDisk", "deleteOption", "diskSizeGB")
_DATA_DISK = ("lun", "name", "createOption", "caching", "managedDisk", "deleteOption", "diskSizeGB", "toBeDetached")


def os_disk(given: Json, image: ImageFacts | None, *, storage_type: str, scale_set: bool) -> Json:
    """An ``osDisk`` with its defaults. A scale set's model has no name and no deleteOption of its own."""
    disk: Json = {"osType": given.get("osType") or (image.os if image else "Linux")}
    if given.get("name") and not scale_set:
        disk["name"] = given["name"]
    disk["createOption"] = given.get("createOption") or "FromImage"
    local = given.get("diffDiskSettings")
    disk["caching"] = given.get("caching") or ("ReadOnly" if local else "ReadWrite")
    disk.update({key: value for key, value in given.items() if key not in _OS_DISK})
    if "vhd" not in given and "vhdContainers" not in given and "image" not in given:
        managed = dict(given.get("managedDisk") or {})
        managed.setdefault("storageAccountType", "Standard_LRS" if local else storage_type)
        disk["managedDisk"] = managed
    if not scale_set or "deleteOption" in given:
        disk["deleteOption"] = given.get("deleteOption") or ("Delete" if local else "Detach")
    size = given.get("diskSizeGB") or (image.gib if image else 0)
    if size:
        disk["diskSizeGB"] = size
    return disk


def disk_controller(storage: Json, image: ImageFacts | None) -> Json:
    """``diskControllerType``, which machines of generation 2 have whether they ask for it or not."""
    if "diskControllerType" in storage:
        return {"diskControllerType": storage["diskControllerType"]}
    return {"diskControllerType": "SCSI"} if image is not None and image.generation == "V2" else {}


def check_os_disk(disk: Json, image: ImageFacts | None) -> None:
    """400 if the disk is smaller than its image."""
    size = disk.get("diskSizeGB", 0)
    if image is not None and size and size < image.gib:
        message = (
            f"The specified disk size {size} GB is smaller than the size of the corresponding disk in the VM image: "
            f"{image.gib} GB. This is not allowed. Please choose equal or greater size or do not specify an explicit "
            "size."
        )
        raise invalid_parameter("osDisk.diskSizeGB", message)


def data_disk(given: Json, *, storage_type: str, scale_set: bool) -> Json:
    """A data disk with its defaults."""
    disk: Json = {"lun": given.get("lun", 0)}
    if given.get("name"):
        disk["name"] = given["name"]
    disk["createOption"] = given.get("createOption") or "Empty"
    disk["caching"] = given.get("caching") or "None"
    disk.update({key: value for key, value in given.items() if key not in _DATA_DISK})
    if "vhd" not in given:
        disk["managedDisk"] = {"storageAccountType": storage_type, **(given.get("managedDisk") or {})}
    if not scale_set:
        disk["deleteOption"] = given.get("deleteOption") or "Detach"
    if given.get("diskSizeGB"):
        disk["diskSizeGB"] = given["diskSizeGB"]
    if not scale_set:
        disk["toBeDetached"] = given.get("toBeDetached", False)
    return disk


def os_profile(given: Json, os: str, *, scale_set: bool) -> Json:
    """An ``osProfile`` with its defaults; secrets must have been taken out."""
    profile = copy.deepcopy(given)
    if os == "Windows":
        windows: Json = {
            "provisionVMAgent": True,
            "enableAutomaticUpdates": True,
            **profile.get("windowsConfiguration", {}),
        }
        if not scale_set:
            windows["patchSettings"] = {
                "patchMode": "AutomaticByOS",
                "assessmentMode": "ImageDefault",
                **windows.get("patchSettings", {}),
            }
            windows.setdefault("enableVMAgentPlatformUpdates", False)
        profile["windowsConfiguration"] = windows
    else:
        profile["linuxConfiguration"] = _linux(profile.get("linuxConfiguration") or {}, scale_set)
    profile.setdefault("secrets", [])
    profile.setdefault("allowExtensionOperations", True)
    profile.setdefault("requireGuestProvisionSignal", True)
    return profile


def _linux(given: Json, scale_set: bool) -> Json:
    linux: Json = {"disablePasswordAuthentication": given.get("disablePasswordAuthentication", False), **given}
    linux.setdefault("provisionVMAgent", True)
    if not scale_set:
        linux["patchSettings"] = {
            "patchMode": "ImageDefault",
            "assessmentMode": "ImageDefault",
            **linux.get("patchSettings", {}),
        }
    return linux


_KEY_PATH = re.compile(r"^/home/(?P<user>[^/]+)/\.ssh/authorized_keys$")


def check_os_profile(given: Json, os: str, *, target: str = "osProfile", name: str = "computerName") -> None:
    """Refuse what Azure refuses: no user, no way to log in, keys at a path that is not the user's, bad host names."""
    user = given.get("adminUsername")
    if not user:
        raise invalid_parameter(
            f"{target}.adminUsername", f"Required parameter '{target}.adminUsername' is missing (null)."
        )
    if user.lower() in ("root", "admin", "administrator", "test", "guest", "console"):
        message = (
            f"The Admin Username specified is not allowed. Username: '{user}' is on the list of disallowed user names."
        )
        raise invalid_parameter("adminUsername", message)
    host = str(given.get(name) or "")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?|[A-Za-z0-9][A-Za-z0-9.-]{0,57}", host):
        kind = "Linux host name" if os != "Windows" else "Windows computer name"
        message = (
            f"{kind} cannot exceed 64 characters in length or contain the following characters: "
            "` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\\\ | ; : ' \\\" , < > / ?."
        )
        raise invalid_parameter(name, message)
    if os == "Windows":
        return
    linux = given.get("linuxConfiguration") or {}
    keys = (linux.get("ssh") or {}).get("publicKeys") or []
    if linux.get("disablePasswordAuthentication") and not keys:
        message = (
            "Authentication using SSH is required: 'linuxConfiguration.disablePasswordAuthentication' is true but "
            "no SSH "
            "public key is given."
        )
        raise invalid_parameter("linuxConfiguration.ssh.publicKeys", message)
    if not keys and not given.get("adminPassword"):
        message = (
            "Authentication using either SSH or by user name and password must be enabled in Linux profile. "
            "For more information, see https://aka.ms/linux-authentication"
        )
        raise invalid_parameter("linuxConfiguration", message)
    for key in keys:
        match = _KEY_PATH.match(str(key.get("path", "")))
        if not match or match["user"] != user:
            message = (
                "Destination path for SSH public keys is currently limited to its default value "
                f"/home/{user}/.ssh/authorized_keys  due to a known issue in Linux provisioning agent."
            )
            raise invalid_parameter("linuxConfiguration.ssh.publicKeys.path", message)
        if not str(key.get("keyData", "")).startswith(("ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-")):
            message = "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
            raise invalid_parameter("linuxConfiguration.ssh.publicKeys.keyData", message)


def ssh_keys(profile: Json) -> tuple[str, ...]:
    """The public keys of an ``osProfile``."""
    linux = profile.get("linuxConfiguration") or {}
    return tuple(str(key.get("keyData", "")).strip() for key in (linux.get("ssh") or {}).get("publicKeys") or [])


def spot_profile(given: Json) -> Json:
    """``priority``, ``evictionPolicy`` and ``billingProfile`` with their defaults; empty for regular machines.

    Raises what Azure raises if they do not go together.
    """
    priority = given.get("priority")
    if priority not in ("Spot", "Low"):
        if given.get("evictionPolicy"):
            code = "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines"
            raise ArmError(409, code, "Eviction policy can be set only on Azure Spot Virtual Machines.")
        return {"priority": priority} if priority else {}
    price = (given.get("billingProfile") or {}).get("maxPrice", -1.0)
    if not isinstance(price, int | float) or (price != -1 and price <= 0):
        raise ArmError(409, "MaxPriceValueInvalid", "Max price can be -1 or greater than 0.00001 USD.")
    return {
        "priority": priority,
        "evictionPolicy": given.get("evictionPolicy") or "Deallocate",
        "billingProfile": {"maxPrice": float(price)},
    }


def base36(number: int, width: int = 6) -> str:
    """A number in base 36, as the computer names of scale set instances have it (upper case, six digits)."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rest] + digits
    return digits.rjust(width, "0")
