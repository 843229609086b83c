# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of Uniform scale sets and their network interfaces, as ARM shows them. Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sandbox.arm.core import new_guid
from sandbox.arm.ids import ResourceId
from sandbox.arm.operations import stamp

from .shapes import Json, base36, hex32

INSTANCE = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"


@dataclass(frozen=True)
class Template:
    """What all instances that are made together share."""

    scale_set: Json
    rid: ResourceId
    exact_version: str
    now: float


def computer_name(prefix: str, number: int) -> str:
    """``prefix`` and the number as six digits in base 36."""
    return prefix + base36(number)


def instance_body(template: Template, number: int, zone: str) -> Json:
    """One new instance, as ARM shows it."""
    scale_set, rid = template.scale_set, template.rid
    profile = scale_set["properties"]["virtualMachineProfile"]
    name, instance_id = f"{rid.name}_{number}", f"{rid}/virtualMachines/{number}"
    configurations = profile["networkProfile"]["networkInterfaceConfigurations"]
    shown_profile = {key: value for key, value in profile.get("osProfile", {}).items() if key != "computerNamePrefix"}
    prefix = profile.get("osProfile", {}).get("computerNamePrefix", rid.name)
    properties: Json = {
        "latestModelApplied": True,
        "modelDefinitionApplied": "VirtualMachineScaleSet",
        "networkProfileConfiguration": {"networkInterfaceConfigurations": configurations},
        "provisioningState": "Creating",
        "hardwareProfile": {"vmSize": scale_set["sku"]["name"]},
        "vmId": new_guid(),
        "storageProfile": _instance_storage(template, profile["storageProfile"], number),
        "osProfile": {"computerName": computer_name(prefix, number), **shown_profile},
        **{
            key: profile[key]
            for key in (
                "securityProfile",
                "diagnosticsProfile",
                "licenseType",
                "priority",
                "evictionPolicy",
                "billingProfile",
            )
            if key in profile
        },
        "networkProfile": {
            "networkInterfaces": [
                {"id": f"{instance_id}/networkInterfaces/{entry['name']}", **_primary(entry, len(configurations))}
                for entry in configurations
            ]
        },
        "timeCreated": stamp(template.now),
    }
    return {
        "name": name,
        "id": instance_id,
        "type": INSTANCE,
        "location": scale_set["location"],
        "tags": dict(scale_set.get("tags") or {}),
        "instanceId": str(number),
        "sku": {"name": scale_set["sku"]["name"], "tier": scale_set["sku"].get("tier", "Standard")},
        **({"zones": [zone]} if zone else {}),
        **_with_extensions(instance_id, profile, scale_set["location"]),
        "properties": properties,
        "etag": '"1"',
    }


def _with_extensions(instance_id: str, profile: Json, location: str) -> Json:
    """The extensions of the model that the instance is made of; they are there when it is. Nothing of them runs."""
    model = (profile.get("extensionProfile") or {}).get("extensions") or []
    made = [
        {
            "name": entry["name"],
            "id": f"{instance_id}/extensions/{entry['name']}",
            "type": f"{INSTANCE}/extensions",
            "location": location,
            "properties": {
                "autoUpgradeMinorVersion": False,
                **{key: value for key, value in entry["properties"].items() if not key.startswith("protected")},
                "provisioningState": "Succeeded",
            },
        }
        for entry in model
    ]
    return {"resources": made} if made else {}


def _primary(entry: Json, count: int) -> Json:
    return {"properties": {"primary": bool(entry["properties"].get("primary"))}} if count > 1 else {}


def _instance_storage(template: Template, storage: Json, number: int) -> Json:
    rid = template.rid
    head = f"{rid.name}_{rid.name}_{number}"
    disks = f"{rid.group_id}/providers/Microsoft.Compute/disks"
    reference = dict(storage.get("imageReference") or {})
    if template.exact_version:
        reference["exactVersion"] = template.exact_version
    disk = copy.deepcopy(storage["osDisk"])
    disk["name"] = f"{head}_OsDisk_1_{hex32()}"
    if "managedDisk" in disk:
        disk["managedDisk"]["id"] = f"{disks}/{disk['name']}"
    data: list[Any] = []
    for index, entry in enumerate(storage.get("dataDisks", []), start=2):
        copied = copy.deepcopy(entry)
        copied["name"] = f"{head}_disk{index}_{hex32()}"
        copied["managedDisk"]["id"] = f"{disks}/{copied['name']}"
        data.append(copied)
    return {
        **({"imageReference": reference} if reference else {}),
        "osDisk": disk,
        "dataDisks": data,
        **({"diskControllerType": storage["diskControllerType"]} if "diskControllerType" in storage else {}),
    }


