# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of clusters as an inventory sees them: plain dictionaries, which may be cached.

Requests per resource group: machines, their states, interfaces, public addresses, scale sets; then two per scale set
that has instances. All values are cloud data: they name nothing but themselves and are never templates.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from functools import partial

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet, machines, network, scale_sets
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import NOT_FOUND, AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session, together

Json = dict[str, t.Any]

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_LISTS = (
    ("Microsoft.Compute/virtualMachines", machines.VERSION),
    ("Microsoft.Network/networkInterfaces", network.VERSION),
    ("Microsoft.Network/publicIPAddresses", network.VERSION),
    (scale_sets.KIND, scale_sets.VERSION),
)


def find(session: Session, resource_groups: t.Sequence[str], clusters: t.Sequence[str]) -> list[Json]:
    """The hosts of the clusters (all that have the tag hpc-cluster if none is named), sorted; raises AzureError.

    Without resource groups the whole subscription is searched. A group that does not exist has no hosts.
    """
    scopes = [session.group_path(group) for group in resource_groups] or [f"/subscriptions/{session.subscription_id}"]
    tasks = [
        partial(_list, session, f"{scope}/providers/{kind}", version) for scope in scopes for kind, version in _LISTS
    ]
    # The states of all machines come in one answer, but only for a whole subscription.
    everywhere = f"/subscriptions/{session.subscription_id}/providers/Microsoft.Compute/virtualMachines"
    answers = together([*tasks, partial(_list, session, everywhere, machines.VERSION, statusOnly="true")])
    states = {str(one.get("id", "")).casefold(): one for one in answers.pop()}
    listed, interfaces, addresses, sets = ([one for part in answers[kind::4] for one in part] for kind in range(4))
    wanted = {name.casefold() for name in clusters}
    private = fleet.private_addresses(interfaces)
    public = _public_addresses(interfaces, addresses)
    found = [_machine(one, states, private, public) for one in listed if _member(one, wanted)]
    filled = together([partial(_instances, session, one) for one in sets if _member(one, wanted)])
    found += [host for hosts in filled for host in hosts]
    return _named(
        sorted(found, key=lambda host: (host["hpc_cluster"], host["hpc_scale_set"], _natural(host["hpc_name"])))
    )


def _list(session: Session, path: str, version: str, **query: str) -> list[Json]:
    try:
        return session.listing(path, version, **query)
    except AzureError as error:
        if error.kind == NOT_FOUND:
            return []
        raise


def _member(document: Json, wanted: set[str]) -> bool:
    cluster = (document.get("tags") or {}).get("hpc-cluster")
    return isinstance(cluster, str) and bool(cluster) and (not wanted or cluster.casefold() in wanted)


def _public_addresses(interfaces: t.Iterable[Json], addresses: t.Iterable[Json]) -> dict[str, str]:
    """The public address by lower-case id of the machine."""
    values = {str(one["id"]).casefold(): (one.get("properties") or {}).get("ipAddress") or "" for one in addresses}
    found = {}
    for interface in interfaces:
        properties = interface.get("properties") or {}
        machine = str((properties.get("virtualMachine") or {}).get("id") or "").casefold()
        for configuration in properties.get("ipConfigurations") or ():
            reference = ((configuration.get("properties") or {}).get("publicIPAddress") or {}).get("id") or ""
            if machine and values.get(str(reference).casefold()):
                found[machine] = str(values[str(reference).casefold()])
    return found


def _machine(
    document: Json, states: t.Mapping[str, Json], private: t.Mapping[str, str], public: t.Mapping[str, str]
) -> Json:
    key = str(document["id"]).casefold()
    properties = document.get("properties") or {}
    return {
        **_common(document, document),
        "hpc_vm_size": (properties.get("hardwareProfile") or {}).get("vmSize", ""),
        "hpc_private_ip": _address(private.get(key, "")),
        "hpc_public_ip": _address(public.get(key, "")),
        "hpc_state": _state(states.get(key, {}), properties),
        "hpc_user": _user(properties),
    }


def _instances(session: Session, scale_set: Json) -> list[Json]:
    """The instances of one scale set."""
    seen = fleet.scale_set(scale_set)
    if seen.capacity == 0 and seen.provisioning_state == "Succeeded":
        return []
    listed, interfaces = together(
        [
            partial(_list, session, f"{seen.id}/virtualMachines", scale_sets.VERSION, expand="instanceView"),
            partial(_list, session, f"{seen.id}/networkInterfaces", fleet.INTERFACES_VERSION),
        ]
    )
    private = fleet.private_addresses(interfaces)
    user = _user((scale_set.get("properties") or {}).get("virtualMachineProfile") or {})
    return [
        {
            **_common(one, scale_set),
            "hpc_vm_size": seen.vm_size,
            "hpc_private_ip": _address(private.get(str(one["id"]).casefold(), "")),
            "hpc_public_ip": "",
            "hpc_state": _state(one, one.get("properties") or {}),
            "hpc_user": user,
            "hpc_scale_set": seen.name,
            "hpc_instance_id": str(one.get("instanceId") or ""),
        }
        for one in listed
    ]


def _common(document: Json, tagged: Json) -> Json:
    """What machines and instances have in common; the tags of an instance are those of its scale set."""
    tags = {str(key): str(value) for key, value in (tagged.get("tags") or {}).items()}
    zones = document.get("zones") or ()
    properties = document.get("properties") or {}
    return {
        "hpc_name": str(document.get("name") or ""),
        "hpc_cluster": tags.get("hpc-cluster", ""),
        "hpc_role": tags.get("hpc-role", ""),
        "hpc_scheduler": tags.get("hpc-scheduler", ""),
        "hpc_node_array": tags.get("hpc-node-array", ""),
        "hpc_priority": tags.get("hpc-priority", "regular"),
        "hpc_placement_group": tags.get("hpc-placement-group", ""),
        "hpc_scale_set": "",
        "hpc_instance_id": "",
        "hpc_computer_name": (properties.get("osProfile") or {}).get("computerName", ""),
        "hpc_provisioning_state": str(properties.get("provisioningState") or ""),
        "hpc_resource_id": str(document["id"]),
        "hpc_resource_group": _group(str(document["id"])),
        "hpc_location": str(document.get("location") or ""),
        "hpc_zone": str(next(iter(zones), None) or ""),
        "hpc_tags": tags,
    }


def _state(viewed: Json, properties: Json) -> str:
    """running, stopped, deallocated, ...; creating, deleting, failed while there is no power state; else unknown."""
    state = str(properties.get("provisioningState") or "").lower()
    if state in ("creating", "deleting", "failed"):
        return state
    return fleet.power_state(viewed) or fleet.power_state({"properties": properties}) or "unknown"


def _user(properties: Json) -> str:
    """The account that was made on the machine; '' if it could be more than a name on a command line."""
    name = str((properties.get("osProfile") or {}).get("adminUsername") or "")
    return name if _USER.fullmatch(name) else ""


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _group(resource_id: str) -> str:
    parts = resource_id.split("/")
    return parts[4] if len(parts) > 4 else ""


def _natural(name: str) -> list[t.Any]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name)]


def _named(hosts: list[Json]) -> list[Json]:
    """Give every host its inventory name: Azure's own, with the resource group if two groups use the same."""
    counts: dict[str, int] = {}
    for host in hosts:
        counts[host["hpc_name"]] = counts.get(host["hpc_name"], 0) + 1
    for host in hosts:
        twice = counts[host["hpc_name"]] > 1
        host["name"] = f"{host['hpc_name']}.{host['hpc_resource_group']}" if twice else host["hpc_name"]
    return hosts
