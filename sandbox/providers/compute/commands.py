# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``runCommand``: a script that the machine's agent runs as root.

Where machines are booted it really runs; where they are recorded it prints nothing. Azure takes a script that fails for
one that has been run: its operation succeeds, and only what it printed tells.
"""

from __future__ import annotations

import re

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.machines import OUTPUT_BYTES, Command, MachineError, Output

from . import views
from .extensions import COMMANDS, running
from .limits import INSTANCE, VM
from .shapes import Json, required, tidy

SHELL, POWERSHELL = "runshellscript", "runpowershellscript"
WORK = "compute.command"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Commands:
    """Handlers of ``runCommand`` on machines and on instances."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        for kind in (VM, INSTANCE):
            self._core.router.action(kind, "runCommand", self.run_command)
        self._core.operations.register(WORK, self.work, apart=True)

    def run_command(self, request: Request) -> Answer:
        given = tidy(request.body or {})
        with self._core.store.transaction():
            command = str(required(given, "commandId"))
            machine = running(self._core, request.id)
            if command.lower() not in (SHELL, POWERSHELL):
                message = f"The command with id '{command}' was not found."
                raise ArmError(404, "NotFound", message, target="commandId")
            if any(one.record["work"] == WORK for one in self._core.operations.active(machine.id)):
                message = (
                    "Run command extension execution is in progress. Please wait for completion before invoking a run "
                    "command."
                )
                raise ArmError(409, "Conflict", message)
            return self._core.operations.begin(
                request, WORK, machine.id, style=COMMANDS, location=machine.body["location"], latency=10,
                args={"windows": command.lower() == POWERSHELL, "script": _lines(given), "with": _parameters(given),
                      "flat": request.api_version < "2018"},
            )  # fmt: skip

    def work(self, run: Run) -> Json | list[Json]:
        statuses = self._statuses(run)
        # Versions up to 2017 tell the statuses themselves.
        return statuses if run.args.get("flat") else {"value": statuses}

    def _statuses(self, run: Run) -> list[Json]:
        machine = self._core.store.get(run.resource_id)
        # A script is not run twice: nobody knows how far it came before the server died.
        if machine is None or run.resumed or machine.internal.get("silent") or machine.internal.get("crashed"):
            raise _no_status(run.resource_id)
        if run.args["windows"]:
            return _windows()
        parameters = [(str(name), str(value)) for name, value in run.args["with"]]
        command = Command(
            script=run.args["script"],
            arguments=tuple(value for _unused, value in parameters),
            environment=tuple((name, value) for name, value in parameters if NAME.match(name)),
        )
        try:
            return _linux(self._core.driver.run(machine.id, command))
        except MachineError:
            raise _no_status(run.resource_id) from None


def _lines(given: Json) -> str:
    lines = given.get("script") or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise invalid_parameter("script", "The value of parameter script is invalid.")
    return "".join(f"{line}\n" for line in lines)


def _parameters(given: Json) -> list[list[str]]:
    """Names and values: the values are arguments of the script, and variables of its environment."""
    parameters = given.get("parameters") or []
    if not isinstance(parameters, list) or not all(isinstance(one, dict) for one in parameters):
        raise invalid_parameter("parameters", "The value of parameter parameters is invalid.")
    return [[str(one.get("name", "")), str(one.get("value", ""))] for one in parameters]


def _no_status(machine_id: str) -> ArmError:
    name = machine_id.rsplit("/", 1)[1]
    message = (
        f"VM '{name}' has not reported status for VM agent or extensions. Verify that the OS is up and healthy, the VM "
        "has a running VM agent, and that it can establish outbound connections to Azure storage. Please refer to "
        "https://aka.ms/vmextensionlinuxtroubleshoot for additional VM agent troubleshooting information."
    )
    return ArmError(409, "VMAgentStatusCommunicationError", message)


def _linux(output: Output) -> list[Json]:
    text = "Enable succeeded: \n[stdout]\n{}\n[stderr]\n{}".format(*map(_shown, (output.stdout, output.stderr)))
    return [views.status("ProvisioningState/succeeded", "Provisioning succeeded", message=text)]


def _shown(stream: bytes) -> str:
    """The end of a stream; a character that was cut in two is lost."""
    return stream[-OUTPUT_BYTES:].decode(errors="replace")


def _windows() -> list[Json]:
    parts = [f"ComponentStatus/{stream}/succeeded" for stream in ("StdOut", "StdErr")]
    return [{**views.status(code, "Provisioning succeeded"), "message": ""} for code in parts]
