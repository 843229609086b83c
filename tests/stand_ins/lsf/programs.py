"""The commands of the stand-in for LSF: JSON as fix pack 14 prints it."""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from tests.stand_ins.core import Cluster, opened
from tests.stand_ins.lsf import server
from tests.stand_ins.lsf.server import Refused


def main(program: str, arguments: list[str], state: str) -> int:
    """Run one command."""
    with opened(Path(state)) as cluster:
        if not cluster.data["answers"]:
            sys.stderr.write("batch system daemon not responding ... still trying\nLSF is down. Please wait ...\n")
            return 255
        try:
            sys.stdout.write(_PROGRAMS[program](cluster, arguments))
        except Refused as refused:
            sys.stderr.write(f"{refused}\n")
            return 255
    return 0


def answer(command: str, what: str, records: list[dict[str, str]], fields: str) -> str:
    """JSON with the wanted fields of each record, in the order in which they were asked for."""
    names = [name.upper() for name in fields.split()]
    for name in names:
        if records and name not in records[0]:
            raise Refused(f"{command}: Illegal field name: {name}")
    shown = [{name: record[name] for name in names} for record in records]
    return json.dumps({"COMMAND": command, what: len(shown), "RECORDS": shown}, indent=2) + "\n"


def when(seconds: int) -> str:
    """A time as bjobs writes it."""
    return time.strftime("%b %e %H:%M:%S %Y", time.localtime(seconds)) if seconds else "-"


def bjobs(cluster: Cluster, arguments: list[str]) -> str:
    """Jobs of all users, those that have ended, or one in full."""
    if arguments[:1] == ["-l"]:
        job = _job(cluster, arguments[1])
        messages = "\n".join(f" EXTERNAL MESSAGES: {text}" for text in job.get("messages", {}).values())
        return f"Job <{job['id']}>, Job Description <{job['note']}>\n{messages}\n"
    if arguments[:4] == ["-u", "all", "-d", "-json"]:
        ended = [
            {"JOBID": one["job"], "EXEC_HOST": ":".join(one["hosts"]), "FINISH_TIME": f"{when(one['at'])} L"}
            for one in cluster.settings["ended"]
        ]
        return answer("bjobs", "JOBS", ended, arguments[5])
    if arguments[:4] != ["-u", "all", "-json", "-o"]:
        raise Refused(f"bjobs: this stand-in does not know {shlex.join(arguments)}")
    records = [
        _record(cluster, job, index, task)
        for job in cluster.jobs.values()
        for index, task in job["tasks"].items()
        if task["state"] != "X"
    ]
    if not records:
        sys.stderr.write("No unfinished job found\n")
    return answer("bjobs", "JOBS", records, arguments[4])


def _record(cluster: Cluster, job: dict[str, Any], index: str, task: dict[str, Any]) -> dict[str, str]:
    waits = task["state"] == "Q"
    hosts = [f"{place['chunk']['cpus']}*{place['node']}" for place in task["places"]]
    return {
        "JOBID": job["id"],
        "JOBINDEX": index,
        "STAT": ("PSUSP" if job["held"] else "PEND") if waits else "RUN",
        "USER": job["user"],
        "QUEUE": job["queue"],
        "JOB_NAME": f"{job['name']}[{index}]" if job.get("array") else job["name"],
        "JOB_DESCRIPTION": job["note"],
        "JOB_PRIORITY": "-",
        "EXCLUSIVE": "Y" if job["exclusive"] else "N",
        "NREQ_SLOT": str(job["slots"]),
        "MIN_REQ_PROC": str(job["slots"]),
        "GPU_NUM": str(job["gpus"]) if job["gpus"] else "-",
        "COMBINED_RESREQ": job["requirement"],
        "PEND_REASON": server.pend_reason(job, cluster) if waits else "",
        "SUBMIT_TIME": when(job["submitted"]),
        "START_TIME": when(task["started"]),
        "EXEC_HOST": ":".join(hosts) or "-",
    }


