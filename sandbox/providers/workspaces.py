# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to Log Analytics workspaces: saved searches, exports, links, tables, solutions. Nothing is logged."""

from __future__ import annotations

from typing import Any

from sandbox.arm import shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import GROUP, SUBSCRIPTION
from sandbox.arm.store import Resource
from sandbox.providers.kept import Kept, Plain
from sandbox.providers.monitor import WORKSPACES

# name, title, and whether every workspace has it
PACKS = (
    ("LogManagement", "Log Management", True),
    ("ChangeTracking", "Change Tracking", False),
    ("Security", "Security and Audit", False),
    ("Updates", "Update Management", False),
    ("AntiMalware", "Antimalware Assessment", False),
    ("AgentHealthAssessment", "Agent Health", False),
    ("VMInsights", "VM Insights", False),
)
TIERS = ("PerGB2018", "PerNode", "Standalone", "CapacityReservation")
TABLES = ("Heartbeat", "Perf", "Syslog", "Usage", "AzureActivity", "AzureMetrics", "AzureDiagnostics")


class Searches(Kept):
    """Saved searches; ``etag`` and ``version`` are theirs."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        for key in ("category", "displayName", "query"):
            if not given.get(key):
                raise ArmError(400, "InvalidParameter", f"The property '{key}' is required.", target=key)
        return {"version": 2, **given}


class Exports(Kept):
    """Rules of continuous export."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        if not given.get("tableNames") or not (given.get("destination") or {}).get("resourceId"):
            text = "A data export needs tableNames and the resourceId of its destination."
            raise ArmError(400, "InvalidParameter", text, target="properties")
        own = known.properties.get("dataExportId") if known else None
        return {"dataExportId": own or new_guid(), "enable": True, **given}


class Questions:
    """Actions and lists of workspaces that keep nothing but small settings."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def packs(self, request: Request) -> Answer:
        chosen = self._core.require(request.id).internal.get("packs", {})
        shown = [{"name": n, "enabled": chosen.get(n, on), "displayName": title} for n, title, on in PACKS]
        return Answer(200, shown)

    def enable_pack(self, request: Request) -> Answer:
        return self._set_pack(request, True)

    def disable_pack(self, request: Request) -> Answer:
        return self._set_pack(request, False)

    def _set_pack(self, request: Request, enabled: bool) -> Answer:
        names = {name.lower(): name for name, _title, _on in PACKS}
        name = names.get(request.params["pack"].lower())
        if name is None:
            text = f"The intelligence pack '{request.params['pack']}' does not exist."
            raise ArmError(404, "NotFound", text)
        group = f"/subscriptions/{request.subscription}/resourceGroups/{request.group}"
        with self._core.store.transaction():
            workspace = self._core.require(f"{group}/providers/{WORKSPACES}/{request.params['name']}")
            workspace.internal.setdefault("packs", {})[name] = enabled
            self._core.store.put(workspace)
        return Answer(200)

    def tiers(self, request: Request) -> Answer:
        present = self._core.require(request.id).properties["sku"]["name"]
        limits = {"minimumRetention": 30, "maximumRetention": 730, "defaultRetention": 30}
        shown = [{"serviceTier": tier, "enabled": True, **limits} for tier in TIERS]
        changed = {"lastSkuUpdate": self._core.require(request.id).properties["sku"].get("lastSkuUpdate")}
        return Answer(200, [{**entry, **(changed if entry["serviceTier"] == present else {})} for entry in shown])

    def usages(self, request: Request) -> Answer:
        self._core.require(request.id)
        name = {"value": "DataAnalyzed", "localizedValue": "Data Analyzed"}
        return Answer(200, {"value": [{"name": name, "unit": "Bytes", "currentValue": 0.0, "limit": -1.0}]})

    def schema(self, request: Request) -> Answer:
        self._core.require(request.id)
        return Answer(200, {"metadata": {"requestId": new_guid(), "resultType": "schema", "total": 0}, "value": []})

    def purge(self, request: Request) -> Answer:
        """Accepted, and done: there is nothing to delete."""
        shapes.read(request.body or {}, {"table": str, "filters": [dict]})
        workspace = self._core.require(request.id)
        purge = f"purge-{new_guid()}"
        url = f"{request.base_url}{workspace.id}/operations/{purge}?api-version={request.api_version}"
        return Answer(202, {"operationId": purge}, {"x-ms-status-location": url})

    def purge_status(self, _request: Request) -> Answer:
        return Answer(200, {"status": "completed"})

    def nothing(self, _request: Request) -> Answer:
        return Answer(200, {"value": []})

    # tables

    def tables(self, request: Request) -> Answer:
        workspace = self._core.require(request.id)
        own = {
            one.rid.name.lower(): one.body for one in self._core.store.list(f"{WORKSPACES}/tables", parent=workspace.id)
        }
        built_in = [_table(workspace, name) for name in TABLES if name.lower() not in own]
        return Answer(200, {"value": [*built_in, *own.values()]})

    def table(self, request: Request) -> Answer:
        return Answer(200, self._table(request).body)

    def _table(self, request: Request) -> Resource:
        workspace = self._core.require_parent(request.id, "read")
        found = self._core.store.get(request.id)
        name = {name.lower(): name for name in TABLES}.get(request.id.name.lower())
        if found is None and workspace is not None and name is not None:
            found = Resource(str(request.id), _table(workspace, name))
        return found or self._core.require(request.id)

    def write_table(self, request: Request) -> Answer:
        """The retention and the plan of a table, and the columns of one of one's own."""
        shape = {"retentionInDays": int, "totalRetentionInDays": int, "plan": str, "schema": dict}
        given = shapes.read(request.body, {"properties": shape}).get("properties") or {}
        with self._core.store.transaction():
            workspace = self._core.require_parent(request.id)
            known = request.id.name.lower() in {name.lower() for name in TABLES} or self._core.store.exists(request.id)
            if workspace is None or (not known and not request.id.name.endswith("_CL")):
                text = f"The name of a custom table must end with '_CL': '{request.id.name}'."
                raise ArmError(400, "InvalidParameter", text, target="tableName")
            table = self._table(request) if known else Resource(str(request.id), _table(workspace, request.id.name))
            table.properties.update(given)
            self._core.store.put(table)
        return Answer(200, table.body)


