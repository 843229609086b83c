# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid Engine's jobs as it lists them: what waits with what it asks for, what runs on which hosts."""

from __future__ import annotations

import calendar
import re
import typing as t
import urllib.parse
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import commands
from .documents import Element, ParseError, decimal, document, number, text
from .site import short

_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?")
_MOMENT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})")
# Details of jobs are large. Of a long queue those in front are asked for, and those whose details decide something.
FIRST, MOST, AT_ONCE = 200, 4000, 400


@dataclass(frozen=True)
class Listed:
    """A job, a task of an array, or the rest of an array that waits, on all of its hosts.

    ``slots`` are those on each host for one that runs, under '' for one that waits; ``masters`` is where it was begun.
    ``hard`` are the resources that it asks for, ``queues`` the queues (patterns), ``environment`` the parallel
    environment (a pattern) with the slots as the user wrote them, ``granted`` and ``queue`` those that it runs in.
    """

    number: int
    task: str
    state: str
    priority: float
    name: str
    owner: str
    submitted_at: int
    started_at: int
    slots: t.Mapping[str, int] = field(default_factory=dict)
    hard: tuple[tuple[str, str], ...] = ()
    queues: tuple[str, ...] = ()
    environment: str = ""
    range: str = ""
    granted: str = ""
    queue: str = ""
    predecessors: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What Grid Engine's commands take: the number, with the task of one that runs."""
        return f"{self.number}.{self.task}" if self.task and not self.waits else str(self.number)

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return "q" in self.state

    @property
    def tasks(self) -> int:
        """How many tasks of the array wait."""
        return count_tasks(self.task) if self.waits and self.task else 1

    @property
    def total(self) -> int:
        """Slots on all hosts; of one that waits the least that it can begin with."""
        return sum(self.slots.values())


@dataclass(frozen=True)
class Details:
    """What ``qstat -j`` says of a job: what a pass wrote on it, when it may start, how many tasks may run at once."""

    note: str = ""
    start_at: int = 0
    throttle: int = 0


def count_tasks(ranges: str) -> int:
    """How many tasks 5-9:2,13 are. Raises ParseError."""
    total = 0
    for part in ranges.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ParseError(f"{ranges!r} are no tasks")
        low, high, step = int(match.group(1)), int(match.group(2) or match.group(1)), int(match.group(3) or 1)
        total += max(0, high - low) // max(1, step) + 1
    return total


def listing(outputs: t.Mapping[str, Output], skipped: list[str]) -> tuple[Element, list[Listed]]:
    """The document of qstat and its jobs. Jobs that cannot be understood are in ``skipped``. Raises ParseError."""
    top = document(outputs, "jobs", "qstat", skipped)
    if top.tag != "job_info" or top.find("job_info") is None:
        raise ParseError("qstat did not print its jobs")
    found: dict[tuple[int, str, bool], Listed] = {}
    for instance in top.iterfind("queue_info/Queue-List"):
        queue, _at, host = text(instance, "name").rpartition("@")
        for element in instance.iterfind("job_list"):
            _collect(found, element, short(host), queue, skipped)
    for element in top.iterfind("job_info/job_list"):
        _collect(found, element, "", "", skipped)
    return top, list(found.values())


def _collect(
    found: dict[tuple[int, str, bool], Listed], element: Element, host: str, queue: str, skipped: list[str]
) -> None:
    try:
        job = _listed(element, host, queue)
        # Both raise for tasks that are none.
        key = (job.number, job.task, job.waits) if job.tasks else (0, "", False)
    except ParseError as error:
        skipped.append(f"job {text(element, 'JB_job_number') or 'without a number'}: {error}")
        return
    known = found.get(key)
    if known is None:
        found[key] = job
        return
    slots = dict(known.slots)
    slots[host] = slots.get(host, 0) + job.slots[host]
    found[key] = Listed(**{**vars(known), "slots": slots})


