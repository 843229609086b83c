# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid Engine's hosts as nodes: what they have, what is left of it, whether they take jobs, since when they idle."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import commands
from .asking import EXCLUSIVE, GPU, MEMORY, MIB
from .documents import Element, ParseError, decimal, document, number, text
from .jobs import Listed, unquote
from .site import Site, short

# What the letters of a queue instance's state mean.
STATES: t.Mapping[str, str] = {
    "a": "ALARM", "A": "SUSPEND_ALARM", "u": "UNREACHABLE", "E": "ERROR", "d": "DISABLED", "D": "CALENDAR_DISABLED",
    "s": "SUSPENDED", "S": "SUBORDINATED", "C": "CALENDAR_SUSPENDED", "c": "AMBIGUOUS", "o": "ORPHANED",
    "P": "PREEMPTED",
}  # fmt: skip
# States in which an instance gets no jobs until somebody or something else changes that.
_CLOSED = frozenset("EdDsSCco")
SUBMIT, UNREACHABLE = "SUBMIT", "UNREACHABLE"
_OURS = (commands.DRAIN, commands.IDLE_SINCE, commands.MEMORY)


@dataclass
class _Instances:
    """The queue instances of one host: the states of each, by queue, and their slots."""

    states: dict[str, str] = field(default_factory=dict)
    used: int = 0
    total: int = 0


@dataclass
class _Host:
    """What qhost says of a host: values as they are written, with where they come from (hc: what is left)."""

    full: str
    reports: bool
    values: dict[str, tuple[str, str]] = field(default_factory=dict)


def shared(outputs: t.Mapping[str, Output]) -> dict[str, float]:
    """What is left of resources that belong to no host, such as licences. Raises ParseError."""
    top = document(outputs, "hosts", "qhost", [])
    for element in top.iterfind("host"):
        if element.get("name") == "global":
            found = _host(element).values
            return {name: _amount(value) for name, (origin, value) in found.items() if origin == "gc"}
    return {}


def nodes(
    outputs: t.Mapping[str, Output], listing: Element, jobs: t.Sequence[Listed], site: Site
) -> tuple[QueueNode, ...]:
    """All nodes, in the order of qhost. Raises ParseError."""
    top = document(outputs, "hosts", "qhost", [])
    if top.tag != "qhost":
        raise ParseError("qhost did not print hosts")
    instances = _instances(listing)
    on = _on(jobs)
    found = []
    for element in top.iterfind("host"):
        name = short(element.get("name", ""))
        host = _host(element)
        mine = instances.get(name, _Instances())
        # A host of a group that does not say its node array was not added to the end: it will be added again.
        if name and name != "global" and (offers.NODE_ARRAY in host.values or (mine.total and name not in site.hosts)):
            found.append(_node(name, host, mine, on.get(name, []), site))
    return tuple(found)


def _host(element: Element) -> _Host:
    host = _Host(element.get("name", ""), False)
    for item in element.iterfind("hostvalue"):
        if item.get("name") == "load_avg":
            host.reports = (item.text or "-").strip() != "-"
    for item in element.iterfind("resourcevalue"):
        host.values[item.get("name", "")] = (item.get("dominance", ""), (item.text or "").strip())
    return host


def _instances(listing: Element) -> dict[str, _Instances]:
    found: dict[str, _Instances] = {}
    for element in listing.iterfind("queue_info/Queue-List"):
        queue, _at, host = text(element, "name").rpartition("@")
        one = found.setdefault(short(host), _Instances())
        one.states[queue] = text(element, "state")
        one.used += number(element, "slots_used")
        one.total += number(element, "slots_total")
    return found


def _on(jobs: t.Sequence[Listed]) -> dict[str, list[Listed]]:
    """Jobs that are on each host."""
    found: dict[str, list[Listed]] = {}
    for job in jobs:
        if not job.waits:
            for host in job.slots:
                found.setdefault(host, []).append(job)
    return found


