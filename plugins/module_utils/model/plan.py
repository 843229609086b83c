# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass decided: steps with reasons, as values. Every step renders itself as one line."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Grow:
    """Set the capacity of a scale set to an absolute number (Azure)."""

    scale_set: str
    capacity: int
    current: int
    reason: str


@dataclass(frozen=True)
class Shrink:
    """Delete chosen instances of a scale set in one request (Azure); ``instance_ids`` are the numbers in the set."""

    scale_set: str
    instance_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class MarkUnavailable:
    """Remember on the scale set (a tag) that it cannot grow until ``until``; ``until`` 0 forgets it (Azure)."""

    scale_set: str
    until: int
    code: str
    count: int
    reason: str


@dataclass(frozen=True)
class Claim:
    """Bind a scheduler node to an instance (scheduler)."""

    node: str
    instance_id: str
    address: str
    hostname: str
    reason: str


@dataclass(frozen=True)
class Add:
    """Make a node known to the scheduler, with what it offers, so that its machine can join (scheduler).

    ``cpus``, ``memory_mib`` (MiB), ``gpus``, ``resources`` and ``labels`` as in `queue.QueueNode`; ``partitions`` are
    the queues that it serves. A node of that name which is known already is brought into line.
    """

    node: str
    hostname: str
    address: str
    cpus: int
    memory_mib: int
    gpus: int
    reason: str
    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kick:
    """Have the scheduler look at its queue now (scheduler)."""

    reason: str


@dataclass(frozen=True)
class Release:
    """Unbind nodes whose instance is gone or was taken away (scheduler)."""

    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Drain:
    """Take nodes out of service with a reason that users see; ``requeue``: at once, their jobs go back to the queue."""

    nodes: tuple[str, ...]
    reason: str
    requeue: bool = False


@dataclass(frozen=True)
class Resume:
    """Return nodes to service."""

    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Wake:
    """Have the scheduler bring nodes up although no job asks for them: the nodes that an array always keeps."""

    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Remove:
    """Take nodes without jobs away: for Slurm, ask for power down, which also ends their being down; elsewhere the
    scheduler forgets them."""

    nodes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Comment:
    """Tell the owner of a job why it waits. The text is for people; the scheduler stores it as it is."""

    job: str
    text: str
    reason: str = ""


@dataclass(frozen=True)
class Unmet:
    """Jobs whose demand this pass could not meet, and why. Changes nothing."""

    jobs: tuple[str, ...]
    reason: str


AzureStep = t.Union[Grow, Shrink, MarkUnavailable]
SchedulerStep = t.Union[Claim, Add, Release, Drain, Resume, Wake, Remove, Comment, Kick]
Step = t.Union[AzureStep, SchedulerStep]


@dataclass(frozen=True)
class Plan:
    """The decisions of one pass, in the order in which they are to be carried out. False when nothing is to do."""

    azure: tuple[AzureStep, ...] = ()
    scheduler: tuple[SchedulerStep, ...] = ()
    unmet: tuple[Unmet, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.azure or self.scheduler)
