# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a deployment out: resources in the order of their dependencies, each by a request to its own provider."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import PREEMPTED
from sandbox.arm.router import Route
from sandbox.clock import clock
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.reading import Deployment
from sandbox.providers.deployments.template import NESTED, Item

PARALLEL = 16
# What Resource Manager itself tries again, and how often.
TRIED_AGAIN, TIMES = ("AnotherOperationInProgress", "TooManyRequests", "SubscriptionRequestsThrottled"), 50


class Stopped(Exception):
    """The server goes down, or the deployment was cancelled."""


@dataclass
class Outcome:
    """How one resource went: the status of the first answer, and the error if there was one."""

    item: Item
    started: float
    ended: float
    status: int = 200
    error: dict[str, Any] | None = None
    nested: list[str] | None = None


class Caller:
    """Sends requests in the name of whoever deploys."""

    def __init__(self, core: Core, claims: dict[str, Any], base_url: str) -> None:
        self.core = core
        self._claims = claims
        self._base_url = base_url

    def call(self, method: str, path: str, version: str, body: Any = None) -> Answer:
        """One request through the core's own routing. Faults, limits and rights apply to it as to any other."""
        query = {"api-version": version or "2022-09-01"}
        request = Request(self.core, method, path, {}, query, {}, self._base_url, body, claims=self._claims)
        route = self.core.router.match(method, path)
        fault = self.core.faults.synchronous(method, path, route[0].type if route else "")
        refusal = self._refusal(request, route[0] if route else None)
        if refusal is not None:
            return refusal
        if fault is not None:
            time.sleep(fault.delay)
            if fault.error is not None:
                return Answer(fault.error.status, fault.error.body(), dict(fault.error.headers))
        return dispatch(self.core, request)

    def _refusal(self, request: Request, route: Route | None) -> Answer | None:
        """What keeps whoever deploys from this request; nobody does where only a template is read."""
        gate = self.core.service("gate")
        if gate is None or not self._claims:
            return None
        try:
            gate(request, route)
        except ArmError as error:
            return Answer(error.status, error.body(), dict(error.headers))
        return None

    def read(self, path: str, version: str) -> dict[str, Any]:
        """A GET's body. Raises ArmError."""
        answer = self.call("GET", path, version)
        if answer.status >= 400:
            raise ArmError.from_record({"status": answer.status, "error": answer.body["error"]})
        return answer.body if isinstance(answer.body, dict) else {}

    def wait(self, answer: Answer, stopped: Any) -> dict[str, Any] | None:
        """Wait for the operation that an answer began. Answers its error."""
        headers = {name.lower(): value for name, value in answer.headers.items()}
        url = headers.get("azure-asyncoperation") or headers.get("location") or ""
        operation_id, pause = url.partition("?")[0].rpartition("/")[2], 0.005
        while operation_id:
            operation = self.core.operations.get(operation_id)
            if operation is None or operation.ended is not None:
                failed = operation is not None and operation.error
                return failed.error() if failed else None
            if stopped():
                raise Stopped
            clock.pause(pause)
            pause = min(pause * 1.5, 0.5)
        return None


