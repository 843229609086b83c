# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre in the playbooks: begun before the machines, waited for in lines. Deleting it: see test_storage.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import RunningSandbox
from tests.integration.modules.conftest import Modules, definition, modules
from tests.integration.playbooks.test_playbooks import Playbook, playbook

__all__ = ["modules", "playbook"]

ROOT = Path(__file__).resolve().parents[3]


def cluster(name: str, **managed: t.Any) -> dict[str, t.Any]:
    wanted = definition(name)
    wanted["network"]["subnets"]["storage"] = "10.20.4.0/24"
    wanted["image"]["bake"] = True
    system = {"name": "scratch", "type": "lustre", "path": "/mnt/lustre"}
    wanted["file_systems"] = [
        {"name": "home", "path": "/shared/home", "export": "/export/home"},
        {**system, "managed": {"sku": "AMLFS-Durable-Premium-250", "capacity_tib": 8, **managed}},
    ]
    return wanted


@pytest.fixture
def play(sandbox: RunningSandbox, tmp_path: Path) -> t.Callable[..., str]:
    """Runs tasks of the playbooks' own between others; what Ansible printed."""

    def run(
        wanted: dict[str, t.Any], *tasks: dict[str, t.Any], works: bool = True, until: str = "", **variables: t.Any
    ) -> str:
        shared = {"hpc_cluster": wanted, **variables}
        plays = {"hosts": "localhost", "gather_facts": False, "vars": shared, "tasks": list(tasks)}
        plays["vars_files"] = [str(ROOT / "playbooks/vars/cluster.yml")]
        # Beside the playbooks' own, because templates are looked for next to the play.
        if not (tmp_path / "templates").exists():
            (tmp_path / "templates").symlink_to(ROOT / "playbooks/templates")
        (tmp_path / "play.yml").write_text(json.dumps([plays]))
        command: list[t.Any] = [Path(sys.executable).with_name("ansible-playbook"), tmp_path / "play.yml"]
        environment = {**sandbox.environment, "ANSIBLE_NOCOLOR": "1", "HOME": str(tmp_path)}
        lines = []
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if until and until in line:
                    sandbox.run("fault", "clear")  # what hung goes on, now that it was seen
        assert (process.returncode == 0) is works, "".join(lines)
        return "".join(lines)

    return run


def tasks_of(name: str, **more: t.Any) -> dict[str, t.Any]:
    return {"ansible.builtin.include_tasks": str(ROOT / f"playbooks/tasks/{name}.yml"), **more}


BEGIN = tasks_of("lustre", loop="{{ hpc_info.parameters.lustre }}", loop_control={"loop_var": "hpc_part"})


