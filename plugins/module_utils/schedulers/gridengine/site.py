# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Grid Engine is configured, as far as it decides which nodes a job can have: resources, queues, host groups."""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import commands
from .documents import ParseError, decimal, memory, output, seconds

_BRACKET = re.compile(r",?\s*\[([^=\]]+)=([^\]]*)\]")
_TRUE = frozenset(("1", "true", "1.000000", "1.0"))


@dataclass(frozen=True)
class Complex:
    """One kind of resource: ``type`` (INT, MEMORY, STRING, ...), ``relation``, ``consumable`` (NO, YES, JOB)."""

    name: str
    type: str
    relation: str
    consumable: str

    @property
    def is_number(self) -> bool:
        """Whether its values are amounts."""
        return self.type in ("INT", "DOUBLE", "TIME", "MEMORY")

    def amount(self, value: str) -> float:
        """A value of it as a number: bytes, seconds, or as it is. Raises ParseError."""
        if self.type == "MEMORY":
            return memory(value)
        if self.type == "TIME":
            return seconds(value)
        try:
            return float(value)
        except ValueError:
            raise ParseError(f"{value!r} is no number") from None

    def word(self, value: str) -> str:
        """A value of it as a label."""
        if self.type == "BOOL":
            return "true" if value.lower() in _TRUE else "false"
        return value


@dataclass(frozen=True)
class Leaf:
    """An innermost host group: its node array, the size in short, the placement group ('' for none)."""

    name: str
    node_array: str
    vm_size: str
    group: str = ""


@dataclass(frozen=True)
class ClusterQueue:
    """A queue: its attributes, and the leaves that it has nodes in."""

    name: str
    attributes: t.Mapping[str, str]
    leaves: tuple[str, ...]

    def value(self, attribute: str, leaf: str) -> str:
        """An attribute on the nodes of a leaf."""
        text = self.attributes.get(attribute, "")
        for group, value in _BRACKET.findall(text):
            if group == leaf:
                return str(value)
        return _BRACKET.sub("", text)


@dataclass(frozen=True)
class Environment:
    """A parallel environment: slots that all its jobs can have together, and how they are spread over nodes."""

    name: str
    slots: int
    rule: str


@dataclass
class Site:
    """The whole configuration. ``groups`` are the leaves below each host group, ``hosts`` the leaf of each host."""

    complexes: dict[str, Complex] = field(default_factory=dict)
    queues: dict[str, ClusterQueue] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    submit_hosts: frozenset[str] = frozenset()
    max_user_jobs: int = 0
    max_tasks: int = 0

    def matching(self, pattern: str) -> tuple[Environment, ...]:
        """The parallel environments that a job means."""
        return tuple(self.environments[name] for name in sorted(self.environments) if fits(pattern, name))


def short(host: str) -> str:
    """A host name without its domain."""
    return host.split(".")[0].lower()


def fits(pattern: str, name: str) -> bool:
    """Whether a name is meant by a pattern with wildcards and alternatives: mpi*, a|b."""
    return any(fnmatch.fnmatchcase(name, part) for part in pattern.split("|"))


def attributes(text: str) -> dict[str, str]:
    """Lines of a name and a value; a value may go on after a backslash."""
    found = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _blank, value = line.strip().partition(" ")
        if name and not name.startswith("#"):
            found[name] = " ".join(value.split())
    return found


def read(outputs: t.Mapping[str, Output], errors: list[str]) -> Site:
    """The configuration; what could not be read is named in ``errors``."""
    found = Site()
    for part in (_complexes, _groups, _queues, _environments, _submit_hosts, _limits):
        try:
            part(outputs, found)
        except ParseError as error:
            errors.append(str(error))
    return found


def _complexes(outputs: t.Mapping[str, Output], site: Site) -> None:
    for line in output(outputs, "complexes", "qconf -sc").splitlines():
        words = line.split()
        if len(words) == 8 and not line.startswith("#"):
            site.complexes[words[0]] = Complex(words[0], words[2].upper(), words[3], words[5].upper())
    if "slots" not in site.complexes:
        raise ParseError("qconf -sc did not print the table of complexes")


def _groups(outputs: t.Mapping[str, Output], site: Site) -> None:
    """Groups in groups: all nodes, arrays, sizes, placement groups; depth by depth, and hosts in the innermost."""
    text = output(outputs, "groups", f"qconf -shgrp_tree {commands.ALL_HOSTS}")
    path: list[tuple[int, str]] = []
    below: dict[str, set[str]] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].strip() != commands.ALL_HOSTS:
        raise ParseError(f"qconf -shgrp_tree did not print the group {commands.ALL_HOSTS}")
    parents = _parents(lines)
    for line in lines:
        depth, name = len(line) - len(line.lstrip()), line.strip()
        path = [item for item in path if item[0] < depth]
        names = [item[1] for item in path]
        if name.startswith("@"):
            path.append((depth, name))
            if name not in parents and len(names) in (2, 3):
                site.leaves[name] = _leaf(name, names)
                for above in (*names, name):
                    below.setdefault(above, set()).add(name)
        elif names and names[-1] in site.leaves:
            site.hosts[short(name)] = names[-1]
    site.groups = {name: tuple(sorted(found)) for name, found in below.items()}


def _parents(lines: t.Sequence[str]) -> frozenset[str]:
    """Groups that have groups in them."""
    found: set[str] = set()
    path: list[tuple[int, str]] = []
    for line in lines:
        depth, name = len(line) - len(line.lstrip()), line.strip()
        path = [item for item in path if item[0] < depth]
        if name.startswith("@"):
            found.update(item[1] for item in path[-1:])
            path.append((depth, name))
    return frozenset(found)


def _leaf(name: str, above: t.Sequence[str]) -> Leaf:
    array = above[1][1:]
    size = (above[2] if len(above) == 3 else name)[1:]
    return Leaf(name, array, size[len(array) + 1 :], name[1:] if len(above) == 3 else "")


def _queues(outputs: t.Mapping[str, Output], site: Site) -> None:
    text = output(outputs, "queues", "qconf -sq", fails="No cluster queue")
    for block in re.split(r"(?m)^(?=qname\s)", text):
        found = attributes(block)
        name = found.get("qname", "")
        if name:
            groups = found.get("hostlist", "").replace(",", " ").split()
            leaves = sorted({leaf for group in groups for leaf in site.groups.get(group, ())})
            site.queues[name] = ClusterQueue(name, found, tuple(leaves))


def _environments(outputs: t.Mapping[str, Output], site: Site) -> None:
    for key in sorted(outputs):
        kind, _blank, name = key.partition(" ")
        if kind == "environment" and name:
            found = attributes(output(outputs, key, f"qconf -sp {name}"))
            slots = found.get("slots", "")
            site.environments[name] = Environment(
                name, int(slots) if slots.isdigit() else 0, found.get("allocation_rule", "")
            )


def _submit_hosts(outputs: t.Mapping[str, Output], site: Site) -> None:
    text = output(outputs, "submit_hosts", "qconf -ss", fails="no submit host")
    site.submit_hosts = frozenset(short(host) for host in text.split())


def _limits(outputs: t.Mapping[str, Output], site: Site) -> None:
    site.max_tasks = int(decimal(_setting(outputs, "configuration", "qconf -sconf", "max_aj_instances")))
    site.max_user_jobs = int(decimal(_setting(outputs, "scheduler", "qconf -ssconf", "maxujobs")))


def _setting(outputs: t.Mapping[str, Output], key: str, what: str, name: str) -> str:
    found = attributes(output(outputs, key, what))
    if name not in found:
        raise ParseError(f"{what} did not print {name}")
    return found[name]
