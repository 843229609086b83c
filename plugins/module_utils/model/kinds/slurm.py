# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to Slurm."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.options import options
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section

from . import Kind, slurm_accounting

_BY_NAME = "the collection writes it from the definition"
SLURM_CONF_OURS: t.Mapping[str, str] = {
    "clustername": f"{_BY_NAME}: it is the cluster's name",
    "slurmctldhost": f"{_BY_NAME}: it is the head node",
    "nodename": f"{_BY_NAME}: use node_arrays and their node_options",
    "nodeset": "use partitions over several node_arrays",
    "partitionname": f"{_BY_NAME}: use partitions and their options",
    "downnodes": "use scontrol to take nodes out of service",
    "include": "write the options here instead",
    "suspendtime": "use autoscale.idle_timeout",
    "resumetimeout": "use autoscale.resume_timeout",
    "suspendtimeout": "use autoscale.suspend_timeout",
    "resumeprogram": "the autoscale pass brings machines up",
    "suspendprogram": "the autoscale pass takes machines away",
    # A node that joins has no configuration yet: it finds and trusts slurmctld by these.
    "slurmctldport": "nodes that join look for slurmctld at its usual port",
    "slurmuser": "nodes that join trust the answers of the account slurm",
    "authtype": "nodes that join have munge",
}
NODE_OURS: t.Mapping[str, str] = {
    "nodename": "names come from the node array and the VM size",
    "nodeaddr": "addresses come from Azure when a machine is there",
    "nodehostname": "host names come from Azure when a machine is there",
    "state": "nodes have to be CLOUD nodes",
    "feature": "use features",
    "features": "use features",
}
PARTITION_OURS: t.Mapping[str, str] = {
    "partitionname": "use name",
    "nodes": "use node_arrays",
    "default": "use default beside the options",
}


class Slurm(Kind):
    """Slurm: partitions, and any option of slurm.conf and cgroup.conf that does not follow from the definition."""

    keys = ("slurm_conf", "cgroup_conf", "accounting")
    queues = "partitions"

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        return {
            "slurm_conf": options(section, "slurm_conf", SLURM_CONF_OURS),
            "cgroup_conf": options(section, "cgroup_conf", {}),
            "accounting": slurm_accounting.read(section, "accounting"),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Options of a line PartitionName."""
        return dict(options(section, key, PARTITION_OURS, line=True))

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Options of a line NodeName."""
        return dict(options(section, key, NODE_OURS, line=True))

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""
        slurm_accounting.check(mistakes, cluster.scheduler.options.get("accounting", {}))
        for name, value in cluster.scheduler.options.get("slurm_conf", {}).items():
            if name.lower() == "slurmctldparameters" and "cloud_dns" in value.lower().replace(" ", "").split(","):
                mistakes.add(f"scheduler.slurm_conf.{name}", "must not have cloud_dns: names of nodes are in no DNS")
        for index, partition in enumerate(cluster.partitions):
            if partition.name.upper() in ("DEFAULT", "ALL"):
                mistakes.add(f"partitions[{index}].name", f"{partition.name} means something else to Slurm")
