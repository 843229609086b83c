# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance views: what a machine is doing, in the words of ``statuses``. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sandbox.arm.operations import stamp

from .shapes import Json

AGENT = "2.11.1.4"
_POWER = {
    "starting": "VM starting",
    "running": "VM running",
    "stopping": "VM stopping",
    "stopped": "VM stopped",
    "deallocating": "VM deallocating",
    "deallocated": "VM deallocated",
}
_SHOWN = {
    "Creating": "Creating",
    "Updating": "Updating",
    "Deleting": "Deleting",
    "Succeeded": "Provisioning succeeded",
    "Failed": "Provisioning failed",
}


def status(code: str, shown: str, *, level: str = "Info", at: float = 0.0, message: str = "") -> Json:
    return {
        "code": code,
        "level": level,
        "displayStatus": shown,
        **({"message": message} if message else {}),
        **({"time": stamp(at)} if at else {}),
    }


def provisioning(state: str, changed: float, error: Json | None = None) -> Json:
    """The status that tells a provisioningState; a failure has its code after it, as Azure writes it."""
    if state == "Failed":
        code = f"ProvisioningState/failed/{error['code']}" if error else "ProvisioningState/failed"
        text = str(error["message"]) if error else ""
        return status(code, _SHOWN[state], level="Error", at=changed, message=text)
    settled = changed if state == "Succeeded" else 0.0
    return status(f"ProvisioningState/{state.lower()}", _SHOWN.get(state, state), at=settled)


def machine_statuses(body: Json, internal: Json, changed: float) -> list[Json]:
    """``statuses`` of a VM or an instance."""
    statuses = [provisioning(body["properties"].get("provisioningState", "Succeeded"), changed, internal.get("error"))]
    if internal.get("generalized"):
        statuses.append(status("OSState/generalized", "VM generalized"))
    power = internal.get("power")
    if power:
        statuses.append(status(f"PowerState/{power}", _POWER[power]))
    if power == "running" and body["properties"].get("proximityPlacementGroup"):
        statuses.append(status("ColocationStatus/Aligned", "Aligned"))
    return statuses


def machine(body: Json, internal: Json, *, created: float, changed: float) -> Json:
    """The instance view of a VM or of an instance of a scale set.

    ``internal``: ``power`` (empty before the machine was allocated), ``error``, ``generalized``, ``agent`` (True once
    the guest
    has reported), ``os_name``, ``os_version``, ``placement_group``, ``placement`` [fault domain, update domain].
    """
    properties = body["properties"]
    view: Json = {}
    if "placement" in internal:
        fault, update = internal["placement"]
        if "placement_group" in internal:
            view["placementGroupId"] = internal["placement_group"]
        view["platformUpdateDomain"] = update
        view["platformFaultDomain"] = fault
    if internal.get("silent") == "never":
        view["vmAgent"] = _agent(False, changed, version="Unknown")
    elif internal.get("agent") and internal.get("power") in ("running", "stopped", "starting", "stopping"):
        view["computerName"] = properties.get("osProfile", {}).get("computerName", body["name"])
        view["osName"] = internal.get("os_name", "")
        view["osVersion"] = internal.get("os_version", "")
        view["vmAgent"] = _agent(internal.get("power") == "running", changed, lost=internal.get("silent") == "lost")
    storage = properties.get("storageProfile", {})
    names = [disk.get("name") for disk in [storage.get("osDisk", {}), *storage.get("dataDisks", [])]]
    done = status("ProvisioningState/succeeded", "Provisioning succeeded", at=created)
    view["disks"] = [{"name": name, "statuses": [done]} for name in names if name]
    boot = (properties.get("diagnosticsProfile") or {}).get("bootDiagnostics") or {}
    if boot.get("enabled"):
        view["bootDiagnostics"] = _boot_diagnostics(body, boot.get("storageUri", ""))
    view["hyperVGeneration"] = internal.get("generation", "V1")
    view["statuses"] = machine_statuses(body, internal, changed)
    return view


def _boot_diagnostics(body: Json, storage: str) -> Json:
    """Where screenshots and the serial console are kept; storage that Azure manages is not told."""
    if not storage:
        return {}
    vm_id = body["properties"].get("vmId", "")
    kept = f"{storage.rstrip('/')}/bootdiagnostics-{body['name'].lower()[:9]}-{vm_id}/{body['name']}.{vm_id}"
    return {
        "consoleScreenshotBlobUri": f"{kept}.screenshot.bmp",
        "serialConsoleLogBlobUri": f"{kept}.serialconsole.log",
    }


def _agent(ready: bool, at: float, *, version: str = AGENT, lost: bool = False) -> Json:
    if ready and not lost:
        state = status("ProvisioningState/succeeded", "Ready", at=at, message="Guest Agent is running")
    else:
        state = status(
            "ProvisioningState/Unavailable",
            "Not Ready",
            level="Warning",
            at=at,
            message="VM Agent is unresponsive." if lost else "VM status blob is found but not yet populated.",
        )
    return {"vmAgentVersion": version, "statuses": [state], "extensionHandlers": []}


def scale_set(body: Json, states: Iterable[str], changed: float, error: Json | None = None) -> Json:
    """The instance view of a scale set: how many instances are in which provisioningState."""
    counts = Counter(f"ProvisioningState/{state.lower()}" for state in states)
    summary: list[dict[str, Any]] = [{"code": code, "count": count} for code, count in sorted(counts.items())]
    state = body["properties"].get("provisioningState", "Succeeded")
    return {"virtualMachine": {"statusesSummary": summary}, "statuses": [provisioning(state, changed, error)]}
