# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Compute/virtualMachines: writing and reading. Power and the works are in ``vm_actions``."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE
from sandbox.arm.paging import paged
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import agents, extensions, flexible_members, identities, own_interfaces, views, vm_disks, vm_shape
from .limits import VM, Limits, require_size
from .machines import Machines, decode
from .placement import domains
from .shapes import (
    ImageFacts,
    Json,
    check_os_disk,
    check_os_profile,
    refuse_while_deleting,
    required,
    ssh_keys,
    take_secrets,
)
from .sizes import Size, normal_location
from .sizes import find as find_size
from .sources import check_fit, image_facts
from .writes import Writes

PAGE = 250


class VirtualMachines(Writes):
    """Handlers of PUT, PATCH, GET and lists."""

    def __init__(self, core: Core, limits: Limits, machines: Machines) -> None:
        self._core, self._limits, self._machines = core, limits, machines

    def register(self) -> None:
        router = self._core.router
        router.resource(VM, get=self.get, put=self.put, patch=self.patch, list=self.list_, list_all=self.list_)
        router.action(VM, "instanceView", self.instance_view, method="GET")
        router.action(VM, "vmSizes", self.resize_options, method="GET")
        router.add(
            "GET",
            "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/virtualMachines",
            self.list_,
            type=VM,
        )

    # reading

    def get(self, request: Request) -> Answer:
        vm = self._core.require(request.id)
        body = self._render(vm, request.query.get("$expand", ""))
        return Answer(200, body, {"ETag": body["etag"]})

    def _render(self, vm: Resource, expand: str, *, brief: bool = False) -> Json:
        own = extensions.of_machine(self._core, vm.id)
        body = extensions.on_body(vm_shape.shown(vm.body, vm.internal), own, brief=brief)
        wanted = {word.strip().lower() for word in expand.split(",")}
        if "instanceview" in wanted:
            view = extensions.on_view(self._view(vm), own)
            body = {**body, "properties": {**body["properties"], "instanceView": view}}
        if "userdata" in wanted and vm.internal.get("user_data"):
            body = {**body, "properties": {**body["properties"], "userData": vm.internal["user_data"]}}
        return body

    @staticmethod
    def _view(vm: Resource) -> Json:
        internal = agents.seen(vm.internal)
        return views.machine(vm.body, internal, created=vm.created, changed=vm.internal.get("since", vm.changed))

    def instance_view(self, request: Request) -> Answer:
        vm = self._core.require(request.id)
        return Answer(200, extensions.on_view(self._view(vm), extensions.of_machine(self._core, vm.id)))

    def resize_options(self, request: Request) -> Answer:
        from . import sizes

        return Answer(200, {"value": sizes.vm_sizes(self._core.require(request.id).body["location"])})

    def list_(self, request: Request) -> Answer:
        """VMs of a group, of a subscription, or of a location. ``statusOnly=true`` tells the instance views."""
        if request.group:
            self._core.require_group(request.subscription, request.group)
        expand = request.query.get("$expand", "")
        if request.query.get("statusonly", "").lower() == "true":
            expand = "instanceView"
        place = normal_location(request.params.get("location", ""))

        def fetch(offset: int, limit: int) -> list[Json]:
            found = self._core.store.list(
                VM,
                subscription=request.subscription,
                group=request.group or None,
                offset=0 if place else offset,
                limit=-1 if place else limit,
            )
            if place:
                found = [vm for vm in found if vm.body["location"] == place][offset : offset + limit]
            return [self._render(vm, expand, brief=True) for vm in found]

        return paged(request, fetch, PAGE)

    # writing

    def _create(self, request: Request, given: Json) -> Answer:
        vm = self.make(request, given)
        flexible_members.joined(self._core, vm)
        shown = extensions.on_body(vm_shape.accepted(vm.body, given), extensions.of_machine(self._core, vm.id))
        return self._core.operations.begin(
            request, "compute.vm.create", vm.id, style=COMPUTE, status=201, body=shown, headers="aao",
            location=vm.body["location"], latency=75,
        )  # fmt: skip

    def make(self, request: Request, given: Json, *, checked: bool = False) -> Resource:
        """A new VM with all that comes with it, stored but not booted yet, in the running transaction.

        ``checked`` tells that quota and ``osProfile`` were checked before, with secrets that are not in it any more.
        """
        rid, properties = request.id, given.setdefault("properties", {})
        location = normal_location(required(given, "location"))
        zones = given.get("zones") or []
        spot = properties.get("priority") in ("Spot", "Low")
        size = require_size(required(given, "properties.hardwareProfile.vmSize"), location, zones, spot=spot)
        image = image_facts(self._core, properties.get("storageProfile") or {}, location)
        check_fit(size, image)
        secrets = take_secrets(properties["osProfile"]) if properties.get("osProfile") else {}
        user_data = properties.pop("userData", "")
        if not checked:
            self._check_profile(rid.name, properties, secrets, image)
        network: Json = properties.get("networkProfile") or {}
        owned: list[str] = []
        if network.get("networkInterfaceConfigurations"):
            interfaces, owned = own_interfaces.make(request, rid, location, network)
            given_interfaces = network.get("networkInterfaces") or []
            properties["networkProfile"] = {"networkInterfaces": [*given_interfaces, *interfaces]}
        body = vm_shape.new_body(rid, given, location, size, image, clock.now())
        check_os_disk(body["properties"]["storageProfile"]["osDisk"], image)
        identities.set_on(body, identities.merged(self._core, str(rid), None, given.get("identity"), replace=True))
        nics = self._check_nics(str(rid), body, size)
        if not checked:
            self._limits.check(request.subscription, location, size, 1, spot=spot, machines=1)
        vm = Resource(str(rid), body, _internal(image, secrets, user_data))
        vm.internal["owned_addresses"] = owned
        placed = domains(self._core, (properties.get("availabilitySet") or {}).get("id", ""))
        vm.internal |= {"placement": placed} if placed else {}
        vm.internal["machine"] = self._machine(vm, size, nics, secrets, image)
        vm_disks.attach_all(self._core, vm, image)
        self._core.store.put(vm)
        self._machines.remember([vm])
        for nic_id, primary in nics:
            self._core.service("network").attach(nic_id, str(rid), primary)
        return vm

    @staticmethod
    def _check_profile(name: str, properties: Json, secrets: Json, image: ImageFacts | None) -> None:
        profile = {"computerName": name, **(properties.get("osProfile") or {}), **secrets}
        if properties.get("osProfile"):
            check_os_profile(profile, image.os if image else "Linux")
        elif image is not None and not image.specialized:
            raise invalid_parameter("osProfile", "Required parameter 'osProfile' is missing (null).")
        decode(secrets.get("customData", ""))

    def _check_nics(self, vm_id: str, body: Json, size: Size) -> list[tuple[str, bool]]:
        """The network interfaces, which must exist and be in the region; one of them is primary."""
        nics = vm_shape.nic_ids(body)
        if not nics:
            target = "networkInterfaces"
            raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
        if sum(primary for _unused, primary in nics) != 1:
            message = "Virtual machine must have one network interface set as the primary."
            raise ArmError(400, "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary", message, details=[])
        if len(nics) > size.max_nics:
            message = (
                f"The number of network interfaces for virtual machine {ids.parse(vm_id).name} exceeds the maximum "
                "allowed "
                f"for the virtual machine size {size.name}. The number of network interfaces is {len(nics)} and the "
                "maximum "
                f"allowed is {size.max_nics}."
            )
            code = "NumberOfNetworkInterfacesExceedsMaximumAllowedForVirtualMachineSize"
            raise ArmError(400, code, message, details=[])
        for nic_id, _unused in nics:
            nic = self._core.store.get(nic_id)
            if nic is None or nic.body.get("location") != body["location"]:
                message = (
                    f"Resource {nic_id} referenced by resource {vm_id} was not found. Please make sure that the "
                    "referenced "
                    "resource exists, and that both resources are in the same region."
                )
                raise ArmError(400, "InvalidResourceReference", message, details=[])
        return nics

    def _machine(
        self, vm: Resource, size: Size, nics: list[tuple[str, bool]], secrets: Json, image: ImageFacts | None
    ) -> Json:
        network = self._core.service("network")
        primary = next(nic_id for nic_id, is_primary in nics if is_primary)
        vnet, subnet, address = network.address_of(primary)
        profile = vm.properties.get("osProfile") or {}
        return {
            "vnet": vnet,
            "subnet": subnet,
            "address": address,
            "mac": network.mac(address),
            "computer_name": profile.get("computerName", vm.rid.name),
            "user": profile.get("adminUsername", "azureuser"),
            "keys": list(ssh_keys(profile)),
            "custom_data": secrets.get("customData", ""),
            "image": image.image_id if image else "",
            "size": size.name,
        }

    def _update(self, request: Request, known: Resource, asked: Json, *, replace: bool) -> Answer:
        refuse_while_deleting(known.body)
        rid, wanted = known.rid, asked.get("properties") or {}
        asked = {**asked, "properties": dict(wanted)}
        if wanted.get("osProfile"):
            asked["properties"]["osProfile"] = profile = dict(wanted["osProfile"])
            vm_shape.check_unchanged(known.body, asked, take_secrets(profile), known.internal["secrets"])
        else:
            vm_shape.check_unchanged(known.body, asked, {}, {})
        if known.internal.get("power") != "deallocated":
            vm_shape.check_running(known.body, asked)
        if replace and "location" in asked and normal_location(asked["location"]) != known.body["location"]:
            raise _location_change(rid, known.body["location"])
        user_data = asked["properties"].pop("userData", None)
        told = user_data is not None and user_data != known.internal.get("user_data")
        if user_data is not None:
            known.internal["user_data"] = user_data
        size, old = self._new_size(request, known, asked)
        body, disks = vm_shape.updated(rid, known.body, asked, size), vm_shape.disk_names(known.body)
        if replace:
            body["tags"] = asked.get("tags") or {}
        shown_identity = identities.merged(
            self._core, str(rid), known.body.get("identity"), asked.get("identity"), replace=replace
        )
        identities.set_on(body, shown_identity)
        same = vm_shape.nothing_but_tags(known.body, body) and not told
        number = int(known.body["etag"].strip('"')) + 1
        self._change_nics(known, body, size)
        known.body = {**body, "etag": f'"{number}"'}
        for entry in body["properties"]["storageProfile"]["dataDisks"]:
            vm_disks.attach(self._core, known, entry)
        known.internal["machine"]["size"] = size.name
        shown = {**known.body, "properties": {**known.properties, "provisioningState": "Updating"}}
        shown = vm_shape.accepted(vm_shape.shown(shown, known.internal), asked, disks)
        if request.api_version < "2019":
            shown = vm_shape.without_detached(shown)
        shown = extensions.on_body(shown, extensions.of_machine(self._core, known.id))
        # A deallocated machine lacks parts of its model: what writes it back is an update even if it changes tags only.
        # Versions up to 2020 name an operation whatever changes.
        same = same and known.internal.get("power") != "deallocated" and request.api_version >= "2021"
        retried = known.properties["provisioningState"] == "Failed" and not known.internal.get("power")
        if same and not retried:
            self._core.store.put(known)
            return Answer(200, shown, {"ETag": known.body["etag"]})
        known.properties["provisioningState"] = "Updating"
        self._core.store.put(known)
        work = "compute.vm.create" if retried else "compute.vm.update"
        answer = self._core.operations.begin(
            request, work, rid, style=COMPUTE, status=200, body=shown, headers="aao",
            location=known.body["location"], latency=20,
            args={"restart": size.name != old and known.internal.get("power") == "running"},
        )  # fmt: skip
        answer.headers["ETag"] = known.body["etag"]
        return answer

    def change_disks(self, known: Resource, asked: Json) -> None:
        """Give a machine other data disks, in the running transaction; its operation is the caller's."""
        name = known.properties["hardwareProfile"]["vmSize"]
        size = find_size(name) or require_size(name, known.body["location"])
        known.body = vm_shape.updated(known.rid, known.body, asked, size)
        known.body["etag"] = f'"{int(known.body["etag"].strip(chr(34))) + 1}"'
        for entry in known.properties["storageProfile"]["dataDisks"]:
            vm_disks.attach(self._core, known, entry)
        known.properties["provisioningState"] = "Updating"
        self._core.store.put(known)

    def _new_size(self, request: Request, known: Resource, asked: Json) -> tuple[Size, str]:
        old = known.properties["hardwareProfile"]["vmSize"]
        name = (asked["properties"].get("hardwareProfile") or {}).get("vmSize") or old
        location, spot = known.body["location"], known.properties.get("priority") in ("Spot", "Low")
        if name.lower() == old.lower():
            found = find_size(old)
            return (found or require_size(old, location)), old
        size = require_size(name, location, known.body.get("zones") or (), spot=spot)
        self._limits.check(request.subscription, location, size, 1, spot=spot, machines=0)
        return size, old

    def _change_nics(self, known: Resource, body: Json, size: Size) -> None:
        before, after = vm_shape.nic_ids(known.body), vm_shape.nic_ids(body)
        if {ids.key(nic) for nic, _unused in before} == {ids.key(nic) for nic, _unused in after}:
            return
        if known.internal.get("power") == "running":
            code = "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported"
            message = (
                "Secondary network interfaces cannot be added or deleted from a running virtual machine "
                f"{known.id}. The virtual machine must be deallocated."
            )
            raise ArmError(409, code, message, details=[])
        nics = self._check_nics(known.id, body, size)
        network = self._core.service("network")
        kept = {ids.key(nic) for nic, _unused in nics}
        for nic_id, _unused in before:
            if ids.key(nic_id) not in kept:
                network.detach(nic_id)
        for nic_id, primary in nics:
            network.attach(nic_id, known.id, primary)
        primary_id = next(nic_id for nic_id, primary in nics if primary)
        vnet, subnet, address = network.address_of(primary_id)
        known.internal["machine"].update(vnet=vnet, subnet=subnet, address=address, mac=network.mac(address))
        self._machines.forget([known.id])
        self._machines.remember([known])


def _internal(image: ImageFacts | None, secrets: Json, user_data: str) -> dict[str, Any]:
    return {
        "power": "",
        "generation": image.generation if image else "V1",
        "os_name": image.os_name if image else "",
        "os_version": image.os_version if image else "",
        "architecture": image.architecture if image else "x64",
        "secrets": {"customData": secrets["customData"]} if secrets.get("customData") else {},
        "user_data": user_data,
    }


def _location_change(rid: ids.ResourceId, location: str) -> ArmError:
    message = (
        f"The resource '{rid.name}' already exists in location '{location}' in resource group '{rid.group}'. A "
        "resource with "
        "the same name cannot be created in another location. Please select a new resource name."
    )
    return ArmError(409, "InvalidResourceLocation", message)
