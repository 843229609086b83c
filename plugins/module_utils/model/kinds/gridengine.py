# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to Grid Engine."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import (
    CONTROL,
    Mistakes,
    Section,
    join,
    word,
)

from . import Kind

_OBJECT = r"[A-Za-z][A-Za-z0-9_.-]{0,62}"
_OBJECT_RULE = "must begin with a letter and have letters, digits, _ . and -, at most 63"
_COMPLEX_KEYS = ("shortcut", "type", "relop", "requestable", "consumable", "default", "urgency")
_COMPLEX_TYPES = ("INT", "DOUBLE", "TIME", "MEMORY", "BOOL", "STRING", "CSTRING", "HOST", "RESTRING")
_RELATIONS = ("==", "<=", ">=", "<", ">", "!=", "EXCL")
# What nodes say of themselves; see docs/gridengine.md. A site's own complexes must not mean something else by them.
OUR_COMPLEXES = (
    "node_array", "vm_size", "priority", "placement_group", "gpu", "exclusive", "hpc_drain", "hpc_memory",
    "hpc_idle_since",
)  # fmt: skip
# Complexes that Grid Engine has itself: a feature of that name would change what they mean.
BUILT_IN = frozenset(
    (
        "arch calendar cpu display_win_gui h_core h_cpu h_data h_fsize h_rss h_rt h_stack h_vmem hostname load_avg "
        "load_long load_medium load_short m_core m_socket m_thread m_topology m_topology_inuse mem_free mem_total "
        "mem_used min_cpu_interval np_load_avg np_load_long np_load_medium np_load_short num_proc qname rerun s_core "
        "s_cpu s_data s_fsize s_rss s_rt s_stack s_vmem seq_no slots swap_free swap_rate swap_rsvd swap_total "
        "swap_used tmpdir virtual_free virtual_total virtual_used"
    ).split()
)
_QUEUE_OURS: t.Mapping[str, str] = {
    "qname": "use name",
    "hostlist": "use node_arrays",
    "slots": "a node has as many slots as its VM size has vCPUs",
}
_PE_OURS: t.Mapping[str, str] = {"pe_name": "it is the key"}
_GLOBAL_OURS: t.Mapping[str, str] = {
    "load_sensor": "passes need the role's own; add yours with execd_params or complexes",
    "execd_spool_dir": "nodes that join have it at its usual place",
}


