# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values to plain JSON dictionaries and back, without loss.

`dump` makes dictionaries, lists, strings, numbers and None of any value of the model; `load` is strict: what does not
fit raises `SerialError`, which names the path. A step of a plan carries its kind in the key `step` (such as `grow`).
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import typing as t

from . import plan as _plan

T = t.TypeVar("T")
_NONE = type(None)

STEPS: t.Mapping[str, type] = {
    "grow": _plan.Grow,
    "shrink": _plan.Shrink,
    "mark_unavailable": _plan.MarkUnavailable,
    "claim": _plan.Claim,
    "add": _plan.Add,
    "release": _plan.Release,
    "drain": _plan.Drain,
    "resume": _plan.Resume,
    "wake": _plan.Wake,
    "remove": _plan.Remove,
    "comment": _plan.Comment,
    "kick": _plan.Kick,
}
_KINDS = {cls: kind for kind, cls in STEPS.items()}
SCHEDULER_STEPS = tuple(_KINDS[cls] for cls in t.get_args(_plan.SchedulerStep))
AZURE_STEPS = tuple(_KINDS[cls] for cls in t.get_args(_plan.AzureStep))


class SerialError(ValueError):
    """A plain value that does not fit. `path` says where, such as `jobs[3].nodes`."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path or 'value'}: {message}")


def dump(value: t.Any) -> t.Any:
    """The value as plain JSON data that any reader of UTF-8 takes; sets come out sorted."""
    if isinstance(value, str):
        # JSON of a scheduler may say half a character (\ud800), and Ansible refuses a whole result for one of them.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[str, t.Any] = {"step": _KINDS[type(value)]} if type(value) in _KINDS else {}
        for name in _names(type(value)):
            fields[name] = dump(getattr(value, name))
        return fields
    if isinstance(value, collections.abc.Mapping):
        return {dump(str(key)): dump(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(dump(item) for item in value)
    if isinstance(value, (tuple, list)):
        return [dump(item) for item in value]
    return value


def load(cls: type[T], data: t.Any, path: str = "") -> T:  # noqa: UP047 (Python 3.9)
    """The value of type ``cls`` that `dump` made ``data`` of. Raises SerialError."""
    return t.cast(T, _read(cls, data, path))


def kind(step: _plan.Step) -> str:
    """The word for a step in plain data: grow, shrink, claim, ..."""
    return _KINDS[type(step)]


def load_step(data: t.Any, path: str = "") -> _plan.Step:
    """One step of a plan, of the kind that its key `step` says. Raises SerialError."""
    if not isinstance(data, collections.abc.Mapping):
        raise SerialError(path, f"must be a dictionary, not {_word(data)}")
    name = data.get("step")
    if not isinstance(name, str) or name not in STEPS:
        raise SerialError(_join(path, "step"), f"must be one of {', '.join(STEPS)}")
    return t.cast("_plan.Step", _read(STEPS[name], {key: item for key, item in data.items() if key != "step"}, path))


def _names(cls: type) -> tuple[str, ...]:
    return tuple(_hints(cls))


@functools.cache
def _hints(cls: type) -> dict[str, tuple[t.Any, bool]]:
    """Field name -> (type, whether it has to be there)."""
    hints = t.get_type_hints(cls)
    return {
        field.name: (
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    }


def _read(kind_: t.Any, data: t.Any, path: str) -> t.Any:
    if kind_ is t.Any:
        return data
    if dataclasses.is_dataclass(kind_):
        return _read_dataclass(t.cast(type, kind_), data, path)
    origin, args = t.get_origin(kind_), t.get_args(kind_)
    if origin is t.Union:
        return _read_union(args, data, path)
    if origin in (tuple, frozenset):
        if not isinstance(data, (list, tuple)):
            raise SerialError(path, f"must be a list, not {_word(data)}")
        if origin is tuple and args[-1] is not Ellipsis:
            return _read_fixed(args, data, path)
        return origin(_read(args[0], item, f"{path}[{index}]") for index, item in enumerate(data))
    if origin is collections.abc.Mapping:
        if not isinstance(data, collections.abc.Mapping):
            raise SerialError(path, f"must be a dictionary, not {_word(data)}")
        return {_read(str, key, path): _read(args[1], item, _join(path, str(key))) for key, item in data.items()}
    return _read_scalar(kind_, data, path)


def _read_fixed(args: tuple[t.Any, ...], data: t.Sequence[t.Any], path: str) -> tuple[t.Any, ...]:
    if len(data) != len(args):
        raise SerialError(path, f"must have {len(args)} items, not {len(data)}")
    return tuple(_read(kind_, item, f"{path}[{index}]") for index, (kind_, item) in enumerate(zip(args, data)))


def _read_dataclass(cls: type, data: t.Any, path: str) -> t.Any:
    if not isinstance(data, collections.abc.Mapping):
        raise SerialError(path, f"must be a dictionary, not {_word(data)}")
    hints = _hints(cls)
    for key in data:
        if key not in hints:
            raise SerialError(_join(path, str(key)), "is not a key of this value")
    values = {}
    for name, (kind_, required) in hints.items():
        if name in data:
            values[name] = _read(kind_, data[name], _join(path, name))
        elif required:
            raise SerialError(_join(path, name), "is missing")
    return cls(**values)


def _read_union(args: tuple[t.Any, ...], data: t.Any, path: str) -> t.Any:
    if _NONE in args:
        rest = [arg for arg in args if arg is not _NONE]
        return None if data is None else _read(_fitting(rest, data), data, path)
    step = load_step(data, path)
    if type(step) not in args:
        raise SerialError(_join(path, "step"), f"{data['step']} does not belong here")
    return step


def _fitting(kinds: t.Sequence[t.Any], data: t.Any) -> t.Any:
    """Of several kinds of values the one that has exactly these keys; the first if none has."""
    keys = set(data) if isinstance(data, collections.abc.Mapping) else set()
    return next((kind_ for kind_ in kinds if isinstance(kind_, type) and keys == set(_keys(kind_))), kinds[0])


def _keys(kind_: type) -> t.Iterable[str]:
    return _hints(kind_) if dataclasses.is_dataclass(kind_) else ()


def _read_scalar(kind_: t.Any, data: t.Any, path: str) -> t.Any:
    if kind_ is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind_) or (kind_ is int and isinstance(data, bool)):
        raise SerialError(path, f"must be {_TYPE_WORDS.get(kind_, kind_)}, not {_word(data)}")
    return data


_TYPE_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _word(data: t.Any) -> str:
    if data is None:
        return "nothing"
    if isinstance(data, collections.abc.Mapping):
        return "a dictionary"
    if isinstance(data, (list, tuple)):
        return "a list"
    return _TYPE_WORDS.get(type(data), type(data).__name__)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
