# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server lets run: limits of users, groups and projects, licences, stopped queues, throttled arrays.

Pure functions. Jobs that only wait for one of these are no demand: more machines would not start them.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

from . import asking, formats
from .nodes import RESERVATION

_ENTRY = re.compile(r"([ougp]):([^=\]]+?)\s*=\s*([^\],\s]+)")
_OLD: t.Mapping[str, tuple[str, str]] = {
    "max_running": ("o", "PBS_ALL"),
    "max_user_run": ("u", "PBS_GENERIC"),
    "max_group_run": ("g", "PBS_GENERIC"),
}
_OLD_RESOURCES: t.Mapping[str, tuple[str, str]] = {
    "max_user_res": ("u", "PBS_GENERIC"),
    "max_group_res": ("g", "PBS_GENERIC"),
}
_WHO = {"o": "all jobs", "u": "user", "g": "group", "p": "project"}
COUNT = ""


@dataclass(frozen=True)
class Ask:
    """What limits look at in a job: ``resources`` is what one task takes, by name; ``running`` how many tasks run.

    ``tasks`` is how many wait, ``most`` how many of an array may run at once (None: all).
    """

    queue: str
    user: str
    group: str
    project: str
    resources: t.Mapping[str, float] = field(default_factory=dict)
    tasks: int = 0
    running: int = 0
    most: t.Optional[int] = None

    def who(self, kind: str) -> str:
        """Its owner in the words of a limit."""
        return {"o": "PBS_ALL", "u": self.user, "g": self.group, "p": self.project}[kind]


@dataclass(frozen=True)
class Verdict:
    """How many of a job's waiting tasks may start, and why the others may not ('' when all may)."""

    startable: int
    blocked: str = ""


