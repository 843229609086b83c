# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended in PBS: the server's accounting files, one for each day, one line for each event of a job."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History, PastJob, between, held
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.history import failure

DIRECTORY = "/var/spool/pbs/server_priv/accounting"
# Exit_status below 0 is PBS's own: why it ended the job.
_ENDED_BY_PBS: t.Mapping[int, str] = {
    -26: "out_of_memory",  # vmem
    -27: "out_of_memory",  # mem
    -28: "timeout",  # cput
    -29: "timeout",  # walltime
}
_NO_PROJECT = "_pbs_project_default"
# A value is one word, or anything between double quotes where it has blanks.
_ATTRIBUTE = re.compile(r'([A-Za-z_][A-Za-z0-9_.]*)=(?:"([^"]*)"|(\S*))(?:\s|$)')


class OpenPbsHistory:
    """See `schedulers.history.Reader`."""

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """One: all files that were written to since then."""
        found = ("-maxdepth", "1", "-type", "f", "-newermt", f"@{max(0, since)}")
        return (Command("history", ("find", directory or DIRECTORY, *found, "-exec", "cat", "{}", "+"), timeout=300),)

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """See `Reader.parse`."""
        failed = failure("openpbs", outputs["history"])
        if failed:
            return failed
        deleted: dict[str, int] = {}
        waiting: dict[str, str] = {}
        jobs, skipped = [], []
        for line in outputs["history"].stdout.split("\n"):
            parts = line.split(";", 3)
            if len(parts) != 4:
                if line.strip():
                    skipped.append(f"no record: {line[:120]!r}")
                continue
            when, kind, job_id, text = parts
            if "[]" in job_id:  # an array as a whole is no job: its tasks are
                continue
            try:
                if kind == "Q":
                    waiting[job_id] = text
                elif kind == "S":
                    waiting.pop(job_id, None)
                elif kind == "D":
                    deleted[job_id] = int(time.mktime(time.strptime(when, "%m/%d/%Y %H:%M:%S")))
                elif kind == "E":
                    waiting.pop(job_id, None)
                    jobs.append(_job(job_id, text, job_id in deleted))
            except (KeyError, ValueError, OverflowError) as error:
                skipped.append(f"job {job_id} is not understood: {error!r}")
        never = [_never(job_id, waiting[job_id], when) for job_id, when in deleted.items() if job_id in waiting]
        return between("openpbs", [*jobs, *never], since, until, skipped)


def _attributes(text: str) -> dict[str, str]:
    """The first of each name counts: what PBS knows of who the job is comes before what its user wrote."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        found.setdefault(match[1], match[2] if match[2] is not None else match[3])
    return found


def _job(job_id: str, text: str, deleted: bool) -> PastJob:
    has = _attributes(text)
    status = int(has["Exit_status"])
    nodes = tuple(dict.fromkeys(part.split("/")[0] for part in has.get("exec_host", "").split("+") if part))
    started, ended = int(has["start"]), int(has["end"])
    cores = int(has.get("Resource_List.ncpus") or has.get("resources_used.ncpus") or 0)
    signal = status - 256 if status > 256 else status - 128 if status > 128 else 0
    state = _ENDED_BY_PBS.get(status) or ("completed" if status == 0 else "cancelled" if deleted else "failed")
    return PastJob(
        id=job_id,
        name=has["jobname"],
        user=has["user"],
        state=state,
        submitted_at=int(has.get("qtime") or has["ctime"]),
        started_at=started,
        ended_at=ended,
        nodes=nodes,
        node_count=len(nodes),
        cores=cores,
        cpu_seconds=held(started, ended, cores),
        exit_code=0 if signal else status,
        signal=signal,
        account=_account(has),
        queue=has.get("queue", ""),
        said=f"Exit_status={status}",
    )


def _never(job_id: str, text: str, ended: int) -> PastJob:
    """A job that was deleted while it waited. Older servers say nothing of it but its queue."""
    has = _attributes(text)
    return PastJob(
        id=job_id,
        name=has.get("jobname", ""),
        user=has.get("user", ""),
        state="cancelled",
        submitted_at=int(has["qtime"]) if has.get("qtime", "").isdigit() else 0,
        ended_at=ended,
        account=_account(has),
        queue=has.get("queue", ""),
        said="deleted",
    )


def _account(has: t.Mapping[str, str]) -> str:
    project = has.get("project", "")
    return has.get("account") or ("" if project == _NO_PROJECT else project)
