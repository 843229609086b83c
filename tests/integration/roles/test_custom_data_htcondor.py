# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init of HTCondor's compute nodes gets, rendered by Ansible itself, and read by the program that joins."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.machines import os_profile

from tests.unit.roles.programs import ROLES, load

OFFER = {
    "scale_set": "demo-htc-d4sv5", "node_array": "htc", "vm_size": "Standard_D4s_v5", "cpus": 4,
    "memory_mib": 15360, "gpus": 0,
    "labels": [["ib", "true"], ["node_array", "htc"], ["placement_group", "demo-htc-d4sv5"], ["vm_size", "d4sv5"]],
}  # fmt: skip
SETTINGS = {
    "htcondor_cluster_name": "demo",
    "htcondor_head": "demo-head",
    "htcondor_mounts": [{"source": "demo-head:/export/home", "path": "/shared/home", "type": "nfs", "options": "hard"}],
    "htcondor_offers": [OFFER],
    "htcondor_scale_sets": [{"name": "demo-htc-d4sv5", "os_disk_gib": 0}],
    "htcondor_config": {"UPDATE_INTERVAL": "5"},
    "htcondor_node_options": {"htc": {"CLAIM_WORKLIFE": "600"}},
    "htcondor_attributes": {"HasTelescope": True},
}


def render(tmp_path: Path, **variables: Any) -> str:
    task = {"ansible.builtin.include_role": {"name": "azure_hpc.cluster.htcondor", "tasks_from": "custom_data"}}
    keep = {"ansible.builtin.copy": {"content": "{{ htcondor_custom_data }}", "dest": str(tmp_path / "out")}}
    play = {"hosts": "localhost", "gather_facts": False, "vars": {**SETTINGS, **variables}, "tasks": [task, keep]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, tmp_path / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (tmp_path / "out").read_text()


def test_the_program_that_joins_understands_what_cloud_init_writes(tmp_path: Path) -> None:
    config = yaml.safe_load(render(tmp_path))
    (file,) = config["write_files"]
    (tmp_path / "join.json").write_text(file["content"])
    join = load("htcondor_join", ROLES / "htcondor/files/join")
    found = join.node.read_configuration(tmp_path / "join.json", join.Configuration)
    assert (found.cluster, found.head, found.schedd) == ("demo", "demo-head", "schedd@demo")
    offer = join.offer_of(found, join.node.Identity("/x", (), "demo-htc-d4sv5"))
    assert (offer["cpus"], offer["memory_mib"], offer["gpus"], offer["disk_gib"]) == (4, 15360, 0, 30)
    assert offer["labels"] == dict(OFFER["labels"])  # type: ignore[call-overload]
    assert found.settings["CONDOR_HOST"] == "demo-head"
    assert found.settings["UPDATE_INTERVAL"] == "5"
    assert (found.options, found.attributes) == ({"htc": {"CLAIM_WORKLIFE": "600"}}, {"HasTelescope": True})


@pytest.mark.parametrize("distribution", ["Debian", "Ubuntu", "RedHat"])
def test_a_stock_image_gets_packages_and_programs_as_they_are(tmp_path: Path, distribution: str) -> None:
    text = render(tmp_path, htcondor_image_is_baked=False, htcondor_distribution=distribution)
    config = yaml.safe_load(text)
    files = {file["path"]: file["content"] for file in config["write_files"]}
    assert "condor" in config["packages"]
    for path, source in (
        ("/usr/libexec/azure_hpc/join", "htcondor/files/join"),
        ("/usr/libexec/azure_hpc/condor_busy", "htcondor/files/condor_busy"),
        ("/usr/local/bin/condor_mpirun", "htcondor/files/condor_mpirun"),
        ("/usr/libexec/azure_hpc/node.py", "base/files/node.py"),
    ):
        assert files[path] == (ROLES / source).read_text()
    assert ["systemctl", "disable", "--now", "condor.service"] in config["runcmd"]
    profile = os_profile({"admin_username": "azureuser", "custom_data": text})
    # Azure takes 65,535 bytes, and each further scale set needs some.
    assert len(base64.b64decode(profile["customData"])) < 40_000


def test_it_is_the_same_every_time_so_that_scale_sets_do_not_change(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)
