"""The words of OpenPBS for the model: resources, select and place statements, what a restart forgets."""

from __future__ import annotations

import re
from typing import Any

from tests.stand_ins.core import Cluster

SERVER = "head"
MIB = 1024 * 1024
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
BUILT_IN = ("ncpus", "mem", "vmem", "arch", "host", "vnode", "mpiprocs", "ompthreads", "walltime", "select", "place")
_NO_NEED = ("mpiprocs", "ompthreads", "walltime", "cput")


class Refused(Exception):
    """What PBS answers to what it does not do: its words and its exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def begin(cluster: Cluster) -> None:
    """A server after its first start."""
    cluster.settings.update(
        server={"scheduling": "True", "default_queue": "workq", "default_chunk.ncpus": "1", "node_fail_requeue": "310"},
        sched={"do_not_span_psets": "False", "only_explicit_psets": "False"},
        resources={},
        pool={},
    )
    queue(cluster, "workq", {"queue_type": "Execution", "enabled": "True", "started": "True"})


def queue(cluster: Cluster, name: str, attributes: dict[str, str]) -> None:
    """Set attributes of a queue."""
    found = cluster.queues.setdefault(name, {"attributes": {}})
    found["attributes"].update(attributes)
    found["open"] = truth(found["attributes"].get("started", "False"))
    most = re.search(r"u:PBS_GENERIC=(\d+)", found["attributes"].get("max_run", ""))
    found["max_run"] = int(most.group(1)) if most else 0


def truth(text: str) -> bool:
    """PBS's True."""
    return text.lower() in ("true", "t", "y", "1")


def mebibytes(text: str) -> int:
    """A size, rounded up."""
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", text, re.IGNORECASE)
    if not match:
        raise Refused("Illegal attribute or resource value", 166)
    return -(-int(match.group(1)) * 1024 ** _POWERS[match.group(2).lower()] // MIB)


def known(cluster: Cluster, resource: str) -> dict[str, str]:
    """Type and flag of a resource. Raises Refused for one that nobody made."""
    if resource in BUILT_IN:
        return {"type": "string", "flag": "h"}
    if resource not in cluster.settings["resources"]:
        raise Refused(f"Unknown resource resources_available.{resource}", 187)
    return dict(cluster.settings["resources"][resource])


def set_resource(cluster: Cluster, node: dict[str, Any], name: str, text: str | None) -> None:
    """Set a resource of a node, or take it away (None)."""
    about = known(cluster, name)
    raw = node.setdefault("raw", {})
    if text is None:
        raw.pop(name, None)
    else:
        raw[name] = text
    value = text or "0"
    if name == "ncpus":
        if not value.isdigit():
            raise Refused("Illegal attribute or resource value resources_available.ncpus", 166)
        node["cpus"] = int(value)
    elif name == "mem":
        node["mem"] = mebibytes(value)
    elif name == "ngpus":
        node["gpus"] = int(value)
    elif "n" in about.get("flag", ""):
        node["amounts"][name] = mebibytes(value) if about["type"] == "size" else float(value)
    else:
        node["labels"][name] = _values(about, text) if text is not None else []


def _values(about: dict[str, str], text: str) -> list[str]:
    if about["type"] == "string_array":
        return [part.strip() for part in text.split(",")]
    return [str(truth(text))] if about["type"] == "boolean" else [text]


def schedselect(cluster: Cluster, select: str, queue_name: str) -> str:
    """A select statement with the defaults of queue and server in every chunk that does not say otherwise."""
    defaults = {
        key.partition(".")[2]: value
        for store in (cluster.settings["server"], cluster.queues[queue_name]["attributes"])
        for key, value in store.items()
        if key.startswith("default_chunk.")
    }
    found = []
    for part in select.split("+"):
        words = part.split(":")
        if "=" in words[0]:
            words.insert(0, "1")
        names = {word.partition("=")[0] for word in words[1:]}
        words += [f"{name}={value}" for name, value in sorted(defaults.items()) if name not in names]
        found.append(":".join(words))
    return "+".join(found)


def chunks(cluster: Cluster, statement: str) -> list[dict[str, Any]]:
    """The chunks of a schedselect for the model."""
    found = []
    for part in statement.split("+"):
        count, *words = part.split(":")
        chunk: dict[str, Any] = {"count": int(count), "cpus": 0, "mem": 0, "gpus": 0, "amounts": {}, "labels": {}}
        for word in words:
            name, _equals, value = word.partition("=")
            value = value.strip("\"'")
            about = known(cluster, name)
            if name == "ncpus":
                chunk["cpus"] = int(value)
            elif name == "mem":
                chunk["mem"] = mebibytes(value)
            elif name == "ngpus":
                chunk["gpus"] = int(value)
            elif "n" in about.get("flag", ""):
                chunk["amounts"][name] = mebibytes(value) if about["type"] == "size" else float(value)
            elif name not in _NO_NEED:
                chunk["labels"][name] = str(truth(value)) if about["type"] == "boolean" else value
        found.append(chunk)
    return found


def place(cluster: Cluster, statement: str) -> dict[str, Any]:
    """What a place statement and the placement sets of the server say of a job."""
    words = statement.split(":")
    spread = next((word for word in words if word in ("pack", "scatter", "vscatter")), "free").replace("vsc", "sc")
    group = next((word[6:] for word in words if word.startswith("group=")), "")
    server, sched = cluster.settings["server"], cluster.settings["sched"]
    if not group and truth(server.get("node_group_enable", "")) and truth(sched.get("do_not_span_psets", "")):
        group = server.get("node_group_key", "")
    return {"spread": spread, "exclusive": "excl" in words or "exclhost" in words, "group": group}


def schedule(cluster: Cluster) -> None:
    """One cycle of the scheduler, which writes its word into the comment of every job, whatever was there."""
    if not truth(cluster.settings["server"]["scheduling"]):
        return
    cluster.cycle()
    for job, _index, _task in cluster.tasks("Q"):
        if job["said"] == "no nodes":
            job["note"] = "Not Running: Not enough free nodes available"
        elif job["said"]:
            job["note"] = "Not Running: User has reached server running job limit."
    for job, _index, task in cluster.tasks("R"):
        job["note"] = f"Job run at {task['started']}"


def advance(cluster: Cluster, seconds: int) -> None:
    """Let time pass. Jobs on dead nodes go back to the queue after a while; the scheduler looks at what ended."""
    cluster.advance(seconds)
    patience = int(cluster.settings["server"]["node_fail_requeue"])
    for job, index, task in cluster.tasks("R"):
        lost = [cluster.nodes[place["node"]] for place in task["places"] if not cluster.nodes[place["node"]]["up"]]
        if any(node["changed"] + patience <= cluster.now for node in lost):
            cluster.requeue(job["id"], index)
    schedule(cluster)


def restart(cluster: Cluster) -> None:
    """The server stops and starts: comments of nodes and their being offline are lost, resources stay."""
    for node in cluster.nodes.values():
        node.update(comment="", closed=False, changed=cluster.now)
    schedule(cluster)
