# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deployments answer: create, validate, what-if, show, list, cancel, delete, export, their operations."""

from __future__ import annotations

import copy
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style
from sandbox.arm.store import Resource
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.hashes import unique
from sandbox.providers.deployments.preflight import preflight
from sandbox.providers.deployments.reading import Deployment, checked_body, first_answer, invalid_template, read
from sandbox.providers.deployments.runner import (
    Caller,
    Outcome,
    Runner,
    Stopped,
    canceled,
    deployment_failed,
    status_name,
)
from sandbox.providers.deployments.surroundings import Surroundings

TYPE = "Microsoft.Resources/deployments"
STYLE = Style("deployments", "", segment="operationStatuses", result_segment="operationresults", times=False, retry=5)
NAME = re.compile(r"[-\w._()]{1,64}")
RUNNING = ("Accepted", "Running")
LONGEST_COUNTDOWN = (1 << 63) - 1
FIRST_TICK = datetime(1, 1, 1, tzinfo=UTC)
FILTER = re.compile(r"\s*provisioningState\s+eq\s+'(\w+)'\s*", re.IGNORECASE)


class Deployments:
    """Deployments to resource groups and to the subscription."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # requests

    def put(self, request: Request) -> Answer:
        rid, store = self._rid(request), self._core.store
        properties = checked_body(request.body)
        if not NAME.fullmatch(rid.name):
            message = f"The deployment name '{rid.name}' has invalid characters or is longer than 64."
            raise ArmError(400, "InvalidDeploymentName", message, headers=GATEWAY)
        deployment = self._checked(request, rid, properties)
        with store.transaction():
            known = store.get(rid)
            if known is not None and known.properties["provisioningState"] in RUNNING:
                message = (
                    f"The deployment with resource id '{known.id}' cannot be saved, because this would overwrite an "
                    "existing deployment which is still active. Please see https://aka.ms/arm-deploy for usage details."
                )
                raise ArmError(409, "DeploymentActive", message, headers=GATEWAY)
            resource = Resource(known.id if known else str(rid), _body(request, known.rid if known else rid))
            if known is not None:
                resource.created = known.created
            resource.body["properties"] = {
                **first_answer(deployment, properties),
                "provisioningState": "Accepted",
                **_moment(time.time(), 0.0002),
                "correlationId": request.headers.get("x-ms-correlation-request-id") or str(uuid.uuid4()),
                **deployment.described(),
            }
            resource.internal = {"request": properties, "operations": [], "began": time.time()}
            store.put(resource)
            return self._begin(request, resource, created=known is None)

    def _begin(self, request: Request, resource: Resource, *, created: bool) -> Answer:
        name = _sequence()
        answer = self._core.operations.begin(
            request,
            "deployments.run",
            resource.id,
            style=STYLE,
            status=201 if created else 200,
            body=copy.deepcopy(resource.body),
            headers="aao",
            args={"claims": request.claims, "base_url": request.base_url},
            name=name,
        )
        url = f"{request.base_url}{resource.id}/operationStatuses/{name}?api-version={request.api_version}"
        answer.headers["Azure-AsyncOperation"] = url
        return answer

    def get(self, request: Request) -> Answer:
        return Answer(200, self._require(request).body)

    def head(self, request: Request) -> Answer:
        return Answer(204 if self._core.store.exists(self._rid(request)) else 404)

    def list(self, request: Request) -> Answer:
        if request.group:
            self._core.require_group(request.subscription, request.group)
        found = self._core.store.list(TYPE, subscription=request.subscription, group=request.group)
        found.sort(key=lambda one: one.changed, reverse=True)
        wanted = FILTER.fullmatch(request.query.get("$filter", ""))
        if wanted is not None:
            found = [one for one in found if one.properties["provisioningState"].lower() == wanted[1].lower()]
        top = request.query.get("$top", "")
        return Answer(200, {"value": [one.body for one in found[: int(top) if top.isdigit() else None]]})

    def delete(self, request: Request) -> Answer:
        """Forget a deployment; what it made stays."""
        with self._core.store.transaction():
            if request.group:
                self._core.require_group(request.subscription, request.group)
            resource = self._core.store.get(self._rid(request))
            if resource is None:
                return Answer(204)
            if resource.properties["provisioningState"] in RUNNING:
                message = f"The deployment '{resource.body['name']}' is still active and cannot be deleted."
                raise ArmError(409, "DeploymentCannotBeDeleted", message, headers=GATEWAY)
            return self._core.operations.begin(
                request, "deployments.delete", resource.id, style=STYLE, headers="location", latency=5
            )

    def delete_work(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)

    def validate(self, request: Request) -> Answer:
        rid, properties = self._rid(request), checked_body(request.body)
        deployment = self._checked(request, rid, properties)
        body = _body(request, rid)
        body["properties"] = {
            **first_answer(deployment, properties),
            "provisioningState": "Succeeded",
            "timestamp": "0001-01-01T00:00:00Z",
            "duration": "PT0S",
            "correlationId": str(uuid.uuid4()),
            **deployment.described(),
            "validatedResources": [{"id": item.id} for item in deployment.plan.deployed()],
        }
        return Answer(200, body)

    def what_if(self, request: Request) -> Answer:
        rid, properties = self._rid(request), checked_body(request.body)
        deployment = self._checked(request, rid, properties)
        changes = []
        for item in deployment.plan.deployed():
            known = self._core.store.get(item.id)
            change: dict[str, Any] = {"resourceId": item.id, "changeType": "Deploy" if known else "Create"}
            if known is not None:
                change["before"] = known.body
            changes.append(change)
        found = {"correlationId": str(uuid.uuid4()), "changes": changes}
        return Answer(200, {"status": "Succeeded", "properties": found})

    def cancel(self, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._require(request)
            if resource.properties["provisioningState"] not in RUNNING:
                state = resource.properties["provisioningState"]
                message = (
                    f"The deployment '{resource.body['name']}' cannot be cancelled because it is in the terminal "
                    f"provisioning state '{state}'."
                )
                raise ArmError(409, "DeploymentCannotBeCancelled", message, headers=GATEWAY)
            resource.internal["cancelled"] = True
            resource.properties.update({"provisioningState": "Canceled", **_since(resource)})
            self._core.store.put(resource)
        return Answer(204)

    def export(self, request: Request) -> Answer:
        return Answer(200, {"template": self._require(request).internal["request"]["template"]})

    def operations(self, request: Request) -> Answer:
        return Answer(200, {"value": self._require(request).internal["operations"]})

    def operation(self, request: Request) -> Answer:
        for entry in self._require(request).internal["operations"]:
            if entry["operationId"].lower() == request.params["operation_id"].lower():
                return Answer(200, entry)
        message = f"Deployment operation '{request.params['operation_id']}' could not be found."
        raise ArmError(404, "DeploymentOperationNotFound", message, headers=GATEWAY)

    def status(self, request: Request) -> Answer:
        resource, operation = self._require(request), self._core.operations.get(request.params["operation"])
        if operation is None:
            message = f"The deployment operation '{request.params['operation']}' could not be found."
            raise ArmError(404, "DeploymentOperationNotFound", message, headers=GATEWAY)
        if operation.ended is None:
            state = resource.properties["provisioningState"]
            shown = "Running" if state not in RUNNING else state
            return Answer(200, {"status": shown}, self._core.settings.retry_after(STYLE.poll))
        body: dict[str, Any] = {"status": operation.status}
        if operation.error is not None and operation.status == "Failed":
            body["error"] = operation.error.error()
        return Answer(200, body)

    # helpers

    def _rid(self, request: Request) -> ids.ResourceId:
        return ids.parse(f"{_scope_id(self._core, request)}/providers/{TYPE}/{request.params['name']}")

    def _require(self, request: Request) -> Resource:
        if request.group:
            self._core.require_group(request.subscription, request.group)
        resource = self._core.store.get(self._rid(request))
        if resource is None:
            message = f"Deployment '{request.params['name']}' could not be found."
            raise ArmError(404, "DeploymentNotFound", message, headers=GATEWAY)
        return resource

    def _where(self, rid: ids.ResourceId, resource: dict[str, Any]) -> Surroundings:
        group: dict[str, Any] = {}
        if rid.group:
            group = self._core.require_group(rid.subscription, rid.group).body
        caller = Caller(self._core, {}, "https://management.azure.com")

        def describe(namespace: str, kind: str) -> dict[str, Any]:
            found = caller.read(f"/subscriptions/{rid.subscription}/providers/{namespace}", "2021-04-01")
            if not kind:
                return found
            for entry in found["resourceTypes"]:
                if entry["resourceType"].lower() == kind.lower():
                    return dict(entry)
            raise TemplateError(f"The resource type '{kind}' could not be found in the namespace '{namespace}'.")

        return Surroundings(rid.subscription, group, self._core.settings.tenant, resource, describe)

    def _checked(self, request: Request, rid: ids.ResourceId, properties: dict[str, Any]) -> Deployment:
        """The deployment if nothing is wrong with it, or 400 InvalidTemplate, InvalidTemplateDeployment."""
        shown = {"name": rid.name, "properties": {k: properties[k] for k in ("template", "parameters", "mode")}}
        if request.body.get("location"):
            shown["location"] = request.body["location"]
        try:
            deployment = read(properties, self._where(rid, shown), properties["parameters"])
        except TemplateError as error:
            raise invalid_template(error) from None
        preflight(self._core, rid, deployment.plan)
        return deployment

    # work

    def run(self, run: Run) -> None:
        """Carry a deployment out; its row tells how it goes."""
        store = self._core.store
        resource = store.update(run.resource_id, _start)
        if resource is None:
            return
        if run.fault is not None:
            error = deployment_failed(resource.id, [run.fault.error()])
            store.update(resource.id, lambda found: _end(found, "Failed", error=error.error()))
            raise error
        try:
            self._carry_out(run, resource)
        except Stopped:
            raise canceled() from None

    def _carry_out(self, run: Run, resource: Resource) -> None:
        caller = Caller(self._core, run.args["claims"], run.args["base_url"])
        deployment = self._live(resource, caller)

        def stopped() -> bool:
            found = self._core.store.get(resource.id)
            return self._core.operations.closed or found is None or bool(found.internal.get("cancelled"))

        def told(outcome: Outcome) -> None:
            entry = _operation_entry(resource.id, outcome)
            self._core.store.update(resource.id, lambda found: found.internal["operations"].insert(0, entry))

        runner = Runner(caller, deployment, stopped, told)
        runner.run()
        if not runner.errors and resource.properties["mode"] == "Complete" and deployment.where.group:
            runner.remove_others(deployment.where.base)
        outputs: dict[str, Any] = {}
        if not runner.errors:
            try:
                outputs = deployment.outputs()
            except (TemplateError, ArmError) as error:
                runner.errors.append({"code": "DeploymentOutputEvaluationFailed", "message": str(error)})
        if stopped():
            raise Stopped
        if runner.errors:
            failure = deployment_failed(resource.id, runner.errors)
            self._core.store.update(resource.id, lambda found: _end(found, "Failed", error=failure.error()))
            raise failure
        made: dict[str, Any] = {"outputs": outputs} if "outputs" in deployment.template else {}
        made["outputResources"] = [{"id": found} for found in sorted(set(runner.made), key=str.lower)]
        last = _outputs_entry(resource.id, run.id)
        self._core.store.update(resource.id, lambda found: _end(found, "Succeeded", last=last, **made))

    def _live(self, resource: Resource, caller: Caller) -> Deployment:
        """The deployment, now with the power to look at other resources."""
        properties, rid = resource.internal["request"], resource.rid
        shown = {"name": rid.name, "properties": {k: properties[k] for k in ("template", "parameters", "mode")}}
        first = read(properties, self._where(rid, shown), properties["parameters"])
        where = self._where(rid, shown)

        def find(target: str, version: str) -> tuple[str, str, bool]:
            for item in first.plan.find(target):
                return item.id, version or item.api_version, item.wanted
            return target, version, True

        def look(target: str, version: str, full: bool) -> Any:
            path, version, wanted = find(target, version)
            if not wanted:
                message = f"The resource '{path}' is not deployed: its condition is false."
                raise TemplateError(message)
            body = caller.read(path, version)
            if not full:
                return body.get("properties") or {}
            rid = ids.parse(path)
            extra = {"apiVersion": version, "resourceId": path, "subscriptionId": rid.subscription}
            return {**body, **extra, "resourceGroupName": rid.group}

        def act(name: str, target: str, version: str, body: Any) -> Any:
            path, version, _wanted = find(target, version)
            answer = caller.call("POST", f"{path}/{name}", version, body)
            if answer.status >= 400:
                raise ArmError.from_record({"status": answer.status, "error": answer.body["error"]})
            return answer.body

        where.read, where.act = look, act
        deployment = read(properties, where, properties["parameters"])
        for item, before in zip(deployment.plan.items, first.plan.items, strict=True):
            item.reads = before.reads
        deployment.plan.connect()
        return deployment


def _scope_id(core: Core, request: Request) -> str:
    if not request.group:
        return f"/subscriptions/{request.subscription}"
    return core.require_group(request.subscription, request.group).id


def _body(request: Request, rid: ids.ResourceId) -> dict[str, Any]:
    body: dict[str, Any] = {"id": str(rid), "name": rid.name, "type": TYPE}
    for key in ("location", "tags"):
        if isinstance(request.body, dict) and request.body.get(key):
            body[key] = request.body[key]
    return body


def _start(resource: Resource) -> None:
    if resource.properties["provisioningState"] == "Accepted":
        resource.properties["provisioningState"] = "Running"


def _end(resource: Resource, state: str, last: dict[str, Any] | None = None, **more: Any) -> None:
    resource.properties.update({"provisioningState": state, **_since(resource), **more})
    if last is not None:
        resource.internal["operations"].append(last)
    # Secrets are not kept longer than they are needed.
    resource.internal["request"]["parameters"] = {}


def _since(resource: Resource) -> dict[str, Any]:
    return _moment(time.time(), time.time() - resource.internal["began"])


def _moment(now: float, duration: float) -> dict[str, str]:
    return {"timestamp": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}1Z", "duration": _duration(duration)}


def _duration(seconds: float) -> str:
    """``PT1M20.872582S``"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{int(hours)}H" * (hours > 0) + f"{int(minutes)}M" * (minutes > 0)
    return f"PT{head}{f'{rest:.7f}'.rstrip('0').rstrip('.')}S"


