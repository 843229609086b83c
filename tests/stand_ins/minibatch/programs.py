"""``mini``: the scheduler of docs/custom_scheduler.md, a made-up one with commands that nobody else has."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.stand_ins.core import Cluster, opened


class Refused(Exception):
    """What mini answers to what it does not do. It ends with 2."""


def begin(cluster: Cluster, queues: list[str]) -> None:
    """A mini with these queues."""
    cluster.queues.update({name: {"open": True} for name in queues})


def main(program: str, arguments: list[str], state: str) -> int:
    """``mini jobs``, ``mini nodes``, ``mini node add NAME ...``, ``mini submit ...``, ``mini note JOB TEXT``."""
    with opened(Path(state)) as cluster:
        if not cluster.data["answers"]:
            sys.stderr.write(f"{program}: no daemon\n")
            return 3
        try:
            verb = arguments[0] if arguments[0] != "node" else f"node_{arguments[1]}"
            words = arguments[1:] if arguments[0] != "node" else arguments[2:]
            sys.stdout.write(_VERBS[verb](cluster, words))
        except (Refused, KeyError, IndexError) as error:
            sys.stderr.write(f"{program}: {error}\n")
            return 2
    return 0


def jobs(cluster: Cluster, _words: list[str]) -> str:
    """All jobs: each task that runs, and of each job what waits."""
    found = []
    for job in cluster.jobs.values():
        waiting = [index for index, task in job["tasks"].items() if task["state"] == "Q"]
        running = len([task for task in job["tasks"].values() if task["state"] == "R"])
        common = {
            "title": job["name"], "owner": job["user"], "queue": job["queue"], "since": stamp(job["submitted"]),
            "ask": {"pieces": job["chunks"][0]["count"], "cores": job["chunks"][0]["cpus"],
                    "memory": f"{job['chunks'][0]['mem']} MB", "gpus": job["chunks"][0]["gpus"]},
            "placement": job["spread"], "whole_nodes": job["exclusive"], "near": bool(job["group"]),
            "note": job["note"],
        }  # fmt: skip
        if waiting:
            room = job["at_once"] - running if job["at_once"] else len(waiting)
            may = 0 if job["held"] else min(room, len(waiting))
            status = "held" if job["held"] else "waiting"
            one = {"number": int(job["id"]), "status": status, "hosts": [], "count": len(waiting), "may_start": may}
            found.append({**common, **one})
        for index, task in job["tasks"].items():
            if task["state"] == "R":
                hosts = sorted({place["node"] for place in task["places"]})
                found.append({**common, "number": f"{job['id']}.{index}", "status": "active", "hosts": hosts,
                              "count": 1, "may_start": 0})  # fmt: skip
    return json.dumps({"jobs": found}) + "\n"


def nodes(cluster: Cluster, _words: list[str]) -> str:
    """All nodes."""
    found = []
    for name, node in cluster.nodes.items():
        used = {key: sum(one[key] for one in node["used"].values()) for key in ("cpus", "mem", "gpus")}
        idle = node["last_used"] or node["joined"]
        found.append(
            {
                "host": f"{name}.internal",
                "status": "up" if node["up"] else "silent",
                "offline": node["closed"],
                "why": node["reason"],
                "running": list(node["used"]),
                "total": {"cores": node["cpus"], "memory": f"{node['mem']} MB", "gpus": node["gpus"]},
                "left": {
                    "cores": 0 if node["alone"] else node["cpus"] - used["cpus"],
                    "memory": f"{node['mem'] - used['mem']} MB",
                    "gpus": node["gpus"] - used["gpus"],
                },
                "idle_since": stamp(idle) if idle and not node["used"] else None,
                "tags": {key: values[0] for key, values in node["labels"].items() if values},
                "queues": node["queues"],
            }
        )
    return json.dumps({"nodes": found}) + "\n"


def stamp(seconds: int) -> str:
    """A time as ISO 8601 has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def node_add(cluster: Cluster, words: list[str]) -> str:
    """``node add NAME CORES MEMORY_MIB GPUS QUEUES TAGS``."""
    name, cpus, memory, gpus, queues, tags = words
    labels = {tag.partition("=")[0]: [tag.partition("=")[2]] for tag in tags.split(",") if tag}
    if name in cluster.nodes:
        raise Refused(f"{name} is there")
    cluster.node(name, cpus=int(cpus), mem=int(memory), gpus=int(gpus), labels=labels, queues=queues.split(","))
    cluster.cycle()
    return ""


def node_offline(cluster: Cluster, words: list[str]) -> str:
    """``node offline NAME WHY``."""
    cluster.nodes[words[0]].update(closed=True, reason=words[1])
    return ""


def node_online(cluster: Cluster, words: list[str]) -> str:
    """``node online NAME``."""
    cluster.nodes[words[0]].update(closed=False, reason="")
    cluster.cycle()
    return ""


def node_forget(cluster: Cluster, words: list[str]) -> str:
    """``node forget NAME``."""
    if cluster.nodes[words[0]]["used"]:
        raise Refused(f"{words[0]} is in use")
    del cluster.nodes[words[0]]
    return ""


def node_lost(cluster: Cluster, words: list[str]) -> str:
    """``node lost NAME``: its jobs go back to the queue."""
    for job, index, task in cluster.tasks("R"):
        if any(place["node"] == words[0] for place in task["places"]):
            cluster.requeue(job["id"], index)
    cluster.cycle()
    return ""


def note(cluster: Cluster, words: list[str]) -> str:
    """``note JOB TEXT``."""
    cluster.jobs[words[0].partition(".")[0]]["note"] = words[1]
    return ""


def show(cluster: Cluster, words: list[str]) -> str:
    """``show JOB``: what its owner sees."""
    return f"{words[0]}: {cluster.jobs[words[0].partition('.')[0]]['note']}\n"


def submit(cluster: Cluster, words: list[str]) -> str:
    """``submit key=value ...``."""
    given = dict(word.partition("=")[::2] for word in words)
    if given["queue"] not in cluster.queues:
        raise Refused(f"there is no queue {given['queue']}")
    pieces = int(given.get("pieces", 1))
    chunk: dict[str, Any] = {
        "count": pieces, "cpus": int(given.get("cores", 1)), "mem": 0, "gpus": int(given.get("gpus", 0)), "amounts": {},
        "labels": {},
    }  # fmt: skip
    tasks = int(given.get("tasks", 0))
    number = cluster.submit(
        name=given.get("title", "job"),
        user=os.environ.get("STAND_IN_USER") or getpass.getuser(),
        queue=given["queue"],
        chunks=[chunk],
        spread="scatter" if pieces > 1 else "free",
        group="placement_group" if pieces > 1 else "",
        exclusive="whole" in given,
        held="held" in given,
        at_once=int(given.get("at_once", 0)),
        seconds=int(given.get("seconds", 0)),
        **({"array": True, "indices": list(range(1, tasks + 1))} if tasks else {}),
    )
    cluster.cycle()
    return f"{number}\n"


def wake(cluster: Cluster, _words: list[str]) -> str:
    """``wake``: look at the queue now."""
    cluster.cycle()
    return ""


_VERBS = {
    "jobs": jobs,
    "nodes": nodes,
    "node_add": node_add,
    "node_offline": node_offline,
    "node_online": node_online,
    "node_forget": node_forget,
    "node_lost": node_lost,
    "note": note,
    "show": show,
    "submit": submit,
    "wake": wake,
}
