# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster definition says under ``monitoring``."""

from __future__ import annotations

import ipaddress
import typing as t

from . import monitoring as _monitoring
from .monitoring import ActionGroup, Alert, LogAnalytics, Monitoring, Prometheus
from .reading import Mistakes, Section, word

if t.TYPE_CHECKING:
    from .cluster import Cluster

KEYS = ("log_analytics", "agent", "alerts", "action_group", "prometheus")
_LOG_KEYS = ("workspace", "id", "retention_days", "sku", "daily_quota_gb")
_ALERT_KEYS = (
    "name",
    "metric",
    "aggregation",
    "operator",
    "threshold",
    "window",
    "frequency",
    "severity",
    "machines",
    "description",
)
_PROMETHEUS_KEYS = ("enabled", "retention_days", "retention_gb", "scrape_interval", "listen", "port")
_WORKSPACE_ID = (
    r"/subscriptions/[^/\s]+/resource[Gg]roups/[^/\s]+/providers/"
    r"[Mm]icrosoft\.[Oo]perational[Ii]nsights/workspaces/[^/\s]+"
)
_WORKSPACE = r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]"
_METRIC = r"[A-Za-z][A-Za-z0-9 /()_-]{1,99}"
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_NAME_RULE = "must be a-z, 0-9 and -, at most 32"
_EMAIL = r"[^@\s<>,;]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
# Without a commitment, 30 to 730; in Free it is always 7.
_RETENTION = (30, 730)


def read(section: Section, cluster: str) -> Monitoring:
    """What a section with `KEYS` says; ``cluster`` begins the names of what is made."""
    logs = (
        _log_analytics(section.section("log_analytics", _LOG_KEYS), cluster) if section.has("log_analytics") else None
    )
    return Monitoring(
        log_analytics=logs,
        agent=section.flag("agent", logs is not None),
        alerts=tuple(
            _alert(Section(section.mistakes, item, path, _ALERT_KEYS)) for path, item in section.items("alerts", ())
        ),
        action_group=_action_group(section.section("action_group", ("emails", "webhooks"))),
        prometheus=_prometheus(section.section("prometheus", _PROMETHEUS_KEYS), section.has("prometheus")),
    )


def _log_analytics(section: Section, cluster: str) -> LogAnalytics:
    if section.has("id"):
        given = section.text("id", "", _WORKSPACE_ID, "must be the resource id of a Log Analytics workspace")
        for key in section.data:
            if key != "id":
                section.wrong(key, "cannot be given with id: the workspace exists, and is only used")
        return LogAnalytics(name=given.rsplit("/", 1)[-1], id=given)
    rule = "must be letters, digits and -, 4 to 63, and not begin or end with -"
    sku = section.text("sku", "PerGB2018", choices=_monitoring.WORKSPACE_SKUS)
    low, high = (7, 7) if sku == "Free" else _RETENTION
    return LogAnalytics(
        name=section.text("workspace", f"{cluster}-logs", _WORKSPACE, rule),
        retention_days=section.number("retention_days", low, low=low, high=high),
        sku=sku,
        daily_quota_gb=_amount(section, "daily_quota_gb", -1.0, 0.023, "GB a day, at least 0.023"),
    )


def _amount(section: Section, key: str, default: float, low: float, what: str) -> float:
    value = section.data.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        section.wrong(key, f"must be a number of {what}, not {word(value)}")
    elif value != default and value < low:
        section.wrong(key, f"must be a number of {what}")
    else:
        return float(value)
    return default


