"""HTCondor in the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from demo.session import Session
from demo.timeline import JobLine, NodeSeen, Time

_STATES = {
    1: "PENDING", 2: "RUNNING", 3: "CANCELLED", 4: "COMPLETED", 5: "HELD", 6: "COMPLETING", 7: "SUSPENDED"
}  # fmt: skip
_COMMENT = "HpcComment"


class HTCondor:
    """See `demo.schedulers.Kind`."""

    name = "htcondor"
    commands = (
        "mpicc -O2 -o mpi_test mpi_test.c",
        "condor_submit mpi.sub",
        "condor_submit array.sub",
        "condor_submit toobig.sub",
    )
    look = (
        "condor_q -allusers -json && echo --- && condor_history -json -limit 1000 && echo --- "
        "&& condor_status -startd -json && echo --- && condor_status -json"
    )

    def read(self, text: str, machines: Mapping[str, str]) -> tuple[list[NodeSeen], list[JobLine]]:
        """A node is a machine: its name is the computer name."""
        queued, ended, daemons, slots = (_list(part) for part in text.split("---\n"))
        lines = {line.id: line for line in map(job, (*ended, *queued))}
        pool = {_short(str(ad["Machine"])): ad for ad in daemons}
        busy = {_short(str(ad["Machine"])) for ad in slots if ad.get("Activity") == "Busy"}
        names = sorted({*machines, *pool})
        return [_node(name, pool.get(name), name in busy, machines) for name in names], list(lines.values())

    def nodes_of(self, session: Session, head: str, text: str) -> list[str]:
        """The names of a job's nodes, which have commas between them."""
        return text.split(",")

    def owner_sees(self, session: Session, login: str) -> tuple[str, str, str]:
        """condor_q's line, and the attribute that passes write."""
        constraint = """-constraint 'JobBatchName == "toobig"'"""
        line = session.ssh(login, f"condor_q {constraint} -af:j JobStatus RequestCpus RequestMemory").strip()
        note = session.ssh(login, f"condor_q {constraint} -af {_COMMENT}").strip()
        return line.split()[0], line, f"{_COMMENT} = {note}"

    def cancel(self, job: str) -> str:
        """See `demo.schedulers.Kind`."""
        return f"condor_rm {job}"


def _list(text: str) -> list[dict[str, Any]]:
    """What a command printed as JSON: nothing at all where there is nothing."""
    return list(json.loads(text)) if text.strip() else []


def _short(host: str) -> str:
    return host.partition(".")[0].lower()


def _node(name: str, ad: Mapping[str, Any] | None, busy: bool, machines: Mapping[str, str]) -> NodeSeen:
    up: Time = float(ad["DaemonStartTime"]) if ad else None
    going = bool(ad and ad.get("Draining"))
    word = "booting" if ad is None else "draining" if going else "busy" if busy else "idle"
    return NodeSeen(name, word, instance=machines.get(name, ""), wanted=name in machines, up_since=up, going=going)


def job(ad: Mapping[str, Any]) -> JobLine:
    """A job ad of condor_q or condor_history."""
    state = _STATES.get(ad["JobStatus"], str(ad["JobStatus"]))
    hosts = ad.get("AllRemoteHosts") or ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""
    names = sorted({_short(host.rpartition("@")[2]) for host in str(hosts).split(",") if host})
    started = _time(ad.get("JobStartDate"))
    return JobLine(
        id=f"{ad['ClusterId']}.{ad['ProcId']}",
        name=str(ad.get("JobBatchName", "")),
        comment=str(ad.get("JobDescription", "")),
        partition="",
        state=state,
        nodes=",".join(names) if started else "",
        cpus=_number(ad.get("RequestCpus")) * (_number(ad.get("MaxHosts")) or 1),
        submitted=_time(ad.get("QDate")),
        started=started,
        ended=_time(ad.get("CompletionDate") or ad.get("EnteredCurrentStatus")) if ad["JobStatus"] in (3, 4) else None,
        reason=str(ad.get("HoldReason", "")),
        note=str(ad.get(_COMMENT, "")),
        exit_code=_number(ad.get("ExitCode")) if "ExitCode" in ad else None,
        word=state.lower(),
    )


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _time(value: Any) -> Time:
    return float(value) if isinstance(value, (int, float)) and value else None
