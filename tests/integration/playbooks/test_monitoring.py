# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks do with ``monitoring`` of a definition, where no machine has to answer."""

from __future__ import annotations

import json
import typing as t

from tests.integration.conftest import RunningSandbox
from tests.integration.modules.conftest import Modules, Result, build, definition, modules
from tests.integration.playbooks.test_playbooks import Playbook, playbook, writes

__all__ = ["build", "modules", "playbook"]

SECRET = "https://hooks.example.org/?code=9c1f"
WATCHED = {
    "log_analytics": {},
    "alerts": [{"name": "cpu", "machines": ["head", "compute"]}],
    "action_group": {"emails": ["ops@example.org"], "webhooks": ["chat"]},
    "prometheus": {},
}
ADDRESSES = ("-e", json.dumps({"hpc_monitoring_webhooks": {"chat": SECRET}}))


def watched(name: str) -> dict[str, t.Any]:
    return {**definition(name), "monitoring": WATCHED}


def options(modules: Modules, cluster: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the playbooks give the module."""
    found: dict[str, t.Any] = modules("cluster_info", definition=cluster)["parameters"]["monitoring"]
    assert found.pop("azure") is True
    told = {"emails": found.pop("emails"), "webhooks": dict.fromkeys(found.pop("webhooks"), SECRET)}
    return {**found, "action_group": told}


def test_site_in_check_mode_says_what_it_would_make_of_it(sandbox: RunningSandbox, playbook: Playbook) -> None:
    before = writes(sandbox)
    said = playbook("site", watched("looked"), "--check", "--diff", *ADDRESSES)
    assert writes(sandbox) == before
    for name in ("looked-cpu-head", "looked-cpu-htc-d8sv5", "looked-logs", "looked-collect", "AzureMonitorLinuxAgent"):
        assert name in said
    assert SECRET not in said


def test_a_webhook_without_an_address_stops_site_before_anything_of_it_is_made(playbook: Playbook) -> None:
    said = playbook("site", watched("nobody"), "--check", works=False)
    assert "hpc_monitoring_webhooks has no address for chat" in said


def test_destroy_takes_all_of_it_along(modules: Modules, playbook: Playbook, build: t.Callable[[str], Result]) -> None:
    build("watched")
    cluster = watched("watched")
    made = modules("monitoring", **options(modules, cluster))
    assert len(made["alerts"]) == 1 + len(modules("cluster_info", definition=cluster)["parameters"]["scale_sets"])
    playbook("destroy", cluster, "-e", "hpc_destroy_confirm=watched")
    assert modules("resource_group", name="watched-rg", state="absent")["changed"] is False


def test_site_says_what_the_definition_does_not_have_any_more_and_what_becomes_of_it(
    sandbox: RunningSandbox, modules: Modules, playbook: Playbook
) -> None:
    cluster = watched("before")
    given = options(modules, cluster)
    modules("resource_group", name="before-rg", location="westeurope")
    made = modules("monitoring", **{**given, "targets": [], "alerts": []})
    assert made["rule_id"]
    before = writes(sandbox)
    said = playbook("site", {**cluster, "monitoring": {"prometheus": {}}}, "--check", "--diff")
    assert "to be deleted with the agents: before-alerts, before-collect" in said
    assert "workspaces of the cluster, but not of its definition any more: before-logs" in said
    assert made["rule_id"] in said.rpartition("Have Azure watch the machines")[2]
    assert f"-{made['workspace_id']}" not in said
    assert writes(sandbox) == before


def test_prometheus_alone_asks_nothing_of_azure_that_watches(
    sandbox: RunningSandbox, modules: Modules, playbook: Playbook
) -> None:
    def asked() -> int:
        return sum(count for kind, count in sandbox.requests().items() if "insights" in kind.lower())

    modules("monitoring", resource_group="alone-rg", name="alone", state="absent")
    before = asked()
    assert before > 0
    said = playbook("site", {**definition("alone"), "monitoring": {"prometheus": {}}}, "--check")
    assert asked() == before
    assert "not of its definition any more" not in said


def test_destroy_asks_for_what_the_definition_has_forgotten(
    modules: Modules, playbook: Playbook, build: t.Callable[[str], Result]
) -> None:
    build("forgot")
    made = modules("monitoring", **options(modules, watched("forgot")))
    forgotten = definition("forgot")
    said = playbook("destroy", forgotten, "-e", "hpc_destroy_confirm=forgot", works=False)
    assert "hpc_destroy_workspace=forgot-logs" in said
    playbook("destroy", forgotten, "-e", "hpc_destroy_confirm=forgot", "-e", "hpc_destroy_workspace=keep")
    info = modules("cluster_info", definition=forgotten, leftovers=True)
    assert {kind: names for kind, names in info["leftovers"].items() if names} == {"workspaces": ["forgot-logs"]}
    assert made["workspace_id"].endswith("/forgot-logs")
    playbook("destroy", forgotten, "-e", "hpc_destroy_confirm=forgot", "-e", "hpc_destroy_workspace=forgot-logs")
    assert modules("resource_group", name="forgot-rg", state="absent")["changed"] is False
