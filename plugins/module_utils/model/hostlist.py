# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm host lists: ``htc-[1-3,7],login-1`` to names and back. One number at the end of a name counts."""

from __future__ import annotations

import re
import typing as t

_NUMBERED = re.compile(r"^(.*?)(\d+)$")
_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")
_PART = re.compile(r"^([^\[\],\s]*)(?:\[([0-9,-]+)\])?([^\[\],\s]*)$")
LIMIT = 100_000


def sort_key(name: str) -> tuple[str, int, str]:
    """Order names as people count: htc-2 before htc-10."""
    match = _NUMBERED.match(name)
    return (match.group(1), int(match.group(2)), name) if match else (name, -1, name)


def in_order(names: t.Iterable[str]) -> list[str]:
    """The names without repetition, in the order in which people count."""
    return sorted(set(names), key=sort_key)


def compress(names: t.Iterable[str]) -> str:
    """One host list for the names, without repetition and in a fixed order; '' for none."""
    runs: dict[tuple[str, int], list[list[int]]] = {}
    plain: list[str] = []
    for name in in_order(names):
        match = _NUMBERED.match(name)
        if not match:
            plain.append(name)
            continue
        prefix, digits = match.groups()
        # Numbers of different width may share a range only when they carry no leading zero.
        width = len(digits) if digits.startswith("0") and len(digits) > 1 else 0
        number = int(digits)
        ranges = runs.setdefault((prefix, width), [])
        if ranges and ranges[-1][1] + 1 == number and (not width or len(str(number)) <= width):
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    parts = [(prefix, _bracket(prefix, width, ranges)) for (prefix, width), ranges in runs.items()]
    return ",".join(text for _prefix, text in sorted(parts + [(name, name) for name in plain]))


def _bracket(prefix: str, width: int, ranges: list[list[int]]) -> str:
    texts = [
        str(low).zfill(width) if low == high else f"{str(low).zfill(width)}-{str(high).zfill(width)}"
        for low, high in ranges
    ]
    if len(texts) == 1 and "-" not in texts[0]:
        return prefix + texts[0]
    return f"{prefix}[{','.join(texts)}]"


def expand(text: str) -> tuple[str, ...]:
    """The names of a host list, in its order. Raises ValueError when it cannot be read or has over 100,000 names."""
    names: list[str] = []
    for part in _split(text):
        match = _PART.match(part)
        if not match:
            raise ValueError(f"not a host list: {part!r}")
        head, ranges, tail = match.groups()
        names.extend([part] if ranges is None else (head + number + tail for number in _numbers(ranges)))
        if len(names) > LIMIT:
            raise ValueError(f"a host list of more than {LIMIT} names")
    return tuple(names)


def _split(text: str) -> list[str]:
    """Cut at the commas that are outside of brackets."""
    parts, depth, current = [], 0, ""
    for char in text.strip():
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [part for part in (*parts, current) if part]


def _numbers(ranges: str) -> t.Iterator[str]:
    for part in ranges.split(","):
        match = _RANGE.match(part)
        if not match:
            raise ValueError(f"not a range of numbers: {part!r}")
        low, high = match.group(1), match.group(2) or match.group(1)
        if int(high) < int(low) or int(high) - int(low) > LIMIT:
            raise ValueError(f"not a range of numbers: {part!r}")
        for number in range(int(low), int(high) + 1):
            yield str(number).zfill(len(low))
