# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that is away when a node boots, that is lost while it runs, and that it leaves before it is deleted."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

from demo.session import DemoError, Session

HOME = "/shared/home/azureuser"
# On a node that runs, looks become frequent; before, they are what users have.
DROP_IN = "/etc/systemd/system/azure-hpc-watch.service.d"
QUICK = "[Service]\nEnvironment=AZURE_HPC_WATCH_SECONDS=4\n"


@dataclass
class Told:
    """What Slurm, the owner of a job and the node itself said."""

    while_booting: dict[str, Any]
    comment: str
    waiting: list[str]
    ended: list[str]
    output: str
    lost: dict[str, Any]
    back: dict[str, Any]
    last_words: str


@dataclass
class Cluster:
    """A cluster with Lustre at /mnt/lustre, in the subnet ``storage``, which can be closed."""

    session: Session
    name: str
    head: str
    storage: str

    def node(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.session.ssh(self.head, f"scontrol show node {name} --json"))["nodes"]
        return dict(found)

    def job(self, number: str) -> dict[str, Any]:
        (found,) = json.loads(self.session.ssh(self.head, f"scontrol show job {number} --json"))["jobs"]
        return dict(found)

    def wait(self, what: str, holds: Callable[[], bool], passes: bool = True, timeout: float = 240) -> None:
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() > deadline:
                raise DemoError(f"gave up waiting for {what}: {self.session.ssh(self.head, 'sinfo -R; squeue; sinfo')}")
            if passes:
                self.session.play("autoscale", show=False)
            time.sleep(1)

    @contextmanager
    def closed_storage(self) -> Iterator[None]:
        """A security rule, as an administrator might make it by mistake."""
        rule = {
            "priority": 100, "direction": "Outbound", "access": "Deny", "protocol": "*",
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": self.storage, "destinationPortRange": "*",
        }  # fmt: skip
        with connect({}) as azure:
            group = azure.resource_path(
                f"{self.name}-rg", "Microsoft.Network/networkSecurityGroups", f"{self.name}-compute-nsg"
            )
            path = f"{group}/securityRules/mistake"
            azure.begin("PUT", path, "2024-05-01", {"properties": rule}).result()
            try:
                yield
            finally:
                azure.begin("DELETE", path, "2024-05-01").result()


def away_and_back(cluster: Cluster, script: str) -> Told:
    """One node from its boot to its end; a job runs ``script`` there."""
    session = cluster.session
    known = json.loads(session.ssh(cluster.head, "scontrol show nodes --json"))["nodes"]
    name = next(str(node["name"]) for node in known if "POWERED_DOWN" in node["state"])
    command = f"cd {HOME} && sbatch --parsable --nodelist={name} --wrap={shlex.quote(script)}"
    with cluster.closed_storage():
        number = session.ssh(cluster.head, command).strip()
        # Passes only where one is needed: from here on the node does it by itself.
        cluster.wait("a machine", lambda: str(cluster.node(name)["address"]).startswith("10."))
        cluster.wait("the node to say why", lambda: "mounts:" in cluster.node(name)["comment"], passes=False)
        cluster.wait("the owner to be told", lambda: "mounts:" in cluster.job(number)["admin_comment"])
        booting, waiting = cluster.node(name), cluster.job(number)
    cluster.wait("the job", lambda: "COMPLETED" in cluster.job(number)["job_state"], passes=False)
    ended = cluster.job(number)
    output = session.ssh(cluster.head, f"cat {HOME}/slurm-{number}.out")
    host = _host(session, cluster.node(name)["address"])
    session.ssh(host, f"sudo mkdir -p {DROP_IN} && sudo tee {DROP_IN}/quick.conf", stdin=QUICK)
    session.ssh(host, "sudo systemctl daemon-reload && sudo systemctl restart azure-hpc-watch")
    with cluster.closed_storage():
        session.ssh(host, "sudo umount /mnt/lustre")
        cluster.wait("the node to be drained", lambda: "DRAIN" in cluster.node(name)["state"], passes=False)
        lost = cluster.node(name)
    cluster.wait("the node to return", lambda: "DRAIN" not in cluster.node(name)["state"], passes=False)
    back = cluster.node(name)
    return Told(
        booting, waiting["admin_comment"], waiting["job_state"], ended["job_state"], output, lost, back,
        _end(cluster, host),
    )  # fmt: skip


def _host(session: Session, address: str) -> str:
    session.remember_hosts()
    return next(name for name, found in session.hosts().items() if found["ansible_host"] == address)


def _end(cluster: Cluster, host: str) -> str:
    """Delete the machine, as a pass does; what it said."""
    session = cluster.session
    watching = "sudo systemctl stop azure-hpc-watch; sudo AZURE_HPC_WATCH_SECONDS=4 /usr/libexec/azure_hpc/join watch"
    words = session.folder / "last_words"
    scale_set, _separator, number = host.rpartition("_")
    with words.open("w") as file, connect({}) as azure:
        path = azure.resource_path(f"{cluster.name}-rg", "Microsoft.Compute/virtualMachineScaleSets", scale_set)
        before = azure.get(path, "2024-07-01")["properties"]["virtualMachineProfile"]["scheduledEventsProfile"]
        # The longest notice: where time goes so fast, the machine must still hear of it.
        azure.begin("PATCH", path, "2024-07-01", _notice({"enable": True, "notBeforeTimeout": "PT15M"})).result()
        process = subprocess.Popen(
            session.ssh_command(host, watching), stdout=file, stderr=file, env=session.environment
        )
        time.sleep(4)
        azure.begin("POST", f"{path}/delete", "2024-07-01", {"instanceIds": [number]}).result()
        azure.begin("PATCH", path, "2024-07-01", _notice(before["terminateNotificationProfile"])).result()
        process.wait(300)
    return words.read_text()


def _notice(profile: dict[str, Any]) -> dict[str, Any]:
    return {
        "properties": {"virtualMachineProfile": {"scheduledEventsProfile": {"terminateNotificationProfile": profile}}}
    }
