# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what a deployment asks for, and describing it as Azure's answers do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyjson5

from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.providers.deployments.evaluator import Scope
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.hashes import template_hash
from sandbox.providers.deployments.parameters import bind, camel
from sandbox.providers.deployments.surroundings import Surroundings
from sandbox.providers.deployments.template import Item, Plan

OUTPUT_TYPES = {
    "string": "String", "securestring": "SecureString", "int": "Int", "bool": "Bool", "object": "Object",
    "secureobject": "SecureObject", "array": "Array",
}  # fmt: skip


@dataclass
class Deployment:
    """A template with its parameters, read: what is deployed, in which order, with what shown."""

    template: dict[str, Any]
    where: Surroundings
    scope: Scope
    plan: Plan
    parameters: dict[str, Any]

    def outputs(self) -> dict[str, Any]:
        """The outputs, evaluated now. Raises TemplateError with the name of the output in front."""
        made: dict[str, Any] = {}
        for name, raw in (self.template.get("outputs") or {}).items():
            kind = OUTPUT_TYPES.get(str(raw.get("type", "")).lower())
            if kind is None:
                raise TemplateError(f"The template output '{name}' is not valid: its type is missing or invalid.")
            if self.scope.value(raw.get("condition", True)) is False:
                continue
            copy = raw.get("copy")
            if isinstance(copy, dict):
                value: Any = self.scope.unrolled(name, copy.get("count"), copy.get("input"))
            else:
                value = self.scope.value(raw.get("value"))
            made[camel(name)] = {"type": kind} if kind.startswith("Secure") else {"type": kind, "value": value}
        return made

    def described(self) -> dict[str, Any]:
        """``providers`` and ``dependencies`` of the answers."""
        return {"providers": _providers(self.plan), "dependencies": self._dependencies()}

    def _dependencies(self) -> list[dict[str, Any]]:
        made = []
        for item in self.plan.deployed():
            found = [_named(other) for name in item.after for other in self.plan.find(name)]
            for target, version in item.reads:
                extra = {"apiVersion": version} if version else {}
                found += [{**_named(other), **extra} for other in self.plan.find(target)]
            if found:
                made.append({"dependsOn": found, **_named(item)})
        return made


def _named(item: Item) -> dict[str, Any]:
    return {"id": item.id, "resourceType": item.type, "resourceName": item.name}


def _providers(plan: Plan) -> list[dict[str, Any]]:
    found: dict[str, dict[str, list[str | None]]] = {}
    for item in plan.deployed():
        namespace, _slash, kind = item.type.partition("/")
        places = found.setdefault(namespace, {}).setdefault(kind, [])
        if item.location not in places:
            places.append(item.location)
    return [
        {
            "namespace": namespace,
            "resourceTypes": [{"resourceType": kind, "locations": places} for kind, places in kinds.items()],
        }
        for namespace, kinds in found.items()
    ]


def read(properties: dict[str, Any], where: Surroundings, parameters: dict[str, Any]) -> Deployment:
    """Read and check a deployment's template. Raises TemplateError.

    With ``where.read`` and ``where.act`` unset nothing is asked of other resources, and what would be is noted: so are
    the dependencies found that ``reference`` makes.
    """
    template = properties["template"]
    for key in ("$schema", "contentVersion"):
        if not isinstance(template.get(key), str):
            raise TemplateError(
                f"The template {key.strip('$')} is missing. Please see https://aka.ms/arm-syntax for usage details."
            )
    scope = Scope(specials=where.specials())
    shown = bind(template, parameters, scope)
    for space in template.get("functions") or []:
        for name, definition in (space.get("members") or {}).items():
            scope.functions[f"{space['namespace']}.{name}".lower()] = definition
    _read_variables(template.get("variables") or {}, scope)
    plan = Plan(template, scope, where.base)
    deployment = Deployment(template, where, scope, plan, shown)
    if where.read is None:
        _dry_run(deployment)
    plan.connect()
    return deployment


def _read_variables(variables: dict[str, Any], scope: Scope) -> None:
    for name, raw in variables.items():
        if name.lower() == "copy" and isinstance(raw, list):
            for loop in raw:
                scope.variables[str(loop["name"]).lower()] = {"copy": [loop]}
        else:
            scope.variables[name.lower()] = raw
    loops = [str(loop["name"]).lower() for loop in variables.get("copy") or [] if isinstance(loop, dict)]
    for name in loops:
        # A loop at the top makes a variable, not an object that holds it.
        raw = scope.variables[name]
        scope.known(name, scope.value(raw)[raw["copy"][0]["name"]])


def _dry_run(deployment: Deployment) -> None:
    """Evaluate everything once, to find mistakes and what the resources read of each other."""
    noted = deployment.where.noted
    for item in deployment.plan.items:
        noted.clear()
        try:
            if item.wanted:
                item.body()
        except TemplateError as error:
            raise TemplateError(
                f"The template resource '{item.name}' at line '1' and column '0' is not valid: {error}. Please see "
                "https://aka.ms/arm-functions for usage details."
            ) from None
        item.reads = list(dict.fromkeys(noted))
    deployment.outputs()


def invalid_template(error: TemplateError) -> ArmError:
    text = f"Deployment template validation failed: '{error}'."
    return ArmError(400, "InvalidTemplate", text, headers=GATEWAY)


def checked_body(body: Any) -> dict[str, Any]:
    """The ``properties`` of a request, with the template as an object. Raises ArmError (400)."""
    properties = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(properties, dict):
        message = "The request content was invalid and could not be deserialized: 'The deployment has no properties.'."
        raise ArmError(400, "InvalidRequestContent", message, headers=GATEWAY)
    mode = str(properties.get("mode") or "Incremental").capitalize()
    if mode not in ("Incremental", "Complete"):
        message = f"The specified deployment mode '{mode}' is not valid. Supported: 'Incremental, Complete'."
        raise ArmError(400, "InvalidDeploymentMode", message, headers=GATEWAY)
    for key in ("templateLink", "parametersLink"):
        link = properties.get(key)
        if isinstance(link, dict):
            target = link.get("uri") or link.get("id")
            message = f"Unable to download deployment content from '{target}'. The tracking Id is ''."
            raise ArmError(400, "InvalidContentLink", message, headers=GATEWAY)
    template = properties.get("template")
    if isinstance(template, str):
        try:
            template = pyjson5.decode(template)
        except pyjson5.Json5DecoderException as error:
            raise ArmError(400, "InvalidTemplate", f"Deployment template parse failed: '{error}'.") from None
    if not isinstance(template, dict):
        message = "Deployment template parse failed: 'An object is expected.'."
        raise ArmError(400, "InvalidTemplate", message, headers=GATEWAY)
    return {**properties, "mode": mode, "template": template, "parameters": properties.get("parameters") or {}}


def first_answer(deployment: Deployment, properties: dict[str, Any]) -> dict[str, Any]:
    """The properties of a deployment's answers that do not depend on how it goes."""
    made = {
        "templateHash": template_hash(json.loads(json.dumps(properties["template"]))),
        "parameters": deployment.parameters,
        "mode": properties["mode"],
    }
    if properties.get("debugSetting"):
        made["debugSetting"] = properties["debugSetting"]
    return made
