# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Insights: data collection rules and endpoints, and what they are associated with. Nothing is collected."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, hex_digits, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SCOPE
from sandbox.arm.store import Resource
from sandbox.providers.at_scope import AtScope
from sandbox.providers.kept import Kept, Plain
from sandbox.providers.monitor import NAMESPACE, WORKSPACES

RULES = f"{NAMESPACE}/dataCollectionRules"
ENDPOINTS = f"{NAMESPACE}/dataCollectionEndpoints"
ASSOCIATIONS = f"{NAMESPACE}/dataCollectionRuleAssociations"
SOURCES = {
    "performanceCounters": {"Microsoft-Perf", "Microsoft-InsightsMetrics"},
    "syslog": {"Microsoft-Syslog", "Microsoft-CiscoAsa", "Microsoft-CommonSecurityLog"},
}
"""Kinds of sources whose streams are known; of the others any are taken."""
FACILITIES = (
    "*", "alert", "audit", "auth", "authpriv", "clock", "cron", "daemon", "ftp", "kern", "local0", "local1",
    "local2", "local3", "local4", "local5", "local6", "local7", "lpr", "mail", "mark", "news", "nopri", "ntp",
    "syslog", "user", "uucp",
)  # fmt: skip
LEVELS = ("*", "Debug", "Info", "Notice", "Warning", "Error", "Critical", "Alert", "Emergency")
_BOUNDS = (1, 1800)


class Problems:
    """What is wrong with a rule: one detail for each."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def add(self, code: str, target: str, message: str) -> None:
        self.found.append({"code": code, "message": message, "target": target})

    def raise_if_any(self) -> None:
        if self.found:
            raise ArmError(400, "InvalidPayload", "Data collection rule is invalid", details=self.found)


class Rules(Kept):
    """Data collection rules."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, RULES, 200, "region")

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        shape = {
            "dataSources": {"performanceCounters": [dict], "syslog": [dict]},
            "destinations": {"logAnalytics": [dict]},
            "dataFlows": [{"streams": [str], "destinations": [str]}],
        }
        given = shapes.read(given, shape)
        problems = Problems()
        streams = self._sources(given.get("dataSources") or {}, problems)
        destinations, names = self._destinations(given.get("destinations") or {}, problems)
        for index, flow in enumerate(given.get("dataFlows") or []):
            at = f"properties.dataFlows[{index}]"
            for name in flow.get("destinations") or []:
                if name not in names:
                    problems.add("InvalidDataFlow", at, f"Destination '{name}' is not defined in the rule.")
            for stream in flow.get("streams") or []:
                if stream not in streams and stream.startswith("Microsoft-"):
                    problems.add("InvalidDataFlow", at, f"Stream '{stream}' is not produced by any data source.")
        problems.raise_if_any()
        own = known.properties if known else {}
        return {
            "immutableId": own.get("immutableId") or f"dcr-{hex_digits(32)}",
            **given,
            **({"destinations": destinations} if destinations else {}),
            "provisioningState": "Succeeded",
        }

    def _sources(self, given: dict[str, Any], problems: Problems) -> set[str]:
        """The streams of all data sources."""
        streams: set[str] = set()
        names: set[str] = set()
        for kind, entries in given.items():
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                at = f"properties.dataSources.{kind}[{index}]"
                if not entry.get("name") or entry["name"] in names:
                    problems.add("InvalidDataSource", at, "A data source needs a name that no other one has.")
                names.add(str(entry.get("name")))
                for stream in entry.get("streams") or []:
                    streams.add(stream)
                    if stream not in SOURCES.get(kind, {stream}):
                        problems.add("InvalidStream", at, f"Stream '{stream}' is not allowed for {kind}.")
                _check_source(kind, entry, at, problems)
        return streams

    def _destinations(self, given: dict[str, Any], problems: Problems) -> tuple[dict[str, Any], set[str]]:
        """The destinations as they are shown (workspaces with their ids), and their names."""
        made, names = dict(given), set()
        shown = []
        for index, entry in enumerate(given.get("logAnalytics") or []):
            at = f"properties.destinations.logAnalytics[{index}]"
            workspace = self._workspace(str(entry.get("workspaceResourceId") or ""))
            names.add(str(entry.get("name")))
            if workspace is None:
                text = f"Log Analytics workspace '{entry.get('workspaceResourceId')}' was not found."
                problems.add("InvalidDestination", at, text)
            else:
                shown.append({**entry, "workspaceId": workspace.properties["customerId"]})
        if shown:
            made["logAnalytics"] = shown
        if isinstance(given.get("azureMonitorMetrics"), dict):
            names.add(str(given["azureMonitorMetrics"].get("name")))
        return made, names

    def _workspace(self, resource_id: str) -> Resource | None:
        try:
            rid = ids.parse(resource_id)
        except ids.InvalidId:
            return None
        return self._core.store.get(rid) if rid.type.lower() == WORKSPACES.lower() else None

    def associations(self, request: Request) -> Answer:
        """Everything that the rule collects from."""
        rule = ids.key(self._core.require(request.id).id)
        return Answer(200, {"value": [one.body for one in of_rule(self._core, rule)]})

    def delete(self, request: Request) -> Answer:
        """A rule that is in use goes only together with its associations."""
        self._core.require_group(request.subscription, request.group)
        with self._core.store.transaction():
            used = of_rule(self._core, ids.key(request.id))
            if used and request.query.get("deleteassociations", "").lower() != "true":
                text = f"Data collection rule '{request.id.name}' is associated with {len(used)} resources."
                raise ArmError(409, "Conflict", text)
            known = self._core.store.exists(request.id)
            self._core.store.delete(request.id, *(one.id for one in used))
        return Answer(200 if known else 204)


