# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From resources to machines: what the driver is told, and what a machine's metadata service tells about it.

A resource that is a machine (a VM or an instance of a scale set) keeps under ``internal["machine"]`` what the driver
needs: ``vnet``, ``address``, ``mac``, ``subnet``, ``computer_name``, ``size``, and ``user``, ``keys``, ``custom_data``
(base64), ``image``. Instances keep the last four once per model, below ``internal["models"]`` of the scale set.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.machines import BASE_IMAGE, MachineError, MachineSpec, PowerState

from . import mishaps, sizes

TABLE = """CREATE TABLE IF NOT EXISTS machine_addresses (
    vnet TEXT NOT NULL, address TEXT NOT NULL, resource TEXT NOT NULL, PRIMARY KEY (vnet, address)) WITHOUT ROWID"""
INDEX = "CREATE INDEX IF NOT EXISTS machine_addresses_resource ON machine_addresses (resource)"
BOOTS_AT_ONCE = 20
KINDS = ("Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets/virtualMachines")
log = logging.getLogger(__name__)


class Machines:
    """What the provider does with the driver."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._at_once = int(core.store.setting("boots_at_once", BOOTS_AT_ONCE))
        self._boots = threading.BoundedSemaphore(self._at_once)
        with core.store.transaction() as db:
            db.execute(TABLE)
            db.execute(INDEX)

    # addresses: who is it that asks the metadata service?

    def remember(self, resources: Iterable[Resource]) -> None:
        """Note the addresses of machines; call it in the transaction that stores them."""
        rows = []
        for resource in resources:
            machine = resource.internal["machine"]
            rows.append((ids.key(machine["vnet"]), machine["address"], ids.key(resource.id)))
        with self._core.store.transaction() as db:
            db.executemany("REPLACE INTO machine_addresses VALUES (?,?,?)", rows)

    def forget(self, resource_ids: Iterable[str]) -> None:
        with self._core.store.transaction() as db:
            keys = [(ids.key(resource_id),) for resource_id in resource_ids]
            db.executemany("DELETE FROM machine_addresses WHERE resource = ?", keys)

    def farewell(self, resources: Sequence[Resource]) -> None:
        """Tell machines that they are about to be deleted, and give those that want it their time. Blocks for it."""
        self._core.service("scheduled_events").terminate(resources)

    def owner(self, vnet_id: str, address: str) -> Resource | None:
        """The VM or instance that has an address in a virtual network."""
        query = "SELECT resource FROM machine_addresses WHERE vnet = ? AND address = ?"
        row = self._core.store.db().execute(query, (ids.key(vnet_id), address)).fetchone()
        return self._core.store.get(row["resource"]) if row else None

    # the driver

    def boot(self, resource: Resource) -> None:
        """Create the machine, or make sure that it runs if it exists; blocks until it answers. Raises ArmError."""
        spec = _spec(self._core, resource)
        driver, fault = self._core.driver, mishaps.meet(self._core, resource)
        with self._boots:
            try:
                if driver.state(resource.id) == PowerState.RUNNING:
                    return
                driver.delete(resource.id)
                driver.create(spec)
            except MachineError as error:
                raise _refusal(error, spec.computer_name) from error
        mishaps.booted(self._core, resource, fault)

    def act(self, action: str, resource: Resource) -> None:
        """``start``, ``stop``, ``deallocate``, ``restart`` or ``delete`` a machine. Raises ArmError.

        A machine that was never allocated, because that failed, is created when it is started, and else left alone.
        """
        if action != "delete" and self._core.driver.state(resource.id) == PowerState.ABSENT:
            if action == "start":
                self.boot(resource)
            return
        if action == "restart" and resource.internal.get("crashed"):
            action = "start"
        method: Callable[[str], None] = getattr(self._core.driver, action)
        with self._boots:
            try:
                method(resource.id)
            except MachineError as error:
                raise _refusal(error, resource.internal["machine"]["computer_name"]) from error
        if action == "delete":
            self._core.service("scheduled_events").forget([resource.id])
        else:
            mishaps.forget(self._core, resource)

    def capture(self, vm: Resource, image_id: str) -> None:
        """Make the disk of a machine bootable under the image's id. Raises ArmError."""
        try:
            self._core.driver.delete_image(image_id)
            self._core.driver.capture(vm.id, image_id)
        except MachineError as error:
            raise _refusal(error, vm.rid.name) from error

    def delete_image(self, image_id: str) -> None:
        try:
            self._core.driver.delete_image(image_id)
        except MachineError as error:
            raise _refusal(error, ids.parse(image_id).name) from error

    def each(
        self,
        resources: list[Resource],
        do: Callable[[Resource], None],
        done: Callable[[Resource, ArmError | None], None],
    ) -> None:
        """Do something blocking to many machines at once, and report each as it ends (in the calling thread)."""
        if not resources:
            return
        if self._core.settings.driver == "record":
            for resource in resources:
                done(resource, _error_of(do, resource))
            return
        with ThreadPoolExecutor(min(len(resources), self._at_once), "machine") as pool:
            futures = {pool.submit(clock.worker(_error_of), do, resource): resource for resource in resources}
            ended = as_completed(futures)
            for _unused in futures:
                with clock.watching():
                    future = next(ended)
                done(futures[future], future.result())