def _listed(element: Element, host: str, queue: str) -> Listed:
    job = number(element, "JB_job_number")
    state = text(element, "state")
    if job <= 0 or not state:
        raise ParseError("it has no number or no state")
    environment = element.find("requested_pe")
    granted = element.find("granted_pe")
    return Listed(
        number=job,
        task=text(element, "tasks"),
        state=state,
        priority=decimal(text(element, "JAT_prio")),
        name=text(element, "full_job_name") or text(element, "JB_name"),
        owner=text(element, "JB_owner"),
        submitted_at=epoch(text(element, "JB_submission_time")),
        started_at=epoch(text(element, "JAT_start_time")),
        slots={host: max(1, number(element, "slots"))},
        hard=tuple(
            sorted((item.get("name", ""), (item.text or "").strip()) for item in element.iterfind("hard_request"))
        ),
        queues=tuple((item.text or "").strip() for item in element.iterfind("hard_req_queue")),
        environment=environment.get("name", "") if environment is not None else "",
        range=(environment.text or "").strip() if environment is not None else "",
        granted=granted.get("name", "") if granted is not None else "",
        queue=queue,
        predecessors=tuple((item.text or "").strip() for item in element.iterfind("predecessor_jobs")),
    )


def epoch(found: str) -> int:
    """Seconds since the epoch of 2026-11-20T08:30:12, which is UTC because the commands are asked so; 0 for none."""
    match = _MOMENT.match(found)
    return calendar.timegm(tuple(int(part) for part in match.groups())) if match else 0


def in_question(jobs: t.Sequence[Listed]) -> list[str]:
    """Jobs whose details matter: arrays with their throttles, jobs that Grid Engine does not look at (they may have a
    time to start at), and those in front, which may have a note."""
    waiting = sorted((job for job in jobs if job.waits), key=lambda job: (-job.priority, job.submitted_at, job.number))
    deciding = [job for job in waiting if "h" not in job.state and (job.task or job.priority == 0)]
    ids = dict.fromkeys(str(job.number) for job in (*waiting[:FIRST], *deciding))
    return list(ids)[:MOST]


def ask_details(jobs: t.Sequence[Listed]) -> tuple[t.Any, ...]:
    """The commands for the details of the jobs in question."""
    ids = in_question(jobs)
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    return tuple(commands.show_details(index, part) for index, part in enumerate(parts))


def details(outputs: t.Mapping[str, Output], skipped: list[str]) -> dict[int, Details]:
    """Details by job number. Jobs that have ended meanwhile are not in it. Raises ParseError."""
    found: dict[int, Details] = {}
    for key in sorted(outputs):
        if key.startswith("details"):
            top = document(outputs, key, "qstat -j", skipped)
            for element in top.iterfind("djob_info/element"):
                found[number(element, "JB_job_number")] = Details(
                    note=_note(element),
                    start_at=number(element, "JB_execution_time"),
                    throttle=number(element, "JB_ja_task_concurrency"),
                )
    return found


def _note(element: Element) -> str:
    for item in element.iterfind("JB_context/context_list"):
        if text(item, "VA_variable") == commands.CONTEXT:
            return from_context(text(item, "VA_value"))
    return ""


def quote(value: str) -> str:
    """A text as a value of Grid Engine: what would end it is written as in URLs."""
    return "".join(urllib.parse.quote(char, safe="") if char in "%,=\\\"'" else char for char in value)


def unquote(value: str) -> str:
    """The text that was quoted."""
    return urllib.parse.unquote(value)


def as_context(value: str) -> str:
    """A text as a value in a job's context, for people to read: a comma would end it, so it becomes a semicolon."""
    safe = re.sub(r"(?<=[,;]),|,(?=[,;])", "%2C", value.replace("%", "%25"))
    return safe.replace(";", ";;").replace(",", ";")


def from_context(value: str) -> str:
    """The text that was written into a job's context."""
    text_ = re.sub(r";;|;", lambda found: ";" if found.group() == ";;" else ",", value)
    return urllib.parse.unquote(text_)
