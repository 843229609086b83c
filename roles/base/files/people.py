#!/usr/bin/python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the accounts and groups of this machine what the list of the cluster says. The same program on every machine.

``people.py FILE [--homes] [--check]`` applies the list in FILE (- is stdin). With ``--homes`` it also makes and removes
home directories (on one machine, where they are shared), with ``--check`` it only says what it would do. It prints one
JSON object: ``steps`` are what was done, ``problems`` why nothing was (exit status 1). Accounts that the
list does not name are left alone. Standard library and Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from people_list import Group, People, PeopleError, User, read


@dataclass(frozen=True)
class Places:
    """The files of this machine. A test puts them elsewhere."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """The place of an absolute path."""
        return self.root / path.lstrip("/")

    @property
    def keys(self) -> Path:
        """Where sshd finds the keys of the list: not in home directories, whose owners could lead root astray."""
        return self.at("/etc/azure_hpc/authorized_keys")


@dataclass(frozen=True)
class Accounts:
    """What this machine has: lines of /etc/passwd by name, and gid and members of groups by name."""

    users: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    groups: t.Mapping[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One thing to do, in words for people."""

    says: str
    do: t.Callable[[], object]


def observe(places: Places) -> Accounts:
    """The accounts and groups in the files of this machine."""
    users, groups = {}, {}
    for line in places.at("/etc/passwd").read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split(":")
        if len(parts) == 7:
            users[parts[0]] = parts
    for line in places.at("/etc/group").read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split(":")
        if len(parts) == 4 and parts[2].isdigit():
            groups[parts[0]] = (int(parts[2]), frozenset(filter(None, parts[3].split(","))))
    return Accounts(users, groups)


def problems(people: People, has: Accounts, places: Places) -> list[str]:
    """What stands against the list on this machine: whoever has a name or a number already. All of it at once."""
    uids = {int(parts[2]): name for name, parts in has.users.items() if parts[2].isdigit()}
    gids = {gid: name for name, (gid, _members) in has.groups.items()}
    found = []
    for user in people.users:
        owner = uids.get(user.uid) or _directory(lambda user=user: pwd.getpwuid(user.uid).pw_name, places)  # type: ignore[misc]
        if user.name in has.users and int(has.users[user.name][2]) != user.uid:
            other = has.users[user.name][2]
            found.append(
                f"uid {user.uid} is wanted for {user.name}, who has uid {other} on this machine: numbers of existing "
                f"accounts are not changed, because their files would change hands; give {user.name} uid {other}"
            )
        elif owner and owner != user.name and user.state == "present":
            found.append(
                f"uid {user.uid} of {user.name} is the uid of {owner} on this machine: accounts are not renamed; "
                f"give {user.name} another uid, or make {owner} absent first"
            )
        if user.state == "present" and not places.at(user.shell).exists():
            found.append(
                f"the shell {user.shell} of {user.name} is not installed on this machine: install it or choose another"
            )
    for group in _wanted_groups(people):
        owner = gids.get(group.gid) or _directory(lambda group=group: grp.getgrgid(group.gid).gr_name, places)  # type: ignore[misc]
        there = has.groups.get(group.name)
        if there and there[0] != group.gid:
            found.append(
                f"gid {group.gid} is wanted for group {group.name}, which has gid {there[0]} on this machine: "
                "give it that gid, or another name"
            )
        elif owner and owner != group.name and group.state == "present":
            found.append(
                f"gid {group.gid} of group {group.name} is the gid of {owner} on this machine: "
                f"give {group.name} another number"
            )
    return found


def _directory(ask: t.Callable[[], str], places: Places) -> str:
    """Who has a number in a directory service (LDAP), which is not in the files."""
    if places.root != Path("/"):
        return ""
    try:
        return ask()
    except KeyError:
        return ""


def _wanted_groups(people: People) -> list[Group]:
    """The groups of the list, and those that users have for themselves."""
    own = [Group(user.name, user.uid) for user in people.users if user.state == "present" and not user.group]
    return [*people.groups, *own]


