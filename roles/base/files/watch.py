# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node looks after once it has mounted: that its file systems answer, that its disks have room, and whether
Azure is about to delete it, so that it leaves its file systems before. Standard library and Python 3.9.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
import typing as t

import mounting
import node
from node import Configuration, JoinError, Mount, say

SERVICE = "azure-hpc-watch.service"
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
# Seconds. Azure waits at least five minutes for a machine that it has told of its end.
INTERVAL = float(os.environ.get("AZURE_HPC_WATCH_SECONDS", "60"))
LISTEN = min(5.0, INTERVAL / 12)
ANSWER = 20.0
STRIKES = 3
ROOM = 64 * 2**20  # bytes
STOPPING = 60
# Servers of these wait for clients that vanish, and clients may hold what is not written yet.
LEAVES = ("lustre", "blobfuse", "beegfs")


def keep_watching() -> None:
    """Begin, in a service of its own, until the machine is switched off."""
    node.run("systemctl", "start", "--no-block", SERVICE)


def watch(
    configuration: Configuration,
    tell: t.Callable[[str], None],
    services: t.Sequence[str],
    keep: t.Optional[t.Callable[[], None]] = None,
) -> None:
    """Look after all of it until the machine has left its file systems. ``services`` use them. ``keep`` sees to it that
    the scheduler still has this machine."""
    strikes: dict[str, int] = {}
    name = node.read_metadata().name
    listens = any(spec.type in LEAVES for spec in configuration.mounts)
    due = 0.0
    while True:
        if time.monotonic() >= due:
            due = time.monotonic() + INTERVAL * node.SPREAD.uniform(0.8, 1.2)
            tell(health(configuration, strikes))
            _keep(keep)
        events = ending(name) if listens else []
        if events:
            say("Azure is about to delete this machine")
            leave(configuration, services)
            acknowledge(events)
            return
        time.sleep(LISTEN if listens else max(due - time.monotonic(), 1.0))


def _keep(keep: t.Optional[t.Callable[[], None]]) -> None:
    try:
        if keep:
            keep()
    except (JoinError, OSError, KeyError) as error:
        say(f"cannot see whether the scheduler still has this machine: {error}")


def health(configuration: Configuration, strikes: dict[str, int]) -> str:
    """What stands against jobs on this node, '' if nothing does. ``strikes`` remembers who did not answer before."""
    found = []
    there = mounting.mounted()
    for spec in mounting.ordered(configuration.mounts):
        problem, final = _problem(spec, configuration, there)
        strikes[spec.path] = strikes.get(spec.path, 0) + 1 if problem else 0
        if problem and (final or strikes[spec.path] >= STRIKES):
            found.append(f"{mounting.named(spec)}: {problem}")
    return "; ".join([*found, *full(configuration.mounts)])


def _problem(spec: Mount, configuration: Configuration, there: t.Collection[str]) -> tuple[str, bool]:
    """What is wrong with one file system, and whether that does not go away by itself."""
    if spec.path.rstrip("/") in there:
        return look(spec.path)
    if spec.type == "local" and spec.settings.get("missing") == "skip":
        return "", False
    try:
        mounting.mount(spec, configuration)
    except (JoinError, OSError, KeyError) as error:
        return f"is not mounted any more: {error}", True
    return "", False


def look(path: str) -> tuple[str, bool]:
    """Ask a file system for its size: what is wrong, and whether that does not go away by itself.

    Done by a process of its own, for one that asks a dead server may not come back.
    """
    asking = subprocess.Popen(
        ["stat", "--file-system", "--format=%s", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _unused, said = asking.communicate(timeout=ANSWER)
    except subprocess.TimeoutExpired:
        asking.kill()  # and not waited for
        return f"does not answer within {ANSWER:.0f} s", False
    return (said.strip().rsplit(": ", 1)[-1] or "cannot be read", True) if asking.returncode else ("", False)


def full(mounts: t.Iterable[Mount]) -> list[str]:
    """The local disks without room for a job's files."""
    found = []
    there = mounting.mounted()
    local = (spec.path.rstrip("/") for spec in mounts if spec.type == "local")
    for path in ("/", "/tmp", *(path for path in local if path in there)):  # noqa: S108
        try:
            has = os.statvfs(path)
        except OSError as error:
            found.append(f"{path}: {error.strerror}")
            continue
        if has.f_bavail * has.f_frsize < ROOM:
            found.append(f"{path}: the disk is full: remove what ended jobs left there")
        elif has.f_files and not has.f_favail:
            found.append(f"{path}: no more files can be made: remove what ended jobs left there")
    return found


def ending(name: str) -> list[str]:
    """The events by which Azure announces that it deletes this machine; none if the service does not answer."""
    try:
        events = json.loads(_ask("GET"))["Events"]
        return [
            str(event["EventId"])
            for event in events
            if event["EventType"] == "Terminate"
            and name.casefold() in [str(one).casefold() for one in event["Resources"]]
        ]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return []


def acknowledge(events: t.Iterable[str]) -> None:
    """Azure need not wait any longer."""
    body = json.dumps({"StartRequests": [{"EventId": event} for event in events]})
    try:
        _ask("POST", body)
    except (OSError, http.client.HTTPException) as error:
        say(f"Azure does not hear that this machine is ready to go: {error}")


def _ask(method: str, body: t.Optional[str] = None) -> str:
    connection = http.client.HTTPConnection(node.METADATA, timeout=10)
    try:
        connection.request(method, EVENTS, body=body, headers={"Metadata": "true"})
        return connection.getresponse().read().decode("utf-8", "replace")
    finally:
        connection.close()


def leave(configuration: Configuration, services: t.Sequence[str]) -> None:
    """Stop what uses the file systems, and unmount them."""
    for service in ("azure-hpc-join.service", "azure-hpc-people.timer", *services):
        try:
            node.run("systemctl", "stop", service, timeout=STOPPING)
        except JoinError as error:
            say(str(error))
    mounting.unmount_all(configuration.mounts)
