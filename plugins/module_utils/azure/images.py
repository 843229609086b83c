# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine images, captured from a virtual machine."""

from __future__ import annotations

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
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients

# For those who read images over the session; what is built here goes through the typed client and its version.
VERSION = "2024-07-01"


def image_id(session: Session, options: t.Mapping[str, t.Any]) -> str:
    """The resource id of the image of a module's options."""
    return session.resource_path(options["resource_group"], "Microsoft.Compute/images", options["name"])


def source_id(session: Session, options: t.Mapping[str, t.Any]) -> str:
    """The resource id of the machine to capture: ``source`` is an id, or a name in ``source_resource_group``."""
    source = options.get("source") or ""
    if source.startswith("/"):
        return str(source)
    group = options.get("source_resource_group") or options["resource_group"]
    return session.resource_path(group, "Microsoft.Compute/virtualMachines", source)


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make the image exist: stop, deallocate and generalise the source, then capture it.

    An image that exists is left as it is (but for its tags) unless ``force``; its source may be gone long since.
    """
    clients, wanted = TypedClients(session), image_id(session, options)
    actual = read(clients, [wanted])
    existing = actual.get(wanted.casefold())
    if existing is not None and not options.get("force"):
        location = existing["location"]
        writes = plan([Target(wanted, {"location": location}, options.get("tags"))], actual)
        return apply(clients, writes, actual, check)
    if not options.get("source"):
        raise AzureError(f"the image {options['name']} does not exist, and no source is given", code="MissingOptions")
    source = source_id(session, options)
    # In check mode the machine may be one that was not made because of it.
    machine = {} if check and options.get("location") else clients.get(source)
    removed: tuple[Write, ...] = removals([[wanted]], actual) if existing is not None else ()
    if not check:
        _seal(clients, source, machine)
        apply(clients, removed, actual, check)
    body = {
        "location": options.get("location") or machine["location"],
        "properties": {
            "sourceVirtualMachine": {"id": source},
            "hyperVGeneration": options.get("hyper_v_generation") or "V2",
        },
    }
    made = apply(clients, plan([Target(wanted, body, options.get("tags"))], {}), {}, check)
    return Outcome((*removed, *made.writes), made.resources)


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Delete the image; nothing that runs depends on it."""
    clients, wanted = TypedClients(session), image_id(session, options)
    actual = read(clients, [wanted])
    return apply(clients, removals([[wanted]], actual), actual, check)


def _seal(clients: TypedClients, source: str, machine: dict[str, t.Any]) -> None:
    """Deallocate and generalise, as far as that has not been done: Azure captures nothing else."""
    if machines.is_generalized(machine):
        return
    if machines.power_state(machine) != "deallocated":
        clients.act(source, "deallocate")
    clients.act(source, "generalize")
