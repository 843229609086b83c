# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Resource Manager asks the providers before a deployment is accepted: quota, sizes, regions."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.providers.deployments.evaluator import unknown
from sandbox.providers.deployments.template import Item, Plan

MACHINES = ("microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets")


def preflight(core: Core, rid: ids.ResourceId, plan: Plan) -> None:
    """400 InvalidTemplateDeployment if a provider would refuse what the template asks for."""
    items = [item for item in plan.deployed() if item.type.lower() in MACHINES and not core.store.exists(item.id)]
    error = _fault(core, items) or _limits(core, rid.subscription, items)
    if error is not None:
        message = (
            f"The template deployment '{rid.name}' is not valid according to the validation procedure. The tracking id "
            f"is '{uuid.uuid4()}'. See inner errors for details."
        )
        raise ArmError(400, "InvalidTemplateDeployment", message, details=[error], headers=GATEWAY)


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
