# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scheduler says: jobs and nodes, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A job (or the pending rest of a job array, ``tasks`` of them).

    ``id`` is what the scheduler's commands accept. Times are seconds since the epoch, 0 when unknown. ``nodes`` are
    node names. ``state`` is one of pending, configuring, running, completing, suspended, done. ``reason`` is the
    scheduler's own word for why it waits; ``note`` is what a pass wrote on it (Slurm AdminComment).
    """

    id: str
    state: str
    partitions: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    node_count: int = 0
    cpus: int = 0
    tasks: int = 1
    name: str = ""
    user: str = ""
    reason: str = ""
    note: str = ""
    submitted_at: int = 0
    started_at: int = 0


@dataclass(frozen=True)
class QueueNode:
    """A node as the scheduler sees it.

    ``flags`` are the scheduler's state words, upper case (Slurm: IDLE, ALLOCATED, CLOUD, POWERING_UP, ...).
    ``instance_id`` is the claim: the resource id of the instance that this node is bound to, '' when none.
    """

    name: str
    flags: frozenset[str]
    partitions: tuple[str, ...] = ()
    instance_id: str = ""
    address: str = ""
    hostname: str = ""
    reason: str = ""
    reason_at: int = 0
    cpus: int = 0
    memory_mib: int = 0
    registered_at: int = 0
    last_busy: int = 0


@dataclass(frozen=True)
class Queue:
    """All that one observation of the scheduler found. ``observed_at`` is the scheduler host's clock.

    ``errors`` not empty means that the observation is not complete, and nothing may be decided from it.
    """

    scheduler: str
    cluster: str
    observed_at: int
    jobs: tuple[Job, ...] = ()
    nodes: tuple[QueueNode, ...] = ()
    errors: tuple[str, ...] = ()
