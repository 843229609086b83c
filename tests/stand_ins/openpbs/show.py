"""What the stand-in for OpenPBS prints, with the flaws of release 23.06.06."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.stand_ins.core import Cluster, task_key
from tests.stand_ins.openpbs import server

VERSION = "23.06.06"
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+|inf(?:inity)?|nan)", re.IGNORECASE)


def json_text(cluster: Cluster, key: str, things: dict[str, Any]) -> str:
    """A whole answer: four blanks for each level, and no key where there is nothing."""
    data = {"timestamp": str(cluster.now), "pbs_version": VERSION, "pbs_server": server.SERVER}
    return _value({**data, **({key: things} if things else {})}, 0) + "\n"


def _value(value: Any, depth: int) -> str:
    if isinstance(value, dict):
        inner = ",\n".join(f'{"    " * (depth + 1)}"{key}":{_value(item, depth + 1)}' for key, item in value.items())
        return "{\n" + inner + ("\n" if inner else "") + "    " * depth + "}"
    if isinstance(value, list):
        inner = ",\n".join("    " * (depth + 1) + f'"{item}"' for item in value)
        return "[\n" + inner + "\n" + "    " * depth + "]"
    # As the release does it: whatever looks like a number is one, and a backslash stays alone.
    return str(value) if _NUMBER.fullmatch(str(value)) else '"' + str(value).replace('"', '\\"') + '"'


def when(seconds: int) -> str:
    """A time as PBS writes it."""
    return time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(seconds))


def jobs(cluster: Cluster) -> dict[str, Any]:
    """All jobs that have not ended, by id, as ``qstat -f`` has them."""
    return {
        f"{name}{'[]' if job.get('array') else ''}.{server.SERVER}": _job(job) for name, job in cluster.jobs.items()
    }


def _job(job: dict[str, Any]) -> dict[str, Any]:
    states = [task["state"] for task in job["tasks"].values()]
    chunks = job["chunks"]
    resources = {
        "ncpus": str(sum(chunk["count"] * chunk["cpus"] for chunk in chunks)),
        "nodect": str(sum(chunk["count"] for chunk in chunks)),
        "place": job["place"],
        "select": job["select"],
        **{name: f"{amount:g}" for name, amount in job.get("pool", {}).items()},
    }
    found: dict[str, Any] = {
        "Job_Name": job["name"],
        "Job_Owner": f"{job['user']}@head",
        "job_state": _state(job, states),
        "queue": job["queue"],
        "server": server.SERVER,
        "ctime": when(job["submitted"]),
        "Hold_Types": "u" if job["held"] else "n",
        "Priority": "0",
        "Resource_List": resources,
        "schedselect": job["schedselect"],
        "substate": "20" if job["held"] else "42" if "R" in states else "10",
        "euser": job["user"],
        "egroup": job["user"],
        "project": "_pbs_project_default",
        "Submit_arguments": job["arguments"],
    }
    if job["note"]:
        found["comment"] = job["note"]
    if job.get("array"):
        counts = {"Queued": "Q", "Running": "R", "Exiting": "E", "Expired": "X"}
        found["array"] = "True"
        found["array_state_count"] = " ".join(f"{name}:{states.count(letter)}" for name, letter in counts.items())
        found.update({"max_run_subjobs": str(job["at_once"])} if job["at_once"] else {})
    elif states == ["R"]:
        task = job["tasks"]["0"]
        found["exec_vnode"] = "+".join(f"({place['node']}:ncpus={place['chunk']['cpus']})" for place in task["places"])
        found["stime"] = when(task["started"])
    return found


def _state(job: dict[str, Any], states: list[str]) -> str:
    if job["held"]:
        return "H"
    if job.get("array"):
        return "B" if set(states) & {"R", "X"} else "Q"
    return states[0]


def jobs_as_text(cluster: Cluster) -> str:
    """``qstat -fw``: one line for each attribute, line breaks in values as two characters."""
    lines = []
    for name, job in jobs(cluster).items():
        lines.append(f"Job Id: {name}")
        for key, value in job.items():
            pairs = value.items() if isinstance(value, dict) else [(None, value)]
            lines += [f"    {key}{f'.{inner}' if inner else ''} = {_one_line(text)}" for inner, text in pairs]
        lines.append("")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


def nodes(cluster: Cluster) -> dict[str, Any]:
    """All vnodes, as ``pbsnodes -av`` has them."""
    return {name: _node(cluster, name, node) for name, node in cluster.nodes.items()}


def _node(cluster: Cluster, name: str, node: dict[str, Any]) -> dict[str, Any]:
    used = node["used"].values()
    assigned = {
        key: sum(one[mine] for one in used) for key, mine in (("mem", "mem"), ("ncpus", "cpus"), ("ngpus", "gpus"))
    }
    assigned["mem"] *= 1024
    found: dict[str, Any] = {
        "Mom": f"{name}.cluster.local",
        "Port": "15002",
        "pbs_version": VERSION if node["up"] else "unavailable",
        "ntype": "PBS",
        "state": state(node),
        **({"jobs": [f"{key}.{server.SERVER}" for key in node["used"]]} if node["used"] else {}),
        "resources_available": {
            **({"arch": "linux"} if node["joined"] else {}), "host": name, **node.get("raw", {}), "vnode": name,
        },
        "resources_assigned": {
            key: f"{amount}kb" if key == "mem" else str(amount) for key, amount in assigned.items() if amount
        },
        **({"comment": node["comment"]} if node.get("comment") else {}),
        "resv_enable": "True",
        "sharing": "default_shared",
        **({"last_state_change_time": str(node["changed"])} if node["changed"] else {}),
        **({"last_used_time": str(node["last_used"])} if node["last_used"] else {}),
    }  # fmt: skip
    return found


def state(node: dict[str, Any]) -> str:
    """The state words of a node."""
    words = []
    if not node["up"]:
        words = ["down"] if node["joined"] else ["state-unknown", "down"]
    elif node["alone"]:
        words = ["job-exclusive"]
    elif node["cpus"] and sum(one["cpus"] for one in node["used"].values()) >= node["cpus"]:
        words = ["job-busy"]
    if node["closed"]:
        words.append("offline")
    return ",".join(words) or "free"


def nested(attributes: dict[str, str]) -> dict[str, Any]:
    """Attributes with dots in their names as dictionaries."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        key, dot, inner = name.partition(".")
        if dot:
            found.setdefault(key, {})[inner] = value
        else:
            found[key] = value
    return found


