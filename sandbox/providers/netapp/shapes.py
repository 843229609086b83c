# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure NetApp Files: names, sizes, throughputs and the bodies of accounts, pools and volumes. Pure."""

from __future__ import annotations

import re
from typing import Any

from sandbox.arm import ids
from sandbox.arm.errors import ArmError
from sandbox.arm.operations import Style, stamp

Json = dict[str, Any]
ACCOUNT = "Microsoft.NetApp/netAppAccounts"
POOL = f"{ACCOUNT}/capacityPools"
VOLUME = f"{POOL}/volumes"
STYLE = Style("netapp", "Microsoft.NetApp", segment="operationResults", retry=5, poll=5)
TIB, GIB = 1 << 40, 1 << 30
POOL_MIN, POOL_MAX = 1, 2048
VOLUME_MIN, VOLUME_MAX = 50, 102400
FLEXIBLE_MIN = 128
# MiB/s for each TiB.
SERVICE_LEVELS = {"Standard": 16, "Premium": 64, "Ultra": 128, "Flexible": 0}
PROTOCOLS = ("NFSv3", "NFSv4.1", "CIFS")
NAMES = {
    ACCOUNT: re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,127}"),
    POOL: re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,63}"),
    VOLUME: re.compile(r"[a-zA-Z][a-zA-Z0-9\-_]{0,63}"),
}
TOKEN = re.compile(r"[a-zA-Z][a-zA-Z0-9\-]{0,79}")


def invalid(value: Any, field: str, rule: str) -> ArmError:
    """400 as Microsoft.NetApp words it."""
    text = f"An invalid value '{value}' was received for {field}. {rule}"
    return ArmError(400, "InvalidValueReceived", text)


def fixed(field: str) -> ArmError:
    return ArmError(400, "InvalidRequest", f"{field} cannot be changed.")


def too_small() -> ArmError:
    return ArmError(400, "PoolSizeTooSmall", "Pool size too small for total volume size.")


def check_name(kind: str, name: str) -> None:
    if not NAMES[kind].fullmatch(name):
        raise invalid(name, kind.rpartition("/")[2], f"The name must match the pattern ^{NAMES[kind].pattern}$")


def pool_size(given: Json, known: int | None = None) -> int:
    """The size in bytes. 400 if it is not a whole number of TiB from 1 to 2048."""
    size = given.get("size", known)
    if not isinstance(size, int) or isinstance(size, bool) or size < POOL_MIN * TIB:
        raise invalid(size, "Pool.Size", f"Must be {POOL_MIN} tebibytes in bytes or higher")
    if size > POOL_MAX * TIB or size % TIB:
        raise invalid(size, "Pool.Size", f"Must be a multiple of 1 tebibyte in bytes, at most {POOL_MAX} tebibytes")
    return size


def pool_throughput(level: str, size: int, custom: Any) -> float:
    """The throughput of a pool in MiB/s. 400 for one that a Flexible pool cannot have."""
    if level != "Flexible":
        if custom:
            raise invalid(custom, "Pool.CustomThroughputMibps", "Only pools of service level Flexible have one")
        return float(SERVICE_LEVELS[level] * size // TIB)
    most = 5 * FLEXIBLE_MIN * size // TIB
    if not isinstance(custom, int | float) or not FLEXIBLE_MIN <= custom <= most:
        raise invalid(custom, "Pool.CustomThroughputMibps", f"Must be between {FLEXIBLE_MIN} and {most}")
    return float(custom)


def volume_size(size: Any) -> int:
    """The size in bytes. 400 if it is not a whole number of GiB from 50 to 102400."""
    if not isinstance(size, int) or isinstance(size, bool) or not VOLUME_MIN * GIB <= size <= VOLUME_MAX * GIB:
        rule = f"Must be between {VOLUME_MIN} and {VOLUME_MAX} gibibytes in bytes"
        raise invalid(size, "Volume.UsageThreshold", rule)
    if size % GIB:
        raise invalid(size, "Volume.UsageThreshold", "Must be a multiple of 1 gibibyte in bytes")
    return size


def service_level(given: Json, default: str) -> str:
    level = str(given.get("serviceLevel") or default)
    if level not in SERVICE_LEVELS:
        raise invalid(level, "ServiceLevel", f"Must be one of {', '.join(SERVICE_LEVELS)}")
    return level


def protocols(given: Json) -> list[str]:
    """Which NFS a volume speaks: one of them. 400 for SMB, which this service has and the sandbox has not."""
    asked = given.get("protocolTypes") or ["NFSv3"]
    if not isinstance(asked, list) or any(one not in PROTOCOLS for one in asked):
        raise invalid(asked, "Volume.ProtocolTypes", f"Must be of {', '.join(PROTOCOLS)}")
    if len(asked) != 1 or asked[0] == "CIFS":
        raise invalid(asked, "Volume.ProtocolTypes", "Here a volume has one protocol, NFSv3 or NFSv4.1")
    return list(asked)


def export_policy(given: Json, protocol: str) -> Json:
    """The rules of a volume, with the one that there is if none are given."""
    rules = (given.get("exportPolicy") or {}).get("rules")
    if rules is None:
        rules = [{"ruleIndex": 1, "allowedClients": "0.0.0.0/0", "unixReadWrite": True}]
    usual = {
        "unixReadOnly": False,
        "unixReadWrite": True,
        "cifs": False,
        "nfsv3": protocol == "NFSv3",
        "nfsv41": protocol == "NFSv4.1",
        "kerberos5ReadOnly": False,
        "kerberos5ReadWrite": False,
        "kerberos5iReadOnly": False,
        "kerberos5iReadWrite": False,
        "kerberos5pReadOnly": False,
        "kerberos5pReadWrite": False,
        "hasRootAccess": True,
        "chownMode": "Restricted",
    }
    if not isinstance(rules, list) or any(not isinstance(rule, dict) for rule in rules) or len(rules) > 5:
        raise invalid("rules", "Volume.ExportPolicy", "Must be a list of at most 5 rules")
    indexes = [rule.get("ruleIndex") for rule in rules]
    if len(set(indexes)) != len(indexes) or None in indexes:
        raise invalid(indexes, "ExportPolicyRule.RuleIndex", "Must be unique")
    for rule in rules:
        if rule.get("unixReadOnly") and rule.get("unixReadWrite", "unixReadOnly" not in rule):
            raise invalid(rule["ruleIndex"], "ExportPolicyRule", "A rule is either read-only or read-write")
    return {"rules": [{**usual, **rule} for rule in rules]}


def body(rid: ids.ResourceId, location: str, tags: Json | None, properties: Json, now: float) -> Json:
    """A new resource as it is shown: its name has all names of its parents."""
    return {
        "id": str(rid),
        "name": "/".join(rid.names),
        "type": rid.type,
        "etag": etag(now),
        "location": location,
        **({"tags": tags} if tags is not None else {}),
        "properties": {**properties, "provisioningState": "Creating"},
    }


def etag(now: float) -> str:
    return f"W/\"datetime'{stamp(now).replace('+00:00', 'Z').replace(':', '%3A')}'\""
