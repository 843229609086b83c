# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Insights and Microsoft.OperationalInsights: metric alerts, action groups, workspaces. Kept; none fires."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.arm import shapes
from sandbox.arm.core import Core, hex_digits, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers import common
from sandbox.providers.kept import Kept, Plain

NAMESPACE = "Microsoft.Insights"
ALERTS = "Microsoft.Insights/metricAlerts"
ACTIONS = "Microsoft.Insights/actionGroups"
WORKSPACES = "Microsoft.OperationalInsights/workspaces"
STYLE = Style("workspaces", "Microsoft.OperationalInsights", retry=5, poll=5)
CREATE_SECONDS = 10.0
RECEIVERS = (
    "emailReceivers", "smsReceivers", "webhookReceivers", "eventHubReceivers", "itsmReceivers",
    "azureAppPushReceivers", "automationRunbookReceivers", "voiceReceivers", "logicAppReceivers",
    "azureFunctionReceivers", "armRoleReceivers",
)  # fmt: skip
FREQUENCIES = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H")
WINDOWS = (*FREQUENCIES, "PT6H", "PT12H", "P1D")
CRITERION = {
    "operator": ("Equals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual", "GreaterOrLessThan"),
    "timeAggregation": ("Average", "Count", "Minimum", "Maximum", "Total"),
}
WORKSPACE_SKUS = (
    "Free",
    "Standard",
    "Premium",
    "PerNode",
    "PerGB2018",
    "Standalone",
    "CapacityReservation",
    "LACluster",
)


class Alerts(Kept):
    """Metric alerts."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, ALERTS, 200, "global")

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        for key in ("severity", "enabled", "evaluationFrequency", "windowSize", "criteria", "scopes"):
            if given.get(key) is None:
                raise ArmError(400, "BadRequest", f"The property '{key}' is required and was not provided.")
        if isinstance(given["severity"], bool) or given["severity"] not in range(5):
            raise ArmError(400, "BadRequest", "Severity must be between 0 and 4.")
        if not given["scopes"]:
            raise ArmError(400, "BadRequest", "Alert scope is invalid.")
        _check_times(str(given["evaluationFrequency"]), str(given["windowSize"]))
        made = {key: value for key, value in given.items() if value is not None}
        criteria = dict(made["criteria"])
        several = "multipleresource" in str(criteria.get("odata.type", "")).lower()
        for key in ("allOf", "anyOf"):
            if isinstance(criteria.get(key), list):
                _check_criteria(criteria[key])
                criteria[key] = [entry if several else _without_empty(entry) for entry in criteria[key]]
        made["criteria"] = criteria
        return made

    def status(self, request: Request) -> Answer:
        """The state of the alert for each of its targets."""
        alert = self._core.require(request.id)
        entries = []
        for target in alert.properties["scopes"]:
            name = base64.b64encode(f"resourceId={target}".encode()).decode()
            entries.append(
                {
                    "id": f"{alert.id}/status/{name}",
                    "name": name,
                    "type": f"{ALERTS}/status",
                    "properties": {
                        "dimensions": {"resourceId": target},
                        "status": "Healthy",
                        "timestamp": _time(clock.now()),
                    },
                }
            )
        return Answer(200, {"value": entries})


def _check_times(frequency: str, window: str) -> None:
    known = [value.lower() for value in WINDOWS]
    for key, value, legal in (("evaluationFrequency", frequency, FREQUENCIES), ("windowSize", window, WINDOWS)):
        if value.lower() not in known[: len(legal)]:
            raise ArmError(400, "BadRequest", f"The {key} '{value}' is invalid. Supported: {', '.join(legal)}.")
    if known.index(window.lower()) < known.index(frequency.lower()):
        raise ArmError(400, "BadRequest", "The windowSize must not be smaller than the evaluationFrequency.")


def _check_criteria(criteria: list[Any]) -> None:
    """400 for an operator or an aggregation that there is not."""
    for criterion in criteria:
        for key, legal in CRITERION.items() if isinstance(criterion, dict) else ():
            value = criterion.get(key)
            if value is not None and str(value).lower() not in [word.lower() for word in legal]:
                text = f"The {key} '{value}' of the condition is invalid. Supported: {', '.join(legal)}."
                raise ArmError(400, "BadRequest", text)


def _without_empty(criterion: Any) -> Any:
    if not isinstance(criterion, dict):
        return criterion
    return {key: value for key, value in criterion.items() if key != "dimensions" or value}


class ActionGroups(Kept):
    """Action groups: whom an alert would tell."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, ACTIONS, 201, "global")

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        short = given.get("groupShortName")
        if not isinstance(short, str) or not 1 <= len(short) <= 12:
            raise ArmError(400, "InvalidActionGroupShortName", "The group short name must have 1 to 12 characters.")
        receivers = [one for key in RECEIVERS for one in given.get(key) or ()]
        names = [str(one.get("name")).lower() if isinstance(one, dict) else "" for one in receivers]
        if len(names) != len(set(names)) or not all(names):
            raise ArmError(400, "ReceiverNameMustBeUnique", "Each receiver needs a name that no other one has.")
        return {"groupShortName": short, "enabled": True, **{key: [] for key in RECEIVERS}, **_told(given)}


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """Who is told: somebody with an e-mail address is asked first, and counts as enabled until he objects."""
    emails = [{**one, "status": "Enabled"} for one in given.get("emailReceivers") or ()]
    return {**given, **({"emailReceivers": emails} if emails else {})}


