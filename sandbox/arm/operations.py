# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long-running operations: accepted by an answer, done in a thread, told by polling, resumed after a restart."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sandbox.arm import ids
from sandbox.arm.errors import ArmError, another_operation, internal_error
from sandbox.arm.messages import Answer, Request
from sandbox.clock import Alarm, clock

if TYPE_CHECKING:
    from sandbox.arm.core import Core

log = logging.getLogger(__name__)
Headers = Literal["aao", "location", "both"]
KEEP_ENDED = 86400.0
WORKERS = 64
PREEMPTED = "OperationPreempted"
"""Raised by work that a newer operation on the resource has overtaken: it ends Canceled, and the
resource is the other's.
"""


class ServerGone(Exception):
    """Raised by work that waits when the server goes down: the next server calls it again."""


@dataclass(frozen=True)
class Style:
    """How one service shows its operations (``docs`` of each field: the URL and the poll bodies).

    ``segment`` is the URL segment of the status resource below ``providers/<namespace>/locations/<location>``,
    ``result_segment`` the one of the Location URL; empty means the status URL with ``&monitor=true``. ``times`` adds
    startTime, endTime and name to the status body. ``output`` adds ``properties.output`` on success if the work
    returned something. ``done`` is the status of a finished Location without a result. ``retry`` and ``poll`` are the
    Retry-After of the first answer and of polls, in seconds at time scale 1; 0 leaves the header out.
    """

    name: str
    namespace: str
    segment: str = "operations"
    result_segment: str = ""
    times: bool = True
    output: bool = False
    done: int = 200
    retry: float = 10
    poll: float = 10
    headers: dict[str, str] = field(default_factory=dict)


COMPUTE = Style("compute", "Microsoft.Compute", headers={"azure-asyncnotification": "Enabled"})
DISKS = Style("disks", "Microsoft.Compute", segment="DiskOperations", output=True, retry=2, poll=2)
IMAGES = Style("images", "Microsoft.Compute", retry=2, poll=2)
NETWORK = Style("network", "Microsoft.Network", result_segment="operationResults", times=False, done=204, retry=3)
STORAGE_CACHE = Style("storagecache", "Microsoft.StorageCache", segment="ascOperations", retry=30, poll=30)
GROUPS = Style("groups", "", result_segment="operationresults", times=False, retry=15, poll=15)
STYLES = (COMPUTE, DISKS, IMAGES, NETWORK, STORAGE_CACHE, GROUPS)


@dataclass
class Run:
    """One execution of an operation, as its work sees it.

    ``fault`` is the scripted failure for this operation, if the work was registered with ``handles_faults``.
    ``resumed`` tells that an earlier server process began the same work.
    """

    core: Core
    id: str
    resource_id: str
    args: dict[str, Any]
    fault: ArmError | None = None
    resumed: bool = False

    def sleep(self, seconds: float) -> None:
        """Wait as long as Azure would, times the time scale."""
        scaled = seconds * self.core.settings.time_scale
        clock.sleep(scaled)


Work = Callable[[Run], Any]


@dataclass
class Operation:
    """One operation as stored."""

    id: str
    resource: str
    status: str
    started: float
    ended: float | None
    record: dict[str, Any]

    @property
    def error(self) -> ArmError | None:
        error = self.record.get("error")
        return ArmError.from_record(error) if error else None


