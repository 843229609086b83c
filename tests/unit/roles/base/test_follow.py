# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compute node follows the list of people on the head's private export, and takes no jobs when they collide."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

load("follow", ROLES / "base/files/follow.py")
import follow  # noqa: E402  # type: ignore[import-not-found]


class Machine:
    """A node whose private export is a directory, and whose accounts are whatever a test says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.export, self.join = root / "private", root / "join.json"
        self.export.mkdir()
        self.join.write_text(json.dumps({"cluster": "demo", "head": "h", "private": "/srv/p", "claim_timeout": 9}))
        self.applied: list[Any] = []
        self.told: list[str] = []
        self.problem = ""
        self.commands = Commands({})

        @contextlib.contextmanager
        def private(_configuration: Any, _attempts: int) -> Iterator[Path]:
            yield self.export

        monkeypatch.setattr(follow.node, "private_export", private)
        monkeypatch.setattr(follow.node, "RUN", root)
        monkeypatch.setattr(follow.node, "run", self.commands)
        monkeypatch.setattr(follow, "SSSD", root / "sssd/sssd.conf")
        monkeypatch.setattr(follow, "PROGRAM", root / "program")
        monkeypatch.setattr(follow._people, "apply", self.apply)

    def apply(self, people: Any) -> list[str]:
        if self.problem:
            raise follow.people_list.PeopleError(self.problem)
        self.applied.append([user.name for user in people.users])
        return ["make user alice (2001)"]

    def follow(self) -> None:
        follow.people(self.join, self.told.append)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def write_list(machine: Machine) -> None:
    (machine.export / "people.json").write_text(json.dumps({"users": [{"name": "alice", "uid": 2001}]}))


def test_without_a_list_there_is_nothing_to_do(machine: Machine) -> None:
    machine.follow()
    assert (machine.applied, machine.told, machine.commands.ran) == ([], [], [])


def test_the_list_of_the_head_is_applied_and_said(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    write_list(machine)
    machine.follow()
    assert machine.applied == [["alice"]]
    assert "make user alice (2001)" in capsys.readouterr().err


def test_a_collision_takes_the_node_out_of_service_once_and_back_when_it_is_solved(machine: Machine) -> None:
    write_list(machine)
    machine.problem = "uid 2001 of alice is the uid of bob on this machine"
    for _turn in range(2):
        with pytest.raises(follow.Refused, match="uid 2001 of alice"):
            machine.follow()
    assert len(machine.told) == 1
    assert machine.problem in machine.told[0]
    machine.problem = ""
    machine.follow()
    machine.follow()
    assert machine.told[1:] == [""]


def test_a_scheduler_that_cannot_be_told_does_not_hide_the_reason_and_is_told_again(machine: Machine) -> None:
    write_list(machine)
    machine.problem = "no"
    calls = []

    def refuse(reason: str) -> None:
        calls.append(reason)
        raise follow.JoinError("slurmctld does not answer")

    for _turn in range(2):
        with pytest.raises(follow.Refused):
            follow.people(machine.join, refuse)
    assert len(calls) == 2


def test_a_machine_without_sssd_does_not_join_a_cluster_with_a_directory_however_often_it_tries(
    machine: Machine,
) -> None:
    (machine.export / "sssd").mkdir()
    (machine.export / "sssd/sssd.conf").write_text("[sssd]\n")
    for _again in range(2):
        with pytest.raises(follow.Refused, match="has no sssd: bake it anew"):
            machine.follow()


def test_sssd_gets_its_configuration_as_a_secret_and_is_restarted_only_then(machine: Machine) -> None:
    follow.PROGRAM.touch()
    (machine.export / "sssd").mkdir()
    (machine.export / "sssd/sssd.conf").write_text("[sssd]\n")
    (machine.export / "sssd/ca.pem").write_text("certificate")
    machine.follow()
    assert follow.SSSD.read_text() == "[sssd]\n"
    assert follow.SSSD.stat().st_mode & 0o777 == 0o400
    assert machine.commands.ran[-1] == ("systemctl", "restart", "sssd.service")
    machine.commands.ran.clear()
    machine.follow()
    assert machine.commands.ran == []


def test_a_head_that_does_not_answer_is_no_collision(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_configuration: Any, _attempts: int) -> Any:
        raise follow.JoinError("mount: timed out")

    monkeypatch.setattr(follow.node, "private_export", unreachable)
    with pytest.raises(follow.JoinError, match="timed out"):
        machine.follow()
    assert machine.told == []
