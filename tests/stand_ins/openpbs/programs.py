"""The commands of the stand-in for OpenPBS."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from tests.stand_ins.core import Cluster, opened
from tests.stand_ins.openpbs import server, show
from tests.stand_ins.openpbs.server import Refused

_DOWN = {
    "qstat": ("qstat: cannot connect to server head (errno=15010)", 255),
    "pbsnodes": ("pbsnodes: cannot connect to server head, error=15010", 1),
    "qmgr": ("qmgr: cannot connect to server ", 3),
    "qsub": ("qsub: cannot connect to server head (errno=15010)", 162),
}
_DOWN_OTHERS = ("Couldn't connect to cluster: head", 162)
_JOB = re.compile(r"(\d+)(?:\[(\d*)\])?(?:\.head)?")


def main(program: str, arguments: list[str], state: str) -> int:
    """Run one command."""
    with opened(Path(state)) as cluster:
        if not cluster.data["answers"]:
            text, status = _DOWN.get(program, _DOWN_OTHERS)
            if program == "qstat" and "json" in arguments:
                sys.stdout.write(show.json_text(cluster, "Jobs", {}))
            sys.stderr.write(f"Connection refused\n{text}\n")
            return status
        try:
            sys.stdout.write(_PROGRAMS[program](cluster, arguments))
        except Refused as refused:
            sys.stderr.write(f"{refused}\n")
            return refused.status
    return 0


def _user() -> str:
    return os.environ.get("STAND_IN_USER") or getpass.getuser()


def qstat(cluster: Cluster, arguments: list[str]) -> str:
    """Jobs, queues or the server, in full."""
    answers = {
        ("-f", "-F", "json"): lambda: show.json_text(cluster, "Jobs", show.jobs(cluster)),
        ("-fw",): lambda: show.jobs_as_text(cluster),
        ("-Bf", "-F", "json"): lambda: show.json_text(cluster, "Server", show.servers(cluster)),
        ("-Qf", "-F", "json"): lambda: show.json_text(cluster, "Queue", show.queues(cluster)),
        ("-B",): lambda: "Server Max Tot\nhead 0 0\n",
    }
    if tuple(arguments) not in answers:
        raise Refused(f"qstat: this stand-in does not know {shlex.join(arguments)}", 2)
    return answers[tuple(arguments)]()


def pbsnodes(cluster: Cluster, arguments: list[str]) -> str:
    """Show nodes, or take them out of service and back."""
    if arguments == ["-av", "-F", "json"]:
        if not cluster.nodes:
            raise Refused("pbsnodes: Server has no node list", 1)
        return show.json_text(cluster, "nodes", show.nodes(cluster))
    if arguments[0] == "-v" and arguments[2:] == ["-F", "json"]:
        found = show.nodes(cluster).get(arguments[1], {"Error": "Unknown node "})
        return show.json_text(cluster, "nodes", {arguments[1]: found})
    offline = arguments[0] == "-o"
    if not offline and arguments[0] != "-r":
        raise Refused(f"pbsnodes: this stand-in does not know {shlex.join(arguments)}", 1)
    rest = arguments[1:]
    comment = None
    if rest[:1] == ["-C"]:
        comment, rest = rest[1][:79], rest[2:]
    for name in rest:
        if name not in cluster.nodes:
            raise Refused(f"Error marking node {name} - Unknown node ", 1)
        cluster.nodes[name]["closed"] = offline
        cluster.nodes[name]["changed"] = cluster.now
        if comment is not None:
            cluster.nodes[name]["comment"] = comment
    return ""


def qmgr(cluster: Cluster, arguments: list[str]) -> str:
    """One directive."""
    if len(arguments) != 2 or arguments[0] != "-c":
        raise Refused("qmgr: this stand-in takes one directive", 1)
    if arguments[1] == "print server":
        return show.print_server(cluster)
    if arguments[1] == "list sched":
        return show.list_sched(cluster)
    if not isolated(arguments[1]):
        raise Refused("qmgr: Syntax error", 3)
    verb, kind, rest = (*arguments[1].split(" ", 2), "", "")[:3]
    if kind in ("server", "sched"):
        names, text = [""], rest
    else:
        first, _blank, text = rest.partition(" ")
        names = first.split(",")
    for name in names:
        try:
            _DIRECTIVES[kind](cluster, verb, name, text)
        except Refused as refused:
            text = f"qmgr obj={name} svr=default: {refused}\nqmgr: Error (15000) returned from server"
            raise Refused(text, refused.status) from None
    return ""


def isolated(directive: str) -> bool:
    """Whether a directive is one: nothing after it, no comment, every quote closed."""
    quote = ""
    for char in directive:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in ";#\n":
            return False
    return not quote


def assignments(text: str) -> dict[str, str | None]:
    """``a = 1,b = "x,y"`` as a dictionary; names alone have None."""
    found: dict[str, str | None] = {}
    for part in re.findall(r"""((?:[^,"']|"[^"]*"|'[^']*')+)""", text):
        name, equals, value = part.partition("=")
        found[name.strip()] = value.strip().strip("\"'") if equals else None
    return found


def _on_node(cluster: Cluster, verb: str, name: str, text: str) -> None:
    if verb == "create":
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name):
            raise Refused("Illegal value for node", 219)
        if name in cluster.nodes:
            raise Refused("Node name already exists", 218)
        if name not in cluster.data["names"]:
            raise Refused("Unknown node ", 214)
        cluster.node(name)
    elif name not in cluster.nodes:
        raise Refused("Unknown node ", 214)
    if verb == "delete":
        if cluster.nodes[name]["used"]:
            raise Refused("Cannot delete busy object", 179)
        del cluster.nodes[name]
        return
    for key, value in assignments(text).items():
        attribute, _dot, resource = key.partition(".")
        if attribute == "resources_available":
            server.set_resource(cluster, cluster.nodes[name], resource, None if verb == "unset" else value)
        elif attribute == "comment":
            cluster.nodes[name]["comment"] = "" if verb == "unset" else value
        else:
            raise Refused("Undefined attribute ", 154)


def _on_resource(cluster: Cluster, verb: str, name: str, text: str) -> None:
    if verb != "create":
        raise Refused("this stand-in only creates resources", 3)
    if name in cluster.settings["resources"] or name in server.BUILT_IN:
        raise Refused("Duplicate entry in list ", 207)
    about = assignments(text)
    cluster.settings["resources"][name] = {"type": about.get("type") or "string", "flag": about.get("flag") or ""}


def _on_queue(cluster: Cluster, verb: str, name: str, text: str) -> None:
    if verb == "create" and name in cluster.queues:
        raise Refused("Queue already exists", 177)
    if verb != "create" and name not in cluster.queues:
        raise Refused("Unknown queue", 170)
    server.queue(cluster, name, {key: value or "" for key, value in assignments(text).items()})
    server.schedule(cluster)


def _on_server(cluster: Cluster, _verb: str, _name: str, text: str) -> None:
    for key, value in assignments(text).items():
        attribute, _dot, resource = key.partition(".")
        if resource:
            server.known(cluster, resource)
        if attribute == "resources_available":
            cluster.settings["pool"][resource] = float(value or 0)
        cluster.settings["server"][key] = value
        if attribute == "scheduling":
            server.schedule(cluster)


def _on_sched(cluster: Cluster, _verb: str, _name: str, text: str) -> None:
    cluster.settings["sched"].update(assignments(text))


_DIRECTIVES = {
    "node": _on_node,
    "resource": _on_resource,
    "queue": _on_queue,
    "server": _on_server,
    "sched": _on_sched,
}


def qsub(cluster: Cluster, arguments: list[str]) -> str:
    """Hand in a job. ``-- /bin/sleep N`` makes it end after N seconds; any other one runs until a test ends it."""
    options, command = _options(arguments)
    resources = {}
    for text in options["-l"]:
        name, _equals, value = text.partition("=")
        resources[name] = value
    queue = (options["-q"] or [cluster.settings["server"]["default_queue"]])[-1]
    if queue not in cluster.queues:
        raise Refused("qsub: Unknown queue", 170)
    select = resources.pop("select", "1:ncpus=1")
    place = resources.pop("place", "pack" if not any(text.startswith("select") for text in options["-l"]) else "free")
    statement = server.schedselect(cluster, select, queue)
    pool = {name: float(value) for name, value in resources.items() if name in cluster.settings["pool"]}
    unknown = [name for name in resources if name not in pool and name not in server.BUILT_IN]
    try:
        chunks = server.chunks(cluster, statement)
        if unknown:
            server.known(cluster, unknown[0])
    except Refused as refused:
        raise Refused(f"qsub: {refused}", refused.status) from None
    fields: dict[str, Any] = {
        "name": (options["-N"] or [Path(command[0]).name if command else "STDIN"])[-1],
        "user": _user(),
        "queue": queue,
        "select": select,
        "place": place,
        "schedselect": statement,
        "arguments": " ".join(arguments),
        "chunks": chunks,
        "held": bool(options["-h"]),
        "pool": pool,
        "seconds": int(command[1]) if command[:1] == ["/bin/sleep"] else 0,
        **server.place(cluster, place),
    }
    if options["-J"]:
        match = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?:%(\d+))?", options["-J"][-1])
        if not match:
            raise Refused("qsub: illegal -J value", 2)
        low, high, step, most = (int(text or 0) for text in match.groups())
        fields.update(array=True, indices=list(range(low, high + 1, step or 1)), at_once=most)
    number = cluster.submit(**fields)
    server.schedule(cluster)
    return f"{number}{'[]' if options['-J'] else ''}.{server.SERVER}\n"


def _options(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    found: dict[str, list[str]] = {name: [] for name in ("-l", "-N", "-q", "-J", "-A", "-v", "-h")}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name == "--":
            break
        if name not in found:
            raise Refused(f"qsub: this stand-in does not know {name}", 2)
        found[name].append("u" if name == "-h" else rest.pop(0))
    return found, rest


def _job(cluster: Cluster, program: str, text: str) -> tuple[dict[str, Any], str]:
    match = _JOB.fullmatch(text)
    if not match or match.group(1) not in cluster.jobs:
        raise Refused(f"{program}: Unknown Job Id {text}", 153)
    return cluster.jobs[match.group(1)], match.group(2) or ""


def qalter(cluster: Cluster, arguments: list[str]) -> str:
    """Change the comment of a job."""
    if len(arguments) != 3 or arguments[0] != "-W" or not arguments[1].startswith("comment="):
        raise Refused(f"qalter: this stand-in does not know {shlex.join(arguments)}", 2)
    job, _index = _job(cluster, "qalter", arguments[2])
    value = arguments[1].partition("=")[2]
    job["note"] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return ""


def qrerun(cluster: Cluster, arguments: list[str]) -> str:
    """Give a job back to its queue."""
    job, index = _job(cluster, "qrerun", arguments[-1])
    running = [key for key, task in job["tasks"].items() if task["state"] == "R" and index in ("", key)]
    if not running:
        raise Refused(f"qrerun: Request invalid for state of job {arguments[-1]}", 171)
    for key in running:
        cluster.requeue(job["id"], key)
    server.schedule(cluster)
    return ""


def qdel(cluster: Cluster, arguments: list[str]) -> str:
    """Take a job back."""
    job, _index = _job(cluster, "qdel", arguments[-1])
    cluster.end(job["id"])
    server.schedule(cluster)
    return ""


_PROGRAMS = {
    "qstat": qstat,
    "pbsnodes": pbsnodes,
    "qmgr": qmgr,
    "qsub": qsub,
    "qalter": qalter,
    "qrerun": qrerun,
    "qdel": qdel,
}
