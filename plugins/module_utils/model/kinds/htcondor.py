# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to HTCondor."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import (
    CONTROL,
    Mistakes,
    Section,
    join,
    word,
)

from . import Kind

_POOL = "the pool's machines find and trust each other by it"
_OFFER = "passes count on what the VM size offers"
_OURS: t.Mapping[str, str] = {
    "condor_host": f"{_POOL}: it is the head node",
    "collector_host": f"{_POOL}: it is the head node",
    "trust_domain": f"{_POOL}: it is the cluster's name",
    "uid_domain": "users are the same on all machines",
    "schedd_name": "nodes name it for jobs of the parallel universe",
    "schedd_host": "it is the head node",
    "network_hostname": "names come from Azure",
    "daemon_list": "the role chooses the daemons of each machine",
    "num_cpus": _OFFER,
    "memory": _OFFER,
    "num_slots": _OFFER,
    "startd_attrs": "use machine_attributes",
    "startd_exprs": "use machine_attributes",
    "dedicatedscheduler": "nodes name the head's for jobs of the parallel universe",
    "hpclabels": "it has the names of the node's labels",
}
# Attributes of machine ads that mean something else already, in lower case.
_TAKEN = frozenset(
    (
        "activity addressv1 arch cpus currentrank dedicatedscheduler detectedcpus detectedgpus detectedmemory disk "
        "draining drainreason enteredcurrentactivity enteredcurrentstate filesystemdomain gpus hasdocker "
        "hasfiletransfer hasmpi hassshd hasvm hpclabels jobstarts kflops loadavg machine memory mips myaddress "
        "mycurrenttime mytype name numdynamicslots opsys opsysandver opsysmajorver opsysname opsysver owner "
        "parallelschedulinggroup partitionableslot rank requirements slotid slottype slotweight start state "
        "targettype totalcpus totaldisk totalgpus totalmemory totalslotcpus totalslotmemory totalslots "
        "uiddomain virtualmemory"
    ).split()
)
# Macros of its configuration by the same name: an attribute is set by a macro, too.
_MACROS = frozenset(
    (
        "activitytimer backgroundload benchmarktimer bin collector continue continueidletime credd defrag docker etc "
        "execute had highload history hostname hour include java kbdd kill lib libexec localname lock log lowport mail "
        "master maxsuspendtime maxvacatetime minute mpi negotiator parrot pid plugins ppid preempt preen procd "
        "release_dir replication rooster run runbenchmarks sbin schedd scp sendmail shadow share singularity spool "
        "sshd standard startd starter startidletime statetimer subsystem suspend tilde transferer username vanilla vm"
    ).split()
)
# Words of the language that requirements are written in.
_WORDS = frozenset("error false is isnt my parent target true undefined".split())
_LABELS = frozenset((offers.NODE_ARRAY, offers.VM_SIZE, offers.PRIORITY, offers.PLACEMENT_GROUP))
_ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_]*"


class HTCondor(Kind):
    """Any macro of HTCondor's configuration, for all machines, the head or the nodes of an array; no queues."""

    keys = ("condor_config", "head_config", "machine_attributes")
    needs_queues = False

    def read(self, section: Section) -> dict[str, t.Any]:
        """See `Kind.read`."""
        return {
            "condor_config": macros(section, "condor_config"),
            "head_config": macros(section, "head_config"),
            "machine_attributes": _attributes(section, "machine_attributes"),
        }

    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """None: HTCondor has no queues, which `check` says."""
        return {}

    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """Macros of the configuration of the nodes of an array."""
        return dict(macros(section, key))

    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """See `Kind.check`."""
        if cluster.partitions:
            mistakes.add("queues", "HTCondor has none: jobs say what they need in requirements, by the labels of nodes")
        for index, array in enumerate(cluster.node_arrays):
            for number, feature in enumerate(array.features):
                message = _name_mistake(feature)
                if message:
                    mistakes.add(f"node_arrays[{index}].features[{number}]", message)
        features = {feature.lower() for array in cluster.node_arrays for feature in array.features}
        for name in cluster.scheduler.options.get("machine_attributes", {}):
            if name.lower() in features:
                mistakes.add(f"scheduler.machine_attributes.{name}", "is a feature of a node array, too")


def macros(section: Section, key: str) -> dict[str, str]:
    """Macros for a file of ``NAME = value`` lines, as texts. A name may have the daemon that it is for before a dot."""
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, value in section.mapping(key).items():
        path = join(section.at(key), name)
        if section.mistakes.at(path):
            continue
        message = _macro_mistake(name, value)
        if not message and name.lower() in seen:
            message = f"is the same macro as {seen[name.lower()]}"
        if message:
            section.mistakes.add(path, message)
            continue
        seen[name.lower()] = name
        found[name] = str(value)
    return found


def _macro_mistake(name: str, value: t.Any) -> str:
    if not re.fullmatch(rf"(?:[A-Za-z][A-Za-z0-9_]*\.)?{_ATTRIBUTE}", name):
        return "is not a name of a macro"
    bare = name.lower().rpartition(".")[2]
    if bare in _OURS:
        return f"cannot be set here: {_OURS[bare]}"
    if re.match(r"num_slots_type_|slot_type_", bare):
        return "cannot be set here: a node is one slot, which is split as jobs need it"
    if not isinstance(value, (str, int, float, bool)):
        return f"must be a text, a number, true or false, not {word(value)}"
    if isinstance(value, str) and (CONTROL.search(value) or value.endswith("\\")):
        return "must not contain line breaks or control characters, or end with \\"
    return ""


def _attributes(section: Section, key: str) -> dict[str, t.Any]:
    """Further attributes of every machine: texts, numbers, true and false."""
    found: dict[str, t.Any] = {}
    for name, value in section.mapping(key).items():
        message = _name_mistake(name)
        if not message and not isinstance(value, (str, int, float, bool)):
            message = f"must be a text, a number, true or false, not {word(value)}"
        if not message and isinstance(value, str) and (CONTROL.search(value) or "$" in value):
            message = "must not contain line breaks, control characters or $"
        if message:
            section.mistakes.add(join(section.at(key), name), message)
        else:
            found[name] = value
    return found


def _name_mistake(name: str) -> str:
    """What is wrong with the name of an attribute of machine ads, or ''."""
    if not re.fullmatch(_ATTRIBUTE, name) or name.lower() in _WORDS:
        return "cannot be an attribute of HTCondor's machine ads: letters, digits and _, no word of its language"
    if name.lower() in _LABELS:
        return "is a label that every node has"
    if name.lower() in _MACROS:
        return "is a macro of HTCondor's own configuration"
    return "means something else in HTCondor's machine ads" if name.lower() in _TAKEN else ""
