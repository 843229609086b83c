# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment would change: each resource of the template against what there is."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.store import Resource
from sandbox.providers.deployments.evaluator import unknown
from sandbox.providers.deployments.reading import Deployment
from sandbox.providers.deployments.template import NESTED, Item


def changes(core: Core, deployment: Deployment, mode: str, *, ids_only: bool) -> list[dict[str, Any]]:
    """The ``changes`` of a what-if answer: Create, Modify, NoChange, Deploy (not to be told), Ignore, Delete."""
    items = deployment.plan.deployed()
    found = [_change(core, item) for item in items]
    named = {item.key for item in items}
    group = deployment.where.group
    for resource in core.store.in_scope(deployment.where.subscription, group["name"]) if group else []:
        other = resource.rid.parent is None and resource.body.get("location") and ids.key(resource.id) not in named
        if other and resource.rid.type.lower() != NESTED:
            kind, shown = ("Delete" if mode == "Complete" else "Ignore"), _shown(resource)
            found.append({"resourceId": resource.id, "changeType": kind, "before": shown})
            if kind == "Ignore":
                found[-1]["after"] = shown
    if ids_only:
        return [{"resourceId": change["resourceId"], "changeType": "Deploy"} for change in found]
    return sorted(found, key=lambda change: change["resourceId"].lower())


def _change(core: Core, item: Item) -> dict[str, Any]:
    body, known = item.body(), core.store.get(item.id)
    rid = ids.parse(item.id)
    after = {"apiVersion": item.api_version, "id": item.id, "name": rid.name, "type": item.type, **body}
    if rid.group:
        after["resourceGroup"] = rid.group
    if unknown(after):
        return {"resourceId": item.id, "changeType": "Deploy"}
    if known is None:
        return {"resourceId": item.id, "changeType": "Create", "after": after}
    before = _shown(known)
    delta = _delta({key: before.get(key) for key in body if key in before}, body, "")
    kind = "Modify" if delta else "NoChange"
    return {"resourceId": item.id, "changeType": kind, "before": before, "after": after, "delta": delta}


def _shown(resource: Resource) -> dict[str, Any]:
    return {**resource.body, "resourceGroup": resource.rid.group}


def _delta(before: Any, after: Any, path: str) -> list[dict[str, Any]]:
    """What the template sets differently; what it does not name stays as it is."""
    if isinstance(before, dict) and isinstance(after, dict):
        lowered = {key.lower(): value for key, value in before.items()}
        found = []
        for key, value in after.items():
            if value is not None:
                found += _delta(lowered.get(key.lower()), value, f"{path}.{key}".lstrip("."))
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        inner = [one for at, value in enumerate(after) for one in _delta(before[at], value, str(at))]
        return [{"path": path, "propertyChangeType": "Array", "children": inner}] if inner else []
    same = before == after or (isinstance(before, str) and isinstance(after, str) and before.lower() == after.lower())
    if same or (before is None and after in ({}, [])):
        return []
    kind = "Create" if before is None else "Modify"
    return [{"path": path, "propertyChangeType": kind, "before": before, "after": after}]
