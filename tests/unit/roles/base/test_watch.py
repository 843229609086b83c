# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node looks after once it has joined: its file systems, its disks, and its end."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

load("watch", ROLES / "base/files/watch.py")
import watch  # noqa: E402  # type: ignore[import-not-found]

ROOM = ": remove what ended jobs left there"
node, mounting = watch.node, watch.mounting


def configuration(*mounts: Any) -> Any:
    return node.Configuration("demo", "demo-head", "/srv/private", mounts)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What is mounted."""
    points: set[str] = set()
    monkeypatch.setattr(mounting, "mounted", lambda: points)
    monkeypatch.setattr(watch, "full", lambda _mounts: [])
    return points


def test_a_file_system_that_answers_is_well(tmp_path: Path, there: set[str]) -> None:
    there.add(str(tmp_path))
    assert watch.health(configuration(node.Mount("s:/x", str(tmp_path))), {}) == ""


def test_one_that_is_broken_for_good_is_said_at_once(tmp_path: Path, there: set[str]) -> None:
    gone = f"{tmp_path}/gone"
    there.add(gone)
    assert watch.health(configuration(node.Mount("s:/x", gone)), {}) == f"{gone} (s:/x): No such file or directory"


def test_one_that_does_not_answer_gets_three_chances(
    tmp_path: Path, there: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "stat"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    there.add("/data")
    monkeypatch.setattr(watch, "ANSWER", 0.05)
    strikes: dict[str, int] = {}
    spec = configuration(node.Mount("s:/x", "/data"))
    with monkeypatch.context() as slow:
        slow.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        said = [watch.health(spec, strikes) for _turn in range(3)]
    assert [bool(text) for text in said] == [False, False, True]
    assert "does not answer within" in said[2]
    there.add(str(tmp_path))
    spec = configuration(node.Mount("s:/x", str(tmp_path)))
    assert [watch.health(spec, {str(tmp_path): 2}), watch.health(spec, {str(tmp_path): 9})] == ["", ""]


def test_one_that_was_unmounted_is_mounted_again(there: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter([node.JoinError("mount.nfs: no"), None])

    def mount(_spec: Any, _private: Any) -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome

    monkeypatch.setattr(mounting, "mount", mount)
    spec = configuration(node.Mount("s:/x", "/data"))
    assert watch.health(spec, {}) == "/data (s:/x): is not mounted any more: mount.nfs: no"
    assert watch.health(spec, {}) == ""


@pytest.mark.parametrize(
    ("bavail", "favail", "said"),
    [(10**6, 100, ""), (10, 100, f"the disk is full{ROOM}"), (10**6, 0, f"no more files can be made{ROOM}")],
)
def test_a_full_disk_is_a_reason_too(bavail: int, favail: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def statvfs(path: str) -> Any:
        asked.append(path)
        return SimpleNamespace(f_bavail=bavail, f_frsize=4096, f_files=1000, f_favail=favail)

    monkeypatch.setattr(watch.os, "statvfs", statvfs)
    monkeypatch.setattr(mounting, "mounted", lambda: {"/mnt/scratch"})
    left_out = node.Mount("", "/mnt/none", "local")  # on a machine without such disks
    found = watch.full([node.Mount("", "/mnt/scratch", "local"), node.Mount("s:/x", "/data"), left_out])
    assert asked == ["/", "/tmp", "/mnt/scratch"]
    assert found == ([f"{path}: {said}" for path in asked] if said else [])


class Metadata(http.server.BaseHTTPRequestHandler):
    """Azure's service of scheduled events."""

    events: ClassVar[list[dict[str, Any]]] = []
    heard: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        self._answer({"DocumentIncarnation": 2, "Events": self.events})

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({})

    def _answer(self, body: Any) -> None:
        good = self.path == "/metadata/scheduledevents?api-version=2020-07-01" and self.headers["Metadata"] == "true"
        self.send_response(200 if good else 400)
        self.end_headers()
        self.wfile.write(json.dumps(body if good else {}).encode())

    def log_message(self, *_unused: Any) -> None:
        pass


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metadata]]:
    Metadata.events, Metadata.heard = [], []
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(node, "METADATA", f"127.0.0.1:{server.server_port}")
        yield Metadata
        server.shutdown()
        thread.join()


def event(kind: str, *names: str) -> dict[str, Any]:
    return {"EventId": f"{kind}-1", "EventType": kind, "EventStatus": "Scheduled", "Resources": list(names)}


def test_only_the_end_of_this_very_machine_counts(metadata: type[Metadata]) -> None:
    metadata.events = [event("Terminate", "demo-hpc_8"), event("Freeze", "demo-hpc_7")]
    assert watch.ending("demo-hpc_7") == []
    metadata.events = [event("Terminate", "demo-hpc_8", "Demo-HPC_7")]
    assert watch.ending("demo-hpc_7") == ["Terminate-1"]


def test_a_service_that_does_not_answer_means_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "METADATA", "127.0.0.1:1")
    assert watch.ending("demo-hpc_7") == []


def test_before_its_end_a_machine_stops_its_daemon_unmounts_and_says_so(
    metadata: type[Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands, order = Commands({}), []
    monkeypatch.setattr(node, "run", lambda *argv, **more: order.append(" ".join(argv)) or commands(*argv, **more))
    monkeypatch.setattr(mounting, "unmount_all", lambda mounts: order.append(f"unmount {mounts[0].path}"))
    monkeypatch.setattr(node, "read_metadata", lambda: node.Identity("/x", (), "demo-hpc", "demo-hpc_7"))
    monkeypatch.setattr(watch, "health", lambda _configuration, _strikes: "")
    metadata.events = [event("Terminate", "demo-hpc_7")]
    told: list[str] = []
    watch.watch(configuration(node.Mount("10.9.0.4@tcp:/fs", "/mnt/fs", "lustre")), told.append, ["slurmd.service"])
    assert order[-2:] == ["systemctl stop slurmd.service", "unmount /mnt/fs"]
    assert metadata.heard == [{"StartRequests": [{"EventId": "Terminate-1"}]}]
    assert told == [""]
