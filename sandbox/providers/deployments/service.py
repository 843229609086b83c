# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deployments answer: create, validate, what-if, show, list, cancel, delete, export, their operations."""

from __future__ import annotations

import copy
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.deployments.evaluator import unknown
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.preflight import preflight
from sandbox.providers.deployments.reading import Deployment, checked_body, first_answer, invalid_template, read
from sandbox.providers.deployments.template import Item
from sandbox.providers.deployments.what_if import changes
from sandbox.providers.deployments.work import moment, since, surroundings

TYPE = "Microsoft.Resources/deployments"
STYLE = Style(
    "deployments", "", segment="operationStatuses", result_segment="operationresults", times=False, done=204, retry=5
)
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
                **self._on_error(request, properties),
                "provisioningState": "Accepted",
                **moment(clock.now(), 0.0002),
                "correlationId": request.headers.get("x-ms-correlation-request-id") or str(uuid.uuid4()),
                **deployment.described(),
            }
            # Defaults such as newGuid() have been evaluated once, and for good.
            values = {name: {"value": value} for name, value in deployment.scope.parameters.items()}
            resource.internal = {
                "request": {**properties, "parameters": values},
                "operations": [],
                "began": clock.now(),
            }
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
        validated = [_validated(item, request.api_version) for item in deployment.plan.deployed()]
        validated += [_validated(item, request.api_version) for item in _inside(self._core, deployment)]
        body = _body(request, rid)
        body["properties"] = {
            **first_answer(deployment, properties),
            **self._on_error(request, properties),
            "provisioningState": "Succeeded",
            "timestamp": "0001-01-01T00:00:00Z",
            "duration": "PT0S",
            "correlationId": str(uuid.uuid4()),
            **deployment.described(),
            "validatedResources": validated,
        }
        return Answer(200, body)

    def what_if(self, request: Request) -> Answer:
        rid, properties = self._rid(request), checked_body(request.body)
        deployment = self._checked(request, rid, properties)
        settings = properties.get("whatIfSettings") or {}
        ids_only = str(settings.get("resultFormat", "")).lower() == "resourceidonly"
        found = changes(self._core, deployment, properties["mode"], ids_only=ids_only)
        result = {"status": "Succeeded", "properties": {"correlationId": str(uuid.uuid4()), "changes": found}}
        return self._core.operations.begin(
            request, "deployments.what_if", rid, style=STYLE, headers="location", latency=5, args={"result": result}
        )

    def what_if_work(self, run: Run) -> Any:
        return run.args["result"]

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
            resource.properties.update({"provisioningState": "Canceled", **since(resource)})
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

    def _on_error(self, request: Request, properties: dict[str, Any]) -> dict[str, Any]:
        """``onErrorDeployment`` with the name of the deployment that it means. It is told, and not carried out."""
        asked = properties.get("onErrorDeployment")
        if not asked:
            return {}
        if asked.get("type") != "LastSuccessful":
            return {"onErrorDeployment": asked}
        found = self._core.store.list(TYPE, subscription=request.subscription, group=request.group)
        succeeded = [one for one in found if one.properties["provisioningState"] == "Succeeded"]
        last = max(succeeded, key=lambda one: one.changed, default=None)
        return {"onErrorDeployment": {**asked, **({"deploymentName": last.body["name"]} if last else {})}}

    def _checked(self, request: Request, rid: ids.ResourceId, properties: dict[str, Any]) -> Deployment:
        """The deployment if nothing is wrong with it, or 400 InvalidTemplate, InvalidTemplateDeployment."""
        shown = {"name": rid.name, "properties": {k: properties[k] for k in ("template", "parameters", "mode")}}
        if request.body.get("location"):
            shown["location"] = request.body["location"]
        try:
            deployment = read(properties, surroundings(self._core, rid, shown), properties["parameters"])
        except TemplateError as error:
            raise invalid_template(error) from None
        preflight(self._core, rid, deployment.plan, request)
        return deployment


def _inside(core: Core, deployment: Deployment) -> list[Item]:
    """What the nested deployments of a template would make, as far as it can be told beforehand.

    404 ResourceGroupNotFound for one to a group that neither is there nor is made by the same template.
    """
    found: list[Item] = []
    made = {ids.key(item.id) for item in deployment.plan.deployed()}
    for item in deployment.plan.deployed():
        body = item.body() if item.type.lower() == TYPE.lower() else {}
        rid, inner = ids.parse(item.id), body.get("properties") or {}
        if not isinstance(inner.get("template"), dict) or unknown(body):
            continue
        if rid.group and ids.key(rid.group_id) not in made:
            core.require_group(rid.subscription, rid.group)
        shown = {"name": rid.name, "properties": inner}
        try:
            nested = read(inner, surroundings(core, rid, shown), inner.get("parameters") or {})
        except TemplateError as error:
            raise invalid_template(error) from None
        found += [*nested.plan.deployed(), *_inside(core, nested)]
    return found


def _validated(item: Item, api_version: str) -> dict[str, Any]:
    """A resource of a template that was validated; versions up to 2018 tell all of it."""
    if api_version >= "2019":
        return {"id": item.id}
    name = ids.parse(item.id).name
    return {"apiVersion": item.api_version, "id": item.id, "name": name, "type": item.type, **item.body()}


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


def _sequence() -> str:
    """The name of an operation: counts down, so that the newest sorts first."""
    ticks = int((datetime.fromtimestamp(clock.now(), UTC) - FIRST_TICK).total_seconds() * 10**7)
    return f"{LONGEST_COUNTDOWN - ticks:020d}"
