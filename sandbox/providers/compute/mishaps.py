# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with one machine: no room for it, it never boots, its agent is silent, it dies.

``internal["silent"]`` is ``never`` (the agent of the machine has not reported yet) or ``lost`` (it has stopped to);
``internal["crashed"]`` tells that the machine is dead although Azure still takes it for running. A start, restart or
deallocation ends both.
"""

from __future__ import annotations

import threading

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.operations import ServerGone
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.fault_codes import CRASH, NEVER_BOOTS, SILENT, worded
from sandbox.faults import Fault
from sandbox.machines import MachineError, PowerState

KINDS = ("Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets/virtualMachines")
VMSS = "Microsoft.Compute/virtualMachineScaleSets"
PATIENCE = 1200.0
"""Seconds that Azure waits for a machine to say that it has booted, at time scale 1."""


def meet(core: Core, resource: Resource) -> Fault | None:
    """The fault scripted for a machine that is about to boot. Raises ArmError if it does not get to that."""
    texts = [resource.id, "/".join((resource.rid.namespace, *resource.rid.types))]
    owner = str((resource.properties.get("virtualMachineScaleSet") or {}).get("id") or resource.rid.parent or "")
    fault = core.faults.machine(*texts, *([owner, VMSS] if owner else []))
    if fault is None or fault.error is None:
        return fault
    name = resource.body["name"]
    error = worded(fault.error, resource.body, None, vm=name)
    if fault.rule.code == NEVER_BOOTS:
        core.driver.delete(resource.id)
        _set(core, resource.id, silent="never")
        _wait(core, fault.delay or PATIENCE * core.settings.time_scale)
    raise ArmError(max(error.status, 409), error.code, error.message, details=error.details)


def booted(core: Core, resource: Resource, fault: Fault | None) -> None:
    """After a boot: the agent reports, unless it is to be silent; a machine that is to die does so later."""
    if fault is not None and fault.rule.code == SILENT:
        _set(core, resource.id, silent="never")
        return
    forget(core, resource)
    if fault is not None and fault.rule.code == CRASH:

        def due() -> None:
            work = clock.worker(_crash_later)
            threading.Thread(target=work, args=(core, resource.id), name="crash", daemon=True).start()

        clock.later(fault.rule.delay, due)


def forget(core: Core, resource: Resource) -> None:
    """A machine that was started anew, or stopped, is what it should be."""
    known = core.store.get(resource.id)
    if known is not None and (known.internal.get("silent") or known.internal.get("crashed")):
        _set(core, resource.id)


def crash(core: Core, name: str, *, stopped: bool = False) -> str:
    """Let a machine die: nothing in it is shut down. Azure notices that its agent is silent, no more.

    ``stopped``: the guest has powered itself off instead; then Azure shows it as stopped. Answers the id; LookupError.
    """
    resource = find(core, name)
    try:
        if core.driver.state(resource.id) == PowerState.RUNNING:
            if stopped:
                core.driver.stop(resource.id)
            else:
                core.driver.crash(resource.id)
    except MachineError as error:
        raise LookupError(error.message) from None

    def change(row: Resource) -> None:
        row.internal["since"] = clock.now()
        if stopped:
            row.internal["power"] = "stopped"
        else:
            row.internal.update(silent="lost", crashed=True)

    core.store.update(resource.id, change)
    return resource.id


def silence(core: Core, name: str, *, end: bool = False) -> str:
    """The agent of a running machine stops to report, or reports again. Answers the id; LookupError."""
    resource = find(core, name)
    _set(core, resource.id, silent="" if end else "lost", crashed=bool(resource.internal.get("crashed")))
    return resource.id


def find(core: Core, name: str) -> Resource:
    """A VM or instance by its id, its name (``hpc_3``) or the name that it has for itself. LookupError if not one."""
    if name.startswith("/"):
        found = [row for row in [core.store.get(name)] if row is not None and "machine" in row.internal]
    else:
        wanted = name.lower()
        rows = [row for kind in KINDS for row in core.store.list(kind)]
        found = [
            row
            for row in rows
            if wanted in (str(row.body["name"]).lower(), str(row.internal["machine"]["computer_name"]).lower())
        ]
    if len(found) != 1:
        raise LookupError(f"{'no machine' if not found else 'more than one machine'} is called {name!r}")
    return found[0]


def _crash_later(core: Core, resource_id: str) -> None:
    try:
        if not core.operations.closed:
            crash(core, resource_id)
    except LookupError:
        return  # it was deleted before it could die


def _set(core: Core, resource_id: str, *, silent: str = "", crashed: bool = False) -> None:
    def change(row: Resource) -> None:
        row.internal.update(silent=silent, crashed=crashed, since=clock.now())

    core.store.update(resource_id, change)


def _wait(core: Core, seconds: float) -> None:
    until = clock.now() + seconds
    clock.later(seconds, lambda: None)
    while clock.now() < until:
        if core.operations.closed:
            raise ServerGone
        clock.pause(0.2)
