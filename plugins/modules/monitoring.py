#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: monitoring."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring
short_description: Have Azure Monitor watch the machines of a cluster
version_added: 0.1.0
description:
  - Makes a Log Analytics workspace, a data collection rule (performance counters and system logs of Linux), the Azure
    Monitor agent on machines and in the models of scale sets, metric alerts, and the action group that they tell.
  - What this module made for the cluster and is not asked for any more is deleted, but for the workspace, which holds
    data.
  - On a scale set the rule holds for all instances, and new instances get the agent when they boot. Instances that run
    already get it when they are replaced.
  - The agent signs in with the identity that Azure assigns to the machine or scale set, which has to have one
    (O(azure_hpc.cluster.machine#module:system_identity)). That it cannot be installed fails no instance.
options:
  resource_group:
    description: The resource group of all that is made.
    type: str
    required: true
  name:
    description: The name of the cluster, which names of resources begin with.
    type: str
    required: true
  location:
    description: The Azure location. Required with O(state=present).
    type: str
  workspace:
    description: The Log Analytics workspace; none if not given.
    type: dict
    suboptions:
      id:
        description: The resource id of one that exists, and is neither changed nor deleted.
        type: str
      name:
        description: The name of one that is made; C(<name>-logs) if not given.
        type: str
      retention_days:
        description: For how many days logs are kept.
        type: int
        default: 30
      sku:
        description: The pricing tier.
        type: str
        choices: [PerGB2018, Free, Standard, Premium, PerNode, Standalone]
        default: PerGB2018
      daily_quota_gb:
        description: How much it takes on one day, in GB; V(-1) for no limit.
        type: float
        default: -1
  agent:
    description: Whether machines send counters and logs to O(workspace).
    type: bool
    default: false
  targets:
    description: The machines and scale sets of the cluster. With O(state=absent), those that lose their agents.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The resource id.
        type: str
        required: true
      role:
        description: What it is in the cluster.
        type: str
        choices: [head, login, compute]
        required: true
  alerts:
    description: Metric alerts. Each becomes one rule for every target with one of its roles.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name; that of the rule is C(<cluster>-<name>-<rest of the target's name>).
        type: str
        required: true
      metric:
        description: The name of a metric of virtual machines.
        type: str
        default: Percentage CPU
      aggregation:
        description: What is made of its values.
        type: str
        choices: [Average, Count, Minimum, Maximum, Total]
        default: Average
      operator:
        description: How it compares to O(alerts[].threshold).
        type: str
        choices: [Equals, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual]
        default: GreaterThan
      threshold:
        description: The value from which on the alert fires.
        type: float
        default: 90
      window:
        description: Over how many minutes values are aggregated.
        type: int
        choices: [1, 5, 15, 30, 60, 360, 720, 1440]
        default: 5
      frequency:
        description: Every how many minutes that is looked at.
        type: int
        choices: [1, 5, 15, 30, 60]
        default: 1
      severity:
        description: From V(0), critical, to V(4), verbose.
        type: int
        choices: [0, 1, 2, 3, 4]
        default: 2
      machines:
        description: The roles of the machines and scale sets that it is about.
        type: list
        elements: str
        choices: [head, login, compute]
        default: [head]
      description:
        description: What whoever is told reads; the condition in words if not given.
        type: str
        default: ""
  action_group:
    description: Whom alerts tell.
    type: dict
    suboptions:
      emails:
        description: E-mail addresses.
        type: list
        elements: str
        default: []
      webhooks:
        description: Addresses of webhooks by name. Whoever knows an address can call it, so they are not shown.
        type: dict
        default: {}
  state:
    description:
      - Whether there is monitoring.
      - V(absent) deletes all of it, and the workspace with its logs unless O(workspace.id) names it. Azure can bring a
        deleted workspace back for 14 days.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
notes:
  - Alerts are found again by the tag C(hpc-cluster) with the name of the cluster, which is always set.
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Logs of the head and the compute nodes, and a word when the head is busy
  azure_hpc.cluster.monitoring:
    resource_group: demo-rg
    name: demo
    location: westeurope
    workspace: {name: demo-logs, retention_days: 60}
    agent: true
    targets:
      - {id: "{{ head.id }}", role: head}
      - {id: "{{ scale_set.id }}", role: compute}
    alerts:
      - {name: cpu, metric: Percentage CPU, operator: GreaterThan, threshold: 90, machines: [head]}
    action_group:
      emails: [ops@example.org]
      webhooks: {chat: "{{ vaulted_webhook }}"}

- name: No monitoring any more
  azure_hpc.cluster.monitoring:
    resource_group: demo-rg
    name: demo
    state: absent
"""

RETURN = r"""
workspace_id:
  description: The resource id of the workspace, empty for none.
  type: str
  returned: success
workspace_customer_id:
  description: What queries call the workspace by, empty for none and for one that was given by id.
  type: str
  returned: success
rule_id:
  description: The resource id of the data collection rule, empty for none.
  type: str
  returned: success
action_group_id:
  description: The resource id of the action group, empty for none.
  type: str
  returned: success
alerts:
  description: The names of the alert rules.
  type: list
  elements: str
  returned: success
  sample: [demo-cpu-head]
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import monitoring
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    TAGS,
    Arguments,
    build,
    failures_reported,
    finish,
    state,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.monitoring import (
    AGGREGATIONS,
    FREQUENCIES,
    OPERATORS,
    ROLES,
    WINDOWS,
    WORKSPACE_SKUS,
)

WORKSPACE = {
    "id": {"type": "str"},
    "name": {"type": "str"},
    "retention_days": {"type": "int", "default": 30},
    "sku": {"type": "str", "choices": list(WORKSPACE_SKUS), "default": "PerGB2018"},
    "daily_quota_gb": {"type": "float", "default": -1},
}
TARGET = {
    "id": {"type": "str", "required": True},
    "role": {"type": "str", "choices": list(ROLES), "required": True},
}
ALERT = {
    "name": {"type": "str", "required": True},
    "metric": {"type": "str", "default": "Percentage CPU"},
    "aggregation": {"type": "str", "choices": list(AGGREGATIONS), "default": "Average"},
    "operator": {"type": "str", "choices": list(OPERATORS), "default": "GreaterThan"},
    "threshold": {"type": "float", "default": 90},
    "window": {"type": "int", "choices": list(WINDOWS), "default": 5},
    "frequency": {"type": "int", "choices": list(FREQUENCIES), "default": 1},
    "severity": {"type": "int", "choices": [0, 1, 2, 3, 4], "default": 2},
    "machines": {"type": "list", "elements": "str", "choices": list(ROLES), "default": ["head"]},
    "description": {"type": "str", "default": ""},
}
TOLD = {
    "emails": {"type": "list", "elements": "str", "default": []},
    "webhooks": {"type": "dict", "default": {}, "no_log": True},
}
OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "workspace": {"type": "dict", "options": WORKSPACE, "mutually_exclusive": [["id", "name"]]},
        "agent": {"type": "bool", "default": False},
        "targets": {"type": "list", "elements": "dict", "options": TARGET, "default": []},
        "alerts": {"type": "list", "elements": "dict", "options": ALERT, "default": []},
        "action_group": {"type": "dict", "options": TOLD},
    },
    required_if=(("state", "present", ("location",)), ("agent", True, ("workspace",))),
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = monitoring.ensure if module.params["state"] == "present" else monitoring.remove
        outcome, names = act(session, module.params, module.check_mode)
        before, after = (monitoring.shown(outcome.diff(side)) for side in ("before", "after"))
        finish(module, outcome.changed, before, after, **monitoring.summary(outcome, names, module.params))


if __name__ == "__main__":
    main()
