# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a request body, checked before anything looks into it, as a service's JSON reader would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.arm.errors import ArmError


@dataclass(frozen=True)
class Words:
    """A string that Azure takes in any case and tells in its own spelling; others are let through."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def spell(self, given: str) -> str:
        return next((word for word in self.words if word.lower() == given.lower()), given)


NAMES = {str: "String", int: "Int32", bool: "Boolean", dict: "Object", list: "Array"}
REFERENCE = {"id": str}
NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
TRUTH = {"true": True, "false": False}


def read(value: Any, shape: Any, path: str = "") -> Any:
    """The value without its nulls (null means "not given"), or 400 InvalidRequestFormat naming the wrong place.

    ``shape`` is a type, ``Words``, a list of one shape (an array of such), or a dictionary (an object; keys that it
    does not name are let through unread). Numbers and truth values may be strings, as in many a template.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _mismatch(value, dict, path)
        return {
            key: read(entry, shape[key], f"{path}.{key}".lstrip(".")) if key in shape else entry
            for key, entry in value.items()
            if entry is not None
        }
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _mismatch(value, list, path)
        return [read(entry, shape[0], f"{path}[{number}]") for number, entry in enumerate(value)]
    if isinstance(shape, Words):
        return shape.spell(read(value, str, path))
    if isinstance(value, str):
        value = unquoted(value, shape)
    if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise _mismatch(value, shape, path)
    return value


def unquoted(value: str, shape: Any) -> Any:
    """The number or truth value that a string is, if such a one is wanted; anything else as it is."""
    if shape is int and NUMBER.fullmatch(value):
        return int(value)
    if shape is bool:
        return TRUTH.get(value.strip().lower(), value)
    return value


def _mismatch(value: Any, wanted: type, path: str) -> ArmError:
    text = f"Error converting value {value!r} to type '{NAMES[wanted]}'. Path '{path}'."
    details = [{"code": "InvalidJson", "message": text}]
    return ArmError(400, "InvalidRequestFormat", "Cannot parse the request.", details=details)
