# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What LSF's commands print, as values."""

from __future__ import annotations

import json
import re
import time
import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import asking, commands

PREFIX = "azure_hpc: "
_STATES: t.Mapping[str, str] = {
    "PEND": "pending",
    "PSUSP": "pending",
    "WAIT": "pending",
    "PROV": "configuring",
    "RUN": "running",
    "USUSP": "suspended",
    "SSUSP": "suspended",
    "UNKWN": "running",
    "ZOMBI": "completing",
}
_ENDED = frozenset(("DONE", "EXIT", "FWD_PEND", "POST_DONE", "POST_ERR"))
_DOWN = frozenset(("unavail", "unreach", "closed_LIM"))
_DRAINED = frozenset(("closed_Adm", "closed_Lock", "closed_EGO", "closed_RC"))
# Reasons of the whole job; those of single hosts end with how many they are, and more machines help against them.
_OF_HOSTS = re.compile(r":\s*\d+\s+hosts?\s*$")
_NO_MACHINE_HELPS = re.compile(
    r"dependency|\blimits?\b.*\breached\b|\breached\b.*\blimit|reserving (?:cluster-wide )?resource \("
    r"|run window|time window|inactiv|closed|specified (?:start|begin) time|start time|suspended|held|throttle|preempt"
    r"|not eligible",
    re.IGNORECASE,
)
_NOBODY_MATCHES = "No matching"
_NO_JOBS = re.compile(r"No (?:unfinished |matching |DONE/EXIT )?jobs? found|No job found")
_WHEN = ("%b %d %H:%M:%S %Y", "%b %d %H:%M %Y")


class ParseError(ValueError):
    """An output that is not what the command prints; the text says which."""


def queue(outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
    """The queue from all outputs. Whatever could not be read is named in ``errors``, single jobs in ``skipped``."""
    errors: list[str] = []

    def read(what: t.Callable[[], t.Any]) -> t.Any:
        try:
            return what()
        except ParseError as error:
            errors.append(str(error))
            return ()

    jobs = read(lambda: _records(outputs, commands.JOBS, "bjobs"))
    ended = read(lambda: _records(outputs, commands.ENDED, "bjobs -d"))
    hosts = read(lambda: _records(outputs, commands.HOSTS, "bhosts"))
    static = read(lambda: _records(outputs, commands.STATIC, "lshosts"))
    queues = read(lambda: _records(outputs, commands.QUEUES, "bqueues"))
    labels = read(lambda: labels_of(_answer(outputs, commands.LABELS, "lshosts -s", _NOBODY_MATCHES)))
    parameters = read(lambda: _answer(outputs, commands.PARAMETERS, "bparams"))
    if errors:
        return Queue("lsf", "", observed_at, errors=tuple(errors))
    per_task = bool(re.search(r"RESOURCE_RESERVE_PER_(?:TASK|SLOT)\s*=\s*[yY]", parameters))
    found, skipped = _Jobs(queues, per_task, observed_at).read(jobs)
    serves = {commands.queue_label(record.get("QUEUE_NAME", "")): record.get("QUEUE_NAME", "") for record in queues}
    nodes = _nodes(hosts, static, labels, _idle_since(ended, observed_at), found, serves)
    return Queue("lsf", "", observed_at, found, nodes, skipped=tuple(skipped))


def _answer(outputs: t.Mapping[str, Output], key: str, what: str, harmless: str = "") -> str:
    output = outputs.get(key)
    if output is None:
        raise ParseError(f"{what} was not run")
    nothing = _NO_JOBS.search(output.stderr) or (harmless and harmless in output.stderr)
    if output.status != 0 and not (nothing and output.status != -1):
        raise ParseError(f"{what} failed with status {output.status}: {output.said()}")
    return output.stdout


def _records(outputs: t.Mapping[str, Output], key: str, what: str) -> list[dict[str, str]]:
    """The records of one JSON answer. No job at all is a message, in some fix packs with an exit status of its own."""
    text = _answer(outputs, key, what)
    if not text.strip() and _NO_JOBS.search(outputs[key].stderr):
        return []
    try:
        data = json.loads(text, strict=False)
    except ValueError as error:
        raise ParseError(f"{what} did not print JSON: {error}") from None
    records = data.get("RECORDS") if isinstance(data, dict) else None
    if not isinstance(records, list):
        raise ParseError(f"{what} has no list of RECORDS")
    return [
        {str(name).upper(): "" if value is None else str(value).strip() for name, value in one.items()}
        for one in records
        if isinstance(one, dict)
    ]


def labels_of(text: str) -> dict[str, dict[str, str]]:
    """The table of ``lshosts -s``: resource, value, hosts. Hosts may be several, and on lines of their own."""
    found: dict[str, dict[str, str]] = {}
    name = value = ""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] == "RESOURCE":
            continue
        if not line[0].isspace() and len(words) >= 2:
            name, value, words = words[0], words[1], words[2:]
        for host in words:
            found.setdefault(host, {})[name] = value
    return found


