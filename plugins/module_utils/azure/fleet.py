# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe the scale sets of a cluster: one list of sets, and two lists per set that has instances."""

from __future__ import annotations

import calendar
import time
import typing as t
from dataclasses import dataclass, field, replace
from functools import partial

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.scale_sets import KIND, VERSION
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session, together
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import (
    Fleet,
    Instance,
    ScaleSet,
    Unavailable,
)

# The interfaces of Uniform instances are served under the Compute path in versions of their own.
INTERFACES_VERSION = "2018-10-01"
UNAVAILABLE_TAG = "hpc-unavailable"

Json = dict[str, t.Any]


@dataclass(frozen=True)
class Observation:
    """A fleet, and the tags of its scale sets by lower-case name (ARM replaces tags only as a whole)."""

    fleet: Fleet
    tags: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)


def observe(session: Session, resource_group: str, cluster: str, now: int) -> Observation:
    """All scale sets of a cluster with their instances. Never raises AzureError: what failed is in ``fleet.errors``."""
    path = session.resource_path(resource_group, KIND)
    try:
        listed = session.listing(path, VERSION, f"list the scale sets of {resource_group}")
    except AzureError as error:
        return Observation(Fleet(observed_at=now, errors=(str(error),)))
    mine = [one for one in listed if (one.get("tags") or {}).get("hpc-cluster") == cluster]
    empty = [scale_set(one) for one in mine]
    filled = together([partial(_filled, session, one) for one in empty])
    sets = tuple(sorted((found for found, _error in filled), key=lambda one: one.name))
    errors = tuple(error for _found, error in filled if error)
    tags = {str(one["name"]).casefold(): dict(one.get("tags") or {}) for one in mine}
    return Observation(Fleet(sets, now, errors), tags)


def observe_again(session: Session, before: Observation, names: t.Collection[str], now: int) -> Observation:
    """The same fleet with the named scale sets listed anew (after they grew); nothing else is asked again."""
    wanted = {name.casefold() for name in names}
    stale = [one for one in before.fleet.scale_sets if one.name.casefold() in wanted]
    filled = together([partial(_listed, session, one) for one in stale])
    fresh = {found.name: found for found, _error in filled}
    sets = tuple(fresh.get(one.name, one) for one in before.fleet.scale_sets)
    errors = (*before.fleet.errors, *(error for _found, error in filled if error))
    return Observation(Fleet(sets, now, errors), before.tags)


def _filled(session: Session, empty: ScaleSet) -> tuple[ScaleSet, str]:
    # A set of capacity zero can still hold instances that are being deleted; only when nothing goes on is it empty.
    if empty.capacity == 0 and empty.provisioning_state == "Succeeded":
        return empty, ""
    return _listed(session, empty)


def _listed(session: Session, empty: ScaleSet) -> tuple[ScaleSet, str]:
    """The scale set with its instances, and what went wrong ('' if nothing)."""
    try:
        machines, interfaces = together(
            [
                partial(session.listing, f"{empty.id}/virtualMachines", VERSION, f"list the instances of {empty.name}"),
                partial(
                    session.listing,
                    f"{empty.id}/networkInterfaces",
                    INTERFACES_VERSION,
                    f"list the addresses of {empty.name}",
                ),
            ]
        )
        errors = _failures(session, empty, machines)
    except AzureError as error:
        return empty, str(error)
    found = instances(empty.name, machines, interfaces, errors)
    return replace(empty, instances=found), ""


def _failures(session: Session, empty: ScaleSet, machines: t.Sequence[Json]) -> dict[str, str]:
    """Why instances failed, by instance number. Instance views are costly, so they are asked for only then."""
    if not any(_state(one) == "Failed" for one in machines):
        return {}
    doing = f"read the failures of {empty.name}"
    views = session.listing(f"{empty.id}/virtualMachines", VERSION, doing, expand="instanceView")
    return {str(one.get("instanceId")): _failure(one) for one in views}


def _failure(machine: Json) -> str:
    view = (machine.get("properties") or {}).get("instanceView") or {}
    for status in view.get("statuses") or ():
        if str(status.get("level", "")).lower() == "error":
            code = str(status.get("code", "")).rpartition("/")[2]
            return f"{code}: {status.get('message') or status.get('displayStatus') or ''}"
    return ""


