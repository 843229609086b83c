# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue as Prometheus reads it: text in the exposition format, for any scheduler. Pure.

prometheus_client would write the same lines, but it is no part of Python, and this runs on nodes.
Names of users, queues and reasons come from people: they are escaped, cut, and bounded in number.
"""

from __future__ import annotations

import collections
import typing as t
from dataclasses import dataclass, field

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode

SLURM = "slurm"
JOB_STATES = ("pending", "configuring", "running", "completing", "suspended")
NODE_STATES = ("idle", "busy", "drained", "down", "powering_up", "powering_down", "powered_down")
UP = ("idle", "busy", "drained")
OTHERS = "(others)"
"""What stands for the names beyond a limit. No account can be called so."""
USERS, REASONS, QUEUES = 50, 20, 50
_LONGEST = 100
_USING = ("running", "completing", "suspended")
_EXPORTER_PORT = 9100

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Kind:
    """Nodes of one node array with one size: what their names begin with, and what one costs in USD/hour."""

    node_array: str
    vm_size: str
    prefix: str
    price: float = 0.0


@dataclass
class Family:
    """One metric with all its samples."""

    name: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)

    def add(self, value: float, **labels: str) -> None:
        """Add to the sample with these labels."""
        # Escaped already here: Prometheus takes nothing of a file in which two samples have the same labels.
        key = tuple(sorted((label, escaped(text)) for label, text in labels.items()))
        self.samples[key] = self.samples.get(key, 0.0) + value

    def lines(self) -> t.Iterator[str]:
        """The lines of the exposition format."""
        yield f"# HELP {self.name} {escaped(self.help, quotes=False)}"
        yield f"# TYPE {self.name} gauge"
        for labels, value in sorted(self.samples.items()):
            inside = ",".join(f'{name}="{text}"' for name, text in labels)
            yield f"{self.name}{{{inside}}} {number(value)}" if inside else f"{self.name} {number(value)}"


def escaped(text: str, quotes: bool = True) -> str:
    """A text within a line: as long as it may be, without what would end a label or the line."""
    cut = "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text[:_LONGEST])
    cut = cut.replace("\\", "\\\\").replace("\n", "\\n")
    return cut.replace('"', '\\"') if quotes else cut


def number(value: float) -> str:
    """A value: whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))


def text(families: t.Iterable[Family]) -> str:
    """The whole text. A metric without a sample is left out."""
    return "".join(f"{line}\n" for family in families if family.samples for line in family.lines())


def of_queue(queue: Queue, kinds: t.Sequence[Kind] = (), now: int = 0) -> list[Family]:
    """What a complete observation says."""
    return [*_jobs(queue, now or queue.observed_at), *_nodes(queue, kinds)]


def of_reading(queue: Queue, seconds: float) -> list[Family]:
    """What the observation itself says; ``seconds`` is how long it took."""
    readable = Family("azure_hpc_queue_readable", "Whether the queue could be read completely.")
    readable.add(0 if queue.errors else 1, scheduler=queue.scheduler)
    observed = Family("azure_hpc_queue_observed_timestamp_seconds", "When the queue was read.")
    observed.add(queue.observed_at)
    took = Family("azure_hpc_queue_read_seconds", "How long reading the queue took.")
    took.add(seconds)
    skipped = Family("azure_hpc_queue_skipped_jobs", "Jobs that could not be understood.")
    skipped.add(len(queue.skipped))
    return [readable, observed, took, skipped]


def _jobs(queue: Queue, now: int) -> list[Family]:
    jobs = Family("azure_hpc_jobs", "Jobs (tasks of job arrays count each) by state and queue.")
    cpus = Family("azure_hpc_job_cpus", "CPUs that jobs have asked for, by state and queue.")
    users = Family("azure_hpc_user_jobs", "Jobs by user and state.")
    waiting = Family("azure_hpc_pending_jobs", "Waiting jobs by the scheduler's reason.")
    oldest = Family("azure_hpc_oldest_pending_job_seconds", "For how long the oldest waiting job has waited.")
    known = dict.fromkeys(name for node in queue.nodes for name in node.partitions)
    queue_of = _bounded([_queue(job) for job in queue.jobs] + list(known), QUEUES)
    user_of = _bounded([job.user for job in queue.jobs], USERS)
    reason_of = _bounded([_reason(job) for job in queue.jobs if job.state == "pending"], REASONS)
    age: dict[str, float] = {}
    for name in dict.fromkeys(queue_of(one) for one in known):
        age[name] = 0.0
        for state in JOB_STATES:
            jobs.add(0, state=state, queue=name)
    for job in queue.jobs:
        name, many = queue_of(_queue(job)), max(1, job.tasks)
        jobs.add(many, state=job.state, queue=name)
        cpus.add(many * job.cpus, state=job.state, queue=name)
        users.add(many, user=user_of(job.user), state=job.state)
        if job.state == "pending":
            waiting.add(many, reason=reason_of(_reason(job)))
            waited = float(max(0, now - job.submitted_at)) if job.submitted_at else 0.0
            age[name] = max(age.get(name, 0.0), waited)
    for name, waited in age.items():
        oldest.add(waited, queue=name)
    return [jobs, cpus, users, waiting, oldest]


def _queue(job: Job) -> str:
    return job.partitions[0] if job.partitions else ""