def plan(people: People, has: Accounts, places: Places, homes: bool) -> list[Step]:
    """What has to be done, in this order: those who go, groups, those who are there, files, groups that go."""
    steps = [
        step for user in people.users if user.state == "absent" for step in _absent(user, people, has, homes, places)
    ]
    groups = _wanted_groups(people)
    for group in groups:
        if group.state == "present" and group.name not in has.groups:
            argv = ("groupadd", f"--gid={group.gid}", group.name)
            steps.append(Step(f"make group {group.name} ({group.gid})", lambda argv=argv: run(*argv)))  # type: ignore[misc]
    for user in people.users:
        if user.state == "present":
            steps += _present(user, people, has)
    steps += _files(people, places)
    for user in people.users if homes or people.local_homes else ():
        if user.state == "present":
            steps += _home(user, people, places)
    for group in people.groups:
        if group.state == "absent" and group.name in has.groups:
            name = group.name
            steps.append(Step(f"remove group {name}", lambda name=name: run("groupdel", name)))  # type: ignore[misc]
    return steps


def _present(user: User, people: People, has: Accounts) -> list[Step]:
    home = f"{people.home}/{user.name}"
    gid = {group.name: group.gid for group in _wanted_groups(people)}[user.group or user.name]
    own = {group.name for group in people.groups}
    there = has.users.get(user.name)
    now = {name for name, (_gid, members) in has.groups.items() if user.name in members}
    groups = (now - own) | set(user.groups)
    options = {"gid": str(gid), "comment": user.full_name, "home": home, "shell": user.shell}
    if there:
        before = {"gid": there[3], "comment": there[4].split(",")[0], "home": there[5], "shell": there[6]}
        changes = [f"--{key}={value}" for key, value in options.items() if before[key] != value]
        said = [key for key, value in options.items() if before[key] != value]
        if groups != now:
            changes.append(f"--groups={','.join(sorted(groups))}")
            said.append("groups: " + (", ".join(sorted(groups)) or "none"))
        if not changes:
            return []
        return [Step(f"change {user.name} ({', '.join(said)})", lambda: run("usermod", *changes, user.name))]
    argv = ["useradd", "--no-create-home", "--no-user-group", "--no-log-init", f"--uid={user.uid}"]
    # '*' is no password at all; '!' would be a locked account, which sshd refuses where it does not ask PAM.
    argv += ["--password=*", f"--groups={','.join(sorted(groups))}"]
    argv += [f"--{key.replace('home', 'home-dir')}={value}" for key, value in options.items()]
    return [Step(f"make user {user.name} ({user.uid})", lambda: run(*argv, user.name))]


def _absent(user: User, people: People, has: Accounts, homes: bool, places: Places) -> list[Step]:
    steps = []
    if user.name in has.users:
        steps.append(Step(f"remove user {user.name}", lambda: _remove(user, people)))
    home = places.at(people.home) / user.name
    if user.remove_home and (homes or people.local_homes) and home.is_dir() and not home.is_symlink():
        if home.stat().st_uid != user.uid:
            raise PeopleError(f"{home} is not removed with {user.name}: it belongs to uid {home.stat().st_uid}")
        steps.append(Step(f"remove {home}", lambda: shutil.rmtree(home)))
    return steps


def _remove(user: User, people: People) -> None:
    """Processes first: userdel refuses while there are any, and jobs of somebody who is gone must not go on."""
    for _attempt in range(20):
        if not _kill_all(user.uid):
            break
        time.sleep(0.1)
    run("userdel", user.name)
    # Some distributions remove the user's own group, some do not.
    with contextlib.suppress(KeyError):
        if grp.getgrnam(user.name).gr_gid == user.uid and user.name not in {group.name for group in people.groups}:
            run("groupdel", user.name)


def _kill_all(uid: int) -> int:
    """Kill all processes of a uid; how many there were."""
    found = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                os.kill(int(entry.name), signal.SIGKILL)
                found += 1
    return found