class Workspaces:
    """Log Analytics workspaces."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def put(self, request: Request) -> Answer:
        shape = {"location": str, "properties": {"sku": {"name": str}, "retentionInDays": int, "features": dict}}
        request.body = shapes.read(request.body, shape)
        if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9]{2,61}[A-Za-z0-9]", request.id.name):
            text = f"Workspace name '{request.id.name}' is invalid: 4 to 63 letters, digits and hyphens are allowed."
            raise ArmError(400, "InvalidParameter", text, target="workspaceName")
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            resource = known or Resource(str(request.id), {}, {"keys": [_secret(), _secret()]})
            location = common.region(request, known)
            properties = self._properties(request.body.get("properties") or {}, known)
            resource.body = {"properties": properties, "location": location}
            found = common.tags(request.body)
            if found is not None:
                resource.body["tags"] = found
            resource.body |= {"id": resource.id, "name": resource.rid.name, "type": WORKSPACES, "etag": _etag()}
            if known is not None:
                self._core.store.put(resource)
                return Answer(200, resource.body)
            properties["provisioningState"] = "Creating"
            self._core.store.put(resource)
            answer = self._core.operations.begin(
                request,
                "workspaces.create",
                resource.id,
                style=STYLE,
                status=201,
                body=resource.body,
                latency=CREATE_SECONDS,
                location=location,
            )
            # There is no operation to be polled: the resource itself tells when it is ready.
            url = f"{request.base_url}{resource.id}?api-version={request.api_version}"
            return Answer(201, answer.body, {"Location": url})

    def create_work(self, run: Run) -> None:
        def settle(resource: Resource) -> None:
            resource.properties.update({"provisioningState": "Succeeded", "modifiedDate": _time(clock.now())})
            resource.body["etag"] = _etag()

        self._core.store.update(run.resource_id, settle)

    def _properties(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        before, now = known.properties if known else {}, _time(clock.now())
        sku = given.get("sku") or {key: v for key, v in (before.get("sku") or {}).items() if key != "lastSkuUpdate"}
        sku = sku or {"name": "PerGB2018"}
        names = {name.lower(): name for name in WORKSPACE_SKUS}
        if str(sku.get("name")).lower() not in names:
            text = f"Invalid sku name '{sku.get('name')}'. Allowed: {', '.join(WORKSPACE_SKUS)}."
            raise ArmError(400, "InvalidParameter", text, target="sku.name")
        sku = {**sku, "name": names[str(sku["name"]).lower()]}
        old = before.get("sku") or {}
        updated = old.get("lastSkuUpdate") if {**old, "lastSkuUpdate": 0} == {**sku, "lastSkuUpdate": 0} else None
        days = given.get("retentionInDays", before.get("retentionInDays", 30))
        if not 4 <= days <= 730:
            text = f"'RetentionInDays' property doesn't match the SKU limits: {days}."
            raise ArmError(400, "InvalidParameter", text, target="retentionInDays")
        reset = (datetime.fromtimestamp(clock.now(), UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        capping = given.get("workspaceCapping") or before.get("workspaceCapping") or {}
        features = {"legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": True}
        made: dict[str, Any] = {
            "customerId": before.get("customerId") or new_guid(),
            "provisioningState": "Succeeded",
            "sku": {**sku, "lastSkuUpdate": updated or now},
            "retentionInDays": days,
            "features": {**features, **(before.get("features") or {}), **(given.get("features") or {})},
            "workspaceCapping": {
                "dailyQuotaGb": float(capping.get("dailyQuotaGb", -1.0)),
                "quotaNextResetTime": f"{reset:%Y-%m-%dT%H:%M:%SZ}",
                "dataIngestionStatus": "RespectQuota",
            },
        }
        for key in ("publicNetworkAccessForIngestion", "publicNetworkAccessForQuery"):
            made[key] = given.get(key, before.get(key, "Enabled"))
        for key in ("forceCmkForQuery", "defaultDataCollectionRuleResourceId"):
            if given.get(key) is not None:
                made[key] = given[key]
        return {**made, "createdDate": before.get("createdDate") or now, "modifiedDate": now}

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            resource.body["properties"] = self._properties(request.body.get("properties") or {}, resource)
            found = common.tags(request.body)
            if found is not None:
                resource.body["tags"] = found
            resource.body["etag"] = _etag()
            self._core.store.put(resource)
        return Answer(200, resource.body)

    def shared_keys(self, request: Request) -> Answer:
        keys = self._core.require(request.id).internal["keys"]
        return Answer(200, {"primarySharedKey": keys[0], "secondarySharedKey": keys[1]})

    def regenerate(self, request: Request) -> Answer:
        """New shared keys; who holds the old ones has none any more."""
        with self._core.store.transaction():
            resource = self._core.require(request.id)
            resource.internal["keys"] = [_secret(), _secret()]
            self._core.store.put(resource)
        return self.shared_keys(request)

    def management_groups(self, request: Request) -> Answer:
        """No agents are connected."""
        self._core.require(request.id)
        return Answer(200, {"value": []})


def _etag() -> str:
    return f'"{hex_digits(8)}-0000-0700-0000-{hex_digits(12)}"'


def _secret() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _time(seconds: float) -> str:
    return stamp(seconds).removesuffix("+00:00") + "Z"


def register(core: Core) -> None:
    alerts, workspaces = Alerts(core), Workspaces(core)
    alerts.routes()
    core.router.action(ALERTS, "status", alerts.status, method="GET")
    ActionGroups(core).routes()
    Plain(core, f"{NAMESPACE}/activityLogAlerts", {"enabled": True}, placed="global").routes()
    Plain(core, f"{NAMESPACE}/autoscaleSettings", {"enabled": True, "notifications": []}, placed="region").routes()
    core.operations.add_style(STYLE)
    core.operations.register("workspaces.create", workspaces.create_work)
    core.router.resource(
        WORKSPACES,
        get=core.get_handler,
        put=workspaces.put,
        patch=workspaces.patch,
        delete=core.delete_handler,
        list=core.list_handler,
        list_all=core.list_handler,
    )
    core.router.action(WORKSPACES, "sharedKeys", workspaces.shared_keys)
    core.router.action(WORKSPACES, "regenerateSharedKey", workspaces.regenerate)
    core.router.action(WORKSPACES, "managementGroups", workspaces.management_groups, method="GET")