def _node(name: str, host: _Host, mine: _Instances, jobs: t.Sequence[Listed], site: Site) -> QueueNode:
    open_ = [queue for queue, state in mine.states.items() if not _CLOSED & set(state)]
    closed = not open_
    unreachable = bool(mine.states) and all("u" in state for state in mine.states.values())
    used = max(mine.used, sum(job.slots[name] for job in jobs))
    taken = _taken(name, jobs, site)
    free_cpus = _left(host, "slots", mine.total - used)
    memory = int(_left(host, commands.MEMORY, 0))
    free_memory = memory - max((math.ceil(taken.get(one, 0) / MIB) for one in MEMORY), default=0)
    free_gpus = int(_left(host, GPU, 0))
    alone = EXCLUSIVE in host.values and _amount(host.values[EXCLUSIVE][1]) == 0
    reason = host.values.get(commands.DRAIN, ("", ""))[1]
    others = _resources(host, site)
    return QueueNode(
        name=name,
        flags=_flags(name, mine, site),
        partitions=tuple(sorted(open_ or mine.states)),
        hostname=host.full,
        reason=unquote(reason) if closed and reason != "NONE" else "",
        cpus=int(free_cpus) + used,
        memory_mib=memory,
        up=host.reports and not unreachable,
        drained=closed,
        # Grid Engine keeps jobs on a host that it does not hear of, for ever if nobody says otherwise.
        jobs=0 if unreachable else max(len(jobs), 1 if used else 0),
        idle_since=0 if used or jobs else int(_left(host, commands.IDLE_SINCE, 0)),
        gpus=free_gpus + int(taken.get(GPU, 0)),
        resources=tuple((kind, amount + taken.get(kind, 0)) for kind, amount in others),
        labels=_labels(host, site),
        free_cpus=0 if alone else max(0, int(free_cpus)),
        free_memory_mib=0 if alone else max(0, free_memory),
        free_gpus=0 if alone else free_gpus,
        free_resources=others,
    )


def _flags(name: str, mine: _Instances, site: Site) -> frozenset[str]:
    letters = {letter for state in mine.states.values() for letter in state}
    found = {STATES.get(letter, letter.upper()) for letter in letters}
    found.update({SUBMIT} if name in site.submit_hosts else ())
    return frozenset(found)


def _taken(name: str, jobs: t.Sequence[Listed], site: Site) -> dict[str, float]:
    """What the jobs on a host have of its consumables, exactly: qhost rounds what is left."""
    found: dict[str, float] = {}
    for job in jobs:
        for resource, value in job.hard:
            kind = site.complexes.get(resource)
            if kind is None or not kind.is_number or kind.consumable == "NO":
                continue
            # What counts once for a job counts where it was begun, which is one of its hosts.
            times = job.slots[name] if kind.consumable == "YES" else 1
            try:
                found[resource] = found.get(resource, 0.0) + kind.amount(value) * times
            except ParseError:
                continue
    return found


def _left(host: _Host, name: str, other: float) -> float:
    return _amount(host.values[name][1]) if name in host.values else other


def _amount(value: str) -> float:
    """What is left of a resource, as qhost writes it: 3.906G, 2.000000."""
    factor = {"K": 1024.0, "M": 1024.0**2, "G": 1024.0**3, "T": 1024.0**4}.get(value[-1:], 0.0)
    return decimal(value[:-1]) * factor if factor else decimal(value)


def _resources(host: _Host, site: Site) -> tuple[tuple[str, float], ...]:
    known = ("slots", GPU, EXCLUSIVE, *MEMORY, *_OURS)
    return tuple(
        sorted(
            (name, _amount(value))
            for name, (origin, value) in host.values.items()
            if origin == "hc" and name not in known and name in site.complexes
        )
    )


def _labels(host: _Host, site: Site) -> tuple[tuple[str, str], ...]:
    found = {}
    for name, (origin, value) in host.values.items():
        kind = site.complexes.get(name)
        if origin == "hf" and kind is not None and not kind.is_number and name not in _OURS:
            found[name] = kind.word(value)
    return tuple(sorted(found.items()))
