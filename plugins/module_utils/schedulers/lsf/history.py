# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended in LSF: the records JOB_FINISH of mbatchd's files lsb.acct (lsb.acct(5))."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History, PastJob, between, held
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.history import failure

# Below it a directory for each cluster, with a logdir.
DIRECTORY = "/opt/ibm/lsf/work"
_RECORD = re.compile(r'^"[A-Z][A-Z_]*" ', re.MULTILINE)
# A text between double quotes, which has its own twice; or a number.
_FIELD = re.compile(r'"((?:[^"]|"")*)"(?=\s|$)|(\S+)')
# Between the name of the job and what it was charged to: its command, 19 figures of what it used, whom it mails to.
_USAGE = 19
_DONE, _EXIT = 64, 32
_REASONS: t.Mapping[int, tuple[str, str]] = {
    1: ("preempted", "TERM_PREEMPT"),
    2: ("timeout", "TERM_WINDOW"),
    5: ("timeout", "TERM_RUNLIMIT"),
    6: ("timeout", "TERM_DEADLINE"),
    8: ("cancelled", "TERM_FORCE_OWNER"),
    9: ("cancelled", "TERM_FORCE_ADMIN"),
    10: ("requeued", "TERM_REQUEUE_OWNER"),
    11: ("requeued", "TERM_REQUEUE_ADMIN"),
    12: ("timeout", "TERM_CPULIMIT"),
    14: ("cancelled", "TERM_OWNER"),
    15: ("cancelled", "TERM_ADMIN"),
    16: ("out_of_memory", "TERM_MEMLIMIT"),
    20: ("out_of_memory", "TERM_SWAP"),
    23: ("cancelled", "TERM_BUCKET_KILL"),
}


class LsfHistory:
    """See `schedulers.history.Reader`."""

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """One: all files, of today and put aside, that were written to since then."""
        found = ("-maxdepth", "3", "-type", "f", "-name", "lsb.acct*", "-newermt", f"@{max(0, since)}")
        return (Command("history", ("find", directory or DIRECTORY, *found, "-exec", "cat", "{}", "+"), timeout=300),)

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """See `Reader.parse`."""
        failed = failure("lsf", outputs["history"])
        if failed:
            return failed
        jobs, skipped = [], []
        for record in _records(outputs["history"].stdout):
            fields = [match[2] or match[1].replace('""', '"') for match in _FIELD.finditer(record)]
            if fields[:1] != ["JOB_FINISH"]:
                continue  # of reservations and resizing
            try:
                jobs.append(_job(fields))
            except (IndexError, ValueError) as error:
                skipped.append(f"no record: {record[:120]!r} ({error})")
        return between("lsf", jobs, since, until, skipped)


def _records(text: str) -> t.Iterator[str]:
    """A command may have more than one line. None of them can begin as a record does: its quotes are written twice."""
    starts = [match.start() for match in _RECORD.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)]):
        yield text[start:end]


def _job(fields: t.Sequence[str]) -> PastJob:
    ended, number, processors = int(fields[2]), int(fields[3]), int(fields[6])
    submitted, started, user, queue = int(fields[7]), int(fields[10]), fields[11], fields[12]
    asked = 22
    held_by = asked + 1 + int(fields[asked])
    after = held_by + 1 + int(fields[held_by])
    slots = [_slots(host) for host in fields[held_by + 1 : after]]
    status, name = int(fields[after]), fields[after + 2]
    rest = fields[after + 4 + _USAGE :]
    project, wait_status, index, why = rest[1], int(rest[2]), int(rest[6]), int(rest[15])
    cores = sum(count for count, _host in slots) if started else processors
    code, signal = _end(wait_status)
    state, said = _state(status, why, bool(started))
    nodes = tuple(dict.fromkeys(host for _count, host in slots))
    return PastJob(
        id=f"{number}[{index}]" if index else str(number),
        name=name,
        user=user,
        state=state,
        submitted_at=submitted,
        started_at=started,
        ended_at=ended,
        nodes=nodes,
        node_count=len(nodes),
        cores=cores,
        cpu_seconds=held(started, ended, cores),
        exit_code=code,
        signal=signal,
        account="" if project == "default" else project,
        queue=queue,
        said=said,
    )


def _slots(host: str) -> tuple[int, str]:
    """One host for each slot, or with SHORT_EVENTFILE ``4*host``."""
    count, star, name = host.rpartition("*")
    return (int(count), name.split(".")[0]) if star else (1, host.split(".")[0])


def _end(wait_status: int) -> tuple[int, int]:
    """Exit code and signal from what wait(2) told. A shell tells of a signal by 128 and its number."""
    code, signal = wait_status >> 8, wait_status & 0x7F
    if not signal and 128 < code <= 192:
        return 0, code - 128
    return code, signal


def _state(status: int, why: int, started: bool) -> tuple[str, str]:
    if status == _DONE:
        return "completed", "DONE"
    if status != _EXIT:
        return "unknown", str(status)
    usual = ("failed" if started else "cancelled", "EXIT")
    return _REASONS.get(why, usual)
