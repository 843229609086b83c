# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lists of a site's own scheduler mean: JMESPath of its definition, evaluated on the controller."""

from __future__ import annotations

import datetime
import json
import math
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.kinds.custom import STATES
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.custom import (
    JOBS,
    NODES,
    is_job_id,
    program,
)

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_TO_MIB = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_SPREADS = ("free", "pack", "scatter")

Record = t.Callable[[str], t.Any]


class MappingError(ValueError):
    """A value that is not what its field has to be; the text says which."""


def read(answer: t.Mapping[str, t.Any], scheduler: Scheduler) -> Queue:
    """The queue from what ``queue_info`` answered for any scheduler. Raises SerialError for what is no such answer."""
    if scheduler.type == "custom":
        return queue(answer, scheduler.options)
    return serial.load(Queue, answer, "queue")


def queue(answer: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]) -> Queue:
    """The queue from what ``queue_info`` answered, and the options of the definition.

    A job that does not fit the model is named in ``skipped``, everything else that does not in ``errors``.
    """
    known = {key: value for key, value in answer.items() if key != "outputs"}
    empty = serial.load(Queue, known, "queue")
    if empty.errors:
        return empty
    outputs = {key: str(value) for key, value in dict(answer.get("outputs") or {}).items()}
    found: dict[str, t.Any] = {}
    try:
        source = options.get("python", "")
        module = program(source) if source else None
        if module is not None and hasattr(module, "queue"):
            found = _of_program(module, outputs, empty)
            return serial.load(Queue, found, "queue")
        jobs, skipped = _jobs(_records(outputs, options, JOBS), options[JOBS])
        nodes = [_node(record) for record in _records(outputs, options, NODES)]
    except (MappingError, ValueError) as error:
        return Queue(empty.scheduler, "", empty.observed_at, errors=(str(error),))
    return Queue(
        empty.scheduler,
        "",
        empty.observed_at,
        tuple(jobs),
        tuple(nodes),
        skipped=tuple(skipped),
        adds_nodes=empty.adds_nodes,
        kicks=empty.kicks,
        unwell=empty.unwell,
    )


