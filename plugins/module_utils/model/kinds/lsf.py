# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to LSF."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import installing
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section, join

from . import Kind

_PATH = r"/[A-Za-z0-9_./-]+"
_RESOURCE = r"[A-Za-z][A-Za-z0-9_]{0,38}"
_RESOURCE_RULE = "must begin with a letter and have letters, digits and _, at most 39, and not begin with inf or nan"
_NAME = r"[A-Za-z][A-Za-z0-9_]*"
# Labels of our own, and names that LSF keeps for itself.
RESERVED = frozenset(
    (
        "node_array vm_size priority placement_group cpu cpuf define_ncpus_cores define_ncpus_procs "
        "define_ncpus_threads dchost idle io it jobvm local login logins ls maxmem maxswp maxtmp mem mg model "
        "ncores ncpus ndisks ngpus nprocs nthreads pg r15m r15s r1m server status swap swp tmp type ut"
    ).split()
)
_LSF_CONF_OURS: t.Mapping[str, str] = {
    "lsf_master_list": "it is the head node",
    "lsf_server_hosts": "it is the head node",
    "lsf_local_resources": "machines write what they are when they join",
    "lsf_get_conf": "machines that join get their configuration from the head",
    "lsf_top": "use top",
    "lsf_envdir": "use top",
    "lsf_confdir": "use top",
}
_QUEUE_OURS: t.Mapping[str, str] = {
    "queue_name": "use name",
    "hosts": "use node_arrays",
    "res_req": "the role writes it from node_arrays: jobs and applications may have their own",
}
_FORBIDDEN = "\\`$#"


class Lsf(Kind):
    """Queues over node arrays, and options of lsf.conf, lsb.params and lsb.queues. The software is the site's own."""

    keys = ("top", "installer", "distribution", "entitlement", "admins", "lsf_conf", "lsb_params")

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        files = {
            key: installing.source(section.mistakes, section.data[key], section.at(key)) if section.has(key) else {}
            for key in ("installer", "distribution", "entitlement")
        }
        return {
            "top": section.text("top", "/opt/ibm/lsf", _PATH, "must be an absolute path"),
            **files,
            "admins": list(section.texts("admins", ("lsfadmin",), r"[a-z_][a-z0-9_-]{0,31}", "is not a user's name")),
            "lsf_conf": installing.options(section, "lsf_conf", _NAME, _LSF_CONF_OURS, _FORBIDDEN),
            "lsb_params": installing.options(section, "lsb_params", _NAME, {}, _FORBIDDEN),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Parameters of a queue in lsb.queues, such as PRIORITY or RUNLIMIT."""
        return dict(installing.options(section, key, _NAME, _QUEUE_OURS, _FORBIDDEN))

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """LSF's hosts have none here: what they offer follows from their size, and labels are features."""
        for name in section.mapping(key):
            section.mistakes.add(join(section.at(key), name), "LSF takes no options of nodes here: use features")
        return {}

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""
        options = cluster.scheduler.options
        given = [key for key in ("installer", "distribution", "entitlement") if options.get(key)]
        if given and len(given) < 3:
            missing = [key for key in ("installer", "distribution", "entitlement") if key not in given]
            mistakes.add(f"scheduler.{missing[0]}", "is missing: it takes all three to install LSF")
        for index, array in enumerate(cluster.node_arrays):
            for number, feature in enumerate(array.features):
                at = f"node_arrays[{index}].features[{number}]"
                if not re.fullmatch(_RESOURCE, feature) or re.match(r"inf|nan", feature, re.IGNORECASE):
                    mistakes.add(at, f"becomes a resource of LSF, whose name {_RESOURCE_RULE}")
                elif feature.lower() in RESERVED or feature.startswith("q_"):
                    mistakes.add(at, f"{feature} is another resource of LSF already")
        seen: dict[str, str] = {}
        for index, queue in enumerate(cluster.partitions):
            name = re.sub(r"[^A-Za-z0-9]", "_", queue.name)
            if seen.setdefault(name, queue.name) != queue.name:
                mistakes.add(f"queues[{index}].name", f"is the same as {seen[name]} for LSF's resources")
            if queue.name in ("all", "default", "others"):
                mistakes.add(f"queues[{index}].name", f"{queue.name} means something else to LSF")
