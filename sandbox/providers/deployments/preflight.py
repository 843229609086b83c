# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Resource Manager asks the providers before a deployment is accepted: quota, sizes, regions."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Request
from sandbox.providers.deployments.evaluator import unknown
from sandbox.providers.deployments.template import Item, Plan

MACHINES = ("microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets")


def preflight(core: Core, rid: ids.ResourceId, plan: Plan, request: Request) -> None:
    """InvalidTemplateDeployment: 403 if the caller may not write what the template asks for, 400 if a provider would
    refuse it.
    """
    _check_rights(core, request, plan)
    items = [item for item in plan.deployed() if item.type.lower() in MACHINES and not core.store.exists(item.id)]
    error = _fault(core, items) or _limits(core, rid.subscription, items)
    if error is not None:
        message = (
            f"The template deployment '{rid.name}' is not valid according to the validation procedure. The tracking id "
            f"is '{uuid.uuid4()}'. See inner errors for details."
        )
        raise ArmError(400, "InvalidTemplateDeployment", message, details=[error], headers=GATEWAY)


def _check_rights(core: Core, request: Request, plan: Plan) -> None:
    rights = core.service("rights")
    refused = []
    for item in plan.deployed() if rights is not None else []:
        found = core.router.match("PUT", item.id)
        query = {"api-version": item.api_version}
        inner = Request(core, "PUT", item.id, {}, query, {}, request.base_url, claims=request.claims)
        try:
            rights(inner, found[0] if found else None)
        except ArmError as error:
            refused.append(
                f"Authorization failed for template resource '{item.name}' of type '{item.type}'. {error.message}"
            )
    if refused:
        message = refused[0] if len(refused) == 1 else f"Deployment failed with multiple errors: '{':'.join(refused)}'"
        raise ArmError(403, "InvalidTemplateDeployment", message, headers=GATEWAY)


def _fault(core: Core, items: list[Item]) -> dict[str, Any] | None:
    """A scripted refusal that a machine of the template would meet."""
    for item in items:
        fault = core.faults.synchronous("PUT", item.id, item.type)
        if fault is not None and fault.error is not None and fault.error.status in (400, 403, 409):
            body = item.body()
            size = (body.get("properties") or {}).get("hardwareProfile", {}).get("vmSize") or body.get("sku", {}).get(
                "name", ""
            )
            text = fault.error.message.replace("{size}", str(size)).replace("{location}", str(item.location))
            return {"code": fault.error.code, "message": text}
    return None


def _limits(core: Core, subscription: str, items: list[Item]) -> dict[str, Any] | None:
    ask = core.service("compute_preflight")
    wanted = []
    for item in items:
        body = item.body()
        if not unknown(body) and item.location:
            wanted.append((item.type, {**body, "location": item.location}))
    try:
        if ask is not None and wanted:
            ask(subscription, wanted)
    except ArmError as error:
        # The same refusal has another name here.
        quota = error.code == "OperationNotAllowed" and "exceeding approved" in error.message
        return {**error.error(), "code": "QuotaExceeded" if quota else error.code}
    return None
