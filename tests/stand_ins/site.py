"""A cluster with a stand-in for its scheduler: whole passes, as the playbook does them, and users who hand in jobs."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ansible_collections.azure_hpc.cluster.plugins.module_utils import described
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, layout, offers, plan, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, VmSize
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.offers import Offer
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import (
    Command,
    Output,
    run,
    scheduler,
    updating,
)

from tests.stand_ins.azure import Azure
from tests.stand_ins.core import Cluster
from tests.stand_ins.install import Bench

SIZES = (
    VmSize("Standard_D4s_v5", "standardDSv5Family", 4, 16384, price=0.23),
    VmSize("Standard_HB120rs_v3", "standardHBrsv3Family", 120, 458752, rdma=True, price=3.96),
    VmSize("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 225280, gpus=1, price=4.8),
)
CATALOG = Catalog("westeurope", {size.name.lower(): size for size in SIZES})
IDLE = 60


@dataclass(frozen=True)
class Ask:
    """What a user asks for, in words that every scheduler has: ``nodes`` pieces, each on a node of its own if more than
    one; or ``tasks`` single jobs as an array, ``at_once`` of which may run."""

    array: str = "htc"
    nodes: int = 1
    cpus: int = 1
    gpus: int = 0
    exclusive: bool = False
    tasks: int = 0
    at_once: int = 0
    seconds: int = 30
    name: str = ""
    hold: bool = False


class Words(abc.ABC):
    """How users and administrators of one scheduler say things."""

    kind = ""
    definition: ClassVar[dict[str, Any]] = {}

    @abc.abstractmethod
    def prepare(self, bench: Bench, queues: Sequence[Any], features: Sequence[str]) -> None:
        """What the role does on the head."""

    def boot(self, cluster: Cluster, name: str, address: str, offer: Offer) -> None:
        """A machine comes up and its daemon runs. Where nodes add themselves, it says what it has."""
        cluster.boot(name, address)

    @abc.abstractmethod
    def submit(self, ask: Ask) -> list[str]:
        """The command that hands a job in."""

    @abc.abstractmethod
    def identity(self, output: str) -> str:
        """The job's id from what that printed."""

    @abc.abstractmethod
    def reason(self, identity: str) -> list[str]:
        """The command that shows its owner why a job waits."""

    @abc.abstractmethod
    def advance(self, bench: Bench, seconds: int) -> None:
        """Let time pass."""

    @abc.abstractmethod
    def restart(self, bench: Bench) -> None:
        """Restart the scheduler."""


