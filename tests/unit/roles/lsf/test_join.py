"""The program that makes a machine a dynamic host of LSF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

join = load("lsf_join", ROLES / "lsf/files/join")
node = join.node
LABELS = [["ib", "true"], ["node_array", "htc"], ["placement_group", "demo-htc-d4sv5"], ["vm_size", "d4sv5"]]
RESOURCES = (
    "[resource ib] [resourcemap htc*node_array] [resourcemap demo_htc_d4sv5*placement_group] "
    "[resourcemap d4sv5*vm_size] [resource q_htc] [resource q_my_queue]"
)
IDENTITY = node.Identity("/subscriptions/x", ("10.0.0.4",), "demo-htc-d4sv5")
BEFORE = (
    'LSF_CONFDIR=/opt/ibm/lsf/conf\nLSF_SERVER_HOSTS="old"\nLSF_LOCAL_RESOURCES="[resource mg]"\nLSF_LIM_PORT=7869\n'
)


def configuration(top: Path, **more: Any) -> Any:
    offers = {"demo-htc-d4sv5": {"labels": LABELS, "queues": ["htc", "my-queue"]}}
    return join.Configuration("demo", "demo-head", "/srv/p", top=str(top), offers=offers, join_timeout=60, **more)


def answer(status: str) -> str:
    return json.dumps({"COMMAND": "bhosts", "HOSTS": 1, "RECORDS": [{"HOST_NAME": "x", "STATUS": status}]})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the LSF of its image, where time costs nothing."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/lsf.conf").write_text(BEFORE)
    monkeypatch.setattr(node, "host_name", lambda: "htc-000001")
    monkeypatch.setattr(join.node.time, "sleep", lambda _seconds: None)
    return tmp_path


def test_a_machine_says_what_it_is_in_the_words_of_lsf(machine: Path) -> None:
    assert join.local_resources(configuration(machine), IDENTITY) == RESOURCES


def test_what_the_image_says_is_kept_and_what_it_said_of_another_machine_is_not(machine: Path) -> None:
    found = join.conf_text(BEFORE, configuration(machine), IDENTITY)
    assert found == (
        "LSF_CONFDIR=/opt/ibm/lsf/conf\nLSF_LIM_PORT=7869\n"
        f'LSF_SERVER_HOSTS="demo-head"\nEGO_DEFINE_NCPUS=threads\nLSF_LOCAL_RESOURCES="{RESOURCES}"\n'
    )
    assert join.conf_text(found, configuration(machine), IDENTITY) == found


def test_a_machine_of_no_scale_set_does_not_join(machine: Path) -> None:
    with pytest.raises(join.JoinError, match="the cluster has no scale set 'other'"):
        join.local_resources(configuration(machine), node.Identity("/x", (), "other"))


def test_daemons_are_started_anew_only_if_something_changed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({"systemctl": [""]})
    monkeypatch.setattr(node, "run", commands)
    join.start(configuration(machine), IDENTITY)
    join.start(configuration(machine), IDENTITY)
    assert [argv[1] for argv in commands.ran] == ["restart", "start"]


def test_an_image_without_lsf_is_said(machine: Path) -> None:
    (machine / "conf/lsf.conf").unlink()
    with pytest.raises(join.JoinError, match="there is no LSF"):
        join.start(configuration(machine), IDENTITY)


def test_it_waits_until_the_head_has_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = join.JoinError("bhosts ended with 255: htc-000001: Bad host name")
    commands = Commands({"/usr/local/lsf/bin/bhosts": [refused, answer("unavail"), answer("ok")]})
    monkeypatch.setattr(node, "run", commands)
    join.wait(configuration(machine))
    assert len(commands.ran) == 3
    assert "htc-000001 is unavail; asking again" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["closed_Adm", "closed_Full", "ok"])
def test_a_host_that_is_closed_has_joined_all_the_same(
    machine: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(node, "run", Commands({"/usr/local/lsf/bin/bhosts": [answer(status)]}))
    join.wait(configuration(machine))


def test_a_head_that_never_has_it_is_an_error_in_words(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "run", Commands({"/usr/local/lsf/bin/bhosts": [answer("unavail")]}))
    with pytest.raises(join.JoinError, match="htc-000001 is unavail after 60 s"):
        join.wait(configuration(machine))
