# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is no machine, mounted by real machines: the stand-in for Lustre, and the role that mounts it.

The tests of this file share two machines and run in the order in which they stand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from sandbox.machines import SecurityRule
from tests.integration.sandbox.lab import ALLOW_SSH, BOOTED, HEAD, OFFLINE_APT, ONE, ROOT, VNET, Lab, laboratory

pytestmark = BOOTED
SERVER = "10.20.16.200"
DENY_LUSTRE = SecurityRule(
    name="no-lustre", priority=200, direction="Inbound", access="Deny", protocol="Tcp", destination_ports=("988",)
)
MOUNT = f"sudo mkdir -p /mnt/lustre; sudo mount -t lustre -o noatime,flock {SERVER}@tcp:/lustrefs /mnt/lustre"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    with laboratory(tmp_path_factory, HEAD, ONE) as found:
        yield found


@pytest.fixture(scope="module")
def files(lab: Lab) -> Path:
    """The directory on this host that the machines mount."""
    path = lab.driver.serve(VNET, SERVER, 988) / "lustrefs"
    path.mkdir(exist_ok=True)
    (path / "here").write_text("from the host")
    return path


def test_machines_share_a_lustre_file_system_as_the_rules_of_its_subnet_allow(lab: Lab, files: Path) -> None:
    apt = f"sudo apt-get {OFFLINE_APT} -q update && sudo apt-get {OFFLINE_APT} -qy install"
    for name in ("head", "node-1"):
        lab.out(name, f"{apt} lustre-client-utils >/dev/null 2>&1")
    lab.apply(compute_rules=(DENY_LUSTRE,), head_rules=(ALLOW_SSH,), nat=False)
    refused = lab.ssh("head", MOUNT)
    assert refused.returncode != 0
    assert "Is the MGS running?" in refused.stderr
    lab.apply(nat=False)
    assert lab.out("head", f"{MOUNT}; cat /mnt/lustre/here") == "from the host"
    lab.out("head", "sudo install -d -m 777 /mnt/lustre/results; echo 42 >/mnt/lustre/results/a.out")
    assert lab.out("node-1", f"{MOUNT}; cat /mnt/lustre/results/a.out") == "42"
    assert (files / "results/a.out").read_text() == "42\n"
    wrong = lab.ssh("node-1", f"sudo mount -t lustre {SERVER}@tcp:/scratch /mnt")
    assert wrong.returncode == 22
    assert "correct filesystem name" in wrong.stderr
    lab.out("head", "sudo umount /mnt/lustre")
    lab.out("node-1", "sudo umount /mnt/lustre")


def test_the_role_mounts_it_and_finds_nothing_to_do_again(lab: Lab, files: Path, tmp_path: Path) -> None:
    systems = [{"name": "scratch", "type": "lustre", "path": "/mnt/lustre", "server": SERVER, "export": "/lustrefs"}]
    assert "changed=0" not in role(lab, tmp_path, systems)
    assert lab.out("head", "cat /mnt/lustre/here; findmnt -n -o OPTIONS /mnt/lustre").startswith(
        "from the hostrw,noatime"
    )
    assert "changed=0" in role(lab, tmp_path, systems)
    lab.driver.restart(HEAD)
    assert lab.out("head", "systemctl is-active mnt-lustre.mount; cat /mnt/lustre/here") == "active\nfrom the host"


def test_a_file_system_without_an_address_is_an_error_that_says_so(lab: Lab, files: Path, tmp_path: Path) -> None:
    systems = [{"name": "late", "type": "lustre", "path": "/mnt/late", "server": "", "export": "/lustrefs"}]
    assert "late has no address to be mounted from" in role(lab, tmp_path, systems, works=False)


def test_a_server_goes_with_its_files_and_a_network_without_machines_can_go(lab: Lab, files: Path) -> None:
    lab.out("head", "sudo umount -l /mnt/lustre")
    lab.driver.unserve(VNET, SERVER)
    assert not files.exists()
    assert "Is the MGS running?" in lab.ssh("head", MOUNT).stderr


def role(lab: Lab, folder: Path, systems: list[dict[str, t.Any]], works: bool = True) -> str:
    """Run the role on the head; what Ansible printed."""
    tasks = [{"ansible.builtin.include_role": {"name": "azure_hpc.cluster.mounts"}}]
    play = {"hosts": "all", "become": True, "vars": {"mounts_file_systems": systems}, "tasks": tasks}
    (folder / "play.yml").write_text(json.dumps([play]))
    host = {
        "ansible_host": lab.public,
        "ansible_user": "azureuser",
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_ssh_common_args": "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {"head": host}}}))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(folder / "hosts.json"), str(folder / "play.yml")]
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".dev/collections"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env={**os.environ, **collections}, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is works, done.stdout + done.stderr
    return done.stdout
