# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PBS's vnodes as nodes: one per host, with what is free of it, what is on it and since when nothing is."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import QueueNode

from . import asking, commands, formats

PREFIX = "azure_hpc: "
# The server writes such comments itself.
_SERVERS_WORD = "node down:"
_NOT_UP = frozenset(
    ("down", "state-unknown", "unresolvable", "stale", "initializing", "provisioning", "wait-provisioning", "sleep")
)
_TAKES_NONE = frozenset(("job-busy", "job-exclusive", "resv-exclusive", "busy"))
_DRAINED = frozenset(("offline", "maintenance"))
_OURS = frozenset((commands.DRAIN_RESOURCE, commands.ADDRESS_RESOURCE))
_TOTALS = frozenset(("ncpus", "mem", asking.GPUS))
# A chunk that wants one certain host.
_BY_NAME = re.compile(r"[:+](host|vnode)=([^:+]+)")
# The queue of a reservation is called as it is.
RESERVATION = re.compile(r"[RSM]\d+")


@dataclass(frozen=True)
class Nodes:
    """All nodes by host; ``host_of`` says which host a vnode is on, ``on`` which jobs PBS sees on a host."""

    all: tuple[QueueNode, ...]
    host_of: t.Mapping[str, str]
    on: t.Mapping[str, t.AbstractSet[str]]

    def of_job(self) -> dict[str, list[str]]:
        """The hosts of every job that PBS sees on one."""
        found: dict[str, list[str]] = {}
        for host, jobs in self.on.items():
            for job in jobs:
                found.setdefault(job, []).append(host)
        return found


@dataclass
class Placement:
    """Whether jobs have to stay within one placement set, by what server, queue and scheduler say."""

    server: formats.Attributes
    queues: t.Mapping[str, formats.Attributes]
    scheduler: formats.Attributes

    def one_group(self, queue: str, group: str) -> bool:
        """Whether all nodes of a job have to be in one group; ``group`` is what the job itself asks for.

        Every resource by which nodes can be grouped is alike on the machines of one scale set, and so within one group.
        """
        if group:
            return True
        if not formats.truth(self.server.get("node_group_enable")):
            return False
        key = self.queues.get(queue, {}).get("node_group_key") or self.server.get("node_group_key")
        return bool(formats.word(key)) and formats.truth(self.scheduler.get("do_not_span_psets"))


@dataclass
class _Host:
    name: str
    vnodes: list[tuple[str, formats.Attributes]] = field(default_factory=list)

    def first(self) -> formats.Attributes:
        """The natural vnode: that has the host's name."""
        return dict(self.vnodes).get(self.name, self.vnodes[0][1])


def read_nodes(
    vnodes: t.Mapping[str, formats.Attributes],
    jobs: t.Mapping[str, formats.Attributes],
    queues: t.Mapping[str, formats.Attributes],
    definitions: asking.Definitions,
) -> Nodes:
    """The nodes, with the suspended jobs that the vnodes do not show."""
    hosts: dict[str, _Host] = {}
    host_of: dict[str, str] = {}
    for name, item in vnodes.items():
        host = short(formats.below(item, "resources_available").get("host") or name.split("[")[0])
        hosts.setdefault(host, _Host(host)).vnodes.append((name, item))
        host_of[name] = host
    on: dict[str, set[str]] = {host: set() for host in hosts}
    for item in jobs.values():
        if formats.word(item.get("job_state")) in ("S", "U"):
            for vnode in vnodes_of(formats.word(item.get("exec_vnode"))):
                on.setdefault(host_of.get(vnode, short(vnode.split("[")[0])), set()).add("suspended")
    for host, entry in hosts.items():
        on[host].update(job for _name, item in entry.vnodes for job in jobs_on(item))
    wanted = frozenset(
        pair for item in jobs.values() for pair in _BY_NAME.findall(formats.word(item.get("schedselect")))
    )
    open_queues = tuple(name for name, item in queues.items() if _is_open(name, item))
    found = tuple(_node(entry, on[host], open_queues, definitions, wanted) for host, entry in hosts.items())
    return Nodes(found, host_of, {host: jobs_ - {"suspended"} for host, jobs_ in on.items()})


def short(name: str) -> str:
    """A host's name without its domain, as machines are called."""
    return name.split(".")[0].lower()


def vnodes_of(exec_vnode: str) -> list[str]:
    """The vnodes of ``(n001:ncpus=2)+(n005[0]:ncpus=2+n005[1]:ncpus=2)``, each once."""
    parts = (part.strip("() ").partition(":")[0] for part in exec_vnode.split("+"))
    return list(dict.fromkeys(filter(None, parts)))


def jobs_on(item: formats.Attributes) -> list[str]:
    """The ids of the jobs and reservations on a vnode: JSON has them as a list, old text as 17.head/0, 17.head/1."""
    found: list[str] = []
    for key in ("jobs", "resv", "maintenance_jobs"):
        value = item.get(key)
        texts = value if isinstance(value, list) else formats.word(value).split(",")
        found.extend(formats.word(text).strip().split("/")[0] for text in texts)
    return [job for job in found if job]


def _is_open(name: str, queue: formats.Attributes) -> bool:
    """Whether its jobs may use nodes that belong to no queue."""
    execution = formats.word(queue.get("queue_type")).lower().startswith("e")
    return (
        execution
        and not RESERVATION.fullmatch(name)
        and not formats.below(queue, "default_chunk").get(asking.QUEUES_RESOURCE)
    )


def _words(item: formats.Attributes) -> frozenset[str]:
    return frozenset(filter(None, (word.strip().lower() for word in formats.word(item.get("state")).split(","))))


