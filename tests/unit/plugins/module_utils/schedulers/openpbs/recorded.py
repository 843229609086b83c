"""Recorded outputs of PBS as the modules get them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output, scheduler

FIXTURES = Path(__file__).parents[4] / "fixtures" / "openpbs"
FILES = {
    "jobs": "qstat-f.json",
    "nodes": "pbsnodes-av.json",
    "server": "qstat-Bf.json",
    "queues": "qstat-Qf.json",
    "scheduler": "qmgr-list-sched.txt",
    "definitions": "qmgr-print-server.txt",
}
PLAIN = "04-nodes-free-custom-resources"


def text(folder: str, name: str) -> str:
    """A recorded file as `run` hands outputs on."""
    return (FIXTURES / folder / name).read_bytes().decode("utf-8", errors="replace")


def outputs(folder: str) -> dict[str, Output]:
    """The outputs of a situation; what was not recorded there comes from one with four free nodes and no job."""
    found = {}
    for key, name in FILES.items():
        where = folder if (FIXTURES / folder / name).exists() else PLAIN
        found[key] = Output(0, text(where, name))
    if not found["nodes"].stdout.strip():
        found["nodes"] = Output(1, "", "pbsnodes: Server has no node list\n")
    return found


def queue(folder: str, **changed: Output) -> Queue:
    """The queue of a situation."""
    return scheduler("openpbs").parse({**outputs(folder), **changed}, 1795162000)


def job(found: Queue, name: str) -> Job:
    """The one job of that name."""
    return next(job for job in found.jobs if job.name == name)


def node(found: Queue, name: str) -> QueueNode:
    """The node of that name."""
    return next(node for node in found.nodes if node.name == name)
