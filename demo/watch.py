"""Looks at queue and fleet every other second while passes run, as an administrator with two terminals would."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from demo.session import DemoError, Session
from demo.timeline import Snapshot

LOOK = "scontrol show nodes --json; echo ---; squeue --json --states=all"


def instances(session: Session, cluster: str) -> Callable[[], dict[str, float]]:
    """A function that lists the cluster's instances: lower-case resource id -> creation time (epoch seconds)."""
    from azure.identity import ClientSecretCredential
    from azure.mgmt.compute import ComputeManagementClient

    environment = session.environment
    credential = ClientSecretCredential(
        environment["AZURE_TENANT_ID"], environment["AZURE_CLIENT_ID"], environment["AZURE_CLIENT_SECRET"]
    )
    client = ComputeManagementClient(credential, environment["AZURE_SUBSCRIPTION_ID"])

    def look() -> dict[str, float]:
        found = {}
        for scale_set in client.virtual_machine_scale_sets.list_all():
            if (scale_set.tags or {}).get("hpc-cluster") != cluster:
                continue
            group = scale_set.id.split("/")[4]
            for vm in client.virtual_machine_scale_set_vms.list(group, scale_set.name):
                created: datetime | None = vm.time_created
                found[vm.id.lower()] = created.timestamp() if created else time.time()
        return found

    return look


def look(session: Session, head: str, fleet: Callable[[], dict[str, float]]) -> Snapshot:
    """One snapshot of queue and fleet."""
    nodes, _unused, jobs = session.ssh(head, LOOK).partition("---\n")
    return Snapshot(time.time(), json.loads(nodes)["nodes"], json.loads(jobs)["jobs"], fleet())


class Watch:
    """Takes snapshots in the background between ``with`` and its end; says what changed."""

    def __init__(self, session: Session, head: str, fleet: Callable[[], dict[str, float]], interval: float = 2) -> None:
        self.snapshots: list[Snapshot] = []
        self._session, self._head, self._fleet, self._interval = session, head, fleet, interval
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
                snapshot = look(self._session, self._head, self._fleet)
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
    for record in snapshot.jobs:
        state = "CONFIGURING" if "CONFIGURING" in record["job_state"] else record["job_state"][0]
        states[state.lower()] += _tasks(record)
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"


def _tasks(record: dict[str, Any] | Any) -> int:
    text = (record.get("array_task_string") or "").split("%")[0]
    count = 0
    for part in filter(None, text.split(",")):
        first, _unused, rest = part.partition("-")
        last, _unused, step = rest.partition(":")
        count += (int(last) - int(first)) // int(step or 1) + 1 if last else 1
    return count or 1


def _nodes(snapshot: Snapshot) -> str:
    words: Counter[str] = Counter()
    for record in snapshot.nodes:
        flags = set(record["state"])
        if "POWERED_DOWN" in flags and not flags & {"DRAIN", "DOWN"}:
            continue
        for word in ("POWERING_UP", "POWERING_DOWN", "DRAIN", "DOWN"):
            if word in flags:
                break
        else:
            word = record["state"][0]
        words[word.lower()] += 1
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items())) or "all powered down"
