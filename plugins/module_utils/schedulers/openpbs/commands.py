# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PBS commands as argument lists. Every value becomes part of one argument; no shell ever sees one.

qmgr reads a small language of its own: names and values that go into it are checked (`update`) or reduced to harmless
characters (`harmless`) before.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command

from . import formats

# Where packages of OpenPBS and PBS Professional put their commands.
FOLDERS: tuple[str, ...] = ("/opt/pbs/bin", "/opt/pbs/default/bin")
# They would send the commands to another server.
UNSET_PREFIXES: tuple[str, ...] = ("PBS_SERVER", "PBS_DEFAULT", "PBS_PRIMARY", "PBS_SECONDARY")
UNANSWERED: tuple[str, ...] = ("cannot connect to server", "Connection refused", "Couldn't connect to cluster")

# Resources of nodes that keep what comments and states do not: PBS loses both when its server is restarted.
DRAIN_RESOURCE = "azure_hpc_drain"
ADDRESS_RESOURCE = "azure_hpc_address"
# pbsnodes cuts a comment there.
REASON_LENGTH = 79
_NODES_AT_ONCE = 50


def show_jobs() -> Command:
    """All jobs that have not ended. An array is one entry, however many tasks it has."""
    return Command(formats.JOBS, ("qstat", "-f", "-F", "json"), 120)


def show_jobs_as_text() -> Command:
    """The same with one line for each attribute, nothing cut, nothing that users chose understood as anything."""
    return Command(formats.JOBS_TEXT, ("qstat", "-fw"), 120)


def show_nodes() -> Command:
    """All vnodes. Without ``v`` the vnodes of a host would be merged, and with them their states."""
    return Command(formats.NODES, ("pbsnodes", "-av", "-F", "json"), 120)


def show_server() -> Command:
    """The server with its limits and resources."""
    return Command(formats.SERVER, ("qstat", "-Bf", "-F", "json"))


def show_queues() -> Command:
    """All queues with their limits and resources."""
    return Command(formats.QUEUES, ("qstat", "-Qf", "-F", "json"))


def show_scheduler() -> Command:
    """How the scheduler treats placement sets."""
    return Command(formats.SCHEDULER, ("qmgr", "-c", "list sched"))


def show_resources() -> Command:
    """The definitions of custom resources, among others: which are consumed, and where."""
    return Command(formats.DEFINITIONS, ("qmgr", "-c", "print server"))


def create(node: str, settings: t.Sequence[str]) -> Command:
    """Make a node known with all that it has: jobs count on it before its machine answers."""
    return Command("create", ("qmgr", "-c", " ".join(filter(None, ("create node", node, ",".join(settings))))))


def change(nodes: t.Sequence[str], settings: t.Sequence[str]) -> Command:
    """Set attributes of nodes."""
    return Command("set", ("qmgr", "-c", f"set node {','.join(nodes)} {','.join(settings)}"))


def forget(nodes: t.Sequence[str], attributes: t.Sequence[str]) -> Command:
    """Unset attributes of nodes."""
    return Command("unset", ("qmgr", "-c", f"unset node {','.join(nodes)} {','.join(attributes)}"))


def delete(vnode: str) -> Command:
    """Forget a vnode. PBS refuses while a job or a reservation is on it."""
    return Command("delete", ("qmgr", "-c", f"delete node {vnode}"))


def offline(nodes: t.Sequence[str], reason: str) -> Command:
    """No new jobs on the nodes; jobs on them go on."""
    return Command("offline", ("pbsnodes", "-o", "-C", reason, *nodes))


def online(nodes: t.Sequence[str]) -> Command:
    """Give nodes back to the scheduler."""
    return Command("online", ("pbsnodes", "-r", *nodes))


def rerun(job: str) -> Command:
    """Give a job back to its queue although its machine cannot be asked."""
    return Command("rerun", ("qrerun", "-W", "force", job))


def comment(job: str, text: str) -> Command:
    """Write the comment of a job, which qstat -s and qstat -f show."""
    quoted = text.replace("\\", "/").replace('"', "'")
    return Command("comment", ("qalter", "-W", f'comment="{quoted}"', job))


def kick() -> Command:
    """Begin a scheduling cycle: a node that joins begins none."""
    return Command("kick", ("qmgr", "-c", "set server scheduling = True"))


def harmless(text: str) -> str:
    """A reason as qmgr and pbsnodes take it: one short line of letters, digits and a few signs."""
    return plain(re.sub(r"[^A-Za-z0-9 _.,:/()+%-]", " ", text), REASON_LENGTH)


def available(resource: str, value: str) -> str:
    """A setting of a node's resource. Values with other characters than those of words are quoted."""
    quoted = value if re.fullmatch(r"[A-Za-z0-9_.-]+", value) else f'"{value}"'
    return f"resources_available.{resource}={quoted}"


def in_parts(nodes: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    """Nodes in portions for one command each: its line has an end."""
    for start in range(0, len(nodes), _NODES_AT_ONCE):
        yield nodes[start : start + _NODES_AT_ONCE]
