# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a cluster's people as values, and what must not be in it: its texts reach commands and files of root.

It lies beside people.py, which makes accounts of it. Standard library and Python 3.9.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

# As the cluster definition refuses it, too (model/reading.py).
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
SHELL = re.compile(r"(?:/[A-Za-z0-9_.+-]+)+")
LEAST_ID = 1000


class PeopleError(Exception):
    """Why the list cannot be applied to this machine."""


@dataclass(frozen=True)
class Group:
    """As in the cluster definition."""

    name: str
    gid: int
    state: str = "present"


@dataclass(frozen=True)
class User:
    """As in the cluster definition."""

    name: str
    uid: int
    group: str = ""
    groups: t.Sequence[str] = ()
    full_name: str = ""
    ssh_public_keys: t.Sequence[str] = ()
    shell: str = "/bin/bash"
    sudo: bool = False
    state: str = "present"
    remove_home: bool = False


@dataclass(frozen=True)
class People:
    """The list. Home directories are below ``home``; with ``local_homes`` every machine makes its own."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    home: str = "/home"
    local_homes: bool = False


def read(text: str) -> People:
    """The list from its JSON. Raises PeopleError for anything that must not reach a command or a file."""
    try:
        data = json.loads(text)
        users = tuple(User(**entry) for entry in data.pop("users", ()))
        groups = tuple(Group(**entry) for entry in data.pop("groups", ()))
        people = People(users, groups, **data)
    except (ValueError, TypeError, AttributeError) as error:
        raise PeopleError(f"the list of users cannot be read: {error}") from error
    wrong = list(_malformed(people))
    if wrong:
        raise PeopleError("; ".join(wrong))
    return people


def _malformed(people: People) -> t.Iterator[str]:
    for kind, entries, key in (("user", people.users, "uid"), ("group", people.groups, "gid")):
        names: set[str] = set()
        numbers: dict[int, str] = {}
        for entry in entries:
            name, number = str(entry.name), getattr(entry, key)
            if not NAME.fullmatch(name):
                yield f"{name!r} is not a name of a {kind}"
            elif not isinstance(number, int) or number < LEAST_ID:
                yield f"{key} of {name} must be a number of at least {LEAST_ID}"
            elif name in names or numbers.setdefault(number, name) != name:
                yield f"{kind} {name} has a name or {key} {number} that another one in the list has"
            names.add(name)
    for user in people.users:
        lines = [user.full_name, user.shell, *user.ssh_public_keys]
        if any(not isinstance(line, str) or CONTROL.search(line) for line in lines) or ":" in user.full_name:
            yield f"user {user.name} has a text with a line break, a control character or a colon"
        elif not SHELL.fullmatch(user.shell):
            yield f"the shell of {user.name} must be an absolute path"
    if not SHELL.fullmatch(people.home):
        yield "home must be an absolute path"
