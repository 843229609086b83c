"""The program that makes a machine an execution host of PBS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

join = load("openpbs_join", ROLES / "openpbs/files/join")
node = join.node
MOUNT = {"source": "demo-head:/export/home", "path": "/shared/home"}


def settings(**more: Any) -> dict[str, Any]:
    return {
        "cluster": "demo", "head": "demo-head", "private": "/srv/p", "mounts": [MOUNT],
        "mom_config": {"$clienthost": "demo-head"}, "join_timeout": 60, **more,
    }  # fmt: skip


def answer(state: str) -> str:
    return json.dumps({"nodes": {"demo-htc000001": {"Mom": "demo-htc000001", "state": state}}})


UNKNOWN = '{"nodes":{"demo-htc000001":{"Error":"Unknown node "}}}'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with PBS's home, where the file system is mounted already and time costs nothing."""
    (tmp_path / "pbs/mom_priv").mkdir(parents=True)
    (tmp_path / "join.json").write_text(json.dumps(settings()))
    monkeypatch.setattr(join, "PBS_CONF", tmp_path / "pbs.conf")
    monkeypatch.setattr(join, "PBS_HOME", tmp_path / "pbs")
    monkeypatch.setattr(node, "CONFIGURATION", tmp_path / "join.json")
    monkeypatch.setattr(node, "host_name", lambda: "demo-htc000001")
    monkeypatch.setattr(join.node.time, "sleep", lambda _seconds: None)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *states: str) -> Commands:
    commands = Commands({"/opt/pbs/bin/pbsnodes": list(states), "systemctl": [""]})
    monkeypatch.setattr(node, "run", commands)
    join.join()
    return commands


def test_it_writes_both_files_starts_pbs_and_waits_until_it_is_heard(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(monkeypatch, UNKNOWN, answer("state-unknown,down"), answer("free")).ran
    conf = (machine / "pbs.conf").read_text().splitlines()
    assert "PBS_SERVER=demo-head" in conf
    assert "PBS_START_MOM=1" in conf
    assert "PBS_START_SERVER=0" in conf
    assert (
        machine / "pbs/mom_priv/config"
    ).read_text() == "$clienthost demo-head\n$usecp *:/shared/home /shared/home\n"
    assert ran[0] == ("systemctl", "restart", "pbs.service")
    assert [one for one in ran if "pbsnodes" in one[0]] == [
        ("/opt/pbs/bin/pbsnodes", "-v", "demo-htc000001", "-F", "json")
    ] * 3
    said = capsys.readouterr().err
    assert "the server does not know demo-htc000001 yet" in said
    assert "demo-head hears this machine" in said


def test_a_second_boot_starts_what_is_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, answer("free"))
    assert run(monkeypatch, answer("free")).ran[0] == ("systemctl", "start", "pbs.service")


def test_a_drained_node_has_joined_all_the_same(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, answer("offline"))


def test_the_home_is_made_where_there_is_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "pbs/mom_priv").rmdir()
    commands = Commands({"/opt/pbs/bin/pbsnodes": [answer("free")]})

    def habitat(*argv: str, **more: Any) -> str:
        if argv[0].endswith("pbs_habitat"):
            (machine / "pbs/mom_priv").mkdir()
        return commands(*argv, **more)

    monkeypatch.setattr(node, "run", habitat)
    join.join()
    assert commands.ran[0] == ("/opt/pbs/libexec/pbs_habitat",)


def test_what_a_site_says_wins_over_the_role_s_own() -> None:
    found = join.conf_text(join.Configuration("c", "h", "p", pbs_conf={"PBS_SCP": "/bin/false", "PBS_RCP": "/x"}))
    assert "PBS_SCP=/bin/false\n" in found
    assert found.count("PBS_SCP=") == 1
    assert "PBS_RCP=/x\n" in found


def test_a_server_that_never_hears_it_is_an_error_in_words(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = join.JoinError("pbsnodes ended with 1: cannot connect to server demo-head, error=15010")
    with pytest.raises(join.JoinError, match="cannot connect to server demo-head, error=15010 after 60 s"):
        run(monkeypatch, refused)  # type: ignore[arg-type]
