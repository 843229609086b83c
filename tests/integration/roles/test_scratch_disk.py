# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch on a real disk: a loop device that only lsblk calls an NVMe disk of Azure's."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, load

load("mounting", ROLES / "base/files/mounting.py")
import mounting  # noqa: E402  # type: ignore[import-not-found]

pytestmark = pytest.mark.booted


def tool(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A device of 64 MiB. systemd is not needed: what it is told is only written."""
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        stream.truncate(64 * 2**20)
    device = tool("losetup", "--find", "--show", str(file))
    run = mounting.node.run

    def renamed(*argv: str, **more: Any) -> str:
        if argv[0] == "systemctl":
            return ""
        if argv[0] != "lsblk":
            return str(run(*argv, **more))
        known = tool("blkid", "--probe", "--output", "export", device) if _signed(device) else ""
        found = dict(line.partition("=")[::2] for line in known.splitlines())
        here = {"path": device, "type": "disk", "model": "Microsoft NVMe Direct Disk", "mountpoints": [None],
                "fstype": found.get("TYPE"), "label": found.get("LABEL")}  # fmt: skip
        return json.dumps({"blockdevices": [here]})

    monkeypatch.setattr(mounting.node, "run", renamed)
    monkeypatch.setattr(mounting.node, "UNITS", tmp_path / "units")
    yield device
    subprocess.run(["umount", str(tmp_path / "scratch")], check=False, capture_output=True)
    tool("losetup", "--detach", device)


def _signed(device: str) -> bool:
    return subprocess.run(["blkid", "--probe", device], check=False, capture_output=True).returncode == 0


def test_scratch_survives_a_reboot_and_is_made_again_on_another_host(disk: str, tmp_path: Path) -> None:
    point = tmp_path / "scratch"
    settings = {"disks": "nvme", "format": "ext4", "missing": "fail"}
    spec = mounting.Mount("local", str(point), "local", "noatime", "scratch", settings)
    assert mounting.mount(spec)
    assert stat.S_IMODE(point.stat().st_mode) == 0o1777
    assert os.path.ismount(point)
    (point / "data").write_text("a job's\n")
    mounting.unmount_all([spec])
    assert not os.path.ismount(point)

    assert mounting.mount(spec)
    assert (point / "data").read_text() == "a job's\n"
    mounting.unmount_all([spec])

    with open(disk, "r+b") as device:  # another host: the disk is empty
        device.write(bytes(4 * 2**20))
        device.flush()
        os.fsync(device.fileno())
    assert mounting.mount(spec)
    assert {path.name for path in point.iterdir()} == {"lost+found"}
