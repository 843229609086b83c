# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the waiting jobs need: equal jobs are one class with a count, whatever their number."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import (
    FREE,
    PACK,
    SCATTER,
    Chunk,
    Job,
    Queue,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.coarse import coarser
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import job_key

Order = tuple[float, int, int, str]
Pairs = tuple[tuple[str, float], ...]


class Piece:
    """``count`` equal pieces of a job. Each is on one node: CPUs, MiB of memory, GPUs, other consumables, labels."""

    __slots__ = ("count", "cpus", "gpus", "labels", "memory", "resources")

    def __init__(self, chunk: Chunk) -> None:
        self.count = max(1, chunk.count)
        self.cpus, self.memory, self.gpus = chunk.cpus, chunk.memory_mib, chunk.gpus
        self.resources: Pairs = tuple((name, value) for name, value in chunk.resources if value > 0)
        self.labels = chunk.labels

    @property
    def text(self) -> str:
        """What it needs, for people."""
        found = [f"{self.cpus} CPUs" if self.cpus != 1 else "1 CPU"]
        found += [f"{self.memory / 1024:.4g} GiB"] if self.memory else []
        found += [f"{self.gpus} GPUs" if self.gpus != 1 else "1 GPU"] if self.gpus else []
        found += [f"{value:g} {name}" for name, value in self.resources]
        found += [f"{name}={value}" for name, value in self.labels]
        return ", ".join(found)


@dataclass
class JobClass:
    """Jobs that need the same. ``jobs`` are (job, tasks that could start) in the order in which they would start.

    ``number`` is the place of the class in a fixed order. ``spread`` is scatter when every piece needs a node of its
    own. ``size`` is how many pieces one job has, ``count`` how many jobs (tasks of arrays) there are. ``per_node`` is
    how many of them one node may hold at most, 0 for as many as fit.
    """

    number: int
    pieces: tuple[Piece, ...]
    spread: str
    exclusive: bool
    one_group: bool
    partitions: tuple[str, ...]
    jobs: list[tuple[Job, int]] = field(default_factory=list)
    count: int = 0
    size: int = 0
    per_node: int = 0

    def __post_init__(self) -> None:
        self.size = sum(piece.count for piece in self.pieces)

    @property
    def text(self) -> str:
        """What one job of it needs, for people."""
        parts = [f"{piece.count} x ({piece.text})" if piece.count > 1 else piece.text for piece in self.pieces]
        words = [" + ".join(parts)]
        words += ["alone on its nodes"] if self.exclusive else []
        words += ["in one placement group"] if self.one_group else []
        return ", ".join(words)


@dataclass
class Demand:
    """Classes in a fixed order; ``held`` are pending jobs that would not start even if there were machines."""

    classes: list[JobClass]
    held: list[Job]
    of_job: dict[str, int]

    @property
    def count(self) -> int:
        """How many tasks wait for machines."""
        return sum(item.count for item in self.classes)


def order(job: Job) -> Order:
    """The order in which jobs get machines: higher priority first, then those that asked first."""
    return (-job.priority, *job_key(job))


def demand(queue: Queue, memories: t.Collection[int] = ()) -> Demand:
    """The classes of all pending jobs that could start if there were machines.

    ``memories`` in MiB are what nodes have: with them, `coarse` keeps the number of classes within bounds.
    """
    found: dict[t.Any, list[tuple[Job, int]]] = {}
    held = []
    for job in queue.jobs:
        if job.state != "pending":
            continue
        tasks = max(1, job.tasks)
        ready = tasks if job.startable is None else min(job.startable, tasks)
        if ready > 0:
            found.setdefault(key(job), []).append((job, ready))
        else:
            held.append(job)
    found = _merged(found, coarser(found, memories))
    classes: list[JobClass] = []
    of_job: dict[str, int] = {}
    for number, known in enumerate(sorted(found)):
        jobs = sorted(found[known], key=lambda item: order(item[0]))
        chunks, spread, exclusive, one_group, partitions = known
        pieces = tuple(Piece(Chunk(*chunk)) for chunk in chunks)
        count = sum(tasks for _job, tasks in jobs)
        classes.append(JobClass(number, pieces, spread, exclusive, one_group, partitions, jobs, count))
        of_job.update((job.id, number) for job, _tasks in jobs)
    return Demand(classes, sorted(held, key=order), of_job)


def _merged(
    found: t.Mapping[t.Any, list[tuple[Job, int]]], instead: t.Mapping[t.Any, t.Any]
) -> dict[t.Any, list[tuple[Job, int]]]:
    merged: dict[t.Any, list[tuple[Job, int]]] = {}
    for known, jobs in found.items():
        merged.setdefault(instead[known], []).extend(jobs)
    return merged


def key(job: Job) -> tuple[t.Any, ...]:
    """Equal for jobs that need the same, and ordered: plain tuples only."""
    chunks: tuple[Chunk, ...] = job.chunks
    if not chunks:
        nodes = max(1, job.node_count)
        chunks = (Chunk(nodes, max(1, -(-job.cpus // nodes))),)
    spread = job.spread
    if len(chunks) == 1 and chunks[0].count <= 1:
        spread = FREE
    elif spread == PACK:
        chunks, spread = (_packed(chunks),), FREE
    elif job.one_group and spread != SCATTER and len(chunks) == 1 and job.node_count >= chunks[0].count:
        spread = SCATTER
    plain = tuple(
        (chunk.count, chunk.cpus, chunk.memory_mib, chunk.gpus, chunk.resources, chunk.labels) for chunk in chunks
    )
    alone = len(plain) == 1 and plain[0][0] <= 1
    return (plain, spread, job.exclusive, job.one_group and not alone, tuple(sorted(job.partitions)))


def _packed(chunks: t.Sequence[Chunk]) -> Chunk:
    """All pieces on one node are one piece. Labels that contradict each other stay side by side: no node has both."""
    resources: dict[str, float] = {}
    labels: set[tuple[str, str]] = set()
    for chunk in chunks:
        labels.update(chunk.labels)
        for name, value in chunk.resources:
            resources[name] = resources.get(name, 0) + value * chunk.count
    return Chunk(
        1,
        sum(chunk.cpus * chunk.count for chunk in chunks),
        sum(chunk.memory_mib * chunk.count for chunk in chunks),
        sum(chunk.gpus * chunk.count for chunk in chunks),
        tuple(sorted(resources.items())),
        tuple(sorted(labels)),
    )
