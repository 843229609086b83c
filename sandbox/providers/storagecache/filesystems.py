# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.StorageCache/amlFilesystems: writing, reading, archiving, removal."""

from __future__ import annotations

from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import STORAGE_CACHE, Run
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers import blobs, common

from . import shapes
from .catalogue import check_quota, subnet_problem
from .content import Content
from .jobs import initial_import
from .shapes import FILE_SYSTEM, Json

CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS, ARCHIVE_SECONDS = 900.0, 30.0, 600.0, 120.0


class FileSystems:
    """Handlers and works of file systems."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        core = self._core
        core.router.resource(
            FILE_SYSTEM,
            get=core.get_handler,
            put=self.put,
            patch=self.patch,
            delete=self.delete,
            list=core.list_handler,
            list_all=core.list_handler,
        )
        core.router.action(FILE_SYSTEM, "archive", self.archive)
        core.router.action(FILE_SYSTEM, "cancelArchive", self.cancel_archive)
        core.operations.register("lustre.put", self.work_put)
        core.operations.register("lustre.delete", self.work_delete)
        core.operations.register("lustre.archive", self.work_archive)
        core.on_group_delete(FILE_SYSTEM, 35, self.remove)

    # writing

    def put(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            location = common.region(request, known)
            if known is not None:
                return self._update(request, known, request.body)
            return self._create(request, location)

    def _create(self, request: Request, location: str) -> Answer:
        given, asked = request.body, request.body.get("properties") or {}
        sku = shapes.sku_of(given)
        capacity = shapes.capacity_of(sku, asked.get("storageCapacityTiB"))
        subnet = str(asked.get("filesystemSubnet") or "")
        wrong = subnet_problem(self._core, subnet, capacity)
        if wrong:
            raise shapes.bad("filesystemSubnet", wrong)
        for key, container in (shapes.hsm(asked.get("hsm")).get("settings") or {}).items():
            if key.lower().endswith("container") and not blobs.is_container(str(container)):
                raise shapes.bad(f"hsm.settings.{key}", f"'{container}' is not the id of a blob container.")
        if len(given.get("zones") or []) > 1:
            raise shapes.bad("zones", "A file system lives in one availability zone: give one zone at most.")
        self._check_region(subnet, location)
        check_quota(self._core, request.subscription, location)
        now = clock.now()
        body: Json = {
            "name": request.id.name,
            "id": str(request.id),
            "type": FILE_SYSTEM,
            "location": location,
            **self._tags(given),
            **self._identity(given),
            "properties": {
                "storageCapacityTiB": capacity,
                "currentStorageCapacityTiB": capacity,
                "health": shapes.health("Transitioning"),
                "provisioningState": "Creating",
                "clientInfo": shapes.client_info("", capacity, ""),
                "throughputProvisionedMBps": int(capacity * sku.bandwidth),
                "maintenanceWindow": shapes.maintenance(asked.get("maintenanceWindow")),
                "hsm": shapes.hsm(asked.get("hsm")),
                "filesystemSubnet": subnet,
                **self._optional(asked),
            },
            **({"zones": given["zones"]} if given.get("zones") else {}),
            "sku": {"name": sku.name},
            "systemData": shapes.system_data(request.claims, now),
        }
        resource = Resource(str(request.id), body, {"handle": new_guid()})
        resource.internal["mgs"] = self._core.service("network").allocate(subnet, owners(resource, sku, capacity))[0]
        self._core.store.put(resource)
        return self._begin(request, resource, CREATE_SECONDS)

    def _begin(self, request: Request, resource: Resource, latency: float) -> Answer:
        """Azure answers 201 to a PUT whether the file system is new or not, and calls both Creating."""
        return self._core.operations.begin(
            request, "lustre.put", resource.id, style=STORAGE_CACHE, status=201, body=resource.body, headers="aao",
            location=resource.body["location"], latency=latency,
        )  # fmt: skip

    def _update(self, request: Request, known: Resource, given: Json) -> Answer:
        self._settled(known)
        for target in shapes.fixed(known.body, given):
            raise not_allowed(target)
        self._change(request, known, given, replace=True)
        known.properties["provisioningState"] = "Creating"
        self._core.store.put(known)
        return self._begin(request, known, UPDATE_SECONDS)

    def patch(self, request: Request) -> Answer:
        """Tags are written at once; settings of the cluster take an operation."""
        with self._core.store.transaction():
            known = self._core.require(request.id)
            self._settled(known)
            self._change(request, known, request.body, replace=False)
            if not request.body.get("properties"):
                self._core.store.put(known)
                return Answer(200, known.body)
            known.properties["provisioningState"] = "Updating"
            self._core.store.put(known)
            location = known.body["location"]
            return self._core.operations.begin(
                request, "lustre.put", known.id, style=STORAGE_CACHE, location=location, latency=UPDATE_SECONDS
            )

    def _change(self, request: Request, known: Resource, given: Json, *, replace: bool) -> None:
        asked = given.get("properties") or {}
        if asked.get("maintenanceWindow") or replace:
            known.properties["maintenanceWindow"] = shapes.maintenance(
                asked.get("maintenanceWindow") or known.properties["maintenanceWindow"]
            )
        known.properties.update(self._optional(asked))
        if "tags" in given or replace:
            known.body.pop("tags", None)
            known.body.update(self._tags(given))
        if "identity" in given:
            known.body.pop("identity", None)
            known.body.update(self._identity(given))
        known.body["systemData"] = shapes.system_data(request.claims, clock.now(), known.body["systemData"])

    # parts

    @staticmethod
    def _tags(given: Json) -> Json:
        tags = common.tags(given)
        return {"tags": tags} if tags is not None else {}

    def _identity(self, given: Json) -> Json:
        asked = given.get("identity") or {}
        if asked.get("type", "None") == "None":
            return {}
        for identity_id in asked.get("userAssignedIdentities") or {}:
            self._core.service("identity").describe(identity_id)
        named: Json = {identity_id: {} for identity_id in asked.get("userAssignedIdentities") or {}}
        return {"identity": {"type": "UserAssigned", "userAssignedIdentities": named}}

    @staticmethod
    def _optional(asked: Json) -> Json:
        kept: Json = {}
        if asked.get("encryptionSettings"):
            kept["encryptionSettings"] = asked["encryptionSettings"]
        if asked.get("rootSquashSettings"):
            kept["rootSquashSettings"] = shapes.squash(asked["rootSquashSettings"])
        return kept

    def _check_region(self, subnet: str, location: str) -> None:
        network = self._core.store.get(self._core.service("network").vnet_of(subnet))
        if network is not None and network.body.get("location") != location:
            raise shapes.bad("filesystemSubnet", f"The subnet {subnet} is not in the region '{location}'.")

    @staticmethod
    def _settled(known: Resource) -> None:
        """409 while another operation is going on."""
        state = known.properties["provisioningState"]
        if state not in ("Succeeded", "Failed", "Canceled"):
            message = f"The file system '{known.rid.name}' is in state {state}: wait until it has settled."
            raise ArmError(409, "OperationNotAllowed", message)

    # archive

    def archive(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._with_container(request)
            path = str((request.body or {}).get("filesystemPath") or "/")
            if _archives(known):
                message = f"An archive of '{known.rid.name}' is in progress: there is one at a time."
                raise ArmError(409, "OperationNotAllowed", message)
            status = {"state": "InProgress", "lastStartedTime": shapes.moment(clock.now()), "percentComplete": 0}
            others = [
                row for row in known.properties["hsm"].get("archiveStatus") or [] if row["filesystemPath"] != path
            ]
            known.properties["hsm"]["archiveStatus"] = [*others, {"filesystemPath": path, "status": status}]
            self._core.store.put(known)
            # The progress is told by the file system itself: the answer names no operation.
            location = known.body["location"]
            self._core.operations.begin(
                request, "lustre.archive", known.id, style=STORAGE_CACHE, location=location, latency=ARCHIVE_SECONDS
            )
        return Answer(200)

    def cancel_archive(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._with_container(request)
            if _end_archive(known, "Canceled"):
                self._core.store.put(known)
        return Answer(200)

    def _with_container(self, request: Request) -> Resource:
        known = self._core.require(request.id)
        if not known.properties["hsm"].get("settings"):
            message = f"The file system '{known.rid.name}' has no blob container: it was made without HSM settings."
            raise ArmError(409, "OperationNotAllowed", message)
        return known

    # removal

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            if known is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            known.properties.update(provisioningState="Deleting", health=shapes.health("Transitioning"))
            self._core.store.put(known)
            location = known.body["location"]
            return self._core.operations.begin(
                request, "lustre.delete", known.id, style=STORAGE_CACHE, location=location, latency=DELETE_SECONDS
            )

    # works

    def work_put(self, run: Run) -> None:
        store = self._core.store
        made = store.get(run.resource_id)
        if made is None or made.properties["provisioningState"] == "Deleting":
            return
        Content(self._core, made).open()
        first = initial_import(self._core, made) if made.properties["hsm"].get("settings") else None

        def change(known: Resource) -> None:
            if known.properties["provisioningState"] == "Deleting":
                return
            capacity = known.properties["storageCapacityTiB"]
            known.properties.update(
                provisioningState="Succeeded",
                health=shapes.health("Available"),
                clusterUuid=known.internal["handle"],
                clientInfo=shapes.client_info(known.internal["mgs"], capacity, known.internal["handle"]),
            )

        with store.transaction():
            known = store.update(run.resource_id, change)
            if known is not None and first is not None:
                store.put(first)

    def work_delete(self, run: Run) -> None:
        known = self._core.store.get(run.resource_id)
        if known is not None:
            self.remove(known)

    def remove(self, known: Resource) -> None:
        """The file system with its jobs; its addresses are free again."""
        Content(self._core, known).close()
        with self._core.store.transaction():
            self._core.service("network").release_below(known.id)
            self._core.store.delete(known.id)

    def work_archive(self, run: Run) -> None:
        known = self._core.store.get(run.resource_id)
        going = _archives(known) if known is not None else []
        if known is None or not going:
            return
        done = Content(self._core, known).take([entry["filesystemPath"] for entry in going])

        def change(known: Resource) -> None:
            for entry in _archives(known) if done.errors else []:
                entry["status"].update(
                    percentComplete=100 * (done.walked - len(done.errors)) // max(1, done.walked),
                    errorCode="ArchiveFailed",
                    errorMessage=f"{len(done.errors)} of {done.walked} files were not archived: {done.errors[0]}",
                )
            _end_archive(known, "Failed" if done.errors else "Completed")

        self._core.store.update(run.resource_id, change)


def _archives(known: Resource) -> list[Json]:
    """The archives that are in progress: one at most."""
    rows = known.properties["hsm"].get("archiveStatus") or []
    return [entry for entry in rows if entry["status"]["state"] == "InProgress"]


def _end_archive(known: Resource, state: str) -> bool:
    """End the archive that is in progress, if there is one."""
    going = _archives(known)
    for entry in going:
        entry["status"].update(state=state, lastCompletionTime=shapes.moment(clock.now()))
        if state == "Completed":
            entry["status"]["percentComplete"] = 100
    return bool(going)


def owners(resource: Resource, sku: shapes.Sku, capacity: float) -> list[str]:
    """The ip configurations of a file system, by which its addresses are allocated; the first is what clients mount."""
    count = shapes.addresses(sku, capacity)
    return [f"{resource.id}/ipConfigurations/{name}" for name in ("mgs", *map(str, range(1, count)))]


def not_allowed(target: str) -> ArmError:
    return ArmError(409, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target=target)
