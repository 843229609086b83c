# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what people wrote: take typed values out of plain data and collect every mistake with its path."""

from __future__ import annotations

import collections.abc
import difflib
import ipaddress
import re
import typing as t
from dataclasses import dataclass

# Control characters, whatever ends a line for somebody, what turns text around on a screen, halves of characters.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: where it is (``node_arrays[1].vm_sizes[0]``) and what is wrong, for people."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the definition'}: {self.message}"


class Mistakes:
    """Collects mistakes; the same one is kept once."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def add(self, path: str, message: str) -> None:
        """Note a mistake."""
        self._found[Mistake(path, message)] = None

    def at(self, path: str) -> bool:
        """Whether something is wrong at the path or below: then rules about it would only repeat the same mistake."""
        return any(found.path == path or found.path.startswith((path + ".", path + "[")) for found in self._found)

    def exactly(self, path: str) -> bool:
        """Whether something is wrong with the value at the path itself."""
        return any(found.path == path for found in self._found)

    def sorted(self) -> tuple[Mistake, ...]:
        """All of them by path; numbers in brackets count as numbers."""
        return tuple(sorted(self._found, key=lambda found: (_path_key(found.path), found.message)))


def _path_key(path: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"\[(\d+)\]|\.", path)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def join(path: str, key: str) -> str:
    """The path of a key below ``path``."""
    return f"{path}.{key}" if path else key


def word(value: t.Any) -> str:
    """What a wrong value is, for a message. Never the value itself: it might be a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, collections.abc.Mapping):
        return "a dictionary"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", tuple: "a list"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)


def near(name: str, known: t.Iterable[str]) -> str:
    """`` (did you mean a or b?)`` with the nearest known names, or ''."""
    by_lower = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.6)
    scores = {item: difflib.SequenceMatcher(None, item, name.lower()).ratio() for item in close}
    best = [by_lower[item] for item in close if scores[item] > max(scores.values()) - 0.1]
    return f" (did you mean {' or '.join(best)}?)" if best else ""


class Section:
    """One dictionary of the definition. Each method takes one key out, notes what is wrong, and always answers."""

    def __init__(self, mistakes: Mistakes, data: t.Any, path: str, keys: t.Sequence[str]) -> None:
        self.mistakes, self.path = mistakes, path
        self.broken = not isinstance(data, collections.abc.Mapping)
        self.data: t.Mapping[str, t.Any] = {} if self.broken else data
        if self.broken:
            mistakes.add(path, f"must be a dictionary, not {word(data)}")
        for key in self.data:
            at = join(path, str(key))
            if key not in keys and not mistakes.at(at):
                mistakes.add(at, f"unknown key{near(str(key), keys) or ', known are ' + ', '.join(keys)}")

    def at(self, key: str) -> str:
        """The path of a key of this section."""
        return join(self.path, key)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self.data.get(key) is not None

    def wrong(self, key: str, message: str) -> None:
        """Note a mistake at a key."""
        self.mistakes.add(self.at(key), message)

    def _missing(self, key: str, default: t.Any) -> bool:
        if self.has(key):
            return False
        if default is None and not self.broken:
            self.wrong(key, "is missing")
        return True

    def text(
        self,
        key: str,
        default: t.Optional[str] = None,
        pattern: str = "",
        rule: str = "",
        choices: t.Sequence[str] = (),
    ) -> str:
        """A text; without ``default`` it has to be there. ``rule`` says in words what ``pattern`` means."""
        if self._missing(key, default):
            return default or ""
        value = self.data[key]
        if not isinstance(value, str):
            self.wrong(key, f"must be a text, not {word(value)}")
        elif CONTROL.search(value):
            self.wrong(key, "must not contain control characters or line breaks")
        elif choices and value not in choices:
            self.wrong(key, f"must be one of {', '.join(choices)}{near(value, choices)}")
        elif pattern and value != default and not re.fullmatch(pattern, value):
            self.wrong(key, rule)
        else:
            return str(value)
        return default or ""

    def number(self, key: str, default: t.Optional[int] = None, low: int = 0, high: int = 2**31 - 1) -> int:
        """A whole number from ``low`` to ``high``."""
        if self._missing(key, default):
            return default or 0
        value = self.data[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, f"must be a whole number, not {word(value)}")
        elif value < low:
            self.wrong(key, f"must be at least {low}, not {value}")
        elif value > high:
            self.wrong(key, f"must be at most {high}, not {value}")
        else:
            return int(value)
        return default or 0

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, f"must be true or false, not {word(value)}")
        return value if isinstance(value, bool) else default

    def items(self, key: str, default: t.Optional[t.Sequence[t.Any]] = None) -> list[tuple[str, t.Any]]:
        """The members of a list with their paths. Without ``default`` at least one has to be there."""
        if self._missing(key, default):
            return []
        value = self.data[key]
        if not isinstance(value, (list, tuple)):
            self.wrong(key, f"must be a list, not {word(value)}")
            return []
        if not value and default is None:
            self.wrong(key, "must not be empty")
        return [(f"{self.at(key)}[{index}]", item) for index, item in enumerate(value)]

    def texts(
        self, key: str, default: t.Optional[t.Sequence[str]] = (), pattern: str = "", rule: str = "", once: bool = True
    ) -> tuple[str, ...]:
        """A list of texts, each once."""
        found: list[str] = []
        for path, item in self.items(key, default):
            if not isinstance(item, str):
                self.mistakes.add(path, f"must be a text, not {word(item)}")
            elif CONTROL.search(item) or (pattern and not re.fullmatch(pattern, item)):
                self.mistakes.add(path, rule or "must not contain control characters or line breaks")
            elif once and item in found:
                self.mistakes.add(path, f"{item} is there twice")
            else:
                found.append(str(item))
        return tuple(found)

    def section(self, key: str, keys: t.Sequence[str], required: bool = False) -> Section:
        """The dictionary below a key; an empty one when it may be left out."""
        if not self.has(key) and required and not self.broken:
            self.wrong(key, "is missing")
            below = Section(self.mistakes, {}, self.at(key), keys)
            below.broken = True
            return below
        return Section(self.mistakes, self.data[key] if self.has(key) else {}, self.at(key), keys)

    def mapping(self, key: str) -> dict[str, t.Any]:
        """A dictionary with free keys (texts)."""
        value = self.data.get(key)
        if value is None:
            return {}
        if not isinstance(value, collections.abc.Mapping):
            self.wrong(key, f"must be a dictionary, not {word(value)}")
            return {}
        for name in value:
            if not isinstance(name, str):
                self.wrong(key, f"has a key that is {word(name)} and must be a text")
        return {str(name): item for name, item in value.items() if isinstance(name, str)}


def prefix(mistakes: Mistakes, path: str, value: t.Any) -> t.Optional[ipaddress.IPv4Network]:
    """An IPv4 prefix such as 10.20.0.0/24; a single address is a prefix too. None, and a mistake, if it is not one."""
    if not isinstance(value, str):
        mistakes.add(path, f"must be an IPv4 prefix such as 10.20.0.0/24, not {word(value)}")
        return None
    try:
        return ipaddress.IPv4Network(value)
    except ValueError:
        pass
    try:
        loose = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        mistakes.add(path, f"{value!r} is not an IPv4 prefix such as 10.20.0.0/24")
    else:
        mistakes.add(path, f"{value} has bits set after the prefix (did you mean {loose}?)")
    return None
