# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an LSF job asks for: resource requirement strings and slots, as chunks.

Only what planning needs is understood. A requirement that could change which hosts fit and is not understood makes the
job one that is reported, not one that is guessed at.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, SCATTER, Chunk

from . import commands

_SECTION = re.compile(r"(select|order|rusage|span|same|cu|affinity)\s*\[")
_TERM = re.compile(r"(?:(\d+)\s*\*\s*)?\{([^{}]*)\}")
_COMPARISON = re.compile(r"([A-Za-z_][\w]*)\s*(==|!=|>=|<=|=|>|<)\s*'?\"?([\w.:-]+)\"?'?")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)B?", re.IGNORECASE)
_TO_MIB: t.Mapping[str, float] = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
# Load and properties of all machines alike: they do not tell our machines apart.
_ANY_HOST = frozenset(("type", "model", "hname", "server", "swp", "tmp", "ut", "pg", "io", "ls", "it", "cpuf"))
_LOADS = frozenset(("r15s", "r1m", "r15m", "status", "maxswp", "maxtmp", "ndisks", "rexpri", "ngpus"))
_GPUS = ("ngpus_physical", "ngpus", "ngpus_excl_p", "ngpus_shared")
_ALIKE = frozenset((*commands.STRING_LABELS, "model"))


class RequestError(ValueError):
    """A requirement that is not understood; the text says which."""


@dataclass(frozen=True)
class Request:
    """What a job needs, as `Job` has it."""

    chunks: tuple[Chunk, ...]
    spread: str = FREE
    one_group: bool = False


@dataclass
class _Needs:
    """The sections of one requirement string, read."""

    labels: set[tuple[str, str]] = field(default_factory=set)
    memory: float = 0.0
    memory_per_task: bool = False
    least_memory: float = 0.0
    gpus: float = 0.0
    gpus_per_task: bool = False
    ptile: int = 0
    one_host: bool = False
    alike: bool = False


def request(text: str, slots: int, gpus: int, per_task: bool, queue: str = "") -> Request:
    """The request of a job with ``slots`` slots. ``gpus`` are those that bjobs shows for each host of the job.

    What its own queue asks of hosts is no label: hosts say which queues they serve. ``per_task``: memory is reserved
    for each task and not for each host. Other amounts are LSF's business: of licences machines do not bring more, and
    LSF says of a job that it waits for them. Raises RequestError.
    """
    text = re.sub(rf"\b{re.escape(commands.queue_label(queue))}\b", "any", text)
    terms = _TERM.findall(text)
    if not terms:
        return _simple(text, max(1, slots), gpus, per_task)
    if "||" in _TERM.sub("", text):
        raise RequestError("its resource requirement has alternatives")
    found = [_simple(inner, int(count or 1), gpus, per_task) for count, inner in terms]
    spread = SCATTER if any(one.spread == SCATTER for one in found) else FREE
    chunks = tuple(chunk for one in found for chunk in one.chunks)
    return Request(chunks, spread, len(chunks) > 1 and any(one.one_group for one in found))


def _simple(text: str, slots: int, gpus: int, per_task: bool) -> Request:
    needs = _Needs(memory_per_task=per_task)
    for name, inner in sections(text):
        if name == "select":
            _select(inner, needs)
        elif name == "rusage":
            _rusage(inner, needs)
        elif name == "span":
            _span(inner, needs)
        elif name == "same":
            needs.alike = bool(_ALIKE & set(re.split(r"[:,\s]+", inner)))
    if gpus:
        needs.gpus = max(needs.gpus, gpus)
    return _chunks(needs, slots)


def sections(text: str) -> list[tuple[str, str]]:
    """The sections of a requirement string with what is in their brackets. Without a name it is a selection."""
    found: list[tuple[str, str]] = []
    position = 0
    first = _SECTION.search(text)
    loose = text[: first.start()].strip() if first else text.strip()
    if loose:
        found.append(("select", loose))
    while True:
        match = _SECTION.search(text, position)
        if not match:
            return found
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        if depth:
            raise RequestError(f"its section {match.group(1)} has no end")
        found.append((match.group(1), text[match.end() : end - 1].strip()))
        position = end


