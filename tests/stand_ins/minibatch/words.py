"""How users of the made-up ``mini`` say things. Its definition is the one in docs/custom_scheduler.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import yaml

from tests.stand_ins.install import ROOT, Bench
from tests.stand_ins.minibatch import programs
from tests.stand_ins.site import Ask, Words

PAGE = (ROOT / "docs/custom_scheduler.md").read_text()


def block(language: str) -> str:
    """The one block of the page in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


class Expressions(Words):
    """Described with expressions and commands."""

    kind = "custom"
    definition: ClassVar[dict[str, Any]] = {"scheduler": yaml.safe_load(block("yaml"))["hpc_cluster"]["scheduler"]}

    def prepare(self, bench: Bench, queues: Sequence[Any], features: Sequence[str]) -> None:
        with bench.cluster() as cluster:
            programs.begin(cluster, [queue.name for queue in queues])

    def submit(self, ask: Ask) -> list[str]:
        words = ["mini", "submit", f"queue={ask.array}", f"cores={ask.cpus}", f"pieces={ask.nodes}", f"gpus={ask.gpus}"]
        words += [
            f"title={ask.name or 'job'}",
            f"seconds={ask.seconds}",
            f"tasks={ask.tasks}",
            f"at_once={ask.at_once}",
        ]
        return [*words, *(["whole"] if ask.exclusive else []), *(["held"] if ask.hold else [])]

    def identity(self, output: str) -> str:
        return output.strip()

    def reason(self, identity: str) -> list[str]:
        return ["mini", "show", identity]

    def advance(self, bench: Bench, seconds: int) -> None:
        with bench.cluster() as cluster:
            cluster.advance(seconds)
            cluster.cycle()

    def restart(self, bench: Bench) -> None:
        with bench.cluster() as cluster:
            cluster.cycle()


class Program(Expressions):
    """Described with one small program."""

    definition: ClassVar[dict[str, Any]] = {
        "scheduler": {
            "type": "custom",
            "jobs": {"command": ["mini", "jobs"]},
            "nodes": {"command": ["mini", "nodes"]},
            "python": block("python"),
        }
    }
