# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs between a Managed Lustre file system and its blob container: import, automatic import and export, archive."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.lustre import VERSION, lustre_id
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import Outcome, Write
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, differences
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients

# Seconds between looks at a job.
INTERVAL = 10.0
_GOING = ("InProgress", "Cancelling", "Disabling", "FSScanInProgress")
_STARTED = ("lastStartedTime", "lastStartedTimeUTC", "startTimeUTC")
_ENDED = ("lastCompletionTime", "lastCompletionTimeUTC", "completionTimeUTC")
_ENDINGS = ("Disabling", "Disabled", "Cancelling", "Canceled")


@dataclass(frozen=True)
class Kind:
    """A kind of job: its resource type, the key of its prefixes, and how its administrator stops it."""

    resource: str
    prefixes: str
    active: str
    stop: str
    forever: bool = False


KINDS: t.Mapping[str, Kind] = {
    "import": Kind("importJobs", "importPrefixes", "Active", "Cancel"),
    "auto_import": Kind("autoImportJobs", "autoImportPrefixes", "Enable", "Disable", forever=True),
    "auto_export": Kind("autoExportJobs", "autoExportPrefixes", "Enable", "Disable", forever=True),
}


def run(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, Json]:
    """Bring the job of a module's ``options`` into its state; what it says of itself. Raises AzureError."""
    clients = TypedClients(session)
    parent = lustre_id(session, options["resource_group"], options["file_system"])
    file_system = clients.find(parent)
    if file_system is None:
        if options["state"] == "absent":
            return Outcome((), {}), {}
        raise AzureError(f"there is no file system {options['file_system']}", code="FileSystemNotFound")
    if options["state"] == "present":
        _complain(file_system, options["file_system"])
    work = Archive if options["type"] == "archive" else Job
    return work(clients, parent, file_system, options, check).run()


def _complain(file_system: Json, name: str) -> None:
    """Raise AzureError for a file system that can have no jobs."""
    if documents.state_of(file_system) != "Succeeded":
        wrong = documents.problems(file_system, time.time()) or [
            f"{name} is {documents.state_of(file_system)}: wait until it is there"
        ]
        raise AzureError(wrong[0], code="FileSystemNotReady")
    if not ((file_system.get("properties") or {}).get("hsm") or {}).get("settings"):
        text = (
            f"{name} was made without a blob container, and cannot get one: make another file system with container "
            "and "
            "logging_container, or copy on a client"
        )
        raise AzureError(text, code="NoContainer")


