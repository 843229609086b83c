"""Looks at queue and fleet every other second while passes run, as an administrator with two terminals would."""

from __future__ import annotations

import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from demo.schedulers import Kind
from demo.session import DemoError, Session
from demo.timeline import Snapshot

Fleet = Mapping[str, tuple[str, float]]


def instances(session: Session, cluster: str) -> Callable[[], Fleet]:
    """A function that lists the cluster's instances: lower-case resource id -> computer name, creation time (epoch
    seconds)."""
    from azure.identity import ClientSecretCredential
    from azure.mgmt.compute import ComputeManagementClient

    environment = session.environment
    credential = ClientSecretCredential(
        environment["AZURE_TENANT_ID"], environment["AZURE_CLIENT_ID"], environment["AZURE_CLIENT_SECRET"]
    )
    client = ComputeManagementClient(credential, environment["AZURE_SUBSCRIPTION_ID"])

    def look() -> Fleet:
        found = {}
        for scale_set in client.virtual_machine_scale_sets.list_all():
            if (scale_set.tags or {}).get("hpc-cluster") != cluster:
                continue
            group = scale_set.id.split("/")[4]
            for vm in client.virtual_machine_scale_set_vms.list(group, scale_set.name):
                created: datetime | None = vm.time_created
                name = vm.os_profile.computer_name.lower() if vm.os_profile else ""
                found[vm.id.lower()] = (name, created.timestamp() if created else time.time())
        return found

    return look


def look(session: Session, kind: Kind, head: str, fleet: Callable[[], Fleet]) -> Snapshot:
    """One snapshot of queue and fleet."""
    machines = fleet()
    text = session.ssh(head, f"sudo sh -c {shlex.quote(kind.look)}")
    nodes, jobs = kind.read(text, {name: identity for identity, (name, _unused) in machines.items()})
    created = {identity: at for identity, (_unused, at) in machines.items()}
    return Snapshot(time.time(), nodes, jobs, created)


class Watch:
    """Takes snapshots in the background between ``with`` and its end; says what changed."""

    def __init__(
        self, session: Session, kind: Kind, head: str, fleet: Callable[[], Fleet], interval: float = 2
    ) -> None:
        self.snapshots: list[Snapshot] = []
        self._session, self._kind, self._head, self._fleet, self._interval = session, kind, head, fleet, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._said = ""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                snapshot = look(self._session, self._kind, self._head, self._fleet)
            except (DemoError, ValueError) as error:
                self._session.say(f"could not look: {error}")
            else:
                self.snapshots.append(snapshot)
                self._tell(snapshot)
            self._stop.wait(self._interval)

    def _tell(self, snapshot: Snapshot) -> None:
        text = f"jobs: {_jobs(snapshot)}; nodes: {_nodes(snapshot)}; machines: {len(snapshot.instances)}"
        if text != self._said:
            self._said = text
            self._session.say(text)


def _jobs(snapshot: Snapshot) -> str:
    states: Counter[str] = Counter()
    for line in snapshot.jobs:
        states[line.word] += line.tasks
    return _listed(states)


def _nodes(snapshot: Snapshot) -> str:
    return _listed(Counter(node.word for node in snapshot.nodes if node.word))


def _listed(words: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items())) or "none"
