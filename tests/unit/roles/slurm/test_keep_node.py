# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose node Slurm has powered down while nobody deleted the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

join = load("slurm_join", ROLES / "slurm/files/join")
OURS = "NodeAddr=10.0.1.6 NodeHostName=hpc-000002"
ANEW = [("systemctl", "stop", "slurmd.service"), ("systemctl", "restart", "--no-block", "azure-hpc-join.service")]


@pytest.mark.parametrize(
    ("shown", "seconds", "done"),
    [
        (f"{OURS} State=IDLE+CLOUD", 900, []),
        (f"{OURS} State=IDLE+CLOUD+POWERING_DOWN", 900, []),  # a pass will delete the machine
        (f"{OURS} State=ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", 5, []),  # it has just been started
        (f"{OURS} State=ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", 61, ANEW),
        ("NodeAddr=hpc-1 NodeHostName=hpc-1 State=IDLE+CLOUD+POWERED_DOWN", 900, ANEW),
        ("NodeAddr=10.0.1.9 NodeHostName=hpc-000007 State=MIXED+CLOUD", 900, ANEW),  # the node is another machine now
    ],
)
def test_it_joins_anew_when_its_node_is_not_its_own_or_waits_for_a_start(
    shown: str, seconds: float, done: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, commands = tmp_path / "slurmd", Commands({"scontrol": [shown], "systemctl": ["1000000\n"] * 3})
    options.write_text(join.slurmd_options("hpc-1", join.Identity("/x", ()), "demo-head"))
    (tmp_path / "join.json").write_text('{"cluster": "demo", "head": "demo-head", "private": "/srv/p"}')
    monkeypatch.setattr(join, "SLURMD_OPTIONS", options)
    monkeypatch.setattr(join.node, "CONFIGURATION", tmp_path / "join.json")
    monkeypatch.setattr(join.node, "RUN", tmp_path)
    monkeypatch.setattr(join.node, "run", commands)
    monkeypatch.setattr(join.node, "read_metadata", lambda: join.Identity("/x", ("10.0.1.6",), "hpc-000002"))
    monkeypatch.setattr(join, "runs", lambda: True)
    monkeypatch.setattr(join.time, "monotonic", lambda: 1.0 + seconds)
    join.keep_node()
    assert [argv for argv in commands.ran if argv[0] == "systemctl" and argv[1] != "show"] == done
    assert options.exists() is not bool(done)


def test_a_machine_that_is_still_joining_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({})
    monkeypatch.setattr(join, "SLURMD_OPTIONS", tmp_path / "none")
    monkeypatch.setattr(join.node, "run", commands)
    join.keep_node()
    assert commands.ran == []