def _sequence() -> str:
    """The name of an operation: counts down, so that the newest sorts first."""
    ticks = int((datetime.now(UTC) - FIRST_TICK).total_seconds() * 10**7)
    return f"{LONGEST_COUNTDOWN - ticks:020d}"


def _operation_entry(deployment: str, outcome: Outcome) -> dict[str, Any]:
    item = outcome.item
    name = unique(f"{deployment}{item.id}{outcome.started}").upper()
    properties: dict[str, Any] = {
        "provisioningOperation": "Create",
        "provisioningState": "Failed" if outcome.error else "Succeeded",
        **_moment(outcome.ended, outcome.ended - outcome.started),
        "trackingId": str(uuid.uuid4()),
        "statusCode": status_name(outcome.status if not outcome.error or outcome.status >= 400 else 409),
        "targetResource": {"id": item.id, "resourceType": item.type, "resourceName": item.name},
    }
    if outcome.error is not None:
        properties["statusMessage"] = {"status": "Failed", "error": outcome.error}
    return {"id": f"{deployment}/operations/{name}", "operationId": name, "properties": properties}


def _outputs_entry(deployment: str, name: str) -> dict[str, Any]:
    properties = {
        "provisioningOperation": "EvaluateDeploymentOutput",
        "provisioningState": "Succeeded",
        **_moment(time.time(), 0.05),
        "trackingId": str(uuid.uuid4()),
        "statusCode": "OK",
    }
    return {"id": f"{deployment}/operations/{name}", "operationId": name, "properties": properties}
