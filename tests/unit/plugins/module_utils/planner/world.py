"""A small Slurm and a small Azure that a plan can be applied to: enough to see whether passes lead to the right end."""

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
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode, Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import slurm

SIZES = {
    "Standard_HB120rs_v3": VmSize("Standard_HB120rs_v3", "standardHBrsv3Family", 120, 458752, rdma=True, price=3.6),
    "Standard_D4s_v5": VmSize("Standard_D4s_v5", "standardDSv5Family", 4, 16384, vcpus_per_core=2, price=0.2),
    "Standard_D8s_v5": VmSize("Standard_D8s_v5", "standardDSv5Family", 8, 32768, vcpus_per_core=2, price=0.4),
}
ROOMY = {"cores": 10000, "lowprioritycores": 10000, "standardhbrsv3family": 10000, "standarddsv5family": 10000}
OFF = frozenset(("IDLE", "CLOUD", "POWERED_DOWN"))
NOW = 1_800_000_000


def array(name: str, *sizes: str, most: int = 4, **options: t.Any) -> NodeArray:
    """A node array with the given sizes, each with as many nodes as the array."""
    choices = tuple(SizeChoice(size, options.pop("each", most)) for size in sizes) if sizes else ()
    return NodeArray(name, choices, most, **options)


def cluster(*arrays: NodeArray, **policy: t.Any) -> Cluster:
    """A cluster with one partition for each array; by default hpc (one size) and htc (two sizes)."""
    arrays = arrays or (
        array("hpc", "Standard_HB120rs_v3", placement_group=True),
        array("htc", "Standard_D4s_v5", "Standard_D8s_v5"),
    )
    return Cluster(
        name="demo",
        location="westeurope",
        resource_group="demo-rg",
        network=Network("demo-vnet", ("10.20.0.0/16",), ()),
        admin=Admin("azureuser", ()),
        head=Machine("Standard_D4s_v5"),
        scheduler=Scheduler("slurm"),
        node_arrays=arrays,
        partitions=tuple(Partition(item.name, (item.name,)) for item in arrays),
        autoscale=AutoscalePolicy(**policy),
    )


def set_id(name: str) -> str:
    """The resource id of a scale set."""
    return f"/subscriptions/s/resourceGroups/demo-rg/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"


