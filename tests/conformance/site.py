"""A cluster for the conformance suite: booted in a sandbox of its own, used through ssh and ansible-playbook alone."""

from __future__ import annotations

import base64
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.azure_hpc.cluster.plugins.module_utils import bundle

from demo.session import INVENTORY, DemoError, Session
from tests.conformance.drivers import Ask, Driver, Job

HOME = "/shared/home/azureuser"
PATIENCE = 900  # seconds: ends only what hangs, also on a machine that has much else to do
SIZES = {"htc": "Standard_D4s_v5", "hpc": "Standard_HB120rs_v3", "gpu": "Standard_NC24ads_A100_v4"}


def definition(driver: Driver, decision_log: str, key: str) -> dict[str, Any]:
    """The cluster definition of the suite for one scheduler."""
    name = f"suite-{driver.type[:6]}"
    arrays = [
        {"name": "htc", "vm_sizes": [SIZES["htc"]], "max_nodes": 3},
        {"name": "hpc", "vm_sizes": [SIZES["hpc"]], "max_nodes": 120, "placement_group": True},
        {"name": "gpu", "vm_sizes": [SIZES["gpu"]], "max_nodes": 1},
    ]
    return {
        "name": name,
        "location": "westeurope",
        "resource_group": f"{name}-rg",
        "admin": {"username": "azureuser", "ssh_public_keys": [key]},
        "network": {
            "address_space": ["10.20.0.0/16"],
            "subnets": {"head": "10.20.0.0/24", "compute": "10.20.16.0/20"},
            "nat_gateway": True,
            "ssh_from": ["0.0.0.0/0"],
        },
        "image": {"bake": True, "name": f"{name}-node", "build_size": "Standard_D4s_v5"},
        "head": {"vm_size": "Standard_D4s_v5", "public_ip": True},
        "node_arrays": arrays,
        "file_systems": [{"name": "home", "path": "/shared/home", "export": "/export/home"}],
        "autoscale": {
            "idle_timeout": 15, "boot_timeout": 120, "resume_timeout": 300, "suspend_timeout": 10, "orphan_grace": 120,
            "decision_log": decision_log,
        },
        **driver.definition([str(array["name"]) for array in arrays]),
    }  # fmt: skip


@dataclass
class Cluster(Session):
    """A session on an inventory of its own."""

    inventory: Path = INVENTORY

    def hosts(self) -> dict[str, Any]:
        """Host variables by host name, from the inventory plugin."""
        text = self.run(["ansible-inventory", "-i", str(self.inventory), "--list"])
        return dict(json.loads(text, object_hook=plain)["_meta"]["hostvars"])


def plain(value: dict[str, Any]) -> Any:
    """Data of the cloud as plain text: ansible-inventory marks it, so that nobody renders it as a template."""
    return value.get("__ansible_unsafe", value)