def _alert(section: Section) -> Alert:
    usual = Alert("")
    alert = Alert(
        name=section.text("name", pattern=_NAME, rule=_NAME_RULE),
        metric=section.text("metric", usual.metric, _METRIC, "is not the name of a metric, such as Percentage CPU"),
        aggregation=section.text("aggregation", usual.aggregation, choices=_monitoring.AGGREGATIONS),
        operator=section.text("operator", usual.operator, choices=_monitoring.OPERATORS),
        threshold=_threshold(section, usual.threshold),
        window=_minutes(section, "window", usual.window, _monitoring.WINDOWS),
        frequency=_minutes(section, "frequency", usual.frequency, _monitoring.FREQUENCIES),
        severity=section.number("severity", usual.severity, high=4),
        machines=_roles(section, usual.machines),
        description=section.text("description", ""),
    )
    wrong = section.mistakes.at(section.at("window")) or section.mistakes.at(section.at("frequency"))
    if not wrong and alert.window < alert.frequency:
        message = f"is {alert.window} minutes, shorter than frequency with {alert.frequency}"
        section.wrong("window", f"{message}: what happens in between would never be seen")
    return alert


def _threshold(section: Section, default: float) -> float:
    value = section.data.get("threshold")
    if value is None and not section.has("metric"):
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        section.wrong("threshold", "is missing" if value is None else f"must be a number, not {word(value)}")
        return default
    return float(value)


def _minutes(section: Section, key: str, default: int, legal: t.Mapping[int, str]) -> int:
    found = section.number(key, default)
    if found not in legal and not section.mistakes.at(section.at(key)):
        section.wrong(key, f"must be one of {', '.join(map(str, legal))} minutes, not {found}")
        return default
    return found


def _roles(section: Section, default: tuple[str, ...]) -> tuple[str, ...]:
    given = section.data.get("machines")
    if given is None:
        return default
    if isinstance(given, str):
        return (section.text("machines", "head", choices=_monitoring.ROLES),)
    pattern = "|".join(_monitoring.ROLES)
    return section.texts("machines", None, pattern, f"must be one of {', '.join(_monitoring.ROLES)}")


def _action_group(section: Section) -> ActionGroup:
    rule = f"{_NAME_RULE}: the name under which hpc_monitoring_webhooks has the address, which is a secret"
    return ActionGroup(
        emails=section.texts("emails", pattern=_EMAIL, rule="is not an e-mail address"),
        webhooks=section.texts("webhooks", pattern=_NAME, rule=rule),
    )


def _prometheus(section: Section, there: bool) -> Prometheus:
    usual = Prometheus()
    listen = section.text("listen", usual.listen)
    try:
        ipaddress.ip_address(listen)
    except ValueError:
        section.wrong("listen", "must be an IP address: 127.0.0.1 for the head itself, 0.0.0.0 for the whole network")
    return Prometheus(
        enabled=section.flag("enabled", there),
        retention_days=section.number("retention_days", usual.retention_days, low=1, high=3650),
        retention_gb=section.number("retention_gb", usual.retention_gb, low=1, high=10_000),
        scrape_interval=section.number("scrape_interval", usual.scrape_interval, low=10, high=600),
        listen=listen,
        port=section.number("port", usual.port, low=1024, high=65535),
    )


def cross_check(mistakes: Mistakes, cluster: Cluster) -> None:
    """Rules between what is watched and the rest of the definition."""
    monitoring = cluster.monitoring
    if monitoring is None:
        return
    if monitoring.agent and monitoring.log_analytics is None:
        mistakes.add("monitoring.agent", "needs log_analytics: a workspace that the agent sends to")
    first: dict[str, int] = {}
    for index, alert in enumerate(monitoring.alerts):
        path = f"monitoring.alerts[{index}]"
        if alert.name and first.setdefault(alert.name, index) != index:
            mistakes.add(f"{path}.name", f"{alert.name} is the name of alerts[{first[alert.name]}] already")
        if "login" in alert.machines and cluster.login is None and not mistakes.at("login"):
            mistakes.add(f"{path}.machines", "names login, but the cluster has no login nodes")
        if set(alert.machines) <= {"compute"} and not cluster.node_arrays and not mistakes.at("node_arrays"):
            mistakes.add(f"{path}.machines", "names compute, but the cluster has no node arrays")
    told = monitoring.action_group
    if (told.emails or told.webhooks) and not monitoring.alerts and not mistakes.at("monitoring.alerts"):
        mistakes.add("monitoring.action_group", "is for alerts, and there are none")
