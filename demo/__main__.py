"""``./dev demo``: see ``main``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from demo import timeline
from demo.report import Outcome, show
from demo.schedulers import IMPOSSIBLE, Kind, definition, job_files, kinds
from demo.session import ROOT, DemoError, Session
from demo.watch import Watch, instances

CLUSTER = "demo"
HEAD, LOGIN = f"{CLUSTER}-head", f"{CLUSTER}-login-1"
HOME = "/shared/home/azureuser"
PASS_INTERVAL = 8.0  # seconds; a real cluster runs a pass every minute


def main() -> int:
    """Parse the command line, run the demo, and take everything down whatever happens."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=sys.modules["demo"].__doc__)
    parser.add_argument("--scheduler", choices=tuple(kinds()), default="slurm")
    parser.add_argument("--folder", type=Path, default=ROOT / ".dev/demo", help="keys, logs and the sandbox's state")
    parser.add_argument("--keep", action="store_true", help="leave cluster and sandbox running at the end")
    parser.add_argument("--quiet", action="store_true", help="do not show what the playbooks print")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kind = kinds()[arguments.scheduler]
    session = Session(arguments.folder, arguments.quiet, definition=definition(kind))
    try:
        outcome = run(session, kind, keep=arguments.keep)
    except DemoError as error:
        print(f"\nThe demo failed: {error}\nLogs are in {arguments.folder}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    show(outcome, Console(width=max(Console().width, 120)))
    return 0


def run(
    session: Session,
    kind: Kind | None = None,
    *,
    keep: bool = False,
    commands: Sequence[str] = (),
    more: Callable[[Session], None] | None = None,
) -> Outcome:
    """The whole demo; returns what was seen. Raises DemoError when a step fails.

    ``kind`` is the scheduler, Slurm if not given; the session has to have its definition. ``commands`` are handed in on
    the login node beside the demo's own; ``more`` is done before the cluster goes.
    """
    kind = kind or kinds()["slurm"]
    prepare(session)
    try:
        with session.stage("Local Azure"):
            session.sandbox("down")
            owner = [] if keep else ["--owner", str(os.getpid())]
            session.sandbox("up", "--driver", "nspawn", "--time-scale", "0", *owner, show=True)
            session.use_sandbox()
            if session.hosts():
                session.say("an earlier demo was stopped half-way: its cluster goes first")
                destroy(session)
        with session.stage("ansible-playbook azure_hpc.cluster.site"):
            session.play("site")
            session.remember_hosts()
        with session.stage("Jobs"):
            begun = time.time()
            submit(session, kind, commands)
        with session.stage("Passes, until the queue is done and the nodes are gone"):
            snapshots, owner_sees = follow(session, kind)
        mpi_output = session.ssh(LOGIN, f"cd {HOME} && cat mpi_test-*.out || tail -n 20 mpi_test-*.log")
        expand = hostlists(session, kind, snapshots)
        passes = [record for record in decisions(session) if record["kind"] == "pass"]
        if more is not None:
            with session.stage("More"):
                more(session)
        left: list[str] = []
        if not keep:
            with session.stage("ansible-playbook azure_hpc.cluster.destroy"):
                destroy(session)
                left = sorted(session.hosts())
    finally:
        if not keep:
            session.sandbox("down", check=False)
        session.close()
    return Outcome(
        begun=begun,
        nodes=timeline.nodes(snapshots, expand),
        jobs=timeline.jobs(snapshots),
        passes=passes,
        stages=session.stages,
        mpi_output=mpi_output,
        owner_sees=owner_sees,
        left=left,
    )


def prepare(session: Session) -> None:
    """A key for the admin account, and no decisions of an earlier demo."""
    session.decision_log.unlink(missing_ok=True)
    if not session.key.exists():
        session.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "azure_hpc demo", "-f", str(session.key)])


def destroy(session: Session) -> None:
    """Take the cluster down; its image stays for the next one."""
    session.play("destroy", "-e", f"hpc_destroy_confirm={CLUSTER}")


def submit(session: Session, kind: Kind, commands: Sequence[str] = ()) -> None:
    """Hand in the jobs as a user on the login node does."""
    for path in job_files(kind):
        session.ssh(LOGIN, f"cat > {HOME}/{path.name}", stdin=path.read_text())
    for command in (*kind.commands, *commands):
        session.say(f"$ {command}")
        for line in session.ssh(LOGIN, f"cd {HOME} && {command}").splitlines():
            session.say(line)


def follow(session: Session, kind: Kind) -> tuple[list[timeline.Snapshot], str]:
    """Run passes on a timer until only jobs that can never run are left and every compute machine is gone.

    Returns what was seen, and what the scheduler says to the owner of the job that can never run.
    """
    deadline = time.monotonic() + 600
    told = 0
    with Watch(session, kind, HEAD, instances(session, CLUSTER)) as watch:
        while True:
            begun = time.monotonic()
            session.play("autoscale", show=False)
            told = tell(session, told)
            if watch.snapshots and finished(watch.snapshots[-1]):
                break
            if begun > deadline:
                raise DemoError("the queue was not done after 600 s of passes")
            time.sleep(max(0.0, PASS_INTERVAL - (time.monotonic() - begun)))
        identity, seen, note = kind.owner_sees(session, LOGIN)
        session.say(f"what the owner of the job that can never run sees in the queue:   {seen}")
        session.say(f"... and on the job:   {note}")
        session.ssh(LOGIN, kind.cancel(identity))
        session.say("one more pass: there is nothing left to do")
        session.play("autoscale", show=False)
        tell(session, told)
    return watch.snapshots, seen


def tell(session: Session, told: int) -> int:
    """Show the lines of decisions that passes have logged since; returns how many log lines are known now."""
    records = decisions(session)
    for record in records[told:]:
        session.say(("" if record["kind"] == "pass" else "   ") + record["line"])
    return len(records)


def decisions(session: Session) -> list[dict[str, Any]]:
    """The decision log so far."""
    lines = session.decision_log.read_text().splitlines() if session.decision_log.exists() else []
    return [json.loads(line) for line in lines]


def finished(snapshot: timeline.Snapshot) -> bool:
    """Whether nothing is running or about to, and no machine is left."""
    waiting = [job for job in timeline.jobs([snapshot]) if job.state in {"PENDING", "RUNNING", "COMPLETING"}]
    return not snapshot.instances and all(job.name == IMPOSSIBLE for job in waiting) and len(snapshot.jobs) > 1


def hostlists(session: Session, kind: Kind, snapshots: list[timeline.Snapshot]) -> dict[str, list[str]]:
    """Every text of a job's nodes with the names in it."""
    found = {job.nodes for job in timeline.jobs(snapshots) if job.nodes}
    return {text: kind.nodes_of(session, HEAD, text) for text in found}


if __name__ == "__main__":
    sys.exit(main())
