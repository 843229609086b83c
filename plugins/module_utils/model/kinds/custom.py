# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say of a scheduler that the collection does not know: commands, and what their JSON means."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import installing
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import CONTROL, Mistakes, Section, join

from . import Kind

# Fields of jobs and nodes, each a JMESPath expression over one record; docs/custom_scheduler.md explains them.
JOB_FIELDS = (
    "id", "state", "name", "user", "queues", "nodes", "tasks", "pieces", "cpus", "memory_mib", "gpus", "resources",
    "labels", "spread", "exclusive", "one_group", "priority", "startable", "blocked", "reason", "note", "submitted_at",
    "started_at",
)  # fmt: skip
NODE_FIELDS = (
    "name", "up", "drained", "reason", "jobs", "idle_since", "address", "hostname", "queues", "labels", "cpus",
    "memory_mib", "gpus", "resources", "free_cpus", "free_memory_mib", "free_gpus", "free_resources",
)  # fmt: skip
STATES = ("pending", "configuring", "running", "completing", "suspended", "done")
# What every step of a plan knows, as {placeholders} in the words of its command.
PLACEHOLDERS: t.Mapping[str, tuple[str, ...]] = {
    "add": ("node", "hostname", "address", "cpus", "memory_mib", "gpus", "labels", "queues"),
    "drain": ("node", "reason"),
    "resume": ("node",),
    "remove": ("node",),
    "requeue": ("node",),
    "comment": ("job", "text"),
    "kick": (),
}
NEEDED = ("drain", "resume", "remove")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LIST_KEYS = ("command", "timeout", "each", "fields", "states")


class Custom(Kind):
    """A site's own scheduler: without Python, or with one small program for what expressions cannot say."""

    keys = ("jobs", "nodes", "commands", "python", "unanswered", "packages", "role", "join")
    needs_queues = False

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        python = section.data.get("python") or ""
        if not isinstance(python, str):
            section.wrong("python", "must be the text of a program: look the file up")
            python = ""
        programs = frozenset(re.findall(r"^def (queue|commands)\(", python, re.MULTILINE))
        if python and not programs:
            section.wrong("python", "must define queue(outputs) or commands(step)")
        mapped = "queue" not in programs
        return {
            "jobs": _listing(section.section("jobs", _LIST_KEYS, required=True), JOB_FIELDS, ("id", "state"), mapped),
            "nodes": _listing(section.section("nodes", _LIST_KEYS, required=True), NODE_FIELDS, ("name", "up"), mapped),
            "commands": _commands(section.section("commands", tuple(PLACEHOLDERS)), "commands" not in programs),
            "python": python,
            "unanswered": list(section.texts("unanswered")),
            "packages": installing.packages(section, "packages"),
            "role": section.text(
                "role", "", r"[a-z_][a-z0-9_]*\.[a-z0-9_]+\.[a-z0-9_]+", "must be namespace.collection.role"
            ),
            "join": _argvs(section, "join", ("node", "head")),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Whatever the site's role makes of them."""
        return dict(section.mapping(key))

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Whatever the site's role makes of them."""
        return dict(section.mapping(key))

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""


def _listing(section: Section, fields: t.Sequence[str], needed: t.Sequence[str], mapped: bool) -> dict[str, t.Any]:
    """One list: its command, and where in its JSON everything is."""
    below = section.section("fields", fields, required=mapped)
    expressions = {name: below.text(name) for name in fields if below.has(name)}
    for name in needed if mapped and not below.broken else ():
        if name not in expressions:
            below.wrong(name, "is missing")
    states = {}
    for word, state in section.mapping("states").items():
        if state not in STATES:
            section.mistakes.add(join(section.at("states"), word), f"must be one of {', '.join(STATES)}")
        states[word] = state
    return {
        "command": _argv(section, "command", ()),
        "timeout": section.number("timeout", 60, low=1, high=600),
        "each": section.text("each", "@"),
        "fields": expressions,
        "states": states,
    }


def _commands(section: Section, required: bool) -> dict[str, list[str]]:
    found = {name: _argv(section, name, known) for name, known in PLACEHOLDERS.items() if section.has(name)}
    for name in NEEDED if required else ():
        if name not in found:
            section.wrong(name, "is missing")
    return found


def _argvs(section: Section, key: str, known: t.Sequence[str]) -> list[list[str]]:
    return [_words(section.mistakes, path, item, known) for path, item in section.items(key, ())]


def _argv(section: Section, key: str, known: t.Sequence[str]) -> list[str]:
    if not section.has(key):
        if not section.broken:
            section.wrong(key, "is missing")
        return []
    return _words(section.mistakes, section.at(key), section.data[key], known)


def _words(mistakes: Mistakes, path: str, value: t.Any, known: t.Sequence[str]) -> list[str]:
    """A command as a list of words; no shell ever sees it, so a line with blanks and pipes is a mistake."""
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(word, str) for word in value):
        mistakes.add(path, "must be a list of texts, the words of a command: no shell reads it")
        return []
    for index, word in enumerate(value):
        at = f"{path}[{index}]"
        if CONTROL.search(word):
            mistakes.add(at, "must not contain control characters or line breaks")
        for name in _PLACEHOLDER.findall(word):
            if name not in known:
                mistakes.add(at, f"{{{name}}} means nothing here{', known are ' + ', '.join(known) if known else ''}")
    if _PLACEHOLDER.search(value[0]):
        mistakes.add(f"{path}[0]", "is the name of a program and must not have placeholders")
    return [str(word) for word in value]