def _files(people: People, places: Places) -> list[Step]:
    """Keys, who may become root, and where sshd looks for keys."""
    steps = []
    for user in people.users:
        keys = "".join(f"{key.strip()}\n" for key in user.ssh_public_keys) if user.state == "present" else ""
        steps += _write(places.keys / user.name, keys, f"keys of {user.name}", 0o644)
    rules = "".join(
        f"{user.name} ALL=(ALL:ALL) NOPASSWD: ALL\n"
        for user in sorted(people.users, key=lambda user: user.name)
        if user.sudo and user.state == "present"
    )
    steps += _write(places.at("/etc/sudoers.d/90-azure_hpc-users"), rules, "who may become root", 0o440)
    sshd = places.at("/etc/ssh/sshd_config.d")
    if people.users and sshd.is_dir():
        text = f"AuthorizedKeysFile .ssh/authorized_keys {Path('/etc/azure_hpc/authorized_keys')}/%u\n"
        steps += _write(sshd / "20-azure_hpc-users.conf", text, "where sshd finds keys", 0o644, _reload_sshd)
    return steps


def _write(path: Path, text: str, what: str, mode: int, then: t.Optional[t.Callable[[], object]] = None) -> list[Step]:
    """A step that makes the file say that, all or nothing; '' means that there is none."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return []
    except FileNotFoundError:
        if not text:
            return []

    def do() -> None:
        if not text:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.replace(fresh, path)
        if then:
            then()

    return [Step(f"{'write' if text else 'remove'} {what}", do)]


def _reload_sshd() -> None:
    for unit in ("ssh.service", "sshd.service"):
        if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0:
            run("systemctl", "reload", unit)
            return


def _home(user: User, people: People, places: Places) -> list[Step]:
    base = places.at(people.home)
    home = base / user.name
    gid = {group.name: group.gid for group in _wanted_groups(people)}[user.group or user.name]
    if os.path.lexists(home):
        owner = home.lstat().st_uid
        if owner != user.uid or home.is_symlink():
            raise PeopleError(
                f"{people.home}/{user.name} is there already and belongs to uid {owner}, not to {user.uid}: it is not "
                "touched; move it away or give it to its owner"
            )
        return []

    def do() -> None:
        # Under another name until it is whole: a run that is killed leaves no half home behind.
        fresh = base / f".{user.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        base.mkdir(parents=True, exist_ok=True)
        skeleton = places.at("/etc/skel")
        if skeleton.is_dir():
            shutil.copytree(skeleton, fresh, symlinks=True)
        else:
            fresh.mkdir()
        fresh.chmod(0o700)
        for path in (fresh, *fresh.rglob("*")):
            os.chown(path, user.uid, gid, follow_symlinks=False)
        os.rename(fresh, home)

    return [Step(f"make {people.home}/{user.name}", do)]


def run(*argv: str) -> str:
    """Run a command. Raises PeopleError with what it said when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeopleError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise PeopleError(f"{argv[0]} {argv[-1]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def apply(people: People, homes: bool = False, check: bool = False, places: t.Optional[Places] = None) -> list[str]:
    """Make this machine have these people. Answers what was done (or with ``check`` would be).

    Raises PeopleError, before anything is changed, when one of them collides with what the machine has.
    """
    places = places or Places()
    lock = places.at("/run/azure_hpc-people.lock")
    with open(lock, "w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        has = observe(places)
        wrong = problems(people, has, places)
        if wrong:
            raise PeopleError("; ".join(wrong))
        steps = plan(people, has, places, homes)
        for step in steps if not check else ():
            try:
                step.do()
            except OSError as error:
                raise PeopleError(f"cannot {step.says}: {error}") from error
    return [step.says for step in steps]


def main(arguments: t.Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="people.py")
    parser.add_argument("file", type=Path)
    parser.add_argument("--homes", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    try:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
        steps = apply(read(text), options.homes, options.check)
    except (PeopleError, OSError) as error:
        print(json.dumps({"steps": [], "problems": str(error).split("; ")}))
        print(f"the users of the cluster cannot be made: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"steps": steps, "problems": []}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