def _check_source(kind: str, entry: dict[str, Any], at: str, problems: Problems) -> None:
    if kind == "performanceCounters":
        every = entry.get("samplingFrequencyInSeconds")
        if not isinstance(every, int) or not _BOUNDS[0] <= every <= _BOUNDS[1]:
            text = f"samplingFrequencyInSeconds must be between {_BOUNDS[0]} and {_BOUNDS[1]}."
            problems.add("InvalidDataSource", at, text)
        if not entry.get("counterSpecifiers"):
            problems.add("InvalidDataSource", at, "counterSpecifiers must not be empty.")
    if kind == "syslog":
        for key, legal in (("facilityNames", FACILITIES), ("logLevels", LEVELS)):
            for value in entry.get(key) or [""]:
                if value not in legal:
                    problems.add("InvalidDataSource", at, f"'{value}' is not a valid value of {key}.")


def of_rule(core: Core, rule: str) -> list[Resource]:
    """The associations with a rule, whose id is given in lower case."""
    listed = core.store.list(ASSOCIATIONS)
    return [one for one in listed if ids.key(one.properties.get("dataCollectionRuleId", "")) == rule]


class Associations(AtScope):
    """Extension resources: they hang on a machine or a scale set, whose instances all have them, and go with it."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, ASSOCIATIONS)

    def put(self, request: Request) -> Answer:
        shape = {"properties": {"dataCollectionRuleId": str, "dataCollectionEndpointId": str, "description": str}}
        given = shapes.read(request.body, shape).get("properties") or {}
        rule, endpoint = given.get("dataCollectionRuleId"), given.get("dataCollectionEndpointId")
        if bool(rule) == bool(endpoint):
            text = "Exactly one of dataCollectionRuleId and dataCollectionEndpointId must be given."
            raise ArmError(400, "InvalidPayload", text)
        with self._core.store.transaction():
            self._core.require(ids.parse(request.params["scope"]))
            self._core.require(ids.parse(str(rule or endpoint)))
            known = self._find(request)
            one = known or Resource(self._id(request), {})
            one.body = {
                "properties": {**given, "provisioningState": "Succeeded"},
                "id": one.id,
                "name": request.params["name"],
                "type": ASSOCIATIONS,
                "etag": f'"{hex_digits(8)}-0000-0d00-0000-{hex_digits(12)}"',
            }
            self._core.store.put(one)
        return Answer(200 if known else 201, one.body)

    def get(self, request: Request) -> Answer:
        return Answer(200, self._core.require(ids.parse(self._id(request))).body)

    def delete(self, request: Request) -> Answer:
        return Answer(200 if self._removed(request) else 204)

    def list(self, request: Request) -> Answer:
        """What is associated with the resource."""
        scope = ids.key(request.params["scope"])
        of_scope = f"{scope}/providers/{ASSOCIATIONS.lower()}/"
        listed = self._core.store.list(ASSOCIATIONS)
        return Answer(200, {"value": [one.body for one in listed if ids.key(one.id).startswith(of_scope)]})


class Endpoints(Plain):
    """Data collection endpoints, with addresses that nobody listens at."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, ENDPOINTS, created=200, placed="region")

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        if known is not None:
            return {**known.properties, **given}
        host = f"dce-{hex_digits(4)}.westeurope-1"
        return {
            "immutableId": f"dce-{new_guid().replace('-', '')}",
            "configurationAccess": {"endpoint": f"https://{host}.handler.control.monitor.azure.com"},
            "logsIngestion": {"endpoint": f"https://{host}.ingest.monitor.azure.com"},
            "networkAcls": {"publicNetworkAccess": "Enabled"},
            "provisioningState": "Succeeded",
            **given,
        }


def register(core: Core) -> None:
    rules, associations = Rules(core), Associations(core)
    rules.routes()
    Endpoints(core).routes()
    router = core.router
    router.resource(RULES, delete=rules.delete)
    router.action(RULES, "associations", rules.associations, method="GET")
    path = f"{SCOPE}/providers/{ASSOCIATIONS}"
    router.add("GET", path, associations.list, type=ASSOCIATIONS)
    for method in ("get", "put", "delete"):
        router.add(method.upper(), f"{path}/{{name}}", getattr(associations, method), type=ASSOCIATIONS)
