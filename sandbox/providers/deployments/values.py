# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Template functions of arrays, objects, numbers and logic. Names are looked up without regard to case."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cmp_to_key
from functools import reduce as fold
from typing import Any


def find_key(value: dict[str, Any], name: str) -> str | None:
    """The key as it is spelled in the object."""
    if name in value:
        return name
    return next((key for key in value if key.lower() == name.lower()), None)


def kind_of(value: Any) -> str:
    """The type of a value in the words of the template language."""
    names = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "Array", dict: "Object"}
    return names.get(type(value), "Null")


def same(left: Any, right: Any) -> bool:
    """``equals``: of one type, and alike; keys of objects without regard to case."""
    if isinstance(left, dict) and isinstance(right, dict):
        lowered = {key.lower(): value for key, value in right.items()}
        return len(left) == len(right) and all(
            key.lower() in lowered and same(value, lowered[key.lower()]) for key, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise ValueError(f"'{value}' is no boolean")
    return bool(value)


def _int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a boolean is no integer")
    return int(value)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected an integer, got {kind_of(value)}")
    return value


def _divide(left: Any, right: Any) -> int:
    left, right = _number(left), _number(right)
    if right == 0:
        raise ValueError("division by zero")
    # Integers are cut towards zero.
    quotient: int = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient


def _modulo(left: Any, right: Any) -> int:
    return _number(left) - _divide(left, right) * _number(right)


def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, dict):
        return find_key(container, str(item)) is not None
    if isinstance(container, list):
        return any(same(entry, item) for entry in container)
    return str(item) in str(container)


def _empty(value: Any = None) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _first(value: Any) -> Any:
    return value[0] if value else ("" if isinstance(value, str) else None)


def _last(value: Any) -> Any:
    return value[-1] if value else ("" if isinstance(value, str) else None)


def _index_of(container: Any, item: Any) -> int:
    if isinstance(container, str):
        return container.lower().find(str(item).lower())
    return next((at for at, entry in enumerate(container) if same(entry, item)), -1)


def _last_index_of(container: Any, item: Any) -> int:
    if isinstance(container, str):
        return container.lower().rfind(str(item).lower())
    return next((at for at in reversed(range(len(container))) if same(container[at], item)), -1)


def _length(value: Any) -> int:
    return len(value)


def _extreme(pick: Callable[[list[int]], int]) -> Callable[..., int]:
    def function(*values: Any) -> int:
        numbers = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return pick([_number(value) for value in numbers])

    return function


def _range(start: Any, count: Any) -> list[int]:
    if not 0 <= _number(count) <= 10000:
        raise ValueError("the count must be between 0 and 10000")
    return list(range(_number(start), start + count))


def _skip(value: Any, count: Any) -> Any:
    return value[max(_number(count), 0) :]


def _take(value: Any, count: Any) -> Any:
    return value[: max(_number(count), 0)]


def _intersection(*values: Any) -> Any:
    first, *others = values
    if isinstance(first, dict):
        return {
            key: value
            for key, value in first.items()
            if all((found := find_key(o, key)) is not None and same(o[found], value) for o in others)
        }
    return [entry for entry in first if all(any(same(entry, e) for e in other) for other in others)]


def _union(*values: Any) -> Any:
    if isinstance(values[0], dict):
        nothing: dict[str, Any] = {}
        return fold(_merged, values, nothing)
    made: list[Any] = []
    for entry in (entry for value in values for entry in value):
        if not any(same(entry, known) for known in made):
            made.append(entry)
    return made


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    made = dict(left)
    for key, value in right.items():
        known = find_key(made, key)
        old = made.get(known) if known else None
        made[known or key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


def _shallow_merge(values: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for entry in values:
        for key, value in entry.items():
            made[find_key(made, key) or key] = value
    return made


def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise TypeError("keys and values must come in pairs")
    return {str(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value, key=str.lower)]


def _try_get(value: Any, *path: Any) -> Any:
    for key in path:
        if isinstance(value, dict) and isinstance(key, str):
            found = find_key(value, key)
            value = value[found] if found is not None else None
        elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def _flatten(value: list[Any]) -> list[Any]:
    return [entry for part in value for entry in part]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def function(left: Any, right: Any) -> bool:
        if kind_of(left) != kind_of(right) or not isinstance(left, (int, str)) or isinstance(left, bool):
            raise TypeError("two integers or two strings are expected")
        return test(left, right)

    return function


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a boolean is expected")
    return not value


# with lambdas


def _indexed(function: Any, value: Any, at: int) -> Any:
    return function(value, at) if len(function.names) > 1 else function(value)


def _map(values: list[Any], function: Any) -> list[Any]:
    return [_indexed(function, value, at) for at, value in enumerate(values)]


def _filter(values: list[Any], function: Any) -> list[Any]:
    return [value for at, value in enumerate(values) if _indexed(function, value, at)]


def _reduce(values: list[Any], start: Any, function: Any) -> Any:
    return fold(function, values, start)


def _sort(values: list[Any], before: Any) -> list[Any]:
    return sorted(values, key=cmp_to_key(lambda a, b: -1 if before(a, b) else 1 if before(b, a) else 0))


def _to_object(values: list[Any], key: Any, value: Any = None) -> dict[str, Any]:
    return {str(key(entry)): value(entry) if value else entry for entry in values}


def _group_by(values: list[Any], key: Any) -> dict[str, Any]:
    made: dict[str, list[Any]] = {}
    for entry in values:
        made.setdefault(str(key(entry)), []).append(entry)
    return made


def _map_values(value: dict[str, Any], function: Any) -> dict[str, Any]:
    return {key: function(entry) for key, entry in value.items()}


VALUES: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: _number(a) + _number(b),
    "array": _array,
    "bool": _bool,
    "coalesce": _coalesce,
    "contains": _contains,
    "createarray": lambda *values: list(values),
    "createobject": _create_object,
    "div": _divide,
    "empty": _empty,
    "equals": same,
    "false": lambda: False,
    "filter": _filter,
    "first": _first,
    "flatten": _flatten,
    "float": float,
    "greater": _compare(lambda a, b: a > b),
    "greaterorequals": _compare(lambda a, b: a >= b),
    "groupby": _group_by,
    "indexof": _index_of,
    "int": _int,
    "intersection": _intersection,
    "items": _items,
    "json": json.loads,
    "last": _last,
    "lastindexof": _last_index_of,
    "length": _length,
    "less": _compare(lambda a, b: a < b),
    "lessorequals": _compare(lambda a, b: a <= b),
    "map": _map,
    "mapvalues": _map_values,
    "max": _extreme(max),
    "min": _extreme(min),
    "mod": _modulo,
    "mul": lambda a, b: _number(a) * _number(b),
    "not": _not,
    "null": lambda: None,
    "objectkeys": lambda value: sorted(value, key=str.lower),
    "range": _range,
    "reduce": _reduce,
    "shallowmerge": _shallow_merge,
    "skip": _skip,
    "sort": _sort,
    "sub": lambda a, b: _number(a) - _number(b),
    "take": _take,
    "toobject": _to_object,
    "true": lambda: True,
    "tryget": _try_get,
    "union": _union,
}
