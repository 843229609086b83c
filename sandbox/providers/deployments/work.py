# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work behind an accepted deployment, and what is noted of it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.operations import Run
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.hashes import unique
from sandbox.providers.deployments.reading import Deployment, read
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


class Work:
    """Carries deployments out."""

    def __init__(self, core: Core) -> None:
        self._core = core

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
        first = read(properties, surroundings(self._core, rid, shown), properties["parameters"])
        where = surroundings(self._core, rid, shown)

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


def surroundings(core: Core, rid: ids.ResourceId, resource: dict[str, Any]) -> Surroundings:
    group: dict[str, Any] = {}
    if rid.group:
        group = core.require_group(rid.subscription, rid.group).body
    caller = Caller(core, {}, "https://management.azure.com")

    def describe(namespace: str, kind: str) -> dict[str, Any]:
        found = caller.read(f"/subscriptions/{rid.subscription}/providers/{namespace}", "2021-04-01")
        if not kind:
            return found
        for entry in found["resourceTypes"]:
            if entry["resourceType"].lower() == kind.lower():
                return dict(entry)
        raise TemplateError(f"The resource type '{kind}' could not be found in the namespace '{namespace}'.")

    return Surroundings(rid.subscription, group, core.settings.tenant, resource, describe)


def _start(resource: Resource) -> None:
    if resource.properties["provisioningState"] == "Accepted":
        resource.properties["provisioningState"] = "Running"


def _end(resource: Resource, state: str, last: dict[str, Any] | None = None, **more: Any) -> None:
    resource.properties.update({"provisioningState": state, **since(resource), **more})
    if last is not None:
        resource.internal["operations"].append(last)
    # Secrets are not kept longer than they are needed.
    resource.internal["request"]["parameters"] = {}


def since(resource: Resource) -> dict[str, Any]:
    return moment(clock.now(), clock.now() - resource.internal["began"])


def moment(now: float, duration: float) -> dict[str, str]:
    return {"timestamp": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}1Z", "duration": _duration(duration)}


def _duration(seconds: float) -> str:
    """``PT1M20.872582S``"""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{int(hours)}H" * (hours > 0) + f"{int(minutes)}M" * (minutes > 0)
    return f"PT{head}{f'{rest:.7f}'.rstrip('0').rstrip('.')}S"


def _operation_entry(deployment: str, outcome: Outcome) -> dict[str, Any]:
    item = outcome.item
    name = unique(f"{deployment}{item.id}{outcome.started}").upper()
    properties: dict[str, Any] = {
        "provisioningOperation": "Create",
        "provisioningState": "Failed" if outcome.error else "Succeeded",
        **moment(outcome.ended, outcome.ended - outcome.started),
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
        **moment(clock.now(), 0.05),
        "trackingId": str(uuid.uuid4()),
        "statusCode": "OK",
    }
    return {"id": f"{deployment}/operations/{name}", "operationId": name, "properties": properties}