def _node(
    host: _Host,
    on: t.AbstractSet[str],
    open_queues: tuple[str, ...],
    kinds: asking.Definitions,
    wanted: frozenset[tuple[str, str]],
) -> QueueNode:
    first = host.first()
    states = [_words(item) for _name, item in host.vnodes]
    own = _words(first)
    amounts = _Amounts(kinds)
    for (_name, item), words in zip(host.vnodes, states):
        # What is free of a drained node is what jobs would have if a pass gave it back.
        amounts.add(item, usable=not words & (_NOT_UP | _TAKES_NONE))
    last = [_epoch(item, "last_used_time") for _name, item in host.vnodes]
    changed = [_epoch(item, "last_state_change_time") for _name, item in host.vnodes]
    resources = formats.below(first, "resources_available")
    drained = all(words & _DRAINED for words in states)
    return QueueNode(
        name=host.name,
        flags=frozenset(word.upper() for words in states for word in words),
        partitions=_partitions(host, open_queues),
        address=resources.get(commands.ADDRESS_RESOURCE, ""),
        hostname=formats.word(first.get("Mom")) or host.name,
        reason=_reason(first) if drained else "",
        cpus=amounts.total["ncpus"],
        memory_mib=amounts.total["mem"],
        gpus=amounts.total[asking.GPUS],
        registered_at=0 if own & _NOT_UP else max(changed),
        last_busy=max(last),
        up=any(not words & _NOT_UP for words in states) and not own & _NOT_UP,
        drained=drained,
        jobs=len(on),
        idle_since=0 if on else max(last) or max(changed),
        resources=tuple(sorted(amounts.other.items())),
        labels=_labels(host, kinds, wanted),
        free_cpus=amounts.free["ncpus"],
        free_memory_mib=amounts.free["mem"],
        free_gpus=amounts.free[asking.GPUS],
        free_resources=tuple(sorted(amounts.other_free.items())),
    )


class _Amounts:
    """Sums over the vnodes of a host."""

    def __init__(self, kinds: asking.Definitions) -> None:
        self._kinds = kinds
        self.total = dict.fromkeys(_TOTALS, 0)
        self.free = dict.fromkeys(_TOTALS, 0)
        self.other: dict[str, float] = {}
        self.other_free: dict[str, float] = {}

    def add(self, item: formats.Attributes, usable: bool) -> None:
        """Add a vnode. What cannot be read counts as nothing: then no job is expected to fit."""
        assigned = formats.below(item, "resources_assigned")
        for name, text in formats.below(item, "resources_available").items():
            if name in _TOTALS:
                have, used = self._whole(name, text), self._whole(name, assigned.get(name, "0"))
                self.total[name] += have
                self.free[name] += max(0, have - used) if usable else 0
            elif self._kinds.consumed(name):
                amount, taken = self._amount(name, text), self._amount(name, assigned.get(name, "0"))
                self.other[name] = self.other.get(name, 0.0) + amount
                self.other_free[name] = self.other_free.get(name, 0.0) + (max(0.0, amount - taken) if usable else 0.0)

    def _whole(self, name: str, text: str) -> int:
        try:
            return asking.size_bytes(text) // (1024 * 1024) if name == "mem" else asking.whole(text)
        except asking.RequestError:
            return 0

    def _amount(self, name: str, text: str) -> float:
        try:
            return self._kinds.amount(name, text)
        except asking.RequestError:
            return 0.0


def _epoch(item: formats.Attributes, key: str) -> int:
    text = formats.word(item.get(key))
    return int(text) if text.isascii() and text.isdigit() else 0


def _reason(item: formats.Attributes) -> str:
    """Why a node takes no jobs: the comment, unless PBS lost or replaced it while a pass had drained the node.

    Only the resource makes it a drain of a pass: a comment stays when an operator gives a node back, and must not make
    a later drain by hand look like one of a pass.
    """
    ours = formats.below(item, "resources_available").get(commands.DRAIN_RESOURCE, "")
    comment = formats.word(item.get("comment")).strip()
    by_server = comment.startswith(_SERVERS_WORD)
    if ours and (not comment or by_server or comment.startswith(PREFIX)):
        return ours
    return f"PBS comment: {comment}" if comment.startswith(PREFIX) else comment


def _partitions(host: _Host, open_queues: tuple[str, ...]) -> tuple[str, ...]:
    """The queues whose jobs may run on a host: those of its Qlist, the one that it belongs to, else all open ones."""
    found: dict[str, None] = {}
    for _name, item in host.vnodes:
        named = formats.below(item, "resources_available").get(asking.QUEUES_RESOURCE, "")
        found.update(dict.fromkeys(filter(None, (part.strip() for part in named.split(",")))))
        queue = formats.word(item.get("queue"))
        if queue:
            found[queue] = None
    return tuple(found) or open_queues


def _labels(host: _Host, kinds: asking.Definitions, wanted: frozenset[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What jobs can ask for. Its own name is one only where a job asks for it: without it, alike nodes are alike.

    The vnodes of a host that has several are always there: it takes all of their names to delete it.
    """
    own = {("host", host.name), *(("vnode", name) for name, _item in host.vnodes)}
    found = own & wanted
    if len(host.vnodes) > 1:
        found = set(own)
    for _name, item in host.vnodes:
        for resource, value in formats.below(item, "resources_available").items():
            known = resource in _TOTALS or resource in _OURS or resource in ("host", "vnode", asking.QUEUES_RESOURCE)
            if value and not known and not kinds.consumed(resource):
                found.update(kinds.labels(resource, value))
    if not any(name == offers.PLACEMENT_GROUP for name, _value in found):
        found.add((offers.PLACEMENT_GROUP, host.name))
    return tuple(sorted(found))