def test_a_file_system_is_begun_waited_for_in_lines_and_mounted_by_its_address(
    play: t.Callable[..., str], modules: Modules, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    sandbox.run("fault", "add", "Hang", "--method", "PUT", "--match", "*/amlFilesystems/*", "--count", "1")
    keep = {"content": "{{ [hpc_file_systems, hpc_compute_mounts] | to_json }}", "dest": str(tmp_path / "out")}
    waiting = "lustrous-scratch: Creating, Transitioning, "
    tasks = (tasks_of("ground"), BEGIN, tasks_of("lustre_wait"), {"ansible.builtin.copy": keep})
    said = play(cluster("lustrous"), *tasks, until=waiting, hpc_lustre_look=1)
    assert waiting in said
    assert "min of usually 10 to 17" in said
    assert "lustrous-scratch: Succeeded, Available" in said
    systems, mounts = json.loads((tmp_path / "out").read_text())
    info = modules("lustre_info", resource_group="lustrous-rg", name="lustrous-scratch")["file_systems"][0]
    assert systems[1]["server"] == info["mgs_address"]
    assert "managed" not in systems[1]
    assert mounts[1] == {
        "source": f"{info['mgs_address']}@tcp:/lustrefs",
        "path": "/mnt/lustre",
        "type": "lustre",
        "options": "noatime,flock",
    }
    assert mounts[0]["source"] == "lustrous-head:/export/home"


def test_one_that_will_not_come_stops_the_playbook_and_says_what_to_do(
    play: t.Callable[..., str], sandbox: RunningSandbox
) -> None:
    sandbox.run(
        "fault", "add", "InternalFailure", "--when", "async", "--method", "PUT", "--match", "*/amlFilesystems/*",
        "--status", "200", "--message", "no capacity", "--count", "1",
    )  # fmt: skip
    said = play(cluster("hapless"), tasks_of("ground"), BEGIN, tasks_of("lustre_wait"), works=False, hpc_lustre_look=1)
    sandbox.run("fault", "clear")
    assert "hapless-scratch is in state Failed" in said
    assert "confirm: hapless-scratch" in said


def test_site_in_check_mode_says_that_it_would_make_it(playbook: Playbook, modules: Modules) -> None:
    said = playbook("site", cluster("checked"), "--check", "--diff")
    asked = said.split("TASK [Ask for the file system] ")[1].split("TASK [")[0]
    assert "changed: [localhost]" in asked
    assert '"storageCapacityTiB": 8' in asked
    assert modules("lustre_info", resource_group="checked-rg")["file_systems"] == []


PAGE = (ROOT / "docs/lustre.md").read_text()
DEFINITION, LIFE, JOBS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_definition_of_the_page_is_one(modules: Modules) -> None:
    wanted = definition("demo")
    for key, value in DEFINITION.items():
        wanted[key] = {**wanted[key], **value} if isinstance(value, dict) else value
    found = modules("cluster_info", definition=wanted)
    assert not found.get("failed"), found
    assert found["parameters"]["lustre"][0]["name"] == "demo-scratch"


def test_the_tasks_of_the_page_run_as_they_stand_and_take_the_rights_that_it_names(
    play: t.Callable[..., str], modules: Modules, sandbox: RunningSandbox
) -> None:
    sandbox.run("permissions", "--forget")
    said = play(definition("x"), *LIFE)
    assert "mount -t lustre -o noatime,flock 10.0.3." in said
    assert modules("lustre_info", resource_group="lustre-rg")["file_systems"] == []
    asked = rights(sandbox)
    assert len(asked) > 5
    assert [action for action in asked if f"`{action}`" not in PAGE] == []


def test_the_jobs_of_the_page_run_as_they_stand_and_take_the_rights_that_it_names(
    play: t.Callable[..., str], sandbox: RunningSandbox
) -> None:
    account = "/subscriptions/{{ lookup('env', 'AZURE_SUBSCRIPTION_ID') }}/resourceGroups/demo-rg/providers"
    account += "/Microsoft.Storage/storageAccounts/demo/blobServices/default/containers"
    scratch = {"file_system": "demo-scratch"}
    ground = yaml.safe_load(json.dumps(LIFE[:3]).replace("lustre-rg", "demo-rg").replace("lustre-vnet", "demo-vnet"))
    ground[2]["azure_hpc.cluster.lustre"].update(
        name=scratch["file_system"], wait=True, container=f"{account}/data", logging_container=f"{account}/logs"
    )
    sandbox.run("permissions", "--forget")
    play(definition("x"), *ground, *JOBS)
    asked = rights(sandbox)
    assert "Microsoft.StorageCache/amlFilesystems/archive/action" in asked
    about_jobs = [action for action in asked if "Jobs/" in action and "/expansionJobs/" not in action]
    assert "Microsoft.StorageCache/amlFilesystems/expansionJobs/read" in asked
    assert {action.split("/")[2] for action in about_jobs} == {"importJobs", "autoImportJobs", "autoExportJobs"}
    assert [action for action in asked if action not in about_jobs and f"`{action}`" not in PAGE] == []


def rights(sandbox: RunningSandbox) -> list[str]:
    """The actions on file systems that have been asked for."""
    actions: list[str] = json.loads(sandbox.run("permissions").stdout)["Actions"]
    return [action for action in actions if action.startswith("Microsoft.StorageCache")]
