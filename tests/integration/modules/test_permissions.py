# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role that docs/azure.md gives for passes is enough for them, and each of its actions is needed."""

from __future__ import annotations

import json
import typing as t
import uuid
from pathlib import Path

import pytest
import requests

from tests.integration.modules.conftest import Modules, Result, definition
from tests.integration.modules.test_autoscale import Slurm, cluster, run
from tests.integration.modules.test_inventory import Inventory, inventory

__all__ = ["cluster", "inventory"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "azure.md"
ROLES = "providers/Microsoft.Authorization"


def documented(purpose: str) -> dict[str, list[str]]:
    """The actions that the page gives for a purpose: on the resource group, and on the subscription."""
    block = PAGE.read_text().partition("## Permissions")[2].partition("```json\n")[2].partition("```")[0]
    found: dict[str, list[str]] = json.loads(block)[purpose]
    return found


class Rights:
    """What the client of the tests may do, if that is restricted."""

    def __init__(self, sandbox: t.Any, group: str) -> None:
        env = sandbox.env
        self.sandbox = sandbox
        self.scopes = {
            "resource group": f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{group}",
            "subscription": f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}",
        }
        self.principal = json.loads((sandbox.state / "credentials.json").read_text())["object_id"]
        self.names = {scope: str(uuid.uuid4()) for scope in self.scopes}
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies, self.session.verify = {"https": env["HTTPS_PROXY"]}, env["REQUESTS_CA_BUNDLE"]
        self.session.headers["Authorization"] = f"Bearer {sandbox.run('token').stdout.strip()}"
        self.only("passes")
        for scope, path in self.scopes.items():
            role = f"{self.scopes['subscription']}/{ROLES}/roleDefinitions/{self.names[scope]}"
            self.put(
                f"{path}/{ROLES}/roleAssignments/{self.names[scope]}",
                {"roleDefinitionId": role, "principalId": self.principal},
            )

    def put(self, path: str, properties: dict[str, t.Any]) -> None:
        url = f"https://management.azure.com{path}?api-version=2022-04-01"
        answer = self.session.put(url, json={"properties": properties}, timeout=20)
        assert answer.status_code == 201, answer.text

    def only(self, purpose: str, without: str = "") -> None:
        """Give the actions that are documented for a purpose, less one."""
        self.restrict(False)
        for scope, actions in documented(purpose).items():
            left = [action for action in actions if action != without]
            path = f"{self.scopes['subscription']}/{ROLES}/roleDefinitions/{self.names[scope]}"
            self.put(path, {"roleName": f"passes {self.names[scope]}", "permissions": [{"actions": left}]})

    def restrict(self, wanted: bool) -> None:
        self.sandbox.run("fault", "authorization", "everybody" if wanted else "identities")


@pytest.fixture
def rights(cluster: Slurm, sandbox: t.Any) -> t.Iterator[Rights]:
    made = Rights(sandbox, f"{cluster.name}-rg")
    yield made
    made.restrict(False)


def refused(result: Result) -> list[str]:
    """The codes of what was refused, empty if all went well."""
    codes = [str(error["code"]) for error in result.get("errors", [])]
    return codes + ([str(result.get("error", {}).get("code", result["msg"]))] if result.get("failed") else [])


def life(modules: Modules, cluster: Slurm) -> list[str]:
    """A node comes and goes, and the inventory is read; answers what was refused."""
    cluster.start("7", "htc-d4sv5-1")
    found = []
    grown = run(modules, cluster)
    found += refused(grown)
    cluster.update(grown.get("plan", []))
    found += refused(run(modules, cluster))
    found += refused(modules("cluster_info", definition=definition(cluster.name), fleet=True))
    cluster.finish("htc-d4sv5-1")
    shrunk = run(modules, cluster)
    found += refused(shrunk)
    cluster.update(shrunk.get("plan", []))
    return found


def test_the_role_for_passes_is_enough_and_each_action_is_needed(
    modules: Modules, cluster: Slurm, rights: Rights
) -> None:
    rights.restrict(True)
    assert life(modules, cluster) == []
    useless = []
    for action in [action for actions in documented("passes").values() for action in actions]:
        rights.only("passes", without=action)
        rights.restrict(True)
        if not life(modules, cluster):
            useless.append(action)
        rights.restrict(False)
        life(modules, cluster)
    assert useless == []


def test_the_role_for_the_inventory_is_enough_and_each_action_is_needed(
    modules: Modules, cluster: Slurm, rights: Rights, inventory: Inventory
) -> None:
    cluster.start("7", "htc-d4sv5-1")
    cluster.update(run(modules, cluster)["plan"])
    options = {"resource_groups": [f"{cluster.name}-rg"]}
    rights.only("inventory")
    rights.restrict(True)
    whole = inventory(**options)
    assert len(whole["_meta"]["hostvars"]) == 3
    useless = []
    for action in [action for actions in documented("inventory").values() for action in actions]:
        rights.only("inventory", without=action)
        rights.restrict(True)
        if inventory.run(**options).returncode == 0:
            useless.append(action)
    assert useless == []