def has_own_description(job: Job) -> bool:
    """Whether its owner described a job. Only of jobs that were parsed here: it is no field that planning needs."""
    return bool(job.__dict__.get("_own_description"))


def _number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0


def when(text: str, now: int) -> int:
    """A time of LSF: ``Apr 12 18:10:00 2026``, or ``Oct  1 15:40`` of the last twelve months; 0 for none."""
    parts = text.split()
    while parts and (len(parts[-1]) == 1 and parts[-1].isalpha()):
        parts.pop()  # what kind of limit the end of a job comes from
    for form in (" ".join(parts), f"{' '.join(parts)} {time.localtime(now).tm_year}"):
        for pattern in _WHEN:
            try:
                found = int(time.mktime(time.strptime(form, pattern)))
            except (ValueError, OverflowError):
                continue
            if found > now + 86400:
                return int(time.mktime(time.strptime(f"{' '.join(parts)} {time.localtime(now).tm_year - 1}", pattern)))
            return found
    return 0


def hosts_of(text: str) -> tuple[str, ...]:
    """The hosts of ``4*hostA:2*hostB`` or ``hostA:hostA:hostB``, each once."""
    names = (part.strip().rpartition("*")[2] for part in text.split(":"))
    return tuple(dict.fromkeys(short(name) for name in names if name and name != "-"))


def short(name: str) -> str:
    """A host's name without its domain, as machines are called."""
    return name.split(".")[0].lower()


def _idle_since(ended: t.Sequence[t.Mapping[str, str]], now: int) -> dict[str, int]:
    """When the last job of each host ended that LSF still remembers."""
    found: dict[str, int] = {}
    for record in ended:
        at = when(record.get("FINISH_TIME", ""), now)
        for host in hosts_of(record.get("EXEC_HOST", "")):
            found[host] = max(found.get(host, 0), at)
    return found


class _Jobs:
    """Reads all jobs. Elements of an array that wait alike are one job with a count."""

    def __init__(self, queues: t.Sequence[t.Mapping[str, str]], per_task: bool, now: int) -> None:
        self._queues = {record.get("QUEUE_NAME", ""): record for record in queues}
        self._per_task, self._now = per_task, now

    def read(self, records: t.Sequence[t.Mapping[str, str]]) -> tuple[tuple[Job, ...], list[str]]:
        """The jobs, and those that are not understood, with the reason."""
        found: list[Job] = []
        places: dict[t.Any, int] = {}
        skipped: list[str] = []
        for record in records:
            if record.get("STAT", "") in _ENDED:
                continue
            try:
                job, alike = self._job(record)
            except asking.RequestError as error:
                text = f"{record.get('JOBID', '?')}: {error}"
                if text not in skipped:
                    skipped.append(text)
                continue
            if alike is not None and alike in places:
                at = places[alike]
                startable = found[at].startable
                more = None if startable is None else startable + (job.startable or 0)
                own = has_own_description(found[at])
                found[at] = replace(found[at], tasks=found[at].tasks + 1, startable=more)
                found[at].__dict__["_own_description"] = own
                continue
            if alike is not None:
                places[alike] = len(found)
            found.append(job)
        return tuple(found), skipped

    def _job(self, record: t.Mapping[str, str]) -> tuple[Job, t.Any]:
        number, index = record.get("JOBID", ""), record.get("JOBINDEX", "")
        state = _STATES.get(record.get("STAT", ""))
        if not re.fullmatch(r"\d+", number):
            raise asking.RequestError("it has no number")
        if state is None:
            raise asking.RequestError(f"its state {record.get('STAT', '')!r} is not known")
        in_array = index.isdigit() and int(index) > 0
        job = self._value(record, number, state, in_array)
        own = record.get("JOB_DESCRIPTION", "").strip("- ")
        if state != "pending":
            return (replace(job, id=f"{number}[{index}]") if in_array else job), None
        blocked = self._blocked(record)
        if blocked:
            job = replace(job, startable=0, blocked=blocked)
        # A job is frozen; what is kept on it beside its fields goes nowhere else.
        job.__dict__["_own_description"] = bool(own) and not own.startswith(PREFIX)
        return job, (number, job.chunks, blocked) if in_array else None

    def _value(self, record: t.Mapping[str, str], number: str, state: str, in_array: bool) -> Job:
        slots = _number(record.get("NREQ_SLOT", "")) or _number(record.get("MIN_REQ_PROC", "")) or 1
        asked = asking.Request(())
        if state == "pending":
            gpus = _number(record.get("GPU_NUM", ""))
            text = record.get("COMBINED_RESREQ", "").strip("- ")
            asked = asking.request(text, slots, gpus, self._per_task, record.get("QUEUE", ""))
        name = record.get("JOB_NAME", "")
        description = record.get("JOB_DESCRIPTION", "")
        hosts = hosts_of(record.get("EXEC_HOST", "")) if state != "pending" else ()
        return Job(
            id=number,
            state=state,
            partitions=(record["QUEUE"],) if record.get("QUEUE") else (),
            nodes=hosts,
            node_count=len(hosts) or 1,
            cpus=slots,
            name=name.rpartition("[")[0] if in_array and name.endswith("]") else name,
            user=record.get("USER", ""),
            reason=record.get("PEND_REASON", "") if state == "pending" else "",
            note=description if description.startswith(PREFIX) else "",
            submitted_at=when(record.get("SUBMIT_TIME", ""), self._now),
            started_at=when(record.get("START_TIME", ""), self._now) if state != "pending" else 0,
            chunks=asked.chunks,
            spread=asked.spread,
            exclusive=record.get("EXCLUSIVE", "").upper() in ("Y", "YES"),
            one_group=asked.one_group,
            priority=self._priority(record),
        )

    def _priority(self, record: t.Mapping[str, str]) -> float:
        """Queues first, then what the job says of itself."""
        of_queue = self._queues.get(record.get("QUEUE", ""), {}).get("PRIORITY", "")
        return 10_000.0 * _number(of_queue) + _number(record.get("JOB_PRIORITY", ""))

    def _blocked(self, record: t.Mapping[str, str]) -> str:
        """Why no machine would start it, in LSF's words; '' if machines would."""
        if record.get("STAT") == "PSUSP":
            return "it is held"
        status = self._queues.get(record.get("QUEUE", ""), {}).get("STATUS", "")
        if "inact" in status.lower():
            return f"queue {record.get('QUEUE', '')} is {status}"
        for reason in re.split(r"[;\n]", record.get("PEND_REASON", "")):
            text = reason.strip()
            if text and not _OF_HOSTS.search(text) and _NO_MACHINE_HELPS.search(text):
                return text
        return ""


