# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's commands as argument lists. Every value becomes part of one argument; no shell ever sees one."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command

# Array ranges are cut at 64 characters unless this says otherwise.
ENVIRONMENT: t.Mapping[str, str] = {"SLURM_BITSTR_LEN": "0"}
# Options of users' environments that would change what the commands show.
UNSET_PREFIXES: tuple[str, ...] = ("SQUEUE_", "SINFO_", "SCONTROL_", "SLURM_JSON", "SLURM_CLUSTERS")

# What commands say when slurmctld does not answer: they have waited for MessageTimeout by then.
UNANSWERED: tuple[str, ...] = ("Unable to contact slurm controller", "Socket timed out")


def show_jobs() -> Command:
    """All jobs that slurmctld remembers."""
    return Command("jobs", ("squeue", "--all", "--json"))


def show_nodes() -> Command:
    """All nodes, with claims."""
    return Command("nodes", ("scontrol", "--all", "show", "nodes", "--json"))


def claim(node: str, instance_id: str, address: str, hostname: str) -> Command:
    """Bind a node to an instance. One node each: an instance id holds for one node."""
    return _update("claim", [node], f"instanceid={instance_id}", f"nodeaddr={address}", f"nodehostname={hostname}")


def release(nodes: t.Sequence[str]) -> Command:
    """Forget the instances of nodes: without one, address and host name are the node's own name."""
    names = hostlist.compress(nodes)
    return _update("release", nodes, "instanceid=", f"nodeaddr={names}", f"nodehostname={names}")


def drain(nodes: t.Sequence[str], reason: str) -> Command:
    """No new jobs on the nodes; jobs that wait for nodes which are powering up are requeued at once."""
    return _update("drain", nodes, "state=drain", f"reason={reason}")


def down(nodes: t.Sequence[str], reason: str) -> Command:
    """Take nodes down: jobs on them are requeued at once."""
    return _update("down", nodes, "state=down", f"reason={reason}")


def power_down_force(nodes: t.Sequence[str]) -> Command:
    """Power nodes down, whatever they do; this ends being down or drained, too."""
    return _update("power_down_force", nodes, "state=power_down_force")


def resume(nodes: t.Sequence[str]) -> Command:
    """Give nodes back to the scheduler."""
    return _update("resume", nodes, "state=resume")


def power_up(nodes: t.Sequence[str]) -> Command:
    """Have nodes come up without a job."""
    return _update("power_up", nodes, "state=power_up")


def power_down(nodes: t.Sequence[str]) -> Command:
    """Power nodes down as soon as no job is on them."""
    return _update("power_down", nodes, "state=power_down")


def start_now(job: str) -> Command:
    """Let a requeued job start again at once: Slurm would have it wait until its old credential has expired."""
    return Command("start_now", ("scontrol", "update", f"jobid={job}", "starttime=now"))


def comment(job: str, text: str) -> Command:
    """Write the administrator's comment of a job."""
    return Command("comment", ("scontrol", "update", f"jobid={job}", f"admincomment={text}"))


def _update(key: str, nodes: t.Sequence[str], *settings: str) -> Command:
    return Command(key, ("scontrol", "update", f"nodename={hostlist.compress(nodes)}", *settings))
