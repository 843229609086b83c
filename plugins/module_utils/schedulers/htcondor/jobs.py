# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTCondor's job ads as jobs of the planner: state, needs, what keeps a job from starting."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, Chunk, Job

from . import classad, commands, requests
from .classad import ClassAdError, Expression
from .functions import UNDEFINED
from .requests import Machines

IDLE, RUNNING, HELD, TRANSFERRING, SUSPENDED = 1, 2, 5, 6, 7
_STATES: t.Mapping[int, str] = {
    IDLE: "pending", RUNNING: "running", HELD: "pending", TRANSFERRING: "completing", SUSPENDED: "suspended"
}  # fmt: skip
PARALLEL = 11
# Jobs of these universes run where they were handed in: scheduler, grid, local.
_ELSEWHERE = frozenset((7, 9, 12))
_EXPRESSION = re.compile(r"/Expr\((.*)\)/", re.DOTALL)
# At most so many further attributes are asked for; each is a name.
_MORE = 40
JsonAd = t.Mapping[str, t.Any]


def read(
    ads: t.Sequence[JsonAd], machines: Machines, known: t.Optional[t.Mapping[str, float]] = None
) -> tuple[list[Job], list[str]]:
    """All jobs, and why single ones were skipped. ``known`` are limits of what jobs may use together, by name."""
    groups: dict[t.Any, list[Job]] = {}
    skipped: list[str] = []
    free = _left(ads, known or {})
    for at, ad in enumerate(ads):
        try:
            status, universe = _whole(ad, "JobStatus"), _whole(ad, "JobUniverse")
            if status not in _STATES or universe in _ELSEWHERE:
                continue
            job = _job(ad, status, machines, free)
        except (ClassAdError, KeyError, RecursionError) as error:
            skipped.append(f"job {ad.get('ClusterId', '?')}.{ad.get('ProcId', at)}: {_said(error)}")
            continue
        groups.setdefault(_alike(job), []).append(job)
    return _merged(list(groups.values())), skipped


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    return "an expression in it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _whole(ad: JsonAd, key: str) -> int:
    value = ad[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ClassAdError(f"its {key} is not a whole number")
    return value


def values(ad: JsonAd) -> dict[str, t.Any]:
    """A job's ad with expressions read and names in lower case; an attribute that is none of ours and not understood is
    left out. Raises ClassAdError for one that counts."""
    found: dict[str, t.Any] = {}
    for name, value in ad.items():
        match = _EXPRESSION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            found[name.lower()] = UNDEFINED if value is None else value
            continue
        try:
            found[name.lower()] = _parsed(match.group(1))
        except ClassAdError as error:
            if name.startswith("Request") or name == "Requirements":
                raise ClassAdError(f"its {name} cannot be read: {error}") from None
    return found


_PARSED: dict[str, Expression] = {}


def _parsed(text: str) -> Expression:
    # Thousands of jobs share few expressions.
    if text not in _PARSED:
        if len(_PARSED) > 20_000:
            _PARSED.clear()
        _PARSED[text] = classad.parse(text)
    return _PARSED[text]


def _job(ad: JsonAd, status: int, machines: Machines, free: t.Mapping[str, float]) -> Job:
    state = _STATES[status]
    parallel = _whole(ad, "JobUniverse") == PARALLEL
    count = max(1, int(_number(ad, "MaxHosts"))) if parallel else 1
    needs: dict[str, t.Any] = {}
    if state == "pending":
        needs = _needs(values(ad), count, parallel, machines)
        blocked = _blocked(ad, status) or needs.pop("blocked")
        startable, over = _within_limits(ad, free)
        needs |= {"startable": 0, "blocked": blocked} if blocked else {"startable": startable, "blocked": over}
    nodes = _nodes(ad) if state != "pending" else ()
    return Job(
        id=f"{_whole(ad, 'ClusterId')}.{_whole(ad, 'ProcId')}",
        state=state,
        nodes=nodes,
        node_count=len(nodes),
        name=_text(ad, "JobBatchName") or _text(ad, "Cmd").rpartition("/")[2],
        user=_text(ad, "Owner"),
        reason=_text(ad, "HoldReason") or _text(ad, "LastRejMatchReason").strip(),
        note=_text(ad, commands.COMMENT),
        submitted_at=int(_number(ad, "QDate")),
        started_at=int(_number(ad, "JobCurrentStartDate")) if state != "pending" else 0,
        priority=_number(ad, "JobPrio"),
        **needs,
    )


def _needs(job: dict[str, t.Any], count: int, parallel: bool, machines: Machines) -> dict[str, t.Any]:
    requirements = job.get("requirements", True)
    if not isinstance(requirements, Expression):
        requirements = _parsed("true" if requirements is True else "false")
    whole = job.get("wantwholenode") is True
    if whole:
        job = {**job, "requestcpus": requests.amount(job, "jobcpus", 1)}
    labels, blocked = machines.labels(requirements, job)
    chunk = Chunk(
        count=count,
        cpus=max(1, requests.amount(job, "requestcpus", 1)),
        memory_mib=requests.memory(job),
        gpus=requests.amount(job, "requestgpus"),
        labels=labels,
    )
    return {
        "chunks": (chunk,),
        "cpus": chunk.cpus * count,
        "spread": FREE,
        "exclusive": whole,
        "one_group": parallel and job.get("wantparallelschedulinggroups") is True,
        "blocked": blocked,
    }


def _blocked(ad: JsonAd, status: int) -> str:
    """What keeps a job from starting whatever machines there are."""
    if status == HELD:
        return f"it is held: {_text(ad, 'HoldReason') or 'no reason given'}"
    return ""


def limits(settings: t.Mapping[str, str]) -> dict[str, float]:
    """What jobs may use together (ConcurrencyLimits), from the pool's configuration: NAME_LIMIT = number."""
    found = {}
    for name, value in settings.items():
        if name.endswith("_limit") and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            found[name[: -len("_limit")]] = float(value)
    return found


def wanted(ad: JsonAd) -> list[tuple[str, float]]:
    """The limits that a job counts against, with how much: ``licence:2, disk.group``."""
    found = []
    for part in _text(ad, "ConcurrencyLimits").lower().split(","):
        name, _unused, amount = part.strip().partition(":")
        if name:
            found.append((name.strip(), float(amount) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount.strip()) else 1.0))
    return found


