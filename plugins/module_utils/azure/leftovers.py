# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster has in Azure, by its tag, that its definition does not have any more."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import NOT_FOUND, AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.groups import GROUP_VERSION
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session

Json = dict[str, t.Any]

_KINDS = {
    "microsoft.insights/metricalerts": "monitoring",
    "microsoft.insights/actiongroups": "monitoring",
    "microsoft.insights/datacollectionrules": "monitoring",
    "microsoft.operationalinsights/workspaces": "workspaces",
    "microsoft.storagecache/amlfilesystems": "lustre",
    "microsoft.storage/storageaccounts": "storage_accounts",
    "microsoft.netapp/netappaccounts": "netapp_accounts",
    "microsoft.compute/virtualmachines": "machines",
    "microsoft.compute/virtualmachinescalesets": "scale_sets",
}


def find(session: Session, cluster: str, resource_group: str, parameters: Json) -> dict[str, list[str]]:
    """Names of what is left over in the resource group, by kind, in one request; raises AzureError.

    ``parameters`` is what the definition comes to. Parts of monitoring are left over only if nothing of Azure is to
    watch the cluster: else the module monitoring takes away what it does not want.
    """
    wanted = _wanted(parameters)
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS.values()}
    for one in _tagged(session, cluster, resource_group):
        kind, name = _KINDS.get(str(one.get("type", "")).casefold()), str(one["name"])
        if kind and name.casefold() not in wanted[kind] and not (kind == "monitoring" and _watched(parameters)):
            found[kind].append(name)
    return {kind: sorted(names) for kind, names in found.items()}


def _tagged(session: Session, cluster: str, resource_group: str) -> list[Json]:
    only = f"tagName eq 'hpc-cluster' and tagValue eq '{cluster}'"
    path = f"{session.group_path(resource_group)}/resources"
    try:
        return session.listing(path, GROUP_VERSION, "list what belongs to the cluster", **{"$filter": only})
    except AzureError as error:
        if error.kind != NOT_FOUND:
            raise
        return []  # there is no such resource group yet


def _watched(parameters: Json) -> bool:
    return bool(parameters["monitoring"].get("azure"))


def _wanted(parameters: Json) -> dict[str, set[str]]:
    """The names that the definition has, in lower case. A workspace of others is never left over, whoever tagged it."""
    monitoring, storage = parameters["monitoring"], parameters["storage"]
    workspace = monitoring.get("workspace") or {}
    names = {
        "monitoring": [],
        "workspaces": [workspace.get("name") or str(workspace.get("id", "")).rsplit("/", 1)[-1]],
        "lustre": [one["name"] for one in parameters["lustre"]],
        "storage_accounts": [one["name"] for one in storage["accounts"]],
        "netapp_accounts": [one["account"] for one in storage["volumes"]],
        "machines": [one["name"] for one in (parameters["head"], parameters["image"]["build"], *parameters["login"])],
        "scale_sets": [one["name"] for one in parameters["scale_sets"]],
    }
    return {kind: {name.casefold() for name in some} for kind, some in names.items()}
