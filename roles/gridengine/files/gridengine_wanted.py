# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which objects Grid Engine needs for a cluster: what ``configure`` writes, worked out from the settings of the role.

Every size of a node array has a host group, and in it every placement group its own; a node is in the innermost one
only. Slots and parallel environments of a queue are given for these groups, so that a node that is added to its group
has all of them at once. Python 3.9 and nothing else.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

Attributes = t.Dict[str, str]
ALL = "@allhosts"
LOAD_SENSOR = "/usr/libexec/azure_hpc/load_sensor"


def _complex(kind: str, relop: str, requestable: str = "YES", consumable: str = "NO", default: str = "0") -> Attributes:
    return {
        "type": kind,
        "relop": relop,
        "requestable": requestable,
        "consumable": consumable,
        "default": default,
        "urgency": "0",
    }


COMPLEXES: t.Mapping[str, Attributes] = {
    **{
        name: _complex("STRING", "==", default="NONE")
        for name in ("node_array", "vm_size", "priority", "placement_group")
    },
    "gpu": _complex("INT", "<=", consumable="YES"),
    "exclusive": {**_complex("BOOL", "EXCL", consumable="YES"), "shortcut": "excl", "urgency": "1000"},
    # Not h_vmem: as a consumable it is also a limit, and the limit of jobs that do not ask for it would be none at all.
    "mem_free": {**_complex("MEMORY", "<=", consumable="YES"), "shortcut": "mf"},
    "hpc_drain": _complex("STRING", "==", requestable="NO", default="NONE"),
    "hpc_memory": _complex("DOUBLE", "<=", requestable="NO"),
    "hpc_idle_since": _complex("DOUBLE", ">=", requestable="NO"),
}
ENVIRONMENTS: t.Mapping[str, t.Mapping[str, t.Any]] = {
    "smp": {"placement_groups": False, "attributes": {"allocation_rule": "$pe_slots"}},
    "mpi": {"placement_groups": True, "attributes": {"allocation_rule": "$fill_up"}},
}
QUEUE: t.Mapping[str, str] = {
    # A node takes jobs as long as it has slots and memory, whatever its load.
    "load_thresholds": "NONE",
    "shell": "/bin/bash",
    # Scripts run with the interpreter that their first line names.
    "shell_start_mode": "unix_behavior",
    # Machines can go at any time, spot ones are meant to: their jobs run again.
    "rerun": "TRUE",
}
CONFIGURATION: t.Mapping[str, str] = {
    "load_sensor": LOAD_SENSOR,
    "load_report_time": "00:00:15",
    "max_unheard": "00:02:00",
    "reschedule_unknown": "00:01:00",
    # One group id per job on a node: more than the slots of any VM size.
    "gid_range": "200000-201999",
}
SCHEDULER: t.Mapping[str, str] = {
    "schedule_interval": "0:0:10",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    # Nodes that are partly used come first, so that others become idle.
    "queue_sort_method": "load",
    "load_formula": "slots",
    "job_load_adjustments": "NONE",
    "max_reservation": "20",
    "weight_priority": "1.000000",
}


@dataclass(frozen=True)
class Wanted:
    """What there should be, by name. ``groups`` are host groups with their members, which are groups; a group without
    members holds hosts. ``configuration`` and ``scheduler_configuration`` are single settings of many. The value of a
    queue's attribute that begins with a comma is what is usual, and then that."""

    complexes: t.Dict[str, Attributes] = field(default_factory=dict)
    parallel_environments: t.Dict[str, Attributes] = field(default_factory=dict)
    groups: t.Dict[str, t.List[str]] = field(default_factory=dict)
    queues: t.Dict[str, Attributes] = field(default_factory=dict)
    configuration: Attributes = field(default_factory=dict)
    scheduler_configuration: Attributes = field(default_factory=dict)
    submit_hosts: t.List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Leaf:
    """An innermost host group: nodes of one size of one array, in one placement group if they are in any."""

    name: str
    node_array: str
    size_group: str
    group: str
    slots: int


def leaf(offer: t.Mapping[str, t.Any]) -> Leaf:
    """The group of the machines of one scale set, from what they offer; those of several zones share it."""
    size = f"{offer['node_array']}-{dict(offer['labels'])['vm_size']}"
    group = str(offer["group"])
    return Leaf(f"@{group or size}", str(offer["node_array"]), f"@{size}", group, int(offer["cpus"]))