def _nodes(
    hosts: t.Sequence[t.Mapping[str, str]],
    static: t.Sequence[t.Mapping[str, str]],
    labels: t.Mapping[str, t.Mapping[str, str]],
    idle: t.Mapping[str, int],
    jobs: t.Sequence[Job],
    serves: t.Mapping[str, str],
) -> tuple[QueueNode, ...]:
    known = {short(record.get("HOST_NAME", "")): record for record in static}
    strings = {short(host): values for host, values in labels.items()}
    running: dict[str, int] = {}
    for job in jobs:
        for name in job.nodes:
            running[name] = running.get(name, 0) + 1
    found = []
    for record in hosts:
        name = short(record.get("HOST_NAME", ""))
        if not name:
            continue
        node = _node(name, record, known.get(name, {}), strings.get(name, {}), running.get(name, 0), serves)
        node = replace(node, idle_since=0 if node.jobs else idle.get(name, 0))
        # LSF remembers hosts that are gone. One that a pass drained and that is down without a job was taken away.
        if node.up or node.jobs or not node.reason.startswith(PREFIX):
            found.append(node)
    return tuple(found)


def _node(
    name: str,
    record: t.Mapping[str, str],
    static: t.Mapping[str, str],
    strings: t.Mapping[str, str],
    running: int,
    serves: t.Mapping[str, str],
) -> QueueNode:
    status = record.get("STATUS", "")
    cpus = _number(record.get("MAX", "")) or _number(static.get("NCPUS", ""))
    used = sum(_number(record.get(key, "")) for key in ("RUN", "SSUSP", "USUSP", "RSV"))
    used = max(used, _number(record.get("NJOBS", "")))
    memory = _memory(record.get("TOTAL_MEM", "")) or _memory(static.get("MAXMEM", ""))
    free_memory = _memory(record.get("AVAILABLE_MEM", "")) if record.get("AVAILABLE_MEM", "-") != "-" else memory
    gpus = _number(record.get("NGPUS", ""))
    full = status in ("closed_Full", "closed_Excl", "closed_Busy", "closed_cu_Excl", "closed_Wind")
    comment = record.get("COMMENTS", "").strip("\"' ")
    ours = comment.find(PREFIX)
    up = bool(status) and status not in _DOWN
    closed = status in _DRAINED or status == "closed"
    # Where a host is down, LSF says only that: our lock is known by its comment.
    locked = ours >= 0 and (closed or not up)
    found = {(key, asking.label(value)) for key, value in strings.items() if value != "-"}
    booleans = static.get("RESOURCES", "").strip("() ").replace("!", "").split()
    found.update((word, "true") for word in booleans if re.fullmatch(r"[A-Za-z_]\w*", word) and word not in serves)
    return QueueNode(
        name=name,
        flags=frozenset((status.upper(),)) if status else frozenset(),
        partitions=tuple(serves[word] for word in booleans if word in serves),
        hostname=record.get("HOST_NAME", ""),
        reason=comment[ours:] if locked else comment if closed else "",
        cpus=cpus,
        memory_mib=memory,
        gpus=gpus,
        up=up,
        drained=closed or locked,
        jobs=max(running, 1 if used else 0),
        labels=tuple(sorted(found)),
        free_cpus=0 if full else max(0, cpus - used),
        free_memory_mib=0 if full else min(memory, free_memory),
        free_gpus=0 if full else max(0, gpus - _number(record.get("NGPUS_ALLOC", ""))),
    )


def _memory(text: str) -> int:
    try:
        return int(asking.mebibytes(text))
    except asking.RequestError:
        return 0
