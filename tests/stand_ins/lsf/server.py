"""The words of LSF for the model: requirement strings, what jobs wait for, hosts that add themselves."""

from __future__ import annotations

import re
from typing import Any

from tests.stand_ins.core import Cluster

LOCK = "azure_hpc"


class Refused(Exception):
    """What LSF answers to what it does not do. Its commands end with 255."""


def begin(cluster: Cluster) -> None:
    """LSF after its installation: the queues that the role writes come with `queue`."""
    cluster.settings.update(ended=[], pool={}, per_task=True)


def queue(cluster: Cluster, name: str, requirement: str, default: bool) -> None:
    """A queue of lsb.queues with its RES_REQ."""
    cluster.queues[name] = {"requirement": requirement, "open": True, "default": default}


def join(cluster: Cluster, name: str, address: str, fields: dict[str, Any], booleans: list[str]) -> None:
    """A dynamic host adds itself, with the resources that its lsf.conf maps to it."""
    cluster.boot(name, address)
    labels = {key: [value] for key, value in fields.pop("labels").items()}
    labels.update({key: ["true"] for key in booleans})
    cluster.node(name, labels=labels, booleans=booleans, comments={}, **fields)
    cluster.cycle()


def sections(text: str) -> dict[str, str]:
    """The sections of a simple requirement string."""
    return dict(re.findall(r"(\w+)\[([^\]]*)\]", text))


def request(cluster: Cluster, slots: int, text: str, gpus: int) -> dict[str, Any]:
    """Chunks, spread and group of a job, as LSF would place it."""
    found = sections(text)
    chunk: dict[str, Any] = {"count": 1, "cpus": 1, "mem": 0, "gpus": gpus, "amounts": {}, "labels": {}}
    for term in filter(None, (part.strip(" ()") for part in found.get("select", "").split("&&"))):
        name, equals, value = term.partition("==")
        if not (name.startswith("type") and equals):
            chunk["labels"][name.strip()] = value.strip() if equals else "true"
    memory = re.search(r"mem=(\d+)", found.get("rusage", ""))
    per = int(memory.group(1)) if memory else 0
    span, same = found.get("span", ""), found.get("same", "")
    ptile = re.search(r"ptile=(\d+)", span)
    size = slots if "hosts=1" in span else int(ptile.group(1)) if ptile else 1
    chunk.update(count=-(-slots // size), cpus=size, mem=per * size)
    spread = "scatter" if ptile and slots > size else "free"
    return {"chunks": [chunk], "spread": spread, "group": "placement_group" if "placement_group" in same else ""}


def advance(cluster: Cluster, seconds: int) -> None:
    """Let time pass; LSF remembers where jobs ended, and looks for what fits."""
    running = {
        (job["id"], index): [place["node"] for place in task["places"]] for job, index, task in cluster.tasks("R")
    }
    cluster.advance(seconds)
    left = {(job["id"], index) for job, index, _task in cluster.tasks("R")}
    for key, hosts in running.items():
        if key not in left:
            cluster.settings["ended"].append({"job": key[0], "hosts": hosts, "at": cluster.now})
    cluster.cycle()


def restart(cluster: Cluster) -> None:
    """mbatchd starts anew: it keeps jobs, locks and comments in its event log."""
    cluster.cycle()


def pend_reason(job: dict[str, Any], cluster: Cluster) -> str:
    """Why a job waits, as bjobs says it."""
    running = sum(task["state"] == "R" for task in job["tasks"].values())
    if job["at_once"] and running >= job["at_once"]:
        return "The job array has reached its running element limit;"
    return f"Job's requirements for resources not satisfied: {max(1, len(cluster.nodes))} hosts;"
