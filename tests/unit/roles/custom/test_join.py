"""The program that joins a machine to a site's own scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.roles.programs import ROLES, Commands, load

join = load("custom_join", ROLES / "custom/files/join")
node = join.node
ROLE = ROLES / "custom"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = {
        "cluster": "demo", "head": "demo-head", "private": "/srv/p", "mounts": [],
        "join": [["mini-daemon", "--server={head}", "{node}"], [], ["mini-check", "$(reboot)"]],
    }  # fmt: skip
    (tmp_path / "join.json").write_text(json.dumps(settings))
    monkeypatch.setattr(node, "CONFIGURATION", tmp_path / "join.json")
    monkeypatch.setattr(node, "host_name", lambda: "HTC-000001")
    return tmp_path


def test_the_commands_are_run_in_order_with_the_names_filled_in(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = Commands({"mini-daemon": [""], "mini-check": [""]})
    monkeypatch.setattr(node, "run", commands)
    join.join()
    assert commands.ran == [("mini-daemon", "--server=demo-head", "htc-000001"), ("mini-check", "$(reboot)")]
    assert "mini-check ended well" in capsys.readouterr().err


def test_one_that_fails_ends_it_so_that_it_is_tried_again(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({"mini-daemon": [join.node.JoinError("mini-daemon ended with 1: no server")]})
    monkeypatch.setattr(node, "run", commands)
    with pytest.raises(node.JoinError, match="no server"):
        join.join()
    assert len(commands.ran) == 1


def test_every_variable_of_the_role_is_described() -> None:
    described = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    names = {name for entry in described.values() for name in entry["options"]}
    assert set(yaml.safe_load((ROLE / "defaults/main.yml").read_text())) == names
