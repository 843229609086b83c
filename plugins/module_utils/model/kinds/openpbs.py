# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to OpenPBS or PBS Professional."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import installing
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section, join

from . import Kind

_ATTRIBUTE = r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_-]*)?"
_RESOURCE = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_RESOURCE_RULE = "must begin with a letter and have letters, digits, _ and -, at most 64"
_RESOURCE_KEYS = ("type", "flag")
_TYPES = ("long", "float", "size", "boolean", "string", "string_array")
# The resources that the collection makes for nodes; see docs/openpbs.md.
OUR_RESOURCES = (
    "node_array", "vm_size", "priority", "group_id", "ngpus", "qlist", "azure_hpc_drain", "azure_hpc_address",
    "placement_group",
)  # fmt: skip
# Those that PBS has itself.
BUILT_IN = frozenset(
    (
        "accelerator accelerator_memory accelerator_model aoe arch cput energy eoe exec_vnode file hbmem host "
        "max_walltime mem min_walltime mpiprocs naccelerators nchunk ncpus netwins nice nodect nodes ompthreads pcput "
        "place pmem preempt_targets pvmem select site soft_walltime software start_time vmem vnode vntype walltime"
    ).split()
)
_SERVER_OURS: t.Mapping[str, str] = {
    "default_queue": "use default of a queue",
    "node_group_key": "nodes are grouped by group_id, their placement group",
    "job_sort_formula": "set it by hand as root: PBS takes it from nobody else",
}
_QUEUE_OURS: t.Mapping[str, str] = {
    "queue_type": "queues with node arrays are execution queues",
    "default_chunk.qlist": "use node_arrays",
}
_CONF_OURS: t.Mapping[str, str] = {
    "pbs_server": "it is the head node",
    "pbs_home": "nodes that join have it at its usual place",
    "pbs_exec": "use exec",
    "pbs_start_server": "it follows from what a machine is",
    "pbs_start_sched": "it follows from what a machine is",
    "pbs_start_comm": "it follows from what a machine is",
    "pbs_start_mom": "it follows from what a machine is",
}
_MOM_OURS: t.Mapping[str, str] = {"$clienthost": "it is the head node"}
# What would end a value between quotes, or a whole directive of qmgr.
_QMGR = "\"'\\;#`$"


class OpenPbs(Kind):
    """Queues over node arrays, resources, and any attribute of the server, its scheduler, its queues and the MoMs."""

    keys = (
        "packages", "repositories", "exec", "resources", "server", "sched", "sched_config", "pbs_conf", "mom_config",
    )  # fmt: skip

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        return {
            "packages": installing.packages(section, "packages"),
            "repositories": installing.repositories(section, "repositories"),
            "exec": section.text("exec", "/opt/pbs", r"/[A-Za-z0-9_./-]+", "must be an absolute path"),
            "resources": _resources(section),
            "server": installing.options(section, "server", _ATTRIBUTE, _SERVER_OURS, _QMGR),
            "sched": installing.options(section, "sched", _ATTRIBUTE, {}, _QMGR),
            "sched_config": installing.options(section, "sched_config", r"[a-z][a-z_]*", {}, "#"),
            "pbs_conf": installing.options(section, "pbs_conf", r"PBS_[A-Z_]+", _CONF_OURS, "#\"'\\`$ "),
            "mom_config": installing.options(section, "mom_config", r"\$?[a-z][a-z_]*", _MOM_OURS, "#"),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Attributes of a queue, such as max_run or resources_max.walltime."""
        return dict(installing.options(section, key, _ATTRIBUTE, _QUEUE_OURS, _QMGR))

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """PBS nodes have none here: what they offer follows from their size, and labels are features."""
        for name in section.mapping(key):
            section.mistakes.add(join(section.at(key), name), "PBS takes no options of nodes here: use features")
        return {}

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""
        own = cluster.scheduler.options.get("resources", {})
        for index, array in enumerate(cluster.node_arrays):
            for number, feature in enumerate(array.features):
                at = f"node_arrays[{index}].features[{number}]"
                if not re.fullmatch(_RESOURCE, feature):
                    mistakes.add(at, f"becomes a resource of PBS, whose name {_RESOURCE_RULE}")
                elif feature.lower() in BUILT_IN or feature.lower() in OUR_RESOURCES or feature in own:
                    mistakes.add(at, f"{feature} is another resource of PBS already")
        for index, queue in enumerate(cluster.partitions):
            if re.fullmatch(r"[RSM][0-9]+", queue.name):
                mistakes.add(f"queues[{index}].name", f"{queue.name} is a name of a reservation")
            if len(queue.name) > 15:
                mistakes.add(f"queues[{index}].name", "must have at most 15 characters, as PBS has it")


def _resources(section: Section) -> dict[str, dict[str, str]]:
    """A site's own resources: type and flag as ``create resource`` takes them."""
    found = {}
    for name, value in section.mapping("resources").items():
        path = join(section.at("resources"), name)
        below = Section(section.mistakes, value, path, _RESOURCE_KEYS)
        if not re.fullmatch(_RESOURCE, name):
            section.mistakes.add(path, _RESOURCE_RULE)
        elif name.lower() in OUR_RESOURCES or name.lower() in BUILT_IN:
            section.mistakes.add(path, f"{name} is there already")
        found[name] = {
            "type": below.text("type", "long", choices=_TYPES),
            "flag": below.text("flag", "", r"[hnfqrim]+", "must be letters of h n f q r i m"),
        }
    return found
