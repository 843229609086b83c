# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended in Slurm: what slurmdbd knows, by sacct's JSON, in which a name can be anything."""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History, PastJob, between, held
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.history import failure

STATES: t.Mapping[str, str] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "BOOT_FAIL": "node_failed",
    "CANCELLED": "cancelled",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node_failed",
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "preempted",
    "REQUEUED": "requeued",
    "REVOKED": "cancelled",
    "TIMEOUT": "timeout",
}
_NEVER = 4294967294  # Slurm's NO_VAL for a time


class SlurmHistory:
    """See `schedulers.history.Reader`."""

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """One: jobs without their steps, those that were requeued once for each run."""
        times = (f"--starttime={_utc(since)}", f"--endtime={_utc(until)}")
        argv = ("env", "TZ=UTC", "sacct", "--json", "--allusers", "--allocations", "--duplicates", *times)
        return (Command("history", argv, timeout=300),)

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """See `Reader.parse`."""
        output = outputs["history"]
        failed = failure("slurm", output)
        if failed:
            return failed
        try:
            records = json.loads(output.stdout)["jobs"]
        except (ValueError, KeyError, TypeError) as error:
            return History("slurm", errors=(f"sacct's JSON is not understood: {error!r}",))
        jobs, skipped = [], []
        for record in records:
            try:
                job = _job(record)
            except (KeyError, TypeError, ValueError) as error:
                name = record.get("job_id", "?") if isinstance(record, dict) else "?"
                skipped.append(f"job {name} is not understood: {error!r}")
                continue
            if job:
                jobs.append(job)
        return between("slurm", jobs, since, until, skipped)


def _utc(epoch: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(0, epoch)))


def _job(record: t.Mapping[str, t.Any]) -> t.Optional[PastJob]:
    """One record; None while the job has not ended."""
    states = [state for state in record["state"]["current"] if state in STATES]
    times = record["time"]
    ended = _time(times["end"])
    if not states or not ended:
        return None
    started, cores = _time(times["start"]), _cores(record)
    nodes = record["nodes"]
    names = tuple(hostlist.expand(nodes)) if nodes and nodes != "None assigned" else ()
    code = record["exit_code"]
    return PastJob(
        id=_id(record),
        name=record["name"],
        user=record["user"] or record["association"]["user"],
        state=STATES[states[0]],
        submitted_at=_time(times["submission"]),
        started_at=started if names else 0,
        ended_at=ended,
        nodes=names,
        node_count=int(record["allocation_nodes"]),
        cores=cores,
        cpu_seconds=held(started, ended, cores) if names else 0,
        exit_code=_number(code["return_code"]),
        signal=_number(code["signal"]["id"]),
        account=record["account"],
        queue=record["partition"],
        said=" ".join(record["state"]["current"]),
    )


def _id(record: t.Mapping[str, t.Any]) -> str:
    array, het = record["array"], record["het"]
    if array["job_id"]:
        if array["task_id"]["set"]:
            return f"{array['job_id']}_{array['task_id']['number']}"
        return f"{array['job_id']}_[{_tasks(array['task'])}]"
    if het["job_id"]:
        return f"{het['job_id']}+{_number(het['job_offset'])}"
    return str(record["job_id"])


def _tasks(bits: str) -> str:
    """The first and the last of the tasks that never began, which are one record: sacct has them as a bit field."""
    if not bits.startswith("0x"):
        return bits
    field = int(bits, 16)
    last = field.bit_length() - 1
    first = (field & -field).bit_length() - 1
    return str(first) if first == last else f"{first}-{last}"


def _cores(record: t.Mapping[str, t.Any]) -> int:
    return sum(int(tres["count"]) for tres in record["tres"]["allocated"] if tres["type"] == "cpu")


def _time(value: t.Any) -> int:
    number = _number(value) if isinstance(value, dict) else int(value)
    return 0 if number >= _NEVER else number


def _number(value: t.Mapping[str, t.Any]) -> int:
    return int(value["number"]) if value["set"] else 0