def _select(text: str, needs: _Needs) -> None:
    """Conjunctions of comparisons and boolean resources: ``node_array==htc && ib && mem>1000``."""
    if "||" in text:
        raise RequestError(f"its selection {text!r} has alternatives")
    for raw in text.split("&&"):
        term = raw.strip().strip("()").strip()
        match = _COMPARISON.fullmatch(term)
        if not term or term in ("1", "any"):
            continue
        if re.fullmatch(r"[A-Za-z_]\w*", term):
            needs.labels.add((term, "true"))
        elif re.fullmatch(r"defined\s*\(\s*\w+\s*\)?", term):
            continue
        elif match is None:
            raise RequestError(f"its selection {term!r} is not understood")
        else:
            _compare(match.group(1), match.group(2), match.group(3), needs)


def _compare(name: str, operator: str, value: str, needs: _Needs) -> None:
    if name in commands.STRING_LABELS and operator in ("==", "="):
        needs.labels.add((name, label(value)))
    elif name in ("mem", "maxmem") and operator in (">", ">="):
        needs.least_memory = max(needs.least_memory, mebibytes(value))
    elif name in _ANY_HOST or name in _LOADS or name in ("mem", "maxmem"):
        if name == "hname" and operator in ("==", "="):
            needs.labels.add(("host", value.split(".")[0].lower()))
    elif operator in ("==", "=") and value in ("1", "Y", "y"):
        needs.labels.add((name, "true"))
    else:
        raise RequestError(f"its selection {name}{operator}{value} is not understood")


def _rusage(text: str, needs: _Needs) -> None:
    """Amounts: ``mem=4096:lic=1:duration=10,tmp=100/host``. Of alternatives the first counts: LSF tries it first."""
    for part in re.split(r"[,:]", text.split("||")[0]):
        name, equals, raw = part.strip().partition("=")
        if not equals or name in ("duration", "decay"):
            continue
        value, _slash, per = raw.strip().partition("/")
        if name == "mem":
            needs.memory = mebibytes(value)
            needs.memory_per_task = {"task": True, "host": False, "job": False}.get(per, needs.memory_per_task)
        elif name in _GPUS:
            needs.gpus = max(needs.gpus, _number(value))
            needs.gpus_per_task = per == "task"


def _span(text: str, needs: _Needs) -> None:
    hosts = re.search(r"hosts\s*=\s*(-?\d+)", text)
    ptile = re.search(r"ptile\s*=\s*(\d+)", text)
    block = re.search(r"block\s*=\s*(\d+)", text)
    needs.one_host = bool(hosts) and hosts is not None and hosts.group(1) == "1"
    if ptile:
        needs.ptile = int(ptile.group(1))
    elif block:
        needs.ptile = -int(block.group(1))


def _chunks(needs: _Needs, slots: int) -> Request:
    """Slots as pieces: those of one host together where LSF says how many that are."""
    if needs.one_host or slots == 1:
        return Request((_whole(needs, slots),))
    size = abs(needs.ptile)
    if size:
        count, rest = divmod(slots, size)
        chunks = [_whole(needs, size, count)] if count else []
        chunks += [_whole(needs, rest)] if rest else []
        several = count + bool(rest) > 1
        return Request(tuple(chunks), SCATTER if needs.ptile > 0 and several else FREE, several and needs.alike)
    # Any number of slots may share a host, so what is reserved on each host is divided among them.
    memory = needs.memory if needs.memory_per_task else needs.memory / slots
    labels, gpus = tuple(sorted(needs.labels)), _up(needs.gpus)
    piece = Chunk(slots, 1, _up(memory), gpus if needs.gpus_per_task else 0, labels=labels)
    if not gpus or needs.gpus_per_task:
        return Request((piece,), FREE, needs.alike)
    rest_of_it = replace(piece, count=slots - 1)
    return Request((replace(piece, count=1, gpus=gpus), rest_of_it), FREE, needs.alike)


def _whole(needs: _Needs, cpus: int, count: int = 1) -> Chunk:
    """A piece that is all that the job has on a host."""
    memory = max(needs.memory * (cpus if needs.memory_per_task else 1), needs.least_memory)
    gpus = needs.gpus * (cpus if needs.gpus_per_task else 1)
    return Chunk(count, cpus, _up(memory), _up(gpus), labels=tuple(sorted(needs.labels)))


def _up(amount: float) -> int:
    return -int(-amount // 1)


def label(value: str) -> str:
    """A label as everybody else writes it. Values of LSF's string resources have no hyphens, ours no underscores."""
    return value.replace("_", "-")


def mebibytes(text: str) -> float:
    """An amount of memory: 4096 (MB), 4G, 15.5G. Raises RequestError."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise RequestError(f"{text!r} is not an amount of memory")
    return float(match.group(1)) * _TO_MIB[match.group(2).upper()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(f"{text!r} is not a number") from None
