# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTCondor's commands as argument lists. Every value becomes part of one argument; no shell ever sees one."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command

# Variables that begin so change HTCondor's configuration for the commands that see them.
UNSET_PREFIXES: tuple[str, ...] = ("_CONDOR_", "_condor_", "CONDOR_CONFIG")
# What commands say when a daemon of the head does not answer. One node that does not answer is not meant.
UNANSWERED: tuple[str, ...] = (
    "Can't find address of local schedd",
    "Failed to connect to schedd",
    "couldn't locate the collector",
    "communication error",
)

# The attribute of jobs that passes write and users read: condor_q -af:j HpcComment
COMMENT = "HpcComment"
# What the role says that machines of each scale set will offer.
MACHINES = "/etc/azure_hpc/machines.json"
FORGET = "/usr/libexec/azure_hpc/condor_forget"

JOB_ATTRIBUTES: tuple[str, ...] = (
    "ClusterId", "ProcId", "JobStatus", "JobUniverse", "Owner", "JobBatchName", "Cmd", "QDate", "JobStartDate",
    "JobCurrentStartDate", "JobPrio", "MaxHosts", "CurrentHosts", "RequestCpus", "RequestMemory", "RequestDisk",
    "RequestGPUs", "Requirements", "RemoteHost", "RemoteHosts", "AllRemoteHosts", "HoldReason", "HoldReasonCode",
    "LastRejMatchReason", "WantParallelSchedulingGroups", "WantWholeNode", "ConcurrencyLimits", "DeferralTime",
    "DiskUsage", "ImageSize", "MemoryUsage", "ResidentSetSize", "FileSystemDomain", "NumJobStarts", "JobCpus",
    "OriginalCpus", "TransferInputSizeMB", COMMENT,
)  # fmt: skip
SLOT_ATTRIBUTES: tuple[str, ...] = (
    "Name", "Machine", "MyAddress", "State", "Activity", "Cpus", "Memory", "GPUs", "TotalSlotCpus", "TotalSlotMemory",
    "TotalSlotGPUs", "Draining", "DrainReason", "LastDrainStartTime", "DaemonStartTime", "NumDynamicSlots",
    "NumDynamicSlotsTime", "EnteredCurrentState", "PartitionableSlot", "HpcLabels", "HpcLastBusy", "HpcUnwell",
    "ChildActivity", "ChildCpus", "ChildMemory", "ChildGPUs",
)  # fmt: skip


def show_jobs() -> Command:
    """All jobs that have not left the queue. Nothing at all is printed when there are none."""
    return Command("jobs", ("condor_q", "-allusers", "-json", "-attributes", ",".join(JOB_ATTRIBUTES)))


def show_more(names: t.Iterable[str]) -> Command:
    """Further attributes of all jobs, which their requirements use."""
    return Command("more", ("condor_q", "-allusers", "-json", "-attributes", ",".join(("ClusterId", "ProcId", *names))))


def show_slots() -> Command:
    """The slot of every machine, from which jobs get their parts."""
    which = "PartitionableSlot =?= true"
    return Command("slots", ("condor_status", "-json", "-constraint", which, "-attributes", ",".join(SLOT_ATTRIBUTES)))


def show_collector() -> Command:
    """Since when the collector collects: what has not reported since then is not listed."""
    return Command(
        "collector", ("condor_status", "-collector", "-json", "-attributes", "StatsLastUpdateTime,StatsLifetime")
    )


def show_config() -> Command:
    """How often machines report, in seconds; limits of what jobs use together come with it."""
    return Command("config", ("condor_config_val", "-dump", "(?i)^UPDATE_INTERVAL$|_LIMIT$"))


def show_machines() -> Command:
    """What machines of each scale set offer."""
    return Command("machines", ("cat", MACHINES))


def drain(host: str, reason: str) -> Command:
    """No new jobs on a node; those that run end as they would."""
    return Command("drain", ("condor_drain", "-graceful", "-reason", reason, f"slot1@{host}"))


def drain_now(host: str, reason: str) -> Command:
    """No new jobs on a node; those that run go back to the queue at once."""
    return Command("drain", ("condor_drain", "-fast", "-reason", reason, f"slot1@{host}"))


def resume(host: str) -> Command:
    """Give a node back to jobs."""
    return Command("resume", ("condor_drain", "-cancel", f"slot1@{host}"))


def forget(hosts: t.Sequence[str]) -> Command:
    """Have the collector forget machines that are gone."""
    return Command("forget", (FORGET, *hosts))


def comment(job: str, text: str) -> Command:
    """Write on a job, or on those of its cluster that wait."""
    cluster, _unused, proc = job.partition(".")
    which = f"ClusterId == {cluster}" + (f" && ProcId == {proc}" if proc else " && JobStatus == 1")
    return Command("comment", ("condor_qedit", "-constraint", which, COMMENT, quoted(text)))


def kick() -> Command:
    """Have jobs matched with machines now."""
    return Command("kick", ("condor_reschedule",))


def quoted(text: str) -> str:
    """A text as a literal of the ClassAd language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
