"""What is of a cluster and not in its definition any more."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import info

from tests.unit.plugins.module_utils.azure.arm import Answer, Arm, session
from tests.unit.plugins.module_utils.azure.test_parameters import DEFINITION, cloud

WATCHING = [
    ("Microsoft.Insights/metricAlerts", "demo-cpu-head"),
    ("microsoft.insights/actiongroups", "demo-alerts"),
    ("Microsoft.Insights/dataCollectionRules", "demo-collect"),
]
OTHERS = [
    ("Microsoft.Compute/virtualMachines", "demo-head"),
    ("Microsoft.Compute/virtualMachines", "demo-login-3"),
    ("Microsoft.Compute/virtualMachineScaleSets", "demo-old-d4sv5"),
    ("Microsoft.Network/virtualNetworks", "demo-vnet"),
    ("Microsoft.OperationalInsights/workspaces", "Demo-Logs"),
    ("Microsoft.StorageCache/amlFilesystems", "demo-scratch"),
]


def left(arm: Arm, **changes: t.Any) -> dict[str, list[str]]:
    with session(arm) as living:
        found, _warnings = info.gather(living, {**DEFINITION, **changes}, False, with_leftovers=True)
    answer: dict[str, list[str]] = found["leftovers"]
    return answer


def listed(*resources: tuple[str, str]) -> Arm:
    arm = cloud()
    entries = [{"id": f"/x/{name}", "name": name, "type": kind} for kind, name in resources]
    arm.script("GET", "/resourceGroups/demo-rg/resources$", Answer(200, {"value": entries}))
    return arm


def test_what_the_definition_has_is_not_left_over() -> None:
    found = left(listed(*WATCHING, *OTHERS))
    assert found == {
        "monitoring": ["demo-alerts", "demo-collect", "demo-cpu-head"],
        "workspaces": ["Demo-Logs"],
        "lustre": ["demo-scratch"],
        "storage_accounts": [],
        "netapp_accounts": [],
        "machines": ["demo-login-3"],
        "scale_sets": ["demo-old-d4sv5"],
    }


def test_where_azure_watches_the_module_finds_itself_what_to_take_away() -> None:
    found = left(listed(*WATCHING, *OTHERS), monitoring={"log_analytics": {}})
    assert (found["monitoring"], found["workspaces"]) == ([], [])


def test_prometheus_alone_leaves_over_what_azure_watched_with() -> None:
    assert left(listed(*WATCHING), monitoring={"prometheus": {}})["monitoring"]


def test_a_workspace_that_is_used_by_its_id_is_not_left_over() -> None:
    path = "/subscriptions/s/resourceGroups/demo-rg/providers/Microsoft.OperationalInsights/workspaces/demo-logs"
    assert left(listed(*OTHERS), monitoring={"log_analytics": {"id": path}})["workspaces"] == []


def test_only_what_has_the_tag_of_the_cluster_is_asked_for() -> None:
    arm = listed()
    left(arm)
    (asked,) = [one for one in arm.sent if one.path.endswith("/resources")]
    assert asked.query["$filter"] == "tagName eq 'hpc-cluster' and tagValue eq 'demo'"


def test_where_there_is_no_resource_group_nothing_is_left_over() -> None:
    arm = cloud()
    missing = {"error": {"code": "ResourceGroupNotFound", "message": "no such group"}}
    arm.script("GET", "/resources$", Answer(404, missing))
    assert not any(left(arm).values())
