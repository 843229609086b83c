# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that lets a compute node join: everything but the daemons themselves."""

from __future__ import annotations

import http.server
import importlib.machinery
import importlib.util
import json
import stat
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = Path(__file__).parents[4] / "roles/slurm/files/join"
ID = (
    "/subscriptions/0000/resourceGroups/demo-rg/providers/Microsoft.Compute/virtualMachineScaleSets/demo-hpc"
    "/virtualMachines/7"
)


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("azure_hpc_join", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


join = load()


def metadata(resource_id: Any = ID) -> str:
    interface = {"ipv4": {"ipAddress": [{"privateIpAddress": "10.20.16.4", "publicIpAddress": ""}]}}
    return json.dumps({"compute": {"resourceId": resource_id}, "network": {"interface": [interface]}})


def configuration(**more: Any) -> Any:
    return join.Configuration(cluster="demo", head="demo-head", private="/srv/private", **more)


class Commands:
    """In place of programs: remembers what was run and answers from a script (the last answer repeats)."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.ran: list[tuple[str, ...]] = []

    def __call__(self, *argv: str, **_more: Any) -> str:
        self.ran.append(argv)
        answers = self.answers.get(argv[0], [""])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(join.time, "sleep", slept.append)
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


def test_the_metadata_give_the_resource_id_and_the_addresses() -> None:
    assert join.parse_metadata(metadata()) == join.Identity(ID, ("10.20.16.4",))


@pytest.mark.parametrize("bad", ["", None, 7, "relative/id", "/sub scription", '/x" -Z', "/x$(reboot)", "/x\n/y"])
def test_a_resource_id_that_could_be_more_than_one_word_is_refused(bad: Any) -> None:
    with pytest.raises((join.JoinError, TypeError)):
        join.parse_metadata(metadata(bad))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"compute": 1}', "<html>"])
def test_metadata_that_are_not_understood_say_so(text: str) -> None:
    with pytest.raises(join.JoinError, match="not understood"):
        join.parse_metadata(text)


class Metadata(http.server.BaseHTTPRequestHandler):
    """Answers as Azure's instance metadata service does, the second time it is asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers['Metadata']}")
        self.send_response(200 if len(self.asked) > 1 else 503)
        self.end_headers()
        self.wfile.write(metadata().encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_the_metadata_service_is_asked_with_its_header_until_it_answers(no_sleep: list[float]) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            found = join.read_metadata(f"127.0.0.1:{server.server_port}", attempts=3)
        finally:
            server.shutdown()
            thread.join()
    assert found.resource_id == ID
    assert Metadata.asked == ["/metadata/instance?api-version=2021-02-01 true"] * 2
    assert len(no_sleep) == 1


def test_a_metadata_service_that_never_answers_ends_the_attempt_with_its_reason(no_sleep: list[float]) -> None:
    with pytest.raises(join.JoinError, match=r"does not answer: .*refused"):
        join.read_metadata("127.0.0.1:1", attempts=2)


def test_slurmd_reports_the_instance_so_that_its_registration_keeps_the_claim() -> None:
    options = join.slurmd_options("hpc-1", join.Identity(ID, ()), "demo-head")
    assert options == f'SLURMD_OPTIONS="-b -N hpc-1 --instance-id {ID} --conf-server demo-head"\n'


@given(st.floats(min_value=1, max_value=10_000))
def test_waiting_grows_but_never_beyond_its_ceiling_and_ends(total: float) -> None:
    pauses = list(join.waits(total))
    assert all(0 < pause <= 22.5 for pause in pauses)
    assert total <= sum(pauses) <= total + 22.5


def test_the_name_is_asked_for_until_a_node_is_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_sleep: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = join.JoinError("scontrol getaddrs ended with 1: Unable to contact slurm controller")
    commands = Commands({"scontrol": [busy, "", "other-1: 10.9.9.9:6818", "hpc-2: 10.20.16.4:6818"]})
    monkeypatch.setattr(join, "run", commands)
    monkeypatch.setattr(join, "RUN", tmp_path)
    assert join.learn_name(configuration(), join.Identity(ID, ("10.20.16.4",))) == "hpc-2"
    assert len(no_sleep) == 3
    assert "SlurmUser=slurm" in (tmp_path / "slurm.conf").read_text()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in said] == [str(busy), said[1].split(";")[0]]
    assert "no node is bound to" in said[1]


def test_a_machine_that_nobody_claims_gives_up_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_sleep: list[float]
) -> None:
    monkeypatch.setattr(join, "run", Commands({"scontrol": [""]}))
    monkeypatch.setattr(join, "RUN", tmp_path)
    with pytest.raises(join.JoinError, match=r"no node is bound to .* after 60 s"):
        join.learn_name(configuration(claim_timeout=60), join.Identity(ID, ("10.20.16.4",)))
    assert sum(no_sleep) >= 60


