# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have left HTCondor's queue: condor_history's JSON."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History, PastJob, between, held
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.history import failure

ATTRIBUTES: tuple[str, ...] = (
    "ClusterId", "ProcId", "Owner", "JobBatchName", "Cmd", "JobStatus", "QDate", "JobStartDate", "JobCurrentStartDate",
    "CompletionDate", "EnteredCurrentStatus", "ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason",
    "HoldReasonCode", "LastHoldReasonCode", "LastRemoteHost", "AllRemoteHosts", "RequestCpus", "CpusProvisioned",
    "MaxHosts", "AccountingGroup", "AcctGroup", "RemoteWallClockTime",
)  # fmt: skip
_REMOVED, _COMPLETED = 3, 4


class HTCondorHistory:
    """See `schedulers.history.Reader`."""

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """One: it begins with the job that left the queue last."""
        argv = ("condor_history", "-json", "-since", f"CompletionDate > 0 && CompletionDate < {max(0, since)}")
        return (Command("history", (*argv, "-attributes", ",".join(ATTRIBUTES)), timeout=300),)

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """See `Reader.parse`."""
        output = outputs["history"]
        failed = failure("htcondor", output)
        if failed:
            return failed
        try:
            records = json.loads(output.stdout or "[]")
            jobs, skipped = [], []
            for record in records:
                try:
                    jobs.append(_job(record))
                except (KeyError, TypeError, ValueError) as error:
                    skipped.append(f"job {record.get('ClusterId', '?')} is not understood: {error!r}")
        except (ValueError, TypeError, AttributeError) as error:
            return History("htcondor", errors=(f"condor_history's JSON is not understood: {error!r}",))
        return between("htcondor", jobs, since, until, skipped)


def _job(record: t.Mapping[str, t.Any]) -> PastJob:
    status = int(record["JobStatus"])
    started = int(record.get("JobCurrentStartDate") or record.get("JobStartDate") or 0)
    ended = int(record.get("CompletionDate") or record["EnteredCurrentStatus"])
    hosts = str(record.get("AllRemoteHosts") or record.get("LastRemoteHost") or "")
    nodes = tuple(dict.fromkeys(_host(slot) for slot in hosts.split(",") if slot))
    cores = _whole(record.get("CpusProvisioned"), record.get("RequestCpus")) * max(1, _whole(record.get("MaxHosts")))
    by_signal = bool(record.get("ExitBySignal"))
    code = _whole(record.get("ExitCode"))
    return PastJob(
        id=f"{int(record['ClusterId'])}.{int(record['ProcId'])}",
        name=str(record.get("JobBatchName") or record.get("Cmd", "").rpartition("/")[2]),
        user=str(record["Owner"]),
        state=_state(status, code, by_signal, record),
        submitted_at=int(record["QDate"]),
        started_at=started,
        ended_at=ended,
        nodes=nodes,
        node_count=len(nodes),
        cores=cores if started else 0,
        cpu_seconds=held(started, ended, cores),
        exit_code=code,
        signal=_whole(record.get("ExitSignal")) if by_signal else 0,
        account=str(record.get("AcctGroup") or ""),
        said={_REMOVED: "Removed", _COMPLETED: "Completed"}.get(status, str(status)),
    )


def _state(status: int, code: int, by_signal: bool, record: t.Mapping[str, t.Any]) -> str:
    if status == _COMPLETED:
        return "failed" if code or by_signal else "completed"
    if status == _REMOVED:
        # A hold for memory (34) or run time (46, 47) that a policy made a removal of.
        reason = _whole(record.get("HoldReasonCode"), record.get("LastHoldReasonCode"))
        return {34: "out_of_memory", 46: "timeout", 47: "timeout"}.get(reason, "cancelled")
    return "unknown"


def _host(slot: str) -> str:
    """slot1_1@htc-1.example.org -> htc-1"""
    return slot.rpartition("@")[2].split(".")[0]


def _whole(*values: t.Any) -> int:
    """The first that is a number: an attribute may be an expression, which JSON has as a text."""
    return next((int(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)), 0)
