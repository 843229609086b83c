# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Managed Lustre file system fits into its subnet: asked before anything is made, which takes a quarter of an
hour to fail.
"""

from __future__ import annotations

import ipaddress
import json
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import (
    AUTHENTICATION,
    AzureError,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.network import VERSION as NETWORK_VERSION
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Json
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import lustre
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre import Sku

# Azure keeps five addresses of every subnet.
_KEPT = 5


def check(
    session: Session, clients: TypedClients, sku: Sku, capacity: int, options: t.Mapping[str, t.Any], only_check: bool
) -> None:
    """Raise AzureError (SubnetNotSuitable) if a new file system does not fit."""
    subnet = options["subnet_id"]
    needed = _addresses(clients, sku.name, capacity)
    try:
        found = session.find(subnet, NETWORK_VERSION, "read the subnet of the file system")
    except AzureError as error:
        if error.kind != AUTHENTICATION:
            raise
        found = None  # a subnet of somebody else's: what Azure says below is enough
    else:
        if found is None:
            if only_check:
                return  # it may be one that was not made because of check mode
            raise AzureError(f"there is no subnet {subnet}", code="SubnetNotSuitable")
    free, prefix = _free_addresses(found)
    if free is not None and free < needed:
        text = (
            f"the subnet {subnet.rsplit('/', 1)[-1]} ({prefix}) has {free} free addresses, and {sku.name} with "
            f"{capacity} TiB needs {needed}: "
            f"use a subnet of its own with a /{lustre.subnet_bits(capacity)} or larger"
        )
        raise AzureError(text, code="SubnetNotSuitable", target=subnet)
    try:
        clients.ask(
            "check_aml_fs_subnets",
            {
                "sku": {"name": sku.name},
                "storageCapacityTiB": capacity,
                "filesystemSubnet": subnet,
                "location": options["location"],
            },
            "check the subnet",
        )
    except AzureError as error:
        raise _subnet_error(error, subnet) from error


def check_room(session: Session, clients: TypedClients, actual: Json, capacity: int) -> None:
    """Raise AzureError (SubnetNotSuitable) if the servers that a larger file system has more do not fit in."""
    have, subnet = documents.capacity_of(actual), str(actual["properties"]["filesystemSubnet"])
    name = (actual.get("sku") or {}).get("name", "")
    more = _addresses(clients, name, capacity) - _addresses(clients, name, have)
    try:
        free, prefix = _free_addresses(session.find(subnet, NETWORK_VERSION, "read the subnet of the file system"))
    except AzureError as error:
        if error.kind != AUTHENTICATION:
            raise
        return  # a subnet of somebody else's: Azure will say
    if free is not None and free < more:
        text = (
            f"the subnet {subnet.rsplit('/', 1)[-1]} ({prefix}) has {free} free addresses, and growing from {have} to "
            f"{capacity} TiB takes {more}: free some, or move the data to a file system in a larger subnet"
        )
        raise AzureError(text, code="SubnetNotSuitable", target=subnet)


def _addresses(clients: TypedClients, sku: str, capacity: int) -> int:
    """How many addresses of its subnet a file system takes."""
    about = {"sku": {"name": sku}, "storageCapacityTiB": capacity}
    said = clients.ask("get_required_aml_fs_subnets_size", about, "ask for the size of the subnet")
    return int(said["filesystemSubnetSize"])


def _free_addresses(subnet: Json | None) -> tuple[int | None, str]:
    properties = (subnet or {}).get("properties") or {}
    prefix = properties.get("addressPrefix") or next(iter(properties.get("addressPrefixes") or ()), "")
    if not prefix:
        return None, ""
    size = ipaddress.ip_network(prefix, strict=False).num_addresses
    return size - _KEPT - len(properties.get("ipConfigurations") or ()), str(prefix)


def _subnet_error(error: AzureError, subnet: str) -> AzureError:
    """Azure says what is wrong with a subnet in a shape of its own."""
    try:
        said = json.loads(error.message)["filesystemSubnet"]
        text = f"the subnet {subnet.rsplit('/', 1)[-1]} is {said['status']}: {said['message']}"
    except (ValueError, KeyError, TypeError):
        return error
    return AzureError(text, "SubnetNotSuitable", error.request_id, error.status, subnet)
