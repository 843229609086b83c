# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles: those of docs/azure.md, and a sandbox in which they count."""

from __future__ import annotations

import json
import typing as t
import uuid
from pathlib import Path

import requests

from sandbox import cli
from sandbox.state import StateDirectory

PAGE = Path(__file__).resolve().parents[3] / "docs" / "azure.md"
ROLES = "providers/Microsoft.Authorization"
Pair = tuple[str, str]
"""Where an action is needed (``group`` or ``subscription``), and the action."""


def documented() -> dict[str, list[str]]:
    """The actions of each role on the page, by the last word of its name."""
    blocks = PAGE.read_text().partition("## Permissions")[2].partition("\n## ")[0].split("```json\n")[1:]
    roles = [json.loads(block.partition("```")[0]) for block in blocks]
    return {role["Name"].rsplit(" ", 1)[1]: role["Actions"] for role in roles}


class Azure:
    """A sandbox in which role assignments count, also for the client of the tests."""

    def __init__(self, sandbox: t.Any) -> None:
        env = sandbox.env
        self._state = StateDirectory(sandbox.state)
        self.subscription = f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}"
        self._principal = json.loads((sandbox.state / "credentials.json").read_text())["object_id"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies, self._session.verify = {"https": env["HTTPS_PROXY"]}, env["REQUESTS_CA_BUNDLE"]
        self._session.headers["Authorization"] = f"Bearer {self.ask('token')['token']}"
        self._roles = {where: str(uuid.uuid4()) for where in ("group", "subscription")}
        self._assignments: list[str] = []
        # What the tests themselves need to change roles.
        self._assign(self.subscription, self._define(str(uuid.uuid4()), ["Microsoft.Authorization/*"]))
        self._defined = {where: self._define(name, []) for where, name in self._roles.items()}
        self._assign(self.subscription, self._defined["subscription"])

    def ask(self, command: str, body: t.Any = None) -> t.Any:
        return cli.ask(self._state, command, body)

    def _call(self, method: str, path: str, properties: dict[str, t.Any] | None = None) -> None:
        url = f"https://management.azure.com{path}?api-version=2022-04-01"
        answer = self._session.request(method, url, json=properties and {"properties": properties}, timeout=20)
        assert answer.status_code in (200, 201, 204), answer.text

    def _define(self, name: str, actions: list[str]) -> str:
        role = f"{self.subscription}/{ROLES}/roleDefinitions/{name}"
        self._call("PUT", role, {"roleName": name, "permissions": [{"actions": actions}]})
        return role

    def _assign(self, scope: str, role: str) -> None:
        path = f"{scope}/{ROLES}/roleAssignments/{uuid.uuid4()}"
        self._call("PUT", path, {"roleDefinitionId": role, "principalId": self._principal})
        self._assignments.append(path)

    def assign(self, groups: list[str]) -> None:
        """Give a role on the group, as ``allow`` defines it; the group is a new one, without any assignment."""
        for group in groups:
            self._assign(f"{self.subscription}/resourceGroups/{group}", self._defined["group"])

    def allow(self, pairs: set[Pair]) -> None:
        for where, name in self._roles.items():
            self._define(name, sorted(action for place, action in pairs if place == where))

    def restrict(self, wanted: bool) -> None:
        self.ask("authorization", {"mode": "everybody" if wanted else "identities"})

    def used(self) -> list[Pair]:
        """The actions that were needed since the last call, in the order of their first use."""
        found = self.ask("permissions", {"forget": True})
        pairs = [
            ("subscription" if "/resourcegroups/" not in place.lower() else "group", action)
            for action, places in found.items()
            for place in places
        ]
        return [pair for pair in dict.fromkeys(pairs) if not pair[1].startswith("Microsoft.Authorization/")]

    def close(self) -> None:
        self.restrict(False)
        for path in self._assignments:
            if "/resourceGroups/" not in path:  # those go with their groups
                self._call("DELETE", path)
