# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PBS job asks for: select statements, place statements and amounts, as chunks."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, PACK, SCATTER, Chunk

# The resource by which PBS groups nodes into placement sets; elsewhere this label is the placement group.
GROUP_RESOURCE = "group_id"
QUEUES_RESOURCE = "Qlist"
GPUS = "ngpus"
_SIZE = re.compile(r"(\d+)([kmgtp]?)([bw]?)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_WORD_BYTES = 8
_MIB = 1024 * 1024
# What a chunk says about the processes of a job, not about nodes.
_OF_PROCESSES = frozenset(("mpiprocs", "ompthreads", "nodect", "walltime", "cput", "pcput", "nice"))
_BUILT_IN_AMOUNTS: t.Mapping[str, str] = {"vmem": "size", "naccelerators": "long", "accelerator_memory": "size"}
_NUMBERS = ("long", "float", "size")


class RequestError(ValueError):
    """A request that is not understood; the text says what."""


@dataclass(frozen=True)
class Place:
    """A place statement: ``spread`` as in `Job.spread`; ``group`` is the resource that all nodes have to share."""

    spread: str = FREE
    exclusive: bool = False
    group: str = ""


class Definitions:
    """What is known about resources: which are amounts that jobs use up, and which are labels."""

    def __init__(self, custom: t.Mapping[str, tuple[str, str]]) -> None:
        self._custom = custom

    def kind(self, name: str) -> str:
        """PBS's type of a resource: long, float, size, boolean, string or string_array."""
        return self._custom.get(name, (_BUILT_IN_AMOUNTS.get(name, "string"), ""))[0]

    def consumed(self, name: str) -> bool:
        """Whether jobs use it up on nodes."""
        kind, flags = self._custom.get(name, (self.kind(name), "nh" if name in _BUILT_IN_AMOUNTS else ""))
        return kind in _NUMBERS and bool({"n", "f"} & set(flags))

    def amount(self, name: str, text: str) -> float:
        """An amount of a resource, sizes in MiB. Raises RequestError."""
        if self.kind(name) == "size":
            return size_bytes(text) / _MIB
        return number(text)

    def labels(self, name: str, text: str) -> tuple[tuple[str, str], ...]:
        """A value as labels: a list is one label each, and true is written in one way."""
        if name == GROUP_RESOURCE:
            return ((offers.PLACEMENT_GROUP, text),)
        if self.kind(name) == "string_array":
            return tuple((name, part.strip()) for part in text.split(",") if part.strip())
        if self.kind(name) == "boolean":
            return ((name, "true" if text.strip().lower() in ("true", "t", "y", "yes", "1") else "false"),)
        return ((name, text),)


def size_bytes(text: str) -> int:
    """A size of PBS in bytes: 4gb, 4194304KB, 4mw (words of 8 bytes), 1073741824. Raises RequestError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise RequestError(f"{text!r} is not a size")
    unit: int = 1024 ** _POWERS[match.group(2).lower()]
    return int(match.group(1)) * unit * (_WORD_BYTES if match.group(3).lower() == "w" else 1)


def number(text: str) -> float:
    """A finite number. Raises RequestError."""
    try:
        value = float(text)
    except ValueError:
        raise RequestError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise RequestError(f"{text!r} is not a number")
    return value


def whole(text: str) -> int:
    """A whole number, 0 or more. Raises RequestError."""
    if not re.fullmatch(r"\d{1,12}", text.strip()):
        raise RequestError(f"{text!r} is not a whole number")
    return int(text)


def pieces(text: str, separator: str) -> list[str]:
    """Parts of a text with their quotes; separators between quotes do not count. Raises RequestError."""
    parts, quote = [""], ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == separator:
            parts.append("")
            continue
        parts[-1] += char
    if quote:
        raise RequestError(f"{text!r} has a quote without an end")
    return parts


def unquoted(text: str) -> str:
    """A value without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def select(text: str, definitions: Definitions) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """The chunks of a select statement, and the queues that it names by Qlist. Raises RequestError."""
    if not text.strip():
        raise RequestError("it says nowhere what it asks for")
    chunks: list[Chunk] = []
    queues: list[str] = []
    for part in pieces(text, "+"):
        chunk, named = _chunk(part, definitions)
        if chunk.count:
            chunks.append(chunk)
        queues.extend(name for name in named if name not in queues)
    if not chunks:
        raise RequestError(f"{text!r} asks for nothing")
    return tuple(chunks), tuple(queues)


def _chunk(text: str, definitions: Definitions) -> tuple[Chunk, tuple[str, ...]]:
    parts = pieces(text.strip(), ":")
    count = whole(parts.pop(0)) if parts and "=" not in parts[0] else 1
    cpus = memory = gpus = 0
    amounts: dict[str, float] = {}
    labels: set[tuple[str, str]] = set()
    queues: tuple[str, ...] = ()
    for part in parts:
        name, equals, raw = part.partition("=")
        if not equals or not name:
            raise RequestError(f"{part!r} is not a resource with a value")
        value = unquoted(raw)
        if name == "ncpus":
            cpus = whole(value)
        elif name == "mem":
            memory = -(-size_bytes(value) // _MIB)
        elif name == GPUS:
            gpus = whole(value)
        elif name == QUEUES_RESOURCE:
            queues = tuple(filter(None, (item.strip() for item in value.split(","))))
        elif definitions.consumed(name):
            amounts[name] = definitions.amount(name, value)
        elif name not in _OF_PROCESSES and (name, value.lower()) != ("arch", "linux"):
            labels.update(definitions.labels(name, value))
    return Chunk(count, cpus, memory, gpus, tuple(sorted(amounts.items())), tuple(sorted(labels))), queues


def place(text: str) -> Place:
    """A place statement: scatter:excl:group=group_id. Raises RequestError."""
    spread, exclusive, group = FREE, False, ""
    for part in filter(None, text.strip().split(":")):
        if part in ("excl", "exclhost"):
            exclusive = True
        elif part in ("scatter", "vscatter"):
            spread = SCATTER
        elif part == "pack":
            spread = PACK
        elif part.startswith("group="):
            group = part[len("group=") :]
        elif part not in ("free", "shared"):
            raise RequestError(f"{text!r} is not a place statement")
    if group in ("host", "vnode"):
        return Place(PACK, exclusive, "")
    return Place(spread, exclusive, group)
