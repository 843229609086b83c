# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of virtual machines: kept, shown and reported by the machine's agent; nothing of them runs in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run, Style
from sandbox.arm.store import Resource

from . import agents, views
from .limits import VM
from .shapes import Json, merge, refuse_while_deleting, tidy
from .sizes import normal_location
from .writes import delete_later

EXTENSION = f"{VM}/extensions"
COMMANDS = Style("commands", "Microsoft.Compute", output=True, headers={"azure-asyncnotification": "Enabled"})
"""Actions whose operation has a result: commands, patches."""
HIDDEN = ("protectedSettings", "protectedSettingsFromKeyVault")


class Extensions:
    """Handlers of extensions."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        core = self._core
        core.operations.add_style(COMMANDS)
        core.router.resource(
            EXTENSION,
            get=core.get_handler,
            put=partial(self.write, True),
            patch=partial(self.write, False),
            delete=self.delete,
            list=core.list_handler,
        )
        core.operations.register("compute.extension.put", self.work_put)
        core.operations.register("compute.extension.delete", self.work_delete)

    def write(self, replace: bool, request: Request) -> Answer:
        given = tidy(request.body)
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id) if replace else self._core.require(request.id)
            owner = request.id.parent or request.id
            machine = running(self._core, owner)
            asked = {key: value for key, value in (given.get("properties") or {}).items() if key not in HIDDEN}
            if known is not None:
                asked = merge({k: v for k, v in known.properties.items() if k != "provisioningState"}, asked)
            resource = known or Resource(str(request.id), {})
            tags = given.get("tags", resource.body.get("tags"))
            resource.body = extension_body(
                str(request.id), machine.body["location"], asked, "Updating" if known else "Creating", tags
            )
            self._core.store.put(resource)
            return self._core.operations.begin(
                request, "compute.extension.put", resource.id, style=COMPUTE, status=200 if known else 201,
                body=resource.body, headers="aao", location=resource.body["location"], latency=25,
            )  # fmt: skip

    def delete(self, request: Request) -> Answer:
        return delete_later(self._core, request, "compute.extension.delete", 15)

    def work_put(self, run: Run) -> None:
        def change(extension: Resource) -> None:
            extension.properties["provisioningState"] = "Succeeded"

        self._core.store.update(run.resource_id, change)
        agents.reported(self._core, run.resource_id.rpartition("/extensions/")[0])

    def work_delete(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)


def running(core: Core, rid: ResourceId) -> Resource:
    """The machine, which must run: 404, or 409 OperationNotAllowed."""
    machine = core.require(rid)
    refuse_while_deleting(machine.body)
    if machine.internal.get("power") in ("stopped", "stopping", "deallocated", "deallocating"):
        message = "Cannot modify extensions in the VM when the VM is not running."
        raise ArmError(409, "OperationNotAllowed", message)
    return machine


def extension_body(extension_id: str, location: str, asked: Json, state: str, tags: Any = None) -> Json:
    """An extension as ARM shows it; what it must not tell has been taken out of ``asked``."""
    return {
        "name": extension_id.rsplit("/", 1)[1],
        "id": extension_id,
        "type": EXTENSION,
        "location": normal_location(location),
        **({"tags": tags} if tags else {}),
        "properties": {"autoUpgradeMinorVersion": False, **asked, "provisioningState": state},
    }


def of_machine(core: Core, vm_id: str) -> list[Json]:
    """The extensions of a machine, as its ``resources`` show them."""
    return [extension.body for extension in core.store.list(EXTENSION, parent=vm_id)]


def on_body(body: Json, extensions: list[Json], *, brief: bool = False) -> Json:
    """A machine's body with its extensions; a list of machines tells no more than their ids."""
    if not extensions:
        return body
    return {**body, "resources": [{"id": entry["id"]} for entry in extensions] if brief else extensions}


def on_view(view: Json, extensions: list[Json]) -> Json:
    """A machine's instance view with what its agent says about extensions."""
    if not extensions or "vmAgent" not in view:
        return view
    reported, handlers = [], []
    for extension in extensions:
        properties = extension["properties"]
        kind = f"{properties.get('publisher')}.{properties.get('type')}"
        known = {"type": kind, "typeHandlerVersion": f"{properties.get('typeHandlerVersion')}.0"}
        shown = "Provisioning succeeded"
        done = views.status("ProvisioningState/succeeded", shown, message="Enable succeeded.")
        reported.append({"name": extension["name"], **known, "statuses": [done]})
        ready = views.status("ProvisioningState/succeeded", "Ready", message="Plugin enabled")
        handlers.append({**known, "status": ready})
    agent = {**view["vmAgent"], "extensionHandlers": handlers}
    return {**view, "vmAgent": agent, "extensions": reported}
