# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/virtualMachineScaleSets: writing and reading the scale set itself.

``internal`` of a scale set: ``unique`` (names its instance counter), ``model`` (number of the present model),
``models`` (what machines
of each model are made from, see ``machines``), ``write`` (number of the latest write, by which an older one sees that
it was
preempted), ``deallocated`` (how many instances are), ``error`` (of the last write).
"""

from __future__ import annotations

from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.ids import ResourceId
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE
from sandbox.arm.paging import paged
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import identities, sizes, views, vmss_shape
from .flexible_sets import FlexibleSets
from .limits import INSTANCE, VMSS, Limits, require_size
from .machines import Machines, decode
from .scale_set_rows import mark_deleting, new_instances
from .shapes import (
    ImageFacts,
    Json,
    canonical,
    check_os_disk,
    check_os_profile,
    refuse_while_deleting,
    required,
    ssh_keys,
    take_secrets,
)
from .sizes import Size, normal_location
from .sources import check_fit, image_facts
from .writes import Writes

PAGE = 100


class ScaleSets(Writes):
    """Handlers of PUT, PATCH, GET and lists of scale sets."""

    def __init__(self, core: Core, limits: Limits, machines: Machines, flexible: FlexibleSets) -> None:
        self._core, self._limits, self._machines, self._flexible = core, limits, machines, flexible

    def register(self) -> None:
        router = self._core.router
        router.resource(VMSS, get=self.get, put=self.put, patch=self.patch, list=self.list_, list_all=self.list_)
        router.action(VMSS, "instanceView", self.instance_view, method="GET")
        router.action(VMSS, "skus", self.skus, method="GET")
        router.action(VMSS, "osUpgradeHistory", self.upgrade_history, method="GET")
        router.add(
            "GET",
            "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/virtualMachineScaleSets",
            self.list_,
            type=VMSS,
        )

    # reading

    def get(self, request: Request) -> Answer:
        scale_set = self._core.require(request.id)
        body = scale_set.body
        if "userdata" in request.query.get("$expand", "").lower() and scale_set.internal.get("user_data"):
            profile = {**scale_set.properties["virtualMachineProfile"], "userData": scale_set.internal["user_data"]}
            body = {**body, "properties": {**scale_set.properties, "virtualMachineProfile": profile}}
        if request.api_version < "2018":
            policy = {"automaticOSUpgrade": False, **scale_set.properties["upgradePolicy"]}
            body = {**body, "properties": {**body["properties"], "upgradePolicy": policy}}
        return Answer(200, body, {"ETag": body["etag"]})

    def list_(self, request: Request) -> Answer:
        if request.group:
            self._core.require_group(request.subscription, request.group)
        place = normal_location(request.params.get("location", ""))

        def fetch(offset: int, limit: int) -> list[Json]:
            found = self._core.store.list(
                VMSS,
                subscription=request.subscription,
                group=request.group or None,
                offset=0 if place else offset,
                limit=-1 if place else limit,
            )
            if place:
                found = [entry for entry in found if entry.body["location"] == place][offset : offset + limit]
            return [entry.body for entry in found]

        return paged(request, fetch, PAGE)

    def instance_view(self, request: Request) -> Answer:
        scale_set = self._core.require(request.id)
        if vmss_shape.is_flexible(scale_set.body):
            rows = self._flexible.members(scale_set)
        else:
            rows = self._core.store.list(INSTANCE, parent=scale_set.id)
        states = [row.properties["provisioningState"] for row in rows]
        since = scale_set.internal.get("since", scale_set.changed)
        view = views.scale_set(scale_set.body, states, since, scale_set.internal.get("error"))
        if (scale_set.properties.get("automaticRepairsPolicy") or {}).get("enabled"):
            state = scale_set.internal.get("repairs", "Running")
            view["orchestrationServices"] = [{"serviceName": "AutomaticRepairs", "serviceState": state}]
        return Answer(200, view)

    def skus(self, request: Request) -> Answer:
        scale_set = self._core.require(request.id)
        capacity = {
            "minimum": 0,
            "maximum": vmss_shape.capacity_limit(scale_set.body),
            "defaultCapacity": 1,
            "scaleType": "Automatic",
        }
        entries = [
            {"resourceType": VMSS, "sku": {"name": size.name, "tier": "Standard"}, "capacity": capacity}
            for size in sizes.in_region(scale_set.body["location"])
        ]
        return Answer(200, {"value": entries})

    def upgrade_history(self, request: Request) -> Answer:
        self._core.require(request.id)
        return Answer(200, {"value": []})

    # writing

    def _create(self, request: Request, given: Json) -> Answer:
        rid, properties = request.id, given.setdefault("properties", {})
        flexible = _check_kind(properties, given)
        location = normal_location(required(given, "location"))
        profile = properties.get("virtualMachineProfile") or {}
        if flexible and not profile:
            body = vmss_shape.new_flexible_body(rid, given, location, None, None, clock.now())
            return self._begin(request, _fresh(rid, body, {}, ""), status=201, grow=0, remove=0)
        spot = profile.get("priority") in ("Spot", "Low")
        required(given, "sku.name")
        size = require_size(vmss_shape.vm_size(given), location, given.get("zones") or [], spot=spot)
        image = image_facts(self._core, profile.get("storageProfile") or {}, location)
        check_fit(size, image)
        secrets = _check_profile(rid.name, profile, image)
        user_data = profile.pop("userData", "")
        make = vmss_shape.new_flexible_body if flexible else vmss_shape.new_body
        body = make(rid, given, location, size, image, clock.now())
        check_os_disk(body["properties"]["virtualMachineProfile"]["storageProfile"]["osDisk"], image)
        vmss_shape.check_capacity(body)
        self._check_subnets(body)
        identities.set_on(body, identities.merged(self._core, str(rid), None, given.get("identity"), replace=True))
        scale_set = _fresh(rid, body, _shared(body, secrets, image), user_data)
        self._check_quota(request, scale_set, size, body["sku"]["capacity"], body["sku"]["capacity"])
        return self._begin(request, scale_set, status=201, grow=body["sku"]["capacity"], remove=0)

    def _update(self, request: Request, known: Resource, asked: Json, *, replace: bool) -> Answer:
        refuse_while_deleting(known.body)
        location = known.body["location"]
        if replace and normal_location(asked.get("location") or location) != location:
            message = f"The resource '{known.rid.name}' already exists in location '{location}'."
            raise ArmError(409, "InvalidResourceLocation", message)
        asked, secrets = _without_secrets(asked)
        if not (known.properties.get("virtualMachineProfile") or _profile(asked)):
            return self._update_empty(request, known, asked)
        size = self._size(known, asked)
        image = self._image(known, asked)
        check_fit(size, image)
        body = vmss_shape.updated(known.body, asked, size, image)
        if replace and "tags" in asked:
            body["tags"] = asked["tags"] or {}
        vmss_shape.check_capacity(body)
        self._check_subnets(body)
        shown = identities.merged(
            self._core, known.id, known.body.get("identity"), asked.get("identity"), replace=False
        )
        identities.set_on(body, shown)
        self._new_model(known, body, secrets, image)
        change = body["sku"]["capacity"] - len(self._staying(known))
        if change > 0:
            self._check_quota(request, known, size, change, change)
        known.body = {**body, "etag": f'"{int(known.body["etag"].strip(chr(34))) + 1}"'}
        known.internal["write"] += 1
        known.properties["provisioningState"] = "Updating"
        return self._begin(request, known, status=200, grow=max(change, 0), remove=max(-change, 0))

    def change(self, request: Request, known: Resource, asked: Json) -> Answer:
        """An update by somebody else's request, in the running transaction."""
        return self._update(request, known, canonical(asked), replace=False)

    def _update_empty(self, request: Request, known: Resource, asked: Json) -> Answer:
        """A Flexible scale set without a model has little to change: tags, and where its machines are placed."""
        if "tags" in asked:
            known.body["tags"] = asked["tags"] or {}
        group = (asked.get("properties") or {}).get("proximityPlacementGroup")
        if group:
            known.properties["proximityPlacementGroup"] = group
        known.body["etag"] = f'"{int(known.body["etag"].strip(chr(34))) + 1}"'
        known.internal["write"] += 1
        known.properties["provisioningState"] = "Updating"
        return self._begin(request, known, status=200, grow=0, remove=0)

    def _staying(self, scale_set: Resource) -> list[Resource]:
        if vmss_shape.is_flexible(scale_set.body):
            return self._flexible.staying(scale_set)
        rows = self._core.store.list(INSTANCE, parent=scale_set.id)
        return [row for row in rows if row.properties["provisioningState"] != "Deleting"]

    def _resize(self, request: Request, scale_set: Resource, grow: int, shrink: int) -> tuple[str, Json]:
        """Make or mark the instances of another capacity; answers the work that goes on with them, and its args."""
        if vmss_shape.is_flexible(scale_set.body):
            created = self._flexible.grow(request, scale_set, grow)
            return "compute.flexible.write", {"create": created, "remove": self._flexible.shrink(scale_set, shrink)}
        alive = self._staying(scale_set) if shrink else []
        numbers = [(row.sort, (row.body.get("zones") or [""])[0]) for row in alive]
        remove = vmss_shape.to_remove(numbers, shrink)
        numbered = self._grow(scale_set, grow)
        mark_deleting(self._core, scale_set, remove)
        return "compute.vmss.write", {"create": numbered, "remove": remove}

    def _begin(self, request: Request, scale_set: Resource, *, status: int, grow: int, remove: int) -> Answer:
        """Store the scale set and its new instances, mark those that go, and begin the operation."""
        scale_set.internal["since"] = clock.now()
        self._core.store.put(scale_set)
        work, args = self._resize(request, scale_set, grow, remove)
        answer = self._core.operations.begin(
            request,
            work,
            scale_set.id,
            style=COMPUTE,
            status=status,
            body=scale_set.body,
            headers="aao",
            location=scale_set.body["location"],
            latency=75 if grow else 30 if remove else 5,
            args={**args, "write": scale_set.internal["write"]},
        )
        answer.headers["ETag"] = scale_set.body["etag"]
        return answer

    # parts of a write

    def _size(self, known: Resource, asked: Json) -> Size:
        present = vmss_shape.vm_size(known.body)
        mixed = (asked.get("properties") or {}).get("skuProfile") or known.properties.get("skuProfile")
        wanted = {"sku": {**known.body["sku"], **(asked.get("sku") or {})}, "properties": {"skuProfile": mixed}}
        name, zones = vmss_shape.vm_size(wanted), known.body.get("zones") or ()
        found = sizes.find(present)
        if found is not None and name.lower() == found.name.lower():
            grows = int((asked.get("sku") or {}).get("capacity") or 0) > known.body["sku"]["capacity"]
            return require_size(name, known.body["location"], zones) if grows else found
        priority = (known.properties.get("virtualMachineProfile") or {}).get("priority")
        return require_size(name, known.body["location"], zones, spot=priority in ("Spot", "Low"))

    def _image(self, known: Resource, asked: Json) -> ImageFacts | None:
        """The image of the model after the request: looked up only if it may be used for new machines."""
        reference = (_profile(asked).get("storageProfile") or {}).get("imageReference")
        stored = (known.properties.get("virtualMachineProfile") or {}).get("storageProfile") or {}
        grows = int((asked.get("sku") or {}).get("capacity") or 0) > known.body["sku"]["capacity"]
        if reference is None and not grows:
            return None
        merged = (
            {**stored, "imageReference": {**stored.get("imageReference", {}), **reference}} if reference else stored
        )
        if reference and reference.get("id"):
            merged["imageReference"] = {"id": reference["id"]}
        return image_facts(self._core, merged, known.body["location"])

    def _new_model(self, known: Resource, body: Json, secrets: Json, image: ImageFacts | None) -> None:
        """Number the model anew if machines made from now on differ from those made before."""
        internal = known.internal
        old = internal["models"][str(internal["model"])]
        if vmss_shape.same_model(known.body, body) and not secrets:
            return
        shared = _shared(body, {"customData": old.get("custom_data", ""), **secrets}, image)
        if image is None and old:
            shared.update({key: old[key] for key in ("image", "generation", "os_name", "os_version", "exact_version")})
        if vmss_shape.same_model(known.body, body) and shared == old:
            return
        internal["model"] += 1
        internal["models"][str(internal["model"])] = shared

    def _check_quota(self, request: Request, scale_set: Resource, size: Size, count: int, machines: int) -> None:
        spot = (scale_set.properties.get("virtualMachineProfile") or {}).get("priority") in ("Spot", "Low")
        location = scale_set.body["location"]
        self._limits.check(request.subscription, location, size, count, spot=spot, machines=machines)

    def _check_subnets(self, body: Json) -> None:
        for entry in body["properties"]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"]:
            for address in entry["properties"]["ipConfigurations"]:
                subnet_id = address["properties"]["subnet"]["id"]
                if not self._core.service("network").subnet_exists(subnet_id):
                    message = (
                        f"Resource {subnet_id} referenced by resource {body['id']} was not found. Please make sure "
                        "that "
                        "the referenced resource exists, and that both resources are in the same region."
                    )
                    raise ArmError(400, "InvalidResourceReference", message, details=[])

    def _grow(self, scale_set: Resource, count: int) -> list[int]:
        """Make the rows of ``count`` new instances, with their addresses; answers their numbers."""
        if not count:
            return []
        store = self._core.store
        first = store.next_number(f"vmss:{scale_set.internal['unique']}", count)
        numbers = list(range(first, first + count))
        rows = store.list(INSTANCE, parent=scale_set.id)
        zones = vmss_shape.spread(
            scale_set.body.get("zones") or [],
            [(row.body.get("zones") or [""])[0] for row in rows if row.properties["provisioningState"] != "Deleting"],
            count,
        )
        created = new_instances(self._core, scale_set, numbers, zones)
        store.put(*created)
        self._machines.remember(created)
        return numbers


