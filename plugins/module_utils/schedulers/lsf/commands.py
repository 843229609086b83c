# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF's commands as argument lists. Every value becomes part of one argument; no shell ever sees one."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command

JOBS, ENDED, HOSTS, STATIC = "jobs", "ended", "hosts", "static"
LABELS, QUEUES, PARAMETERS = "labels", "queues", "parameters"
FOLDERS: tuple[str, ...] = ("/usr/local/lsf/bin",)
# Formats, units and filters that users may have set for themselves.
UNSET_PREFIXES: tuple[str, ...] = ("LSB_B", "LSB_SHORT_HOSTLIST", "LSF_LSHOSTS", "LSF_UNIT", "LSB_QUERY", "LSB_JOBID")
UNANSWERED: tuple[str, ...] = (
    "LSF is down",
    "Failed in LSF library call",
    "batch system daemon not responding",
    "Communication time out",
    "Cannot connect to LSF",
)
JOB_FIELDS = (
    "jobid jobindex stat user queue job_name job_description job_priority exclusive nreq_slot min_req_proc gpu_num "
    "combined_resreq pend_reason submit_time start_time exec_host"
)
HOST_FIELDS = "host_name status max njobs run ssusp ususp rsv comments ngpus ngpus_alloc total_mem available_mem"
HOST_FIELDS_OF_OLD = "host_name status max njobs run ssusp ususp rsv"
# What machines report of themselves beside features, which are boolean resources; see the role's join program.
STRING_LABELS = ("node_array", "vm_size", "priority", "placement_group")
# Queues take hosts that have a boolean resource of this name; see the role.
QUEUE_LABEL = "q_"
# Locks of others, such as an operator's, stay when this one is taken back.
LOCK = "azure_hpc"
MESSAGE = "9"
REASON_LENGTH = 240
_HOSTS_AT_ONCE = 50


def show_jobs() -> Command:
    """All jobs that have not ended; each element of an array is one record."""
    return Command(JOBS, ("bjobs", "-u", "all", "-json", "-o", JOB_FIELDS), 180)


def show_ended() -> Command:
    """Where jobs ended that LSF still remembers (CLEAN_PERIOD, an hour): since then their hosts are idle."""
    return Command(ENDED, ("bjobs", "-u", "all", "-d", "-json", "-o", "jobid exec_host finish_time"), 180)


def show_hosts(fields: str = HOST_FIELDS) -> Command:
    """All hosts that run jobs."""
    return Command(HOSTS, ("bhosts", "-json", "-o", fields), 120)


def show_static() -> Command:
    """What hosts have, and their boolean resources."""
    return Command(STATIC, ("lshosts", "-json", "-o", "host_name ncpus maxmem server RESOURCES"), 120)


def show_labels() -> Command:
    """The string resources of hosts: a table, in every fix pack."""
    return Command(LABELS, ("lshosts", "-s", *STRING_LABELS), 120)


def show_queues() -> Command:
    """Queues and whether they are open and active."""
    return Command(QUEUES, ("bqueues", "-json", "-o", "queue_name status priority"))


def show_parameters() -> Command:
    """How resources of parallel jobs are counted, among others."""
    return Command(PARAMETERS, ("bparams", "-a"))


def close(hosts: t.Sequence[str], reason: str) -> Command:
    """No new jobs on the hosts; jobs on them go on."""
    return Command("close", ("badmin", "hclose", "-i", LOCK, "-C", reason, *hosts))


def open_(hosts: t.Sequence[str]) -> Command:
    """Take our lock back. A host that others closed as well stays closed."""
    return Command("open", ("badmin", "hopen", "-i", LOCK, *hosts))


def requeue(job: str) -> Command:
    """Give a running job back to its queue."""
    return Command("requeue", ("brequeue", "-r", job))


def describe_job(job: str, text: str) -> Command:
    """Write the description of a job, which bjobs -l shows."""
    return Command("describe", ("bmod", "-Jd", text, job))


def post(job: str, text: str) -> Command:
    """Attach a message to a job, which bjobs -l and bread show."""
    return Command("post", ("bpost", "-i", MESSAGE, "-d", text, job))


def queue_label(queue: str) -> str:
    """The boolean resource of the hosts of a queue: names of resources have no hyphens and dots."""
    return QUEUE_LABEL + re.sub(r"[^A-Za-z0-9]", "_", queue)


def harmless(text: str) -> str:
    """A reason or description as LSF keeps it in its event log: one line, no quotes."""
    return plain(re.sub(r"[\"'`\\]", " ", text), REASON_LENGTH)


def in_parts(hosts: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    """Hosts in portions for one command each."""
    for start in range(0, len(hosts), _HOSTS_AT_ONCE):
        yield hosts[start : start + _HOSTS_AT_ONCE]
