# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended in Grid Engine: the lines of the qmaster's accounting file (accounting(5))."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History, PastJob, between, held
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.history import failure

DIRECTORY = "/var/lib/gridengine/default/common"
_FIELDS = 45
_ACCOUNT, _PRIORITY = 6, 7
# From the field priority on, with account before it: what is read here.
_SUBMITTED, _STARTED, _ENDED, _FAILED, _STATUS, _WALL = 1, 2, 3, 4, 5, 6
_MILLISECONDS = 100_000_000_000
_PROJECT, _SLOTS, _TASK, _PE_TASK = 24, 27, 28, 34
# The field "failed": why the job could not run, or not to its end.
_REQUEUED = (24, 25)  # migrated, begun again elsewhere
_TIME_LIMITS = (37,)  # the qmaster ended it at its time limit
_NODE = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 26, 27, 28)
_NO_ACCOUNT = ("sge", "NONE", "")


class GridEngineHistory:
    """See `schedulers.history.Reader`."""

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """One: the file itself; qacct would make names of jobs indistinguishable from its own words."""
        return (Command("history", ("cat", f"{directory or DIRECTORY}/accounting"), timeout=300),)

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """See `Reader.parse`."""
        failed = failure("gridengine", outputs["history"])
        if failed:
            return failed
        jobs: dict[tuple[str, int], PastJob] = {}
        hosts: dict[str, list[str]] = {}
        skipped = []
        for line in outputs["history"].stdout.split("\n"):
            if len(line) < 2 or line.startswith("#"):
                continue
            try:
                head, rest = _split(line)
                job = _job(head, rest)
            except (IndexError, ValueError) as error:
                skipped.append(f"no record: {line[:120]!r} ({error})")
                continue
            hosts.setdefault(job.id, []).extend(job.nodes)
            # What the job asked for comes before it and may have colons: in lines of today, count from the end.
            pe_task = rest[_PE_TASK] if len(rest) < _FIELDS - _PRIORITY else rest[-4]
            if pe_task in ("NONE", "") or ((job.id, job.started_at) not in jobs and job.submitted_at):
                jobs[job.id, job.started_at] = job
        found = [_with_hosts(job, hosts[job.id]) for job in jobs.values()]
        return between("gridengine", found, since, until, skipped)


def _split(line: str) -> tuple[list[str], list[str]]:
    """The fields up to the account, and those from the priority on.

    Only the account and, near the end, what the job asked for may have colons of their own. The times are where they
    make sense; where an account looks like times, the last ones are those that Grid Engine wrote.
    """
    parts = line.split(":")
    extra = len(parts) - _FIELDS
    if extra < -2:  # older ones end before the reservation
        raise ValueError(f"{len(parts)} fields")
    more = next((more for more in range(max(0, extra), 0, -1) if _makes_sense(parts[_PRIORITY + more :])), 0)
    return [*parts[:_ACCOUNT], ":".join(parts[_ACCOUNT : _PRIORITY + more])], parts[_PRIORITY + more :]


def _makes_sense(rest: t.Sequence[str]) -> bool:
    try:
        submitted, started, ended = (int(rest[index]) for index in (_SUBMITTED, _STARTED, _ENDED))
        wall, *_usage = (float(number) for number in rest[_WALL:_PROJECT])
    except ValueError:
        return False
    factor = 1000 if ended > _MILLISECONDS else 1
    return (submitted > 0 or started > 0) and abs(ended - started - wall * factor) <= factor


def _job(head: t.Sequence[str], rest: t.Sequence[str]) -> PastJob:
    queue, host, _group, owner, name, number, account = head
    submitted, started, ended = (_time(rest[index]) for index in (_SUBMITTED, _STARTED, _ENDED))
    failed, status = int(rest[_FAILED]), int(rest[_STATUS])
    slots, task = int(rest[_SLOTS]), int(rest[_TASK])
    signal = status - 128 if status > 128 else 0
    project = "" if rest[_PROJECT] in ("NONE", "") else rest[_PROJECT]
    return PastJob(
        id=f"{int(number)}.{task}" if task else str(int(number)),
        name=name,
        user=owner,
        state=_state(failed, status),
        submitted_at=submitted,
        started_at=started,
        ended_at=ended or submitted,
        nodes=(host,) if started and host not in ("UNKNOWN", "") else (),
        node_count=1 if started else 0,
        cores=slots,
        cpu_seconds=held(started, ended, slots),
        exit_code=0 if signal else status,
        signal=signal,
        account=project if account in _NO_ACCOUNT else account,
        queue=queue,
        said=f"failed={failed} exit_status={status}",
    )


def _state(failed: int, status: int) -> str:
    if failed in _REQUEUED:
        return "requeued"
    if failed in _TIME_LIMITS:
        return "timeout"
    if failed in _NODE:
        return "node_failed"
    return "completed" if failed == 0 and status == 0 else "failed"


def _time(text: str) -> int:
    """Seconds; newer ones write milliseconds."""
    number = int(text)
    return number // 1000 if number > _MILLISECONDS else number


def _with_hosts(job: PastJob, hosts: t.Sequence[str]) -> PastJob:
    nodes = tuple(dict.fromkeys(hosts))
    return dataclasses.replace(job, nodes=nodes, node_count=len(nodes))
