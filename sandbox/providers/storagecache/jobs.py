# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of a file system: importJobs, autoImportJobs, autoExportJobs, expansionJobs.

A job is made by a short operation; what it does goes on after that and shows in ``properties.status``. An import ends
by itself, automatic jobs run until they are disabled, an expansion ends with the new capacity.
"""

from __future__ import annotations

from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import STORAGE_CACHE, Run, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers import common

from . import shapes
from .content import Content, Moved
from .job_status import (
    AUTO_EXPORT,
    AUTO_IMPORT,
    EXPANSION,
    IMPORT,
    Kind,
    end,
    exported,
    first_status,
    imported,
    shown,
    told,
)
from .shapes import Json

START_SECONDS, IMPORT_SECONDS, EXPAND_SECONDS = 5.0, 120.0, 900.0
INITIAL = "importJobInitialAmlfsPut"
_MODES = ("Fail", "Skip", "OverwriteIfDirty", "OverwriteAlways")


class Jobs:
    """Handlers and works of one kind of job."""

    def __init__(self, core: Core, kind: Kind) -> None:
        self._core, self._kind = core, kind

    def register(self) -> None:
        core, name = self._core, self._kind.name
        core.router.resource(
            self._kind.type,
            get=self.get,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=self.list,
        )
        core.operations.register(f"lustre.{name}.put", self.work_put)
        core.operations.register(f"lustre.{name}.run", self.work_run)
        core.operations.register(f"lustre.{name}.stop", self.work_stop)
        core.operations.register(f"lustre.{name}.delete", self.work_delete)

    # requests

    def put(self, request: Request) -> Answer:
        with self._core.store.transaction():
            file_system = self._file_system(request)
            known = self._core.store.get(request.id)
            asked = request.body.get("properties") or {}
            job = known or Resource(str(request.id), {})
            if known is None:
                self._check_alone(file_system)
                job.body = job_body(self._kind, request.id, file_system.body["location"], self._properties(asked))
            if self._kind is EXPANSION and known is None:
                self._expand(file_system, asked)
            tags = common.tags(request.body)
            if tags is not None:
                job.body["tags"] = tags
            job.properties["provisioningState"] = "Creating"
            self._core.store.put(job)
            answer = self._begin(request, job, "put", START_SECONDS, status=201, body=self._shown(request, job))
            if known is None and self._kind in (IMPORT, EXPANSION):
                seconds = IMPORT_SECONDS if self._kind is IMPORT else EXPAND_SECONDS
                self._begin(request, job, "run", seconds)
            return answer

    def _begin(self, request: Request, job: Resource, work: str, latency: float, **more: object) -> Answer:
        name, location = f"lustre.{self._kind.name}.{work}", job.body["location"]
        if "body" in more:
            return self._core.operations.begin(
                request, name, job.id, style=STORAGE_CACHE, status=201, body=more["body"], headers="aao",
                location=location, latency=latency,
            )  # fmt: skip
        return self._core.operations.begin(
            request, name, job.id, style=STORAGE_CACHE, location=location, latency=latency
        )

    def _file_system(self, request: Request) -> Resource:
        """The file system, which must have settled, and have a container if the job moves blobs."""
        file_system = self._core.require_parent(request.id)
        if file_system is None:
            raise LookupError(f"{request.id} is not nested")
        state = file_system.properties["provisioningState"]
        if state != "Succeeded":
            message = f"The file system '{file_system.rid.name}' is in state {state}: its jobs need it Succeeded."
            raise ArmError(409, "OperationNotAllowed", message)
        if self._kind.needs_container and not file_system.properties["hsm"].get("settings"):
            message = f"The file system '{file_system.rid.name}' has no blob container: {self._kind.name} need one."
            raise ArmError(409, "OperationNotAllowed", message)
        return file_system

    def _check_alone(self, file_system: Resource) -> None:
        """409 if a job of the kind runs already: there is one at a time."""
        for job in self._core.store.list(self._kind.type, parent=file_system.id):
            if job.properties["status"]["state"] in ("InProgress", "Cancelling", "Disabling"):
                message = f"The job '{job.rid.name}' is in progress: there can be one of {self._kind.name} at a time."
                raise ArmError(409, "OperationNotAllowed", message)

    def _properties(self, asked: Json) -> Json:
        """The settings of a new job, with their defaults. 400 for values that do not exist."""
        if self._kind is EXPANSION:
            return {"newStorageCapacityTiB": asked.get("newStorageCapacityTiB")}
        admin = asked.get("adminStatus") or self._kind.active
        if admin not in (self._kind.active, self._kind.stop):
            message = f"The value '{admin}' is not valid: use {self._kind.active} or {self._kind.stop}."
            raise shapes.bad("adminStatus", message)
        if self._kind is AUTO_EXPORT:
            return {"autoExportPrefixes": asked.get("autoExportPrefixes") or ["/"], "adminStatus": admin}
        mode = asked.get("conflictResolutionMode") or ("Fail" if self._kind is IMPORT else "Skip")
        if mode not in _MODES:
            message = f"The value '{mode}' is not valid: use {', '.join(_MODES)}."
            raise shapes.bad("conflictResolutionMode", message)
        prefixes = "importPrefixes" if self._kind is IMPORT else "autoImportPrefixes"
        deletions = {} if self._kind is IMPORT else {"enableDeletions": asked.get("enableDeletions", False)}
        return {
            prefixes: asked.get(prefixes) or ["/"],
            "conflictResolutionMode": mode,
            **deletions,
            "maximumErrors": asked.get("maximumErrors", 0),
            "adminStatus": admin,
        }

    def _expand(self, file_system: Resource, asked: Json) -> None:
        sku = shapes.sku_of(file_system.body)
        target = "newStorageCapacityTiB"
        capacity = shapes.capacity_of(sku, asked.get(target), target=target)
        present = file_system.properties["storageCapacityTiB"]
        if capacity <= present:
            message = f"The value '{capacity:g}' of parameter {target} must be more than the present {present:g} TiB."
            raise shapes.bad(target, message)
        file_system.properties["health"] = shapes.health("Expanding")
        self._core.store.put(file_system)

    def patch(self, request: Request) -> Answer:
        """Tags are written at once, a new adminStatus takes an operation."""
        with self._core.store.transaction():
            job = self._core.require(request.id)
            tags = common.tags(request.body)
            if tags is not None:
                job.body["tags"] = tags
            admin = (request.body.get("properties") or {}).get("adminStatus")
            if admin is None or admin == job.properties.get("adminStatus"):
                self._core.store.put(job)
                return Answer(200, self._shown(request, job))
            if admin != self._kind.stop:
                message = f"The adminStatus of a job of {self._kind.name} can only become '{self._kind.stop}'."
                raise shapes.bad("adminStatus", message)
            job.properties.update(adminStatus=admin, provisioningState="Updating")
            self._core.store.put(job)
            return self._begin(request, job, "stop", START_SECONDS)

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            job = self._core.store.get(request.id)
            if job is None:
                self._core.require_parent(request.id, "delete")
                return Answer(204)
            job.properties["provisioningState"] = "Deleting"
            self._core.store.put(job)
            return self._begin(request, job, "delete", START_SECONDS)

    # works

    def work_put(self, run: Run) -> None:
        def change(job: Resource) -> None:
            if job.properties["provisioningState"] != "Deleting":
                job.properties["provisioningState"] = "Succeeded"

        self._core.store.update(run.resource_id, change)

    def work_run(self, run: Run) -> None:
        """The end of a job that ends by itself."""
        store = self._core.store
        begun = store.get(run.resource_id)
        if begun is None or begun.properties["status"]["state"] != "InProgress" or begun.rid.parent is None:
            return
        moved = self._import(begun) if self._kind is IMPORT else None
        with store.transaction():
            job = store.get(run.resource_id)
            if job is None or job.properties["status"]["state"] != "InProgress":
                return
            try:
                if self._kind is EXPANSION:
                    store.update(begun.rid.parent, partial(_expanded, self._core, job))
                end(self._kind, job, "Completed")
            except ArmError as error:  # the subnet is full: the file system goes on as it was
                end(self._kind, job, "Failed")
                job.properties["status"].update(statusCode=error.code, statusMessage=error.message, percentComplete=0.0)
                store.update(begun.rid.parent, _as_before)
            if moved is not None:
                told(job, moved)
            store.put(job)

    def _import(self, job: Resource) -> Moved:
        file_system = self._core.require(job.rid.parent) if job.rid.parent else None
        if file_system is None:
            raise LookupError(f"{job.id} is not nested")
        given = job.properties
        content = Content(self._core, file_system)
        return content.bring(given["importPrefixes"], given["conflictResolutionMode"], given["maximumErrors"])

    def get(self, request: Request) -> Answer:
        """One job. Automatic jobs look for what is new when somebody looks at them."""
        self._sync(self._core.require(request.id))
        return Answer(200, self._shown(request, self._core.require(request.id)))

    def _shown(self, request: Request, job: Resource) -> Json:
        return shown(self._kind, job.body, request.api_version)

    def list(self, request: Request) -> Answer:
        """The jobs of a file system."""
        for job in self._core.store.list(self._kind.type, parent=request.rid):
            self._sync(job)
        file_system = self._core.require(request.id)
        found = self._core.store.list(self._kind.type, parent=file_system.id)
        return Answer(200, {"value": [self._shown(request, job) for job in found]})

    def _sync(self, job: Resource) -> None:
        if self._kind not in (AUTO_IMPORT, AUTO_EXPORT) or job.properties["status"]["state"] != "InProgress":
            return
        file_system = self._core.store.get(job.rid.parent) if job.rid.parent else None
        if file_system is None or not file_system.properties["hsm"].get("settings"):
            return
        content, given = Content(self._core, file_system), job.properties
        if self._kind is AUTO_EXPORT:
            taken = content.take(given["autoExportPrefixes"])
            self._core.store.update(job.id, lambda row: exported(row, taken))
            return
        known = list(job.internal.get("names", []))
        removed = content.forget(known) if given["enableDeletions"] else []
        brought = content.bring(given["autoImportPrefixes"], given["conflictResolutionMode"], given["maximumErrors"])
        brought.removed = removed
        self._core.store.update(job.id, lambda row: imported(row, brought))

    def work_stop(self, run: Run) -> None:
        def change(job: Resource) -> None:
            end(self._kind, job, self._kind.stopped)
            job.properties["provisioningState"] = "Succeeded"

        self._core.store.update(run.resource_id, change)

    def work_delete(self, run: Run) -> None:
        self._core.store.delete(run.resource_id)


def _as_before(file_system: Resource) -> None:
    file_system.properties["health"] = shapes.health("Available")


def _expanded(core: Core, job: Resource, file_system: Resource) -> None:
    """A file system with the capacity of its expansion job."""
    sku, properties = shapes.sku_of(file_system.body), file_system.properties
    capacity = shapes.capacity_of(sku, job.properties["newStorageCapacityTiB"])
    names = ("mgs", *map(str, range(1, shapes.addresses(sku, capacity))))
    wanted = [f"{file_system.id}/ipConfigurations/{name}" for name in names]
    core.service("network").allocate(properties["filesystemSubnet"], wanted)
    properties.update(
        storageCapacityTiB=capacity,
        currentStorageCapacityTiB=capacity,
        throughputProvisionedMBps=int(capacity * sku.bandwidth),
        health=shapes.health("Available"),
        clientInfo=shapes.client_info(file_system.internal["mgs"], capacity, file_system.internal["handle"]),
    )


def job_body(kind: Kind, rid: ResourceId, location: str, settings: Json) -> Json:
    """A job that has just begun."""
    properties = {"provisioningState": "Creating", **settings, "status": first_status(kind, stamp(clock.now()))}
    return {"name": rid.name, "id": str(rid), "type": kind.type, "location": location, "properties": properties}


def initial_import(core: Core, file_system: Resource) -> Resource | None:
    """The import that a new file system with a container begins with: it is over when the file system is there.

    None if it has been.
    """
    rid = file_system.rid.child("importJobs", INITIAL)
    if core.store.exists(rid):
        return None
    settings = file_system.properties["hsm"]["settings"]
    prefixes = settings.get("importPrefixesInitial") or [settings.get("importPrefix", "/")]
    given = {"importPrefixes": prefixes, "conflictResolutionMode": "Fail", "maximumErrors": 0, "adminStatus": "Active"}
    job = Resource(str(rid), job_body(IMPORT, rid, file_system.body["location"], given))
    job.properties["provisioningState"] = "Succeeded"
    end(IMPORT, job, "Completed")
    told(job, Content(core, file_system).bring(prefixes, "Fail", 0))
    return job
