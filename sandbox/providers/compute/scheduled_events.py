# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled Events: what is going to happen to a machine, told in its metadata before it happens.

An event is Scheduled, with the time before which it does not happen; when that time has come, or the machine has
acknowledged it, it is Started, and then it vanishes: there is no status for what has happened. All machines of a scale
set see the events of all of them, as ``Resources`` tells.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.operations import ServerGone
from sandbox.arm.store import Resource
from sandbox.clock import clock

TABLE = """CREATE TABLE IF NOT EXISTS scheduled_events (
    id TEXT PRIMARY KEY, scope TEXT NOT NULL, type TEXT NOT NULL, resource TEXT NOT NULL, name TEXT NOT NULL,
    not_before REAL NOT NULL, started INTEGER NOT NULL, about TEXT NOT NULL) WITHOUT ROWID"""
# Seconds of notice at the least, at time scale 1; how long the interruption is (-1: not known); who brings it about.
NOTICE = {"Preempt": 30.0, "Redeploy": 600.0, "Reboot": 900.0, "Freeze": 900.0, "Terminate": 300.0}
DURATION = {"Freeze": 9}
SOURCE = {"Terminate": "User"}
DESCRIPTION = {
    "Preempt": "Virtual machine is being preempted.",
    "Terminate": "Virtual machine is being deleted.",
}
MAINTENANCE = "Host server is undergoing maintenance."


