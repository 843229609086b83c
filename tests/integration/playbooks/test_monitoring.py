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
