# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches a cluster: values, and the words that Azure Monitor takes."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

AGGREGATIONS = ("Average", "Count", "Minimum", "Maximum", "Total")
OPERATORS = ("Equals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual")
FREQUENCIES: t.Mapping[int, str] = {1: "PT1M", 5: "PT5M", 15: "PT15M", 30: "PT30M", 60: "PT1H"}
"""How often an alert can be looked at: minutes, and how Azure writes them."""
WINDOWS: t.Mapping[int, str] = {**FREQUENCIES, 360: "PT6H", 720: "PT12H", 1440: "P1D"}
"""Over how many minutes it can be aggregated."""
WORKSPACE_SKUS = ("PerGB2018", "Free", "Standard", "Premium", "PerNode", "Standalone")
ROLES = ("head", "login", "compute")
MACHINES = "Microsoft.Compute/virtualMachines"
SCALE_SETS = "Microsoft.Compute/virtualMachineScaleSets"


@dataclass(frozen=True)
class LogAnalytics:
    """A Log Analytics workspace: the one of that ``id``, else ours of that ``name``.

    Logs are kept for ``retention_days``; after ``daily_quota_gb`` (-1: no limit) Azure takes no more on that day.
    """

    name: str = ""
    id: str = ""
    retention_days: int = 30
    sku: str = "PerGB2018"
    daily_quota_gb: float = -1.0


@dataclass(frozen=True)
class Alert:
    """An alert that fires when ``metric``, aggregated over ``window`` minutes, compares to ``threshold``.

    It is looked at every ``frequency`` minutes for each machine and each scale set of the roles ``machines``.
    ``severity`` is 0 (critical) to 4 (verbose).
    """

    name: str
    metric: str = "Percentage CPU"
    aggregation: str = "Average"
    operator: str = "GreaterThan"
    threshold: float = 90.0
    window: int = 5
    frequency: int = 1
    severity: int = 2
    machines: tuple[str, ...] = ("head",)
    description: str = ""


@dataclass(frozen=True)
class ActionGroup:
    """Whom alerts tell: e-mail addresses, and webhooks by name; the addresses of those are secrets."""

    emails: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server on the head, which keeps at most ``retention_days`` and ``retention_gb`` of samples.

    It asks every ``scrape_interval`` seconds, and answers at ``listen`` (an address of the head) on ``port``.
    """

    enabled: bool = False
    retention_days: int = 15
    retention_gb: int = 5
    scrape_interval: int = 30
    listen: str = "127.0.0.1"
    port: int = 9090


@dataclass(frozen=True)
class Monitoring:
    """All of it. ``agent``: the Azure Monitor agent on all machines sends counters and system logs to the workspace."""

    log_analytics: t.Optional[LogAnalytics] = None
    agent: bool = False
    alerts: tuple[Alert, ...] = ()
    action_group: ActionGroup = field(default_factory=ActionGroup)
    prometheus: Prometheus = field(default_factory=Prometheus)