def _of_program(module: t.Any, outputs: t.Mapping[str, str], empty: Queue) -> dict[str, t.Any]:
    try:
        found = module.queue(dict(outputs))
    except Exception as error:
        raise MappingError(f"queue() of scheduler.python failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise MappingError("queue() of scheduler.python must answer a dictionary with jobs and nodes")
    return {**serial.dump(empty), **found}


def _records(outputs: t.Mapping[str, str], options: t.Mapping[str, t.Any], key: str) -> list[Record]:
    """The records of a list, each as a function from a field to its value (None where it has none)."""
    import jmespath  # a library of the controller: nodes do without
    from jmespath.exceptions import JMESPathError

    about = options[key]
    try:
        compiled = {name: jmespath.compile(text) for name, text in about["fields"].items()}
        found = jmespath.search(about["each"], json.loads(outputs.get(key, "")))
    except JMESPathError as error:
        raise MappingError(f"scheduler.{key}: {error}") from None
    except ValueError as error:
        raise MappingError(f"the list of {key} is not JSON: {error}") from None
    if found is None:
        raise MappingError(f"scheduler.{key}.each: there is no {about['each']} in the list of {key}")
    if not isinstance(found, list):
        raise MappingError(f"scheduler.{key}.each: {about['each']} is no list")

    def reader(record: t.Any) -> Record:
        def read(field: str) -> t.Any:
            try:
                return compiled[field].search(record) if field in compiled else None
            except JMESPathError as error:
                raise MappingError(f"scheduler.{key}.fields.{field}: {error}") from None

        return read

    return [reader(record) for record in found]


def _jobs(records: t.Sequence[Record], about: t.Mapping[str, t.Any]) -> tuple[list[Job], list[str]]:
    found, skipped = [], []
    for number, record in enumerate(records):
        try:
            job = _job(record, about["states"])
        except MappingError as error:
            skipped.append(f"job {plain(str(record('id') or number), 60)}: {error}")
            continue
        if job.state != "done":
            found.append(job)
    return found, skipped


def _job(record: Record, states: t.Mapping[str, str]) -> Job:
    name = _required(record, "id")
    if not is_job_id(name):
        # Said here, it concerns one job; commands that cannot be run would keep a whole plan from the scheduler.
        raise MappingError("no command can take its id")
    word = _text(record, "state")
    state = states.get(word, word)
    if state not in STATES:
        raise MappingError(f"state {word!r} is not in scheduler.jobs.states")
    spread = _text(record, "spread") or "free"
    if spread not in _SPREADS:
        raise MappingError(f"spread {spread!r} is none of {', '.join(_SPREADS)}")
    pieces = _whole(record, "pieces", 1)
    chunk = Chunk(
        count=pieces,
        cpus=_whole(record, "cpus", 1),
        memory_mib=_memory(record, "memory_mib"),
        gpus=_whole(record, "gpus"),
        resources=_amounts(record, "resources"),
        labels=_labels(record),
    )
    startable = record("startable")
    return Job(
        id=name,
        state=state,
        partitions=_texts(record, "queues"),
        nodes=tuple(name.split(".")[0].lower() for name in _texts(record, "nodes")),
        node_count=pieces if spread == "scatter" else 1,
        cpus=pieces * chunk.cpus,
        tasks=_whole(record, "tasks", 1),
        name=_text(record, "name"),
        user=_text(record, "user"),
        reason=_text(record, "reason"),
        note=_text(record, "note"),
        submitted_at=_time(record, "submitted_at"),
        started_at=_time(record, "started_at"),
        chunks=(chunk,) if state == "pending" else (),
        spread=spread,
        exclusive=_flag(record, "exclusive"),
        one_group=_flag(record, "one_group"),
        priority=float(_number(record, "priority")),
        startable=None if startable is None else _startable(record, startable),
        blocked=_text(record, "blocked"),
    )


def _startable(record: Record, value: t.Any) -> int:
    """How many tasks could start: a number, or whether they could at all."""
    if isinstance(value, bool):
        return _whole(record, "tasks", 1) if value else 0
    return _whole(record, "startable")


def _node(record: Record) -> QueueNode:
    name = _required(record, "name").split(".", maxsplit=1)[0].lower()
    jobs = record("jobs")
    count = len(jobs) if isinstance(jobs, list) else _whole(record, "jobs")
    totals = {
        "cpus": _whole(record, "cpus"),
        "memory_mib": _memory(record, "memory_mib"),
        "gpus": _whole(record, "gpus"),
    }
    free = dict(totals)
    for field, read in (("cpus", _whole), ("memory_mib", _memory), ("gpus", _whole)):
        if record(f"free_{field}") is not None:
            free[field] = read(record, f"free_{field}")
        elif count:
            free[field] = 0  # not said: then jobs are not expected to fit beside those that run
    resources = _amounts(record, "resources")
    drained = _flag(record, "drained")
    return QueueNode(
        name=name,
        flags=frozenset(),
        partitions=_texts(record, "queues"),
        address=_text(record, "address"),
        hostname=_text(record, "hostname") or name,
        reason=_text(record, "reason") if drained else "",
        cpus=totals["cpus"],
        memory_mib=totals["memory_mib"],
        gpus=totals["gpus"],
        up=_flag(record, "up"),
        drained=drained,
        jobs=count,
        idle_since=0 if count else _time(record, "idle_since"),
        resources=resources,
        labels=_labels(record),
        free_cpus=free["cpus"],
        free_memory_mib=free["memory_mib"],
        free_gpus=free["gpus"],
        free_resources=_amounts(record, "free_resources") if record("free_resources") is not None else resources,
    )


def _required(record: Record, field: str) -> str:
    value = _text(record, field)
    if not value:
        raise MappingError(f"it has no {field}")
    return value


def _text(record: Record, field: str) -> str:
    value = record(field)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise MappingError(f"{field} must be a text, not {json.dumps(value)[:60]}")
    return str(value)


def _texts(record: Record, field: str) -> tuple[str, ...]:
    """Several texts: a list, or one text with commas."""
    value = record(field)
    if value is None:
        return ()
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise MappingError(f"{field} must be a list of texts, not {json.dumps(value)[:60]}")
    return tuple(item.strip() for item in items if item.strip())


def _number(record: Record, field: str, default: float = 0) -> float:
    value = record(field)
    if value is None or value == "":
        return default
    try:
        found = math.nan if isinstance(value, (bool, list, dict)) else float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise MappingError(f"{field} must be a number, not {json.dumps(value)[:60]}")
    return found


def _whole(record: Record, field: str, default: int = 0) -> int:
    return max(0, math.ceil(_number(record, field, default)))


def _flag(record: Record, field: str) -> bool:
    value = record(field)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise MappingError(f"{field} must be true or false: compare it with something ({field}: \"state=='up'\")")
    return value


def _memory(record: Record, field: str) -> int:
    """MiB: a number, or a text with a unit such as 16G."""
    value = record(field)
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        return math.ceil(float(match.group(1)) * _TO_MIB[match.group(2).upper()])
    return _whole(record, field)


def _time(record: Record, field: str) -> int:
    """Seconds since the epoch: a number, or a time as ISO 8601 has it."""
    value = record(field)
    if isinstance(value, str) and not re.fullmatch(r"\d+(?:\.\d+)?", value.strip()):
        try:
            found = datetime.datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise MappingError(
                f"{field} must be a time such as 2026-11-20T12:40:00Z or seconds, not {value!r}"
            ) from None
        return int(found.timestamp())
    return _whole(record, field)


def _amounts(record: Record, field: str) -> tuple[tuple[str, float], ...]:
    value = record(field)
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(item, (int, float)) for item in value.values()):
        raise MappingError(f"{field} must be a dictionary of numbers")
    return tuple(sorted((str(name), float(item)) for name, item in value.items() if item))


def _labels(record: Record) -> tuple[tuple[str, str], ...]:
    """Labels: a dictionary, or a list of ``name=value``. What is null is not there, and true is written in one way."""
    value = record("labels")
    if value is None:
        return ()
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        value = {str(item).partition("=")[0].strip(): str(item).partition("=")[2].strip() or "true" for item in value}
    if not isinstance(value, dict):
        raise MappingError("labels must be a dictionary or a list of name=value")
    words = {True: "true", False: "false"}
    return tuple(
        sorted(
            (str(name), words[item] if isinstance(item, bool) else str(item))
            for name, item in value.items()
            if item not in (None, "")
        )
    )
