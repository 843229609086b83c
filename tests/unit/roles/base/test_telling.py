# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node says why it must take no jobs: to its scheduler, or to the head, whose program really hears it here."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import run as queue_run

from tests.unit.roles.programs import ROLES, load

load("telling", ROLES / "base/files/telling.py")
import telling  # noqa: E402  # type: ignore[import-not-found]

hear = load("azure_hpc_hear", ROLES / "mounts/files/hear.py")
node = telling.node
HERE = [ipaddress.ip_network("127.0.0.0/8")]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where this node remembers what it told, and whose head is this machine."""
    monkeypatch.setattr(node, "RUN", tmp_path / "run")
    monkeypatch.setattr(node, "CONFIGURATION", tmp_path / "join.json")
    (tmp_path / "join.json").write_text(json.dumps({"cluster": "demo", "head": "localhost", "private": "/srv/p"}))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


class Head:
    """A head that hears: its program is started again and again, as systemd does."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.over = threading.Event()

    def _serve(self) -> None:
        while not self.over.is_set():
            hear.SOCKET = os.dup(self.listener.fileno())
            hear.main(["127.0.0.0/8"])

    def knows(self) -> dict[str, str]:
        return {one.address: one.reason for one in queue_run.unwell(self.kept)}


@pytest.fixture
def head(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Head]:
    found = Head(tmp_path / "kept")
    monkeypatch.setattr(hear, "KEPT", found.kept)
    monkeypatch.setattr(hear, "SILENCE", 0.1)
    monkeypatch.setattr(hear, "SOCKET", -1)
    monkeypatch.setattr(telling, "PORT", found.port)
    # Ports that root alone has are tried where it is real, in the tests that boot nodes.
    monkeypatch.setattr(telling, "RESERVED", range(20000, 60000))
    heard = hear.answer
    monkeypatch.setattr(hear, "answer", lambda line, host, _port, networks: heard(line, host, 700, networks))
    found.thread.start()
    yield found
    found.over.set()
    found.thread.join()
    found.listener.close()


