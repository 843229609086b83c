"""The people of a cluster: what is valid is read, every mistake is named where it is."""

from __future__ import annotations

import base64
import struct
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, users

from tests.unit.plugins.module_utils.model import definitions


def key(kind: str = "ssh-ed25519", seed: bytes = b"\x07", inside: str = "") -> str:
    """The line of a public key that has the form of one."""
    name = (inside or kind).encode()
    raw = struct.pack(">I", len(name)) + name + struct.pack(">I", 32) + seed * 32
    return f"{kind} {base64.b64encode(raw).decode()} somebody"


def mistakes(people: list[dict[str, t.Any]], groups: list[dict[str, t.Any]] | None = None) -> list[str]:
    data = {**definitions.definition(), "users": people, "groups": groups or []}
    return [str(found) for found in definition.check(data, definitions.CATALOG)]


def test_people_are_read_with_their_defaults() -> None:
    data = {
        **definitions.definition(),
        "groups": [{"name": "physics", "gid": 3000}],
        "users": [
            {"name": "alice", "uid": 2001, "groups": ["physics"], "ssh_public_keys": [key()], "full_name": "Alice Ä."},
            {"name": "bob", "uid": 2002, "group": "physics", "shell": "/bin/sh", "sudo": True},
            {"name": "carol", "uid": 2003, "state": "absent", "remove_home": True},
        ],
    }
    cluster = definition.read(data, definitions.CATALOG)
    assert cluster.groups == (users.Group("physics", 3000),)
    assert cluster.users[0] == users.User(
        "alice", 2001, groups=("physics",), ssh_public_keys=(key(),), full_name="Alice Ä."
    )
    assert cluster.users[1].sudo
    assert cluster.users[1].group == "physics"
    assert cluster.users[2].remove_home


def test_every_mistake_is_named_with_its_path() -> None:
    found = mistakes(
        [
            {"name": "alice", "uid": 2001, "groups": ["phisics"]},
            {"name": "bob", "uid": 2001},
            {"name": "alice", "uid": 2002},
            {"name": "slurm", "uid": 2003},
            {"name": "azureuser", "uid": 2004},
            {"name": "Eve", "uid": 999},
            {"name": "dave", "uid": 65534, "remove_home": True},
            {"name": "erin", "uid": 3000, "shell": "bash", "full_name": "x:0:0:root"},
            {"name": "frank", "uid": "2009", "ssh_public_keys": ["ssh-ed25519 AAAA", 7], "nickname": "f"},
            {"name": "grace", "uid": 2010, "groups": ["gone"]},
            {"name": "physics", "uid": 2011},
        ],
        [
            {"name": "physics", "gid": 3000},
            {"name": "wheel", "gid": 3001},
            {"name": "chemistry", "gid": 3000},
            {"name": "gone", "gid": 3002, "state": "absent"},
        ],
    )
    assert found == [
        "groups[1].name: wheel is a name that the system, or a program that the cluster uses, has",
        "groups[2].gid: 3000 is the gid of groups[0] already",
        "users[0].groups[0]: there is no group phisics (did you mean physics?)",
        "users[1].uid: 2001 is the uid of users[0] already",
        "users[2].name: alice is the name of users[0] already",
        "users[3].name: slurm is a name that the system, or a program that the cluster uses, has",
        "users[4].name: azureuser is the administrator, whom Azure makes",
        "users[5].name: must be a-z, 0-9, _ and -, at most 32, and not begin with a digit or -",
        "users[5].uid: must be at least 1001, not 999",
        "users[6].remove_home: is for state absent only",
        "users[6].uid: 65534 belongs to the system, as all of 60000 to 65535",
        "users[7].full_name: must be at most 100 characters without : , = and quotes",
        "users[7].shell: must be the absolute path of a program",
        "users[7].uid: 3000 is the gid of groups[0], and the user's own group would have it, too",
        "users[8].nickname: unknown key (did you mean name?)",
        "users[8].ssh_public_keys[0]: is cut off or changed: what follows ssh-ed25519 is no key",
        "users[8].ssh_public_keys[1]: must be a public key line such as ssh-ed25519 AAAA... name, not a number",
        "users[8].uid: must be a whole number, not a text",
        "users[9].groups[0]: the group gone is to be absent",
        "users[10].name: physics is the name of groups[0]; say group: physics if that is meant",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (key(), ""),
        (key("ssh-rsa"), ""),
        (key("sk-ssh-ed25519@openssh.com"), ""),
        ("", "is not a public key line"),
        (key() + "\nssh-rsa AAAA", "is not a public key line"),
        ('command="/bin/sh" ' + key(), "does not begin with the type of a key"),
        (key("ssh-dss"), "does not begin with the type of a key"),
        (key(inside="ssh-rsa"), "is cut off or changed"),
        (key()[:40], "is cut off or changed"),
        (key().replace("AAAA", "AA*A"), "is cut off or changed"),
    ],
)
def test_a_line_that_is_no_key_says_why(line: str, message: str) -> None:
    assert users.key_mistake(line).startswith(message)
    assert bool(users.key_mistake(line)) == bool(message)


@pytest.mark.parametrize("name", ["password", "passwd", "private_key"])
def test_a_secret_of_a_person_is_refused_and_not_repeated(name: str) -> None:
    (found,) = mistakes([{"name": "alice", "uid": 2001, name: "hunter2"}])
    assert found.startswith(f"users[0].{name}: looks like a secret")
    assert "hunter2" not in found


def test_a_private_key_in_place_of_a_public_one_is_refused_without_being_shown() -> None:
    (found,) = mistakes([{"name": "alice", "uid": 2001, "ssh_public_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}])
    assert found == "users[0].ssh_public_keys[0]: is a private key; secrets do not belong into the cluster definition"


def test_the_same_key_twice_is_a_mistake() -> None:
    found = mistakes([{"name": "alice", "uid": 2001, "ssh_public_keys": [key(), key(seed=b"x"), key()]}])
    assert found == ["users[0].ssh_public_keys[2]: is the same key as ssh_public_keys[0]"]
