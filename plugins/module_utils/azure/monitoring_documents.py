# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ARM documents of Azure Monitor: what a cluster's options are in its words. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.monitoring import FREQUENCIES, SCALE_SETS, WINDOWS

Json = dict[str, t.Any]


class KINDS:
    """Resource types."""

    workspace = "Microsoft.OperationalInsights/workspaces"
    rule = "Microsoft.Insights/dataCollectionRules"
    association = "Microsoft.Insights/dataCollectionRuleAssociations"
    actions = "Microsoft.Insights/actionGroups"
    alert = "Microsoft.Insights/metricAlerts"


_VERSIONS = {
    KINDS.workspace: "2022-10-01",
    KINDS.rule: "2023-03-11",
    KINDS.association: "2023-03-11",
    KINDS.actions: "2023-01-01",
    KINDS.alert: "2018-03-01",
}
_COMPUTE = "2024-07-01"

AGENT = "AzureMonitorLinuxAgent"
_PUBLISHER = "Microsoft.Azure.Monitor"
# Azure installs the newest of that major version.
_AGENT_VERSION = "1.21"
COUNTER_SECONDS = 60
# What a person asks first about a node that misbehaves; every counter and second costs, because Azure bills by volume.
COUNTERS = (
    "Processor(*)\\% Processor Time",
    "Processor(*)\\% IO Wait Time",
    "Memory(*)\\Available MBytes Memory",
    "Memory(*)\\% Used Memory",
    "Memory(*)\\% Used Swap Space",
    "Logical Disk(*)\\% Used Space",
    "Logical Disk(*)\\Free Megabytes",
    "Logical Disk(*)\\Disk Read Bytes/sec",
    "Logical Disk(*)\\Disk Write Bytes/sec",
    "Network(*)\\Total Bytes Received",
    "Network(*)\\Total Bytes Transmitted",
    "System(*)\\Uptime",
)
FACILITIES = ("auth", "authpriv", "cron", "daemon", "kern", "syslog", "user")
LEVELS = ("Warning", "Error", "Critical", "Alert", "Emergency")


def version_of(resource_id: str) -> str:
    """The api-version for a resource id."""
    kind = re.search(r".*/providers/([^/]+/[^/]+)", resource_id)
    found = {key.casefold(): value for key, value in _VERSIONS.items()}
    return found.get(kind.group(1).casefold() if kind else "", _COMPUTE)


def is_rule(resource_id: str) -> bool:
    """Whether a resource id is that of a data collection rule."""
    return f"/providers/{KINDS.rule}/".casefold() in resource_id.casefold()


def workspace(location: str, given: t.Mapping[str, t.Any]) -> Json:
    """A Log Analytics workspace."""
    properties: Json = {
        "sku": {"name": given.get("sku") or "PerGB2018"},
        "retentionInDays": given.get("retention_days") or 30,
    }
    quota = given.get("daily_quota_gb")
    properties["workspaceCapping"] = {"dailyQuotaGb": float(-1 if quota is None else quota)}
    return {"location": location, "properties": properties}


def rule(location: str, workspace_id: str) -> Json:
    """What agents collect, and where they send it."""
    perf, syslog = "Microsoft-Perf", "Microsoft-Syslog"
    sources = {
        "performanceCounters": [
            {
                "name": "counters",
                "streams": [perf],
                "samplingFrequencyInSeconds": COUNTER_SECONDS,
                "counterSpecifiers": list(COUNTERS),
            }
        ],
        "syslog": [
            {"name": "syslog", "streams": [syslog], "facilityNames": list(FACILITIES), "logLevels": list(LEVELS)}
        ],
    }
    return {
        "location": location,
        "kind": "Linux",
        "properties": {
            "dataSources": sources,
            "destinations": {"logAnalytics": [{"name": "workspace", "workspaceResourceId": workspace_id}]},
            "dataFlows": [{"streams": [perf, syslog], "destinations": ["workspace"]}],
        },
    }


def association(rule_id: str) -> Json:
    """The link between a machine or scale set and the rule. On a scale set it holds for all its instances."""
    return {"properties": {"dataCollectionRuleId": rule_id, "description": "azure_hpc.cluster"}}


def agent(watched: str, location: str) -> Json:
    """The agent as an extension. It signs in with the machine's own identity."""
    properties = {"publisher": _PUBLISHER, "type": AGENT, "enableAutomaticUpgrade": True}
    if is_scale_set(watched):
        return {"properties": properties}
    return {"location": location, "properties": properties}


def agent_once() -> Json:
    """What is sent only with a new agent: the version changes by itself afterwards.

    A node whose agent cannot be installed is still a node: without ``suppressFailures`` Azure says that the instance
    failed.
    """
    return {
        "properties": {
            "typeHandlerVersion": _AGENT_VERSION,
            "autoUpgradeMinorVersion": True,
            "suppressFailures": True,
        }
    }


def is_scale_set(resource_id: str) -> bool:
    """Whether a resource id is that of a scale set."""
    return f"/providers/{SCALE_SETS}/".casefold() in resource_id.casefold()


def action_group(cluster: str, given: t.Mapping[str, t.Any]) -> Json:
    """Whom alerts tell. Azure shows at most twelve characters of a name in a message to a telephone."""
    emails = [
        {"name": f"email-{number}", "emailAddress": address, "useCommonAlertSchema": True}
        for number, address in enumerate(given.get("emails") or (), 1)
    ]
    webhooks = [
        {"name": name, "serviceUri": address, "useCommonAlertSchema": True}
        for name, address in sorted((given.get("webhooks") or {}).items())
    ]
    properties = {"groupShortName": cluster[:12], "enabled": True, "emailReceivers": emails}
    return {"location": "Global", "properties": {**properties, "webhookReceivers": webhooks}}


def alert(given: t.Mapping[str, t.Any], watched: str, actions: str) -> Json:
    """An alert about one machine or scale set. ``actions`` is the id of the action group, '' for none."""
    criterion: Json = {
        "criterionType": "StaticThresholdCriterion",
        "name": given["name"],
        "metricName": given["metric"],
        "operator": given["operator"],
        "threshold": float(given["threshold"]),
        "timeAggregation": given["aggregation"],
    }
    words = f"{given['aggregation']} of {given['metric']} {given['operator']} {given['threshold']:g}"
    return {
        "location": "global",
        "properties": {
            "description": given.get("description") or words,
            "severity": given["severity"],
            "enabled": True,
            "scopes": [watched],
            "evaluationFrequency": FREQUENCIES[given["frequency"]],
            "windowSize": WINDOWS[given["window"]],
            "criteria": {
                "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [criterion],
            },
            "actions": [{"actionGroupId": actions}] if actions else [],
        },
    }
