"""What a definition says of monitoring: values, defaults, and every mistake with its path."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.definition import check, read
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.monitoring import (
    ActionGroup,
    Alert,
    LogAnalytics,
    Monitoring,
    Prometheus,
)

from tests.unit.plugins.module_utils.model.definitions import definition

WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/logs/providers/"
    "Microsoft.OperationalInsights/workspaces/central"
)


def monitored(given: t.Any) -> Monitoring:
    found = read({**definition(), "monitoring": given}).monitoring
    assert found is not None
    return found


def mistakes(given: t.Any) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in check({**definition(), "monitoring": given})]


def test_nothing_is_watched_unless_it_is_asked_for() -> None:
    assert read(definition()).monitoring is None
    assert monitored({}) == Monitoring()


def test_a_workspace_brings_the_agent_and_has_a_name_of_the_cluster() -> None:
    found = monitored({"log_analytics": {}})
    assert found.log_analytics == LogAnalytics("demo-logs")
    assert found.agent
    assert not monitored({"log_analytics": {}, "agent": False}).agent


def test_a_workspace_that_exists_is_only_named() -> None:
    assert monitored({"log_analytics": {"id": WORKSPACE}}).log_analytics == LogAnalytics("central", WORKSPACE)
    assert mistakes({"log_analytics": {"id": WORKSPACE, "sku": "PerGB2018"}}) == [
        ("monitoring.log_analytics.sku", "cannot be given with id: the workspace exists, and is only used")
    ]


def test_an_alert_of_a_name_alone_is_about_the_processors_of_the_head() -> None:
    (alert,) = monitored({"alerts": [{"name": "cpu"}]}).alerts
    assert alert == Alert("cpu", "Percentage CPU", "Average", "GreaterThan", 90.0, 5, 1, 2, ("head",))


def test_an_alert_about_another_metric_needs_its_own_threshold() -> None:
    assert mistakes({"alerts": [{"name": "memory", "metric": "Available Memory Bytes"}]}) == [
        ("monitoring.alerts[0].threshold", "is missing")
    ]


def test_people_and_webhooks_are_told() -> None:
    told = {"emails": ["ops@example.org"], "webhooks": ["chat"]}
    found = monitored({"alerts": [{"name": "cpu", "machines": ["head", "compute"]}], "action_group": told})
    assert found.action_group == ActionGroup(("ops@example.org",), ("chat",))


def test_prometheus_runs_when_its_section_is_there_and_bounds_what_it_keeps() -> None:
    assert monitored({"prometheus": {}}).prometheus == Prometheus(enabled=True)
    assert not monitored({"prometheus": {"enabled": False}}).prometheus.enabled
    assert not monitored({"alerts": []}).prometheus.enabled


def test_a_monitored_cluster_survives_being_written_down() -> None:
    cluster = read({**definition(), "monitoring": {"log_analytics": {}, "alerts": [{"name": "cpu"}], "prometheus": {}}})
    assert serial.load(type(cluster), serial.dump(cluster)) == cluster


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"agent": True}, "agent", "needs log_analytics: a workspace that the agent sends to"),
        ({"log_analytics": {"workspace": "a_b"}}, "log_analytics.workspace", "must be letters, digits and -, 4 to 63"),
        ({"log_analytics": {"retention_days": 7}}, "log_analytics.retention_days", "must be at least 30, not 7"),
        ({"log_analytics": {"sku": "PerGb"}}, "log_analytics.sku", "must be one of PerGB2018, Free"),
        ({"log_analytics": {"daily_quota_gb": 0}}, "log_analytics.daily_quota_gb", "must be a number of GB a day"),
        ({"log_analytics": {"id": "/logs"}}, "log_analytics.id", "must be the resource id of a Log Analytics"),
        ({"alerts": [{}]}, "alerts[0].name", "is missing"),
        ({"alerts": [{"name": "cpu"}, {"name": "cpu"}]}, "alerts[1].name", "cpu is the name of alerts[0] already"),
        ({"alerts": [{"name": "c", "window": 7}]}, "alerts[0].window", "must be one of 1, 5, 15, 30, 60, 360, 720"),
        ({"alerts": [{"name": "c", "frequency": 360}]}, "alerts[0].frequency", "must be one of 1, 5, 15, 30, 60 minu"),
        ({"alerts": [{"name": "c", "window": 5, "frequency": 15}]}, "alerts[0].window", "is 5 minutes, shorter than"),
        ({"alerts": [{"name": "c", "severity": 5}]}, "alerts[0].severity", "must be at most 4, not 5"),
        ({"alerts": [{"name": "c", "operator": ">"}]}, "alerts[0].operator", "must be one of Equals, GreaterThan"),
        ({"alerts": [{"name": "c", "aggregation": "Avg"}]}, "alerts[0].aggregation", "must be one of Average, Count"),
        ({"alerts": [{"name": "c", "machines": "nodes"}]}, "alerts[0].machines", "must be one of head, login, compute"),
        (
            {"alerts": [{"name": "c", "machines": ["nodes"]}]},
            "alerts[0].machines[0]",
            "must be one of head, login, compute",
        ),
        ({"alerts": [{"name": "c", "threshold": "90"}]}, "alerts[0].threshold", "must be a number, not a text"),
        ({"action_group": {"emails": ["ops@example.org"]}}, "action_group", "is for alerts, and there are none"),
        ({"action_group": {"emails": ["ops"]}}, "action_group.emails[0]", "is not an e-mail address"),
        (
            {"alerts": [{"name": "c"}], "action_group": {"webhooks": ["https://example.org/?key=1"]}},
            "action_group.webhooks[0]",
            "must be a-z, 0-9 and -, at most 32: the name under which hpc_monitoring_webhooks",
        ),
        ({"prometheus": {"listen": "head"}}, "prometheus.listen", "must be an IP address"),
        ({"prometheus": {"retention_days": 0}}, "prometheus.retention_days", "must be at least 1, not 0"),
        ({"grafana": {}}, "grafana", "unknown key"),
    ],
)
def test_a_mistake_is_named_with_its_path(given: t.Any, path: str, message: str) -> None:
    assert [text[: len(message)] for at, text in mistakes(given) if at == f"monitoring.{path}"] == [message]


def test_login_is_watched_only_where_there_are_login_nodes() -> None:
    without = {key: value for key, value in definition().items() if key != "login"}
    found = check({**without, "monitoring": {"alerts": [{"name": "cpu", "machines": ["login"]}]}})
    assert [str(one) for one in found] == [
        "monitoring.alerts[0].machines: names login, but the cluster has no login nodes"
    ]