def scale_set(document: Json) -> ScaleSet:
    """A scale set, without its instances, from ARM's document. Pure; a tag that makes no sense is as good as none."""
    tags = document.get("tags") or {}
    zones = document.get("zones") or ()
    group = str(tags.get("hpc-placement-group") or "0")
    return ScaleSet(
        id=str(document["id"]),
        name=str(document["name"]),
        node_array=str(tags.get("hpc-node-array") or ""),
        vm_size=str((document.get("sku") or {}).get("name") or tags.get("hpc-vm-size") or ""),
        capacity=int((document.get("sku") or {}).get("capacity") or 0),
        priority=str(tags.get("hpc-priority") or "regular"),
        zone="".join(map(str, zones)) if len(zones) == 1 else "",
        placement_group=int(group) if group.isascii() and group.isdigit() and len(group) < 6 else 0,
        provisioning_state=_state(document),
        unavailable=unavailable(tags.get(UNAVAILABLE_TAG)),
    )


def unavailable(tag: t.Any) -> Unavailable | None:
    """The memory of a capacity failure from its tag ``<until> <code> <count>``; None if it is not one. Pure."""
    parts = str(tag or "").split(" ")
    if len(parts) != 3 or not all(
        part.isascii() and part.isdigit() and len(part) < 12 for part in (parts[0], parts[2])
    ):
        return None
    if not parts[1].isascii() or not parts[1].isalnum():
        return None
    return Unavailable(int(parts[0]), parts[1], int(parts[2]))


def unavailable_tag(memory: Unavailable) -> str:
    """The tag that ``unavailable`` reads."""
    code = "".join(one for one in memory.code if one.isascii() and one.isalnum()) or "Unknown"
    return f"{memory.until} {code} {memory.count}"


def instances(
    name: str, machines: t.Sequence[Json], interfaces: t.Sequence[Json], errors: t.Mapping[str, str] | None = None
) -> tuple[Instance, ...]:
    """The instances of a scale set from ARM's two lists, by number. Pure."""
    addresses = private_addresses(interfaces)
    found = [_instance(name, one, addresses, errors or {}) for one in machines]
    return tuple(sorted(found, key=lambda one: (len(one.instance_id), one.instance_id)))


def private_addresses(interfaces: t.Iterable[Json]) -> dict[str, str]:
    """The primary private address by lower-case id of the machine or instance. Pure."""
    found: dict[str, str] = {}
    for interface in interfaces:
        properties = interface.get("properties") or {}
        machine = str((properties.get("virtualMachine") or {}).get("id") or "").casefold()
        if not machine or properties.get("primary") is False:
            continue
        for configuration in properties.get("ipConfigurations") or ():
            inner = configuration.get("properties") or {}
            if inner.get("privateIPAddress") and inner.get("primary", True):
                found.setdefault(machine, str(inner["privateIPAddress"]))
    return found


def _instance(name: str, machine: Json, addresses: t.Mapping[str, str], errors: t.Mapping[str, str]) -> Instance:
    properties = machine.get("properties") or {}
    zones = machine.get("zones") or ()
    number = str(machine.get("instanceId") or "")
    return Instance(
        id=str(machine["id"]),
        scale_set=name,
        instance_id=number,
        computer_name=str((properties.get("osProfile") or {}).get("computerName") or ""),
        private_ip=addresses.get(str(machine["id"]).casefold(), ""),
        provisioning_state=_state(machine),
        power_state=power_state(machine),
        created_at=epoch(str(properties.get("timeCreated") or "")),
        zone=str(zones[0]) if zones else "",
        error=errors.get(number, "") if _state(machine) == "Failed" else "",
    )


def power_state(machine: Json) -> str:
    """The power state of a machine or instance if its view was asked for (running, deallocated, ...), else ''."""
    view = (machine.get("properties") or {}).get("instanceView") or {}
    for status in view.get("statuses") or ():
        code = str(status.get("code", ""))
        if code.lower().startswith("powerstate/"):
            return code.partition("/")[2].lower()
    return ""


def epoch(text: str) -> int:
    """Seconds since the epoch of ARM's ``2024-08-26T09:42:42.3115521+00:00``, 0 if it is something else."""
    try:
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0


def _state(document: Json) -> str:
    return str((document.get("properties") or {}).get("provisioningState") or "")
