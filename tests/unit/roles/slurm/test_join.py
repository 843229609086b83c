# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine becomes a node of Slurm: everything but the daemons themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles.programs import ROLES, Commands, load

join = load("slurm_join", ROLES / "slurm/files/join")
node = join.node
ID = (
    "/subscriptions/0000/resourceGroups/demo-rg/providers/Microsoft.Compute/virtualMachineScaleSets/demo-hpc"
    "/virtualMachines/7"
)


def configuration(**more: Any) -> Any:
    return join.Configuration(cluster="demo", head="demo-head", private="/srv/private", **more)


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(join.node.time, "sleep", slept.append)
    return slept


def test_a_claim_for_this_address_gives_the_node_name() -> None:
    assert join.parse_claim("htc-d4sv5-1: 10.20.16.4:6818\n", ["10.20.16.4"]) == "htc-d4sv5-1"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "htc-d4sv5-1: 10.20.16.5:6818\n",
        "htc-d4sv5-1: 0.0.0.0:0\n",
        "htc; reboot: 10.20.16.4:6818\n",
        ": 10.20.16.4:6818\n",
        "htc-1 --conf-server evil: 10.20.16.4:6818",
        "10.20.16.4:6818",
    ],
)
def test_anything_else_is_no_claim(answer: str) -> None:
    assert join.parse_claim(answer, ["10.20.16.4"]) is None


@given(st.text())
def test_no_answer_gives_a_name_that_systemd_would_split_or_quote(answer: str) -> None:
    name = join.parse_claim(f"{answer}: 10.0.0.4:6818", ["10.0.0.4"])
    assert name is None or all(char.isalnum() or char in ".-" for char in name)


def test_slurmd_reports_the_instance_so_that_its_registration_keeps_the_claim() -> None:
    options = join.slurmd_options("hpc-1", join.Identity(ID, ()), "demo-head")
    assert options == f'SLURMD_OPTIONS="-b -N hpc-1 --instance-id {ID} --conf-server demo-head"\n'


def test_the_name_is_asked_for_until_a_node_is_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_sleep: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = join.JoinError("scontrol getaddrs ended with 1: Unable to contact slurm controller")
    commands = Commands({"scontrol": [busy, "", "other-1: 10.9.9.9:6818", "hpc-2: 10.20.16.4:6818"]})
    monkeypatch.setattr(node, "run", commands)
    monkeypatch.setattr(node, "RUN", tmp_path)
    assert join.learn_name(configuration(), join.Identity(ID, ("10.20.16.4",))) == "hpc-2"
    assert len(no_sleep) == 3
    assert "SlurmUser=slurm" in (tmp_path / "slurm.conf").read_text()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in said] == [str(busy), said[1].split(";")[0]]
    assert "no node is bound to" in said[1]


def test_a_machine_that_nobody_claims_gives_up_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_sleep: list[float]
) -> None:
    monkeypatch.setattr(node, "run", Commands({"scontrol": [""]}))
    monkeypatch.setattr(node, "RUN", tmp_path)
    with pytest.raises(join.JoinError, match=r"no node is bound to .* after 60 s"):
        join.learn_name(configuration(claim_timeout=60), join.Identity(ID, ("10.20.16.4",)))
    assert sum(no_sleep) >= 60


def test_slurmd_that_runs_with_other_options_is_restarted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = Commands({})
    monkeypatch.setattr(node, "run", commands)
    monkeypatch.setattr(join, "SLURMD_OPTIONS", tmp_path / "slurmd")
    for options in ("one\n", "one\n", "two\n"):
        join.start_slurmd(options)
    assert [argv[1] for argv in commands.ran] == ["restart", "start", "restart"]
    assert (tmp_path / "slurmd").read_text() == "two\n"


@pytest.mark.parametrize(
    ("reason", "shown", "update"),
    [
        (
            "accounts: uid 2003 of carol is the uid of mallory",
            "",
            ("state=drain", "reason=accounts: uid 2003 of carol is the uid of mallory"),
        ),
        ("mounts: /data: gone", "", ("comment=mounts: /data: gone",)),
        ("", "State=IDLE+CLOUD+DRAIN Reason=accounts: uid 2003 [root@2026-11-20]", ("state=resume",)),
        (
            "",
            "State=MIXED+CLOUD+POWERING_UP\n   Comment=mounts: /data: gone\n",
            ("comment=",),
        ),
        (
            "",
            "State=IDLE+CLOUD+DRAIN Reason=mounts: /data: gone [root@2026-11-20]\n   Comment=mounts: /data: gone",
            ("state=resume", "comment="),
        ),
        ("", "State=IDLE+CLOUD\n   Comment=rack 7", None),
        ("", "Reason=bad disk [root@2026-11-20]", None),
    ],
)
def test_a_node_without_its_users_is_drained_and_only_what_we_drained_comes_back(
    reason: str, shown: str, update: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurmd").write_text(join.slurmd_options("htc-1", join.Identity(ID, ()), "demo-head"))
    (tmp_path / "join.json").write_text('{"cluster": "demo", "head": "demo-head", "private": "/srv/p"}')
    commands = Commands({"scontrol": [f"NodeAddr=10.20.16.4 {shown}"]})
    fetched: list[str] = []
    monkeypatch.setattr(join, "SLURMD_OPTIONS", tmp_path / "slurmd")
    monkeypatch.setattr(join.node, "CONFIGURATION", tmp_path / "join.json")
    monkeypatch.setattr(join.node, "RUN", tmp_path)
    monkeypatch.setattr(join.node, "run", commands)
    monkeypatch.setattr(join, "fetch_key", lambda configuration, attempts: fetched.append(configuration.head))
    monkeypatch.setattr(join, "runs", lambda: False)
    monkeypatch.setattr(node, "read_metadata", lambda: join.Identity(ID, ("10.20.16.4",)))
    join.refuse(reason)
    assert [argv[2:] for argv in commands.ran if argv[1] == "update"] == (
        [("nodename=htc-1", *update)] if update else []
    )
    assert fetched == (["demo-head"] if reason else [])


@pytest.mark.parametrize(("address", "drained"), [("10.20.16.4", True), ("htc-1", False), ("10.20.16.40", False)])
def test_a_node_that_runs_jobs_is_drained_when_a_mount_dies_as_long_as_it_is_this_machine(
    address: str, drained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurmd").write_text(join.slurmd_options("htc-1", join.Identity(ID, ()), "demo-head"))
    (tmp_path / "join.json").write_text('{"cluster": "demo", "head": "demo-head", "private": "/srv/p"}')
    commands = Commands({"scontrol": [f"NodeName=htc-1 NodeAddr={address} State=IDLE+CLOUD"]})
    monkeypatch.setattr(join, "SLURMD_OPTIONS", tmp_path / "slurmd")
    monkeypatch.setattr(join.node, "CONFIGURATION", tmp_path / "join.json")
    monkeypatch.setattr(join.node, "RUN", tmp_path)
    monkeypatch.setattr(join.node, "run", commands)
    monkeypatch.setattr(join, "runs", lambda: True)
    monkeypatch.setattr(node, "read_metadata", lambda: join.Identity(ID, ("10.20.16.4",)))
    join.refuse("mounts: /data: Stale file handle")
    update = ("scontrol", "update", "nodename=htc-1", "state=drain", "reason=mounts: /data: Stale file handle")
    assert commands.ran[1:] == ([update] if drained else [])
