# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of a machine become what the list of the cluster says, or nothing changes and the reason is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

people = load("people", ROLES / "base/files/people.py")
ME = os.getuid()
PASSWD = "root:x:0:0:root:/root:/bin/bash\nazureuser:x:1000:1000:,,,:/home/azureuser:/bin/bash\n"
GROUP = "root:x:0:\nazureuser:x:1000:\nvideo:x:44:azureuser\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Commands]:
    """A machine's files in a directory, and programs that only remember what they were asked to do."""
    for name in ("etc/sudoers.d", "etc/ssh/sshd_config.d", "etc/skel", "run", "bin", "shared/home"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    (tmp_path / "bin/bash").touch()
    (tmp_path / "etc/skel/.profile").write_text("umask 077\n")
    commands = Commands({})
    monkeypatch.setattr(people, "run", commands)
    monkeypatch.setattr(people, "_reload_sshd", lambda: commands("reload"))
    monkeypatch.setattr(people.os, "chown", lambda path, *ids, **_more: commands("chown", Path(path).name, *ids))
    return people.Places(tmp_path), commands


def listed(*users: dict[str, Any], groups: Any = (), **more: Any) -> Any:
    return people.read(json.dumps({"users": users, "groups": list(groups), "home": "/shared/home", **more}))


ALICE = {"name": "alice", "uid": 2001, "groups": ["physics"], "ssh_public_keys": ["ssh-ed25519 AAAA a"], "sudo": True}
PHYSICS = {"name": "physics", "gid": 3000}


def test_a_new_machine_gets_groups_before_the_users_that_are_in_them(machine: Any) -> None:
    places, commands = machine
    said = people.apply(listed(ALICE, groups=[PHYSICS]), places=places)
    assert said == [
        "make group physics (3000)",
        "make group alice (2001)",
        "make user alice (2001)",
        "write keys of alice",
        "write who may become root",
        "write where sshd finds keys",
    ]
    assert [argv[0] for argv in commands.ran] == ["groupadd", "groupadd", "useradd", "reload"]
    assert "--groups=physics" in commands.ran[2]
    assert "--gid=2001" in commands.ran[2]
    assert "--no-create-home" in commands.ran[2]
    root = places.root
    assert (root / "etc/azure_hpc/authorized_keys/alice").read_text() == "ssh-ed25519 AAAA a\n"
    assert (root / "etc/sudoers.d/90-azure_hpc-users").read_text() == "alice ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert (root / "etc/sudoers.d/90-azure_hpc-users").stat().st_mode & 0o777 == 0o440


def have_alice(places: Any, groups: str = "alice:x:2001:\nphysics:x:3000:alice\n", line: str = "") -> None:
    line = line or "alice:x:2001:2001::/shared/home/alice:/bin/bash\n"
    (places.root / "etc/passwd").write_text(PASSWD + line)
    (places.root / "etc/group").write_text(GROUP + groups)


def test_the_second_time_there_is_nothing_to_do(machine: Any) -> None:
    places, commands = machine
    people.apply(listed(ALICE, groups=[PHYSICS]), places=places)
    have_alice(places)
    commands.ran.clear()
    assert people.apply(listed(ALICE, groups=[PHYSICS]), places=places) == []
    assert commands.ran == []


def test_check_mode_says_the_same_and_does_nothing(machine: Any) -> None:
    places, commands = machine
    wanted = listed(ALICE, groups=[PHYSICS])
    said = people.apply(wanted, homes=True, check=True, places=places)
    assert commands.ran == []
    assert not (places.root / "etc/azure_hpc").exists()
    assert said == people.apply(wanted, homes=True, places=places)


def test_membership_follows_the_list_and_other_groups_of_the_machine_stay(machine: Any) -> None:
    places, commands = machine
    have_alice(places, "alice:x:2001:\nphysics:x:3000:alice\nold:x:3001:alice\nvideo:x:44:azureuser,alice\n")
    chemistry, old = {"name": "chemistry", "gid": 3002}, {"name": "old", "gid": 3001}
    people.apply(listed({**ALICE, "groups": ["chemistry"]}, groups=[PHYSICS, chemistry, old]), places=places)
    assert ("usermod", "--groups=chemistry,video", "alice") in commands.ran


@pytest.mark.parametrize(
    ("line", "entry", "message"),
    [
        (
            "bob:x:2001:2001::/:/bin/sh\n",
            ALICE,
            "uid 2001 of alice is the uid of bob on this machine: .*; give alice another uid, or make bob absent first",
        ),
        ("alice:x:1500:1500::/:/bin/sh\n", ALICE, "alice, who has uid 1500 on this machine: .*; give alice uid 1500"),
        ("", {**ALICE, "shell": "/bin/zsh"}, "the shell /bin/zsh of alice is not installed .*: install it or"),
        ("alice:x:1500:1500::/:/bin/sh\n", {"name": "alice", "uid": 2001, "state": "absent"}, "who has uid 1500"),
    ],
)
def test_who_collides_changes_nothing_and_hears_why(machine: Any, line: str, entry: Any, message: str) -> None:
    places, commands = machine
    (places.root / "etc/passwd").write_text(PASSWD + line)
    with pytest.raises(people.PeopleError, match=message):
        people.apply(listed(entry, {"name": "carol", "uid": 2003}, groups=[PHYSICS]), places=places)
    assert commands.ran == []
    assert not (places.root / "etc/azure_hpc").exists()


def test_a_group_that_collides_is_named_with_all_other_problems(machine: Any) -> None:
    places, _commands = machine
    (places.root / "etc/group").write_text(GROUP + "physics:x:900:\nstrangers:x:2001:\n")
    with pytest.raises(people.PeopleError) as caught:
        people.apply(listed(ALICE, groups=[PHYSICS]), places=places)
    assert str(caught.value).split("; ") == [
        "gid 3000 is wanted for group physics, which has gid 900 on this machine: give it that gid, or another name",
        "gid 2001 of group alice is the gid of strangers on this machine: give alice another number",
    ]


def test_a_home_is_made_once_and_whole(machine: Any) -> None:
    places, commands = machine
    assert "make /shared/home/alice" in people.apply(listed(ALICE, groups=[PHYSICS]), homes=True, places=places)
    home = places.root / "shared/home/alice"
    assert (home / ".profile").read_text() == "umask 077\n"
    assert home.stat().st_mode & 0o777 == 0o700
    assert {argv[1:] for argv in commands.ran if argv[0] == "chown"} == {
        (".alice.new", 2001, 2001),
        (".profile", 2001, 2001),
    }


def test_a_home_that_is_somebody_elses_is_not_given_away(machine: Any) -> None:
    places, _commands = machine
    (places.root / "shared/home/alice").mkdir()
    with pytest.raises(people.PeopleError, match=f"/shared/home/alice is there already and belongs to uid {ME}"):
        people.apply(listed(ALICE, groups=[PHYSICS]), homes=True, places=places)


def test_who_is_absent_loses_account_keys_and_root_but_not_the_home(machine: Any, monkeypatch: Any) -> None:
    places, _commands = machine
    people.apply(listed(ALICE, groups=[PHYSICS]), places=places)
    have_alice(places)
    removed = []
    monkeypatch.setattr(people, "_remove", lambda user, _people: removed.append(user.name))
    gone = {"name": "alice", "uid": 2001, "state": "absent"}
    said = people.apply(listed(gone, groups=[PHYSICS]), homes=True, places=places)
    assert said == ["remove user alice", "remove keys of alice", "remove who may become root"]
    assert removed == ["alice"]
    assert not (places.root / "etc/azure_hpc/authorized_keys/alice").exists()


@pytest.mark.parametrize(("uid", "removed"), [(ME, True), (ME + 1, False)])
def test_a_home_is_removed_only_when_asked_and_only_the_users_own(machine: Any, uid: int, removed: bool) -> None:
    places, _commands = machine
    home = places.root / "shared/home/alice"
    (home / "data").mkdir(parents=True)
    wanted = people.People((people.User("alice", uid, state="absent", remove_home=True),), home="/shared/home")
    assert people.apply(wanted, homes=False, places=places) == ["write where sshd finds keys"]
    if removed:
        assert people.apply(wanted, homes=True, places=places) == [f"remove {home}"]
    else:
        with pytest.raises(people.PeopleError, match=f"is not removed with alice: it belongs to uid {ME}"):
            people.apply(wanted, homes=True, places=places)
    assert home.exists() is not removed


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "-o", "uid": 2001},
        {"name": "root", "uid": 0},
        {"name": "alice", "uid": "2001"},
        {"name": "alice", "uid": 2001, "full_name": "a\nroot::0:0::/:/bin/sh"},
        {"name": "alice", "uid": 2001, "full_name": "a:b"},
        {"name": "alice", "uid": 2001, "ssh_public_keys": ["ssh-rsa A\nssh-rsa B"]},
        {"name": "alice", "uid": 2001, "shell": "/bin/sh -x"},
        {"name": "alice", "uid": 2001, "unknown": 1},
    ],
)
def test_a_list_that_could_do_more_than_make_users_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(people.PeopleError):
        listed(entry)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"users": 7}', '{"users": [{"name": "alice"}]}'])
def test_a_list_that_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(people.PeopleError, match="cannot be read"):
        people.read(text)
