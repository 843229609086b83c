"""What can go wrong on a living cluster, done to the demo's: each scenario returns what was seen."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from demo.__main__ import HOME, LOGIN, decisions
from demo.session import DemoError, Session

GROUP = "demo-rg"


@dataclass(frozen=True)
class Seen:
    """The job at its end, and the decisions of the passes that served it."""

    job: dict[str, Any]
    decisions: list[dict[str, Any]]

    def lines(self, kind: str) -> list[str]:
        return [record["line"] for record in self.decisions if record["kind"] == kind]


def submit(session: Session, *options: str, wrap: str = "hostname") -> str:
    """Hand in a small job; returns its id."""
    command = f"cd {HOME} && sbatch --parsable --time=5 {' '.join(options)} --wrap={shlex.quote(wrap)}"
    return session.ssh(LOGIN, command).strip()


def job(session: Session, identity: str) -> dict[str, Any]:
    (record,) = json.loads(session.ssh(LOGIN, f"scontrol show job {identity} --json"))["jobs"]
    return dict(record)


def serve(session: Session, identity: str, until: Callable[[dict[str, Any]], bool], timeout: float = 900) -> None:
    """Run passes until the job satisfies the condition."""
    deadline = time.monotonic() + timeout
    while not until(job(session, identity)):
        if time.monotonic() > deadline:
            raise DemoError(f"job {identity} is {job(session, identity)['job_state']} after {timeout:.0f} s of passes")
        session.play("autoscale", show=False)
        time.sleep(3)


def completed(record: dict[str, Any]) -> bool:
    return "COMPLETED" in record["job_state"]


def seen(session: Session, identity: str, begun: int) -> Seen:
    return Seen(job(session, identity), decisions(session)[begun:])


def no_capacity(session: Session) -> Seen:
    """Azure has none of the cheaper size: the job has to run on the other one."""
    begun = len(decisions(session))
    session.sandbox("fault", "add", "AllocationFailed", "--when", "async", "--match", "*/demo-htc-d4sv5")
    try:
        identity = submit(session, "--partition=htc")
        serve(session, identity, completed)
    finally:
        session.sandbox("fault", "clear")
    return seen(session, identity, begun)


def cannot_join(session: Session) -> Seen:
    """The head cannot be reached from the compute subnet until the first machine was given up."""
    begun = len(decisions(session))
    with closed_head(session):
        identity = submit(session, "--partition=hpc")
        serve(session, identity, lambda record: bool(record["admin_comment"]))
    serve(session, identity, completed)
    return seen(session, identity, begun)


@contextmanager
def closed_head(session: Session) -> Iterator[None]:
    """A security rule, as an administrator might make it by mistake."""
    from azure.identity import ClientSecretCredential
    from azure.mgmt.network import NetworkManagementClient

    environment = session.environment
    credential = ClientSecretCredential(
        environment["AZURE_TENANT_ID"], environment["AZURE_CLIENT_ID"], environment["AZURE_CLIENT_SECRET"]
    )
    rules = NetworkManagementClient(credential, environment["AZURE_SUBSCRIPTION_ID"]).security_rules
    rule: Any = {
        "properties": {
            "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*",
            "sourceAddressPrefix": "10.20.16.0/20", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "*",
        }
    }  # fmt: skip
    rules.begin_create_or_update(GROUP, "demo-head-nsg", "mistake", rule).result()
    try:
        yield
    finally:
        rules.begin_delete(GROUP, "demo-head-nsg", "mistake").result()


def killed_pass(session: Session) -> Seen:
    """A pass is killed the moment Azure has taken its growth: the next ones must finish the work, not repeat it."""
    begun = len(decisions(session))
    identity = submit(session, "--partition=hpc", "--nodes=2")
    # The job is CONFIGURING a moment before its nodes are powered up, and the pass that is killed must find them so.
    session.wait("Slurm to ask for nodes", lambda: powering_up(session, identity), 300)
    before = growths(session)
    session.wait("a pass to grow a scale set", lambda: killed(session, lambda: growths(session) > before), 900)
    serve(session, identity, completed)
    return seen(session, identity, begun)


def powering_up(session: Session, identity: str) -> bool:
    """Whether Slurm waits for nodes of a job to come up."""
    names = job(session, identity)["nodes"]
    if not names:
        return False
    found = json.loads(session.ssh(LOGIN, f"scontrol show nodes {shlex.quote(names)} --json"))["nodes"]
    return any("POWERING_UP" in node["state"] for node in found)


def killed(session: Session, when: Callable[[], bool]) -> bool:
    """Run a pass and kill it the moment something holds; whether it got that far."""
    play = subprocess.Popen(
        session.playbook("autoscale"),
        env=session.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        session.wait("the pass to get there or end", lambda: when() or play.poll() is not None, 300, interval=0.05)
    finally:
        if play.poll() is None:
            os.killpg(play.pid, signal.SIGKILL)
        play.wait()
    return when()


def growths(session: Session) -> int:
    """How many times the capacity of a scale set was written."""
    requests: dict[str, int] = json.loads(session.sandbox("status", "--json"))["requests"]
    return requests.get("PATCH Microsoft.Compute/virtualMachineScaleSets", 0)