def _reason(job: Job) -> str:
    """The word of a reason: what follows a colon or a comma names nodes and jobs, and is another one each time."""
    return (job.blocked or job.reason).split(":", 1)[0].split(",", 1)[0].strip() or "unknown"


def _bounded(names: t.Iterable[str], most: int) -> t.Callable[[str], str]:
    """What to call each name: the most frequent ones by themselves, all others alike."""
    counts = collections.Counter(names)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    kept = set(ordered if len(ordered) <= most else ordered[: most - 1])
    return lambda name: name if name in kept else OTHERS


def _nodes(queue: Queue, kinds: t.Sequence[Kind]) -> list[Family]:
    nodes = Family("azure_hpc_nodes", "Nodes that the scheduler knows, by state and node array.")
    cpus = Family("azure_hpc_cpus", "CPUs of nodes that are up, by use and node array.")
    cost = Family("azure_hpc_cost_dollars_per_hour", "List price of the nodes that there are, by node array.")
    used = _cpus_by_node(queue)
    find = _finder(kinds)
    for kind in kinds:
        for state in NODE_STATES:
            nodes.add(0, state=state, node_array=kind.node_array)
        for use in ("used", "free"):
            cpus.add(0, state=use, node_array=kind.node_array)
        cost.add(0, node_array=kind.node_array)
    for node in queue.nodes:
        known, state = find(node), node_state(node, queue.scheduler)
        array = known.node_array if known else array_of(node)
        nodes.add(1, state=state, node_array=array)
        if known is not None and state not in ("powered_down", "down"):
            cost.add(known.price, node_array=array)
        if state in UP:
            busy = min(
                float(node.cpus), used[node.name] if queue.scheduler == SLURM else float(node.cpus - node.free_cpus)
            )
            cpus.add(busy, state="used", node_array=array)
            cpus.add(node.cpus - busy, state="free", node_array=array)
    return [nodes, cpus, cost]


def _cpus_by_node(queue: Queue) -> t.Mapping[str, float]:
    """CPUs in use on each node, as far as jobs tell: a job's are spread evenly over its nodes."""
    used: dict[str, float] = collections.defaultdict(float)
    for job in queue.jobs:
        if job.state in _USING and job.nodes:
            for name in job.nodes:
                used[name] += job.cpus / len(job.nodes)
    return used


def _finder(kinds: t.Sequence[Kind]) -> t.Callable[[QueueNode], t.Optional[Kind]]:
    """Which kind a node is of: by how its name begins (Slurm), or by its labels, which are the same two words."""
    by_prefix = {kind.prefix: kind for kind in kinds}
    by_array: dict[str, list[Kind]] = collections.defaultdict(list)
    for kind in kinds:
        by_array[kind.node_array].append(kind)

    def find(node: QueueNode) -> t.Optional[Kind]:
        labels = dict(node.labels)
        array = labels.get("node_array", "")
        named = by_prefix.get(node.name.rpartition("-")[0]) or by_prefix.get(f"{array}-{labels.get('vm_size', '')}")
        only = by_array.get(array, [])
        return named or (only[0] if len(only) == 1 else None)

    return find


def array_of(node: QueueNode) -> str:
    """The node array that a node says it belongs to, '' if it does not."""
    return dict(node.labels).get("node_array", "")


def node_state(node: QueueNode, scheduler: str = SLURM) -> str:
    """One of `NODE_STATES`. Slurm has words of its own for it, the others have ``up``, ``drained`` and ``jobs``."""
    flags = node.flags
    if scheduler != SLURM:
        if not node.up:
            return "down"
        return "drained" if node.drained else "busy" if node.jobs else "idle"
    # Slurm says several at once; what a node is on its way to counts more than what it was.
    words = (
        ("powering_down", {"POWERING_DOWN", "POWER_DOWN"}),
        ("powering_up", {"POWERING_UP", "POWER_UP"}),
        ("powered_down", {"POWERED_DOWN"}),
        ("down", {"DOWN", "NOT_RESPONDING", "FAIL", "UNKNOWN", "FUTURE"}),
        ("drained", {"DRAIN", "DRAINED", "DRAINING", "MAINTENANCE"}),
        ("busy", {"ALLOCATED", "MIXED", "COMPLETING"}),
    )
    return next((state for state, some in words if flags & some), "idle")


def targets(
    queue: Queue, kinds: t.Sequence[Kind] = (), cluster: str = "", port: int = _EXPORTER_PORT
) -> list[dict[str, t.Any]]:
    """The nodes that Prometheus should ask, as its file_sd has them: those that have a machine.

    Also those that the scheduler calls down: what they say themselves tells more about why.
    """
    find = _finder(kinds)
    found = []
    for node in queue.nodes:
        address = node.address or node.hostname or node.name
        if node_state(node, queue.scheduler) not in (*UP, "down") or ("CLOUD" in node.flags and not node.instance_id):
            continue
        kind = find(node)
        labels = {
            "instance": node.name,
            "hpc_cluster": cluster,
            "hpc_role": "compute",
            "node_array": kind.node_array if kind else array_of(node),
        }
        where = f"[{address}]" if ":" in address else address
        found.append({"targets": [f"{where}:{port}"], "labels": labels})
    return sorted(found, key=lambda one: str(one["labels"]["instance"]))
