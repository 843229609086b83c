# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the file systems of a node are mounted and unmounted, whatever their type."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, load

load("mounting", ROLES / "base/files/mounting.py")
import mounting  # noqa: E402  # type: ignore[import-not-found]

node = mounting.node
BLOB = {"account": "demodata", "container": "results", "identity": "/subscriptions/0/x", "cache": "/cache"}


class Machine:
    """A machine whose mount table is a file; mounting fails as often as a test says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.table = root, root / "mountinfo"
        self.ran: list[tuple[str, ...]] = []
        self.fails: dict[str, list[str]] = {}
        self.slept: list[float] = []
        self.now = 0.0
        self.table.write_text("24 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        monkeypatch.setattr(mounting, "MOUNTED", self.table)
        monkeypatch.setattr(mounting, "SETTINGS", root / "etc")
        monkeypatch.setattr(mounting, "SECRETS", root / "etc/beegfs")
        monkeypatch.setattr(node, "UNITS", root / "units")
        monkeypatch.setattr(node, "run", self.run)
        monkeypatch.setattr(mounting.time, "sleep", self.sleep)
        monkeypatch.setattr(mounting.time, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def run(self, *argv: str, **_more: Any) -> str:
        self.ran.append(argv)
        reasons = self.fails.get(" ".join((argv[0], argv[-1])), [])
        reason = (reasons.pop(0) if len(reasons) > 1 else reasons[0]) if reasons else ""
        if reason:
            raise node.JoinError(reason)
        if argv[0] == "mount":
            with self.table.open("a") as file:
                file.write(f"25 24 0:9 / {argv[-1]} rw - nfs4 x rw\n")
        elif argv[0] == "umount":
            kept = [line for line in self.table.read_text().splitlines(True) if line.split()[4] != argv[-1]]
            self.table.write_text("".join(kept))
        return ""

    def spec(self, path: str, type_: str = "nfs", **more: Any) -> Any:
        source = more.pop("source", "server:/export")
        return node.Mount(source, str(self.root) + path, type_, **more)

    def configuration(self, *mounts: Any) -> Any:
        return node.Configuration("demo", "demo-head", "/srv/private", mounts)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_file_system_is_mounted_once_and_systemd_knows_of_it_before(machine: Machine) -> None:
    spec = machine.spec("/data/", options="hard", name="data")
    assert mounting.mount(spec) is True
    assert mounting.mount(spec) is False
    point = f"{machine.root}/data"
    assert machine.ran == [
        ("systemctl", "daemon-reload"),
        ("mount", "-t", "nfs", "-o", "hard", "server:/export", point),
    ]
    (unit,) = (machine.root / "units").iterdir()
    text = unit.read_text()
    for line in (
        "Before=remote-fs.target",
        f"Where={point}",
        "Options=hard,_netdev",
        "LazyUnmount=yes",
        "TimeoutSec=60",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/shared/home", "shared-home.mount"),
        ("/shared/home/", "shared-home.mount"),
        ("/mnt/a-b", r"mnt-a\x2db.mount"),
        ("/x/.hidden", "x-.hidden.mount"),
        ("/.x", r"\x2ex.mount"),
        ("/a@b+c/d_e.f", r"a\x40b\x2bc-d_e.f.mount"),
    ],
)
def test_units_are_named_as_systemd_names_them(path: str, unit: str) -> None:
    assert mounting.unit_name(path) == unit


def test_local_disks_come_first_and_what_is_above_before_what_is_below(machine: Machine) -> None:
    paths = ["/data/deep", "/data", "/scratch/cache"]
    specs = [machine.spec(path) for path in paths] + [machine.spec("/scratch/here", "local")]
    found = [spec.path.removeprefix(str(machine.root)) for spec in mounting.ordered(specs)]
    assert found == ["/scratch/here", "/data", "/data/deep", "/scratch/cache"]


def test_a_server_that_is_away_is_tried_with_growing_pauses_and_the_scheduler_hears_why(machine: Machine) -> None:
    one, other = machine.spec("/data"), machine.spec("/more")
    machine.fails[f"mount {one.path}"] = ["mount.nfs: No route to host"]
    machine.fails[f"mount {other.path}"] = ["mount.nfs: Connection refused", ""]
    told: list[str] = []
    with pytest.raises(node.JoinError, match=r"/data \(.+\): mount.nfs: No route to host"):
        mounting.mount_all(machine.configuration(one, other), told.append, patience=120)
    assert sum(machine.slept) >= 120
    assert machine.slept[-1] > machine.slept[1]
    (said,) = set(told)
    assert said.startswith(f"{one.path} ({one.source}): mount.nfs: No route to host; it goes on trying: see that the ")
    assert 0 < len(told) < len(machine.slept) - 1  # not at once: a moment is usual


def test_a_server_that_comes_back_in_time_is_mounted(machine: Machine) -> None:
    spec = machine.spec("/data")
    outcomes = iter([node.JoinError("no route"), node.JoinError("no route"), None])

    def run(*argv: str, **more: Any) -> str:
        outcome = next(outcomes) if argv[0] == "mount" else None
        if outcome:
            raise outcome
        return ""

    machine.run = run  # type: ignore[method-assign]
    node.run = run
    told: list[str] = []
    mounting.mount_all(machine.configuration(spec), told.append)
    assert told == [""]
    assert len(machine.slept) == 3


def test_what_will_never_come_is_said_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting.scratch, "ready", lambda _disks, _format: "")
    settings = {"disks": "nvme", "format": "xfs", "missing": "fail"}
    told: list[str] = []
    with pytest.raises(node.JoinError, match="no local NVMe disk: its VM size brings none"):
        mounting.mount_all(machine.configuration(machine.spec("/scratch", "local", settings=settings)), told.append)
    assert len(told) == 1
    skip = machine.spec("/scratch", "local", settings={**settings, "missing": "skip"})
    mounting.mount_all(machine.configuration(skip), told.append)
    assert told[1:] == [""]
    assert not [argv for argv in machine.ran if argv[0] == "mount"]


def test_scratch_is_for_everybody_and_belongs_to_the_local_file_systems(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting.scratch, "ready", lambda disks, format_: f"/dev/{disks}-{format_}")
    settings = {"disks": "nvme", "format": "xfs", "missing": "fail"}
    spec = machine.spec("/scratch", "local", options="noatime", settings=settings)
    assert mounting.mount(spec)
    assert machine.ran[-1] == ("mount", "-t", "xfs", "-o", "noatime", "/dev/nvme-xfs", spec.path)
    assert stat.S_IMODE(Path(spec.path).stat().st_mode) == 0o1777
    (unit,) = (machine.root / "units").iterdir()
    assert "Before=local-fs.target" in unit.read_text()
    assert "_netdev" not in unit.read_text()


def test_blobs_are_reached_with_the_identity_of_the_machine_and_without_a_secret(machine: Machine) -> None:
    settings = {**BLOB, "cache": f"{machine.root}/cache", "cache_mib": 4096, "hierarchical": True, "endpoint": ""}
    spec = machine.spec("/blobs", "blobfuse", name="results", options="allow_other", settings=settings)
    assert mounting.mount(spec)
    file = machine.root / "etc/blobfuse/results.json"
    options = f"--config-file={file},allow_other"
    assert machine.ran[-1] == ("mount", "-t", "fuse3", "-o", options, "blobfuse2", spec.path)
    found = json.loads(file.read_text())
    assert found["azstorage"] == {
        "type": "adls",
        "account-name": "demodata",
        "container": "results",
        "mode": "msi",
        "resid": "/subscriptions/0/x",
    }
    assert found["file_cache"] == {"path": f"{machine.root}/cache", "max-size-mb": 4096}
    assert stat.S_IMODE((machine.root / "cache").stat().st_mode) == 0o700


@pytest.mark.parametrize("auth", [True, False])
def test_beegfs_gets_its_secret_from_the_head_alone(
    auth: bool, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = machine.root / "export"
    (export / "beegfs").mkdir(parents=True)
    (export / "beegfs/bee.auth").write_bytes(b"hunter-2")

    @contextlib.contextmanager
    def private(_configuration: Any, attempts: int) -> Iterator[Path]:
        yield export

    monkeypatch.setattr(node, "private_export", private)
    spec = machine.spec("/bee", "beegfs", name="bee", source="10.9.0.4", settings={"port": 8008, "auth": auth})
    assert mounting.mount(spec, machine.configuration())
    settings, secret = machine.root / "etc/beegfs/bee.conf", machine.root / "etc/beegfs/bee.auth"
    assert machine.ran[-1] == ("mount", "-t", "beegfs", "-o", f"cfgFile={settings}", "beegfs_nodev", spec.path)
    lines = settings.read_text().splitlines()
    assert lines[:2] == ["sysMgmtdHost = 10.9.0.4", "connMgmtdPort = 8008"]
    assert lines[2] == (f"connAuthFile = {secret}" if auth else "connDisableAuthentication = true")
    assert secret.exists() is auth
    if auth:
        assert stat.S_IMODE(secret.stat().st_mode) == 0o400
    assert "hunter-2" not in json.dumps(machine.ran)


def test_all_is_unmounted_the_other_way_round_and_by_force_where_a_server_is_dead(machine: Machine) -> None:
    specs = [machine.spec("/data"), machine.spec("/data/deep"), machine.spec("/never")]
    mounting.try_all(specs[:2], None)
    machine.ran.clear()
    dead = iter([node.JoinError("umount: TimeoutExpired")])
    whole = machine.run

    def run(*argv: str, **more: Any) -> str:
        if argv == ("umount", specs[0].path):
            raise next(dead)
        return whole(*argv, **more)

    node.run = run
    mounting.unmount_all(specs)
    assert machine.ran == [("umount", specs[1].path), ("umount", "--force", "--lazy", specs[0].path)]
    assert mounting.mounted() == {"/"}


def test_the_program_mounts_a_list_and_says_what_it_could_not(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"source": "s:/a", "path": f"{machine.root}/a"}, {"source": "s:/b", "path": f"{machine.root}/b"}]
    (machine.root / "list.json").write_text(json.dumps(entries))
    machine.fails[f"mount {machine.root}/b"] = ["mount.nfs: access denied"]
    assert mounting.main([str(machine.root / "list.json")]) == 1
    assert "/b (s:/b): mount.nfs: access denied" in capsys.readouterr().err
    assert f"{machine.root}/a" in mounting.mounted()
    assert mounting.main([]) == 1