class Runner:
    """One run of one deployment."""

    def __init__(self, caller: Caller, deployment: Deployment, stopped: Any, told: Any) -> None:
        self._caller = caller
        self._deployment = deployment
        self._stopped = stopped
        # Called with each Outcome as it comes.
        self._told = told
        self.errors: list[dict[str, Any]] = []
        self.made: list[str] = []

    def run(self) -> None:
        """Deploy everything that can be; ``errors`` and ``made`` tell how it went. Raises Stopped."""
        plan = self._deployment.plan
        items = {item.key: item for item in plan.items}
        order, failed = plan.order(), set[str]()
        order.prepare()
        running: dict[Future[Outcome | None], Item] = {}
        with ThreadPoolExecutor(PARALLEL, "deployment") as pool:
            while order.is_active() or running:
                for key in order.get_ready():
                    item = items[key]
                    if not failed.isdisjoint(item.needs):
                        failed.add(key)
                        order.done(key)
                    else:
                        running[pool.submit(clock.worker(self._one), item)] = item
                if not running:
                    if not order.is_active():
                        break
                    continue
                with clock.watching():
                    done, _unfinished = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    item = running.pop(future)
                    if self._settle(future.result()):
                        failed.add(item.key)
                    order.done(item.key)

    def _settle(self, outcome: Outcome | None) -> bool:
        """Note an outcome; True if it is a failure."""
        if outcome is None:
            return False
        if outcome.error is not None:
            self.errors.append(outcome.error)
        else:
            self.made += outcome.nested if outcome.nested is not None else [outcome.item.id]
        self._told(outcome)
        return outcome.error is not None

    def _one(self, item: Item) -> Outcome | None:
        if self._stopped():
            raise Stopped
        if not item.wanted or item.existing:
            return None
        outcome = Outcome(item, clock.now(), 0.0)
        try:
            body = item.body()
        except (TemplateError, ArmError) as error:
            code = error.code if isinstance(error, ArmError) else "InvalidTemplate"
            text = error.message if isinstance(error, ArmError) else _unable(item, error)
            outcome.status, outcome.error = 400, {"code": code, "message": text}
        else:
            self._put(item, body, outcome)
        outcome.ended = clock.now()
        return outcome

    def _put(self, item: Item, body: dict[str, Any], outcome: Outcome) -> None:
        answer = Answer(500)
        for _time in range(TIMES):
            answer = self._caller.call("PUT", item.id, item.api_version, body)
            if answer.status < 400 or (answer.body or {}).get("error", {}).get("code") not in TRIED_AGAIN:
                break
            if self._stopped():
                raise Stopped
            clock.sleep(min(float(answer.headers.get("Retry-After", 0.1)), 5))
        outcome.status = answer.status
        if answer.status >= 400:
            outcome.error = answer.body["error"]
            return
        error = self._caller.wait(answer, self._stopped)
        if error is not None:
            outcome.error = {
                "code": "ResourceDeploymentFailure",
                "target": item.id,
                "message": "The resource write operation failed to complete successfully, because it reached terminal "
                "provisioning state 'Failed'.",
                "details": [error],
            }
        elif item.type.lower() == NESTED:
            found = self._caller.core.store.get(item.id)
            resources = found.properties.get("outputResources", []) if found else []
            outcome.nested = [str(entry["id"]) for entry in resources]

    def remove_others(self, group_id: str) -> None:
        """Mode Complete: delete what the template does not name."""
        core, rid = self._caller.core, ids.parse(group_id)
        kept = {item.key for item in self._deployment.plan.items}
        found = [r for r in core.store.in_scope(rid.subscription, rid.group) if r.rid.parent is None]
        others = [r for r in found if ids.key(r.id) not in kept and r.rid.type.lower() != NESTED and not r.rid.scope]
        for resource in sorted(others, key=lambda r: core.deleter(r.rid.type)[0]):
            if core.store.exists(resource.id) and core.router.match("DELETE", resource.id):
                answer = self._caller.call("DELETE", resource.id, "")
                error = answer.body["error"] if answer.status >= 400 else self._caller.wait(answer, self._stopped)
                if error is not None:
                    self.errors.append(error)


def _unable(item: Item, error: Exception) -> str:
    return (
        f"Unable to process template language expressions for resource '{item.id}' at line '1' and column '0'. "
        f"'{error}'"
    )


def deployment_failed(target: str, errors: list[dict[str, Any]]) -> ArmError:
    text = (
        "At least one resource deployment operation failed. Please list deployment operations for details. Please see "
        "https://aka.ms/arm-deployment-operations for usage details."
    )
    return ArmError(409, "DeploymentFailed", text, target=target, details=errors)


def canceled() -> ArmError:
    return ArmError(409, PREEMPTED, "The deployment was canceled.")


def status_name(status: int) -> str:
    """``Created``, ``BadRequest``: as operations lists spell HTTP's words."""
    return HTTPStatus(status).phrase.replace(" ", "")
