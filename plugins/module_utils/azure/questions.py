# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass knows of Azure: the scale sets, and a catalog that is asked for when it is looked into."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import catalog as catalogs
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import costs, fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue


def catalog_of(session: Session, cluster: Cluster, tags: t.Iterable[t.Mapping[str, str]]) -> Catalog:
    """The catalog for a pass over a cluster whose scale sets have these tags; raises AzureError when looked into."""
    found = catalogs.lazily(session, cluster.location, catalogs.sizes_in_tags(tags))
    spent = catalogs.Lazy(lambda: costs.spent(session, cluster.resource_group, cluster.name))
    return replace(found, spent=spent)


def observed(session: Session, cluster: Cluster, queue: Queue, now: int) -> tuple[Fleet, Catalog]:
    """Fleet and catalog; raises AzureError if they, or the queue, cannot be read completely."""
    if queue.errors:
        raise AzureError(f"the queue is not complete: {'; '.join(queue.errors)}", code="QueueIncomplete")
    seen = fleet.observe(session, cluster.resource_group, cluster.name, now)
    if seen.fleet.errors:
        raise AzureError(f"Azure cannot be read: {'; '.join(seen.fleet.errors)}", code="FleetIncomplete")
    return seen.fleet, catalog_of(session, cluster, seen.tags.values())
