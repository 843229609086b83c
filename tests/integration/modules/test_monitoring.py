# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module monitoring against the sandbox: made, left alone, changed, deleted; secrets stay secret."""

from __future__ import annotations

import typing as t
import uuid

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

from tests.integration.modules.conftest import KEY, STOCK, Modules, Result

WEBHOOK = "https://hooks.example.org/?code=3f1a9c"
INSIGHTS = "Microsoft.Insights"


class World:
    """A resource group with a machine and a scale set that have identities."""

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self.name = f"m{uuid.uuid4().hex[:7]}"
        self.group = f"{self.name}-rg"
        modules("resource_group", name=self.group, location="westeurope")
        place = {"resource_group": self.group, "location": "westeurope"}
        made = modules(
            "network", **place, name="net", address_space=["10.0.0.0/16"],
            subnets=[{"name": "all", "cidr": "10.0.0.0/24"}],
        )  # fmt: skip
        common = {
            **place, "image": STOCK, "admin_username": "azureuser", "ssh_public_keys": [KEY], "system_identity": True,
            "subnet_id": made["subnet_ids"]["all"], "vm_size": "Standard_D2s_v5",
        }  # fmt: skip
        self.head: str = modules("machine", **common, name=f"{self.name}-head")["id"]
        self.nodes: str = modules("scale_set", **common, name=f"{self.name}-htc", computer_name_prefix="htc")["id"]

    def options(self, **changes: t.Any) -> dict[str, t.Any]:
        return {
            "resource_group": self.group,
            "name": self.name,
            "location": "westeurope",
            "workspace": {"name": f"{self.name}-logs", "retention_days": 60},
            "agent": True,
            "targets": [{"id": self.head, "role": "head"}, {"id": self.nodes, "role": "compute"}],
            "alerts": [{"name": "cpu", "machines": ["head", "compute"]}],
            "action_group": {"emails": ["ops@example.org"], "webhooks": {"chat": WEBHOOK}},
            "tags": {"hpc-cluster": self.name, "hpc-role": "monitoring"},
            **changes,
        }

    def get(self, path: str, version: str) -> Result:
        with connect({}) as session:
            return session.find(path, version) or {}

    def listed(self, kind: str, version: str) -> list[str]:
        with connect({}) as session:
            path = f"{session.group_path(self.group)}/providers/{kind}"
            return sorted(one["name"] for one in session.listing(path, version))

    def link(self, watched: str) -> Result:
        path = f"{watched}/providers/{INSIGHTS}/dataCollectionRuleAssociations/{self.name}-collect"
        return self.get(path, "2022-06-01")

    def agent(self, watched: str) -> Result:
        return self.get(f"{watched}/extensions/AzureMonitorLinuxAgent", "2024-07-01")


@pytest.fixture
def world(modules: Modules) -> t.Iterator[World]:
    made = World(modules)
    yield made
    modules("resource_group", name=made.group, state="absent", force=True)


def test_everything_is_made_once_and_found_again(world: World) -> None:
    found = world.modules.twice("monitoring", **world.options())
    assert found["alerts"] == [f"{world.name}-cpu-head", f"{world.name}-cpu-htc"]
    assert found["workspace_customer_id"]
    for watched in (world.head, world.nodes):
        assert world.link(watched)["properties"]["dataCollectionRuleId"] == found["rule_id"]
        assert world.agent(watched)["properties"]["suppressFailures"] is True
    alert = world.get(f"{found['rule_id'].rsplit('/', 2)[0]}/metricAlerts/{found['alerts'][0]}", "2018-03-01")
    assert alert["properties"]["scopes"] == [world.head]
    assert alert["properties"]["actions"] == [{"actionGroupId": found["action_group_id"]}]


def test_the_rule_sends_counters_and_logs_to_the_workspace(world: World) -> None:
    found = world.modules("monitoring", **world.options())
    properties = world.get(found["rule_id"], "2022-06-01")["properties"]
    (destination,) = properties["destinations"]["logAnalytics"]
    assert destination["workspaceResourceId"] == found["workspace_id"]
    assert properties["dataFlows"] == [
        {"streams": ["Microsoft-Perf", "Microsoft-Syslog"], "destinations": ["workspace"]}
    ]