def servers(cluster: Cluster) -> dict[str, Any]:
    """The server, as ``qstat -Bf`` has it."""
    attributes = {"server_state": "Active", "server_host": "head.cluster.local", **cluster.settings["server"]}
    taken = {
        name: sum(job.get("pool", {}).get(name, 0) for job, _index, _task in cluster.tasks("R"))
        for name in cluster.settings["pool"]
    }
    return {
        server.SERVER: {**nested(attributes), "resources_assigned": {key: str(value) for key, value in taken.items()}}
    }


def queues(cluster: Cluster) -> dict[str, Any]:
    """All queues, as ``qstat -Qf`` has them."""
    return {name: nested(queue["attributes"]) for name, queue in cluster.queues.items()}


def print_server(cluster: Cluster) -> str:
    """``qmgr -c 'print server'``."""
    lines = ["#", "# Create resources and set their properties.", "#"]
    for name, about in cluster.settings["resources"].items():
        lines.append(f"create resource {name}")
        lines += [f"set resource {name} {key} = {value}" for key, value in about.items() if value]
    for name, queue in cluster.queues.items():
        lines.append(f"create queue {name}")
        lines += [f"set queue {name} {key} = {value}" for key, value in queue["attributes"].items()]
    lines += [f"set server {key} = {value}" for key, value in cluster.settings["server"].items()]
    return "\n".join(lines) + "\n"


def list_sched(cluster: Cluster) -> str:
    """``qmgr -c 'list sched'``."""
    lines = [
        f"    {key} = {value}"
        for key, value in {"sched_host": "head.cluster.local", **cluster.settings["sched"]}.items()
    ]
    return "\n".join(["Sched default", *lines, "", ""])


def tasks_of(job: dict[str, Any]) -> list[str]:
    """The names of a job's tasks."""
    return [task_key(job, index) for index in job["tasks"]]