class Recovery:
    """After a restart of the server: bring the machines to what the resources say."""

    def __init__(self, core: Core, machines: Machines) -> None:
        self._core, self._machines = core, machines

    def __call__(self, found: dict[str, PowerState]) -> None:
        """``found`` is what the driver adopted. Machines that should run are started in the background.

        What an operation was in the middle of is left to it: operations are resumed next.
        """
        known = {ids.key(arm_id): state for arm_id, state in found.items()}
        wanted, resources = [], set()
        for kind in KINDS:
            for resource in self._core.store.list(kind):
                resources.add(ids.key(resource.id))
                if (
                    resource.internal.get("power") == "running"
                    and not resource.internal.get("crashed")
                    and known.get(ids.key(resource.id)) != PowerState.RUNNING
                ):
                    wanted.append(resource)
        for arm_id in found:
            if ids.key(arm_id) not in resources:
                self._core.driver.delete(arm_id)
        if wanted:
            threading.Thread(target=self._start, args=(wanted, known), name="recovery", daemon=True).start()

    def _start(self, wanted: list[Resource], known: dict[str, PowerState]) -> None:
        def start(resource: Resource) -> None:
            if known.get(ids.key(resource.id), PowerState.ABSENT) == PowerState.ABSENT:
                self._machines.boot(resource)
            else:
                self._machines.act("start", resource)

        def done(resource: Resource, error: ArmError | None) -> None:
            if error is not None:
                log.error("machine %s did not come back: %s", resource.id, error)

        self._machines.each(wanted, start, done)


def _error_of(do: Callable[[Resource], None], resource: Resource) -> ArmError | None:
    try:
        do(resource)
    except ArmError as error:
        return error
    return None


def _refusal(error: MachineError, name: str) -> ArmError:
    """A driver's error as one of Azure's: the codes are the same, the text begins as Azure's does."""
    texts = {
        "OSProvisioningTimedOut": f"OS Provisioning for VM '{name}' did not finish in the allotted time. The VM may "
        "still "
        "finish provisioning successfully. Please check provisioning state later.",
        "OSProvisioningInternalError": f"OS Provisioning failed for VM '{name}' due to an internal error.",
    }
    message = f"{texts.get(error.code, f'The operation on VM {name!r} failed.')} {error.message}"
    return ArmError(409, error.code, message)


def facts(core: Core, resource: Resource) -> dict[str, Any]:
    """``internal["machine"]`` of a VM or instance, with what an instance shares with others of its model."""
    machine: dict[str, Any] = resource.internal["machine"]
    if resource.rid.parent is None:
        return machine
    scale_set = core.store.get(resource.rid.parent)
    shared = scale_set.internal["models"].get(str(resource.internal["model"]), {}) if scale_set else {}
    return {"user": "azureuser", "keys": [], "image": "", **shared, **machine}


def _spec(core: Core, resource: Resource) -> MachineSpec:
    machine = facts(core, resource)
    size = sizes.find(machine["size"])
    return MachineSpec(
        arm_id=resource.id,
        vnet_id=machine["vnet"],
        computer_name=machine["computer_name"],
        private_ip=machine["address"],
        mac=machine["mac"],
        admin_username=machine["user"],
        ssh_public_keys=tuple(machine["keys"]),
        custom_data=decode(machine.get("custom_data", "")),
        image=machine["image"] or BASE_IMAGE,
        vm_id=resource.properties.get("vmId", ""),
        vcpus=size.available_vcpus if size else 1,
        memory_mib=size.memory_mib if size else 1024,
        gpus=size.gpus if size else 0,
    )


