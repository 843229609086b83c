"""A scheduler that packs jobs onto machines, and a small Azure, that plans can be applied to."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, Quota, VmSize
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import (
    Admin,
    AutoscalePolicy,
    Cluster,
    Machine,
    Network,
    NodeArray,
    Partition,
    Scheduler,
    SizeChoice,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import (
    Fleet,
    Instance,
    ScaleSet,
    Unavailable,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.offers import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Job, Queue, QueueNode, Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed

GIB = 1024
SMALL, LARGE, BIG_MEMORY, GPU, FAST = (
    "Standard_D4s_v5",
    "Standard_D16s_v5",
    "Standard_E16s_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_HB120rs_v3",
)
SIZES = {
    SMALL: VmSize(SMALL, "standardDSv5Family", 4, 16 * GIB, price=0.2, spot_price=0.05),
    LARGE: VmSize(LARGE, "standardDSv5Family", 16, 64 * GIB, price=0.78, spot_price=0.2),
    BIG_MEMORY: VmSize(BIG_MEMORY, "standardESv5Family", 16, 128 * GIB, price=1.0, spot_price=0.3),
    GPU: VmSize(GPU, "standardNCADSA100v4Family", 24, 220 * GIB, gpus=1, price=3.7, spot_price=1.5),
    FAST: VmSize(FAST, "standardHBrsv3Family", 120, 448 * GIB, rdma=True, price=3.6, spot_price=0.9),
}
NOW = 1_800_000_000


def array(name: str, *sizes: str, most: int = 10, **options: t.Any) -> NodeArray:
    """A node array with the given sizes, each with as many nodes as the array."""
    return NodeArray(name, tuple(SizeChoice(size, most) for size in sizes), most, **options)


def cluster(*arrays: NodeArray, **policy: t.Any) -> Cluster:
    """A cluster with one queue for each array, and the queue ``all`` for all of them."""
    arrays = arrays or (array("htc", SMALL, LARGE), array("mem", BIG_MEMORY), array("gpu", GPU))
    queues = [Partition(item.name, (item.name,)) for item in arrays]
    return Cluster(
        name="demo",
        location="westeurope",
        resource_group="demo-rg",
        network=Network("demo-vnet", ("10.20.0.0/16",), ()),
        admin=Admin("azureuser", ()),
        head=Machine(SMALL),
        scheduler=Scheduler("openpbs"),
        node_arrays=arrays,
        partitions=(*queues, Partition("all", tuple(item.name for item in arrays))),
        autoscale=AutoscalePolicy(**policy),
    )


@dataclass(repr=False)
class World:
    """Scheduler and Azure at one moment. ``denied`` sets make Failed instances; ``silent`` ones never join; ``said`` is
    what machines, by their addresses, said on the head."""

    cluster: Cluster
    now: int = NOW
    limits: dict[str, int] = field(default_factory=dict)
    adds_nodes: bool = True
    spent: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    nodes: dict[str, QueueNode] = field(default_factory=dict)
    sets: dict[str, ScaleSet] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        self.layout: Layout = layout(self.cluster)
        self.offers = {offer.scale_set: offer for offer in offers(self.cluster, self.catalog())}
        for spec in self.layout.scale_sets:
            empty = ScaleSet("/x/" + spec.name, spec.name, spec.node_array, spec.vm_size, 0, spec.priority, spec.zone)
            self.sets.setdefault(spec.name, replace(empty, placement_group=spec.placement_group))

    def __repr__(self) -> str:
        jobs = [
            f"{job.id} {job.state} {job.chunks} tasks={job.tasks} {job.spread} exclusive={job.exclusive} "
            f"group={job.one_group} {job.priority} {job.partitions} {job.nodes}"
            for job in self.jobs.values()
        ]
        nodes = [
            f"{node.name} up={node.up} drained={node.drained} {node.reason!r} jobs={node.jobs} "
            f"free={node.free_cpus}/{node.free_memory_mib}/{node.free_gpus}"
            for node in self.nodes.values()
        ]
        sets = [f"{one.name} {[item.computer_name for item in one.instances]}" for one in self.sets.values()]
        policy = self.cluster.autoscale
        return "\n".join(["World", f"{self.now - NOW} {self.limits} {policy}", *jobs, *nodes, *sets])

    # observation

    def queue(self) -> Queue:
        found = Queue("openpbs", "demo", self.now, tuple(self.jobs.values()), tuple(self.nodes.values()))
        said = tuple(Unwell(address, reason, self.now) for address, reason in self.said.items())
        return replace(found, adds_nodes=self.adds_nodes, unwell=said)

    def fleet(self) -> Fleet:
        return Fleet(tuple(self.sets.values()), self.now)

    def catalog(self) -> Catalog:
        used = dict.fromkeys(self.limits, 0)
        for item in self.sets.values():
            size = SIZES[item.vm_size]
            for name in ("lowprioritycores",) if item.priority == "spot" else ("cores", size.family.lower()):
                if name in used:
                    used[name] += size.vcpus * len(item.instances)
        quotas = {name: Quota(name, limit, used[name]) for name, limit in self.limits.items()}
        sizes = {name.lower(): size for name, size in SIZES.items()}
        return Catalog("westeurope", sizes, quotas, spent=self.spent)

    def plan(self) -> steps.Plan:
        return packed.plan(self.cluster, self.layout, self.queue(), self.fleet(), self.catalog(), self.now)

    def settle(self, rounds: int = 4) -> int:
        """Plan and apply at one moment until there is nothing left to do; answers how many plans were not empty."""
        for count in range(rounds + 1):
            plan = self.plan()
            if not plan:
                return count
            self.apply(*plan.azure, *plan.scheduler)
        raise AssertionError(f"not settled after {rounds} rounds: {plan}")

    def machines(self, vm_size: str = "") -> int:
        """How many instances there are that stay."""
        return sum(
            one.provisioning_state == "Succeeded"
            for item in self.sets.values()
            for one in item.instances
            if not vm_size or item.vm_size == vm_size
        )

    def cost(self) -> float:
        """USD/hour of all machines."""
        found = 0.0
        for item in self.sets.values():
            price = SIZES[item.vm_size].spot_price if item.priority == "spot" else SIZES[item.vm_size].price
            found += (price or 0.0) * len(item.instances)
        return found

    # what steps do

    def apply(self, *done: steps.Step) -> None:
        for step in done:
            getattr(self, "_" + type(step).__name__.lower())(step)

    def _grow(self, step: steps.Grow) -> None:
        item = self.sets[step.scale_set]
        assert step.capacity >= len(item.instances), "a capacity below the number of machines deletes some at random"
        assert item.unavailable is None or item.unavailable.until <= self.now
        new = tuple(self.instance(item) for _unused in range(step.capacity - len(item.instances)))
        self.sets[item.name] = replace(item, capacity=step.capacity, instances=(*item.instances, *new))

    def instance(self, item: ScaleSet, **fields: t.Any) -> Instance:
        self.made += 1
        failed = item.name in self.denied
        usual = Instance(
            id=f"{item.id}/virtualMachines/{self.made}",
            scale_set=item.name,
            instance_id=str(self.made),
            computer_name=f"{self.prefix(item.name)}{self.made:06}",
            private_ip="" if failed else f"10.20.{16 + self.made // 250}.{self.made % 250 + 4}",
            provisioning_state="Failed" if failed else "Succeeded",
            created_at=self.now,
            error="AllocationFailed: Allocation failed." if failed else "",
        )
        return replace(usual, **fields)

    def prefix(self, scale_set: str) -> str:
        return next(spec.computer_name_prefix for spec in self.layout.scale_sets if spec.name == scale_set)

    def _shrink(self, step: steps.Shrink) -> None:
        item = self.sets[step.scale_set]
        gone = {one.computer_name for one in item.instances if one.instance_id in step.instance_ids}
        assert len(gone) == len(step.instance_ids), "deletes machines that are not there"
        for name in gone & set(self.nodes):
            node = self.nodes[name]
            assert not node.jobs, f"{name} loses its machine while jobs run on it"
            assert node.drained or not node.up, f"{name} could get a job while its machine is deleted"
        kept = tuple(one for one in item.instances if one.computer_name not in gone)
        self.sets[item.name] = replace(item, capacity=max(0, item.capacity - len(gone)), instances=kept)

    def _markunavailable(self, step: steps.MarkUnavailable) -> None:
        found = Unavailable(step.until, step.code, step.count) if step.until else None
        self.sets[step.scale_set] = replace(self.sets[step.scale_set], unavailable=found)

    def _add(self, step: steps.Add) -> None:
        assert self.adds_nodes
        self.nodes.setdefault(step.node, QueueNode(step.node, frozenset(("DOWN",)), address=step.address))

    def _drain(self, step: steps.Drain) -> None:
        assert step.reason.startswith("azure_hpc: ")
        for name in step.nodes:
            self.change(name, drained=True, reason=step.reason)
            if step.requeue:
                self.change(name, jobs=0)
                for job in [job for job in self.jobs.values() if name in job.nodes]:
                    self.jobs[job.id] = replace(job, state="pending", nodes=())

    def _resume(self, step: steps.Resume) -> None:
        for name in step.nodes:
            self.change(name, drained=False, reason="")

    def _remove(self, step: steps.Remove) -> None:
        for name in step.nodes:
            assert not self.nodes[name].jobs
            del self.nodes[name]

    def _kick(self, step: steps.Kick) -> None:
        pass

    def _comment(self, step: steps.Comment) -> None:
        assert self.jobs[step.job].note != step.text
        self.jobs[step.job] = replace(self.jobs[step.job], note=step.text)

    # the scheduler

    def change(self, name: str, **fields: t.Any) -> None:
        self.nodes[name] = replace(self.nodes[name], **fields)

    def submit(self, job: str, cpus: int = 1, memory: int = GIB, gpus: int = 0, nodes: int = 1, **fields: t.Any) -> Job:
        """A pending job of ``nodes`` chunks."""
        labels = fields.pop("labels", ())
        chunk = Chunk(nodes, cpus, memory, gpus, fields.pop("resources", ()), labels)
        usual = Job(job, "pending", ("all",), chunks=(chunk,), submitted_at=self.now)
        self.jobs[job] = replace(usual, **fields)
        return self.jobs[job]

    def node_of(self, one: Instance) -> QueueNode:
        offer = self.offers[one.scale_set]
        return QueueNode(
            one.computer_name,
            frozenset(),
            offer.partitions,
            address=one.private_ip,
            up=True,
            cpus=offer.cpus,
            memory_mib=offer.memory_mib,
            gpus=offer.gpus,
            free_cpus=offer.cpus,
            free_memory_mib=offer.memory_mib,
            free_gpus=offer.gpus,
            labels=offer.labels,
            idle_since=self.now,
            registered_at=self.now,
        )

    def join(self) -> None:
        """All machines that boot are up now."""
        for item in self.sets.values():
            for one in item.instances:
                known = self.nodes.get(one.computer_name)
                alive = one.provisioning_state == "Succeeded" and item.name not in self.silent
                if alive and (known is None or not known.up):
                    self.nodes[one.computer_name] = self.node_of(one)

    def run(self, job: str, *names: str) -> None:
        """A job starts, with an equal share of its pieces on each node."""
        found = self.jobs[job]
        chunk = found.chunks[0]
        for name in names:
            node, share = self.nodes[name], chunk.count // len(names)
            self.change(
                name,
                jobs=node.jobs + 1,
                idle_since=0,
                free_cpus=node.free_cpus - chunk.cpus * share,
                free_memory_mib=node.free_memory_mib - chunk.memory_mib * share,
                free_gpus=node.free_gpus - chunk.gpus * share,
            )
        self.jobs[job] = replace(found, state="running", nodes=names)

    def finish(self, job: str) -> None:
        """A job ends, and its nodes are idle."""
        for name in self.jobs.pop(job).nodes:
            node = self.nodes[name]
            self.change(
                name,
                jobs=0,
                idle_since=self.now,
                free_cpus=node.cpus,
                free_memory_mib=node.memory_mib,
                free_gpus=node.gpus,
            )


def shuffled(world: World, seed: int) -> tuple[Queue, Fleet]:
    """The world's observation in another order."""
    order = random.Random(seed)
    queue, fleet = world.queue(), world.fleet()
    jobs, nodes, sets = list(queue.jobs), list(queue.nodes), list(fleet.scale_sets)
    for items in (jobs, nodes, sets):
        order.shuffle(items)
    mixed = [replace(item, instances=tuple(order.sample(item.instances, len(item.instances)))) for item in sets]
    return replace(queue, jobs=tuple(jobs), nodes=tuple(nodes)), replace(fleet, scale_sets=tuple(mixed))


def grown(plan: steps.Plan) -> dict[str, int]:
    return {step.scale_set: step.capacity - step.current for step in plan.azure if isinstance(step, steps.Grow)}


def of(plan: steps.Plan, kind: type) -> list[t.Any]:
    return [step for step in (*plan.azure, *plan.scheduler) if isinstance(step, kind)]


def unmet(plan: steps.Plan) -> str:
    return "; ".join(one.reason for one in plan.unmet)