def _table(workspace: Resource, name: str) -> dict[str, Any]:
    days = workspace.properties["retentionInDays"]
    own = {"totalRetentionInDays": days, "archiveRetentionInDays": 0, "plan": "Analytics", "retentionInDays": days}
    kind = "CustomLog" if name.endswith("_CL") else "Microsoft"
    columns = {"schema": {"name": name, "tableType": kind, "standardColumns": [], "solutions": ["LogManagement"]}}
    kept = {"retentionInDaysAsDefault": True, "totalRetentionInDaysAsDefault": True, "provisioningState": "Succeeded"}
    return {"properties": {**own, **columns, **kept}, "id": f"{workspace.id}/tables/{name}", "name": name}


def register(core: Core) -> None:
    questions, router = Questions(core), core.router
    Searches(core, f"{WORKSPACES}/savedSearches", 200).routes()
    Exports(core, f"{WORKSPACES}/dataExports").routes()
    for kind in ("linkedServices", "linkedStorageAccounts", "dataSources", "storageInsightConfigs"):
        Plain(core, f"{WORKSPACES}/{kind}", {"provisioningState": "Succeeded"}, created=200).routes()
    for name, handler in (
        ("intelligencePacks", questions.packs),
        ("availableServiceTiers", questions.tiers),
        ("usages", questions.usages),
    ):
        router.action(WORKSPACES, name, handler, method="GET")
    for method in ("GET", "POST"):
        router.action(WORKSPACES, "schema", questions.schema, method=method)
    router.action(WORKSPACES, "purge", questions.purge)
    one = f"{GROUP}/providers/{WORKSPACES}/{{name}}"
    router.add("GET", f"{one}/operations/{{purge}}", questions.purge_status)
    router.add("POST", f"{one}/intelligencePacks/{{pack}}/Enable", questions.enable_pack, type=WORKSPACES)
    router.add("POST", f"{one}/intelligencePacks/{{pack}}/Disable", questions.disable_pack, type=WORKSPACES)
    tables = f"{WORKSPACES}/tables"
    router.resource(
        tables, get=questions.table, put=questions.write_table, patch=questions.write_table, list=questions.tables
    )
    deleted = "Microsoft.OperationalInsights/deletedWorkspaces"
    for scope in (SUBSCRIPTION, GROUP):
        router.add("GET", f"{scope}/providers/{deleted}", questions.nothing, type=deleted, kind="list")
