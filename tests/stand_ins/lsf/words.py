"""How users of LSF say things, and what role and joining machines do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.offers import Offer

from tests.stand_ins.core import Cluster
from tests.stand_ins.install import Bench
from tests.stand_ins.lsf import server
from tests.stand_ins.site import Ask, Words


class Lsf(Words):
    """LSF: slots, requirement strings, queues whose hosts have a boolean resource."""

    kind = "lsf"
    definition: ClassVar[dict[str, Any]] = {"scheduler": {"type": "lsf", "top": "/opt/ibm/lsf"}}

    def prepare(self, bench: Bench, queues: Sequence[Any], features: Sequence[str]) -> None:
        with bench.cluster() as cluster:
            for queue in queues:
                server.queue(cluster, queue.name, f"select[q_{queue.name}]", queue.default)

    def boot(self, cluster: Cluster, name: str, address: str, offer: Offer) -> None:
        labels = {key: value.replace("-", "_") for key, value in offer.labels if value != "true"}
        booleans = [key for key, value in offer.labels if value == "true"]
        booleans += [f"q_{queue}" for queue in offer.partitions]
        fields = {"cpus": offer.cpus, "mem": offer.memory_mib, "gpus": offer.gpus, "labels": labels}
        server.join(cluster, name, address, fields, booleans)

    def submit(self, ask: Ask) -> list[str]:
        words = ["bsub", "-q", ask.array, "-n", str(ask.nodes * ask.cpus)]
        span = f"span[ptile={ask.cpus}] same[placement_group]" if ask.nodes > 1 else "span[hosts=1]"
        words += ["-R", f"rusage[mem=100] {span}"]
        name = ask.name or "job"
        limit = f"%{ask.at_once}" if ask.at_once else ""
        words += ["-J", f"{name}[1-{ask.tasks}]{limit}" if ask.tasks else name]
        words += ["-gpu", f"num={ask.gpus}"] if ask.gpus else []
        words += ["-x"] if ask.exclusive else []
        words += ["-H"] if ask.hold else []
        return [*words, "/bin/sleep", str(ask.seconds)]

    def identity(self, output: str) -> str:
        found = re.search(r"Job <(\d+)>", output)
        if not found:
            raise AssertionError(f"bsub said {output!r}")
        return found.group(1)

    def reason(self, identity: str) -> list[str]:
        return ["bjobs", "-l", identity]

    def advance(self, bench: Bench, seconds: int) -> None:
        with bench.cluster() as cluster:
            server.advance(cluster, seconds)

    def restart(self, bench: Bench) -> None:
        with bench.cluster() as cluster:
            server.restart(cluster)
