# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended: the same facts whatever the scheduler."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

# What became of a job. ``requeued`` is one run of a job that was begun again later; ``failed`` is an exit status other
# than 0 or an end by a signal that nobody explains.
STATES = (
    "completed",
    "failed",
    "cancelled",
    "timeout",
    "node_failed",
    "out_of_memory",
    "preempted",
    "requeued",
    "unknown",
)


@dataclass(frozen=True)
class PastJob:
    """One job, or one task of an array, that has ended.

    Times are seconds since the epoch, 0 where there is none: a job that was cancelled as it waited never started.
    ``cores`` are those that it had (hardware threads, as the scheduler counts), ``cpu_seconds`` is their number times
    the seconds that it had them, used or not. ``said`` is the scheduler's own word for the state. ``account`` is ''
    where the job named none. Names are users' text: show them, do nothing else with them.
    """

    id: str
    name: str
    user: str
    state: str
    submitted_at: int = 0
    started_at: int = 0
    ended_at: int = 0
    nodes: tuple[str, ...] = ()
    node_count: int = 0
    cores: int = 0
    cpu_seconds: int = 0
    exit_code: int = 0
    signal: int = 0
    account: str = ""
    queue: str = ""
    said: str = ""


@dataclass(frozen=True)
class History:
    """Jobs that ended in a time, by end and id. ``errors`` say why it is incomplete, ``skipped`` what is no record."""

    scheduler: str
    jobs: tuple[PastJob, ...] = ()
    errors: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def between(
    scheduler: str, jobs: t.Iterable[PastJob], since: int, until: int, skipped: t.Sequence[str] = ()
) -> History:
    """The history of the jobs that ended from ``since`` until before ``until``."""
    chosen = [job for job in jobs if since <= job.ended_at < until]
    return History(scheduler, tuple(sorted(chosen, key=lambda job: (job.ended_at, job.id))), (), tuple(skipped))


def held(started_at: int, ended_at: int, cores: int) -> int:
    """Cores times the seconds that a job had them."""
    return cores * max(0, ended_at - started_at) if started_at else 0
