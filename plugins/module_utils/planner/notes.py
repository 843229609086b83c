# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the owners of pending jobs why they wait: what can never start, and what Azure cannot give at the moment."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, NodeGroup
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.service import Service
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import View

# What Slurm says of jobs that will not start as they are, in words for their owners.
NEVER: t.Mapping[str, str] = {
    "PartitionNodeLimit": "it asks for more nodes than its partition allows",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "BadConstraints": "no node has what it asks for",
    "DependencyNeverSatisfied": "a job that it depends on did not end as it should",
    "QOSNotAllowed": "its partition does not allow its QOS",
    "AccountNotAllowed": "its partition does not allow its account",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
}
# Reasons that have to do with nodes. A job that waits for a time, a dependency or its owner does not wait for Azure.
_FOR_NODES = ("Resources", "ReqNodeNotAvail", "Nodes required", "Priority")


class Notes:
    """Comments on jobs that wait."""

    def __init__(
        self, cluster: Cluster, layout: Layout, view: View, decided: Decisions, service: Service, catalog: Catalog
    ) -> None:
        self._cluster, self._view, self._decided, self._service = cluster, view, decided, service
        self._catalog = catalog
        self._arrays = {partition.name: partition.node_arrays for partition in cluster.partitions}
        self._groups = {
            name: [group for group in layout.node_groups if group.node_array in arrays]
            for name, arrays in self._arrays.items()
        }
        # Leaves of the topology are not connected, so with several placement groups a job fits into one.
        self._leaves = any(len(group.placement_groups) > 1 for group in layout.node_groups)

    def write(self) -> None:
        """Decide the comments."""
        for job, reason in self._decided.refused.values():
            # As it will be said while the job is pending again, or the next pass would say it in other words.
            self._decided.comment(job, f"waits: {self._waits(job) or reason}")
        for job in self._view.jobs:
            if job.state != "pending":
                continue
            never = self._never(job)
            if never:
                self._decided.comment(job, f"this job cannot start: {never}")
                self._decided.unmet((job.id,), never)
                continue
            waits = self._waits(job) if job.reason.startswith(_FOR_NODES) else ""
            if waits:
                self._decided.comment(job, f"waits: {waits}")
                self._decided.unmet((job.id,), waits)

    def _never(self, job: Job) -> str:
        """Why the job can never start as it is, or ''."""
        known = [name for name in job.partitions if name in self._arrays]
        if not known or len(known) < len(job.partitions):
            return ""
        word = job.reason.split(",")[0].split(":")[0].strip()
        if len(known) == 1:
            most = self._most_nodes(known[0])
            if job.node_count > most:
                return f"it asks for {job.node_count} nodes and partition {known[0]} has at most {most}"
            cpus = self._most_cpus(known[0])
            if cpus and job.cpus > cpus:
                return f"it asks for {job.cpus} CPUs and partition {known[0]} has at most {cpus}"
        return NEVER.get(word, "")

    def _most_nodes(self, partition: str) -> int:
        """How many nodes one job can have at most in the partition."""
        if self._leaves:
            return max((self._leaf(group, partition) for group in self._groups[partition]), default=0)
        return self._array_nodes(partition)

    def _leaf(self, group: NodeGroup, partition: str) -> int:
        if not group.placement_groups:
            return self._array_nodes(partition)
        limit = self._cluster.array(group.node_array).max_nodes
        return min(limit, max(part.last - part.first + 1 for part in group.placement_groups))

    def _array_nodes(self, partition: str) -> int:
        counts: dict[str, int] = {}
        for group in self._groups[partition]:
            counts[group.node_array] = counts.get(group.node_array, 0) + group.count
        return sum(min(count, self._cluster.array(name).max_nodes) for name, count in counts.items())

    def _most_cpus(self, partition: str) -> int:
        """All CPUs of the partition's nodes; 0 when a size is not in the catalog."""
        total = 0
        for group in self._groups[partition]:
            size = self._catalog.size(group.vm_size)
            if size is None:
                return 0
            total += size.vcpus * group.count
        return total

    def _waits(self, job: Job) -> str:
        """What Azure cannot give, if that holds for all nodes that the job could have; else ''."""
        keys = [
            (group.prefix, part.index if part else 0)
            for name in job.partitions
            for group in self._groups.get(name, [])
            for part in group.placement_groups or (None,)
        ]
        rooms = [self._service.blocked(key) for key in keys]
        if not keys or len({name for name in job.partitions if name in self._groups}) < len(job.partitions):
            return ""
        if not all(room is not None and room.azure and not room.soon for room in rooms):
            return ""
        return "; ".join(sorted({room.reason for room in rooms if room is not None}))
