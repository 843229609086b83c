# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/galleries with image definitions, image versions and VM applications.

An image version keeps in ``internal["image_id"]`` what the machine driver knows its disk by: the version itself if it
was captured from a virtual machine, the managed image that it was made of, or nothing for the driver's base image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run, Style, stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import gallery_shape as shape
from .disks import DISK, SNAPSHOT
from .limits import VM
from .machines import Machines
from .shapes import Json, merge, required, tidy
from .sources import DEFINITION, GALLERY, VERSION, driver_image_users, lookup

APPLICATION = f"{GALLERY}/applications"
APPLICATION_VERSION = f"{APPLICATION}/versions"
STYLE = Style("galleries", "Microsoft.Compute", segment="capsOperations", retry=2, poll=2)
_LATENCY = {VERSION: 240.0, APPLICATION_VERSION: 120.0}
_PROPERTIES: dict[str, Callable[[ResourceId, Json], Json]] = {
    GALLERY: shape.gallery,
    DEFINITION: shape.definition,
    APPLICATION: shape.application,
}


class Galleries:
    """Handlers of galleries and of everything in them."""

    def __init__(self, core: Core, machines: Machines) -> None:
        self._core, self._machines = core, machines

    def register(self) -> None:
        core = self._core
        core.operations.add_style(STYLE)
        for kind in (GALLERY, DEFINITION, VERSION, APPLICATION, APPLICATION_VERSION):
            core.router.resource(
                kind,
                get=self.get,
                put=partial(self.write, kind, True),
                patch=partial(self.write, kind, False),
                delete=partial(self.delete, kind),
                list=core.list_handler,
                list_all=core.list_handler if kind == GALLERY else None,
            )
        core.router.action(GALLERY, "share", self.share)
        core.operations.register("compute.gallery.put", self.work_put)
        core.operations.register("compute.gallery.share", self.work_share)
        core.operations.register("compute.gallery.delete", self.work_delete)
        core.on_group_delete(GALLERY, 15, self.remove)

    # requests

    def get(self, request: Request) -> Answer:
        resource = self._core.require(request.id)
        properties = resource.properties
        wanted = request.query.get("$expand", "").lower()
        if "replicationstatus" in wanted and "publishingProfile" in properties:
            properties = {**properties, "replicationStatus": shape.replication(properties)}
        if "sharingprofile/groups" in wanted:
            properties = {**properties, "sharingStatus": {"aggregatedState": "Succeeded"}}
        return Answer(200, {**resource.body, "properties": properties})

    def write(self, kind: str, replace: bool, request: Request) -> Answer:
        """PUT and PATCH: what was given before stays unless it is given anew."""
        given = tidy(request.body)
        with self._core.store.transaction():
            self._core.require_parent(request.id)
            known = self._core.store.get(request.id) if replace else self._core.require(request.id)
            shape.check_name(request.id)
            if known is not None:
                _check_location(known, given)
                if kind == DEFINITION:
                    shape.unchanged(known.properties, given.get("properties") or {})
                asked = given
                given = merge(known.internal["asked"], asked)
                if "tags" in asked:
                    given["tags"] = asked["tags"] or {}
            body = shape.head(request.id, given)
            body["properties"] = self._properties(kind, request.id, known, given, body["location"])
            resource = known or Resource(str(request.id), body)
            resource.body = body
            resource.internal["asked"] = given
            if kind == APPLICATION:
                self._core.store.put(resource)
                return Answer(200 if known else 201, body)
            return self._begin(request, kind, resource, created=known is None)

    def _begin(self, request: Request, kind: str, resource: Resource, *, created: bool) -> Answer:
        resource.properties["provisioningState"] = "Creating" if created else "Updating"
        self._core.store.put(resource)
        body = resource.body
        if kind == GALLERY and request.method == "PATCH":
            # A gallery has nothing to replicate: Azure tells the end of a PATCH at once.
            body = {**body, "properties": {**resource.properties, "provisioningState": "Succeeded"}}
        return self._core.operations.begin(
            request, "compute.gallery.put", resource.id, style=STYLE, status=201 if created else 200, body=body,
            headers="aao", location=body["location"], latency=_LATENCY.get(kind, 10.0), args={"created": created},
        )  # fmt: skip

    def _properties(self, kind: str, rid: ResourceId, known: Resource | None, given: Json, location: str) -> Json:
        asked = given.get("properties") or {}
        if kind == APPLICATION_VERSION:
            required(asked, "publishingProfile.source")
            before = known.properties["publishingProfile"] if known is not None else {}
            whole = {**asked, "publishingProfile": {**before, **asked["publishingProfile"]}}
            return shape.application_version(whole, location, before.get("publishedDate") or stamp(clock.now()))
        if kind != VERSION:
            return _PROPERTIES[kind](rid, asked)
        made = shape.version(asked, location, clock.now())
        if known is None:
            self._check_source(made["storageProfile"])
        else:
            made["publishingProfile"]["publishedDate"] = known.properties["publishingProfile"]["publishedDate"]
            made["storageProfile"] = known.properties["storageProfile"]
        return made

    def _check_source(self, storage: Json) -> None:
        """404 if a version is to be made of something that is not there, 400 if of nothing."""
        named = [source for source in _sources(storage) if source]
        if not named:
            target = "galleryImageVersion.properties.storageProfile.source"
            raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
        for reference in named:
            if "/" in reference and not reference.startswith("https://") and lookup(self._core, reference) is None:
                raise ArmError(
                    404, "NotFound", f"The source resource '{reference}' of the image version was not found."
                )

    def delete(self, kind: str, request: Request) -> Answer:
        with self._core.store.transaction():
            resource = self._core.store.get(request.id)
            if resource is None:
                self._core.require_group(request.subscription, request.group)
                return Answer(204)
            if any(self._core.store.count(child, parent=resource.id) for child in _children(kind)):
                message = "Can not delete resource before nested resources are deleted."
                raise ArmError(409, "CannotDeleteResource", message)
            if kind == APPLICATION:
                self._core.store.delete(resource.id)
                return Answer(200)
            resource.properties["provisioningState"] = "Deleting"
            self._core.store.put(resource)
            location = resource.body["location"]
            return self._core.operations.begin(
                request, "compute.gallery.delete", resource.id, style=STYLE, location=location, latency=10
            )

    def share(self, request: Request) -> Answer:
        """Add to, take from or reset whom a gallery is shared with. 409 if it is made to be private."""
        asked = request.body or {}
        with self._core.store.transaction():
            gallery = self._core.require(request.id)
            profile = gallery.properties.get("sharingProfile") or {}
            kind = asked.get("operationType")
            if kind not in ("Add", "Remove", "Reset", "EnableCommunity"):
                raise invalid_parameter("operationType", f"The value '{kind}' of parameter operationType is not valid.")
            if profile.get("permissions", "Private") == "Private":
                message = f"The gallery '{gallery.rid.name}' is private: make it with permissions Groups or Community."
                raise ArmError(409, "OperationNotAllowed", message)
            if kind == "EnableCommunity" and "communityGalleryInfo" not in profile:
                message = f"The gallery '{gallery.rid.name}' is not shared with a community."
                raise ArmError(409, "OperationNotAllowed", message)
            groups = {group["type"]: list(group.get("ids") or []) for group in profile.get("groups") or []}
            for group in asked.get("groups") or []:
                known, given = groups.setdefault(group["type"], []), group.get("ids") or []
                added = [entry for entry in given if entry not in known]
                groups[group["type"]] = (
                    [*known, *added] if kind == "Add" else [entry for entry in known if entry not in given]
                )
            shared = {**profile, "groups": [{"type": key, "ids": value} for key, value in groups.items() if value]}
            if kind == "Reset":
                shared = {"permissions": "Private"}
            elif kind == "EnableCommunity":
                shared["communityGalleryInfo"] = {**profile["communityGalleryInfo"], "communityGalleryEnabled": True}
            gallery.properties["sharingProfile"] = shared
            gallery.internal["asked"].setdefault("properties", {})["sharingProfile"] = shared
            self._core.store.put(gallery)
            location = gallery.body["location"]
            return self._core.operations.begin(
                request, "compute.gallery.share", gallery.id, style=STYLE, location=location, latency=10,
            )  # fmt: skip

    # works

    def work_share(self, run: Run) -> None:
        """Nothing is left to do: who may use the gallery was written when the request was accepted."""

    def work_put(self, run: Run) -> None:
        resource = self._core.store.get(run.resource_id)
        if resource is None:
            return
        image_id = ""
        disks: Json = {}
        if run.args["created"] and resource.rid.type == VERSION:
            image_id, disks = self._make(resource)

        def change(found: Resource) -> None:
            found.properties["provisioningState"] = "Succeeded"
            if disks:
                storage = found.properties["storageProfile"]
                os_disk = merge(disks["osDiskImage"], storage.get("osDiskImage") or {})
                found.properties["storageProfile"] = {**storage, **disks, "osDiskImage": os_disk}
                found.internal["image_id"] = image_id

        self._core.store.update(run.resource_id, change)

    def _make(self, version: Resource) -> tuple[str, Json]:
        """What the driver knows the disk of a new version by, and the version's disks with their sizes."""
        storage = version.properties["storageProfile"]
        references = [reference for reference in _sources(storage) if reference]
        found = lookup(self._core, references[0]) if references else None
        if found is None:
            return "", {"osDiskImage": {"sizeInGB": 30, "hostCaching": "ReadWrite", "source": {}}}
        if found.rid.type in (DISK, SNAPSHOT):
            size = found.properties.get("diskSizeGB", 30)
            return "", {"osDiskImage": {"sizeInGB": size, "hostCaching": "ReadWrite"}}
        if found.rid.type == VERSION:
            kept = {key: found.properties["storageProfile"][key] for key in ("osDiskImage", "dataDiskImages")
                    if key in found.properties["storageProfile"]}  # fmt: skip
            return found.internal.get("image_id", ""), kept
        if found.rid.type == VM:
            self._machines.capture(found, version.id)
            return version.id, _disks(found.properties["storageProfile"], self._size_of)
        image_id = found.id if found.internal.get("captured") else ""
        return image_id, _disks(found.properties["storageProfile"], self._size_of)

    def _size_of(self, disk: Json) -> int:
        source = (disk.get("managedDisk") or disk.get("snapshot") or {}).get("id", "")
        known = lookup(self._core, source) if source else None
        size = disk.get("diskSizeGB") or (known.properties.get("diskSizeGB") if known else None)
        return int(size or 30)

    def work_delete(self, run: Run) -> None:
        resource = self._core.store.get(run.resource_id)
        if resource is not None:
            self.remove(resource)

    def remove(self, resource: Resource) -> None:
        """A gallery, or something in one, with all below it; disks that nobody else uses go too."""
        versions = [resource] if resource.rid.type == VERSION else []
        if resource.rid.type == GALLERY:
            for definition in self._core.store.list(DEFINITION, parent=resource.id):
                versions += self._core.store.list(VERSION, parent=definition.id)
        self._core.store.delete(resource.id)
        for version in versions:
            image_id = version.internal.get("image_id", "")
            if image_id and not driver_image_users(self._core, image_id):
                self._machines.delete_image(image_id)


