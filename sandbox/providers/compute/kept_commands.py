# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``runCommands`` of machines and instances: scripts that are kept, with what came of them.

Writing one runs it. As with ``runCommand``, a script that fails has been run: only what is told of it says so, unless
``treatFailureAsDeploymentFailure`` is set.
"""

from __future__ import annotations

import shlex
from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.machines import OUTPUT_BYTES, Command, MachineError, Output

from .commands import NAME
from .extensions import running
from .limits import INSTANCE, VM
from .shapes import Json, merge, tidy
from .sizes import normal_location
from .writes import delete_later

HIDDEN = ("protectedParameters", "runAsPassword")
WRITE, SCRIPT, DELETE = (f"compute.kept_command.{what}" for what in ("put", "script", "delete"))


class KeptCommands:
    """Handlers of one of the two types."""

    def __init__(self, core: Core, owner: str) -> None:
        self._core = core
        self._kind = f"{owner}/runCommands"

    def register(self) -> None:
        self._core.router.resource(
            self._kind,
            get=self.get,
            put=partial(self.write, True),
            patch=partial(self.write, False),
            delete=self.delete,
            list=self.list_,
        )

    def get(self, request: Request) -> Answer:
        return Answer(200, _shown(self._core.require(request.id), request))

    def list_(self, request: Request) -> Answer:
        owner = self._core.require(request.id)
        found = self._core.store.list(self._kind, parent=owner.id)
        return Answer(200, {"value": [_shown(one, request) for one in found]})

    def write(self, replace: bool, request: Request) -> Answer:
        given = tidy(request.body or {})
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id) if replace else self._core.require(request.id)
            machine = running(self._core, request.id.parent or request.id)
            asked = given.get("properties") or {}
            secret = {key: asked.pop(key) for key in HIDDEN if key in asked}
            if known is not None and not replace:
                asked = merge({k: v for k, v in known.properties.items() if k != "provisioningState"}, asked)
            _check(asked, secret)
            resource = known or Resource(str(request.id), {})
            resource.body = self._body(request, machine, given, asked, known)
            resource.internal["view"] = _view("Pending")
            self._core.store.put(resource)
            later = bool(asked.get("asyncExecution"))
            args = {"script": not later, "secret": secret, "machine": machine.id}
            answer = self._core.operations.begin(
                request, WRITE, resource.id, style=COMPUTE, status=200 if known else 201, body=resource.body,
                headers="aao", location=resource.body["location"], latency=10, args=args,
            )  # fmt: skip
            if later:
                # Who does not wait for the script is told that it has begun: an operation of its own runs it.
                self._core.operations.begin(
                    request,
                    SCRIPT,
                    resource.id,
                    style=COMPUTE,
                    location=resource.body["location"],
                    latency=10,
                    args=args,
                )
        return answer

    def _body(self, request: Request, machine: Resource, given: Json, asked: Json, known: Resource | None) -> Json:
        tags = given.get("tags", known.body.get("tags") if known else None)
        return {
            "name": known.rid.name if known else request.id.name,
            "id": known.id if known else str(request.id),
            "type": self._kind,
            "location": normal_location(machine.body["location"]),
            **({"tags": tags} if tags else {}),
            "properties": {
                "asyncExecution": False,
                "timeoutInSeconds": 0,
                "treatFailureAsDeploymentFailure": False,
                **asked,
                "provisioningState": "Updating" if known else "Creating",
            },
        }

    def delete(self, request: Request) -> Answer:
        return delete_later(self._core, request, DELETE, 10)


class _Works:
    """What the operations of both types do."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def put(self, run: Run) -> None:
        view = self.script(run) if run.args["script"] else None
        kept = self._core.store.get(run.resource_id)
        failed = bool(
            view
            and view["executionState"] != "Succeeded"
            and kept
            and kept.properties.get("treatFailureAsDeploymentFailure")
        )

        def settle(command: Resource) -> None:
            command.properties["provisioningState"] = "Failed" if failed else "Succeeded"

        self._core.store.update(run.resource_id, settle)
        if view and failed:
            message = (
                f"VM has reported a failure when processing extension '{run.resource_id.rsplit('/', 1)[1]}' (publisher "
                "'Microsoft.CPlat.Core' and type 'RunCommandHandlerLinux'). Error message: 'Command execution "
                f"finished, but failed because it returned a non-zero exit code of: '{view['exitCode']}''."
            )
            raise ArmError(409, "VMExtensionProvisioningError", message)

    def script(self, run: Run) -> Json | None:
        """Run it, keep what came of it and give that back."""
        command = self._core.store.get(run.resource_id)
        if command is None:
            return None
        begun = clock.now()
        self._tell(command.id, _view("Running", begun))
        view = self._ran(run, command, begun)
        self._tell(command.id, view)
        return view

    def _ran(self, run: Run, command: Resource, begun: float) -> Json:
        machine = self._core.store.get(run.args["machine"])
        asked = command.properties
        # A script is not run twice: nobody knows how far it came before the server died.
        if machine is None or run.resumed or machine.internal.get("silent") or machine.internal.get("crashed"):
            return _view("Unknown", begun)
        script = (asked.get("source") or {}).get("script")
        if script is None:
            return _view("Failed", begun, message="The script could not be downloaded: nothing serves blobs here.")
        try:
            output = self._core.driver.run(machine.id, _command(script, asked, run.args["secret"]))
        except MachineError:
            return _view("Unknown", begun)
        if output.status < 0 and asked.get("timeoutInSeconds"):
            return _view("TimedOut", begun, output)
        return _view("Succeeded" if output.status == 0 else "Failed", begun, output)

    def _tell(self, command_id: str, view: Json) -> None:
        def change(command: Resource) -> None:
            command.internal["view"] = view

        self._core.store.update(command_id, change)

    def delete(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)