def decode(custom_data: str) -> bytes:
    """Custom data as given; it must be base64 and not too long: 400 InvalidParameter if it is not."""
    try:
        if len(custom_data) > 87380:
            raise ValueError(len(custom_data))
        return base64.b64decode(custom_data, validate=True)
    except (binascii.Error, ValueError) as error:
        message = "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters."
        raise ArmError(400, "InvalidParameter", message, target="customData") from error


def metadata(core: Core, resource: Resource) -> dict[str, Any]:
    """What the instance metadata service of a machine tells: the service ``instance_metadata`` of the core's
    docstring."""
    properties, machine, rid = resource.properties, facts(core, resource), resource.rid
    tags = resource.body.get("tags") or {}
    owner = str((properties.get("virtualMachineScaleSet") or {}).get("id") or rid.parent or "")
    reference = properties.get("storageProfile", {}).get("imageReference", {})
    compute = {
        "azEnvironment": "AzurePublicCloud",
        "evictionPolicy": properties.get("evictionPolicy", ""),
        "location": resource.body["location"],
        "name": resource.body["name"],
        "offer": reference.get("offer", ""),
        "osProfile": {
            "adminUsername": machine["user"],
            "computerName": machine["computer_name"],
            "disablePasswordAuthentication": "true",
        },
        "osType": properties.get("storageProfile", {}).get("osDisk", {}).get("osType", "Linux"),
        "placementGroupId": resource.internal.get("placement_group", ""),
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "priority": properties.get("priority", "Regular"),
        "provider": "Microsoft.Compute",
        "publicKeys": [
            {"keyData": key, "path": f"/home/{machine['user']}/.ssh/authorized_keys"} for key in machine["keys"]
        ],
        "publisher": reference.get("publisher", ""),
        "resourceGroupName": rid.group,
        "resourceId": resource.id,
        "sku": reference.get("sku", ""),
        "storageProfile": {"imageReference": {"id": reference.get("id", ""), **reference}},
        "subscriptionId": rid.subscription,
        "tags": ";".join(f"{key}:{value}" for key, value in tags.items()),
        "tagsList": [{"name": key, "value": str(value)} for key, value in tags.items()],
        "userData": resource.internal.get("user_data", ""),
        "version": reference.get("exactVersion", reference.get("version", "")),
        "virtualMachineScaleSet": {"id": owner},
        "vmId": properties.get("vmId", ""),
        "vmScaleSetName": owner.rsplit("/", 1)[-1],
        "vmSize": machine["size"],
        "zone": (resource.body.get("zones") or [""])[0],
    }
    return {
        "resource_id": resource.id,
        "compute": compute,
        "network": {"interface": [_interface(core, machine)]},
        "identities": _identities(core, resource),
    }


def _interface(core: Core, machine: dict[str, Any]) -> dict[str, Any]:
    vnet = core.store.get(machine["vnet"])
    prefix = ""
    for subnet in vnet.properties.get("subnets", []) if vnet else []:
        if ids.key(subnet["id"]) == ids.key(machine["subnet"]):
            own = subnet["properties"]
            prefix = own.get("addressPrefix") or (own.get("addressPrefixes") or [""])[0]
    network, _unused, bits = prefix.partition("/")
    address = {"privateIpAddress": machine["address"], "publicIpAddress": ""}
    return {
        "ipv4": {"ipAddress": [address], "subnet": [{"address": network, "prefix": bits}]},
        "ipv6": {"ipAddress": []},
        "macAddress": machine["mac"].replace("-", "").replace(":", "").upper(),
    }


def _identities(core: Core, resource: Resource) -> list[dict[str, str]]:
    owner = resource
    if resource.rid.parent is not None:
        owner = core.store.get(resource.rid.parent) or resource
    identity = owner.body.get("identity") or {}
    found = []
    if "SystemAssigned" in identity.get("type", ""):
        own = core.service("identity").system(owner.id)
        found.append({"resource_id": owner.id, "client_id": own["clientId"], "principal_id": own["principalId"]})
    for identity_id, value in (identity.get("userAssignedIdentities") or {}).items():
        found.append(
            {
                "resource_id": identity_id,
                "client_id": value.get("clientId", ""),
                "principal_id": value.get("principalId", ""),
            }
        )
    return found
