# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid Engine's XML as elements, although users have a say in it: nothing in it may blind a pass or eat its memory.

Names of jobs can have characters that XML does not allow, and Grid Engine writes some of them wrongly. Documents with a
DOCTYPE, which could define entities that grow, are refused before they are parsed.
"""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

Element = ElementTree.Element
# What XML 1.0 cannot have, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")
_JOB = re.compile(
    r"<job_list\b.*?</job_list>|<element>\s*<JB_job_number>.*?</element>(?=\s*(?:<element>|</djob_info>))", re.S
)
_NUMBER = re.compile(r"<JB_job_number>\s*([0-9]+)")
# Grid Engine writes < in this way, and > as XML has it.
_LESS = "%lt;"


class ParseError(ValueError):
    """Output that is not what the command prints; the text says where."""


def output(outputs: t.Mapping[str, Output], key: str, what: str, fails: str = "") -> str:
    """What a command printed. One that failed with ``fails`` in its words has printed nothing. Raises ParseError."""
    found = outputs.get(key)
    if found is None:
        raise ParseError(f"{what} was not run")
    if found.status == 0:
        return found.stdout
    said = found.said()
    if fails and fails in said:
        return ""
    raise ParseError(f"{what} failed with status {found.status}: {said}")


def document(outputs: t.Mapping[str, Output], key: str, what: str, skipped: list[str]) -> Element:
    """The document that a command printed. Jobs in it that are no XML are left out and named in ``skipped``.

    Raises ParseError.
    """
    text = _REFERENCE.sub(_legal, _ILLEGAL.sub("\ufffd", output(outputs, key, what)))
    try:
        return _parse(text)
    except ElementTree.ParseError:
        pass
    except _Doctype:
        # Only a job could have it from its user; then it is that job's text.
        pass
    rest = _JOB.sub(lambda match: _kept(match.group(), skipped), text)
    try:
        return _parse(rest)
    except ElementTree.ParseError as error:
        raise ParseError(f"{what} did not print XML: {error}") from None
    except _Doctype:
        raise ParseError(f"{what} printed a DOCTYPE, which is refused") from None


def _legal(found: t.Match[str]) -> str:
    """A reference to a character, unless XML cannot have that."""
    code = int(found.group(1), 16) if found.group(1) else int(found.group(2))
    return found.group() if code < 0x110000 and not _ILLEGAL.match(chr(code)) else "\ufffd"


class _Doctype(Exception):
    """A document that could define entities."""


def _parse(text: str) -> Element:
    if "<!" in text:
        raise _Doctype
    return ElementTree.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities but XML's own five


def _kept(fragment: str, skipped: list[str]) -> str:
    try:
        _parse(fragment)
    except (ElementTree.ParseError, _Doctype):
        number = _NUMBER.search(fragment)
        skipped.append(f"job {number.group(1) if number else 'without a number'} is not written as XML")
        return ""
    return fragment


def text(element: Element, tag: str) -> str:
    """The text of the first child of that name, '' for none."""
    return (element.findtext(tag) or "").strip().replace(_LESS, "<")


def number(element: Element, tag: str) -> int:
    """A whole number, 0 when it is not there or none."""
    found = text(element, tag)
    return int(found) if found.isdigit() else 0


def decimal(found: str) -> float:
    """A number as Grid Engine writes it, 0 when it is none."""
    try:
        return float(found)
    except ValueError:
        return 0.0


_FACTORS: t.Mapping[str, float] = {
    "": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4,
}  # fmt: skip


def memory(found: str) -> float:
    """Bytes of a text such as 4G, 3.906G or 100m; infinity is no limit. Raises ParseError."""
    if found.lower() in ("infinity", "inf"):
        return float("inf")
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kKmMgGtT]?)", found)
    if match is None:
        raise ParseError(f"{found!r} is no amount of memory")
    return float(match.group(1)) * _FACTORS[match.group(2)]


def seconds(found: str) -> float:
    """Seconds of a text such as 3600, 1:0:0 or 24:00:00; infinity is no limit. Raises ParseError."""
    if found.lower() in ("infinity", "inf"):
        return float("inf")
    parts = found.split(":")
    if len(parts) > 4 or not all(re.fullmatch(r"[0-9]*(?:\.[0-9]+)?", part) for part in parts):
        raise ParseError(f"{found!r} is no time")
    total = 0.0
    for part in parts:
        total = total * 60 + float(part or 0)
    return total