def _children(kind: str) -> tuple[str, ...]:
    nested = {
        GALLERY: (DEFINITION, APPLICATION),
        DEFINITION: (VERSION,),
        APPLICATION: (APPLICATION_VERSION,),
    }
    return nested.get(kind, ())


def _sources(storage: Json) -> list[str]:
    """What the disks of an image version are made of."""
    whole = storage.get("source") or {}
    disk = (storage.get("osDiskImage") or {}).get("source") or {}
    return [whole.get("virtualMachineId", ""), whole.get("id", ""), disk.get("id", ""), disk.get("uri", "")]


def _disks(storage: Json, size_of: Callable[[Json], int]) -> Json:
    """``osDiskImage`` and ``dataDiskImages`` of a version made of an image or a machine with this storage profile."""
    disk = storage["osDisk"]
    data = [
        {"lun": entry["lun"], "sizeInGB": size_of(entry), "hostCaching": entry.get("caching", "None")}
        for entry in storage.get("dataDisks") or []
    ]
    return {
        "osDiskImage": {"sizeInGB": size_of(disk), "hostCaching": disk.get("caching", "ReadWrite"), "source": {}},
        **({"dataDiskImages": data} if data else {}),
    }


def _check_location(known: Resource, given: Json) -> None:
    location = known.body["location"]
    if str(given.get("location") or location).replace(" ", "").lower() != location:
        message = (
            f"The resource '{known.rid.name}' already exists in location '{location}' in resource group "
            f"'{known.rid.group}'. A resource with the same name cannot be created in another location. Please select "
            "a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", message)