class GridEngine(Kind):
    """Queues over node arrays, parallel environments, complexes, and any attribute of Grid Engine's configuration."""

    keys = ("configuration", "scheduler_configuration", "complexes", "parallel_environments", "security")

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        return {
            "configuration": attributes(section, "configuration", _GLOBAL_OURS),
            "scheduler_configuration": attributes(section, "scheduler_configuration", {}),
            "complexes": _complexes(section),
            "parallel_environments": _parallel_environments(section),
            "security": section.text("security", "munge", choices=("munge", "none")),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Attributes of a queue (queue_conf)."""
        return attributes(section, key, _QUEUE_OURS, hosts=True)

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Attributes of the queue instances on an array's nodes: they win over the queue's own."""
        return attributes(section, key, {**_QUEUE_OURS, "pe_list": "use pe_list of a queue"}, hosts=True)

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""
        _features(mistakes, cluster)
        grouped = {array.name for array in cluster.node_arrays if array.placement_group}
        for index, array in enumerate(cluster.node_arrays):
            if array.name == "allhosts":
                mistakes.add(f"node_arrays[{index}].name", "allhosts is the host group of all nodes")
        for index, queue in enumerate(cluster.partitions):
            plain = [name for name in queue.node_arrays if name not in grouped]
            if queue.name.lower() in ("template", "all", "none", "undefined"):
                mistakes.add(f"queues[{index}].name", f"{queue.name} means something else to Grid Engine")
            # Nobody could tell from which arrays jobs in a parallel environment without placement groups take nodes.
            if len(plain) > 1 and len(plain) < len(queue.node_arrays):
                message = (
                    f"has node arrays with placement groups and {len(plain)} without: give those a queue of their own"
                )
                mistakes.add(f"queues[{index}].node_arrays", message)


def _features(mistakes: Mistakes, cluster: Cluster) -> None:
    own = set(cluster.scheduler.options.get("complexes", {}))
    for index, array in enumerate(cluster.node_arrays):
        for number, feature in enumerate(array.features):
            at = f"node_arrays[{index}].features[{number}]"
            if not re.fullmatch(_OBJECT, feature):
                mistakes.add(at, f"becomes a complex of Grid Engine, whose name {_OBJECT_RULE}")
            elif feature in BUILT_IN or feature in OUR_COMPLEXES or feature in own:
                mistakes.add(at, f"{feature} is another complex of Grid Engine already")


def attributes(section: Section, key: str, ours: t.Mapping[str, str], hosts: bool = False) -> dict[str, str]:
    """Attributes of Grid Engine's objects as texts. ``hosts``: they may be written for some hosts, in brackets."""
    found: dict[str, str] = {}
    for name, value in section.mapping(key).items():
        path = join(section.at(key), name)
        text = {True: "TRUE", False: "FALSE"}[value] if isinstance(value, bool) else value
        message = _attribute_mistake(name, text, ours, hosts)
        if message:
            section.mistakes.add(path, message)
        else:
            found[name] = " ".join(str(text).split())
    return found


def _attribute_mistake(name: str, value: t.Any, ours: t.Mapping[str, str], hosts: bool) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "is not a name of an attribute"
    if name in ours:
        return f"cannot be set here: {ours[name]}"
    if not isinstance(value, (str, int, float)):
        return f"must be a text or a number, not {word(value)}"
    text = str(value)
    if not text.strip():
        return "must not be empty: NONE says nothing"
    if CONTROL.search(text) or "\\" in text or text.lstrip().startswith("#"):
        return "must not contain line breaks, control characters or \\, nor begin with #"
    if hosts and re.search(r"[\[\]]", text):
        return "must not contain brackets: use node_options for the nodes of one array"
    return ""


def _complexes(section: Section) -> dict[str, dict[str, str]]:
    """A site's own complexes by name, each with the columns of ``qconf -sc``."""
    found = {}
    for name, value in section.mapping("complexes").items():
        path = join(section.at("complexes"), name)
        below = Section(section.mistakes, value, path, _COMPLEX_KEYS)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,62}", name):
            section.mistakes.add(path, _OBJECT_RULE)
        elif name in OUR_COMPLEXES and name not in ("gpu", "exclusive"):
            section.mistakes.add(path, "is the collection's own")
        kind = below.text("type", "INT", choices=_COMPLEX_TYPES)
        is_number = kind in ("INT", "DOUBLE", "TIME", "MEMORY")
        found[name] = {
            "shortcut": below.text("shortcut", name, _OBJECT, _OBJECT_RULE),
            "type": kind,
            "relop": below.text("relop", "<=" if is_number else "==", choices=_RELATIONS),
            "requestable": below.text("requestable", "YES", choices=("YES", "NO", "FORCED")),
            "consumable": below.text("consumable", "NO", choices=("YES", "NO", "JOB")),
            "default": below.text(
                "default", "0" if is_number or kind == "BOOL" else "NONE", r"\S+", "must be one word"
            ),
            "urgency": below.text("urgency", "0", r"-?[0-9]+(?:\.[0-9]+)?", "must be a number, as a text"),
        }
    return found


def _parallel_environments(section: Section) -> dict[str, dict[str, t.Any]]:
    """A site's own parallel environments by name: attributes (sge_pe), and whether each placement group has its own."""
    found: dict[str, dict[str, t.Any]] = {}
    below = Section(
        section.mistakes,
        section.mapping("parallel_environments"),
        section.at("parallel_environments"),
        tuple(section.mapping("parallel_environments")),
    )
    for name in section.mapping("parallel_environments"):
        if not re.fullmatch(_OBJECT, name):
            below.wrong(name, _OBJECT_RULE)
        values = below.mapping(name)
        per_group = values.pop("placement_groups", False)
        if not isinstance(per_group, bool):
            below.mistakes.add(join(below.at(name), "placement_groups"), "must be true or false")
        inner = Section(section.mistakes, {name: values}, below.path, (name,))
        attributes_ = attributes(inner, name, _PE_OURS)
        rule = attributes_.get("allocation_rule", "$pe_slots")
        if not re.fullmatch(r"\$(?:pe_slots|fill_up|round_robin)|[1-9][0-9]{0,6}", rule):
            message = "must be $pe_slots, $fill_up, $round_robin or a number of slots per node"
            below.mistakes.add(join(below.at(name), "allocation_rule"), message)
        found[name] = {"placement_groups": per_group is True, "attributes": attributes_}
    return found