class ScheduledEvents:
    """The events of all machines; offered to the metadata service as ``scheduled_events``."""

    def __init__(self, core: Core) -> None:
        self._core = core
        with core.store.transaction() as db:
            db.execute(TABLE)

    # what a machine sees and says

    def document(self, resource_id: str) -> dict[str, Any]:
        """What the machine is told; the incarnation counts the changes."""
        resource = self._core.store.get(resource_id)
        scope = _scope(resource) if resource is not None else ids.key(resource_id)
        query = "SELECT * FROM scheduled_events WHERE scope = ? ORDER BY not_before, id"
        events = [_shown(row) for row in self._core.store.db().execute(query, (scope,))]
        number = self._core.store.setting(f"events:{scope}", 1)
        return {"DocumentIncarnation": number, "Events": events}

    def start(self, resource_id: str, event_ids: Sequence[str]) -> list[str]:
        """A machine acknowledges events of its scope: they need not wait any longer. Answers those that are unknown."""
        resource = self._core.store.get(resource_id)
        scope = _scope(resource) if resource is not None else ids.key(resource_id)
        unknown = []
        with self._core.store.transaction() as db:
            for event_id in event_ids:
                row = self._row(event_id)
                if row is None or row["scope"] != scope:
                    unknown.append(event_id)
                elif not row["started"]:
                    db.execute("UPDATE scheduled_events SET not_before = 0 WHERE id = ?", (row["id"],))
        return unknown

    # what happens to machines

    def add(self, kind: str, resource: Resource, *, notice: float | None = None) -> str:
        """Announce an event; ``notice`` in seconds, None: as long as Azure's, times the time scale. Answers its id."""
        seconds = NOTICE[kind] * self._core.settings.time_scale if notice is None else notice
        about = {
            "EventSource": SOURCE.get(kind, "Platform"),
            "Description": DESCRIPTION.get(kind, MAINTENANCE),
            "DurationInSeconds": DURATION.get(kind, -1),
        }
        event_id, scope = str(uuid.uuid4()).upper(), _scope(resource)
        row = (event_id, scope, kind, ids.key(resource.id), resource.body["name"], clock.now() + seconds, 0)
        with self._core.store.transaction() as db:
            db.execute("INSERT INTO scheduled_events VALUES (?,?,?,?,?,?,?,?)", (*row, json.dumps(about)))
            self._count(scope)
        return event_id

    def wait(self, event_id: str) -> bool:
        """Block until the event is due or acknowledged, and start it. False if there is no such event (any more)."""
        known = self._row(event_id)
        if known is not None:  # so that a jump of the clock stops there
            clock.later(known["not_before"] - clock.now(), lambda: None)
        while True:
            if self._core.operations.closed:
                raise ServerGone
            row = self._row(event_id)
            if row is None:
                return False
            if row["started"] or row["not_before"] <= clock.now() or self._core.store.get(row["resource"]) is None:
                break
            clock.pause(0.1)
        with self._core.store.transaction() as db:
            db.execute("UPDATE scheduled_events SET started = 1 WHERE id = ?", (event_id,))
            self._count(row["scope"])
        return True

    def end(self, *event_ids: str) -> None:
        """The events have happened: they vanish."""
        with self._core.store.transaction() as db:
            for event_id in event_ids:
                row = self._row(event_id)
                if row is not None:
                    db.execute("DELETE FROM scheduled_events WHERE id = ?", (event_id,))
                    self._count(row["scope"])

    def terminate(self, resources: Sequence[Resource]) -> None:
        """Machines that are about to be deleted: those that want to be told get their time. Blocks for it."""
        told = []
        for resource in resources:
            timeout = self._terminate_timeout(resource)
            if timeout is not None:
                query = "SELECT id FROM scheduled_events WHERE resource = ? AND type = 'Terminate'"
                known = self._core.store.db().execute(query, (ids.key(resource.id),)).fetchone()
                told.append(known["id"] if known else self._add_terminate(resource, timeout))
        for event_id in told:
            self.wait(event_id)

    def forget(self, resource_ids: Sequence[str]) -> None:
        """Machines are gone, and what was going to happen to them."""
        for resource_id in resource_ids:
            query = "SELECT id FROM scheduled_events WHERE resource = ?"
            rows = self._core.store.db().execute(query, (ids.key(resource_id),)).fetchall()
            if rows:
                self.end(*[row["id"] for row in rows])

    def _add_terminate(self, resource: Resource, timeout: float) -> str:
        return self.add("Terminate", resource, notice=timeout * self._core.settings.time_scale)

    def _terminate_timeout(self, resource: Resource) -> float | None:
        """Seconds that a machine gets before it is deleted; None if it does not ask for any, or does not run."""
        if resource.internal.get("power") != "running":
            return None
        profile = resource.properties
        if resource.rid.parent is not None:
            owner = self._core.store.get(resource.rid.parent)
            profile = (owner.properties.get("virtualMachineProfile") or {}) if owner is not None else {}
        wanted = (profile.get("scheduledEventsProfile") or {}).get("terminateNotificationProfile") or {}
        return minutes(wanted.get("notBeforeTimeout", "PT5M")) * 60 if wanted.get("enable") else None

    def _row(self, event_id: str) -> sqlite3.Row | None:
        query = "SELECT * FROM scheduled_events WHERE id = ?"
        row: sqlite3.Row | None = self._core.store.db().execute(query, (event_id.upper(),)).fetchone()
        return row

    def _count(self, scope: str) -> None:
        number = self._core.store.setting(f"events:{scope}", 1)
        self._core.store.set_setting(f"events:{scope}", number + 1)


def minutes(duration: str) -> float:
    """``PT5M`` as 5; Azure takes from 5 to 15."""
    digits = duration.upper().removeprefix("PT").removesuffix("M")
    return float(digits) if digits.isdigit() else 5.0


def _scope(resource: Resource) -> str:
    """Whose events a machine sees: those of its scale set, else its own."""
    owner = (resource.properties.get("virtualMachineScaleSet") or {}).get("id") or resource.rid.parent or resource.id
    return ids.key(owner)


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    before = datetime.fromtimestamp(row["not_before"], UTC)
    return {
        "EventId": row["id"],
        "EventStatus": "Started" if row["started"] else "Scheduled",
        "EventType": row["type"],
        "ResourceType": "VirtualMachine",
        "Resources": [row["name"]],
        "NotBefore": "" if row["started"] else f"{before:%a, %d %b %Y %H:%M:%S GMT}",
        **json.loads(row["about"]),
    }