def _fresh(rid: ResourceId, body: Json, shared: Json, user_data: str) -> Resource:
    """A new scale set with what is kept of it apart from its body."""
    internal = {"unique": body["properties"]["uniqueId"], "model": 1, "models": {"1": shared}, "write": 1}
    return Resource(str(rid), body, {**internal, "user_data": user_data})


def _profile(asked: Json) -> Json:
    profile: Json = (asked.get("properties") or {}).get("virtualMachineProfile") or {}
    return profile


def _check_kind(properties: Json, given: Json) -> bool:
    """Whether a new scale set is a Flexible one; Uniform is the default. 400 if it lacks a size."""
    mode = properties.get("orchestrationMode", "Uniform")
    if mode not in ("Uniform", "Flexible"):
        message = f"The value '{mode}' is not valid: orchestrationMode is Uniform or Flexible."
        raise invalid_parameter("orchestrationMode", message)
    if not given.get("sku") and (mode == "Uniform" or properties.get("virtualMachineProfile")):
        raise invalid_parameter("sku", "Required parameter 'sku' is missing (null).")
    return bool(mode == "Flexible")


def _check_profile(name: str, profile: Json, image: ImageFacts | None) -> Json:
    """Check a new model's ``osProfile``, with a prefix for computer names filled in, and take its secrets out."""
    if not profile.get("osProfile"):
        target = "virtualMachineProfile.osProfile"
        raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
    own = {"computerNamePrefix": name[:58], **profile["osProfile"]}
    check_os_profile(own, image.os if image else "Linux", name="computerNamePrefix")
    secrets = take_secrets(own)
    decode(secrets.get("customData", ""))
    profile["osProfile"] = own
    return {key: value for key, value in secrets.items() if key == "customData"}


def _without_secrets(asked: Json) -> tuple[Json, Json]:
    """A copy of a request without the secrets of its osProfile, and what of them is kept."""
    profile = ((asked.get("properties") or {}).get("virtualMachineProfile") or {}).get("osProfile")
    if not profile:
        return asked, {}
    own = dict(profile)
    secrets = take_secrets(own)
    decode(secrets.get("customData") or "")
    whole = {**asked["properties"]["virtualMachineProfile"], "osProfile": own}
    clean = {**asked, "properties": {**asked["properties"], "virtualMachineProfile": whole}}
    return clean, {key: value for key, value in secrets.items() if key == "customData" and value is not None}


def _shared(body: Json, secrets: Json, image: ImageFacts | None) -> dict[str, Any]:
    """What all machines of a model are made from."""
    profile = body["properties"]["virtualMachineProfile"]
    own = profile.get("osProfile") or {}
    return {
        "user": own.get("adminUsername", "azureuser"),
        "keys": list(ssh_keys(own)),
        "custom_data": secrets.get("customData", ""),
        "image": image.image_id if image else "",
        "generation": image.generation if image else "V1",
        "os_name": image.os_name if image else "",
        "os_version": image.os_version if image else "",
        "exact_version": image.exact_version if image else "",
    }
