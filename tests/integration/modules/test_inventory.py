# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin through ansible-inventory, against a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from tests.integration.modules.conftest import Modules, Result, definition
from tests.integration.modules.test_autoscale import Slurm

HOSTILE = "{{ lookup('pipe', 'touch /tmp/azure_hpc_evaluated') }}"


class Inventory:
    """Writes a nodes.yml and asks ansible-inventory."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._path = folder / "nodes.yml"
        self._environment = environment

    def run(self, **options: t.Any) -> subprocess.CompletedProcess[str]:
        self._path.write_text(json.dumps({"plugin": "azure_hpc.cluster.nodes", **options}))
        program = Path(sys.executable).with_name("ansible-inventory")
        return subprocess.run(
            [program, "-i", self._path, "--list"],
            env={**os.environ, **self._environment, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def __call__(self, **options: t.Any) -> dict[str, t.Any]:
        done = self.run(**options)
        assert done.returncode == 0, done.stderr
        found: dict[str, t.Any] = json.loads(done.stdout, object_hook=_unmarked)
        return found


def _unmarked(document: dict[str, t.Any]) -> t.Any:
    """ansible-inventory marks data that is never a template; the tests want the data."""
    return document["__ansible_unsafe"] if list(document) == ["__ansible_unsafe"] else document


@pytest.fixture
def inventory(tmp_path: Path, azure_environment: dict[str, str]) -> Inventory:
    return Inventory(tmp_path, azure_environment)


def grown(modules: Modules, name: str) -> None:
    cluster = Slurm(name)
    cluster.start("1", "htc-d4sv5-1", "htc-d4sv5-2", "hpc-hb120rsv3-1")
    result = modules("autoscale", definition=definition(name), queue=cluster.queue)
    assert len(result["plan"]) == 3, result


def test_a_cluster_as_hosts_and_groups(
    modules: Modules, build: t.Callable[[str], Result], inventory: Inventory, sandbox: t.Any
) -> None:
    build("inv")
    grown(modules, "inv")
    modules("resource_group", name="inv-rg", location="westeurope", tags={"note": HOSTILE})
    modules("scale_set", **{**_options(modules, "inv-htc-d8sv5"), "tags": {"note": HOSTILE}})
    modules("machine", **{**_head(modules), "tags": {"note": HOSTILE}})
    before = sum(sandbox.requests().values())
    options = {
        "resource_groups": ["inv-rg"],
        "keyed_groups": [{"key": "hpc_vm_size", "prefix": "size"}],
        "groups": {"private": "hpc_public_ip == ''"},
        "compose": {"label": "hpc_cluster ~ '/' ~ hpc_name"},
    }
    found = inventory(**options)
    asked = sum(sandbox.requests().values()) - before
    assert asked <= 5 + 2 * 2 + 4  # sign-in included

    assert found["role_head"]["hosts"] == ["inv-head"]
    assert found["role_login"]["hosts"] == ["inv-login-1"]
    assert found["array_htc"]["hosts"] == ["inv-htc-d4sv5_0", "inv-htc-d4sv5_1"]
    assert found["scheduler_slurm"]["hosts"][0] == "inv-head"
    assert found["size_Standard_HB120rs_v3"]["hosts"] == ["inv-hpc-hb120rsv3-pg1_0"]
    assert "inv-head" in found["state_running"]["hosts"]
    assert found["private"]["hosts"] == found["role_login"]["hosts"] + found["role_compute"]["hosts"]
    hosts = found["_meta"]["hostvars"]
    head, login, node = hosts["inv-head"], hosts["inv-login-1"], hosts["inv-htc-d4sv5_1"]
    assert head["ansible_host"] == head["hpc_public_ip"] != ""
    assert head["ansible_user"] == "azureuser"
    assert login["ansible_host"].startswith("10.20.0.")
    assert f"azureuser@{head['ansible_host']}" in login["ansible_ssh_common_args"]
    assert node["hpc_vm_size"] == "Standard_D4s_v5"
    assert node["label"] == "inv/inv-htc-d4sv5_1"
    assert head["hpc_tags"]["note"] == HOSTILE
    assert not Path("/tmp/azure_hpc_evaluated").exists()


def _options(modules: Modules, name: str) -> dict[str, t.Any]:
    info = modules("cluster_info", definition=definition("inv"))
    return next(one for one in info["parameters"]["scale_sets"] if one["name"] == name)


def _head(modules: Modules) -> dict[str, t.Any]:
    found: dict[str, t.Any] = modules("cluster_info", definition=definition("inv"))["parameters"]["head"]
    return found


def test_a_cluster_that_is_not_there_yet_is_an_empty_inventory(inventory: Inventory) -> None:
    found = inventory(resource_groups=["nothing-rg"], clusters=["nothing"])
    assert found["_meta"]["hostvars"] == {}


def test_clusters_are_chosen_by_name(modules: Modules, build: t.Callable[[str], Result], inventory: Inventory) -> None:
    build("pick")
    found = inventory(clusters=["PICK"], jump="none", set_user=False)["_meta"]["hostvars"]
    assert sorted(found) == ["pick-head", "pick-login-1"]
    assert "ansible_ssh_common_args" not in found["pick-login-1"]
    assert "ansible_user" not in found["pick-head"]


def test_credentials_that_are_refused_are_a_parser_error(inventory: Inventory) -> None:
    options = {"client_id": "x", "secret": "hunter2", "tenant": "00000000-0000-0000-0000-000000000000"}
    done = inventory.run(**options)
    assert done.returncode != 0
    assert "azure_hpc.cluster.nodes" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_cache_saves_the_requests(
    modules: Modules, build: t.Callable[[str], Result], inventory: Inventory, sandbox: t.Any, tmp_path: Path
) -> None:
    build("cached")
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    first = inventory(clusters=["cached"], **cache)
    before = sandbox.requests()
    again = inventory(clusters=["cached"], **cache)
    assert again == first
    assert sandbox.requests() == before