def test_new_instances_of_a_scale_set_have_the_agent_in_their_model(world: World) -> None:
    world.modules("monitoring", **world.options())
    profile = world.get(world.nodes, "2024-07-01")["properties"]["virtualMachineProfile"]
    assert [one["name"] for one in profile["extensionProfile"]["extensions"]] == ["AzureMonitorLinuxAgent"]
    identity = world.get(world.nodes, "2024-07-01")["identity"]
    assert identity["type"] == "SystemAssigned"


def test_what_is_not_wanted_any_more_is_deleted_but_the_workspace_stays(world: World) -> None:
    world.modules("monitoring", **world.options())
    bare = world.options(agent=False, alerts=[], action_group=None)
    found = world.modules.twice("monitoring", **bare)
    assert (found["rule_id"], found["action_group_id"], found["alerts"]) == ("", "", [])
    assert found["workspace_id"]
    assert world.link(world.head) == world.agent(world.head) == world.agent(world.nodes) == {}
    assert world.listed(f"{INSIGHTS}/metricAlerts", "2018-03-01") == []


def test_alerts_of_others_stay(world: World) -> None:
    found = world.modules("monitoring", **world.options())
    with connect({}) as session:
        mine = session.get(f"{found['rule_id'].rsplit('/', 2)[0]}/metricAlerts/{found['alerts'][0]}", "2018-03-01")
        theirs = session.resource_path(world.group, f"{INSIGHTS}/metricAlerts", "theirs")
        body = {"location": "global", "properties": mine["properties"]}
        session.send("PUT", theirs, "2018-03-01", body)
    world.modules("monitoring", **world.options(alerts=[]))
    assert world.listed(f"{INSIGHTS}/metricAlerts", "2018-03-01") == ["theirs"]


def test_addresses_of_webhooks_are_never_shown(world: World) -> None:
    first = world.modules("monitoring", **world.options())
    other = {"emails": ["ops@example.org"], "webhooks": {"chat": "https://hooks.example.org/?code=77b2"}}
    second = world.modules("monitoring", **world.options(action_group=other))
    assert second["changed"]
    assert "(not shown)" in str(second["diff"])
    for result in (first, second):
        assert "3f1a9c" not in str(result)
        assert "77b2" not in str(result)


def test_a_workspace_of_others_is_used_and_never_deleted(world: World) -> None:
    own = world.modules("monitoring", **world.options())
    shared = {"id": own["workspace_id"]}
    assert not world.modules("monitoring", **world.options(workspace=shared))["changed"]
    gone = world.modules("monitoring", **world.options(workspace=shared, state="absent"))
    assert gone["workspace_id"] == own["workspace_id"]
    assert world.get(own["workspace_id"], "2022-10-01")


def test_absent_leaves_nothing(world: World) -> None:
    world.modules("monitoring", **world.options())
    absent = {"resource_group": world.group, "name": world.name, "state": "absent"}
    world.modules.twice("monitoring", **absent)
    assert world.link(world.head) == {}
    for kind, version in (("metricAlerts", "2018-03-01"), ("dataCollectionRules", "2022-06-01")):
        assert world.listed(f"{INSIGHTS}/{kind}", version) == []
    assert world.listed("Microsoft.OperationalInsights/workspaces", "2022-10-01") == []


def test_where_there_is_no_resource_group_there_is_nothing_to_delete(modules: Modules) -> None:
    assert not modules("monitoring", resource_group="nowhere-rg", name="nowhere", state="absent")["changed"]


def test_azures_reason_is_kept(world: World) -> None:
    wrong = world.modules("monitoring", **world.options(workspace={"name": "no"}))
    assert wrong["failed"]
    assert wrong["error"]["code"] == "InvalidParameter"
