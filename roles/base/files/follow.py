# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a compute node follows the list of the cluster's people, whatever the scheduler: as it joins, and from then on.

The list, and what sssd needs where people come from a directory service, lie on the head's private export. Nobody
connects to a node: a timer looks. Standard library and Python 3.9.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import node
import people as _people
import people_list
import telling
from node import Configuration, JoinError, Refuse

SSSD = Path("/etc/sssd/sssd.conf")
PROGRAM = Path("/usr/sbin/sssd")
TIMER = "azure-hpc-people.timer"


class Refused(JoinError):
    """The list collides with what this machine has: it must not take jobs."""


def people(path: Path, refuse: t.Optional[Refuse] = None, attempts: int = 20) -> None:
    """Have the accounts of the list; ``path`` is join.json.

    When they collide with this machine's, nothing is changed, ``refuse`` is told why, and Refused is raised. It is told
    '' when nothing stands against the list any more.
    """
    try:
        _take(node.read_configuration(path, node.known), attempts)
    except Refused as error:
        telling.tell("accounts", str(error), refuse)
        raise
    telling.tell("accounts", "", refuse)


def keep_following() -> None:
    """Look again and again from now on, until the machine is switched off."""
    node.run("systemctl", "start", "--no-block", TIMER)


def _take(configuration: Configuration, attempts: int) -> None:
    with node.private_export(configuration, attempts) as point:
        text = _text(point / "people.json")
        changed = _take_directory(point / "sssd")
    if changed:
        node.run("systemctl", "enable", "sssd.service")
        node.run("systemctl", "restart", "sssd.service")
        node.say("sssd knows the directory service of the cluster")
    if not text:
        return
    try:
        for done in _people.apply(people_list.read(text)):
            node.say(done)
    except people_list.PeopleError as error:
        raise Refused(f"the users of the cluster cannot be made on this machine: {error}") from error


def _take_directory(source: Path) -> bool:
    """sssd's configuration and the certificate of its server, where the head gives some."""
    changed = False
    if (source / "sssd.conf").exists() and not PROGRAM.exists():
        raise Refused("people come from a directory service, and this machine's image has no sssd: bake it anew")
    for name, target in (("ca.pem", SSSD.with_name("azure_hpc_ca.pem")), ("sssd.conf", SSSD)):
        if (source / name).exists():
            target.parent.mkdir(mode=0o750, exist_ok=True)
            changed = node.install_secret(source / name, target, f"sssd's {name}") or changed
    return changed


def _text(path: Path) -> str:
    """What a file says, '' if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
