"""How the demo acts: as a user does, through ansible-playbook, ssh and the environment that the sandbox prints."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INVENTORY = ROOT / "inventories" / "sandbox"


class DemoError(Exception):
    """The demo cannot go on; the message says which command failed and how."""


@dataclass
class Session:
    """One demo: its folder (keys, logs, decision log, sandbox state), its environment, and the seconds per stage.

    ``definition`` takes the place of the cluster definition of ``inventory``.
    """

    folder: Path
    quiet: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    stages: list[tuple[str, float]] = field(default_factory=list)
    definition: Mapping[str, Any] | None = None
    inventory: Path = INVENTORY
    _ssh: dict[str, list[str]] = field(default_factory=dict)
    # Addresses come again in every demo: a connection that an earlier one left open would lead nowhere.
    _control: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="azure-hpc-")))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.definition is not None:
            self.cluster_file.write_text(json.dumps({"hpc_cluster": self.definition}, indent=2))
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".dev/collections"),
            "AZURE_SANDBOX_STATE": str(self.folder / "sandbox"),
            "HPC_SSH_KEY": str(self.key),
            "HPC_SSH_CONTROL": str(self._control / "ansible"),
            "HPC_DECISION_LOG": str(self.decision_log),
            "ANSIBLE_CONFIG": str(INVENTORY / "ansible.cfg"),
            "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
            "ANSIBLE_INJECT_FACT_VARS": "false",
        }

    @property
    def key(self) -> Path:
        """The private SSH key of the admin account; the public one lies beside it."""
        return self.folder / "id_ed25519"

    @property
    def decision_log(self) -> Path:
        """What passes append to: one JSON object per line."""
        return self.folder / "decisions.jsonl"

    @property
    def cluster_file(self) -> Path:
        """The definition in place of the inventory's, for ``ansible-playbook -e @...``."""
        return self.folder / "cluster.json"

    def say(self, text: str) -> None:
        """One line of progress, with the time of day."""
        print(f"{datetime.now():%H:%M:%S}  {text}", flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A part of the demo whose seconds are reported at the end."""
        print(f"\n== {name}", flush=True)
        begun = time.monotonic()
        try:
            yield
        finally:
            self.stages.append((name, time.monotonic() - begun))

    def run(self, command: Sequence[str], *, show: bool = False, check: bool = True) -> str:
        """Run a command and return what it printed; with ``show``, its lines also appear as they come."""
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if show and not self.quiet:
                sys.stdout.write("  " + line)
                sys.stdout.flush()
        if process.wait() != 0 and check:
            tail = "".join(lines[-40:]).rstrip()
            raise DemoError(f"{shlex.join(command)} ended with {process.returncode}:\n{tail}")
        return "".join(lines)

    def sandbox(self, *arguments: str, show: bool = False, check: bool = True) -> str:
        """``python -m sandbox ...`` on this demo's own state."""
        return self.run([sys.executable, "-m", "sandbox", *arguments], show=show, check=check)

    def use_sandbox(self) -> None:
        """Do what a user does with ``eval "$(./dev sandbox env)"``, for commands and for clients in this process."""
        settings = json.loads(self.sandbox("env", "--json"))
        self.environment.update(settings)
        os.environ.update(settings)

    def play(self, playbook: str, *arguments: str, show: bool = True) -> str:
        """``ansible-playbook azure_hpc.cluster.<playbook>`` on the inventory."""
        return self.run(self.playbook(playbook, *arguments), show=show)

    def playbook(self, name: str, *arguments: str) -> list[str]:
        """The command line of ``play``."""
        own = [] if self.definition is None else ["-e", f"@{self.cluster_file}"]
        return ["ansible-playbook", "-i", str(self.inventory), *own, f"azure_hpc.cluster.{name}", *arguments]

    def hosts(self) -> dict[str, Any]:
        """Host variables by host name, from the inventory plugin."""
        text = subprocess.run(
            ["ansible-inventory", "-i", str(self.inventory), "--list"],
            cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        return dict(json.loads(text, object_hook=_plain)["_meta"]["hostvars"])

    def remember_hosts(self) -> None:
        """Learn how to reach every machine, once."""
        for name, variables in self.hosts().items():
            extra = shlex.split(variables.get("ansible_ssh_common_args", ""))
            target = f"{variables['ansible_user']}@{variables['ansible_host']}"
            control = ["-o", f"ControlPath={self._control}/user-%C"]
            self._ssh[name] = ["ssh", "-i", str(self.key), *SSH_OPTIONS, *control, *extra, target]

    def ssh_command(self, host: str, command: str) -> list[str]:
        """The command line of ``ssh``, for what goes on beside other things."""
        return [*self._ssh[host], command]

    def ssh(self, host: str, command: str, *, stdin: str | None = None) -> str:
        """Run a shell command on a machine of the cluster, as the admin user; returns its output."""
        done = subprocess.run(
            self.ssh_command(host, command),
            env=self.environment, input=stdin, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise DemoError(f"on {host}: {command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def close(self) -> None:
        """End the ssh connections that are still open."""
        for path in self._control.iterdir():
            command = ["ssh", "-O", "exit", "-o", f"ControlPath={path}", "any"]
            subprocess.run(command, capture_output=True, check=False)
        shutil.rmtree(self._control, ignore_errors=True)

    def wait(self, what: str, condition: Callable[[], bool], timeout: float, interval: float = 1.0) -> None:
        """Wait until the condition holds; raises DemoError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"gave up after {timeout:.0f} s waiting for {what}")
            time.sleep(interval)


SSH_OPTIONS = [
    "-o", "BatchMode=yes",
    "-o", "LogLevel=ERROR",
    "-o", "StrictHostKeyChecking=no",
    "-o", "UserKnownHostsFile=/dev/null",
    "-o", "ControlMaster=auto",
    "-o", "ControlPersist=60",
]  # fmt: skip


def _plain(value: dict[str, Any]) -> Any:
    """Data of the cloud as plain text: ansible-inventory marks it, so that nobody renders it as a template."""
    return value.get("__ansible_unsafe", value)
