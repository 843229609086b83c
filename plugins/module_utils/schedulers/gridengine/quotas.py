# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource quota sets as far as they limit slots of users, queues and parallel environments.

Sets that look at projects, hosts or lists of users are left out: what they allow cannot be told from the queue.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from .documents import output

_SCOPES = ("users", "projects", "pes", "queues", "hosts")
_SLOTS = re.compile(r"(?:^|,)\s*(?:slots|s)=([0-9]+)\s*(?:,|$)")
_NAME = re.compile(r"^name\s+(\S+)", re.MULTILINE)
Key = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True)
class Scope:
    """Names that a rule is about: patterns, ``!`` before those that it is not about. ``each``: every name by itself."""

    patterns: tuple[str, ...]
    each: bool

    def has(self, name: str) -> bool:
        """Whether the name is meant. No name at all is meant by nothing but ``!*``."""
        if not name:
            return self.patterns == ("!*",)
        if any(one.startswith("!") and fnmatch.fnmatchcase(name, one[1:]) for one in self.patterns):
            return False
        wanted = [one for one in self.patterns if not one.startswith("!")]
        return not wanted or any(fnmatch.fnmatchcase(name, one) for one in wanted)


@dataclass(frozen=True)
class Rule:
    """At most ``slots`` in what the scopes mean, in every name of those that say so; None where it limits none."""

    scopes: t.Mapping[str, Scope]
    slots: t.Optional[int]

    def key(self, **names: str) -> t.Optional[tuple[str, ...]]:
        """What is counted together with a job of these names, None where the rule is not about it."""
        if not all(scope.has(names[kind]) for kind, scope in self.scopes.items()):
            return None
        return tuple(names[kind] for kind in sorted(self.scopes) if self.scopes[kind].each)


@dataclass(frozen=True)
class Set:
    """Rules of which the first that is about a job holds."""

    name: str
    rules: tuple[Rule, ...]


@dataclass
class Quotas:
    """All sets, and the slots that are taken of each rule."""

    sets: tuple[Set, ...] = ()
    taken: dict[Key, int] = field(default_factory=dict)

    def _holding(self, number: int, user: str, queue: str, environment: str) -> t.Optional[tuple[Rule, Key]]:
        for index, rule in enumerate(self.sets[number].rules):
            key = rule.key(users=user, queues=queue, pes=environment)
            if key is not None:
                return (rule, (number, index, key)) if rule.slots is not None else None
        return None

    def take(self, user: str, queue: str, environment: str, slots: int) -> None:
        """Count slots of a job."""
        for number in range(len(self.sets)):
            holding = self._holding(number, user, queue, environment)
            if holding:
                self.taken[holding[1]] = self.taken.get(holding[1], 0) + slots

    def left(self, user: str, queue: str, environment: str) -> tuple[t.Optional[int], str]:
        """How many slots a job may still have in a queue, and the set that says so; None for any number."""
        least: t.Optional[int] = None
        name = ""
        for number, one in enumerate(self.sets):
            holding = self._holding(number, user, queue, environment)
            if holding is not None:
                free = max(0, t.cast(int, holding[0].slots) - self.taken.get(holding[1], 0))
                if least is None or free < least:
                    least, name = free, one.name
        return least, name


def read(outputs: t.Mapping[str, Output]) -> Quotas:
    """The enabled sets. Raises ParseError."""
    text = output(outputs, "quotas", "qconf -srqs", fails="No resource quota set")
    found = []
    for block in re.findall(r"\{\n(.*?)^\}", re.sub(r"\\\n\s*", "", text), re.S | re.M):
        enabled = re.search(r"^\s*enabled\s+true\s*$", block, re.I | re.M)
        name = _NAME.search(re.sub(r"^[ \t]+", "", block, flags=re.M))
        rules = [_rule(line) for line in re.findall(r"^\s*limit\s+(.+)$", block, re.M)]
        if enabled and name and all(rule is not None for rule in rules):
            found.append(Set(name.group(1), tuple(rule for rule in rules if rule is not None)))
    return Quotas(tuple(found))


def _rule(line: str) -> t.Optional[Rule]:
    """One rule, None for one that cannot be followed."""
    head, _to, limits = f" {line}".partition(" to ")
    words = head.split()
    if words[:1] == ["name"]:
        words = words[2:]
    scopes: dict[str, Scope] = {}
    while words:
        kind, values, words = words[0], words[1:2], words[2:]
        while words and words[0] not in _SCOPES:
            values.append(words.pop(0))
        text = "".join(values)
        patterns = tuple(filter(None, text.strip("{}").split(",")))
        if kind not in _SCOPES or any(one.lstrip("!").startswith("@") for one in patterns):
            return None
        if kind in ("projects", "hosts"):
            if patterns != ("*",) or text.startswith("{"):
                return None
            continue
        scopes[kind] = Scope(patterns, text.startswith("{"))
    slots = _SLOTS.search(limits.strip())
    return Rule(scopes, int(slots.group(1)) if slots else None)