def register(core: Core) -> None:
    for owner in (VM, INSTANCE):
        KeptCommands(core, owner).register()
    works = _Works(core)
    core.operations.register(WRITE, works.put, apart=True)
    core.operations.register(SCRIPT, works.script, apart=True)
    core.operations.register(DELETE, works.delete)


def _check(asked: Json, secret: Json) -> None:
    source = asked.get("source")
    if not isinstance(source, dict) or not any(key in source for key in ("script", "scriptUri", "commandId")):
        message = "Required parameter 'source' is missing (null): one of script, scriptUri and commandId."
        raise ArmError(400, "InvalidParameter", message, target="source")
    if not isinstance(source.get("script", ""), str):
        raise invalid_parameter("script", "The value of parameter script is invalid.")
    for key, where in (("parameters", asked), ("protectedParameters", secret)):
        rows = where.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise invalid_parameter(key, f"The value of parameter {key} is invalid.")
    if not isinstance(asked.get("timeoutInSeconds", 0), int):
        raise invalid_parameter("timeoutInSeconds", "The value of parameter timeoutInSeconds is invalid.")


def _command(script: str, asked: Json, secret: Json) -> Command:
    """Parameters with a name are variables of the environment, the others arguments."""
    rows = [*(asked.get("parameters") or []), *(secret.get("protectedParameters") or [])]
    pairs = [(str(row.get("name", "")), str(row.get("value", ""))) for row in rows]
    if asked.get("runAsUser"):
        script = f'exec runuser -u {shlex.quote(str(asked["runAsUser"]))} -- /bin/sh -c {shlex.quote(script)} sh "$@"\n'
    limit = {"timeout": float(asked["timeoutInSeconds"])} if asked.get("timeoutInSeconds") else {}
    return Command(
        script=script,
        arguments=tuple(value for _unused, value in pairs),
        environment=tuple((name, value) for name, value in pairs if NAME.match(name)),
        **limit,
    )


def _view(state: str, begun: float = 0.0, output: Output | None = None, *, message: str = "") -> Json:
    view: Json = {"executionState": state, "executionMessage": message, "output": "", "error": "", "statuses": []}
    if begun:
        view["startTime"] = stamp(begun)
    if output is not None:
        view |= {"exitCode": output.status, "output": _end(output.stdout), "error": _end(output.stderr)}
    else:
        view["exitCode"] = 0 if state in ("Pending", "Running") else -1
    if state not in ("Pending", "Running"):
        view["endTime"] = stamp(clock.now())
    return view


def _end(stream: bytes) -> str:
    return stream[-OUTPUT_BYTES:].decode(errors="replace")


def _shown(command: Resource, request: Request) -> Json:
    """With what came of it, if that is asked for."""
    if request.query.get("$expand", "").lower() != "instanceview":
        return command.body
    return {**command.body, "properties": {**command.properties, "instanceView": command.internal["view"]}}
