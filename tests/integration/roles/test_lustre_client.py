# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Lustre client fits which kernel, chosen by the role's own tasks from what repositories print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROLE = Path(__file__).parents[3] / "roles/mounts"
URL = "https://packages.microsoft.com/repos/amlfs-noble noble/main amd64 Packages"
APT = f"""\
amlfs-lustre-client-2.15.8-39-g2d32b59 | 5.15.0-1103-azure | {URL}
amlfs-lustre-client-2.15.10-2-gabcdef0 | 5.15.0-1103-azure | {URL}
amlfs-lustre-client-2.15.7-33-g79ddf99 | 5.15.0-1103-azure | {URL}
amlfs-lustre-client-2.15.10-2-gabcdef0 | 5.15.0-1104-azure | {URL}
"""
DNF = """\
amlfs-lustre-client-2.15.7_33_g79ddf99 5.14.0.570.12.1.el9.6
amlfs-lustre-client-2.15.8_39_g2d32b59 5.14.0.570.12.1.el9.6
amlfs-lustre-client-2.15.8_39_g2d32b59 5.14.0.611.5.1.el9.7
"""
UBUNTU = {
    "distribution": "Ubuntu",
    "distribution_version": "22.04",
    "distribution_major_version": "22",
    "distribution_release": "jammy",
    "os_family": "Debian",
    "pkg_mgr": "apt",
    "kernel": "5.15.0-1103-azure",
    "architecture": "x86_64",
}
ALMA = {
    "distribution": "AlmaLinux",
    "distribution_version": "9.6",
    "distribution_major_version": "9",
    "os_family": "RedHat",
    "pkg_mgr": "dnf",
    "kernel": "5.14.0-570.12.1.el9_6.x86_64",
    "architecture": "x86_64",
}
DEBIAN = {**UBUNTU, "distribution": "Debian", "distribution_version": "13", "kernel": "6.12.0"}


def choose(tmp_path: Path, facts: dict[str, str], rows: str, works: bool = True) -> str:
    """The package that is chosen on such a machine, or what Ansible says when there is none."""
    (tmp_path / "rows").write_text(rows)
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"mounts_lustre_repository": "", "mounts_file_systems": []},
        "tasks": [
            {"ansible.builtin.set_fact": {**facts, "cacheable": True}},
            {"ansible.builtin.include_vars": str(ROLE / "vars/main.yml")},
            {"ansible.builtin.include_vars": str(ROLE / f"vars/{facts['os_family']}.yml")},
            {"ansible.builtin.set_fact": {"_mounts_lustre_query": ["cat", str(tmp_path / "rows")]}},
            {
                "ansible.builtin.include_role": {
                    "name": "azure_hpc.cluster.mounts",
                    "tasks_from": "lustre_choose",
                    "rolespec_validate": False,
                }
            },
            {"ansible.builtin.copy": {"content": "{{ _mounts_lustre_chosen.package }}", "dest": str(tmp_path / "out")}},
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    program = Path(sys.executable).parent / "ansible-playbook"
    command: list[Any] = [program, tmp_path / "play.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode == 0) is works, done.stdout + done.stderr
    return (tmp_path / "out").read_text() if works else done.stdout


@pytest.mark.parametrize(
    ("facts", "rows", "package"),
    [
        (UBUNTU, APT, "amlfs-lustre-client-2.15.10-2-gabcdef0=5.15.0-1103-azure"),
        (ALMA, DNF, "amlfs-lustre-client-2.15.8_39_g2d32b59-5.14.0.570.12.1.el9.6"),
        (DEBIAN, "lustre-client-utils | 99:1.0 | file:/usr/share/sandbox/apt ./ Packages", "lustre-client-utils"),
    ],
)
def test_the_newest_client_for_the_running_kernel_is_chosen(
    tmp_path: Path, facts: dict[str, str], rows: str, package: str
) -> None:
    assert choose(tmp_path, facts, rows) == package


@pytest.mark.parametrize(
    ("facts", "rows", "kernel"),
    [
        ({**UBUNTU, "kernel": "6.8.0-1021-azure"}, APT, "5.15.0-1104-azure"),
        ({**ALMA, "kernel": "5.14.0-687.1.1.el9_8.x86_64"}, DNF, "5.14.0.611.5.1.el9.7"),
    ],
)
def test_a_kernel_without_a_client_is_refused_with_those_that_have_one(
    tmp_path: Path, facts: dict[str, str], rows: str, kernel: str
) -> None:
    said = choose(tmp_path, facts, rows, works=False)
    assert f"There is no Lustre client for the kernel {facts['kernel']}" in said
    assert kernel in said


def test_a_distribution_without_any_client_is_refused(tmp_path: Path) -> None:
    assert "Microsoft builds none" in choose(tmp_path, DEBIAN, "", works=False)
