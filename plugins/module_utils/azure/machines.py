# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual machine with its network interface and, if wanted, a public address."""

from __future__ import annotations

import base64
import gzip
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    Write,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients

# For those who list machines over the session; what is built here goes through the typed client and its version.
VERSION = "2024-07-01"

# Bytes. What is longer is packed: Azure takes 64 KiB.
PLAIN_CUSTOM_DATA = 48 * 1024

# The actions that lead to a power state, by what the machine is in now. Azure generalises only what does not run.
_ACTIONS: t.Mapping[str, tuple[str, ...]] = {
    "present": ("start",),
    "stopped": ("powerOff",),
    "deallocated": ("deallocate",),
    "generalized": ("deallocate", "generalize"),
}
_REACHED: t.Mapping[str, tuple[str, ...]] = {
    "present": ("running", "starting"),
    "stopped": ("stopped", "stopping", "deallocated", "deallocating"),
    "deallocated": ("deallocated",),
    "generalized": ("deallocated",),
}


@dataclass(frozen=True)
class MachineIds:
    """The resource ids that belong to one machine."""

    machine: str
    interface: str
    address: str

    @staticmethod
    def of(session: Session, group: str, name: str) -> MachineIds:
        """By the machine's name: ``<name>-nic`` and ``<name>-ip``."""
        return MachineIds(
            session.resource_path(group, "Microsoft.Compute/virtualMachines", name),
            session.resource_path(group, "Microsoft.Network/networkInterfaces", f"{name}-nic"),
            session.resource_path(group, "Microsoft.Network/publicIPAddresses", f"{name}-ip"),
        )


def observe(clients: TypedClients, ids: MachineIds) -> dict[str, Json]:
    """The machine (with its instance view), its interface and its address, as far as they exist, by lower-case id."""
    return read(clients, [ids.machine, ids.interface, ids.address])


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, MachineIds]:
    """Make the machine of a module's ``options`` exist, and be in the power state it asks for; raises AzureError."""
    clients, ids = TypedClients(session), MachineIds.of(session, options["resource_group"], options["name"])
    actual = observe(clients, ids)
    machine = actual.get(ids.machine.casefold())
    writes: tuple[Write, ...] = ()
    if options["state"] == "present" or machine is None:
        _complain_about_missing(options)
        writes = plan(targets(ids, options, machine), actual)
        if machine is not None and not options.get("public_ip"):
            # Stage 3: the interface has let go of it by then.
            writes += tuple(replace(write, stage=3) for write in removals([[ids.address]], actual))
    outcome = apply(clients, writes, actual, check)
    return _powered(clients, ids, outcome, machine, options["state"], check), ids


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, MachineIds]:
    """Delete the machine, its disk, its interface and its address, and what an interrupted creation left of them."""
    clients, ids = TypedClients(session), MachineIds.of(session, options["resource_group"], options["name"])
    actual = observe(clients, ids)
    machine = removals([[ids.machine]], actual)
    around = removals([[], [ids.interface], [ids.address]], actual)
    if check:
        return apply(clients, machine + around, actual, check), ids
    apply(clients, machine, actual, check)
    # Deleting the machine takes along what was created with it; only what is left over is deleted by name.
    left = observe(clients, ids) if machine else actual
    done = apply(clients, removals([[ids.interface], [ids.address]], left), left, check)
    return Outcome(machine + around, done.resources), ids


