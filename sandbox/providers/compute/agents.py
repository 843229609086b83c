# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the agent of a machine reports for the first time.

A Linux machine is provisioned when its agent says so. Windows (since 2016) is provisioned a while before, and so is a
machine whose disk has its users already, because nobody waits for its agent. Until the agent reports, Azure shows the
machine as running, with an agent that is not ready; whatever the agent has to do (an extension) waits for it.
``internal["agent_due"]`` is the time of its first report. On an empty disk there is no agent.
"""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.store import Resource
from sandbox.clock import clock

from .shapes import Json

SECONDS = 120.0
LEAST = 5.0
"""Seconds from a new machine to its agent's first report where Azure does not wait for it: at time scale 1, at any."""
PREPARED = ("Copy", "FromImage", "Restore")


def begin(core: Core, vm: Resource) -> None:
    """A new machine has booted."""
    origin = _origin(core, vm)
    windows = vm.properties["storageProfile"]["osDisk"].get("osType") == "Windows"
    late = windows and not str(vm.internal.get("os_version", "")).startswith("6.")

    def change(row: Resource) -> None:
        if origin == "Empty":
            row.internal["silent"] = "never"
        elif late or origin in PREPARED:
            row.internal["agent_due"] = clock.now() + max(SECONDS * core.settings.time_scale, LEAST)

    core.store.update(vm.id, change)


def _origin(core: Core, vm: Resource) -> str:
    """What the OS disk was made of that the machine attaches; empty if it does not attach a managed one."""
    disk = vm.properties["storageProfile"]["osDisk"]
    if disk.get("createOption") != "Attach" or "managedDisk" not in disk:
        return ""
    known = core.store.get(disk["managedDisk"].get("id", ""))
    return str((known.properties.get("creationData") or {}).get("createOption", "")) if known is not None else ""


def reported(core: Core, vm_id: str) -> None:
    """The agent has done something, so it is there."""
    known = core.store.get(vm_id)
    if known is not None and "agent_due" in known.internal:
        core.store.update(vm_id, lambda row: row.internal.pop("agent_due", None))


def seen(internal: Json) -> Json:
    """What is known of a machine, as the instance view takes it: silent until its agent has reported."""
    waiting = internal.get("power") == "running" and clock.now() < internal.get("agent_due", 0.0)
    return {**internal, "silent": "never"} if waiting else internal