class Job:
    """An import, automatic import or automatic export: a resource below the file system."""

    def __init__(
        self, clients: TypedClients, parent: str, file_system: Json, options: t.Mapping[str, t.Any], check: bool
    ) -> None:
        self._clients, self._file_system, self._options, self._check = clients, file_system, options, check
        self._kind = KINDS[options["type"]]
        if not options.get("name"):
            raise AzureError(f"a job of type {options['type']} has a name", code="MissingOptions")
        self._id = f"{parent}/{self._kind.resource}/{options['name']}"

    def run(self) -> tuple[Outcome, Json]:
        """Do what the state asks for."""
        actual = self._clients.find(self._id)
        if self._options["state"] == "absent":
            return self._remove(actual)
        if self._options["state"] == "cancelled":
            return self._cancel(actual)
        return self._start(actual)

    def _start(self, actual: Json | None) -> tuple[Outcome, Json]:
        state = _state(actual)
        anew = actual is not None and state not in _GOING and (self._options["rerun"] or self._kind.forever)
        if actual is not None and state in _ENDINGS[::2]:
            raise AzureError(f"{self._options['name']} is {state}: run it again when that is over", code="JobBusy")
        if actual is not None and not anew:
            self._refuse_changes(actual)
            return self._finished(Outcome((), {}), actual)
        body = self._body()
        changes = (Difference(("status", "state"), state, "InProgress"),) if anew else ()
        write = Write("PUT", self._id, 0, body, actual, None if anew else body, changes)
        if self._check:
            return Outcome((write,), {}), {"name": self._options["name"], "state": "InProgress"}
        if anew:
            self._clients.begin("DELETE", self._id, None, f"forget the job {self._options['name']} that ended").result()
        self._clients.begin("PUT", self._id, body, f"start the job {self._options['name']}").result()
        return self._finished(Outcome((write,), {}), self._clients.get(self._id))

    def _body(self) -> Json:
        options = self._options
        properties: Json = {
            self._kind.prefixes: list(options.get("prefixes") or ["/"]),
            "adminStatus": self._kind.active,
        }
        if options["type"] != "auto_export":
            if options.get("conflicts"):
                properties["conflictResolutionMode"] = options["conflicts"]
            if options.get("maximum_errors") is not None:
                properties["maximumErrors"] = options["maximum_errors"]
        if options["type"] == "auto_import" and options.get("enable_deletions") is not None:
            properties["enableDeletions"] = options["enable_deletions"]
        body: Json = {"location": self._file_system["location"], "properties": properties}
        return {**body, "tags": dict(options["tags"])} if options.get("tags") else body

    def _refuse_changes(self, actual: Json) -> None:
        wanted = self._body()["properties"]
        wanted.pop("adminStatus")
        if not self._options.get("prefixes"):
            wanted.pop(self._kind.prefixes)
        found = [".".join(one.path) for one in differences(wanted, actual.get("properties") or {})]
        if found:
            text = (
                f"the job {self._options['name']} exists with other settings ({', '.join(found)}), which cannot be "
                "changed: give "
                "the new job another name, or cancel and delete this one"
            )
            raise AzureError(text, code="PropertyChangeNotAllowed")

    def _finished(self, outcome: Outcome, job: Json) -> tuple[Outcome, Json]:
        """Wait for the end of a job that has one; raises AzureError if it did not end well."""
        deadline = time.monotonic() + self._options["wait_timeout"]
        waits = self._options["wait"] and not self._kind.forever and not self._check
        while waits and _state(job) in _GOING:
            if time.monotonic() > deadline:
                text = f"the job {job['name']} goes on: {_counts(summary(job))}; run it again to go on waiting"
                raise AzureError(text, code="ClientTimeout")
            self._clients.sleep(INTERVAL)
            job = self._clients.get(self._id)
        if _state(job) in ("Failed", "CompletedPartial", "DisableFailed"):
            raise AzureError(failure(job, self._file_system), code="JobFailed", target=self._id)
        return outcome, summary(job)

    def _cancel(self, actual: Json | None) -> tuple[Outcome, Json]:
        if actual is None or _state(actual) not in _GOING:
            return Outcome((), {}), summary(actual) if actual else {}
        stopping = _state(actual) in _ENDINGS
        change = Difference(("properties", "adminStatus"), self._kind.active, self._kind.stop)
        body = {"properties": {"adminStatus": self._kind.stop}}
        outcome = Outcome(() if stopping else (Write("PATCH", self._id, 0, body, actual, changes=(change,)),), {})
        if self._check:
            return outcome, summary(actual)
        if not stopping:
            self._clients.begin("PATCH", self._id, body, f"cancel the job {self._options['name']}").result()
        job = self._clients.get(self._id)
        deadline = time.monotonic() + self._options["wait_timeout"]
        while self._options["wait"] and _state(job) in _GOING and time.monotonic() < deadline:
            self._clients.sleep(INTERVAL)
            job = self._clients.get(self._id)
        return outcome, summary(job)

    def _remove(self, actual: Json | None) -> tuple[Outcome, Json]:
        if actual is None:
            return Outcome((), {}), {}
        if _state(actual) in _GOING:
            text = f"the job {self._options['name']} is {_state(actual)}: cancel it first (state: cancelled)"
            raise AzureError(text, code="JobBusy")
        write = Write("DELETE", self._id, 0, before={key: actual[key] for key in ("id", "tags") if key in actual})
        if not self._check:
            self._clients.begin("DELETE", self._id, None, f"delete the job {self._options['name']}").result()
        return Outcome((write,), {}), {}


