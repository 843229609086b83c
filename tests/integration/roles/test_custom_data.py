# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init of compute nodes gets, rendered by Ansible itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
JOIN = {
    "cluster": "demo",
    "head": "demo-head",
    "private": "/srv/azure_hpc/private",
    "mounts": [{"source": "demo-head:/export/home", "path": "/shared/home", "type": "nfs", "options": "hard"}],
    "claim_timeout": 600,
}


def render(tmp_path: Path, **variables: Any) -> str:
    task = {"ansible.builtin.include_role": {"name": "azure_hpc.cluster.slurm", "tasks_from": "custom_data"}}
    keep = {"ansible.builtin.copy": {"content": "{{ slurm_custom_data }}", "dest": str(tmp_path / "out")}}
    settings = {"slurm_cluster_name": "demo", "slurm_head": "demo-head", "slurm_mounts": JOIN["mounts"],
                "slurm_claim_timeout": 600, **variables}  # fmt: skip
    play = {"hosts": "localhost", "gather_facts": False, "vars": settings, "tasks": [task, keep]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, tmp_path / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (tmp_path / "out").read_text()


def test_a_baked_image_needs_one_file_without_a_secret(tmp_path: Path) -> None:
    text = render(tmp_path)
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    assert list(config) == ["write_files"]
    (file,) = config["write_files"]
    assert file["path"] == "/etc/azure_hpc/join.json"
    assert json.loads(file["content"]) == JOIN


@pytest.mark.parametrize(
    ("distribution", "package"), [("Debian", "slurmd"), ("Ubuntu", "slurmd"), ("RedHat", "slurm-slurmd")]
)
def test_a_stock_image_gets_packages_and_programs_as_they_are(tmp_path: Path, distribution: str, package: str) -> None:
    config = yaml.safe_load(render(tmp_path, slurm_image_is_baked=False, slurm_distribution=distribution))
    files = {file["path"]: file for file in config["write_files"]}
    assert package in config["packages"]
    for path, source, mode in (
        ("/usr/libexec/azure_hpc/join", "slurm/files/join", "0755"),
        ("/usr/libexec/azure_hpc/node.py", "base/files/node.py", "0644"),
        ("/etc/systemd/system/azure-hpc-join.service", "base/files/azure-hpc-join.service", "0644"),
        ("/etc/tmpfiles.d/azure_hpc-slurm.conf", "slurm/files/tmpfiles.conf", "0644"),
    ):
        assert files[path]["content"] == (ROLES / source).read_text()
        assert files[path]["permissions"] == mode
    assert json.loads(files["/etc/azure_hpc/join.json"]["content"]) == JOIN
    assert "/usr/sbin/policy-rc.d" in files
    assert config["runcmd"][0] == ["rm", "-f", "/usr/sbin/policy-rc.d"]
    assert config["runcmd"][-1] == ["systemctl", "enable", "--now", "--no-block", "azure-hpc-join.service"]


def test_it_is_the_same_every_time_so_that_scale_sets_do_not_change(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)


def test_other_roles_add_packages_and_services_to_a_stock_image(tmp_path: Path) -> None:
    more = {"base_join_more_packages": ["exporter"], "base_join_more_services": ["exporter.service"]}
    config = yaml.safe_load(render(tmp_path, slurm_image_is_baked=False, **more))
    assert "exporter" in config["packages"]
    assert ["systemctl", "enable", "--now", "exporter.service"] in config["runcmd"][1:-2]
