# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make Azure have what is wanted: read together, compare (pure), write in stages, each stage together.

Modules say what they want as targets; ``changed``, check mode and the diff all come from the same list of writes.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import (
    Difference,
    Json,
    differences,
    merged,
    subset,
    tag_differences,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Operation, finish, together

# Azure says so when something next to the resource is being changed (another interface of the same subnet, say).
_BUSY = frozenset(("AnotherOperationInProgress", "ReferencedResourceNotProvisioned", "RetryableError"))
# Seconds to wait between tries.
_PATIENCE = (2.0, 5.0, 10.0, 20.0)


class Store(t.Protocol):
    """Where resources are read and written. Which clients and api-versions that takes is the store's business."""

    def find(self, resource_id: str) -> Json | None:
        """One resource, or None if it does not exist; raises AzureError."""

    def begin(self, method: str, resource_id: str, body: Json | None, doing: str) -> Operation:
        """Start a PUT, PATCH or DELETE; raises AzureError if it is refused at once."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Target:
    """A resource as it is wanted.

    ``body`` is the ARM document without tags. ``stage`` orders creation (lower first); what has the same stage is
    written at the same time. ``once`` is sent only when the resource is created, and never compared or shown: secrets,
    and what Azure does not give back. ``update`` is PUT (the actual document with ``body`` over it) or PATCH (only
    what differs). With ``again`` a resource whose making failed is made again by the same request.
    """

    id: str
    body: Json
    tags: t.Mapping[str, t.Any] | None = None
    stage: int = 0
    once: Json = field(default_factory=dict)
    update: str = "PUT"
    again: bool = False


@dataclass(frozen=True)
class Write:
    """One request that will be sent, and what it is for. ``before`` is None if the resource does not exist."""

    method: str
    id: str
    stage: int
    body: Json = field(default_factory=dict, repr=False)
    before: Json | None = None
    after: Json | None = None
    changes: tuple[Difference, ...] = ()

    def shown(self, side: str) -> t.Any:
        """What the diff shows of this write: ``side`` is before or after."""
        if not self.changes:
            return self.before if side == "before" else self.after
        return {".".join(change.path): getattr(change, side) for change in self.changes}


@dataclass(frozen=True)
class Outcome:
    """The writes that were needed (and sent, unless in check mode), and the resources as they are now.

    The keys of ``resources`` are lower-case ids.
    """

    writes: tuple[Write, ...]
    resources: t.Mapping[str, Json]

    @property
    def changed(self) -> bool:
        """Whether anything differed."""
        return bool(self.writes)

    def diff(self, side: str) -> Json:
        """The before or the after of everything that differed, by resource."""
        shown = {write.id: write.shown(side) for write in self.writes}
        return {key: value for key, value in shown.items() if value}

    def resource(self, resource_id: str) -> Json:
        """A resource as it is now, {} if it is not there."""
        return self.resources.get(resource_id.casefold(), {})


def read(store: Store, ids: t.Iterable[str]) -> dict[str, Json]:
    """The resources that exist, by lower-case id; all asked at the same time."""
    wanted = list(ids)
    found = together([partial(store.find, one) for one in wanted])
    return {one.casefold(): document for one, document in zip(wanted, found) if document is not None}  # noqa: B905 - Python 3.9 has no strict


def plan(targets: t.Iterable[Target], actual: t.Mapping[str, Json]) -> tuple[Write, ...]:
    """What to write so that ``actual`` becomes what the targets want. Pure."""
    writes = (_planned(target, actual.get(target.id.casefold())) for target in targets)
    return tuple(sorted((write for write in writes if write is not None), key=lambda write: write.stage))


def _planned(target: Target, actual: Json | None) -> Write | None:
    if actual is None:
        tags = {str(key): str(value) for key, value in (target.tags or {}).items()}
        after = merged(target.body, {"tags": tags} if tags else {})
        body = merged(after, target.once)
        return Write("PUT", target.id, target.stage, body, None, after)
    found = tuple(differences(target.body, actual))
    tags = tag_differences(target.tags, actual.get("tags"))
    if tags:
        old = actual.get("tags") or {}
        found += tuple(
            Difference(("tags", key), old.get(key), value) for key, value in tags.items() if old.get(key) != value
        )
    if target.again and (actual.get("properties") or {}).get("provisioningState") == "Failed":
        found += (Difference(("properties", "provisioningState"), "Failed", "Succeeded"),)
        body = merged(merged(target.body, {"tags": tags or actual.get("tags") or {}}), target.once)
        return Write("PUT", target.id, target.stage, body, actual, changes=found)
    if not found:
        return None
    if target.update == "PATCH":
        body = {**subset(target.body, found), **({"tags": tags} if tags else {})}
    else:
        body = merged(actual, {**target.body, **({"tags": tags} if tags else {})})
    return Write(target.update, target.id, target.stage, body, actual, changes=found)


def removals(stages: t.Sequence[t.Sequence[str]], actual: t.Mapping[str, Json]) -> tuple[Write, ...]:
    """Deletions of what exists; ids of one stage are deleted at the same time."""
    return tuple(
        Write("DELETE", one, stage, before=_brief(actual[one.casefold()]))
        for stage, ids in enumerate(stages)
        for one in ids
        if one.casefold() in actual
    )


def _brief(document: Json) -> Json:
    return {key: document[key] for key in ("id", "location", "tags") if key in document}


def apply(
    store: Store, writes: tuple[Write, ...], actual: t.Mapping[str, Json], check: bool, wait: bool = True
) -> Outcome:
    """Send the writes stage by stage; raises AzureError of the first that fails, after its stage has ended.

    In check mode nothing is sent, and the resources of the outcome are what they would be as far as that is known.
    Without ``wait`` it is enough that Azure accepted the writes; only for what nothing else waits for.
    """
    resources = dict(actual)
    for stage in sorted({write.stage for write in writes}):
        batch = [write for write in writes if write.stage == stage]
        if check or not wait:
            if not check:
                together([partial(_begin, store, write) for write in batch])
            results: list[Json] = [merged(write.before or {}, write.after or write.body) for write in batch]
        else:
            results = finish(together([partial(_begin, store, write) for write in batch]))
        for write, result in zip(batch, results):  # noqa: B905 - Python 3.9 has no strict
            if write.method == "DELETE":
                resources.pop(write.id.casefold(), None)
            else:
                resources[write.id.casefold()] = {"id": write.id, **result}
    return Outcome(writes, resources)


def _begin(store: Store, write: Write) -> Operation:
    verb = {"PUT": "create" if write.before is None else "update", "PATCH": "update", "DELETE": "delete"}[write.method]
    body = None if write.method == "DELETE" else write.body
    doing = f"{verb} {'/'.join(write.id.split('/')[-2:])}"
    for wait in _PATIENCE:
        try:
            return store.begin(write.method, write.id, body, doing)
        except AzureError as error:
            if error.code not in _BUSY:
                raise
        store.sleep(wait)
    return store.begin(write.method, write.id, body, doing)