class Operations:
    """All operations of a sandbox."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._works: dict[str, tuple[Work, bool]] = {}
        self._apart: set[str] = set()
        self._styles = {style.name: style for style in STYLES}
        self._pool = ThreadPoolExecutor(WORKERS, "operation")
        self._timers: dict[str, Alarm] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """The server goes down: works that wait for something should stop waiting."""
        return self._closed

    def register(self, name: str, work: Work, *, handles_faults: bool = False, apart: bool = False) -> None:
        """Name a piece of work.

        The work is called in a thread, may block, and may raise ArmError: then the operation ends Failed with it, and a
        resource whose provisioningState was not final becomes Failed. What it returns is the operation's output (JSON).
        It is called again after a restart of the server, with the same arguments: it must bear being repeated.
        Scripted asynchronous faults fail the operation before the work, unless it handles them itself.
        ``apart``: work that waits for other operations gets a thread of its own, so that it cannot keep them waiting.
        """
        self._works[name] = (work, handles_faults)
        if apart:
            self._apart.add(name)

    def add_style(self, style: Style) -> None:
        """Make a further service's style known and its URLs answered."""
        self._styles[style.name] = style
        self._add_routes(style)

    def add_routes(self) -> None:
        """Answer the status URLs of the built-in styles."""
        for style in STYLES:
            self._add_routes(style)

    def _add_routes(self, style: Style) -> None:
        head = "/subscriptions/{subscription}"
        if style.namespace:
            head += f"/providers/{style.namespace}/locations/{{location}}"
        self._core.router.add("GET", f"{head}/{style.segment}/{{operation}}", self._status)
        if style.result_segment:
            self._core.router.add("GET", f"{head}/{style.result_segment}/{{operation}}", self._result)

    def begin(
        self,
        request: Request,
        work: str,
        resource_id: str | ids.ResourceId,
        *,
        style: Style,
        status: int = 202,
        body: Any = None,
        headers: Headers = "both",
        args: dict[str, Any] | None = None,
        latency: float = 0.0,
        location: str = "",
        exclusive: bool = False,
        name: str = "",
    ) -> Answer:
        """Record an operation, start it once the running transaction is committed, and answer its acceptance.

        ``latency`` seconds, times the time scale, pass before the work is called. ``location`` is the region in the
        URL, ``args`` must be JSON. ``name`` is the operation's own, where it is no GUID. ``exclusive``: 409
        AnotherOperationInProgress if the resource has a running operation.
        """
        core, now, operation_id = self._core, clock.now(), name or str(uuid.uuid4())
        fault = core.faults.asynchronous(request.method, request.path, request.type)
        record = {
            "work": work,
            "id": str(resource_id),
            "args": args or {},
            "style": style.name,
            "latency": latency,
            "delay": fault.delay if fault else 0.0,
            "fault": fault.error.record() if fault and fault.error else None,
            "hang": fault.rule.id if fault and fault.hang else "",
        }
        with core.store.transaction() as db:
            running = self.active(resource_id) if exclusive else []
            if running:
                raise another_operation(running[0].id)
            row = (operation_id, ids.key(resource_id), "InProgress", now, json.dumps(record))
            db.execute("INSERT INTO operations VALUES (?,?,?,?,NULL,?)", row)
            core.store.after_commit(lambda: self._start(operation_id))
        return Answer(status, body, self._headers(request, style, operation_id, headers, location))

    def rejoin(self, request: Request, operation: Operation, *, headers: Headers, location: str = "") -> Answer:
        """Accept a request that asks for what a running operation already does."""
        style = self._styles[operation.record["style"]]
        return Answer(202, None, self._headers(request, style, operation.id, headers, location))

    def active(self, resource_id: str | ids.ResourceId) -> list[Operation]:
        """The running operations of a resource, oldest first."""
        query = "SELECT * FROM operations WHERE resource = ? AND ended IS NULL ORDER BY started"
        return [_operation(row) for row in self._core.store.db().execute(query, (ids.key(resource_id),))]

    def get(self, operation_id: str) -> Operation | None:
        row = self._core.store.db().execute("SELECT * FROM operations WHERE id = ?", (operation_id,)).fetchone()
        return _operation(row) if row else None

    def resume(self) -> int:
        """Start again what a stopped server left running; forget what ended long ago. Answers how many were resumed."""
        with self._core.store.transaction() as db:
            db.execute("DELETE FROM operations WHERE ended < ?", (clock.now() - KEEP_ENDED,))
        rows = (
            self._core.store.db().execute("SELECT id FROM operations WHERE ended IS NULL ORDER BY started").fetchall()
        )
        for row in rows:
            self._start(row["id"], resumed=True)
        return len(rows)

    def release(self, rule_ids: list[str]) -> None:
        """Let the operations go on that hang because of these fault rules."""
        with self._core.store.transaction() as db:
            rows = db.execute("SELECT * FROM operations WHERE ended IS NULL").fetchall()
            hanging = [found for found in map(_operation, rows) if found.record.get("hang") in rule_ids]
            for operation in hanging:
                operation.record["hang"] = ""
                db.execute(
                    "UPDATE operations SET record = ? WHERE id = ?", (json.dumps(operation.record), operation.id)
                )
        for operation in hanging:
            self._start(operation.id)

    def close(self) -> None:
        """Start nothing more. What runs stays recorded as running, and the next server resumes it."""
        self._closed = True
        for timer in list(self._timers.values()):
            timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # execution

    def _start(self, operation_id: str, resumed: bool = False) -> None:
        operation = self.get(operation_id)
        if operation is None or self._closed or operation.record.get("hang"):
            return
        delay = operation.record["latency"] * self._core.settings.time_scale + operation.record["delay"]
        if resumed or delay <= 0:
            self._submit(operation_id, resumed)
            return

        def due() -> None:
            self._timers.pop(operation_id, None)
            self._submit(operation_id, False)

        self._timers[operation_id] = clock.later(delay, due)

    def _submit(self, operation_id: str, resumed: bool) -> None:
        if self._closed:
            return
        operation = self.get(operation_id) if self._apart else None
        work = clock.worker(self._execute)
        if operation is not None and operation.record["work"] in self._apart:
            threading.Thread(target=work, args=(operation_id, resumed), daemon=True).start()
            return
        try:
            future = self._pool.submit(work, operation_id, resumed)
            # What is cancelled is never done: the clock must not wait for it.
            future.add_done_callback(lambda done: clock.leave() if done.cancelled() else None)
        except RuntimeError:
            clock.leave()

    def _execute(self, operation_id: str, resumed: bool) -> None:
        operation = self.get(operation_id)
        if operation is None:
            return
        try:
            output, error = self._work(operation, resumed), None
        except ArmError as refusal:
            output, error = None, refusal
        except ServerGone:
            return
        except sqlite3.ProgrammingError:
            if self._closed:
                return
            log.exception("operation %s", operation_id)
            output, error = None, internal_error()
        except Exception:
            log.exception("operation %s (%s on %s)", operation_id, operation.record["work"], operation.record["id"])
            output, error = None, internal_error()
        if not self._closed:
            self._finish(operation, output, error)

    def _work(self, operation: Operation, resumed: bool) -> Any:
        record = operation.record
        if record["work"] not in self._works:
            raise internal_error()
        work, handles_faults = self._works[record["work"]]
        fault = ArmError.from_record(record["fault"]) if record["fault"] else None
        if fault and not handles_faults:
            raise fault
        return work(Run(self._core, operation.id, record["id"], record["args"], fault, resumed))

    def _finish(self, operation: Operation, output: Any, error: ArmError | None) -> None:
        store = self._core.store
        operation.record["output"] = output
        with store.transaction() as db:
            preempted = error is not None and error.code == PREEMPTED
            if error is not None:
                operation.record["error"] = error.record()
                resource = store.get(operation.record["id"])
                unfinished = resource is not None and _unfinished(resource.properties.get("provisioningState"))
                if resource is not None and unfinished and not preempted:
                    resource.properties["provisioningState"] = "Failed"
                    store.put(resource)
            status = "Canceled" if preempted else "Failed" if error is not None else "Succeeded"
            row = (status, clock.now(), json.dumps(operation.record), operation.id)
            db.execute("UPDATE operations SET status = ?, ended = ?, record = ? WHERE id = ?", row)

    # answers

    def _headers(
        self, request: Request, style: Style, operation_id: str, which: Headers, location: str
    ) -> dict[str, str]:
        head = f"{request.base_url}/subscriptions/{request.subscription}"
        if style.namespace:
            head += f"/providers/{style.namespace}/locations/{location or 'westeurope'}"
        query = f"?api-version={request.api_version}"
        status_url = f"{head}/{style.segment}/{operation_id}{query}"
        result_url = f"{head}/{style.result_segment}/{operation_id}{query}" if style.result_segment else ""
        headers = dict(style.headers)
        if which in ("aao", "both"):
            headers["Azure-AsyncOperation"] = status_url
        if which in ("location", "both"):
            headers["Location"] = result_url or f"{status_url}&monitor=true"
        if style.retry:
            headers |= self._core.settings.retry_after(style.retry)
        return headers

    def _find(self, request: Request) -> tuple[Operation, Style]:
        operation = self.get(request.params["operation"])
        if operation is None:
            message = f"The entity was not found in this Azure location. Operation {request.params['operation']}."
            raise ArmError(404, "NotFound", message)
        return operation, self._styles[operation.record["style"]]

    def _status(self, request: Request) -> Answer:
        operation, style = self._find(request)
        if "monitor" in request.query:
            return self._result(request)
        body: dict[str, Any] = {"status": operation.status}
        if style.times:
            body = {"startTime": stamp(operation.started), **body, "name": operation.id}
            if operation.ended is not None:
                body = {"startTime": body["startTime"], "endTime": stamp(operation.ended), **body}
        output = operation.record.get("output")
        if style.output and output is not None:
            body["properties"] = {"output": output}
        if operation.error is not None:
            body["error"] = operation.error.error()
        headers: dict[str, str] = {}
        if operation.ended is None and style.poll:
            headers |= self._core.settings.retry_after(style.poll)
        return Answer(200, body, headers)

    def _result(self, request: Request) -> Answer:
        operation, style = self._find(request)
        if operation.ended is None:
            url = f"{request.base_url}{request.path}?" + "&".join(f"{k}={v}" for k, v in request.query.items())
            return Answer(202, None, {"Location": url, **self._core.settings.retry_after(style.poll)})
        if operation.error is not None:
            error = operation.error
            # Codes that only operations end with have no status of their own.
            error.status = error.status if error.status >= 400 else 409
            raise error
        output = operation.record.get("output")
        return Answer(200, output) if output is not None else Answer(style.done)


def stamp(seconds: float) -> str:
    """A time as Azure writes it: ``2026-11-20T09:42:42.3115521+00:00`` (seven decimals)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{int(seconds * 10**7) % 10}+00:00"


def _unfinished(state: Any) -> bool:
    return isinstance(state, str) and state not in ("Succeeded", "Failed", "Canceled")


def _operation(row: sqlite3.Row) -> Operation:
    return Operation(row["id"], row["resource"], row["status"], row["started"], row["ended"], json.loads(row["record"]))
