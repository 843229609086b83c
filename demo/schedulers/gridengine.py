"""Grid Engine in the demo."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from xml.etree import ElementTree

from demo.session import Session
from demo.timeline import JobLine, NodeSeen, Time

# What a line of the accounting file has at which place.
_NAME, _NUMBER, _SUBMITTED, _STARTED, _ENDED, _FAILED, _EXIT, _SLOTS, _TASK = 4, 5, 8, 9, 10, 11, 12, 34, 35


class GridEngine:
    """See `demo.schedulers.Kind`. Of a parallel job that has ended only its first node is accounted: the others are
    remembered from when it ran."""

    name = "gridengine"
    commands = (
        "mpicc -O2 -o mpi_test mpi_test.c",
        "qsub mpi.sh",
        "qsub array.sh",
        "qsub -N toobig -q hpc -pe 'mpi*' 960 -b y -o /dev/null -j y hostname",
    )
    look = (
        "export TZ=UTC; qstat -xml -f -r -u '*' && echo --- && qhost -xml -F && echo --- && "
        "cat /var/lib/gridengine/default/common/accounting 2>/dev/null; true"
    )

    def __init__(self) -> None:
        self._nodes: dict[str, set[str]] = {}

    def read(self, text: str, machines: Mapping[str, str]) -> tuple[list[NodeSeen], list[JobLine]]:
        """A node is a host: its name is the computer name."""
        listed, hosts, accounted = text.split("---\n")
        queue = _document(listed)
        running = self._running(queue)
        waiting = [_waiting(element) for element in queue.iterfind("job_info/job_list")]
        lines = [line for line in accounted.splitlines() if line and not line.startswith("#")]
        ended = [self._ended(line.split(":")) for line in lines]
        known = {line.id: line for line in (*ended, *running, *waiting)}
        return _nodes(queue, _document(hosts), machines), list(known.values())

    def nodes_of(self, session: Session, head: str, text: str) -> list[str]:
        """The names of a job's nodes, which have commas between them."""
        return text.split(",")

    def owner_sees(self, session: Session, login: str) -> tuple[str, str, str]:
        """qstat's line, and the line of the job's context."""
        line = session.ssh(login, "qstat | grep toobig").strip()
        identity = line.split()[0]
        return identity, line, session.ssh(login, f"qstat -j {identity} | grep context").strip()

    def cancel(self, job: str) -> str:
        """See `demo.schedulers.Kind`."""
        return f"qdel {job}"

    def _running(self, queue: ElementTree.Element) -> list[JobLine]:
        slots: dict[str, int] = {}
        last: dict[str, ElementTree.Element] = {}
        for instance in queue.iterfind("queue_info/Queue-List"):
            host = _short(instance.findtext("name", "").rpartition("@")[2])
            for element in instance.iterfind("job_list"):
                identity = _identity(element)
                self._nodes.setdefault(identity, set()).add(host)
                slots[identity] = slots.get(identity, 0) + int(element.findtext("slots", "1"))
                last[identity] = element
        return [
            _line(element, identity, "RUNNING", slots[identity], ",".join(sorted(self._nodes[identity])))
            for identity, element in last.items()
        ]

    def _ended(self, fields: list[str]) -> JobLine:
        task = fields[_TASK]
        identity = fields[_NUMBER] + (f"_{task}" if task not in ("", "0") else "")
        nodes = {_short(fields[1]), *self._nodes.get(identity, ())}
        code = int(fields[_EXIT])
        return JobLine(
            id=identity,
            name=fields[_NAME],
            comment="",
            partition=fields[0],
            state="COMPLETED" if code == 0 and fields[_FAILED] == "0" else "FAILED",
            nodes=",".join(sorted(nodes)),
            cpus=int(fields[_SLOTS]),
            submitted=float(fields[_SUBMITTED]),
            started=float(fields[_STARTED]),
            ended=float(fields[_ENDED]),
            reason="",
            note="",
            exit_code=code,
            word="completed" if code == 0 else "failed",
        )


def _document(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - the demo's own cluster
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None


def _short(host: str) -> str:
    return host.partition(".")[0].lower()


def _identity(element: ElementTree.Element) -> str:
    number, task = element.findtext("JB_job_number", ""), element.findtext("tasks", "")
    if not task:
        return number
    return f"{number}_{task}" if task.isdigit() and "q" not in element.findtext("state", "") else f"{number}_[{task}]"


def _line(element: ElementTree.Element, identity: str, state: str, slots: int, nodes: str) -> JobLine:
    return JobLine(
        id=identity,
        name=element.findtext("full_job_name", ""),
        comment="",
        partition=element.findtext("hard_req_queue", ""),
        state=state,
        nodes=nodes,
        cpus=slots,
        submitted=_time(element.findtext("JB_submission_time", "")),
        started=_time(element.findtext("JAT_start_time", "")),
        ended=None,
        reason="",
        note="",
        exit_code=None,
        word=state.lower(),
        tasks=_tasks(element.findtext("tasks", "")) if "q" in element.findtext("state", "") else 1,
    )


def _waiting(element: ElementTree.Element) -> JobLine:
    return _line(element, _identity(element), "PENDING", int(element.findtext("slots", "1")), "")


def _tasks(text: str) -> int:
    count = 0
    for part in filter(None, text.split(",")):
        first, _unused, rest = part.partition("-")
        last, _unused, step = rest.partition(":")
        count += (int(last) - int(first)) // int(step or 1) + 1 if last else 1
    return count or 1


def _time(text: str) -> Time:
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))) if text else None


def _nodes(queue: ElementTree.Element, hosts: ElementTree.Element, machines: Mapping[str, str]) -> list[NodeSeen]:
    states: dict[str, str] = {}
    busy: set[str] = set()
    for instance in queue.iterfind("queue_info/Queue-List"):
        name = _short(instance.findtext("name", "").rpartition("@")[2])
        states[name] = states.get(name, "") + instance.findtext("state", "")
        busy.update([name] if instance.findtext("slots_used", "0") != "0" else ())
    since: dict[str, float] = {}
    for host in hosts.iterfind("host"):
        for value in host.iterfind("resourcevalue[@name='hpc_idle_since']"):
            since[_short(host.get("name", ""))] = float(value.text or 0)
    found = []
    for name in sorted({*machines, *since}):
        up = since.get(name) or None
        going = "d" in states.get(name, "")
        word = "booting" if up is None else "draining" if going else "busy" if name in busy else "idle"
        found.append(NodeSeen(name, word, machines.get(name, ""), name in machines, up, going))
    return found