@pytest.fixture
def no_head(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the head was told."""
    told: list[str] = []
    monkeypatch.setattr(telling, "tell_head", told.append)
    return told


def test_the_scheduler_hears_all_reasons_when_they_change_and_the_end_of_the_last_one(no_head: list[str]) -> None:
    told: list[str] = []
    for kind, reason in [
        ("mounts", ""),
        ("mounts", "/data: no\nanswer"),
        ("mounts", "/data: no answer"),
        ("accounts", "uid 7"),
        ("mounts", ""),
        ("accounts", ""),
        ("accounts", ""),
    ]:
        telling.tell(kind, reason, told.append)
    both = "accounts: uid 7; mounts: /data: no answer"
    assert told == ["mounts: /data: no answer", both, "accounts: uid 7", ""]
    assert no_head == []


def test_what_the_scheduler_could_not_be_told_the_head_is_told_meanwhile(no_head: list[str]) -> None:
    outcomes = iter([node.JoinError("no controller"), node.JoinError("no controller"), None, None])

    def refuse(reason: str) -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome
        told.append(reason)

    told: list[str] = []
    for _turn in range(4):
        telling.tell("mounts", "/data: gone", refuse)
    assert told == ["mounts: /data: gone"]
    assert no_head == ["mounts: /data: gone", "mounts: /data: gone", ""]


def test_the_head_hears_why_and_that_it_is_over(head: Head, capsys: pytest.CaptureFixture[str]) -> None:
    telling.tell("mounts", "/shared/home: does not\tanswer")
    assert head.knows() == {"127.0.0.1": "mounts: /shared/home: does not answer"}
    assert telling.stands()
    telling.tell("join", "no route")
    assert head.knows() == {"127.0.0.1": "join: no route; mounts: /shared/home: does not answer"}
    telling.tell("join", "")
    telling.tell("mounts", "")
    assert head.knows() == {}
    assert not telling.stands()
    assert "cannot be told" not in capsys.readouterr().err


def test_after_a_reboot_the_head_hears_that_nothing_is_wrong_any_more(head: Head) -> None:
    hear.forget()
    hear.keep("127.0.0.1", "mounts: /shared/home: said before the reboot")
    telling.tell("mounts", "")
    assert head.knows() == {}


def test_a_head_that_does_not_hear_is_told_the_next_time(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "RESERVED", range(20000, 60000))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setattr(telling, "PORT", closed.getsockname()[1])
    telling.tell("mounts", "/data: gone")
    assert "localhost does not hear what this node says" in capsys.readouterr().err
    told: list[str] = []
    monkeypatch.setattr(telling, "tell_head", told.append)
    telling.tell("mounts", "/data: gone")
    assert told == ["mounts: /data: gone"]


def test_what_still_holds_is_said_again_after_a_day(home: Path, no_head: list[str]) -> None:
    for _turn in range(2):
        telling.tell("mounts", "/data: gone")
    assert len(no_head) == 1
    os.utime(home / "told", (0, time.time() - telling.REPEAT - 10))
    for _turn in range(2):
        telling.tell("mounts", "/data: gone")
    assert no_head == ["mounts: /data: gone"] * 2
    telling.say_again()
    telling.tell("mounts", "/data: gone")
    assert len(no_head) == 3


def test_whoever_cannot_be_told_the_machine_itself_knows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTCondor's startd asks this file."""

    def nobody(_reason: str) -> None:
        raise node.JoinError("no route")

    monkeypatch.setattr(telling, "tell_head", nobody)
    telling.tell("mounts", "/data: gone")
    assert (home / "unwell").read_text() == "mounts: /data: gone"
    telling.tell("mounts", "")
    assert (home / "unwell").read_text() == ""


def said(text: bytes, port: int = 700, networks: Any = None, close: bool = True) -> str:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0.2)
        ours.sendall(text)
        if close:
            ours.shutdown(socket.SHUT_WR)
        return str(hear.answer(theirs, "127.0.0.1", port, networks or HERE))


def test_only_root_of_a_machine_of_the_cluster_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear, "KEPT", tmp_path)
    assert said(b"mounts: x", port=40000).startswith("refused")
    assert said(b"mounts: x", networks=[ipaddress.ip_network("10.20.0.0/16")]).startswith("refused")
    assert said(b"x" * 5000).startswith("refused")
    with pytest.raises(TimeoutError):
        said(b"never ends", close=False)
    assert list(tmp_path.iterdir()) == []


def test_clients_are_named_as_those_of_exports() -> None:
    found = hear.allowed(["10.20.0.0/24", "10.30.0.7/24", "10.40.0.9", "localhost", "nobody.invalid"])
    assert [str(one) for one in found] == ["10.20.0.0/24", "10.30.0.0/24", "10.40.0.9/32", "127.0.0.1/32"]


def test_what_nodes_say_is_kept_and_read_as_one_harmless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear, "KEPT", tmp_path)
    assert said(b"mounts: \x1b[2J\n{{ 7 * 7 }} \xff") == "heard"
    (found,) = queue_run.unwell(tmp_path)
    assert found == Unwell("127.0.0.1", "mounts: [2J {{ 7 * 7 }} \ufffd", found.at)
    assert abs(found.at - time.time()) < 60


def test_machines_that_were_not_heard_for_a_week_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear, "KEPT", tmp_path)
    hear.keep("10.0.0.4", "mounts: old")
    hear.keep("10.0.0.5", "mounts: new")
    os.utime(tmp_path / "10.0.0.4", (0, time.time() - hear.FORGET - 10))
    hear.forget()
    assert [one.address for one in queue_run.unwell(tmp_path)] == ["10.0.0.5"]


def test_where_nothing_is_heard_nothing_was_said(tmp_path: Path) -> None:
    assert queue_run.unwell(tmp_path / "nothing") == ()