def _left(ads: t.Sequence[JsonAd], known: t.Mapping[str, float]) -> dict[str, float]:
    """What running jobs leave of every limit."""
    left = dict(known)
    for ad in ads:
        if ad.get("JobStatus") in (RUNNING, TRANSFERRING, SUSPENDED):
            for name, amount in wanted(ad):
                if name in left:
                    left[name] -= amount
    return left


def _within_limits(ad: JsonAd, left: t.Mapping[str, float]) -> tuple[t.Optional[int], str]:
    """How many jobs like this could start within the limits (None: any number), and which limit keeps others back."""
    best: t.Optional[int] = None
    why = ""
    for name, amount in wanted(ad):
        if name in left and amount > 0:
            fit = max(0, int(left[name] // amount))
            if best is None or fit < best:
                best, why = fit, f"the limit {name} leaves room for {fit} of them"
    return best, why


def _nodes(ad: JsonAd) -> tuple[str, ...]:
    hosts = _text(ad, "AllRemoteHosts") or _text(ad, "RemoteHosts") or _text(ad, "RemoteHost")
    names = {host.rpartition("@")[2].partition(".")[0].strip().lower() for host in hosts.split(",")}
    return tuple(sorted(name for name in names if name))


def _alike(job: Job) -> t.Any:
    """Jobs with the same key become one."""
    if job.state != "pending":
        return job.id
    cluster = job.id.partition(".")[0]
    return (cluster, job.chunks, job.exclusive, job.one_group, job.startable, job.blocked, job.priority)


def _merged(groups: t.Sequence[t.Sequence[Job]]) -> list[Job]:
    """One job of each group. Its id is the cluster's number if the whole waiting cluster is in it."""
    waiting: dict[str, int] = {}
    for group in groups:
        if group[0].state == "pending":
            cluster = group[0].id.partition(".")[0]
            waiting[cluster] = waiting.get(cluster, 0) + 1
    merged = []
    for group in groups:
        first = group[0]
        cluster = first.id.partition(".")[0]
        if first.state == "pending":
            count = len(group)
            startable = None if first.startable is None else min(first.startable, count)
            blocked = "" if startable == count else first.blocked
            identity = cluster if waiting[cluster] == 1 and not first.blocked.startswith("it is held") else first.id
            note = first.note if all(job.note == first.note for job in group) else ""
            first = replace(first, id=identity, tasks=count, startable=startable, blocked=blocked, note=note)
        merged.append(first)
    return merged


def unknown_names(ads: t.Sequence[JsonAd], machines: Machines) -> tuple[str, ...]:
    """Names that waiting jobs' requests use and that neither machines nor the attributes asked for have."""
    asked = {name.lower() for name in commands.JOB_ATTRIBUTES}
    found: set[str] = set()
    texts = set()
    for ad in ads:
        if ad.get("JobStatus") == IDLE:
            for value in ad.values():
                match = _EXPRESSION.fullmatch(value) if isinstance(value, str) else None
                if match:
                    texts.add(match.group(1))
    for text in texts:
        try:
            found |= _parsed(text).names
        except (ClassAdError, RecursionError):
            continue
    names = sorted(name for name in found - asked - machines.names if re.fullmatch(r"[a-z_][a-z0-9_]{0,63}", name))
    return tuple(names[:_MORE])


def _number(ad: JsonAd, key: str) -> float:
    value = ad.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _text(ad: JsonAd, key: str) -> str:
    value = ad.get(key)
    return value if isinstance(value, str) else ""
