# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource groups and user-assigned identities: the small things around a cluster."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Json
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Documents, Session

GROUP_VERSION = "2022-09-01"
IDENTITY_VERSION = "2023-01-31"


def ensure_group(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make the resource group exist. A group that is in another location is an error: it cannot be moved."""
    store, wanted = Documents(session, GROUP_VERSION), session.group_path(options["name"])
    actual = read(store, [wanted])
    target = Target(wanted, {"location": options["location"]}, options.get("tags"), update="PATCH")
    writes = plan([target], actual)
    if any(change.path == ("location",) for write in writes for change in write.changes):
        there = actual[wanted.casefold()].get("location")
        text = f"resource group {options['name']} is in {there}, not in {options['location']}, and cannot be moved"
        raise AzureError(text, code="InvalidResourceGroupLocation", status=409)
    return apply(store, writes, actual, check)


def remove_group(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, list[str]]:
    """Delete the resource group; with anything in it only if ``force``. Also returns the ids of what is in it."""
    store, wanted = Documents(session, GROUP_VERSION), session.group_path(options["name"])
    actual = read(store, [wanted])
    if wanted.casefold() not in actual:
        return Outcome((), {}), []
    inside = [str(one["id"]) for one in session.listing(f"{wanted}/resources", GROUP_VERSION)]
    if inside and not options.get("force"):
        text = (
            f"resource group {options['name']} is not empty ({len(inside)} resources, such as {inside[0]}); use force"
        )
        raise AzureError(text, code="ResourceGroupNotEmpty", status=409)
    return apply(store, removals([[wanted]], actual), actual, check), inside


def ensure_identity(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, Json]:
    """Make the user-assigned identity exist."""
    store, wanted = Documents(session, IDENTITY_VERSION), _identity(session, options)
    actual = read(store, [wanted])
    target = Target(wanted, {"location": options["location"]}, options.get("tags"))
    outcome = apply(store, plan([target], actual), actual, check)
    return outcome, outcome.resource(wanted)


def remove_identity(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, Json]:
    """Delete the user-assigned identity."""
    store, wanted = Documents(session, IDENTITY_VERSION), _identity(session, options)
    actual = read(store, [wanted])
    return apply(store, removals([[wanted]], actual), actual, check), {}


def _identity(session: Session, options: t.Mapping[str, t.Any]) -> str:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return session.resource_path(options["resource_group"], kind, options["name"])
