# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rows were before they were changed: for lists that lag behind, as Azure's do.

Nothing is kept, and nothing costs anything, unless a fault asks for it: then triggers copy a row before it is
overwritten or deleted.
"""

from __future__ import annotations

import sqlite3

KEEP = 900.0
"""Seconds for which old rows are kept."""
_COLUMNS = "key, id, type, subscription, grp, parent, sort, version, created, changed, body, internal"
_NOW = "sandbox_now()"
"""A function of the store's connections: triggers keep the time of the sandbox's clock."""
TABLE = f"CREATE TABLE IF NOT EXISTS history ({_COLUMNS}, until REAL NOT NULL)"
INDEXES = (
    "CREATE INDEX IF NOT EXISTS history_type ON history (type, until)",
    "CREATE INDEX IF NOT EXISTS history_until ON history (until)",
)
# REPLACE runs no delete trigger, so that a row which is overwritten is copied before the insert.
_COPY = """CREATE TRIGGER IF NOT EXISTS history_{event} BEFORE {event} ON resources BEGIN
    INSERT INTO history SELECT {columns}, {now} FROM resources WHERE key = {row}.key;
    DELETE FROM history WHERE until < {now} - {keep};
END"""


def keep(db: sqlite3.Connection, wanted: bool) -> None:
    """Begin to keep old rows, or forget them all."""
    db.execute(TABLE)
    for statement in INDEXES:
        db.execute(statement)
    for event, row in (("INSERT", "NEW"), ("DELETE", "OLD")):
        if wanted:
            db.execute(_COPY.format(event=event, row=row, columns=_COLUMNS, now=_NOW, keep=KEEP))
        else:
            db.execute(f"DROP TRIGGER IF EXISTS history_{event}")
    if not wanted:
        db.execute("DELETE FROM history")


def source(moment: float | None) -> tuple[str, tuple[float, ...]]:
    """What to select from to see the resources now (None) or at a moment; and the values for it."""
    if moment is None:
        return "resources", ()
    query = (
        f"(SELECT {_COLUMNS} FROM resources WHERE changed <= ? "  # noqa: S608  # only names that stand above
        f"UNION ALL SELECT {_COLUMNS} FROM history WHERE changed <= ? AND until > ?)"
    )
    return query, (moment, moment, moment)
