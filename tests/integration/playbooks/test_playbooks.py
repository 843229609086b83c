# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks do where no machine has to answer: check mode, and inventories with more than one cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from tests.integration.conftest import RunningSandbox
from tests.integration.modules.conftest import Modules, Result, build, definition, modules

__all__ = ["build", "modules"]

ROOT = Path(__file__).resolve().parents[3]
Playbook = t.Callable[..., str]


@pytest.fixture
def playbook(sandbox: RunningSandbox, tmp_path: Path) -> Playbook:
    """Runs a playbook for one cluster, with an inventory of all clusters that there are, in a folder with blanks."""
    folder = tmp_path / "an inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "nodes.yml").write_text("plugin: azure_hpc.cluster.nodes\n")
    program = Path(sys.executable).with_name("ansible-playbook")

    def run(name: str, cluster: dict[str, t.Any], *arguments: str, works: bool = True) -> str:
        (folder / "group_vars/all.yml").write_text(json.dumps({"hpc_cluster": cluster}))
        command = [str(program), "-i", str(folder), f"azure_hpc.cluster.{name}", *arguments]
        environment = {**sandbox.environment, "ANSIBLE_NOCOLOR": "1", "HOME": str(tmp_path)}
        environment.pop("ANSIBLE_CONFIG", None)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is works, done.stdout + done.stderr
        return done.stdout

    return run


def writes(sandbox: RunningSandbox) -> dict[str, int]:
    return {kind: count for kind, count in sandbox.requests().items() if not kind.startswith("GET")}


@pytest.mark.parametrize("bake", [True, False])
def test_site_in_check_mode_says_what_it_would_make_and_makes_nothing(
    sandbox: RunningSandbox, playbook: Playbook, bake: bool
) -> None:
    wanted = definition(f"fresh-{str(bake).lower()}")
    wanted["image"]["bake"] = bake
    before = writes(sandbox)
    said = playbook("site", wanted, "--check", "--diff")
    assert writes(sandbox) == before
    assert f"{wanted['name']}-htc-d8sv5" in said
    assert "failed=0" in said.rsplit("localhost", 1)[1]


def test_destroy_in_check_mode_deletes_nothing(
    sandbox: RunningSandbox, playbook: Playbook, build: t.Callable[[str], Result]
) -> None:
    build("kept")
    before = writes(sandbox)
    said = playbook("destroy", definition("kept"), "--check", "-e", "hpc_destroy_confirm=kept")
    assert writes(sandbox) == before
    assert "changed: [kept-head -> localhost]" in said


def test_destroy_leaves_nothing_and_no_other_cluster_alone(
    modules: Modules, playbook: Playbook, build: t.Callable[[str], Result]
) -> None:
    build("gone"), build("stays")
    playbook("destroy", definition("gone"), "-e", "hpc_destroy_confirm=gone")
    assert not modules("cluster_info", definition=definition("gone"), fleet=True)["fleet"]["scale_sets"]
    assert modules("resource_group", name="gone-rg", state="absent")["changed"] is False
    assert len(modules("cluster_info", definition=definition("stays"), fleet=True)["fleet"]["scale_sets"]) == 3


def test_a_pass_that_cannot_read_its_queue_changes_nothing_and_asks_no_other_head(
    sandbox: RunningSandbox, playbook: Playbook, build: t.Callable[[str], Result]
) -> None:
    build("pass-one"), build("pass-two")
    before = writes(sandbox)
    # "Heads" that are this machine, which has no Slurm.
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    said = playbook("autoscale", definition("pass-one"), "-e", json.dumps(local), works=False)
    assert "pass-one-head" in said
    assert "pass-two-head" not in said
    assert "squeue" in said
    assert writes(sandbox) == before


def test_site_configures_no_machines_of_other_clusters(playbook: Playbook, build: t.Callable[[str], Result]) -> None:
    build("other")
    said = playbook("site", definition("lonely"), "--check")
    assert "other-head" not in said
    assert "other-login-1" not in said


def test_a_pass_without_a_cluster_or_without_its_head_says_so(playbook: Playbook) -> None:
    assert "hpc_cluster is not defined, or has no name" in playbook("autoscale", {}, works=False)
    assert "the inventory has no head node of the cluster nobody" in playbook("why", definition("nobody"), works=False)


def test_site_says_that_the_inventory_does_not_show_what_it_made(playbook: Playbook, tmp_path: Path) -> None:
    (tmp_path / "an inventory/nodes.yml").write_text("{plugin: azure_hpc.cluster.nodes, clusters: [mycluster]}\n")
    wanted = definition("unseen")
    wanted["image"]["bake"] = False
    said = playbook("site", wanted, works=False)
    assert "does not show unseen-head, unseen-login-1" in said
    assert "clusters: [unseen] and resource_groups: [unseen-rg]" in said
