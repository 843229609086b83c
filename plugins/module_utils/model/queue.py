# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scheduler says: jobs and nodes, as values."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

OWN_WORDS = ("accounts: ", "join: ", "mounts: ")
"""How the reasons begin by which nodes themselves say why they take no jobs."""


@dataclass(frozen=True)
class Chunk:
    """``count`` alike pieces of a job; each piece is on one node, and a node may hold several pieces.

    A piece needs ``cpus`` (as the scheduler counts them), ``memory_mib`` and ``gpus`` of its node, the amounts of
    ``resources`` (consumable, by name), and a node that has all ``labels`` (name, value). Pairs are sorted by name.
    """

    count: int = 1
    cpus: int = 1
    memory_mib: int = 0
    gpus: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


FREE, PACK, SCATTER = "free", "pack", "scatter"


@dataclass(frozen=True)
class Job:
    """A job (or the pending rest of a job array, ``tasks`` of them, each with the needs that the job states).

    ``id`` is what the scheduler's commands accept. Times are seconds since the epoch, 0 when unknown. ``nodes`` are
    node names. ``state`` is one of pending, configuring, running, completing, suspended, done. ``reason`` is the
    scheduler's own word for why it waits; ``note`` is what a pass wrote on it (Slurm AdminComment, PBS comment).
    ``partitions`` are the queues in the words of the other schedulers; empty means any.

    Where the planner packs jobs, pending jobs state what they need: ``chunks``, and ``spread`` over nodes: ``free``
    (anywhere), ``pack`` (all on one node) or ``scatter`` (every piece on a node of its own). ``exclusive``: alone on
    its nodes; ``one_group``: all nodes in one placement group. ``startable`` is how many of the tasks could start if
    there were machines (None: all; 0: held, dependent, queue stopped, over a limit), ``blocked`` why others could not.
    Jobs with a higher ``priority`` come first, then those that were submitted first.
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
    chunks: tuple[Chunk, ...] = ()
    spread: str = FREE
    exclusive: bool = False
    one_group: bool = False
    priority: float = 0.0
    startable: t.Optional[int] = None
    blocked: str = ""


@dataclass(frozen=True)
class QueueNode:
    """A node as the scheduler sees it.

    ``flags`` are the scheduler's state words, upper case (Slurm: IDLE, ALLOCATED, CLOUD, POWERING_UP, ...).
    ``instance_id`` is the claim: the resource id of the instance that this node is bound to, '' when none (only
    Slurm has claims; elsewhere the host name says which instance a node is).

    The rest is for schedulers whose jobs the planner packs. ``up``: it answers and its daemon is there; ``drained``: it
    gets no new jobs, whoever said so; ``jobs``: how many run on it; ``idle_since``: since when it has had none, epoch
    seconds, 0 when unknown. ``free_*`` is what new jobs could have; totals are ``cpus``, ``memory_mib``, ``gpus``,
    ``resources``. ``labels`` are what jobs can ask for by name and value, sorted by name.
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
    up: bool = False
    drained: bool = False
    jobs: int = 0
    idle_since: int = 0
    gpus: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    free_cpus: int = 0
    free_memory_mib: int = 0
    free_gpus: int = 0
    free_resources: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Unwell:
    """Why the machine with this private ``address`` says that it must take no jobs; ``at`` in epoch seconds."""

    address: str
    reason: str
    at: int = 0


@dataclass(frozen=True)
class Queue:
    """All that one observation of the scheduler found. ``observed_at`` is the scheduler host's clock.

    ``errors`` not empty means that the observation is not complete, and nothing may be decided from it. ``skipped``
    are single jobs that could not be understood, with the reason; the others are complete. ``adds_nodes``: nodes have
    to be added to the scheduler (`plan.Add`) before they can join; ``kicks``: it looks at the queue only from time to
    time, so that `plan.Kick` helps jobs to start on nodes that have just joined. ``unwell`` is what machines, up or
    booting, said on the head instead of to their scheduler.
    """

    scheduler: str
    cluster: str
    observed_at: int
    jobs: tuple[Job, ...] = ()
    nodes: tuple[QueueNode, ...] = ()
    errors: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    adds_nodes: bool = False
    kicks: bool = False
    unwell: tuple[Unwell, ...] = ()
