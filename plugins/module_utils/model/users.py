# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a cluster: accounts and groups with the same numbers on every machine, and how they are read."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import struct
import typing as t
from dataclasses import dataclass

from .reading import Mistakes, Section, near, word

NAME = r"[a-z_][a-z0-9_-]{0,31}"
NAME_RULE = "must be a-z, 0-9, _ and -, at most 32, and not begin with a digit or -"
SHELL = r"(?:/[A-Za-z0-9_.+-]+)+"
FIRST_ID = 1001  # Azure gives 1000 to the administrator; below are the system's
LAST_ID = 2**31 - 2
# Debian's static numbers, systemd's homes and dynamic users, nobody and the two that mean "no number".
_TAKEN_IDS = range(60_000, 65_536)
STATES = ("present", "absent")
KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
# Accounts and groups that distributions, schedulers and databases bring, or may bring with an update.
SYSTEM_NAMES = frozenset(
    """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc _apt nobody nogroup nfsnobody
    adm tty disk kmem dialout fax voice cdrom floppy tape sudo wheel audio dip operator src shadow utmp video sasl
    plugdev staff users input sgx clock kvm render crontab netdev docker lxd libvirt google-sudoers admin mem lock
    shutdown halt ftp wbpriv ssh_keys printadmin systemd-journal systemd-network systemd-resolve systemd-timesync
    systemd-coredump systemd-oom messagebus dbus sshd ssh _ssh polkitd tss uuidd syslog landscape pollinate tcpdump
    chrony _chrony ntp rpc rpcuser _rpc statd munge slurm mysql redis postgres openldap sssd ldap pbsdata pbs sgeadmin
    gridengine condor htcondor lsfadmin prometheus grafana nvidia-persistenced unbound dnsmasq avahi rtkit geoclue
    cockpit-ws cockpit-wsinstance setroubleshoot clevis colord gluster qemu saslauth sandbox
    """.split()
)


@dataclass(frozen=True)
class Group:
    """A group of people. With ``state`` absent it is taken away from every machine."""

    name: str
    gid: int
    state: str = "present"


@dataclass(frozen=True)
class User:
    """An account, the same on every machine, without a password: people come in by ``ssh_public_keys``.

    ``group`` is the primary one, of the list of groups; with '' the user has one of the own name whose number is
    ``uid``. ``sudo`` is root on every machine. With ``state`` absent the account is taken away, and its home
    directory only with ``remove_home``.
    """

    name: str
    uid: int
    group: str = ""
    groups: tuple[str, ...] = ()
    full_name: str = ""
    ssh_public_keys: tuple[str, ...] = ()
    shell: str = "/bin/bash"
    sudo: bool = False
    state: str = "present"
    remove_home: bool = False


def read_groups(top: Section) -> tuple[Group, ...]:
    """The list ``groups`` of the definition."""
    return tuple(_group(Section(top.mistakes, item, path, _keys(Group))) for path, item in top.items("groups", ()))


def read_users(top: Section) -> tuple[User, ...]:
    """The list ``users`` of the definition."""
    return tuple(_user(Section(top.mistakes, item, path, _keys(User))) for path, item in top.items("users", ()))


