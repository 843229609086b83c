# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares between real machines: exported, mounted, kept over reboots.

The tests of this file share three machines and run in the order in which they stand.
"""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage

from sandbox.machines import SecurityRule
from sandbox.providers import nfs
from tests.integration.sandbox.lab import ALLOW_SSH, BOOTED, HEAD, OFFLINE_APT, ONE, TWO, VNET, Lab, laboratory

pytestmark = BOOTED
VOLUME = "10.20.16.210"
DENY_NFS = SecurityRule(
    name="no-nfs", priority=200, direction="Inbound", access="Deny", protocol="Tcp", destination_ports=("2049",)
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    with laboratory(tmp_path_factory, HEAD, ONE, TWO) as found:
        found.apply(nat=True)
        yield found


def test_a_share_of_the_head_is_mounted_as_the_network_and_its_clients_allow(lab: Lab) -> None:
    apt = f"sudo apt-get {OFFLINE_APT} -q update && sudo apt-get {OFFLINE_APT} -qy install"
    lab.out(
        "head",
        f"""{apt} nfs-kernel-server >/dev/null 2>&1
        sudo install -d -o azureuser /export/home; echo old >/export/home/before
        echo '/export/home 10.20.16.4(rw) 10.20.16.5(ro)' | sudo tee /etc/exports.d/home.exports
        sudo exportfs -ra""",
    )
    for name in ("node-1", "node-2"):
        lab.out(name, f"{apt} nfs-common >/dev/null 2>&1; sudo mkdir -p /shared/home")
    mount = "sudo mount -t nfs -o rw,retry=0,nfsvers=4.2 head:/export/home /shared/home"
    lab.apply(head_rules=(ALLOW_SSH, DENY_NFS))
    refused = lab.ssh("node-1", mount)
    assert refused.returncode == 32
    assert "timed out" in refused.stderr
    lab.apply()
    assert lab.out("node-1", f"{mount}; echo new >/shared/home/after; cat /shared/home/before") == "old"
    assert lab.out("head", "cat /export/home/after") == "new"
    assert lab.out("node-2", f"{mount}; cat /shared/home/after") == "new"
    assert "Read-only" in lab.ssh("node-2", "echo x >/shared/home/x").stderr
    denied = lab.ssh("head", "sudo mount -t nfs -o retry=0 head:/export/home /mnt")
    assert denied.returncode == 32
    assert "access denied by server" in denied.stderr


def test_a_share_in_fstab_survives_reboots_of_both_sides(lab: Lab) -> None:
    line = "head:/export/home /shared/home nfs defaults,_netdev 0 0"
    lab.out("node-1", f"sudo umount /shared/home; echo '{line}' | sudo tee -a /etc/fstab; sudo systemctl daemon-reload")
    boot = lab.out("head", "sudo journalctl --list-boots -q | wc -l")
    lab.driver.restart(HEAD)
    assert lab.out("head", "sudo journalctl --list-boots -q | wc -l") > boot
    assert lab.out("head", "cat /export/home/after") == "new"
    lab.driver.restart(ONE)
    assert lab.out("node-1", "cat /shared/home/after; findmnt -no TARGET /shared/home").split() == [
        "new",
        "/shared/home",
    ]
    assert lab.out("node-1", "systemctl is-system-running --wait") == "running"


def test_a_share_is_mounted_when_it_is_first_looked_at(lab: Lab) -> None:
    lab.out(
        "node-2",
        """sudo umount /shared/home
        echo 'head:/export/home /shared/home nfs ro,_netdev,x-systemd.automount 0 0' | sudo tee -a /etc/fstab
        sudo systemctl daemon-reload; sudo systemctl restart remote-fs.target""",
    )
    assert lab.ssh("node-2", "mountpoint -q /shared/home && findmnt -t autofs /shared/home >/dev/null").returncode == 0
    assert lab.out("node-2", "findmnt -nt ext4,xfs,btrfs /shared/home | wc -l; cat /shared/home/after").split() == [
        "0",
        "new",
    ]


def test_a_volume_that_is_no_machine_is_mounted_by_its_path_and_policy(lab: Lab) -> None:
    files = nfs.export(lab.driver.serve(VNET, VOLUME, nfs.PORT), "projects", [("10.20.16.4", ["rw"])])
    (files / "here").write_text("from the host\n")
    options = storage.OPTIONS["NFSv3"]
    mount = f"sudo mkdir -p /projects; sudo mount -t nfs -o retry=0,{options} {VOLUME}:/projects /projects"
    assert lab.out("node-1", f"{mount}; echo 42 | sudo tee /projects/out >/dev/null; cat /projects/here") == (
        "from the host"
    )
    assert (files / "out").read_text() == "42\n"
    refused = lab.ssh("node-2", mount)
    assert refused.returncode == 32
    assert "access denied by server" in refused.stderr
    assert "No such file" in lab.ssh("node-1", mount.replace(":/projects", ":/other")).stderr
    lab.out("node-1", "sudo umount /projects")
    lab.driver.unserve(VNET, VOLUME)
    assert not files.exists()


def test_shares_of_an_account_are_mounted_by_its_name(lab: Lab) -> None:
    for service in ("file", "blob"):
        host = f"demo.{service}.core.windows.net"
        behind = lab.driver.serve(VNET, nfs.endpoint(host), nfs.PORT, host)
        files = nfs.export(behind, "demo/projects", [("10.20.16.4", ["rw"])])
        (files / "here").write_text(f"{service}\n")
        options = storage.OPTIONS["files" if service == "file" else "blob"]
        mount = f"sudo mkdir -p /{service}; sudo mount -t nfs -o retry=0,{options} {host}:/demo/projects /{service}"
        assert (
            lab.out("node-1", f"{mount}; echo 42 | sudo tee /{service}/out >/dev/null; cat /{service}/here") == service
        )
        assert (files / "out").read_text() == "42\n"
        refused = lab.ssh("node-2", mount)
        assert refused.returncode == 32
        assert "access denied by server" in refused.stderr
        lab.out("node-1", f"sudo umount /{service}")
        lab.driver.unserve(VNET, nfs.endpoint(host))
        assert not files.exists()
        assert lab.ssh("node-1", mount).returncode == 32
