# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of instances: new ones with their addresses, and those that are to go."""

from __future__ import annotations

import hashlib

from sandbox.arm import ids
from sandbox.arm.core import Core, new_guid
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import instance_shape, vmss_shape
from .shapes import Json


def new_instances(core: Core, scale_set: Resource, numbers: list[int], zones: list[str]) -> list[Resource]:
    """Instances of the present model with their addresses, not stored yet."""
    model = str(scale_set.internal["model"])
    shared = scale_set.internal["models"][model]
    template = instance_shape.Template(scale_set.body, scale_set.rid, shared.get("exact_version", ""), clock.now())
    bodies = [instance_shape.instance_body(template, number, zone) for number, zone in zip(numbers, zones, strict=True)]
    nics, machines = _addresses(core, scale_set, bodies)
    created = []
    for number, body, own, machine in zip(numbers, bodies, nics, machines, strict=True):
        machine["computer_name"] = body["properties"]["osProfile"]["computerName"]
        machine["size"] = scale_set.body["sku"]["name"]
        internal: Json = {
            "model": scale_set.internal["model"],
            "power": "",
            "generation": shared["generation"],
            "os_name": shared["os_name"],
            "os_version": shared["os_version"],
            "placement": [number % 5, number % 5],
            "placement_group": _placement_group(scale_set, number),
            "nics": own,
            "machine": machine,
        }
        created.append(Resource(body["id"], body, internal, sort=number))
    return created


def _placement_group(scale_set: Resource, number: int) -> str:
    """The placement group that an instance is in: one for all, or one per hundred in a large scale set."""
    index = 0 if scale_set.properties.get("singlePlacementGroup") else number // vmss_shape.ONE_GROUP
    digest = hashlib.sha256(f"{scale_set.internal['unique']}/{index}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _addresses(core: Core, scale_set: Resource, bodies: list[Json]) -> tuple[list[list[Json]], list[Json]]:
    """Addresses for the interfaces of new instances: one allocation per ip configuration for all of them together."""
    network = core.service("network")
    nics: list[list[Json]] = [[] for _unused in bodies]
    machines: list[Json] = [{} for _unused in bodies]
    profile = scale_set.properties["virtualMachineProfile"]
    for entry in profile["networkProfile"]["networkInterfaceConfigurations"]:
        config = entry["properties"]
        nsg = (config.get("networkSecurityGroup") or {}).get("id", "")
        columns, subnets = [], []
        for address in config["ipConfigurations"]:
            subnet = address["properties"]["subnet"]["id"]
            owners = [
                f"{body['id']}/networkInterfaces/{entry['name']}/ipConfigurations/{address['name']}" for body in bodies
            ]
            columns.append(network.allocate(subnet, owners, nsg_id=nsg))
            subnets.append(subnet)
        vnet = network.vnet_of(subnets[0])
        suffix = f"{hashlib.sha256(ids.key(vnet).encode()).hexdigest()[:24]}.ax.internal.cloudapp.net"
        for index in range(len(bodies)):
            own = [column[index] for column in columns]
            public = _public(core, bodies[index], entry)
            nic = {"name": entry["name"], "guid": new_guid(), "etag": f'W/"{new_guid()}"', "mac": network.mac(own[0])}
            if any(public):
                nic["public"] = public
            nics[index].append({**nic, "suffix": suffix, "addresses": own})
            if config["primary"]:
                machines[index] = {"vnet": vnet, "subnet": subnets[0], "address": own[0], "mac": nic["mac"]}
    return nics, machines


def _public(core: Core, instance: Json, interface: Json) -> list[str]:
    """The public address of each ip configuration of an instance's interface, empty where it is to have none."""
    found = []
    for address in interface["properties"]["ipConfigurations"]:
        wanted = address["properties"].get("publicIPAddressConfiguration")
        path = f"{instance['id']}/networkInterfaces/{interface['name']}/ipConfigurations/{address['name']}"
        owner = f"{path}/publicIPAddresses/{wanted['name']}" if wanted else ""
        found.append(core.service("network").public(owner) if owner else "")
    return found


def mark_deleting(core: Core, scale_set: Resource, numbers: list[int]) -> None:
    """Show instances as Deleting, in the running transaction."""
    rows = []
    for number in numbers:
        row = core.store.get(f"{scale_set.id}/virtualMachines/{number}")
        if row is not None:
            row.properties["provisioningState"] = "Deleting"
            rows.append(row)
    if rows:
        core.store.put(*rows)