def leaves(offers: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[Leaf]:
    """The groups of all scale sets, each once."""
    return list(dict.fromkeys(leaf(offer) for offer in offers))


def groups(found: t.Sequence[Leaf], head: str) -> t.Dict[str, t.List[str]]:
    """All host groups: of all nodes, of arrays, of sizes, of placement groups.

    The head is in the group of each array, with no slots: Grid Engine refuses jobs for a queue that has no host at all.
    """
    tree: t.Dict[str, t.List[str]] = {ALL: [], **{f"@{one.node_array}": [head] for one in found}}
    for one in found:
        for parent, child in (
            (ALL, f"@{one.node_array}"),
            (f"@{one.node_array}", one.size_group),
            (one.size_group, one.name),
        ):
            members = tree.setdefault(parent, [])
            if child != parent and child not in members:
                members.append(child)
    for one in found:
        tree.setdefault(one.name, [])
    return tree


def environment_name(name: str, environment: t.Mapping[str, t.Any], one: Leaf) -> str:
    """What a parallel environment is called on the nodes of a group: a placement group has its own."""
    return f"{name}-{one.group}" if environment["placement_groups"] and one.group else name


def parallel_environments(
    environments: t.Mapping[str, t.Mapping[str, t.Any]], found: t.Sequence[Leaf]
) -> t.Dict[str, Attributes]:
    """All parallel environments with their attributes."""
    return {
        environment_name(name, environment, one): dict(environment["attributes"])
        for name, environment in environments.items()
        for one in found
    }


def queue(
    spec: t.Mapping[str, t.Any],
    found: t.Sequence[Leaf],
    environments: t.Mapping[str, t.Mapping[str, t.Any]],
    node_options: t.Mapping[str, Attributes],
) -> Attributes:
    """All attributes of a queue that are not as in every new one."""
    values = {**QUEUE, "seq_no": "0" if spec.get("default") else "10", **spec.get("options", {})}
    mine = [one for one in found if one.node_array in spec["node_arrays"]]
    listed = values.get("pe_list", " ".join(environments)).replace(",", " ").split()
    for name in sorted({name for one in mine for name in node_options.get(one.node_array, {})}):
        for one in mine:
            value = node_options.get(one.node_array, {}).get(name)
            if value is not None:
                values[name] = f"{values.get(name, '')},[{one.name}={value}]"
    values["hostlist"] = " ".join(f"@{array}" for array in spec["node_arrays"]) or "NONE"
    values["slots"] = ",".join(["0", *(f"[{one.name}={one.slots}]" for one in mine)])
    of_leaf = {
        one.name: " ".join(
            environment_name(name, environments[name], one) if name in environments else name for name in listed
        )
        for one in mine
    }
    values["pe_list"] = ",".join(["NONE", *(f"[{name}={names or 'NONE'}]" for name, names in of_leaf.items())])
    return values


def wanted(settings: t.Mapping[str, t.Any]) -> Wanted:
    """Everything, from the settings of the role: offers, queues, node_options, parallel_environments, complexes,
    configuration, scheduler_configuration, submit_hosts, head."""
    offers = settings["offers"]
    found = leaves(offers)
    ours = {"node_array", "vm_size", "priority", "placement_group"}
    features = {name for offer in offers for name, _value in offer["labels"] if name not in ours}
    complexes = {
        **COMPLEXES,
        **{name: _complex("BOOL", "==") for name in sorted(features)},
        **settings["complexes"],
    }
    environments = {**ENVIRONMENTS, **settings["parallel_environments"]}
    return Wanted(
        complexes={name: {"shortcut": name, **values} for name, values in complexes.items()},
        parallel_environments=parallel_environments(environments, found),
        groups=groups(found, settings["head"]),
        queues={
            spec["name"]: queue(spec, found, environments, settings["node_options"]) for spec in settings["queues"]
        },
        configuration={**CONFIGURATION, **settings["configuration"]},
        scheduler_configuration={**SCHEDULER, **settings["scheduler_configuration"]},
        submit_hosts=list(settings["submit_hosts"]),
    )