class Archive:
    """An archive job: one at a time, told of by the file system itself, known by its path."""

    def __init__(
        self, clients: TypedClients, parent: str, file_system: Json, options: t.Mapping[str, t.Any], check: bool
    ) -> None:
        self._clients, self._id, self._file_system, self._options, self._check = (
            clients,
            parent,
            file_system,
            options,
            check,
        )
        self._path = options.get("path") or "/"
        if options["state"] == "absent":
            text = "an archive job is part of its file system and cannot be deleted: cancel it"
            raise AzureError(text, code="InvalidOptions")

    def run(self) -> tuple[Outcome, Json]:
        """Start, or cancel."""
        row = self._row(self._file_system)
        if self._options["state"] == "cancelled":
            return self._cancel(row)
        others = [
            one for one in documents.archives(self._file_system) if one["state"] in _GOING and one["path"] != self._path
        ]
        if others:
            text = (
                f"there is one archive job at a time, and that of {others[0]['path']} is at {others[0]['percent']:g} %"
            )
            raise AzureError(text, code="JobBusy")
        state = row.get("state", "")
        if state in _GOING or (state == "Completed" and not self._options["rerun"]):
            return self._finished(Outcome((), {}), self._file_system)
        if state and not self._options["rerun"]:
            if state == "Failed":
                raise AzureError(documents.archive_problem(self._file_system, row), code="JobFailed", target=self._id)
            if state == "Canceled":
                text = f"the archive of {self._path} was cancelled at {row['percent']:g} %; with rerun: true it goes on"
                raise AzureError(text, code="JobFailed", target=self._id)
        return self._start(state)

    def _row(self, file_system: Json) -> Json:
        return next((one for one in documents.archives(file_system) if one["path"] == self._path), {})

    def _start(self, state: str) -> tuple[Outcome, Json]:
        change = Difference(("archive", self._path), state or None, "InProgress")
        outcome = Outcome((Write("POST", self._id, 0, before=self._file_system, changes=(change,)),), {})
        if self._check:
            return outcome, {"path": self._path, "state": "InProgress"}
        self._clients.act(self._id, "archive", {"filesystemPath": self._path})
        return self._finished(outcome, self._clients.get(self._id))

    def _finished(self, outcome: Outcome, file_system: Json) -> tuple[Outcome, Json]:
        deadline = time.monotonic() + self._options["wait_timeout"]
        row = self._row(file_system)
        while self._options["wait"] and not self._check and row.get("state") in _GOING:
            if time.monotonic() > deadline:
                text = f"the archive of {self._path} is at {row['percent']:g} %; run it again to go on waiting"
                raise AzureError(text, code="ClientTimeout")
            self._clients.sleep(INTERVAL)
            file_system = self._clients.get(self._id)
            row = self._row(file_system)
        if row.get("state") == "Failed":
            raise AzureError(documents.archive_problem(file_system, row), code="JobFailed", target=self._id)
        return outcome, row

    def _cancel(self, row: Json) -> tuple[Outcome, Json]:
        if row.get("state") not in ("InProgress", "FSScanInProgress"):
            return Outcome((), {}), row
        change = Difference(("archive", self._path), row["state"], "Canceled")
        outcome = Outcome((Write("POST", self._id, 0, before=self._file_system, changes=(change,)),), {})
        if self._check:
            return outcome, row
        self._clients.act(self._id, "cancelArchive")
        return outcome, self._row(self._clients.get(self._id))


def _state(job: Json | None) -> str:
    return str((((job or {}).get("properties") or {}).get("status") or {}).get("state") or "")


def summary(job: Json) -> Json:
    """What people need of a job: name, state, message, prefixes, when, and Azure's counts as they are called there."""
    properties = job.get("properties") or {}
    status = dict(properties.get("status") or {})
    state, message = status.pop("state", ""), status.pop("statusMessage", "")
    code = status.pop("statusCode", "")
    stamps = {key: status.pop(key) for key in (*_STARTED, *_ENDED) if key in status}
    started, ended = (next((stamps[key] for key in keys if stamps.get(key)), "") for keys in (_STARTED, _ENDED))
    prefixes: list[str] = next(
        (properties[kind.prefixes] for kind in KINDS.values() if kind.prefixes in properties), []
    )
    return {
        "id": job.get("id", ""),
        "name": job.get("name", ""),
        "state": state,
        "message": message,
        "code": code,
        "admin_status": properties.get("adminStatus", ""),
        "prefixes": prefixes,
        "started": started,
        "ended": ended,
        "counts": status,
    }


def listing(session: Session, file_system_id: str) -> list[Json]:
    """All jobs of a file system, with their ``type``; those that add storage are of type expansion."""
    resources = {**{name: kind.resource for name, kind in KINDS.items()}, "expansion": "expansionJobs"}
    return [
        {**summary(one), "type": name}
        for name, resource in resources.items()
        for one in session.listing(f"{file_system_id}/{resource}", VERSION, f"list the jobs of type {name}")
    ]


def _counts(row: Json) -> str:
    told = {key: value for key, value in row["counts"].items() if isinstance(value, (int, float)) and value}
    return ", ".join(f"{key} {value:g}" for key, value in told.items()) or "nothing counted yet"


def failure(job: Json, file_system: Json) -> str:
    """Why a job did not end well, what is lost (nothing), and what to do."""
    row = summary(job)
    logs = str(((file_system.get("properties") or {}).get("hsm") or {}).get("settings", {}).get("loggingContainer", ""))
    said = ": ".join(one for one in (row["code"], row["message"]) if one)
    return (
        f"the job {row['name']} ended as {row['state']}{f' ({said})' if said else ''}, having counted: "
        f"{_counts(row)}. Nothing is lost: what was "
        f"not moved is where it was. See the logs in {logs.rsplit('/', 1)[-1] or 'the logging container'}, mend what "
        "they name (for an "
        "import, conflicts and maximum_errors decide what ends it), and run the job again with rerun: true"
    )