class Site:
    """The cluster of one scheduler. Every wait runs passes, as a timer would."""

    def __init__(self, driver: Driver, folder: Path) -> None:
        self.driver = driver
        self.inventory = folder / "inventory"
        self.session = Cluster(folder, quiet=True, inventory=self.inventory)
        self._numbers = iter(range(1, 10_000))
        self.lines: list[str] = []

    @contextmanager
    def up(self) -> Iterator[Site]:
        """Bring everything up, and down whatever happens."""
        session = self.session
        if not session.key.exists():
            session.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(session.key)])
        self._write_inventory()
        try:
            session.sandbox("up", "--driver", "nspawn", "--time-scale", "0", "--owner", str(os.getpid()))
            session.use_sandbox()
            self.play("site")
            session.remember_hosts()
            yield self
            self.play("destroy", "-e", f"hpc_destroy_confirm={self.name}")
        finally:
            session.sandbox("down", check=False)
            session.close()

    def _write_inventory(self) -> None:
        cluster = definition(
            self.driver, str(self.session.decision_log), self.session.key.with_suffix(".pub").read_text().strip()
        )
        self.name = str(cluster["name"])
        self.group = str(cluster["resource_group"])
        usual = (INVENTORY / "nodes.yml").read_text()
        nodes = usual.replace("clusters: [demo]", f"clusters: [{self.name}]").replace("[demo-rg]", f"[{self.group}]")
        (self.inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        (self.inventory / "nodes.yml").write_text(nodes)
        variables = {
            "ansible_ssh_private_key_file": str(self.session.key),
            "ansible_host_key_checking": False,
            "ansible_ssh_extra_args": "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            "ansible_control_path": f"{self.session.environment['HPC_SSH_CONTROL']}-%%C",
            "hpc_cluster": cluster,
        }
        (self.inventory / "group_vars/all.yml").write_text(json.dumps(variables, indent=1))

    @property
    def head(self) -> str:
        """The head's name in the inventory."""
        return f"{self.name}-head"

    def play(self, playbook: str, *options: str) -> str:
        """``ansible-playbook azure_hpc.cluster.<playbook>``; the output is shown when it fails."""
        return self.session.run(
            ["ansible-playbook", "-i", str(self.inventory), f"azure_hpc.cluster.{playbook}", *options]
        )

    def user(self, command: str) -> str:
        """Run a command on the head as the user who owns the jobs, in the shared home."""
        return self.session.ssh(self.head, f"cd {HOME} && {command}")

    def one_pass(self) -> list[str]:
        """One pass; returns its decisions as lines."""
        before = self._log()
        try:
            self.play("autoscale")
        except DemoError as error:
            # A scheduler that has just started may not know all of its nodes: the pass says so, the next one does it.
            if "QueueIncomplete" not in str(error):
                raise
        found = [record["line"] for record in self._log()[len(before) :] if record["kind"] != "pass"]
        self.lines += found
        return found

    def _log(self) -> list[dict[str, Any]]:
        path = self.session.decision_log
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Run passes until something holds; raises DemoError with the last decisions when that takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                queue = self.session.ssh(self.head, self.driver.show)
                raise DemoError(f"not after {PATIENCE} s of passes: {what}\n{queue}\n" + "\n".join(self.lines[-20:]))
            self.one_pass()
            time.sleep(3)  # machines that boot beside need the processors, too

    def submit(self, ask: Ask) -> Job:
        """Hand in a job that writes one line per task and rank into a file of its own: the host it ran on."""
        token = f"job{next(self._numbers)}"
        script = "\n".join(
            [
                "#!/bin/sh",
                f"cd {HOME}",
                *([f"sleep {ask.seconds}"] if ask.seconds else []),
                f"{self.driver.launch(ask)} ./say {token}",
            ]
        )
        self.session.ssh(self.head, f"cat > {HOME}/say && chmod +x {HOME}/say", stdin=SAY)
        self.session.ssh(self.head, f"cat > {HOME}/{token}.sh && chmod +x {HOME}/{token}.sh", stdin=script + "\n")
        files = self.driver.files(ask, token)
        for name, text in files.items():
            self.session.ssh(self.head, f"cat > {HOME}/{shlex.quote(name)}", stdin=text)
        identity = self.driver.identity(self.user(self.driver.submit(ask, token)))
        return Job(identity, token, ask)

    def hosts(self, job: Job) -> list[str]:
        """The hosts that tasks and ranks of the job have said so far, one for each."""
        text = self.user(f"cat {job.token}.hosts.* 2>/dev/null || true")
        return [line.split(".")[0] for line in text.split()]

    def done(self, job: Job) -> bool:
        """Whether all tasks and ranks of the job have said their host."""
        return len(self.hosts(job)) >= max(job.ask.tasks, 1) * job.ask.nodes

    def finish(self, *jobs: Job) -> None:
        """Run passes until the jobs are done."""
        self.until(f"{[job.token for job in jobs]} done", lambda: all(map(self.done, jobs)))

    def machines(self, array: str = "") -> list[dict[str, Any]]:
        """The compute machines that Azure has, of one node array or of all."""
        hosts = self.session.hosts().values()
        return [host for host in hosts if host.get("hpc_role") == "compute" and array in ("", host["hpc_node_array"])]

    def told(self) -> tuple[dict[str, float], list[str]]:
        """What Prometheus is told: the samples by name and labels, and the addresses of the machines that it asks."""
        program = base64.b64encode(bundle.program(bundle.sources())).decode()
        self.session.ssh(self.head, "base64 -d >/tmp/queue_metrics.pyz", stdin=program)
        settings = {"scheduler": self.driver.type, "textfile": "/tmp/queue.prom", "targets": "/tmp/nodes.json"}
        self.session.ssh(self.head, "cat >/tmp/metrics.json", stdin=json.dumps(settings))
        self.session.ssh(self.head, "sudo python3 /tmp/queue_metrics.pyz /tmp/metrics.json")
        lines = self.session.ssh(self.head, "cat /tmp/queue.prom").splitlines()
        pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        targets = json.loads(self.session.ssh(self.head, "cat /tmp/nodes.json"))
        return {name: float(number) for name, _blank, number in pairs}, [one["targets"][0] for one in targets]

    def empty(self) -> None:
        """Run passes until no compute machine is left."""
        self.until("all machines deleted", lambda: not self.machines())


# A rank or task appends nothing to a shared file: each has its own, so that nothing is lost on any file system.
SAY = """#!/bin/sh
hostname > "$1.hosts.$(hostname).$$.tmp" && mv "$1.hosts.$(hostname).$$.tmp" "$1.hosts.$(hostname).$$"
"""
