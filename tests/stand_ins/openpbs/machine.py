"""Installs the stand-in as /opt/pbs of a machine, where the role finds PBS, and is what its service runs.

``machine.py install STATE NAMES`` with the file that all machines share, and the addresses of hosts by name as JSON.
``machine.py habitat|start|stop`` does what ``pbs_habitat`` and ``pbs_init.d`` do, with what /etc/pbs.conf says.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.stand_ins import core, install  # noqa: E402  # the path comes first
from tests.stand_ins.openpbs import server  # noqa: E402

EXEC = Path("/opt/pbs")
CONF = Path("/etc/pbs.conf")
_NAMES = EXEC / "names.json"


def put(state: str, names: str) -> None:
    """Programs, helpers and the state that is shared; nothing if it is there already."""
    if EXEC.exists():
        return
    install._install("openpbs", EXEC)
    (EXEC / "state.json").symlink_to(state)
    _NAMES.write_text(json.dumps(json.loads(names)))
    for name, text in {
        "libexec/pbs_habitat": "exec {} {} habitat",
        "libexec/pbs_init.d": 'exec {} {} "$1"',
        "sbin/pbs_iff": ":",
        "sbin/pbs_rcp": ":",
    }.items():
        path = EXEC / name
        path.parent.mkdir(exist_ok=True)
        what = text.format(sys.executable, Path(__file__).resolve())
        path.write_text(f"#!/bin/sh\n# A stand-in: this is not PBS.\n{what}\n")
        path.chmod(0o755)


def conf() -> dict[str, str]:
    """/etc/pbs.conf."""
    lines = (line.strip() for line in CONF.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def habitat() -> None:
    """The home of the daemons that run here."""
    settings = conf()
    home = Path(settings["PBS_HOME"])
    if settings["PBS_START_SERVER"] == "1":
        (home / "datastore").mkdir(parents=True)
        (home / "sched_priv").mkdir()
        (home / "sched_priv/sched_config").write_text('resources: "ncpus, mem, arch, host, vnode, aoe, eoe"\n')
    if settings["PBS_START_MOM"] == "1":
        (home / "mom_priv").mkdir(parents=True, exist_ok=True)


def start() -> None:
    """The server answers, or the server hears this machine."""
    settings = conf()
    state = EXEC / "state.json"
    if settings["PBS_START_SERVER"] == "1":
        target = state.readlink()
        target.parent.mkdir(exist_ok=True)
        target.touch()
        target.chmod(0o666)  # root of other machines is nobody here
        with core.opened(target) as cluster:
            if not cluster.queues:
                server.begin(cluster)
            cluster.data["answers"] = True
            cluster.data["names"].update(json.loads(_NAMES.read_text()))
    if settings["PBS_START_MOM"] == "1":
        name = socket.gethostname().split(".")[0].lower()
        with core.opened(state) as cluster:
            cluster.boot(name, json.loads(_NAMES.read_text())[name])
            server.schedule(cluster)


def stop() -> None:
    """The server answers no more; a machine that goes is noticed by nobody here."""
    if conf()["PBS_START_SERVER"] == "1":
        with core.opened(EXEC / "state.json") as cluster:
            cluster.data["answers"] = False


if __name__ == "__main__":
    {"install": put, "habitat": habitat, "start": start, "stop": stop}[sys.argv[1]](*sys.argv[2:])