class Site:
    """One cluster. `one_pass` is what the timer does; `rest` lets machines boot and time pass."""

    def __init__(self, words: Words, bench: Bench) -> None:
        self.words, self.bench = words, bench
        self.cluster = definition.read(_definition(words), CATALOG)
        self.layout = layout.layout(self.cluster)
        self.azure = Azure(self.layout)
        self.offers = {one.scale_set: one for one in offers.offers(self.cluster, CATALOG)}
        self.kind = scheduler(words.kind, dict(self.cluster.scheduler.options))
        self.done: list[plan.Step] = []
        self.said: tuple[Unwell, ...] = ()
        words.prepare(bench, self.cluster.partitions, ["ib"])

    def run(self, command: Command) -> Output:
        """Run a command of the scheduler, without the time that a process takes to begin."""
        return Output(*self.bench.call(command.argv))

    def observe(self) -> Queue:
        """The queue as queue_info reads it, and as autoscale understands it where it is a site's own."""
        outputs = run.outputs(self.kind, self.run)
        with self.bench.cluster() as state:
            queue = replace(self.kind.parse(outputs, state.now), unwell=self.said)
        if self.words.kind != "custom":
            return queue
        texts = {key: output.stdout for key, output in outputs.items()}
        return described.queue({**serial.dump(queue), "outputs": texts}, self.cluster.scheduler.options)

    def one_pass(self) -> list[plan.Step]:
        """Observe, plan, apply, plan again, tell the scheduler: as the playbook does. Answers what was done."""
        queue = self.observe()
        if queue.errors or queue.skipped:
            raise AssertionError(f"the queue was not read: {queue.errors} {queue.skipped}")
        with self.bench.cluster() as state:
            now = state.now
        done: list[plan.Step] = []
        found = self._plan(queue, now)
        for _round in range(3):
            if not found.azure:
                break
            with self.bench.cluster() as state:
                for step in found.azure:
                    self.azure.apply(step, state)
            done += [*found.azure, *(step for step in found.scheduler if isinstance(step, plan.Comment))]
            found = self._plan(queue, now)
        steps = [*(one for one in done if isinstance(one, plan.Comment)), *found.scheduler]
        told = list(dict.fromkeys(steps))
        result = updating.update(self.kind, told, self.run, dry=False)
        if result["failures"]:
            raise AssertionError(f"{told} failed: {result['failures']}")
        with self.bench.cluster() as state:
            self.azure.finish(state)
        self.done += [*done, *found.scheduler]
        return [*done, *found.scheduler]

    def _plan(self, queue: Queue, now: int) -> plan.Plan:
        return packed.plan(self.cluster, self.layout, queue, self.azure.fleet(now), CATALOG, now)

    def rest(self, seconds: int = 0) -> None:
        """Machines that are made come up, and time passes."""
        with self.bench.cluster() as state:
            for one in self.azure.off(state):
                self.words.boot(state, one.computer_name, one.private_ip, self.offers[one.scale_set])
        self.words.advance(self.bench, seconds)

    def passes(self, count: int = 3, seconds: int = 0) -> list[plan.Step]:
        """Some passes with machines booting between them."""
        found: list[plan.Step] = []
        for _number in range(count):
            found += self.one_pass()
            self.rest(seconds)
        return found

    def submit(self, ask: Ask, user: str = "alice") -> str:
        """Hand a job in as a user."""
        return self.words.identity(self.bench.run(*self.words.submit(ask), user=user))

    def say(self, reason: str) -> None:
        """All machines say on the head that they must take no jobs, or with '' that nothing stands against them."""
        self.said = tuple(Unwell(one.private_ip, run.said(reason)) for one in self.azure.machines() if reason)

    def jobs(self, identity: str) -> list[Job]:
        """What the scheduler has of a job: one entry, or those of an array."""
        return [job for job in self.observe().jobs if job.id == identity or base(job.id) == base(identity)]

    def running(self, identity: str) -> list[Job]:
        """What of a job runs."""
        return [job for job in self.jobs(identity) if job.state == "running"]

    def hosts(self, identity: str) -> set[str]:
        """The nodes on which a job runs."""
        return {name for job in self.running(identity) for name in job.nodes}


def base(identity: str) -> str:
    """The number that all tasks of an array share."""
    return identity.partition("[")[0].partition(".")[0]


def _definition(words: Words) -> dict[str, Any]:
    arrays = [
        {"name": "htc", "vm_sizes": ["Standard_D4s_v5"], "max_nodes": 3},
        {"name": "hpc", "vm_sizes": ["Standard_HB120rs_v3"], "max_nodes": 120, "placement_group": True,
         "features": ["ib"]},
        {"name": "gpu", "vm_sizes": ["Standard_NC24ads_A100_v4"], "max_nodes": 1},
    ]  # fmt: skip
    return {
        "name": "demo",
        "location": "westeurope",
        "resource_group": "demo-rg",
        "admin": {"ssh_public_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@home"]},
        "network": {
            "address_space": ["10.20.0.0/16"],
            "subnets": {"head": "10.20.0.0/24", "compute": "10.20.16.0/20"},
        },
        "head": {"vm_size": "Standard_D4s_v5"},
        "node_arrays": arrays,
        "queues": [
            {"name": array["name"], "node_arrays": [array["name"]], "default": array["name"] == "htc"}
            for array in arrays
        ],
        "autoscale": {"idle_timeout": IDLE, "boot_timeout": 300},
        **words.definition,
    }
