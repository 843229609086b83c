# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that follows from a cluster definition, checked against its location."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import catalog as catalogs
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet, images, leftovers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.parameters import Parameters, quota_needed
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, serial, slurm_nodes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, kept_nodes, layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.offers import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistake

Json = dict[str, t.Any]


def gather(session: Session, data: Json, with_fleet: bool, with_leftovers: bool = False) -> tuple[Json, list[str]]:
    """The result of cluster_info, and warnings; raises DefinitionError with every mistake, or AzureError."""
    known = _catalog(session, data)
    cluster = definition.read(data, known)
    catalog = known or catalogs.read(session, cluster.location)
    names = sizes_of(cluster)
    warnings: list[str] = []
    try:
        catalog = catalogs.priced(session, catalog, names)
    except AzureError as error:
        # Prices only order the sizes of an array; without them the order of the definition holds.
        warnings.append(f"sizes are ordered as in the definition, because prices cannot be read: {error}")
    plan = layout(cluster)
    parameters = Parameters(cluster, plan, catalog, session.subscription_id).everything()
    parameters["image"]["exists"] = _exists(session, parameters["image"]["id"])
    quota = quota_needed(cluster, plan, catalog)
    warnings += [_quota_warning(row) for row in quota if not row["enough"]]
    result = {
        "cluster": serial.dump(cluster),
        "parameters": parameters,
        "layout": {
            "scale_sets": serial.dump(plan.scale_sets),
            "offers": serial.dump(offers(cluster, catalog)),
            "kinds": _kinds(cluster, plan, catalog),
            **_slurm(cluster, catalog),
        },
        "sizes": {size.name: serial.dump(size) for size in map(catalog.size, names) if size is not None},
        "quota": quota,
    }
    if with_fleet:
        seen = fleet.observe(session, cluster.resource_group, cluster.name, int(time.time())).fleet
        result["fleet"] = serial.dump(seen)
        warnings += list(seen.errors)
    if with_leftovers:
        result["leftovers"] = leftovers.find(session, cluster.name, cluster.resource_group, parameters)
    return {**result, "requests": session.requests}, warnings


def _kinds(cluster: Cluster, plan: Layout, catalog: Catalog) -> list[Json]:
    """What there can be of nodes: array, size, how Slurm's names of them begin, and what one costs in USD/hour."""
    return [
        {
            "node_array": group.node_array,
            "vm_size": group.vm_size,
            "prefix": group.prefix,
            "price": catalog.price(group.vm_size, cluster.array(group.node_array).priority == "spot") or 0.0,
        }
        for group in plan.node_groups
    ]


def _slurm(cluster: Cluster, catalog: Catalog) -> Json:
    """What only Slurm's configuration needs: with it, nodes have names before there are machines."""
    if cluster.scheduler.type != "slurm":
        return {}
    return {
        "slurm_nodes": slurm_nodes.slurm_nodes(cluster, catalog),
        "slurm_partitions": slurm_nodes.slurm_partitions(cluster),
        "slurm_topology": slurm_nodes.slurm_topology(cluster),
        "slurm_always_on": list(kept_nodes(cluster)),
    }


def _catalog(session: Session, data: Json) -> Catalog | None:
    """The catalog of the definition's location; None if the definition names none that could be asked for."""
    location = data.get("location")
    if not isinstance(location, str) or not location.isascii() or not location.isalnum():
        return None
    catalog = catalogs.read(session, location)
    if not catalog.sizes:
        text = f"{location} offers this subscription no VM sizes; is that how Azure spells the location?"
        mistakes = (Mistake("location", text), *definition.check(data))
        raise definition.DefinitionError(tuple(sorted(mistakes, key=lambda one: one.path)))
    return catalog


def sizes_of(cluster: Cluster) -> list[str]:
    """The names of all VM sizes that the cluster uses, each once."""
    machines = [cluster.head, *([cluster.login] if cluster.login else [])]
    names = [machine.vm_size for machine in machines]
    names += [size.name for array in cluster.node_arrays for size in array.vm_sizes]
    names += [cluster.image.build_size] if cluster.image.build_size else []
    return list(dict.fromkeys(names))


def _exists(session: Session, image_id: str) -> bool:
    # Gallery images and other subscriptions' are taken on trust: Azure checks them when machines are made.
    if "/providers/microsoft.compute/images/" not in image_id.lower():
        return bool(image_id)
    return session.find(image_id, images.VERSION, "look for the image") is not None


def _quota_warning(row: Json) -> str:
    return (
        f"the full cluster needs {row['needed']} vCPUs of the quota {row['name']}, which is limited to {row['limit']} "
        f"({row['used']} in use): it will grow as far as that goes"
    )
