# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""azure.azcollection: modules, their _info, and the inventory plugin, each twice."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import PATIENCE, client_environment
from tests.integration.conftest import RunningSandbox

HERE = Path(__file__).resolve().parent
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com"
MAKES = {
    "Resource group",
    "Virtual network",
    "Security group",
    "Public addresses",
    "NAT gateway",
    "Subnet",
    "Network interface",
    "Virtual machine",
    "Managed disk",
    "Scale set",
}
INVENTORY = """
plugin: azure.azcollection.azure_rm
include_vm_resource_groups: [{group}]
include_vmss_resource_groups: [{group}]
auth_source: env
plain_host_names: true
keyed_groups: [{{key: tags.role, prefix: role}}]
hostvar_expressions: {{ansible_host: (public_ipv4_address + private_ipv4_addresses) | first}}
"""


def _plain(value: dict[str, Any]) -> Any:
    """Ansible marks what came from outside; the mark is no part of the value."""
    return value.get("__ansible_unsafe", value)


class Ansible:
    """Runs playbooks and reads the inventory of one resource group."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self.group = f"rg-{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.environment = {
            **environment,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(directory),
        }

    def _run(self, *command: str) -> Any:
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * PATIENCE,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-6000:]}{done.stderr[-2000:]}"
        return json.loads(done.stdout[done.stdout.index("{") :], object_hook=_plain)

    def play(self, name: str, **values: Any) -> set[str]:
        """Run a playbook; answers the names of the tasks that changed anything."""
        given = json.dumps({"group": self.group, "key": KEY, **values})
        report = self._run("ansible-playbook", str(HERE / name), "--extra-vars", given)
        tasks = [task for play in report["plays"] for task in play["tasks"]]
        return {task["task"]["name"] for task in tasks if any(host.get("changed") for host in task["hosts"].values())}

    def inventory(self) -> Any:
        """What the inventory plugin finds."""
        source = self.directory / "cluster.azure_rm.yml"
        source.write_text(INVENTORY.format(group=self.group))
        return self._run("ansible-inventory", "-i", str(source), "--list", "--export")


@pytest.fixture(scope="module")
def ansible(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    directory = tmp_path_factory.mktemp("azcollection")
    return Ansible(client_environment(sandbox, "azcollection", directory), directory)


@pytest.fixture(scope="module")
def cluster(ansible: Ansible) -> Ansible:
    """The resource group with everything in it."""
    assert ansible.play("azcollection.yml") == MAKES
    return ansible


def test_a_second_run_changes_nothing(cluster: Ansible) -> None:
    assert cluster.play("azcollection.yml") == set()


def test_the_inventory_finds_machines_and_instances(cluster: Ansible) -> None:
    found = cluster.inventory()
    assert found["role_login"]["hosts"] == ["vm"]
    assert found["role_compute"]["hosts"] == ["nodes_0", "nodes_1"]
    hosts = found["_meta"]["hostvars"]
    assert hosts["vm"]["ansible_host"].startswith("203.0.113.")
    assert hosts["nodes_0"]["ansible_host"].startswith("10.1.0.")
    assert {host["powerstate"] for host in hosts.values()} == {"running"}
    assert cluster.inventory() == found


def test_only_what_differs_is_changed(cluster: Ansible) -> None:
    assert cluster.play("azcollection.yml", capacity=3, running=False) == {"Virtual machine", "Scale set"}
    assert cluster.play("azcollection.yml", capacity=3, running=False) == set()


def test_absent_takes_it_away_once(cluster: Ansible) -> None:
    assert cluster.play("azcollection_absent.yml") == {"Scale set", "Virtual machine", "Subnet", "Resource group"}