class _Limit:
    """One limit attribute: of the number of jobs (``resource`` is COUNT) or of a resource, for one kind of owner."""

    def __init__(self, place: str, resource: str, kind: str) -> None:
        self.place, self.resource, self.kind = place, resource, kind
        self.values: dict[str, float] = {}
        self.used: dict[str, float] = {}

    def take(self, ask: Ask, tasks: int) -> None:
        """Note that so many tasks of a job run."""
        if tasks:
            who = ask.who(self.kind)
            self.used[who] = self.used.get(who, 0.0) + tasks * self.need(ask)

    def need(self, ask: Ask) -> float:
        """What one task takes of it."""
        return 1.0 if self.resource == COUNT else ask.resources.get(self.resource, 0.0)

    def room(self, ask: Ask) -> float:
        """How many more tasks of the job there may be."""
        who = ask.who(self.kind)
        value = self.values.get(who, self.values.get("PBS_GENERIC", math.inf))
        need = self.need(ask)
        if need <= 0 or math.isinf(value):
            return math.inf
        return max(0.0, (value - self.used.get(who, 0.0)) // need)

    def text(self, ask: Ask) -> str:
        """What it says, for people."""
        who = ask.who(self.kind)
        value = self.values.get(who, self.values.get("PBS_GENERIC", 0.0))
        whom = _WHO[self.kind] + ("" if self.kind == "o" else f" {who}")
        what = "running jobs" if self.resource == COUNT else self.resource
        return f"{self.place} allows {whom} {value:g} {what}"


class _Pool:
    """An amount that belongs to the server or a queue, such as licences: machines do not bring more of it."""

    def __init__(self, place: str, resource: str, free: float, total: float) -> None:
        self.place, self.resource, self.free, self.total = place, resource, free, total

    def room(self, ask: Ask) -> float:
        """How many more tasks of the job there is enough of it for."""
        need = ask.resources.get(self.resource, 0.0)
        return math.inf if need <= 0 else max(0.0, self.free // need)

    def take(self, ask: Ask, tasks: int) -> None:
        """Give it to so many tasks."""
        self.free -= tasks * ask.resources.get(self.resource, 0.0)

    def text(self, ask: Ask) -> str:
        """What is missing, for people."""
        return f"{self.place} has {self.total:g} {self.resource}, {max(0.0, self.free):g} of them free"


class Rules:
    """All that a server and its queues say about who may run how much."""

    def __init__(
        self,
        server: formats.Attributes,
        queues: t.Mapping[str, formats.Attributes],
        definitions: asking.Definitions,
    ) -> None:
        self._definitions = definitions
        self._queues = queues
        self._scheduling = formats.truth(server.get("scheduling"), default=True)
        self._limits = {"": _limits("the server", server, definitions)}
        self._pools = {"": _pools("the server", server, definitions)}
        for name, queue in queues.items():
            self._limits[name] = _limits(f"queue {name}", queue, definitions)
            self._pools[name] = _pools(f"queue {name}", queue, definitions)

    def note_running(self, ask: Ask) -> None:
        """Count what runs already. The server counts its pools itself."""
        for limit in self._of(self._limits, ask):
            limit.take(ask, ask.running)

    def judge(self, ask: Ask) -> Verdict:
        """How many tasks may start now; they are counted, so ask for jobs in the order in which they would start."""
        stopped = self._stopped(ask)
        if stopped:
            return Verdict(0, stopped)
        room, why = float(ask.tasks), ""
        if ask.most is not None and ask.most - ask.running < room:
            room, why = max(0.0, float(ask.most - ask.running)), f"at most {ask.most} tasks of the array run at once"
        checks: list[t.Union[_Limit, _Pool]] = [*self._of(self._limits, ask), *self._of(self._pools, ask)]
        for check in checks:
            own = check.room(ask)
            if own < room:
                room, why = own, check.text(ask)
        startable = int(room)
        for check in checks:
            check.take(ask, startable)
        return Verdict(startable, why)

    def _stopped(self, ask: Ask) -> str:
        if not self._scheduling:
            return "scheduling is switched off"
        queue = self._queues.get(ask.queue)
        if queue is None:
            return f"queue {ask.queue} is not known"
        if formats.word(queue.get("queue_type")).lower().startswith("r"):
            return f"it waits in the routing queue {ask.queue}"
        if RESERVATION.fullmatch(ask.queue):
            return f"it runs on the nodes of reservation {ask.queue}"
        return "" if formats.truth(queue.get("started")) else f"queue {ask.queue} is stopped"

    @staticmethod
    def _of(things: t.Mapping[str, list[t.Any]], ask: Ask) -> list[t.Any]:
        return [*things[""], *things.get(ask.queue, ())] if ask.queue else list(things[""])


def _limits(place: str, attributes: formats.Attributes, definitions: asking.Definitions) -> list[_Limit]:
    """The limits of a server or queue. A limit that cannot be read is as if it were not there."""
    found: dict[tuple[str, str], _Limit] = {}

    def add(resource: str, kind: str, who: str, text: str) -> None:
        try:
            value = asking.number(text) if resource == COUNT else amount(definitions, resource, text)
        except asking.RequestError:
            return
        found.setdefault((resource, kind), _Limit(place, resource, kind)).values[who.strip("\"' ")] = value

    for kind, who, text in entries(formats.word(attributes.get("max_run"))):
        add(COUNT, kind, who, text)
    for resource, value in formats.below(attributes, "max_run_res").items():
        for kind, who, text in entries(value):
            add(resource, kind, who, text)
    for name, (kind, who) in _OLD.items():
        if attributes.get(name) is not None:
            add(COUNT, kind, who, formats.word(attributes[name]))
    for name, (kind, who) in _OLD_RESOURCES.items():
        for resource, text in formats.below(attributes, name).items():
            add(resource, kind, who, text)
    return list(found.values())


def entries(text: str) -> list[tuple[str, str, str]]:
    """The entries of a limit: ``[u:PBS_GENERIC=2],[g:staff=8]`` as (kind, owner, value)."""
    return [(match.group(1), match.group(2).strip("\"' "), match.group(3)) for match in _ENTRY.finditer(text)]


def _pools(place: str, attributes: formats.Attributes, definitions: asking.Definitions) -> list[_Pool]:
    assigned = formats.below(attributes, "resources_assigned")
    found = []
    for resource, text in formats.below(attributes, "resources_available").items():
        try:
            total = amount(definitions, resource, text)
            used = amount(definitions, resource, assigned.get(resource, "0"))
        except asking.RequestError:
            continue  # a text: nothing that is used up
        found.append(_Pool(place, resource, total - used, total))
    return found


def amount(definitions: asking.Definitions, resource: str, text: str) -> float:
    """An amount of any resource, sizes in MiB. Raises RequestError."""
    if resource == "mem" or definitions.kind(resource) == "size":
        return asking.size_bytes(text) / (1024 * 1024)
    return asking.number(text)
