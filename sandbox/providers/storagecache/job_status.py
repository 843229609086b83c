# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of jobs, and what ``properties.status`` of each kind tells while it runs and when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.arm.operations import stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock

from .content import MEBIBYTE, Moved
from .shapes import FILE_SYSTEM, Json

_ENTRIES = (
    "importedFiles",
    "importedDirectories",
    "importedSymlinks",
    "preexistingFiles",
    "preexistingDirectories",
    "preexistingSymlinks",
)


@dataclass(frozen=True)
class Kind:
    """A kind of job. ``active`` and ``stop`` are the values of its adminStatus; ``stopped`` the state after it."""

    name: str
    active: str = ""
    stop: str = ""
    stopped: str = ""
    needs_container: bool = True

    @property
    def type(self) -> str:
        return f"{FILE_SYSTEM}/{self.name}"


IMPORT = Kind("importJobs", "Active", "Cancel", "Canceled")
AUTO_IMPORT = Kind("autoImportJobs", "Enable", "Disable", "Disabled")
AUTO_EXPORT = Kind("autoExportJobs", "Enable", "Disable", "Disabled")
EXPANSION = Kind("expansionJobs", needs_container=False)
KINDS = (IMPORT, AUTO_IMPORT, AUTO_EXPORT, EXPANSION)


def first_status(kind: Kind, now: str) -> Json:
    """The status of a job that has just begun: nothing was seen and nothing moved yet."""
    nothing = dict.fromkeys(_ENTRIES, 0)
    if kind is IMPORT:
        counts = ("totalBlobsWalked", "blobsWalkedPerSecond", "totalBlobsImported", "blobsImportedPerSecond")
        ends = {"totalErrors": 0, "totalConflicts": 0}
        return {"state": "InProgress", **dict.fromkeys(counts, 0), **nothing, **ends, "lastStartedTime": now}
    if kind is AUTO_IMPORT:
        counts = ("totalBlobsWalked", "rateOfBlobWalk", "totalBlobsImported", "rateOfBlobImport")
        ends = {"totalErrors": 0, "totalConflicts": 0}
        events = {**nothing, "totalBlobsImported": 0, "rateOfBlobImport": 0, **ends, "deletions": 0}
        head = {"state": "InProgress", **dict.fromkeys(counts, 0)}
        return {**head, **nothing, **ends, "blobSyncEvents": events, "lastStartedTimeUTC": now}
    if kind is AUTO_EXPORT:
        totals = ("totalFilesExported", "totalMiBExported", "totalFilesFailed", "exportIterationCount")
        names = ("FilesDiscovered", "MiBDiscovered", "FilesExported", "MiBExported", "FilesFailed")
        current = {f"currentIteration{name}": 0 for name in names}
        return {"state": "InProgress", **dict.fromkeys(totals, 0), **current, "lastStartedTimeUTC": now}
    return {"state": "InProgress", "percentComplete": 0.0, "startTimeUTC": now}


def shown(kind: Kind, body: Json, api_version: str) -> Json:
    """A job as a version tells it: up to 2024 the times of automatic exports do not say that they are UTC."""
    if kind is not AUTO_EXPORT or api_version >= "2025":
        return body
    status = {key.removesuffix("UTC"): value for key, value in body["properties"]["status"].items()}
    return {**body, "properties": {**body["properties"], "status": status}}


def told(job: Resource, moved: Moved) -> None:
    """Write into the status of an import what was done and how it ended."""
    status = job.properties["status"]
    status.update(
        totalBlobsWalked=moved.walked,
        totalBlobsImported=len(moved.moved),
        importedFiles=len(moved.moved),
        preexistingFiles=len(moved.there) + len(moved.conflicts),
        totalErrors=len(moved.errors),
        totalConflicts=len(moved.conflicts),
    )
    if moved.stopped:
        status["state"] = "Failed"
        why = f"{moved.conflicts[0]} exists in the file system" if moved.conflicts else moved.errors[-1]
        status["statusMessage"] = f"The import was ended: {why}."
    elif moved.errors:
        status["state"] = "CompletedPartial"
        status["statusMessage"] = f"{len(moved.errors)} blobs were not imported: {moved.errors[0]}."


def imported(job: Resource, moved: Moved) -> None:
    """Add to the status of an automatic import."""
    status = job.properties["status"]
    events = status["blobSyncEvents"]
    status["totalBlobsWalked"] = moved.walked
    for row in (status, events):
        row["totalBlobsImported"] += len(moved.moved)
        row["importedFiles"] += len(moved.moved)
        row["totalErrors"] = len(moved.errors)
        row["totalConflicts"] = len(moved.conflicts)
    events["deletions"] += len(moved.removed)
    names = {*job.internal.get("names", []), *moved.moved, *moved.there} - set(moved.removed)
    job.internal["names"] = sorted(names)


def exported(job: Resource, moved: Moved) -> None:
    """Add to the status of an automatic export. The first look ends the first iteration, each that finds something
    another.
    """
    status = job.properties["status"]
    first = "lastSuccessfulIterationCompletionTimeUTC" not in status
    if first or moved.moved:
        status["exportIterationCount"] += 1
        status["lastSuccessfulIterationCompletionTimeUTC"] = stamp(clock.now())
    status["totalFilesExported"] += len(moved.moved)
    status["totalMiBExported"] += moved.bytes // MEBIBYTE
    status["totalFilesFailed"] += len(moved.errors)
    status.update(
        currentIterationFilesDiscovered=len(moved.moved) + len(moved.errors),
        currentIterationFilesExported=len(moved.moved),
        currentIterationFilesFailed=len(moved.errors),
        currentIterationMiBDiscovered=moved.bytes // MEBIBYTE,
        currentIterationMiBExported=moved.bytes // MEBIBYTE,
    )


def end(kind: Kind, job: Resource, state: str) -> None:
    """Write the end of a job into its status, unless it is over."""
    status, now = job.properties["status"], stamp(clock.now())
    if status["state"] not in ("InProgress", "Cancelling", "Disabling"):
        return
    status["state"] = state
    status["statusMessage"] = state
    if kind is IMPORT:
        status["lastCompletionTime"] = now
        return
    status["statusCode"] = "Success"
    if kind is EXPANSION:
        status.update(percentComplete=100.0, completionTimeUTC=now)
        return
    status["lastCompletionTimeUTC"] = now
    if kind is AUTO_IMPORT:
        status.update(scanStartTime=status["lastStartedTimeUTC"], scanEndTime=now)
        status["blobSyncEvents"]["lastTimeFullySynchronized"] = now
