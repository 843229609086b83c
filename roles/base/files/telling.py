# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node says why it must not take jobs: to its scheduler where that takes it from a node, else to the head.

The head keeps it for the next pass, which takes the node out of service and tells the owners of jobs. That needs no
right to change anything, no file system of the head, and nothing of the scheduler: it works before the node has joined,
too. Standard library and Python 3.9.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import typing as t

import node
from node import JoinError, Refuse, say

PORT = 6829
# Only root sends from such ports: jobs cannot speak for their node.
RESERVED = range(512, 1024)
TIMEOUT = 10.0  # seconds
LENGTH = 1000
HEARD = "heard"
# What still holds is said again after that many seconds: the head forgets what it has not heard for a week.
REPEAT = 86400


def tell(kind: str, reason: str, refuse: t.Optional[Refuse] = None) -> None:
    """Have this node get no jobs for a reason of that kind (accounts, join, mounts), with '' no more for it.

    ``refuse`` tells the scheduler all reasons that hold, and '' when there is none any more; without it, or where it
    fails, the head is told. Only news are told. That nobody can be told now is no reason to fail: it is tried again
    the next time.
    """
    now = _all_reasons(kind, reason)
    # For others than nodes' owners: HTCondor's startd puts it into the machine's ad.
    node.write_if_changed(node.RUN / "unwell", now)
    before = _known("" if refuse else None)
    if now == before:
        return
    if now:
        say(f"this node must not take jobs: {now}")
    try:
        if refuse:
            _tell_scheduler(now, refuse)
        else:
            tell_head(now)
        _told().write_text(now, encoding="utf-8")
    except (JoinError, OSError, KeyError) as error:
        if now or before:  # else nothing is lost yet
            say(f"the scheduler cannot be told: {error}")


def say_again() -> None:
    """Have whatever still stands against this node told once more, now that the scheduler does more about it."""
    _told().unlink(missing_ok=True)


def stands() -> bool:
    """Whether something is said of this node already, beside why it does not join."""
    marks = node.RUN / "refused"
    return marks.is_dir() and any(mark.name != "join" for mark in marks.iterdir())


def _told() -> t.Any:
    return node.RUN / "told"


def _all_reasons(kind: str, reason: str) -> str:
    marks = node.RUN / "refused"
    marks.mkdir(mode=0o755, parents=True, exist_ok=True)
    if reason:
        node.write_if_changed(marks / kind, " ".join(reason.split()))
    else:
        (marks / kind).unlink(missing_ok=True)
    return "; ".join(f"{mark.name}: {mark.read_text(encoding='utf-8')}" for mark in sorted(marks.iterdir()))


def _known(unless_told: t.Optional[str]) -> t.Optional[str]:
    """What was told last; ``unless_told`` if that is not known, for instance since the machine was started."""
    try:
        said = str(_told().read_text(encoding="utf-8"))
        old = time.time() - _told().stat().st_mtime > REPEAT
    except FileNotFoundError:
        return unless_told
    return None if said and old else said


def _tell_scheduler(now: str, refuse: Refuse) -> None:
    """Tell the scheduler; while that cannot be, at least the head knows, and so do passes."""
    instead = node.RUN / "told_head"
    try:
        refuse(now)
    except (JoinError, OSError, KeyError):
        if now:
            tell_head(now)
            instead.touch()
        raise
    if instead.exists():
        tell_head("")
        instead.unlink()


def tell_head(reason: str) -> None:
    """Tell the head why this machine must not take jobs, '' if it may. Raises JoinError if it does not hear."""
    head = node.read_configuration(node.CONFIGURATION, node.known).head
    try:
        with _line((node.address(head), PORT)) as line:
            line.sendall(reason.encode()[:LENGTH])
            line.shutdown(socket.SHUT_WR)
            answer = line.recv(200).decode("utf-8", "replace").strip()
    except OSError as error:
        raise JoinError(f"{head} does not hear what this node says (port {PORT}): {error}") from error
    if answer != HEARD:
        raise JoinError(f"{head} answers: {answer or 'nothing'}")


def _line(address: tuple[str, int]) -> socket.socket:
    """A connection from a port that only root has."""
    for port in node.SPREAD.sample(RESERVED, 30):
        line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        line.settimeout(TIMEOUT)
        try:
            line.bind(("", port))
            line.connect(address)
        except OSError as error:
            line.close()
            if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                continue
            raise
        return line
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
