# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted against actual: what differs between an ARM document and what Azure has, and the write that mends it. Pure."""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass

Json = dict[str, t.Any]
Path = tuple[str, ...]

# The item of a list that has none of these is compared by its position.
_NAMES = ("name", "id", "path")

# Documents that ARM takes only as a whole.
_WHOLE = (
    "imageReference",
    "maintenanceWindow",
    "rootSquashSettings",
    "encryptionSettings",
    "networkAcls",
    "exportPolicy",
)

# Values in which upper and lower case are different things.
_EXACT = (("keyData",), ("customData",), ("adminUsername",))


@dataclass(frozen=True)
class Difference:
    """One place where Azure has something else: the keys that lead there, and both values (None: nothing there)."""

    path: Path
    before: t.Any
    after: t.Any


def differences(wanted: t.Any, actual: t.Any, path: Path = ()) -> t.Iterator[Difference]:
    """Where ``actual`` lacks or contradicts ``wanted``. What only Azure knows does not count.

    Resource ids and locations are the same in any case. Lists are the same if they have the same items: items with a
    name are paired by it, so their order does not count; a list is wanted as a whole (more items differ).
    """
    if isinstance(wanted, dict):
        if not isinstance(actual, dict):
            yield Difference(path, actual, wanted)
            return
        for key, value in wanted.items():
            yield from differences(value, _looked_up(actual, key), (*path, key))
    elif isinstance(wanted, list):
        yield from _list_differences(wanted, actual, path)
    elif not _same(wanted, actual, path):
        yield Difference(path, actual, wanted)


def _list_differences(wanted: list[t.Any], actual: t.Any, path: Path) -> t.Iterator[Difference]:
    if not isinstance(actual, list):
        if wanted or actual is not None:
            yield Difference(path, actual, wanted)
        return
    if all(not isinstance(item, (dict, list)) for item in (*wanted, *actual)):
        if sorted(map(_folded, wanted)) != sorted(map(_folded, actual)):
            yield Difference(path, actual, wanted)
        return
    have = {_label(item, index): item for index, item in enumerate(actual)}
    want = {_label(item, index): item for index, item in enumerate(wanted)}
    for label, item in want.items():
        if label not in have:
            yield Difference((*path, label), None, item)
        else:
            yield from differences(item, have[label], (*path, label))
    for label in have:
        if label not in want:
            yield Difference((*path, label), have[label], None)


def _looked_up(document: Json, key: str) -> t.Any:
    """The value under ``key``; a key that is a resource id is the same in any case."""
    if key in document or not key.startswith("/"):
        return document.get(key)
    return next((value for name, value in document.items() if name.casefold() == key.casefold()), None)


def _label(item: t.Any, index: int) -> str:
    for name in _NAMES:
        if isinstance(item, dict) and isinstance(item.get(name), str):
            return str(item[name]).casefold()
    return str(index)


def _folded(value: t.Any) -> str:
    return str(value).casefold() if str(value).startswith("/") else str(value)


def _same(wanted: t.Any, actual: t.Any, path: Path) -> bool:
    if wanted == actual:
        return True
    if wanted is None or wanted == "":
        return actual in (None, "")
    if isinstance(wanted, bool):
        return actual is None and wanted is False
    if isinstance(wanted, str) and isinstance(actual, str):
        if wanted.startswith("/") or path[-1:] == ("id",):
            return wanted.casefold() == actual.casefold()
        if path[-1:] == ("location",):
            return place(wanted) == place(actual)
        if path[:1] == ("tags",) or path[-1:] in _EXACT:
            return False
        # Azure answers words of its own (Inbound, Tcp, Standard_LRS) in its own spelling.
        return wanted.casefold() == actual.casefold()
    return False


def place(location: str) -> str:
    """A location's programmatic name: ``West Europe`` and ``westeurope`` are the same."""
    return location.replace(" ", "").lower()


def merged(actual: t.Any, wanted: t.Any) -> t.Any:
    """``actual`` with ``wanted`` over it, to send as a whole: keeps what others configured. Neither is changed.

    Items of lists are paired as in ``differences``; a list ends up with the items of ``wanted``, in its order.
    """
    if isinstance(actual, dict) and isinstance(wanted, dict):
        keys = {**actual, **wanted}
        return {key: merged(actual.get(key), wanted[key]) if key in wanted else actual[key] for key in keys}
    if isinstance(actual, list) and isinstance(wanted, list) and all(isinstance(item, dict) for item in wanted):
        have = {_label(item, index): item for index, item in enumerate(actual)}
        return [merged(have.get(_label(item, index)), item) for index, item in enumerate(wanted)]
    return copy.deepcopy(wanted)


def subset(wanted: Json, found: t.Sequence[Difference]) -> Json:
    """The part of ``wanted`` that holds the differing places: the body of a PATCH. Lists are taken whole."""
    body: Json = {}
    for difference in found:
        source: t.Any = wanted
        target = body
        for index, step in enumerate(difference.path):
            if not isinstance(source, dict) or step not in source:
                break
            source = source[step]
            if index == len(difference.path) - 1 or not isinstance(source, dict) or step in _WHOLE:
                target[step] = copy.deepcopy(source)
                break
            target = target.setdefault(step, {})
    return body


def tag_differences(wanted: t.Mapping[str, t.Any] | None, actual: t.Mapping[str, str] | None) -> Json:
    """The tags to send (all of them: ARM replaces tags as a whole), or {} if those wanted are there already.

    Tags that are there and not wanted stay: they belong to policies, to people, or to the autoscaler's memory.
    """
    have = dict(actual or {})
    want = {str(key): str(value) for key, value in (wanted or {}).items()}
    return {} if all(have.get(key) == value for key, value in want.items()) else {**have, **want}
