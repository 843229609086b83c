# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PBS's jobs as values: what each asks for, where it is, and how many of its tasks the server would let start."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import PACK, SCATTER, Chunk, Job

from . import asking, formats
from .limits import Ask, Rules, amount
from .nodes import PREFIX, Nodes, Placement, short, vnodes_of

_STATES: t.Mapping[str, str] = {
    "Q": "pending",
    "H": "pending",
    "W": "pending",
    "T": "pending",
    "B": "pending",
    "R": "running",
    "S": "suspended",
    "U": "suspended",
    "E": "completing",
}
_ENDED = frozenset("XFM")
_WAITS: t.Mapping[str, str] = {
    "H": "it is held",
    "W": "it waits for its start time",
    "T": "it is being moved",
}
_DEPENDENT = "22"
_TIME = "%a %b %d %H:%M:%S %Y"
# Above every priority that a job can give itself (-1024 to 1023).
_QUEUE_WEIGHT = 4096


@dataclass(frozen=True)
class _Waiting:
    """A waiting job with what decides whether it may start: ``at`` is its place among all jobs."""

    at: int
    ask: Ask
    waits: str
    order: tuple[float, int, int]


class Reader:
    """Reads all jobs of a server. Use one for one reading."""

    def __init__(self, definitions: asking.Definitions, rules: Rules, placement: Placement, nodes: Nodes) -> None:
        self._definitions, self._rules, self._placement, self._nodes = definitions, rules, placement, nodes
        self._hosts = nodes.of_job()
        self._jobs: list[Job] = []
        self._waiting: list[_Waiting] = []

    def read(self, items: t.Mapping[str, formats.Attributes]) -> tuple[tuple[Job, ...], list[str]]:
        """The jobs in the order of PBS's list, and those that are not understood, with the reason."""
        skipped: list[str] = []
        tasks = self._tasks_on_nodes()
        for name, item in items.items():
            if formats.word(item.get("job_state")) in _ENDED:
                continue
            try:
                self._add(name, item, tasks.get(name, {}))
            except asking.RequestError as error:
                skipped.append(f"{name}: {error}")
        self._judge()
        return tuple(self._jobs), skipped

    def _tasks_on_nodes(self) -> dict[str, dict[str, list[str]]]:
        """The tasks of arrays that nodes show, with their hosts, by the id of the array."""
        found: dict[str, dict[str, list[str]]] = {}
        for job, hosts in self._hosts.items():
            number, bracket, rest = job.partition("[")
            index, _bracket, server = rest.partition("]")
            if bracket and index:
                found.setdefault(f"{number}[]{server}", {})[job] = hosts
        return found

    def _judge(self) -> None:
        """Which waiting tasks may start, decided in the order in which PBS would start them."""
        for one in sorted(self._waiting, key=lambda one: one.order):
            job = self._jobs[one.at]
            if one.waits:
                self._jobs[one.at] = replace(job, startable=0, blocked=one.waits)
                continue
            verdict = self._rules.judge(one.ask)
            if verdict.startable < job.tasks:
                self._jobs[one.at] = replace(job, startable=verdict.startable, blocked=verdict.blocked)

    def _add(self, name: str, item: formats.Attributes, tasks: t.Mapping[str, list[str]]) -> None:
        state = formats.word(item.get("job_state"))
        if state not in _STATES:
            raise asking.RequestError(f"its state {state!r} is not known")
        job = self._value(name, item, _STATES[state])
        if "[" in name and job.state == "pending":
            self._add_array(job, item, tasks)
        elif job.state == "pending" and name in self._hosts:
            # It started after the jobs were read and before the nodes were.
            self._add_running(replace(job, state="running", nodes=tuple(self._hosts[name])), item)
        elif job.state == "pending":
            self._add_waiting(job, self._ask(item, tasks=1), item)
        else:
            self._add_running(job, item)

    def _add_running(self, job: Job, item: formats.Attributes) -> None:
        if job.state != "suspended":
            self._rules.note_running(self._ask(item, running=1))
        self._jobs.append(job)

    def _add_waiting(self, job: Job, ask: Ask, item: formats.Attributes) -> None:
        state = formats.word(item.get("job_state"))
        waits = _WAITS.get(state, "")
        if state == "H" and formats.word(item.get("substate")) == _DEPENDENT:
            waits = "it waits for other jobs"
        order = (-job.priority, job.submitted_at, len(self._jobs))
        self._waiting.append(_Waiting(len(self._jobs), ask, waits, order))
        self._jobs.append(job)

    def _add_array(self, job: Job, item: formats.Attributes, tasks: t.Mapping[str, list[str]]) -> None:
        """An array as its waiting rest, and each task that runs. Nodes are read later: they may show more of them."""
        counts = _counts(item)
        running = counts.get("Running", 0)
        left = max(0, counts.get("Queued", 0) - max(0, len(tasks) - running))
        most = formats.word(item.get("max_run_subjobs"))
        ask = self._ask(item, left, max(running, len(tasks)), asking.whole(most) if most else None)
        self._rules.note_running(ask)
        if left:
            self._add_waiting(replace(job, tasks=left), ask, item)
        for task, hosts in sorted(tasks.items()):
            self._jobs.append(replace(job, id=task, state="running", nodes=tuple(hosts), note="", chunks=()))

    def _ask(self, item: formats.Attributes, tasks: int = 0, running: int = 0, most: t.Optional[int] = None) -> Ask:
        amounts: dict[str, float] = {}
        for name, text in formats.below(item, "Resource_List").items():
            try:
                amounts[name] = amount(self._definitions, name, text)
            except asking.RequestError:
                continue  # no amount: select, place, walltime
        return Ask(
            queue=formats.word(item.get("queue")),
            user=_user(item),
            group=formats.word(item.get("egroup")),
            project=formats.word(item.get("project")),
            resources=amounts,
            tasks=tasks,
            running=running,
            most=most,
        )

    def _value(self, name: str, item: formats.Attributes, state: str) -> Job:
        queue = formats.word(item.get("queue"))
        chunks: tuple[Chunk, ...] = ()
        place = asking.Place()
        queues: tuple[str, ...] = ()
        if state == "pending":
            asked = formats.below(item, "Resource_List")
            place = asking.place(asked.get("place", ""))
            text = formats.word(item.get("schedselect")) or asked.get("select", "")
            chunks, queues = asking.select(text, self._definitions)
        pieces = sum(chunk.count for chunk in chunks)
        vnodes = vnodes_of(formats.word(item.get("exec_vnode")))
        nodes = tuple(dict.fromkeys(self._nodes.host_of.get(v, short(v.split("[")[0])) for v in vnodes))
        comment = formats.word(item.get("comment"))
        return Job(
            id=name,
            state=state,
            partitions=queues or ((queue,) if queue else ()),
            nodes=nodes,
            node_count=len(nodes) or (pieces if place.spread == SCATTER else 1),
            cpus=sum(chunk.count * chunk.cpus for chunk in chunks) or _cpus(item),
            name=formats.word(item.get("Job_Name")),
            user=_user(item),
            reason="" if comment.startswith(PREFIX) else comment,
            note=comment if comment.startswith(PREFIX) else "",
            submitted_at=_epoch(formats.word(item.get("ctime"))),
            started_at=_epoch(formats.word(item.get("stime"))) if state != "pending" else 0,
            chunks=chunks,
            spread=place.spread,
            exclusive=place.exclusive,
            one_group=pieces > 1 and place.spread != PACK and self._placement.one_group(queue, place.group),
            priority=self._priority(queue, formats.word(item.get("Priority"))),
        )

    def _priority(self, queue: str, own: str) -> float:
        """Queues first, as the scheduler sorts them, then what the job says of itself."""
        of_queue = formats.word(self._placement.queues.get(queue, {}).get("Priority"))
        return _QUEUE_WEIGHT * _number(of_queue) + _number(own)


def _number(text: str) -> float:
    try:
        return asking.number(text or "0")
    except asking.RequestError:
        return 0.0


def _user(item: formats.Attributes) -> str:
    return formats.word(item.get("euser")) or formats.word(item.get("Job_Owner")).split("@")[0]


def _cpus(item: formats.Attributes) -> int:
    return int(_number(formats.below(item, "Resource_List").get("ncpus", "0")))


def _counts(item: formats.Attributes) -> dict[str, int]:
    """``Queued:20 Running:8 Exiting:0 Expired:2``."""
    found: dict[str, int] = {}
    for part in formats.word(item.get("array_state_count")).split():
        name, colon, count = part.partition(":")
        if colon:
            found[name] = asking.whole(count)
    if "Queued" not in found:
        raise asking.RequestError("it is an array whose tasks are not counted")
    return found


def _epoch(text: str) -> int:
    """``Fri Nov 20 08:03:38 2026`` by the clock of this machine, which is the server's; 0 when there is none."""
    try:
        return int(time.mktime(time.strptime(text, _TIME)))
    except (ValueError, OverflowError):
        return 0