@dataclass(repr=False)
class World:
    """Slurm and Azure at one moment. ``denied`` sets make Failed instances; ``silent`` ones never join."""

    cluster: Cluster
    now: int = NOW
    limits: dict[str, int] = field(default_factory=lambda: dict(ROOMY))
    nodes: dict[str, QueueNode] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    sets: dict[str, ScaleSet] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    made: int = 0
    said: dict[str, str] = field(default_factory=dict)
    """What machines said on the head, by their addresses."""

    def __post_init__(self) -> None:
        self.layout: Layout = layout(self.cluster)
        for group in self.layout.node_groups:
            for name in group.nodes():
                self.nodes.setdefault(name, QueueNode(name, OFF, (group.node_array,), "", name, name))
        for spec in self.layout.scale_sets:
            empty = ScaleSet(set_id(spec.name), spec.name, spec.node_array, spec.vm_size, 0, spec.priority, spec.zone)
            self.sets.setdefault(spec.name, replace(empty, placement_group=spec.placement_group))

    def __repr__(self) -> str:
        nodes = [
            f"{node.name} {'+'.join(sorted(node.flags - {'CLOUD'}))} claim={node.instance_id[-30:]!r} "
            f"address={node.address} {node.reason!r} {node.reason_at and self.now - node.reason_at}"
            for node in self.nodes.values()
        ]
        machines = [
            f"{item.name} {item.capacity} {item.unavailable} "
            + str(
                [
                    (o.instance_id, o.private_ip, o.provisioning_state, o.power_state, self.now - o.created_at)
                    for o in item.instances
                ]
            )
            for item in self.sets.values()
        ]
        return "\n".join(["World", *nodes, *map(str, self.jobs.values()), *machines, str(self.limits)])

    # observation

    def queue(self) -> Queue:
        said = tuple(Unwell(address, reason, self.now) for address, reason in self.said.items())
        return Queue("slurm", "demo", self.now, tuple(self.jobs.values()), tuple(self.nodes.values()), unwell=said)

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
        return Catalog("westeurope", {name.lower(): size for name, size in SIZES.items()}, quotas)

    def plan(self) -> steps.Plan:
        return slurm.plan(self.cluster, self.layout, self.queue(), self.fleet(), self.catalog(), self.now)

    # what steps do

    def apply(self, *done: steps.Step) -> None:
        for step in done:
            getattr(self, "_" + type(step).__name__.lower())(step)

    def settle(self, rounds: int = 4) -> int:
        """Plan and apply at one moment until there is nothing left to do; answers how many plans were not empty."""
        for count in range(rounds + 1):
            plan = self.plan()
            if not plan:
                return count
            self.apply(*plan.azure, *plan.scheduler)
        raise AssertionError(f"not settled after {rounds} rounds: {plan}")

    def _grow(self, step: steps.Grow) -> None:
        item = self.sets[step.scale_set]
        assert step.capacity >= len(item.instances), (
            "a capacity below the number of machines deletes machines at random"
        )
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
            computer_name=f"vm{self.made:06}",
            private_ip="" if failed else f"10.20.{16 + self.made // 250}.{self.made % 250 + 4}",
            provisioning_state="Failed" if failed else "Succeeded",
            created_at=self.now,
            error="AllocationFailed: Allocation failed." if failed else "",
        )
        return replace(usual, **fields)

    def _shrink(self, step: steps.Shrink) -> None:
        item = self.sets[step.scale_set]
        gone = {one.id.casefold() for one in item.instances if one.instance_id in step.instance_ids}
        assert len(gone) == len(step.instance_ids), "deletes machines that are not there"
        for node in self.nodes.values():
            if node.instance_id.casefold() in gone and not node.flags & {
                "POWERING_UP",
                "POWERED_DOWN",
                "POWERING_DOWN",
            }:
                assert not self.on_node(node.name), f"{node.name} loses its machine while jobs run on it"
        kept = tuple(one for one in item.instances if one.instance_id not in step.instance_ids)
        self.sets[item.name] = replace(item, capacity=max(0, item.capacity - len(gone)), instances=kept)

    def _markunavailable(self, step: steps.MarkUnavailable) -> None:
        found = Unavailable(step.until, step.code, step.count) if step.until else None
        self.sets[step.scale_set] = replace(self.sets[step.scale_set], unavailable=found)

    def _claim(self, step: steps.Claim) -> None:
        self.change(step.node, instance_id=step.instance_id, address=step.address, hostname=step.hostname)

    def _release(self, step: steps.Release) -> None:
        for name in step.nodes:
            self.change(name, instance_id="", address=name, hostname=name)

    def _drain(self, step: steps.Drain) -> None:
        assert step.reason.startswith("azure_hpc: ")
        for name in step.nodes:
            if not step.requeue:
                self.flag(name, add=("DRAIN",), reason=step.reason)
                continue
            for job in self.on_node(name):
                self.requeue(job)
            if "POWERING_UP" in self.nodes[name].flags:
                self.flag(name, add=("DRAIN",), reason=step.reason)
            else:
                self.flag(name, add=("DOWN",), drop=("IDLE", "ALLOCATED"), reason=step.reason)

    def _resume(self, step: steps.Resume) -> None:
        for name in step.nodes:
            up = "POWERING_UP" in self.nodes[name].flags
            drop = ("DRAIN", "DOWN", "POWERING_UP") if up else ("DRAIN", "DOWN")
            self.flag(name, add=("IDLE", "POWER_DOWN") if up else ("IDLE",), drop=drop)

    def _remove(self, step: steps.Remove) -> None:
        for name in step.nodes:
            assert not self.on_node(name)
            self.flag(name, add=("IDLE", "POWER_DOWN"), drop=("DRAIN", "DOWN", "ALLOCATED", "POWERING_UP"))

    def _wake(self, step: steps.Wake) -> None:
        for name in step.nodes:
            self.flag(name, add=("POWERING_UP",), drop=("POWERED_DOWN",))

    def _comment(self, step: steps.Comment) -> None:
        if step.job in self.jobs:
            assert self.jobs[step.job].note != step.text
            self.jobs[step.job] = replace(self.jobs[step.job], note=step.text)

    # Slurm

    def on_node(self, name: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in ("configuring", "running") and name in job.nodes]

    def change(self, name: str, **fields: t.Any) -> None:
        self.nodes[name] = replace(self.nodes[name], **fields)

    def flag(self, name: str, add: t.Iterable[str] = (), drop: t.Iterable[str] = (), **fields: t.Any) -> None:
        self.change(name, flags=(self.nodes[name].flags - set(drop)) | set(add), **fields)

    def submit(self, job: str, partition: str, nodes: int, **fields: t.Any) -> None:
        usual = Job(job, "pending", (partition,), (), nodes, nodes, submitted_at=self.now, reason="Resources")
        self.jobs[job] = replace(usual, **fields)

    def requeue(self, job: Job) -> None:
        self.jobs[job.id] = replace(job, state="pending", nodes=(), reason="Resources")
        for name in job.nodes:
            self.flag(name, add=("IDLE",), drop=("ALLOCATED",))

    def schedule(self) -> None:
        """Pending jobs take free nodes in the order of the layout (which is the order of the weights)."""
        busy = {name for job in self.jobs.values() for name in job.nodes}
        for job in list(self.jobs.values()):
            if job.state != "pending":
                continue
            free = [node.name for node in self.nodes.values() if self._is_free(node, job.partitions, busy)]
            if len(free) >= job.node_count:
                chosen = tuple(free[: job.node_count])
                busy.update(chosen)
                self.jobs[job.id] = replace(job, state="configuring", nodes=chosen, started_at=self.now, reason="")
                for name in chosen:
                    up = ("POWERING_UP",) if "POWERED_DOWN" in self.nodes[name].flags else ()
                    self.flag(name, add=("ALLOCATED", *up), drop=("IDLE", "POWERED_DOWN"))

    @staticmethod
    def _is_free(node: QueueNode, partitions: tuple[str, ...], busy: set[str]) -> bool:
        if node.name in busy or not set(node.partitions) & set(partitions):
            return False
        return "IDLE" in node.flags and not node.flags & {"DRAIN", "DOWN", "POWERING_DOWN", "POWER_DOWN"}

    def pass_time(self, seconds: int, boot: int = 60, run: int = 120) -> None:
        """Machines join after ``boot`` seconds, jobs run for ``run``, idle nodes power down, off ones forget claims."""
        self.now += seconds
        self._join(boot)
        self._run(run)
        policy = self.cluster.autoscale
        for node in list(self.nodes.values()):
            if "POWER_DOWN" in node.flags:
                self.flag(node.name, add=("POWERING_DOWN",), drop=("POWER_DOWN", "POWERING_UP", "DRAIN"))
            elif "POWERING_DOWN" in node.flags:
                self.flag(node.name, add=("POWERED_DOWN",), drop=("POWERING_DOWN",))
                self.change(node.name, instance_id="", address=node.name, hostname=node.name, last_busy=0)
            elif node.flags == {"IDLE", "CLOUD"} and self.now - node.last_busy > policy.idle_timeout:
                self.flag(node.name, add=("POWERING_DOWN",))

    def _join(self, boot: int) -> None:
        living = {one.id: one for item in self.sets.values() for one in item.instances}
        for node in list(self.nodes.values()):
            machine = living.get(node.instance_id)
            if "POWERING_UP" not in node.flags or machine is None or machine.scale_set in self.silent:
                continue
            if machine.provisioning_state == "Succeeded" and self.now - machine.created_at >= boot:
                self.flag(node.name, drop=("POWERING_UP",), last_busy=self.now, registered_at=self.now)

    def _run(self, run: int) -> None:
        for job in list(self.jobs.values()):
            up = all("POWERING_UP" not in self.nodes[name].flags for name in job.nodes)
            if job.state == "configuring" and up:
                self.jobs[job.id] = replace(job, state="running", started_at=self.now)
            elif job.state == "running" and self.now - job.started_at >= run:
                del self.jobs[job.id]
                for name in job.nodes:
                    self.flag(name, add=("IDLE",), drop=("ALLOCATED",), last_busy=self.now)

    # trouble

    def lose(self, instance: Instance) -> None:
        """A machine vanishes from Azure, and slurmctld notices that its node does not answer."""
        item = self.sets[instance.scale_set]
        kept = tuple(one for one in item.instances if one.id != instance.id)
        self.sets[item.name] = replace(item, instances=kept, capacity=len(kept))


def shuffled(world: World, seed: int) -> tuple[Queue, Fleet]:
    """The world's observation in another order."""
    order = random.Random(seed)
    queue, fleet = world.queue(), world.fleet()
    jobs, nodes, sets = list(queue.jobs), list(queue.nodes), list(fleet.scale_sets)
    for items in (jobs, nodes, sets):
        order.shuffle(items)
    mixed = [replace(item, instances=tuple(order.sample(item.instances, len(item.instances)))) for item in sets]
    return replace(queue, jobs=tuple(jobs), nodes=tuple(nodes)), replace(fleet, scale_sets=tuple(mixed))
