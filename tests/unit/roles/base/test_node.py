# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every machine does to join, whatever the scheduler."""

from __future__ import annotations

import http.server
import json
import stat
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles.programs import ROLES, Commands, load

node = load("azure_hpc_node", ROLES / "base/files/node.py")
ID = (
    "/subscriptions/0000/resourceGroups/demo-rg/providers/Microsoft.Compute/virtualMachineScaleSets/demo-hpc"
    "/virtualMachines/7"
)


def metadata(resource_id: Any = ID) -> str:
    interface = {"ipv4": {"ipAddress": [{"privateIpAddress": "10.20.16.4", "publicIpAddress": ""}]}}
    return json.dumps({"compute": {"resourceId": resource_id}, "network": {"interface": [interface]}})


def configuration(**more: Any) -> Any:
    return node.Configuration(cluster="demo", head="demo-head", private="/srv/private", **more)


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(node.time, "sleep", slept.append)
    return slept


def test_the_metadata_give_the_resource_id_and_the_addresses() -> None:
    assert node.parse_metadata(metadata()) == node.Identity(ID, ("10.20.16.4",))


@pytest.mark.parametrize("bad", ["", None, 7, "relative/id", "/sub scription", '/x" -Z', "/x$(reboot)", "/x\n/y"])
def test_a_resource_id_that_could_be_more_than_one_word_is_refused(bad: Any) -> None:
    with pytest.raises((node.JoinError, TypeError)):
        node.parse_metadata(metadata(bad))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"compute": 1}', "<html>"])
def test_metadata_that_are_not_understood_say_so(text: str) -> None:
    with pytest.raises(node.JoinError, match="not understood"):
        node.parse_metadata(text)


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
            found = node.read_metadata(f"127.0.0.1:{server.server_port}", attempts=3)
        finally:
            server.shutdown()
            thread.join()
    assert found.resource_id == ID
    assert Metadata.asked == ["/metadata/instance?api-version=2021-02-01 true"] * 2
    assert len(no_sleep) == 1


def test_a_metadata_service_that_never_answers_ends_the_attempt_with_its_reason(no_sleep: list[float]) -> None:
    with pytest.raises(node.JoinError, match=r"does not answer: .*refused"):
        node.read_metadata("127.0.0.1:1", attempts=2)


@given(st.floats(min_value=1, max_value=10_000))
def test_waiting_grows_but_never_beyond_its_ceiling_and_ends(total: float) -> None:
    pauses = list(node.waits(total))
    assert all(0 < pause <= 22.5 for pause in pauses)
    assert total <= sum(pauses) <= total + 22.5


def test_the_munge_key_is_never_readable_by_others(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"k" * 128)
    target = tmp_path / "munge.key"
    assert node.install_secret(tmp_path / "theirs", target, "the munge key", 32) is True
    assert target.read_bytes() == b"k" * 128
    assert stat.S_IMODE(target.stat().st_mode) == 0o400
    assert node.install_secret(tmp_path / "theirs", target, "the munge key", 32) is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["munge.key", "theirs"]


def test_a_new_munge_key_replaces_the_old_one_and_a_broken_one_does_not(tmp_path: Path) -> None:
    target = tmp_path / "munge.key"
    target.write_bytes(b"o" * 128)
    (tmp_path / "munge.key.new").write_bytes(b"left by a crash")
    (tmp_path / "theirs").write_bytes(b"n" * 128)
    assert node.install_secret(tmp_path / "theirs", target, "the munge key", 32) is True
    (tmp_path / "theirs").write_bytes(b"")
    with pytest.raises(node.JoinError, match="shorter"):
        node.install_secret(tmp_path / "theirs", target, "the munge key", 32)
    assert target.read_bytes() == b"n" * 128


def test_the_private_export_is_unmounted_also_when_the_key_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = Commands({})
    monkeypatch.setattr(node, "run", commands)
    monkeypatch.setattr(node, "RUN", tmp_path / "run")
    modes = []

    def fetch() -> None:
        with node.private_export(configuration()) as point:
            modes.append(stat.S_IMODE(point.stat().st_mode))
            node.install_secret(point / "munge.key", tmp_path / "munge.key", "the munge key")

    with pytest.raises(node.JoinError, match="cannot read the munge key"):
        fetch()
    assert modes == [0o700]
    mount, umount = commands.ran
    assert mount[:4] == ("mount", "-t", "nfs", "-o")
    assert mount[4].split(",")[0] == "ro"
    assert mount[5] == "demo-head:/srv/private"
    assert umount == ("umount", str(tmp_path / "run/private"))


def test_a_file_system_that_is_mounted_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({})
    monkeypatch.setattr(node, "run", commands)
    node.mount(node.Mount("demo-head:/export/home", "/"))
    assert commands.ran == []


def test_mounting_is_tried_again_while_the_head_is_not_there_yet(no_sleep: list[float]) -> None:
    outcomes = iter([node.JoinError("no route"), node.JoinError("no route"), None])

    def attempt() -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome

    node.with_retries(attempt, attempts=3)
    assert len(no_sleep) == 2


def test_mounting_gives_up_with_the_last_reason(no_sleep: list[float]) -> None:
    def attempt() -> None:
        raise node.JoinError("access denied by server")

    with pytest.raises(node.JoinError, match="access denied"):
        node.with_retries(attempt, attempts=4)
    assert len(no_sleep) == 3