def test_the_munge_key_is_never_readable_by_others(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"k" * 128)
    target = tmp_path / "munge.key"
    assert join.install_key(tmp_path / "theirs", target) is True
    assert target.read_bytes() == b"k" * 128
    assert stat.S_IMODE(target.stat().st_mode) == 0o400
    assert join.install_key(tmp_path / "theirs", target) is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["munge.key", "theirs"]


def test_a_new_munge_key_replaces_the_old_one_and_a_broken_one_does_not(tmp_path: Path) -> None:
    target = tmp_path / "munge.key"
    target.write_bytes(b"o" * 128)
    (tmp_path / "munge.key.new").write_bytes(b"left by a crash")
    (tmp_path / "theirs").write_bytes(b"n" * 128)
    assert join.install_key(tmp_path / "theirs", target) is True
    (tmp_path / "theirs").write_bytes(b"")
    with pytest.raises(join.JoinError, match="shorter"):
        join.install_key(tmp_path / "theirs", target)
    assert target.read_bytes() == b"n" * 128


def test_the_private_export_is_unmounted_also_when_the_key_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = Commands({})
    monkeypatch.setattr(join, "run", commands)
    monkeypatch.setattr(join, "RUN", tmp_path / "run")
    modes = []

    def fetch() -> None:
        with join.private_export(configuration()) as point:
            modes.append(stat.S_IMODE(point.stat().st_mode))
            join.install_key(point / "munge.key", tmp_path / "munge.key")

    with pytest.raises(join.JoinError, match="cannot read the munge key"):
        fetch()
    assert modes == [0o700]
    mount, umount = commands.ran
    assert mount[:4] == ("mount", "-t", "nfs", "-o")
    assert mount[4].split(",")[0] == "ro"
    assert mount[5] == "demo-head:/srv/private"
    assert umount == ("umount", str(tmp_path / "run/private"))


def test_a_file_system_that_is_mounted_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({})
    monkeypatch.setattr(join, "run", commands)
    join.mount(join.Mount("demo-head:/export/home", "/"))
    assert commands.ran == []


def test_mounting_is_tried_again_while_the_head_is_not_there_yet(no_sleep: list[float]) -> None:
    outcomes = iter([join.JoinError("no route"), join.JoinError("no route"), None])

    def attempt() -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome

    join.with_retries(attempt, attempts=3)
    assert len(no_sleep) == 2


def test_mounting_gives_up_with_the_last_reason(no_sleep: list[float]) -> None:
    def attempt() -> None:
        raise join.JoinError("access denied by server")

    with pytest.raises(join.JoinError, match="access denied"):
        join.with_retries(attempt, attempts=4)
    assert len(no_sleep) == 3


def test_slurmd_that_runs_with_other_options_is_restarted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = Commands({})
    monkeypatch.setattr(join, "run", commands)
    monkeypatch.setattr(join, "SLURMD_OPTIONS", tmp_path / "slurmd")
    for options in ("one\n", "one\n", "two\n"):
        join.start_slurmd(options)
    assert [argv[1] for argv in commands.ran] == ["restart", "start", "restart"]
    assert (tmp_path / "slurmd").read_text() == "two\n"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"cluster": "demo"}', '{"cluster": "a", "head": "b", "private": "c", "x": 1}']
)
def test_a_configuration_that_is_not_understood_names_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "join.json"
    file.write_text(text)
    with pytest.raises(join.JoinError, match=r"join\.json"):
        join.read_configuration(file)


def test_a_configuration_is_read_with_its_mounts(tmp_path: Path) -> None:
    file = tmp_path / "join.json"
    mount = {"source": "demo-head:/export/home", "path": "/shared/home", "options": "hard"}
    file.write_text(json.dumps({"cluster": "demo", "head": "demo-head", "private": "/srv/p", "mounts": [mount]}))
    found = join.read_configuration(file)
    assert found.mounts == (join.Mount("demo-head:/export/home", "/shared/home", "nfs", "hard"),)


def test_a_failure_ends_with_one_reason_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(join, "CONFIGURATION", tmp_path / "missing.json")
    assert join.main([]) == 1
    assert capsys.readouterr().err.startswith("cannot join: ")


def test_a_command_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(join.JoinError, match=r"sh -c ended with 3: no such thing"):
        join.run("sh", "-c", "echo no such thing >&2; exit 3")
    with pytest.raises(join.JoinError, match="/does/not/exist"):
        join.run("/does/not/exist")
