# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid Engine's commands as argument lists. Every value becomes part of one argument; no shell ever sees one."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command

# Times of jobs come without a zone, in the zone of whoever asks.
ENVIRONMENT: t.Mapping[str, str] = {"TZ": "UTC", "SGE_SINGLE_LINE": "1"}
UNSET_PREFIXES: tuple[str, ...] = ("SGE_LONG", "SGE_DEBUG")

# What commands say when the qmaster does not answer.
UNANSWERED: tuple[str, ...] = ("unable to send message to qmaster", "unable to contact qmaster", "commlib error")

ALL_HOSTS = "@allhosts"
CONTEXT = "azure_hpc"
DRAIN, IDLE_SINCE, MEMORY = "hpc_drain", "hpc_idle_since", "hpc_memory"


def show_jobs() -> Command:
    """Jobs that run, by the queue instances that they are on, and jobs that wait, with what they ask for."""
    return Command("jobs", ("qstat", "-xml", "-f", "-r", "-u", "*", "-s", "prs"), timeout=120)


def show_hosts() -> Command:
    """All execution hosts with everything that they have, and what they have left of it."""
    return Command("hosts", ("qhost", "-xml", "-F"), timeout=120)


def show_details(number: int, jobs: t.Sequence[str]) -> Command:
    """What only the details of jobs say: notes, throttles of arrays, start times."""
    return Command(f"details{number}", ("qstat", "-xml", "-j", ",".join(jobs)), timeout=120)


def show_complexes() -> Command:
    """The kinds of all resources."""
    return Command("complexes", ("qconf", "-sc"))


def show_queues() -> Command:
    """All queues."""
    return Command("queues", ("qconf", "-sq", "*"))


def show_environments() -> Command:
    """The names of all parallel environments; fails when there is none."""
    return Command("environments", ("qconf", "-spl"))


def show_environment(name: str) -> Command:
    """One parallel environment."""
    return Command(f"environment {name}", ("qconf", "-sp", name))


def show_groups() -> Command:
    """All host groups of nodes as a tree."""
    return Command("groups", ("qconf", "-shgrp_tree", ALL_HOSTS))


def show_submit_hosts() -> Command:
    """Hosts that may hand in jobs; fails when there is none."""
    return Command("submit_hosts", ("qconf", "-ss"))


def show_configuration() -> Command:
    """The global configuration, with limits."""
    return Command("configuration", ("qconf", "-sconf", "global"))


def show_scheduler() -> Command:
    """The scheduler's configuration, with limits."""
    return Command("scheduler", ("qconf", "-ssconf"))


def show_quotas() -> Command:
    """All resource quota sets; fails when there is none."""
    return Command("quotas", ("qconf", "-srqs"))


def add_to_group(hosts: t.Sequence[str], group: str) -> Command:
    """Put hosts into a group: what refers to the group makes their queue instances, and execution hosts of them."""
    return Command("add_to_group", ("qconf", "-aattr", "hostgroup", "hostlist", " ".join(hosts), group))


def remove_from_group(hosts: t.Sequence[str], group: str) -> Command:
    """Take hosts out of a group. Queue instances on which jobs run stay until those end."""
    return Command("remove_from_group", ("qconf", "-dattr", "hostgroup", "hostlist", " ".join(hosts), group))


def set_resources(hosts: t.Sequence[str], values: str) -> Command:
    """All that hosts have, in place of what was said before."""
    return Command("set_resources", ("qconf", "-rattr", "exechost", "complex_values", values, *hosts))


def set_drain(hosts: t.Sequence[str], reason: str) -> Command:
    """Remember on hosts why they take no jobs."""
    return Command("set_drain", ("qconf", "-mattr", "exechost", "complex_values", f"{DRAIN}={reason}", *hosts))


def forget_drain(hosts: t.Sequence[str]) -> Command:
    """Forget why hosts took no jobs."""
    return Command("forget_drain", ("qconf", "-dattr", "exechost", "complex_values", DRAIN, *hosts))


def disable(hosts: t.Sequence[str]) -> Command:
    """No new jobs on hosts; jobs on them go on."""
    return Command("disable", ("qmod", "-d", *(f"*@{host}" for host in hosts)))


def enable(hosts: t.Sequence[str]) -> Command:
    """New jobs on hosts again."""
    return Command("enable", ("qmod", "-e", *(f"*@{host}" for host in hosts)))


def clear_errors(hosts: t.Sequence[str]) -> Command:
    """Forget that jobs failed on hosts for reasons of the host."""
    return Command("clear_errors", ("qmod", "-cq", *(f"*@{host}" for host in hosts)))


def requeue(hosts: t.Sequence[str]) -> Command:
    """Have the jobs on hosts wait again, whatever the hosts say."""
    return Command("requeue", ("qmod", "-f", "-rq", *(f"*@{host}" for host in hosts)))


def add_submit_hosts(hosts: t.Sequence[str]) -> Command:
    """Let jobs on hosts hand in jobs."""
    return Command("add_submit_hosts", ("qconf", "-as", ",".join(hosts)))


def remove_submit_hosts(hosts: t.Sequence[str]) -> Command:
    """Let nobody on hosts hand in jobs."""
    return Command("remove_submit_hosts", ("qconf", "-ds", ",".join(hosts)))


def remove_hosts(hosts: t.Sequence[str]) -> Command:
    """Forget execution hosts."""
    return Command("remove_hosts", ("qconf", "-de", ",".join(hosts)))


def comment(job: str, text: str) -> Command:
    """Write into the context of a job, which qstat -j shows."""
    return Command("comment", ("qalter", "-ac", f"{CONTEXT}={text}", job))


def forget_comment(job: str) -> Command:
    """Take what was written there away."""
    return Command("forget_comment", ("qalter", "-dc", CONTEXT, job))
