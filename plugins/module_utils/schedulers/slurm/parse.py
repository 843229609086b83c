# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm's commands print, as values.

Reads the JSON of data_parser v0.0.40 to v0.0.43 (Slurm 23.11 to 25.05): numbers may be plain or
``{set, infinite, number}``, states a list or one word. Anything that is missing or of another shape makes the
observation incomplete, which is an entry in `Queue.errors`: a pass must not decide from half of a queue.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import OWN_WORDS, Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

_ENDED = "done"
_BASE_STATES: t.Mapping[str, str] = {"PENDING": "pending", "RUNNING": "running", "SUSPENDED": "suspended"}
_RANGE = re.compile(r"^(\d+)(?:-(\d+)(?::(\d+))?)?$")


class ParseError(ValueError):
    """Output that is not what the command prints; the text says where."""


def queue(outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
    """The queue from the outputs ``jobs`` and ``nodes``. Whatever could not be read is named in ``errors``."""
    errors: list[str] = []
    names: list[str] = []
    jobs: tuple[Job, ...] = ()
    found: tuple[QueueNode, ...] = ()
    try:
        data = _document(outputs, "jobs", "squeue")
        names.append(_cluster(data))
        jobs = parse_jobs(data)
    except ParseError as error:
        errors.append(str(error))
    try:
        data = _document(outputs, "nodes", "scontrol show nodes")
        names.append(_cluster(data))
        found = parse_nodes(data)
    except ParseError as error:
        errors.append(str(error))
    return Queue("slurm", next(filter(None, names), ""), observed_at, jobs, found, tuple(errors))


def _document(outputs: t.Mapping[str, Output], key: str, what: str) -> dict[str, t.Any]:
    output = outputs.get(key)
    if output is None:
        raise ParseError(f"{what} was not run")
    if output.status != 0:
        raise ParseError(f"{what} failed with status {output.status}: {output.said()}")
    try:
        data = json.loads(output.stdout)
    except ValueError as error:
        raise ParseError(f"{what} did not print JSON: {error}") from None
    if not isinstance(data, dict):
        raise ParseError(f"{what} did not print a dictionary")
    problems = data.get("errors") or []
    if problems:
        texts = [_text(item, "description") or _text(item, "error") for item in problems if isinstance(item, dict)]
        raise ParseError(f"{what} reported: {'; '.join(filter(None, texts)) or 'an error'}")
    return data


def _cluster(data: t.Mapping[str, t.Any]) -> str:
    meta = data.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    about = meta.get("slurm") or meta.get("Slurm") or {}
    return _text(about, "cluster") if isinstance(about, dict) else ""


def parse_jobs(data: t.Mapping[str, t.Any]) -> tuple[Job, ...]:
    """The jobs of ``squeue --json`` that have not ended. Raises ParseError."""
    return tuple(job for job in (_job(item, at) for at, item in _records(data, "jobs")) if job.state != _ENDED)


def parse_nodes(data: t.Mapping[str, t.Any]) -> tuple[QueueNode, ...]:
    """The nodes of ``scontrol show nodes --json``. Raises ParseError."""
    return tuple(_node(item, at) for at, item in _records(data, "nodes"))


def _records(data: t.Mapping[str, t.Any], key: str) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    records = data.get(key)
    if not isinstance(records, list):
        raise ParseError(f"there is no list of {key}")
    for index, item in enumerate(records):
        if not isinstance(item, dict):
            raise ParseError(f"{key}[{index}] is not a dictionary")
        yield f"{key}[{index}]", item


def _job(item: t.Mapping[str, t.Any], at: str) -> Job:
    words = _words(item, "job_state", at)
    nodes = _hosts(_text(item, "nodes"), at)
    task_ids = _text(item, "array_task_string")
    return Job(
        id=_job_id(item, at),
        state=_job_state(words),
        partitions=tuple(filter(None, _text(item, "partition").split(","))),
        nodes=nodes,
        node_count=max(_number(item, "node_count"), len(nodes)),
        cpus=_number(item, "cpus"),
        tasks=count_tasks(task_ids) if task_ids else 1,
        name=_text(item, "name"),
        user=_text(item, "user_name") or str(_number(item, "user_id")),
        reason=_reason(item),
        note=_text(item, "admin_comment"),
        submitted_at=_number(item, "submit_time"),
        started_at=0 if "PENDING" in words else _number(item, "start_time"),
    )


def _job_id(item: t.Mapping[str, t.Any], at: str) -> str:
    """The id as users know it: 12, 12_3 for a task of an array, 12 for an array's pending rest, 12+1 for het jobs."""
    number = _number(item, "job_id")
    if number <= 0:
        raise ParseError(f"{at} has no job_id")
    array = _number(item, "array_job_id")
    if array:
        task = item.get("array_task_id")
        is_set = task.get("set") if isinstance(task, dict) else task is not None
        return f"{array}_{_number(item, 'array_task_id')}" if is_set else str(array)
    het = _number(item, "het_job_id")
    return f"{het}+{_number(item, 'het_job_offset')}" if het else str(number)


def _job_state(words: t.Sequence[str]) -> str:
    if "COMPLETING" in words:
        return "completing"
    state = next((_BASE_STATES[word] for word in words if word in _BASE_STATES), _ENDED)
    if state == "running" and ("CONFIGURING" in words or "POWER_UP_NODE" in words):
        return "configuring"
    return state


def _reason(item: t.Mapping[str, t.Any]) -> str:
    """Slurm's word, and its sentence where it has one: ``ReqNodeNotAvail, UnavailableNodes:htc-[1-3]``."""
    word, sentence = _text(item, "state_reason"), _text(item, "state_description")
    if not sentence or word in ("", "None"):
        return sentence or ("" if word == "None" else word)
    return sentence if sentence.startswith(word) else f"{word}: {sentence}"


def count_tasks(ranges: str) -> int:
    """How many tasks an array's pending rest has: ``1-20%3`` has 20, ``6-100:2`` 48; what is cut off does not count."""
    total = 0
    for part in ranges.split("%")[0].strip("[]").split(","):
        match = _RANGE.match(part)
        if match:
            low, high, step = int(match.group(1)), int(match.group(2) or match.group(1)), int(match.group(3) or 1)
            total += max(0, high - low) // max(1, step) + 1
    return max(1, total)


def _node(item: t.Mapping[str, t.Any], at: str) -> QueueNode:
    name = _text(item, "name")
    if not name:
        raise ParseError(f"{at} has no name")
    partitions = item.get("partitions")
    return QueueNode(
        name=name,
        flags=frozenset(_words(item, "state", at)),
        partitions=tuple(str(part) for part in partitions) if isinstance(partitions, list) else (),
        instance_id=_text(item, "instance_id"),
        address=_text(item, "address"),
        hostname=_text(item, "hostname"),
        reason=_text(item, "reason") or _own_words(item),
        reason_at=_number(item, "reason_changed_at") if _text(item, "reason") else 0,
        cpus=_number(item, "cpus"),
        memory_mib=_number(item, "real_memory"),
        registered_at=_number(item, "slurmd_start_time"),
        last_busy=_number(item, "last_busy"),
    )


def _own_words(item: t.Mapping[str, t.Any]) -> str:
    """What a node says of itself as it joins, in its comment: reasons of nodes that are not drained are forgotten."""
    comment = _text(item, "comment")
    return comment if comment.startswith(OWN_WORDS) else ""


def _words(item: t.Mapping[str, t.Any], key: str, at: str) -> list[str]:
    value = item.get(key)
    words = re.split(r"[+,\s]+", value) if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ParseError(f"{at} has no {key}")
    return [word.upper() for word in words if word]


def _hosts(text: str, at: str) -> tuple[str, ...]:
    try:
        return hostlist.expand(text) if text not in ("", "(null)", "None assigned") else ()
    except ValueError as error:
        raise ParseError(f"{at}.nodes is {error}") from None


def _number(item: t.Mapping[str, t.Any], key: str) -> int:
    value = item.get(key)
    if isinstance(value, dict):
        value = value.get("number") if value.get("set", True) and not value.get("infinite") else 0
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return int(value) if isinstance(value, (int, float)) else 0


def _text(item: t.Mapping[str, t.Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""
