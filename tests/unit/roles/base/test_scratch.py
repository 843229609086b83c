# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch on local disks: which disks, one or several, new or made before. Only the programs are faked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, load

load("scratch", ROLES / "base/files/scratch.py")
import scratch  # noqa: E402  # type: ignore[import-not-found]

LOCAL, REMOTE = "Microsoft NVMe Direct Disk v2", "MSFT NVMe Accelerator v1.0"
ARRAY = "/dev/md/hpc-scratch"


def disk(number: int, model: str = LOCAL, **more: Any) -> dict[str, Any]:
    base = {"name": f"nvme{number}n1", "path": f"/dev/nvme{number}n1", "type": "disk", "model": model}
    return {**base, "fstype": None, "label": None, "mountpoints": [None], **more}


class Machine:
    """Answers as lsblk does; remembers what would change disks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disks: list[dict[str, Any]] = []
        self.named: dict[str, dict[str, Any]] = {}
        self.fails: set[str] = set()
        self.ran: list[tuple[str, ...]] = []
        monkeypatch.setattr(scratch.node, "run", self.run)
        monkeypatch.setattr(scratch.time, "sleep", lambda _seconds: None)

    def run(self, *argv: str, **_more: Any) -> str:
        if argv[0] == "lsblk":
            found = [self.named[argv[-1]]] if argv[-1].startswith("/dev") else self.disks
            return json.dumps({"blockdevices": found})
        self.ran.append(argv)
        if " ".join(argv[:2]) in self.fails:
            raise scratch.JoinError(f"{argv[0]} ended with 1")
        if argv[:2] in (("mdadm", "--create"), ("mdadm", "--assemble")):
            made = argv[1] == "--assemble"
            self.named[ARRAY] = {"path": ARRAY, "type": "raid0", "fstype": "xfs" if made else None,
                                 "label": "hpc-scratch" if made else None, "mountpoints": [None]}  # fmt: skip
        return ""

    def tools(self) -> list[str]:
        return [" ".join(argv[:2]) if argv[0] == "mdadm" else argv[0] for argv in self.ran]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("format_", ["xfs", "ext4"])
def test_one_empty_disk_gets_a_file_system_with_our_label(machine: Machine, format_: str) -> None:
    machine.disks = [disk(0, REMOTE, children=[{"path": "/dev/nvme0n1p1"}]), disk(1)]
    assert scratch.ready("any", format_) == "/dev/nvme1n1"
    wipe, make = machine.ran
    assert wipe == ("wipefs", "--all", "--force", "/dev/nvme1n1")
    assert (make[0], make[-3:]) == (f"mkfs.{format_}", ("-L", "hpc-scratch", "/dev/nvme1n1"))


def test_several_disks_become_one_stripe(machine: Machine) -> None:
    machine.disks = [disk(2), disk(1), disk(3), disk(0, REMOTE)]
    assert scratch.ready("nvme", "xfs") == ARRAY
    create = machine.ran[0]
    assert create[-3:] == ("/dev/nvme1n1", "/dev/nvme2n1", "/dev/nvme3n1")
    assert {"--level=0", "--raid-devices=3", "--run"} <= set(create)
    assert machine.tools() == ["mdadm --create", "wipefs", "mkfs.xfs"]


def test_what_survived_a_reboot_is_used_as_it_is(machine: Machine) -> None:
    machine.disks = [disk(1, fstype="xfs", label="hpc-scratch")]
    assert scratch.ready("nvme", "xfs") == "/dev/nvme1n1"
    stripe = {"path": "/dev/md127", "type": "raid0", "fstype": "xfs", "label": "hpc-scratch", "mountpoints": [None]}
    machine.disks = [disk(number, fstype="linux_raid_member", children=[stripe]) for number in (1, 2)]
    assert scratch.ready("nvme", "xfs") == "/dev/md127"
    assert machine.ran == []


def test_a_stripe_that_is_not_assembled_is(machine: Machine) -> None:
    machine.disks = [disk(number, fstype="linux_raid_member") for number in (1, 2)]
    assert scratch.ready("nvme", "xfs") == ARRAY
    assert machine.tools() == ["mdadm --assemble"]


def test_a_stripe_that_has_lost_its_disks_is_made_again(machine: Machine) -> None:
    machine.disks = [disk(1, fstype="linux_raid_member"), disk(2, fstype="linux_raid_member")]
    machine.fails = {"mdadm --assemble"}
    assert scratch.ready("nvme", "xfs") == ARRAY
    zero = "mdadm --zero-superblock"
    assert machine.tools() == ["mdadm --assemble", zero, zero, "mdadm --create", "wipefs", "mkfs.xfs"]


def test_another_format_is_made_anew_where_the_disk_was_ours(machine: Machine) -> None:
    machine.disks = [disk(1, fstype="xfs", label="hpc-scratch")]
    assert scratch.ready("nvme", "ext4") == "/dev/nvme1n1"
    assert machine.tools() == ["wipefs", "mkfs.ext4"]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([disk(1, fstype="ext4", label="data")], r"has a file system \(ext4 data\) that was not made here"),
        ([disk(1, mountpoints=["/data"])], "is in use: /data"),
        ([disk(1), disk(2, fstype="ext4")], "has something on it that was not made here"),
        ([disk(1), disk(2, children=[{"path": "/dev/nvme2n1p1"}])], "has something on it that was not made here"),
    ],
)
def test_what_somebody_else_put_there_is_left_alone(machine: Machine, found: list[Any], why: str) -> None:
    machine.disks = found
    with pytest.raises(scratch.JoinError, match=why):
        scratch.ready("nvme", "xfs")
    assert not [tool for tool in machine.tools() if tool.startswith(("mkfs", "wipefs", "mdadm"))]


@pytest.mark.parametrize("which", ["nvme", "temporary", "any"])
def test_a_machine_without_such_disks_has_none(machine: Machine, which: str) -> None:
    machine.disks = [disk(0, REMOTE), {"path": "/dev/sda", "type": "disk", "model": "Virtual Disk"}]
    assert scratch.ready(which, "xfs") == ""


def test_the_temporary_disk_is_taken_from_where_the_image_mounts_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sdb").touch()
    (tmp_path / "resource").symlink_to(tmp_path / "sdb")
    monkeypatch.setattr(scratch, "TEMPORARY", (str(tmp_path / "resource"), str(tmp_path / "none")))
    path = str(tmp_path / "sdb")
    parts = [
        {"path": f"{path}1", "fstype": "ext4", "mountpoints": ["/mnt"]},
        {"path": f"{path}2", "mountpoints": ["[SWAP]"]},
    ]
    machine.disks = [{"path": path, "type": "disk", "model": "Virtual Disk", "children": parts}]
    assert scratch.ready("any", "xfs") == path
    assert machine.ran[:2] == [("umount", "/mnt"), ("swapoff", f"{path}2")]
    assert machine.tools()[2:] == ["wipefs", "mkfs.xfs"]


def test_lsblk_that_is_not_understood_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch.node, "run", lambda *_argv: "lsblk: unknown column")
    with pytest.raises(scratch.JoinError, match="lsblk is not understood"):
        scratch.ready("any", "xfs")
