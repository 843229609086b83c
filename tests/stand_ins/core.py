"""A small batch system in place of one that cannot be installed: nodes, jobs and first-fit scheduling, in a file.

Nothing here runs a job: time passes when a test says so, and machines come and go as it says. What users and the
collection see of it are the programs of the packages beside this file, which speak the words of the real system.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EMPTY: dict[str, Any] = {
    "answers": True,  # whether the scheduler's daemon runs
    "offset": 0,  # seconds that tests have added to the clock
    "next": 1,
    "names": {},  # what the resolver knows: host name -> address
    "machines": {},  # machines whose daemon runs: host name -> address
    "nodes": {},
    "jobs": {},
    "queues": {},
    "settings": {},  # whatever else the system keeps
}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Cluster]:
    """The cluster in the file, locked; what was changed is kept, also when the program ends with an exit status."""
    path.touch()
    with path.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        cluster = Cluster(json.loads(text) if text else json.loads(json.dumps(EMPTY)))
        try:
            yield cluster
        finally:
            file.seek(0)
            file.write(json.dumps(cluster.data, indent=1))
            file.truncate()


class Cluster:
    """All state, as plain data.

    A node: cpus, mem (MiB), gpus, labels (name -> list of values), amounts, queues, up, closed, reason, used (what its
    jobs take, by job), alone (the job that has it for itself), joined and last_used (seconds).
    A job: id, name, user, queue, chunks, spread, exclusive, group (a label that its nodes share), tasks (by index),
    at_once, held, seconds, note, said. A task: state (Q, R, X), places (node and chunk), started.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.nodes: dict[str, Any] = data["nodes"]
        self.jobs: dict[str, Any] = data["jobs"]
        self.queues: dict[str, Any] = data["queues"]
        self.settings: dict[str, Any] = data["settings"]

    @property
    def now(self) -> int:
        """Seconds since the epoch, as tests want it."""
        return int(time.time()) + int(self.data["offset"])

    # machines

    def node(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make a node known. It is up if its machine runs already, at the address that the resolver says."""
        usual = {"cpus": 0, "mem": 0, "gpus": 0, "labels": {}, "amounts": {}, "queues": [], "closed": False}
        state = {"up": False, "reason": "", "used": {}, "alone": "", "joined": 0, "last_used": 0, "changed": 0}
        self.nodes[name] = {**usual, **state, "address": self.data["names"].get(name, ""), **fields}
        self._greet(name)
        return dict(self.nodes[name])

    def boot(self, name: str, address: str) -> None:
        """A machine is there and its daemon runs: it says hello, and goes on to try."""
        self.data["names"][name] = address
        self.data["machines"][name] = address
        self._greet(name)

    def stop(self, name: str) -> None:
        """A machine is gone, whatever was on it."""
        self.data["machines"].pop(name, None)
        if name in self.nodes:
            self.nodes[name].update(up=False, changed=self.now)

    def _greet(self, name: str) -> None:
        node = self.nodes.get(name)
        if node and not node["up"] and self.data["machines"].get(name) == node["address"]:
            node.update(up=True, joined=self.now, changed=self.now)

    # jobs

    def submit(self, **fields: Any) -> str:
        """A new job; answers its number."""
        number = str(self.data["next"])
        self.data["next"] += 1
        usual = {
            "id": number, "name": "job", "user": "alice", "queue": "", "chunks": [], "spread": "free",
            "exclusive": False, "group": "", "indices": [0], "at_once": 0, "held": False, "seconds": 0,
            "note": "", "said": "",
        }  # fmt: skip
        job = {**usual, "submitted": self.now, **fields}
        job["tasks"] = {str(index): {"state": "Q", "places": [], "started": 0} for index in job.pop("indices")}
        self.jobs[number] = job
        return number

    def tasks(self, state: str) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
        """All tasks in a state, with their jobs, in the order of submission."""
        return [
            (job, index, task)
            for job in self.jobs.values()
            for index, task in job["tasks"].items()
            if task["state"] == state
        ]

    def end(self, number: str) -> None:
        """A job ends, or is taken back."""
        for index in list(self.jobs[number]["tasks"]):
            self._leave(self.jobs[number], index)
        self.jobs.pop(number)

    def requeue(self, number: str, index: str) -> None:
        """A task goes back to the queue."""
        job = self.jobs[number]
        self._leave(job, index)
        job["tasks"][index] = {"state": "Q", "places": [], "started": 0}

    def _leave(self, job: dict[str, Any], index: str) -> None:
        key = task_key(job, index)
        for place in job["tasks"][index]["places"]:
            node = self.nodes.get(place["node"])
            if node is not None and key in node["used"]:
                node["used"].pop(key)
                node.update(last_used=self.now, alone="" if node["alone"] == key else node["alone"])
                if not node["used"]:
                    node["changed"] = self.now

    def advance(self, seconds: int) -> None:
        """Let time pass: jobs whose seconds are over end."""
        self.data["offset"] += seconds
        for job, index, task in self.tasks("R"):
            over = job["seconds"] and task["started"] + job["seconds"] <= self.now
            if over and all(self.nodes.get(place["node"], {}).get("up") for place in task["places"]):
                self._leave(job, index)
                task["state"] = "X"
        for number in [
            number for number, job in self.jobs.items() if all(_over(task) for task in job["tasks"].values())
        ]:
            self.jobs.pop(number)

    # scheduling

    def cycle(self) -> None:
        """Start what fits, in the order of submission; what does not keeps nobody from starting."""
        for job, index, task in self.tasks("Q"):
            if job["held"] or not self.queues.get(job["queue"], {}).get("open", True):
                continue
            running = sum(one["state"] == "R" for one in job["tasks"].values())
            if job["at_once"] and running >= job["at_once"]:
                continue
            if not self._room(job):
                job["said"] = "a limit"
                continue
            places = self._places(job)
            if places is None:
                job["said"] = "no nodes"
                continue
            self._start(job, index, task, places)

    def _room(self, job: dict[str, Any]) -> bool:
        """The limit of running jobs of one user in its queue, and what the whole cluster has, such as licences."""
        running = [one for one, _index, _task in self.tasks("R")]
        most = self.queues.get(job["queue"], {}).get("max_run", 0)
        mine = [one for one in running if (one["user"], one["queue"]) == (job["user"], job["queue"])]
        if most and len(mine) >= most:
            return False
        for name, need in job.get("pool", {}).items():
            taken = sum(one.get("pool", {}).get(name, 0) for one in running)
            if taken + need > self.settings.get("pool", {}).get(name, 0):
                return False
        return True

    def _start(self, job: dict[str, Any], index: str, task: dict[str, Any], places: list[dict[str, Any]]) -> None:
        key = task_key(job, index)
        for place in places:
            node = self.nodes[place["node"]]
            used = node["used"].setdefault(key, {"cpus": 0, "mem": 0, "gpus": 0, "amounts": {}})
            for name in ("cpus", "mem", "gpus"):
                used[name] += place["chunk"][name]
            for name, amount in place["chunk"].get("amounts", {}).items():
                used["amounts"][name] = used["amounts"].get(name, 0) + amount
            if job["exclusive"]:
                node["alone"] = key
        job["said"] = ""
        task.update(state="R", places=places, started=self.now)

    def _places(self, job: dict[str, Any]) -> list[dict[str, Any]] | None:
        """A node for every chunk, or None."""
        able = {name: _free(node) for name, node in sorted(self.nodes.items()) if self._takes(node, job)}
        if not job["group"]:
            return _fill(job, able, self.nodes)
        values = {value for name in able for value in self.nodes[name]["labels"].get(job["group"], [])}
        for value in sorted(values):
            inside = {
                name: dict(free)
                for name, free in able.items()
                if value in self.nodes[name]["labels"].get(job["group"], [])
            }
            found = _fill(job, inside, self.nodes)
            if found is not None:
                return found
        return None

    @staticmethod
    def _takes(node: dict[str, Any], job: dict[str, Any]) -> bool:
        if not node["up"] or node["closed"] or node["alone"] or (job["exclusive"] and node["used"]):
            return False
        return not node["queues"] or job["queue"] in node["queues"]


def task_key(job: dict[str, Any], index: str) -> str:
    """A task's name on nodes: 17, or 17[3] of an array."""
    return f"{job['id']}[{index}]" if job.get("array") else str(job["id"])


def _over(task: dict[str, Any]) -> bool:
    return str(task["state"]) == "X"


def _free(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: node[name] - sum(used[name] for used in node["used"].values()) for name in ("cpus", "mem", "gpus")
    }
    found["amounts"] = {
        name: amount - sum(used["amounts"].get(name, 0) for used in node["used"].values())
        for name, amount in node["amounts"].items()
    }
    return found


def _fill(job: dict[str, Any], able: dict[str, Any], nodes: dict[str, Any]) -> list[dict[str, Any]] | None:
    able = {name: {**free, "amounts": dict(free["amounts"])} for name, free in able.items()}
    chunks = [chunk for chunk in job["chunks"] for _number in range(chunk["count"])]
    if job["spread"] == "pack":
        for name in able:
            found = _each(chunks, {name: {**able[name], "amounts": dict(able[name]["amounts"])}}, nodes, scatter=False)
            if found is not None:
                return found
        return None
    return _each(chunks, able, nodes, scatter=job["spread"] == "scatter")


def _each(
    chunks: list[dict[str, Any]], able: dict[str, Any], nodes: dict[str, Any], scatter: bool
) -> list[dict[str, Any]] | None:
    places: list[dict[str, Any]] = []
    for chunk in chunks:
        name = next((name for name, free in able.items() if _fits(chunk, free, nodes[name])), None)
        if name is None:
            return None
        free = able[name]
        for key in ("cpus", "mem", "gpus"):
            free[key] -= chunk[key]
        for key, amount in chunk.get("amounts", {}).items():
            free["amounts"][key] -= amount
        if scatter:
            able = {other: rest for other, rest in able.items() if other != name}
        places.append({"node": name, "chunk": chunk})
    return places


def _fits(chunk: dict[str, Any], free: dict[str, Any], node: dict[str, Any]) -> bool:
    return (
        all(chunk[name] <= free[name] for name in ("cpus", "mem", "gpus"))
        and all(amount <= free["amounts"].get(name, 0) for name, amount in chunk.get("amounts", {}).items())
        and all(value in node["labels"].get(name, []) for name, value in chunk.get("labels", {}).items())
    )
