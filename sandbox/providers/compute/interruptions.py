# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the platform does to machines after it has told them: Spot evictions and maintenance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run, ServerGone
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.machines import MachineError, PowerState

from . import mishaps
from .machines import Machines
from .scheduled_events import DURATION, ScheduledEvents

MAINTENANCE = ("Reboot", "Redeploy", "Freeze")
Evict = Callable[[Request], Answer]


class Interruptions:
    """Announces what is going to happen to a machine, waits, and does it."""

    def __init__(self, core: Core, machines: Machines, events: ScheduledEvents) -> None:
        self._core, self._machines, self._events = core, machines, events
        self._evict: dict[str, Evict] = {}

    def register(self) -> None:
        operations = self._core.operations
        operations.register("compute.evict", self.work_evict, apart=True)
        operations.register("compute.maintain", self.work_maintain, apart=True)
        self._core.offer("interruptions", self)
        self._core.admin |= {
            "machines/evict": lambda body: {"id": self.evict_by_name(body["name"], body.get("notice"))},
            "machines/maintain": lambda body: {"id": self.maintain(body["name"], body["type"], body.get("notice"))},
            "machines/crash": lambda body: {
                "id": mishaps.crash(self._core, body["name"], stopped=bool(body.get("stopped")))
            },
            "machines/silence": lambda body: {
                "id": mishaps.silence(self._core, body["name"], end=bool(body.get("end")))
            },
            "machines/events": lambda body: self._events.document(mishaps.find(self._core, body["name"]).id),
        }

    def evicts(self, type: str, evict: Evict) -> None:
        """How machines of a type are evicted, when it is time: a handler that begins the operation."""
        self._evict[type.lower()] = evict

    # evictions

    def announce(self, request: Request, resource: Resource, notice: float | None = None) -> None:
        """Begin the eviction of a Spot machine. 409 OperationNotAllowed for others."""
        if resource.properties.get("priority") not in ("Spot", "Low"):
            message = "Operation 'simulateEviction' is allowed only for Spot Virtual Machines"
            raise ArmError(409, "OperationNotAllowed", message)
        with self._core.store.transaction():
            event = self._events.add("Preempt", resource, notice=notice)
            self._core.operations.begin(
                request, "compute.evict", resource.id, style=COMPUTE, location=resource.body["location"],
                args={"event": event, "type": request.type},
            )  # fmt: skip

    def evict_by_name(self, name: str, notice: float | None = None) -> str:
        """As Azure does when it needs the capacity. Raises LookupError, or ValueError if it is no Spot machine."""
        resource = mishaps.find(self._core, name)
        try:
            self.announce(self._request(resource, "simulateEviction"), resource, notice)
        except ArmError as error:
            raise ValueError(error.message) from None
        return resource.id

    def work_evict(self, run: Run) -> None:
        event = run.args["event"]
        if not self._events.wait(event):
            return
        resource = self._core.store.get(run.resource_id)
        if resource is not None and resource.properties.get("provisioningState") != "Deleting":
            self._evict[run.args["type"].lower()](self._request(resource, "simulateEviction"))
            self._until_off(resource.id)
        self._events.end(event)

    def _until_off(self, resource_id: str) -> None:
        while True:
            row = self._core.store.get(resource_id)
            if row is None or row.internal.get("power") != "running" or row.properties["provisioningState"] == "Failed":
                return
            if self._core.operations.closed:
                raise ServerGone
            clock.pause(0.02)

    # maintenance

    def maintain(self, name: str, kind: str, notice: float | None = None) -> str:
        """Announce maintenance of a machine, and do it when it is time. Raises LookupError, ValueError."""
        if kind not in MAINTENANCE:
            raise ValueError(f"maintenance is one of {', '.join(MAINTENANCE)}")
        resource = mishaps.find(self._core, name)
        request = self._request(resource, "performMaintenance")
        with self._core.store.transaction():
            event = self._events.add(kind, resource, notice=notice)
            self._core.operations.begin(
                request, "compute.maintain", resource.id, style=COMPUTE, location=resource.body["location"],
                args={"event": event, "kind": kind},
            )  # fmt: skip
        return resource.id

    def work_maintain(self, run: Run) -> None:
        if not self._events.wait(run.args["event"]):
            return
        resource = self._core.store.get(run.resource_id)
        if resource is not None and self._core.driver.state(resource.id) == PowerState.RUNNING:
            try:
                if run.args["kind"] == "Freeze":
                    self._freeze(run, resource.id)
                else:
                    self._machines.act("restart", resource)
            finally:
                self._events.end(run.args["event"])
        self._events.end(run.args["event"])

    def _freeze(self, run: Run, resource_id: str) -> None:
        try:
            self._core.driver.freeze(resource_id, True)
            try:
                run.sleep(DURATION["Freeze"])
            finally:
                self._core.driver.freeze(resource_id, False)
        except MachineError as error:
            raise ArmError(409, error.code, error.message) from None

    def _request(self, resource: Resource, action: str) -> Request:
        """What a client would send to let this happen."""
        rid = resource.rid
        type = "/".join((rid.namespace, *rid.types))
        params: dict[str, Any] = {"subscription": rid.subscription, "group": rid.group, "name": rid.name}
        if rid.parent is not None:
            params["parent"] = rid.parent.name
        query = {"api-version": "2024-07-01"}
        base = "https://management.azure.com"
        return Request(self._core, "POST", f"{resource.id}/{action}", params, query, {}, base, None, type, rid)