def targets(ids: MachineIds, options: t.Mapping[str, t.Any], machine: Json | None) -> list[Target]:
    """Address, interface and machine as wanted. What cannot be changed afterwards is only sent on creation. Pure."""
    location, tags = options["location"], options.get("tags")
    wanted = []
    configuration: Json = {
        "privateIPAllocationMethod": "Static" if options.get("private_ip") else "Dynamic",
        "subnet": {"id": options["subnet_id"]},
    }
    if options.get("private_ip"):
        configuration["privateIPAddress"] = options["private_ip"]
    if options.get("public_ip"):
        configuration["publicIPAddress"] = {"id": ids.address, "properties": {"deleteOption": "Delete"}}
        body = {"location": location, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
        wanted.append(Target(ids.address, body, tags, stage=0))
    properties: Json = {"ipConfigurations": [{"name": "primary", "properties": configuration}]}
    if options.get("accelerated_networking") is not None:
        properties["enableAcceleratedNetworking"] = bool(options["accelerated_networking"])
    interface = Target(ids.interface, {"location": location, "properties": properties}, tags, stage=1)
    if machine is not None:
        # Azure does not return the delete option on every path; what is attached already is compared by id alone.
        configuration.pop("privateIPAllocationMethod")
        configuration["publicIPAddress"] = {"id": ids.address} if options.get("public_ip") else None
    wanted.append(interface)
    wanted.append(_machine(ids, options, machine is None or _failed(machine)))
    return [replace(one, again=True) for one in wanted]


def _machine(ids: MachineIds, options: t.Mapping[str, t.Any], new: bool) -> Target:
    body: Json = {
        "location": options["location"],
        "properties": {"hardwareProfile": {"vmSize": options["vm_size"]}},
    }
    found = identity(options)
    if found:
        body["identity"] = found
    once: Json = {"properties": _fixed(ids, options)} if new else {}
    if options.get("zone") and new:
        once["zones"] = [options["zone"]]
    return Target(ids.machine, body, options.get("tags"), stage=2, once=once, update="PATCH")


def identity(options: t.Mapping[str, t.Any]) -> Json:
    """The identities of a machine or scale set: one of its own, given ones, or both; {} for none."""
    given = options.get("identities") or ()
    kinds = (["SystemAssigned"] if options.get("system_identity") else []) + (["UserAssigned"] if given else [])
    found: Json = {"type": ", ".join(kinds)} if kinds else {}
    return {**found, "userAssignedIdentities": {one: {} for one in given}} if given else found


def _fixed(ids: MachineIds, options: t.Mapping[str, t.Any]) -> Json:
    """What a machine is born with: it cannot be changed, so it is neither compared nor sent again."""
    return {
        "storageProfile": {
            "imageReference": image_reference(options["image"]),
            "osDisk": os_disk(options.get("os_disk_gib"), options.get("os_disk_type"), delete=True),
        },
        "osProfile": os_profile(options, computer_name=options.get("computer_name") or options["name"]),
        "networkProfile": {
            "networkInterfaces": [{"id": ids.interface, "properties": {"primary": True, "deleteOption": "Delete"}}]
        },
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
    }


def image_reference(image: t.Mapping[str, t.Any]) -> Json:
    """ARM's image reference for ``{id}`` or ``{publisher, offer, sku, version}``."""
    if image.get("id"):
        return {"id": image["id"]}
    return {
        "publisher": image["publisher"],
        "offer": image["offer"],
        "sku": image["sku"],
        "version": image.get("version") or "latest",
    }


def os_disk(size_gib: int | None, kind: str | None, delete: bool = False) -> Json:
    """ARM's operating system disk; ``size_gib`` 0 or None means the image's own size."""
    disk: Json = {"createOption": "FromImage", "caching": "ReadWrite"}
    disk["managedDisk"] = {"storageAccountType": kind or "Premium_LRS"}
    if size_gib:
        disk["diskSizeGB"] = size_gib
    if delete:
        disk["deleteOption"] = "Delete"
    return disk


def os_profile(options: t.Mapping[str, t.Any], computer_name: str = "", prefix: str = "") -> Json:
    """ARM's operating system profile: one account, ssh keys only. ``custom_data`` is text and is sent base64 coded."""
    user = options["admin_username"]
    keys = [
        {"path": f"/home/{user}/.ssh/authorized_keys", "keyData": key.strip()}
        for key in options.get("ssh_public_keys") or ()
    ]
    profile: Json = {
        "adminUsername": user,
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        **({"computerNamePrefix": prefix} if prefix else {"computerName": computer_name}),
    }
    if options.get("custom_data"):
        profile["customData"] = base64.b64encode(_packed(options["custom_data"].encode())).decode("ascii")
    return profile


def _packed(custom_data: bytes) -> bytes:
    """What Azure takes 64 KiB of at most: cloud-init unpacks what is packed."""
    return custom_data if len(custom_data) <= PLAIN_CUSTOM_DATA else gzip.compress(custom_data, mtime=0)


def _failed(machine: Json) -> bool:
    return (machine.get("properties") or {}).get("provisioningState") == "Failed"


def power_state(machine: Json | None) -> str:
    """The power state in a machine's instance view (running, stopped, deallocated, ...), '' when it says nothing."""
    return _status(machine, "PowerState/")


def is_generalized(machine: Json | None) -> bool:
    """Whether a machine was generalised: it can be captured, and never be started again."""
    return _status(machine, "OSState/") == "generalized"


def _status(machine: Json | None, prefix: str) -> str:
    view = ((machine or {}).get("properties") or {}).get("instanceView") or {}
    codes = [str(status.get("code", "")) for status in view.get("statuses") or ()]
    return next((code[len(prefix) :].lower() for code in codes if code.lower().startswith(prefix.lower())), "")


def _powered(
    clients: TypedClients, ids: MachineIds, outcome: Outcome, machine: Json | None, state: str, check: bool
) -> Outcome:
    """Bring the machine into the power state, and add what that took to the outcome."""
    is_now = power_state(machine) if machine is not None else "running"
    sealed = is_generalized(machine)
    if state == "present" and sealed:
        raise AzureError("the machine is generalised and can never start again", code="MachineGeneralized")
    made_again = machine is not None and _failed(machine)
    if (state == "present" and (made_again or not is_now)) or (sealed and state == "generalized"):
        return outcome
    actions = [] if is_now in _REACHED[state] else list(_ACTIONS[state])
    if state == "generalized" and is_now in _REACHED[state]:
        actions = ["generalize"]
    if not actions:
        return outcome
    for action in () if check else actions:
        clients.act(ids.machine, action)
    after = {"present": "running"}.get(state, state)
    change = Difference(("powerState",), is_now or "unknown", after)
    write = Write("POST", ids.machine, 3, before=machine, changes=(change,))
    mine = [one for one in outcome.writes if one.id == ids.machine and one.changes]
    if mine:
        joined = replace(mine[0], changes=(*mine[0].changes, change))
        return Outcome((*(one for one in outcome.writes if one is not mine[0]), joined), outcome.resources)
    return Outcome((*outcome.writes, write), outcome.resources)


def _complain_about_missing(options: t.Mapping[str, t.Any]) -> None:
    needed = ("location", "vm_size", "image", "subnet_id", "admin_username", "ssh_public_keys")
    missing = [name for name in needed if not options.get(name)]
    if missing:
        text = f"the machine {options['name']} does not exist, and to create it these options are missing: "
        raise AzureError(text + ", ".join(missing), code="MissingOptions")


def addresses(ids: MachineIds, outcome: Outcome) -> dict[str, str]:
    """The private and the public address of the machine, '' for none."""
    interface, address = outcome.resource(ids.interface), outcome.resource(ids.address)
    configurations = (interface.get("properties") or {}).get("ipConfigurations") or [{}]
    private = (configurations[0].get("properties") or {}).get("privateIPAddress", "")
    public = (address.get("properties") or {}).get("ipAddress", "")
    return {"private_ip": private, "public_ip": public}