def _keys(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _group(section: Section) -> Group:
    return Group(_name(section), _id(section, "gid"), section.text("state", "present", choices=STATES))


def _user(section: Section) -> User:
    state = section.text("state", "present", choices=STATES)
    remove_home = section.flag("remove_home", False)
    if remove_home and state != "absent" and not section.mistakes.at(section.at("state")):
        section.wrong("remove_home", "is for state absent only")
    return User(
        name=_name(section),
        uid=_id(section, "uid"),
        group=section.text("group", "", NAME, NAME_RULE),
        groups=section.texts("groups", pattern=NAME, rule=NAME_RULE),
        full_name=section.text(
            "full_name", "", r"[^:,=\"\\]{0,100}", "must be at most 100 characters without : , = and quotes"
        ),
        ssh_public_keys=_public_keys(section),
        shell=section.text("shell", "/bin/bash", SHELL, "must be the absolute path of a program"),
        sudo=section.flag("sudo", False),
        state=state,
        remove_home=remove_home,
    )


def _name(section: Section) -> str:
    name = section.text("name", pattern=NAME, rule=NAME_RULE)
    if name in SYSTEM_NAMES or name.startswith("systemd-"):
        section.wrong("name", f"{name} is a name that the system, or a program that the cluster uses, has")
    return name


def _id(section: Section, key: str) -> int:
    number = section.number(key, low=FIRST_ID, high=LAST_ID)
    if number in _TAKEN_IDS:
        section.wrong(key, f"{number} belongs to the system, as all of {_TAKEN_IDS[0]} to {_TAKEN_IDS[-1]}")
    return number


def _public_keys(section: Section) -> tuple[str, ...]:
    found: dict[str, int] = {}
    for index, (path, item) in enumerate(section.items("ssh_public_keys", ())):
        if section.mistakes.at(path):
            continue  # a private key, which was noted already
        message = key_mistake(item)
        line = item.strip() if isinstance(item, str) else ""
        if message:
            section.mistakes.add(path, message)
        elif line in found:
            section.mistakes.add(path, f"is the same key as ssh_public_keys[{found[line]}]")
        else:
            found[line] = index
    return tuple(found)


def key_mistake(line: t.Any) -> str:
    """What is wrong with the line of a public key, '' if nothing is.

    Options before the type (``command=...``) are refused: sshd would carry them out.
    """
    example = "a public key line such as ssh-ed25519 AAAA... name"
    if not isinstance(line, str):
        return f"must be {example}, not {word(line)}"
    parts = line.strip().split(None, 2)
    if len(parts) < 2 or any(ord(char) < 32 or ord(char) == 127 for char in line.strip()):
        return f"is not {example}"
    if parts[0] not in KEY_TYPES:
        return f"does not begin with the type of a key: {', '.join(KEY_TYPES)}"
    try:
        raw = base64.b64decode(parts[1], validate=True)
        (length,) = struct.unpack_from(">I", raw)
    except (binascii.Error, ValueError, struct.error):
        return f"is cut off or changed: what follows {parts[0]} is no key"
    if raw[4 : 4 + length] != parts[0].encode() or len(raw) < 4 + length + 32:
        return f"is cut off or changed: what follows {parts[0]} is no key"
    return ""


def check(mistakes: Mistakes, users: t.Sequence[User], groups: t.Sequence[Group], admin: str) -> None:
    """Names and numbers of people among each other. Where a value is wrong already, no rule repeats it."""
    _once(mistakes, "groups", [group.name for group in groups], "name")
    _once(mistakes, "users", [user.name for user in users], "name")
    _once(mistakes, "users", [user.uid for user in users], "uid")
    for kind, names in (("users", [user.name for user in users]), ("groups", [group.name for group in groups])):
        for index, name in enumerate(names):
            if name and name == admin:
                mistakes.add(f"{kind}[{index}].name", f"{name} is the administrator, whom Azure makes")
    _group_numbers(mistakes, users, groups)
    for index, user in enumerate(users):
        if user.state == "present":
            _memberships(mistakes, f"users[{index}]", user, groups)


def _once(mistakes: Mistakes, kind: str, values: t.Sequence[t.Any], key: str) -> None:
    first: dict[t.Any, int] = {}
    for index, value in enumerate(values):
        if value and first.setdefault(value, index) != index and not mistakes.at(f"{kind}[{index}].{key}"):
            mistakes.add(f"{kind}[{index}].{key}", f"{value} is the {key} of {kind}[{first[value]}] already")


def _group_numbers(mistakes: Mistakes, users: t.Sequence[User], groups: t.Sequence[Group]) -> None:
    """gids, those of the groups that users have for themselves among them."""
    numbers: dict[int, str] = {}
    names = {group.name: index for index, group in enumerate(groups)}
    for index, group in enumerate(groups):
        at = f"groups[{index}]"
        if group.gid and numbers.setdefault(group.gid, at) != at:
            mistakes.add(f"{at}.gid", f"{group.gid} is the gid of {numbers[group.gid]} already")
    for index, user in enumerate(users):
        if user.group or not user.uid or user.state != "present":
            continue
        at = f"users[{index}]"
        if user.name in names:
            message = f"{user.name} is the name of groups[{names[user.name]}]; say group: {user.name} if that is meant"
            mistakes.add(f"{at}.name", message)
        elif numbers.setdefault(user.uid, at) != at and numbers[user.uid].startswith("groups"):
            message = f"{user.uid} is the gid of {numbers[user.uid]}, and the user's own group would have it, too"
            mistakes.add(f"{at}.uid", message)


def _memberships(mistakes: Mistakes, at: str, user: User, groups: t.Sequence[Group]) -> None:
    known = {group.name: group for group in groups}
    wanted = [(f"{at}.group", user.group)] if user.group else []
    wanted += [(f"{at}.groups[{index}]", name) for index, name in enumerate(user.groups)]
    for path, name in wanted:
        if name not in known:
            mistakes.add(path, f"there is no group {name}{near(name, known)}")
        elif known[name].state == "absent":
            mistakes.add(path, f"the group {name} is to be absent")