def bhosts(cluster: Cluster, arguments: list[str]) -> str:
    """Hosts and what is used of them."""
    records = []
    for name, node in cluster.nodes.items():
        used = sum(one["cpus"] for one in node["used"].values())
        memory = sum(one["mem"] for one in node["used"].values())
        records.append(
            {
                "HOST_NAME": name,
                "STATUS": status(node, used),
                "MAX": str(node["cpus"]),
                "NJOBS": str(used),
                "RUN": str(used),
                "SSUSP": "0",
                "USUSP": "0",
                "RSV": "0",
                "COMMENTS": "; ".join(node["comments"].values()) or "-",
                "NGPUS": str(node["gpus"]),
                "NGPUS_ALLOC": str(sum(one["gpus"] for one in node["used"].values())),
                "TOTAL_MEM": f"{node['mem'] / 1024:.1f}G",
                "AVAILABLE_MEM": f"{(node['mem'] - memory) / 1024:.1f}G",
            }
        )
    return answer("bhosts", "HOSTS", records, arguments[-1])


def status(node: dict[str, Any], used: int) -> str:
    """The status of a host."""
    if not node["up"]:
        return "unavail"
    if node["closed"]:
        return "closed_Adm"
    if node["alone"]:
        return "closed_Excl"
    return "closed_Full" if used >= node["cpus"] else "ok"


def lshosts(cluster: Cluster, arguments: list[str]) -> str:
    """What hosts have: JSON, or the table of their string resources."""
    if arguments[0] == "-s":
        lines = [f"{'RESOURCE':32}{'VALUE':>16}       LOCATION"]
        for resource in arguments[1:]:
            lines += [
                f"{resource:32}{value:>16}       {name}"
                for name, node in cluster.nodes.items()
                for value in node["labels"].get(resource, [])
            ]
        return "\n".join(lines) + "\n"
    records = [
        {
            "HOST_NAME": name,
            "NCPUS": str(node["cpus"]),
            "MAXMEM": f"{node['mem'] / 1024:.1f}G",
            "SERVER": "Dyn",
            "RESOURCES": f"({' '.join(node['booleans'])})",
        }
        for name, node in cluster.nodes.items()
    ]
    return answer("lshosts", "HOSTS", records, arguments[-1])


def bqueues(cluster: Cluster, arguments: list[str]) -> str:
    """Queues."""
    records = [
        {"QUEUE_NAME": name, "STATUS": "Open:Active" if queue["open"] else "Open:Inact", "PRIORITY": "30"}
        for name, queue in cluster.queues.items()
    ]
    return answer("bqueues", "QUEUES", records, arguments[-1])


def bparams(cluster: Cluster, _arguments: list[str]) -> str:
    """Parameters of lsb.params."""
    return f"    RESOURCE_RESERVE_PER_TASK = {'Y' if cluster.settings['per_task'] else 'N'}\n"


def badmin(cluster: Cluster, arguments: list[str]) -> str:
    """Close and open hosts, under a lock."""
    action, rest = arguments[0], arguments[1:]
    if action not in ("hclose", "hopen") or rest[:1] != ["-i"]:
        raise Refused(f"badmin: this stand-in does not know {shlex.join(arguments)}")
    lock, rest = rest[1], rest[2:]
    text = ""
    if rest[:1] == ["-C"]:
        text, rest = rest[1], rest[2:]
    said = ""
    for name in rest:
        if name not in cluster.nodes:
            raise Refused(f"{name}: Bad host name, host group name or cluster name")
        comments = cluster.nodes[name]["comments"]
        if action == "hclose":
            comments[lock] = text
        else:
            comments.pop(lock, None)
        cluster.nodes[name]["closed"] = bool(comments)
        said += f"{'Close' if action == 'hclose' else 'Open'} <{name}> ...... done\n"
    cluster.cycle()
    return said


def _job(cluster: Cluster, text: str) -> dict[str, Any]:
    number = text.partition("[")[0]
    if number not in cluster.jobs:
        raise Refused(f"Job <{text}> is not found")
    found: dict[str, Any] = cluster.jobs[number]
    return found


def bmod(cluster: Cluster, arguments: list[str]) -> str:
    """Change the description of a job."""
    if arguments[0] != "-Jd" or len(arguments) != 3:
        raise Refused(f"bmod: this stand-in does not know {shlex.join(arguments)}")
    _job(cluster, arguments[2])["note"] = arguments[1]
    return f"Parameters of job <{arguments[2]}> are being changed\n"


