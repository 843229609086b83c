# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine becomes a node of Grid Engine: everything but the daemons themselves."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

join = load("gridengine_join", ROLES / "gridengine/files/join")
node = join.node
SENSOR = ROLES / "gridengine/files/load_sensor"


def configuration(**more: Any) -> Any:
    known = {"cluster": "demo", "head": "demo-head", "private": "/srv/private", "bootstrap": "security_mode munge\n"}
    return join.Configuration(**{**known, **more})


def test_a_node_knows_the_qmaster_and_how_to_talk_to_it(tmp_path: Path) -> None:
    cell = tmp_path / "default/common"
    assert join.write_cell(configuration(), cell)
    assert (cell / "act_qmaster").read_text() == "demo-head\n"
    assert (cell / "bootstrap").read_text() == "security_mode munge\n"
    assert not join.write_cell(configuration(), cell)
    assert join.write_cell(configuration(bootstrap="security_mode none\n"), cell)


@pytest.mark.parametrize("head", ["", "-x", "a b", "head\nevil"])
def test_a_head_that_is_no_host_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(node.JoinError, match="not the name of a host"):
        join.write_cell(configuration(head=head), tmp_path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    ran = Commands({})
    path = tmp_path / "join.json"
    path.write_text(json.dumps({"cluster": "demo", "head": "demo-head", "private": "/p", "bootstrap": "x\n"}))
    monkeypatch.setattr(node, "run", ran)
    monkeypatch.setattr(node, "CONFIGURATION", path)
    monkeypatch.setattr(node, "read_metadata", lambda: node.Identity("/subscriptions/x", ("10.0.0.4",)))
    monkeypatch.setattr(join, "fetch_key", lambda _configuration: False)
    monkeypatch.setattr(join.write_cell, "__defaults__", (tmp_path / "cell",))
    monkeypatch.setattr(join, "running", lambda _service: True)
    return ran


def test_the_daemon_starts_anew_only_if_what_it_knows_has_changed(machine: Commands) -> None:
    join.join()
    assert machine.ran == [("systemctl", "restart", "gridengine-exec.service")]
    machine.ran.clear()
    join.join()
    assert machine.ran == [("systemctl", "start", "gridengine-exec.service")]


def test_without_munge_no_key_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(join, "fetch_key", lambda _configuration: pytest.fail("fetched"))
    monkeypatch.setattr(join.write_cell, "__defaults__", (tmp_path,))
    assert join.prepare(configuration(security="none"))


def ask(spool: Path, questions: str) -> list[str]:
    done = subprocess.run(
        ["sh", str(SENSOR), str(spool)], input=questions, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


def test_the_sensor_says_when_the_last_job_began_or_ended(tmp_path: Path) -> None:
    host = os.uname().nodename.split(".")[0]
    for name, when in (("active_jobs", 1000), ("jobs", 3000), ("job_scripts", 2000)):
        (tmp_path / host / name).mkdir(parents=True)
        os.utime(tmp_path / host / name, (when, when))
    assert ask(tmp_path, "\n\nquit\n") == ["begin", f"{host}:hpc_idle_since:3000", "end"] * 2


def test_the_sensor_of_a_daemon_that_has_not_begun_says_that_it_does_not_know(tmp_path: Path) -> None:
    host = os.uname().nodename.split(".")[0]
    assert ask(tmp_path, "\n") == ["begin", f"{host}:hpc_idle_since:0", "end"]
