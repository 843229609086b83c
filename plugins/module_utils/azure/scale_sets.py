# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uniform scale sets: made at capacity zero, changed in their model only, grown and shrunk by passes alone."""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import machines
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
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Json, merged
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Documents, Operation, Session

VERSION = "2024-07-01"
KIND = "Microsoft.Compute/virtualMachineScaleSets"
# Azure never returns customData; its digest on the scale set tells whether the next instances would get something else.
DIGEST_TAG = "hpc-custom-data"
_FIXED = (
    "sku.name",
    "properties.singlePlacementGroup",
    "properties.virtualMachineProfile.priority",
    "zones",
    "location",
)


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, str]:
    """Make the scale set exist with the wanted model. Its capacity is never touched once it exists.

    New instances follow the new model; running ones keep theirs (they are taken away when their node is idle).
    Raises AzureError, also if something differs that Azure cannot change.
    """
    store, wanted = Documents(session, VERSION), path(session, options["resource_group"], options["name"])
    actual = read(store, [wanted])
    writes = plan([target(wanted, options)], actual)
    _complain_about_fixed(options["name"], writes)
    writes = _with_custom_data(writes, options)
    return apply(store, writes, actual, check, options.get("wait", True)), wanted


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, str]:
    """Delete the scale set with all its instances."""
    store, wanted = Documents(session, VERSION), path(session, options["resource_group"], options["name"])
    actual = read(store, [wanted])
    return apply(store, removals([[wanted]], actual), actual, check), wanted


def path(session: Session, group: str, name: str) -> str:
    """The resource id of a scale set."""
    return session.resource_path(group, KIND, name)


def target(wanted: str, options: t.Mapping[str, t.Any]) -> Target:
    """The scale set of a module's options as wanted. Pure."""
    tags = {**(options.get("tags") or {}), DIGEST_TAG: digest(options.get("custom_data") or "")}
    body: Json = {
        "location": options["location"],
        "sku": {"name": options["vm_size"]},
        "properties": {
            "singlePlacementGroup": bool(options.get("single_placement_group")),
            "virtualMachineProfile": _profile(options),
        },
    }
    if options.get("zones"):
        body["zones"] = [str(zone) for zone in options["zones"]]
    found = machines.identity(options)
    if found:
        body["identity"] = found
    once: Json = {
        "sku": {"tier": "Standard", "capacity": 0},
        "properties": {
            "orchestrationMode": "Uniform",
            # Overprovisioned instances come and go under our claims, and are billed.
            "overprovision": False,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": _born(options),
        },
    }
    return Target(wanted, body, tags, once=once, update="PATCH")


def _profile(options: t.Mapping[str, t.Any]) -> Json:
    """The part of the instances' profile that is compared."""
    keys = machines.os_profile(options)["linuxConfiguration"]
    disk: Json = {"managedDisk": {"storageAccountType": options.get("os_disk_type") or "Premium_LRS"}}
    if options.get("os_disk_gib"):
        disk["diskSizeGB"] = options["os_disk_gib"]
    profile: Json = {
        "storageProfile": {"imageReference": machines.image_reference(options["image"]), "osDisk": disk},
        "osProfile": {"linuxConfiguration": keys},
        "networkProfile": {"networkInterfaceConfigurations": [_interface(options)]},
    }
    if options.get("terminate_notice"):
        told = {"enable": True, "notBeforeTimeout": f"PT{options['terminate_notice']}M"}
        profile["scheduledEventsProfile"] = {"terminateNotificationProfile": told}
    if options.get("priority") == "spot":
        profile["priority"] = "Spot"
        price = options.get("max_price")
        profile["billingProfile"] = {"maxPrice": float(-1 if price is None else price)}
    return profile


def _interface(options: t.Mapping[str, t.Any]) -> Json:
    configuration = {"name": "primary", "properties": {"subnet": {"id": options["subnet_id"]}}}
    properties: Json = {"primary": True, "ipConfigurations": [configuration]}
    if options.get("accelerated_networking") is not None:
        properties["enableAcceleratedNetworking"] = bool(options["accelerated_networking"])
    return {"name": "primary", "properties": properties}


def _born(options: t.Mapping[str, t.Any]) -> Json:
    """The part of the profile that is only sent on creation."""
    os_profile = machines.os_profile(options, prefix=options["computer_name_prefix"])
    born: Json = {
        "osProfile": os_profile,
        "storageProfile": {"osDisk": {"createOption": "FromImage", "caching": "ReadWrite"}},
    }
    if options.get("priority") == "spot":
        # An evicted instance must vanish: a deallocated one would go on counting against the capacity.
        born["evictionPolicy"] = "Delete"
    return born


def _with_custom_data(writes: tuple[Write, ...], options: t.Mapping[str, t.Any]) -> tuple[Write, ...]:
    """Add the new customData to an update if its digest changed."""
    for write in writes:
        changed = any(change.path == ("tags", DIGEST_TAG) for change in write.changes)
        if write.method == "PATCH" and changed:
            data = machines.os_profile(options).get("customData", "")
            extra = {"properties": {"virtualMachineProfile": {"osProfile": {"customData": data}}}}
            write.body.update(merged(write.body, extra))
    return writes


def _complain_about_fixed(name: str, writes: tuple[Write, ...]) -> None:
    fixed = [
        f"{'.'.join(change.path)} is {change.before!r}, not {change.after!r}"
        for write in writes
        for change in write.changes
        if write.method == "PATCH" and any(".".join(change.path).startswith(one) for one in _FIXED)
    ]
    if fixed:
        text = f"scale set {name} would have to be deleted and made anew, because Azure cannot change it: "
        raise AzureError(text + "; ".join(fixed), code="PropertyChangeNotAllowed", status=409)


def digest(custom_data: str) -> str:
    """A short name for a text that is not shown."""
    return hashlib.sha256(custom_data.encode()).hexdigest()[:16]


def begin_capacity(
    session: Session, scale_set: str, size: str, capacity: int, tags: t.Mapping[str, str] | None = None
) -> Operation:
    """Set the capacity to an absolute number; raises AzureError if Azure refuses at once (size, quota).

    ``tags`` replace the tags of the scale set in the same request: a second one would get into its way.
    """
    body: Json = {"sku": {"name": size, "tier": "Standard", "capacity": capacity}}
    if tags is not None:
        body["tags"] = dict(tags)
    return session.begin("PATCH", scale_set, VERSION, body, f"grow {scale_set.split('/')[-1]} to {capacity}")


def delete_instances(session: Session, scale_set: str, instance_ids: t.Sequence[str]) -> None:
    """Ask for the deletion of chosen instances in one request, and do not wait; raises AzureError if it is refused."""
    doing = f"delete {len(instance_ids)} instances of {scale_set.split('/')[-1]}"
    # Without a guest to shut down gracefully there is nothing to wait for: Slurm has let go of these nodes.
    session.post(f"{scale_set}/delete", VERSION, {"instanceIds": list(instance_ids)}, doing, forceDeletion="true")


def write_tags(session: Session, scale_set: str, tags: t.Mapping[str, str]) -> None:
    """Replace the tags of a scale set (ARM knows no other way) without waiting for it."""
    session.send("PATCH", scale_set, VERSION, {"tags": dict(tags)}, f"tag {scale_set.split('/')[-1]}")
