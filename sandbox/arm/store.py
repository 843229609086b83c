# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: every resource is one row in SQLite, and what has been answered has been committed.

Rows survive ``kill -9`` of the server (write-ahead log). One process uses a store at a time. Reads run in parallel, one
connection per thread; writes are serialised by ``transaction()``, which nests and runs its after-commit calls when the
outermost one has been committed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.arm import history, ids
from sandbox.clock import clock

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subscription TEXT NOT NULL,
    grp TEXT NOT NULL,
    parent TEXT NOT NULL,
    sort INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL,
    created REAL NOT NULL,
    changed REAL NOT NULL,
    body TEXT NOT NULL,
    internal TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_type ON resources (type, subscription, grp, sort, key);
CREATE INDEX IF NOT EXISTS by_parent ON resources (parent, type, sort, key);
CREATE INDEX IF NOT EXISTS by_group ON resources (subscription, grp, type);
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY,
    resource TEXT NOT NULL,
    status TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_running ON operations (resource) WHERE ended IS NULL;
CREATE TABLE IF NOT EXISTS addresses (
    pool TEXT NOT NULL,
    address INTEGER NOT NULL,
    owner TEXT NOT NULL,
    extra TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (pool, address)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS addresses_owner ON addresses (owner);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass
class Resource:
    """One resource. ``body`` is what a GET answers (id, name, type, location, tags, properties); ``internal`` is ours.

    ``sort`` orders lists among siblings (0 for almost all; instance number for scale set instances), ``version``
    counts the writes, ``created`` and ``changed`` are seconds since the epoch, set by the store.
    """

    id: str
    body: dict[str, Any]
    internal: dict[str, Any] = field(default_factory=dict)
    sort: int = 0
    version: int = 0
    created: float = 0.0
    changed: float = 0.0

    @property
    def rid(self) -> ids.ResourceId:
        return ids.parse(self.id)

    @property
    def properties(self) -> dict[str, Any]:
        """The ``properties`` of the body; made if absent."""
        value: dict[str, Any] = self.body.setdefault("properties", {})
        return value


class _Connection:
    """A thread's connection: closed when the thread ends, because works come and go with pools of their own."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.create_function("sandbox_now", 0, clock.now)

    def close(self) -> None:
        self.db.close()

    def __del__(self) -> None:
        self.db.close()


class Store:
    """Resources, address allocations and settings of one sandbox."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._write = threading.RLock()
        with self.transaction() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)

    def close(self) -> None:
        """Close this thread's connection. Those of other threads close when their threads end: SQLite takes the
        process down if one is closed while its thread still reads.
        """
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()

    def _db(self) -> sqlite3.Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _Connection(self._path)
        return connection.db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Serialise and commit writes together. Rolls back if the block raises. May be nested within one thread."""
        with self._write:
            db = self._db()
            if getattr(self._local, "depth", 0):
                yield db
                return
            self._local.depth, self._local.after = 1, []
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            else:
                db.execute("COMMIT")
            finally:
                self._local.depth = 0
            after: list[Callable[[], None]] = self._local.after
            self._local.after = []
        for call in after:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run ``call`` when the running transaction has been committed, at once if there is none."""
        if getattr(self._local, "depth", 0):
            self._local.after.append(call)
        else:
            call()

    # resources

    def get(self, resource_id: str | ids.ResourceId) -> Resource | None:
        row = self._db().execute("SELECT * FROM resources WHERE key = ?", (ids.key(resource_id),)).fetchone()
        return _resource(row) if row else None

    def exists(self, resource_id: str | ids.ResourceId) -> bool:
        row = self._db().execute("SELECT 1 FROM resources WHERE key = ?", (ids.key(resource_id),)).fetchone()
        return row is not None

    def put(self, *resources: Resource) -> None:
        """Write whole resources; ``version``, ``created`` and ``changed`` of the given objects are brought up
        to date.
        """
        now = clock.now()
        rows = []
        for resource in resources:
            rid = resource.rid
            resource.version += 1
            resource.created = resource.created or now
            resource.changed = now
            rows.append(
                (
                    rid.key,
                    resource.id,
                    rid.type.lower(),
                    rid.subscription.lower(),
                    rid.group.lower(),
                    rid.parent.key if rid.parent else "",
                    resource.sort,
                    resource.version,
                    resource.created,
                    resource.changed,
                    json.dumps(resource.body),
                    json.dumps(resource.internal),
                )
            )
        with self.transaction() as db:
            db.executemany("REPLACE INTO resources VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)

    def update(self, resource_id: str | ids.ResourceId, change: Callable[[Resource], None]) -> Resource | None:
        """Read, change and write one resource in one transaction. None if it does not exist."""
        with self.transaction():
            resource = self.get(resource_id)
            if resource is not None:
                change(resource)
                self.put(resource)
            return resource

    def delete(self, *resource_ids: str | ids.ResourceId, children: bool = True) -> None:
        """Forget resources, and unless told otherwise what is nested in them (any depth)."""
        with self.transaction() as db:
            for resource_id in resource_ids:
                key = ids.key(resource_id)
                db.execute("DELETE FROM resources WHERE key = ?", (key,))
                if children:
                    db.execute("DELETE FROM resources WHERE key > ? AND key < ?", (key + "/", key + "0"))

    def list(
        self,
        type: str,
        *,
        subscription: str | None = None,
        group: str | None = None,
        parent: str | ids.ResourceId | None = None,
        offset: int = 0,
        limit: int = -1,
    ) -> list[Resource]:
        """Resources of one type below a parent, in a group, in a subscription, or all; ordered by ``sort``, then id."""
        where, values = ["type = ?"], [type.lower()]
        for column, value in (
            ("subscription", subscription),
            ("grp", group),
            ("parent", ids.key(parent) if parent is not None else None),
        ):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value.lower())
        # Only column names that stand above are put together; values are bound.
        rows, moment = history.source(self._moment)
        query = f"SELECT * FROM {rows} WHERE {' AND '.join(where)} ORDER BY sort, key LIMIT ? OFFSET ?"  # noqa: S608
        return [_resource(row) for row in self._db().execute(query, (*moment, *values, limit, offset))]

    def count(self, type: str, *, parent: str | ids.ResourceId | None = None) -> int:
        query, values = "SELECT count(*) FROM resources WHERE type = ?", [type.lower()]
        if parent is not None:
            query, values = query + " AND parent = ?", [*values, ids.key(parent)]
        count: int = self._db().execute(query, values).fetchone()[0]
        return count

    def in_scope(self, subscription: str, group: str | None = None) -> Iterable[Resource]:
        """Every resource of a subscription or group, whatever its type, the resource groups themselves excepted."""
        rows, moment = history.source(self._moment)
        query = f"SELECT * FROM {rows} WHERE subscription = ?"  # noqa: S608
        values = [*moment, subscription.lower()]
        if group is not None:
            query, values = query + " AND grp = ?", [*values, group.lower()]
        query += " AND type != 'microsoft.resources/resourcegroups' ORDER BY created, key"
        return [_resource(row) for row in self._db().execute(query, values)]

    @property
    def _moment(self) -> float | None:
        moment: float | None = getattr(self._local, "moment", None)
        return moment

    @contextmanager
    def as_of(self, moment: float | None) -> Iterator[None]:
        """Lists in this thread tell what was there at a moment, as far back as history has been kept; None: now."""
        self._local.moment = moment
        try:
            yield
        finally:
            self._local.moment = None

    def keep_history(self, wanted: bool) -> None:
        """Keep what rows were before they are changed, for ``as_of``; or stop it and forget."""
        with self.transaction() as db:
            history.keep(db, wanted)

    def counts(self) -> dict[str, int]:
        """How many resources of each type (lower case) there are."""
        rows = self._db().execute("SELECT type, count(*) FROM resources GROUP BY type ORDER BY type")
        return {row[0]: row[1] for row in rows}

    # settings

    def setting(self, name: str, default: Any = None) -> Any:
        row = self._db().execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        with self.transaction() as db:
            db.execute("REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))

    def next_number(self, counter: str, count: int = 1, first: int = 0) -> int:
        """Reserve ``count`` numbers that are never given again; answers the lowest."""
        with self.transaction():
            number: int = self.setting(f"counter:{counter}", first)
            self.set_setting(f"counter:{counter}", number + count)
            return number

    def db(self) -> sqlite3.Connection:
        """This thread's connection, for the tables that other parts of the core keep here."""
        return self._db()


def _resource(row: sqlite3.Row) -> Resource:
    return Resource(
        id=row["id"],
        body=json.loads(row["body"]),
        internal=json.loads(row["internal"]),
        sort=row["sort"],
        version=row["version"],
        created=row["created"],
        changed=row["changed"],
    )