@pytest.mark.parametrize(
    "text", ["", "[]", '{"cluster": "demo"}', '{"cluster": "a", "head": "b", "private": "c", "x": 1}']
)
def test_a_configuration_that_is_not_understood_names_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "join.json"
    file.write_text(text)
    with pytest.raises(node.JoinError, match=r"join\.json"):
        node.read_configuration(file, node.Configuration)


def test_a_configuration_is_read_with_its_mounts(tmp_path: Path) -> None:
    file = tmp_path / "join.json"
    mount = {"source": "demo-head:/export/home", "path": "/shared/home", "options": "hard"}
    file.write_text(json.dumps({"cluster": "demo", "head": "demo-head", "private": "/srv/p", "mounts": [mount]}))
    found = node.read_configuration(file, node.Configuration)
    assert found.mounts == (node.Mount("demo-head:/export/home", "/shared/home", "nfs", "hard"),)


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is done beside joining; how, is the business of other tests."""
    import follow
    import mounting
    import telling
    import watch

    done: list[str] = []
    monkeypatch.setattr(follow, "people", lambda path, _refuse, attempts=20: done.append(f"{path} {attempts}"))
    monkeypatch.setattr(follow, "keep_following", lambda: done.append("timer"))
    monkeypatch.setattr(mounting, "mount_all", lambda found, _tell: done.append(f"mounts of {found.cluster}"))
    monkeypatch.setattr(watch, "keep_watching", lambda: done.append("watch"))
    monkeypatch.setattr(telling, "stands", lambda: False)
    monkeypatch.setattr(telling, "tell", lambda *said: done.append(f"told {said}"))
    monkeypatch.setattr(node, "order_services", lambda services: done.append(f"order {services[0]}"))
    monkeypatch.setattr(node, "CONFIGURATION", tmp_path / "join.json")
    (tmp_path / "join.json").write_text(json.dumps({"cluster": "demo", "head": "h", "private": "/srv/p", "more": 1}))
    return done


def test_a_failure_ends_with_one_reason_and_no_traceback(
    followed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def join() -> None:
        raise node.JoinError("no way")

    assert node.main([], join, services=["x.service"]) == 1
    assert capsys.readouterr().err == "cannot join: no way\n"
    assert followed[-1] == "told ('join', 'no way', None)"


def test_what_was_said_in_better_words_is_not_said_again(followed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import telling

    def join() -> None:
        raise node.JoinError("/shared/home: no route")

    monkeypatch.setattr(telling, "stands", lambda: True)
    assert node.main([], join, services=["x.service"]) == 1
    assert not [entry for entry in followed if entry.startswith("told")]


def test_a_machine_knows_its_people_and_has_its_file_systems_before_it_joins(followed: list[str]) -> None:
    assert node.main([], lambda: followed.append("joined"), services=["slurmd.service"]) == 0
    people, *rest = followed
    assert people.endswith("/join.json 20")
    assert rest == ["timer", "order slurmd.service", "mounts of demo", "watch", "joined", "told ('join', '', None)"]


def test_daemons_are_stopped_before_anything_is_unmounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = Commands({})
    monkeypatch.setattr(node, "run", commands)
    monkeypatch.setattr(node, "UNITS", tmp_path)
    for _boot in range(2):
        node.order_services(["condor.service"])
    assert "After=local-fs.target remote-fs.target" in (tmp_path / "condor.service.d/azure_hpc.conf").read_text()
    assert commands.ran == [("systemctl", "daemon-reload")]


def test_the_timer_only_follows_the_list_of_people(followed: list[str]) -> None:
    assert node.main(["people"], lambda: followed.append("joined")) == 0
    assert [entry.rsplit("/", 1)[1] for entry in followed] == ["join.json 1"]


@pytest.mark.parametrize("arguments", [["key"], ["other", "file"], ["key", "file", "more"]])
def test_a_wrong_command_line_does_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_unused: Any) -> bool:
        raise AssertionError(arguments)

    assert node.main(arguments, fail, key=fail) == 1
    assert "usage: join [key FILE]" in capsys.readouterr().err


@pytest.mark.parametrize("changed", [True, False])
def test_a_part_of_joining_says_whether_it_changed_anything(changed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.main(["key", "/a/file"], lambda: None, key=lambda path: changed and path == Path("/a/file")) == 0
    assert capsys.readouterr().out == ("changed\n" if changed else "unchanged\n")


def test_a_full_name_is_what_the_resolver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, *_unused: Any, **_more: Any) -> list[Any]:
        return [(2, 1, 6, f"{name}.internal.cloudapp.net.", ("10.0.0.4", 0)), (2, 1, 6, "", ("10.0.0.5", 0))]

    monkeypatch.setattr(node.socket, "getaddrinfo", resolve)
    assert node.full_name("Demo-Head") == "demo-head.internal.cloudapp.net"


def test_a_name_without_a_domain_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.socket, "getaddrinfo", lambda *_unused, **_more: [(2, 1, 6, "demo-head", ("10.0.0.4", 0))])
    with pytest.raises(node.JoinError, match="demo-head has no domain"):
        node.full_name("demo-head")


def test_a_command_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(node.JoinError, match=r"sh -c ended with 3: no such thing"):
        node.run("sh", "-c", "echo no such thing >&2; exit 3")
    with pytest.raises(node.JoinError, match="/does/not/exist"):
        node.run("/does/not/exist")
