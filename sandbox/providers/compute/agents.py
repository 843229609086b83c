# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the agent of a machine reports for the first time.

A Linux machine is provisioned when its agent says so. Windows (since 2016) is provisioned a while before: until
then Azure shows the machine as running, with an agent that is not ready. Whatever the agent has to do (an extension)
waits for it. ``internal["agent_due"]`` is the time of its first report.
"""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.store import Resource
from sandbox.clock import clock

from .shapes import Json

SECONDS = 120.0
LEAST = 5.0
"""Seconds from a new Windows machine to its agent's first report: at time scale 1, and at any."""


def begin(core: Core, vm: Resource) -> None:
    """A new machine has booted."""
    windows = vm.properties["storageProfile"]["osDisk"].get("osType") == "Windows"
    if not windows or str(vm.internal.get("os_version", "")).startswith("6."):
        return

    def change(row: Resource) -> None:
        row.internal["agent_due"] = clock.now() + max(SECONDS * core.settings.time_scale, LEAST)

    core.store.update(vm.id, change)


def reported(core: Core, vm_id: str) -> None:
    """The agent has done something, so it is there."""
    known = core.store.get(vm_id)
    if known is not None and "agent_due" in known.internal:
        core.store.update(vm_id, lambda row: row.internal.pop("agent_due", None))


def seen(internal: Json) -> Json:
    """What is known of a machine, as the instance view takes it: silent until its agent has reported."""
    waiting = internal.get("power") == "running" and clock.now() < internal.get("agent_due", 0.0)
    return {**internal, "silent": "never"} if waiting else internal