def bpost(cluster: Cluster, arguments: list[str]) -> str:
    """Attach a message to a job."""
    if arguments[0] != "-i" or arguments[2] != "-d":
        raise Refused(f"bpost: this stand-in does not know {shlex.join(arguments)}")
    _job(cluster, arguments[4]).setdefault("messages", {})[arguments[1]] = arguments[3]
    return ""


def brequeue(cluster: Cluster, arguments: list[str]) -> str:
    """Give a running job back to its queue."""
    job = _job(cluster, arguments[-1])
    index = re.search(r"\[(\d+)\]", arguments[-1])
    for key, task in list(job["tasks"].items()):
        if task["state"] == "R" and (index is None or index.group(1) == key):
            cluster.requeue(job["id"], key)
    cluster.cycle()
    return f"Job <{arguments[-1]}> is being requeued\n"


def bkill(cluster: Cluster, arguments: list[str]) -> str:
    """Take a job back."""
    cluster.end(_job(cluster, arguments[-1])["id"])
    cluster.cycle()
    return f"Job <{arguments[-1]}> is being terminated\n"


def bsub(cluster: Cluster, arguments: list[str]) -> str:
    """Hand in a job: ``-n -R -q -J -Jd -x -H -gpu num=N COMMAND``. /bin/sleep N ends after N seconds."""
    options: dict[str, list[str]] = {name: [] for name in ("-n", "-R", "-q", "-J", "-Jd", "-gpu")}
    flags = {"-x": False, "-H": False}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name in flags:
            flags[name] = True
        elif name in options:
            options[name].append(rest.pop(0))
        else:
            raise Refused(f"bsub: this stand-in does not know {name}")
    usual = next((name for name, queue in cluster.queues.items() if queue["default"]), "")
    queue = (options["-q"] or [usual])[-1]
    if queue not in cluster.queues:
        raise Refused(f"{queue}: No such queue. Job not submitted.")
    slots = int((options["-n"] or ["1"])[-1])
    gpus = int((options["-gpu"] or ["num=0"])[-1].partition("=")[2])
    requirement = _combine([cluster.queues[queue]["requirement"], *options["-R"]])
    name, indices, most = _name((options["-J"] or [rest[0] if rest else "job"])[-1])
    fields: dict[str, Any] = {"indices": indices, "at_once": most, "array": True} if indices else {}
    number = cluster.submit(
        name=name,
        user=os.environ.get("STAND_IN_USER") or getpass.getuser(),
        queue=queue,
        slots=slots,
        gpus=gpus,
        requirement=requirement,
        note=(options["-Jd"] or [""])[-1],
        exclusive=flags["-x"],
        held=flags["-H"],
        seconds=int(rest[1]) if rest[:1] == ["/bin/sleep"] else 0,
        **server.request(cluster, slots, requirement, gpus),
        **fields,
    )
    cluster.cycle()
    return f"Job <{number}> is submitted to queue <{queue}>.\n"


def _combine(parts: list[str]) -> str:
    """Requirement strings of queue and job as one: their selections all hold, of the rest the last one does."""
    selects: list[str] = []
    rest: dict[str, str] = {}
    for part in parts:
        for name, inner in server.sections(part).items():
            if name == "select":
                selects.append(inner.strip())
            else:
                rest[name] = inner
    found = [f"select[{' && '.join(f'({one})' for one in [*selects, 'type == local'])}]", "order[r15s:pg]"]
    return " ".join([*found, *(f"{name}[{inner}]" for name, inner in rest.items())])


def _name(text: str) -> tuple[str, list[int], int]:
    match = re.fullmatch(r"(.*)\[(\d+)-(\d+)\](?:%(\d+))?", text, re.DOTALL)
    if not match:
        return text, [], 0
    return match.group(1), list(range(int(match.group(2)), int(match.group(3)) + 1)), int(match.group(4) or 0)


_PROGRAMS = {
    "bjobs": bjobs,
    "bhosts": bhosts,
    "lshosts": lshosts,
    "bqueues": bqueues,
    "bparams": bparams,
    "badmin": badmin,
    "bmod": bmod,
    "bpost": bpost,
    "brequeue": brequeue,
    "bsub": bsub,
    "bkill": bkill,
}
