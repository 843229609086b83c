# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of HTCondor's ClassAd language, and its two values that are none."""

from __future__ import annotations

import math
import re
import typing as t


class Special:
    """A value that is none: see `UNDEFINED` and `ERROR`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


UNDEFINED, ERROR = Special("undefined"), Special("error")
Value = t.Any


def _members(text: str, separators: str = " ,") -> list[str]:
    return [word for word in re.split(f"[{re.escape(separators)}]+", text) if word]


def _string_list_member(item: t.Any, text: t.Any, separators: str = " ,", fold: bool = False) -> Value:
    if UNDEFINED in (item, text):
        return UNDEFINED
    members = _members(text, separators)
    return item.lower() in [word.lower() for word in members] if fold else item in members


def _numeric(function: t.Callable[[t.Any], t.Any]) -> t.Callable[[Value], Value]:
    def call(value: Value) -> Value:
        if isinstance(value, Special):
            return value
        return function(float(value) if isinstance(value, str) else value)

    return call


def _quantize(value: Value, step: Value) -> Value:
    if isinstance(value, Special) or isinstance(step, Special):
        return value if isinstance(value, Special) else step
    if isinstance(step, list):
        larger = [item for item in step if isinstance(item, (int, float)) and item >= value]
        return larger[0] if larger else _quantize(value, step[-1])
    return math.ceil(value / step) * step if step else value


def _text(function: t.Callable[[str], t.Any]) -> t.Callable[[Value], Value]:
    return lambda value: value if isinstance(value, Special) else function(_string(value))


def _string(value: Value) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _regexp(pattern: t.Any, text: t.Any, options: str = "") -> Value:
    if UNDEFINED in (pattern, text):
        return UNDEFINED
    if len(pattern) > 200 or len(text) > 1000:  # patterns are users': they must not take for ever
        return ERROR
    if re.search(r"[*+}]\s*\)?\s*[*+{]|\([^)]*[*+|][^)]*\)[*+{]", pattern):
        return ERROR
    return re.search(pattern, text, re.IGNORECASE if "i" in options.lower() else 0) is not None


def _member(item: Value, items: t.Any) -> Value:
    if UNDEFINED in (item, items):
        return UNDEFINED
    fold = [entry.lower() if isinstance(entry, str) else entry for entry in items]
    return (item.lower() if isinstance(item, str) else item) in fold


FUNCTIONS: t.Mapping[str, t.Callable[..., Value]] = {
    "ifthenelse": lambda *_unused: ERROR,
    "isundefined": lambda value: value is UNDEFINED,
    "iserror": lambda value: value is ERROR,
    "isstring": lambda value: isinstance(value, str),
    "isinteger": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "isreal": lambda value: isinstance(value, float),
    "isboolean": lambda value: isinstance(value, bool),
    "int": _numeric(int),
    "real": _numeric(float),
    "floor": _numeric(math.floor),
    "ceiling": _numeric(math.ceil),
    "round": _numeric(round),
    "quantize": _quantize,
    "max": lambda items: max(items) if items else UNDEFINED,
    "min": lambda items: min(items) if items else UNDEFINED,
    "sum": sum,
    "size": lambda value: value if isinstance(value, Special) else len(value),
    "string": _text(str),
    "tolower": _text(str.lower),
    "toupper": _text(str.upper),
    "strcat": lambda *items: "".join(_string(item) for item in items) if UNDEFINED not in items else UNDEFINED,
    "stringlistmember": _string_list_member,
    "stringlistimember": lambda item, text, separators=" ,": _string_list_member(item, text, separators, True),
    "member": _member,
    "regexp": _regexp,
}