def nic_body(instance: Json, nic: Json) -> Json:
    """A network interface of an instance, as the network provider shows it.

    ``nic`` is an entry of ``internal["nics"]``: ``name``, ``guid``, ``etag``, ``mac``, ``suffix`` and ``addresses``,
    one per ip configuration. The rest is in the instance's ``networkProfileConfiguration``.
    """
    nic_id = f"{instance['id']}/networkInterfaces/{nic['name']}"
    state = "Succeeded" if instance["properties"]["provisioningState"] != "Deleting" else "Deleting"
    configurations = instance["properties"]["networkProfileConfiguration"]["networkInterfaceConfigurations"]
    config = next(entry["properties"] for entry in configurations if entry["name"] == nic["name"])
    addresses = []
    for index, (entry, address) in enumerate(zip(config["ipConfigurations"], nic["addresses"], strict=True)):
        given = {key: value for key, value in entry["properties"].items() if key != "publicIPAddressConfiguration"}
        path = f"{nic_id}/ipConfigurations/{entry['name']}"
        if any(nic.get("public", [])[index : index + 1]):
            name = entry["properties"]["publicIPAddressConfiguration"]["name"]
            given["publicIPAddress"] = {"id": f"{path}/publicIPAddresses/{name}"}
        addresses.append(
            {
                "name": entry["name"],
                "id": path,
                "etag": nic["etag"],
                "properties": {
                    **given,
                    "provisioningState": state,
                    "privateIPAddress": address,
                    "privateIPAllocationMethod": "Dynamic",
                    "primary": entry["properties"].get("primary", index == 0),
                    "privateIPAddressVersion": entry["properties"].get("privateIPAddressVersion", "IPv4"),
                },
            }
        )
    properties: Json = {
        "provisioningState": state,
        "resourceGuid": nic["guid"],
        "ipConfigurations": addresses,
        "dnsSettings": {
            "dnsServers": config.get("dnsSettings", {}).get("dnsServers", []),
            "appliedDnsServers": [],
            "internalDomainNameSuffix": nic["suffix"],
        },
        "macAddress": nic["mac"],
        "enableAcceleratedNetworking": config.get("enableAcceleratedNetworking", False),
        "vnetEncryptionSupported": False,
        "enableIPForwarding": config.get("enableIPForwarding", False),
        "disableTcpStateTracking": config.get("disableTcpStateTracking", False),
        **({"networkSecurityGroup": config["networkSecurityGroup"]} if config.get("networkSecurityGroup") else {}),
        "primary": bool(config.get("primary")),
        "virtualMachine": {"id": instance["id"]},
        "hostedWorkloads": [],
        "tapConfigurations": [],
        "nicType": "Standard",
        "allowPort25Out": False,
        "auxiliaryMode": "None",
        "auxiliarySku": "None",
    }
    return {
        "name": nic["name"],
        "id": nic_id,
        "etag": nic["etag"],
        "properties": properties,
    }


def public_bodies(instance: Json, nic: Json) -> list[Json]:
    """The public addresses of an instance's interface, as the network provider shows them."""
    configurations = instance["properties"]["networkProfileConfiguration"]["networkInterfaceConfigurations"]
    config = next(entry["properties"] for entry in configurations if entry["name"] == nic["name"])
    found = []
    for entry, address in zip(config["ipConfigurations"], nic.get("public", []), strict=False):
        wanted = entry["properties"].get("publicIPAddressConfiguration")
        if not address or not wanted:
            continue
        path = f"{instance['id']}/networkInterfaces/{nic['name']}/ipConfigurations/{entry['name']}"
        own, label = wanted["properties"], (wanted["properties"].get("dnsSettings") or {}).get("domainNameLabel")
        number, place = instance["instanceId"], instance["location"]
        fqdn = f"vm{number}.{label}.{place}.cloudapp.azure.com"
        dns = {"dnsSettings": {"domainNameLabel": f"vm{number}.{label}", "fqdn": fqdn}} if label else {}
        found.append(
            {
                "name": wanted["name"],
                "id": f"{path}/publicIPAddresses/{wanted['name']}",
                "etag": nic["etag"],
                **({"zones": instance["zones"]} if instance.get("zones") else {}),
                "properties": {
                    "provisioningState": "Succeeded",
                    "resourceGuid": nic["guid"],
                    "ipAddress": address,
                    "publicIPAddressVersion": own["publicIPAddressVersion"],
                    "publicIPAllocationMethod": "Static" if wanted.get("sku") else "Dynamic",
                    "idleTimeoutInMinutes": own["idleTimeoutInMinutes"],
                    **dns,
                    "ipTags": own["ipTags"],
                    "ipConfiguration": {"id": path},
                },
                "sku": {"name": "Basic", "tier": "Regional", **(wanted.get("sku") or {})},
            }
        )
    return found
