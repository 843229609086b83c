# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host below the sandbox: commands, network namespaces, control groups, shared kernel settings."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
import typing as t
from pathlib import Path

from sandbox.machines import MachineError

RUN = Path("/run/azure_hpc.sandbox")
"""What all sandboxes of this host share: locks, and the kernel settings that they changed."""

NETNS = Path("/run/netns")
PROC_SYS = Path("/proc/sys")

TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "dnsmasq": "dnsmasq-base",
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "setsid": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

SETTINGS = {"net.ipv4.ip_forward": 1, "fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}
"""Kernel settings that the machines need at least. A booted system takes about four inotify instances."""


def missing() -> list[str]:
    """What this host lacks for booting machines, in words; empty when it is ready."""
    lacks = [f"{tool} (package {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not KEYRING.exists():
        lacks.append(f"{KEYRING} (package debian-archive-keyring)")
    if os.geteuid() != 0:
        lacks.append("root")
    if cgroup_root() is None:
        lacks.append("a mounted cgroup2 hierarchy")
    # On a host with modules the first mount loads it.
    if "overlay" not in Path("/proc/filesystems").read_text() and not attempt("modprobe", "-q", "overlay"):
        lacks.append("overlayfs in the kernel")
    return lacks


def run(*command: str, text: str | None = None, timeout: float = 60) -> str:
    """Run a command, give it ``text`` on stdin, return its stdout; ``MachineError`` with its stderr if it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise MachineError(
            "OSProvisioningInternalError",
            f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()[-800:]}",
        )
    return done.stdout


def attempt(*command: str) -> bool:
    """Run a command whose failure is an answer; whether it succeeded."""
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        return False


def ip(lines: t.Iterable[str], namespace: str = "", keep_going: bool = False) -> None:
    """Run lines of ``ip -batch``, inside a namespace if given; with ``keep_going`` failures of lines do not matter."""
    text = "\n".join(lines)
    if not text:
        return
    command = ["ip"] + (["-n", namespace] if namespace else []) + (["-force"] if keep_going else []) + ["-batch", "-"]
    if keep_going:
        subprocess.run(command, input=text, text=True, capture_output=True, timeout=60, check=False)
    else:
        run(*command, text=text)


def ip_json(*arguments: str, namespace: str = "") -> list[dict[str, t.Any]]:
    """The answer of an ``ip -json`` query."""
    prefix = ["-n", namespace] if namespace else []
    found: list[dict[str, t.Any]] = json.loads(run("ip", *prefix, "-json", *arguments) or "[]")
    return found


def in_namespace[T](namespace: str, function: t.Callable[[], T]) -> T:
    """The result of ``function`` called in a network namespace. Runs in a thread of its own, which then ends."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with open(NETNS / namespace, "rb") as handle:
                os.setns(handle.fileno(), os.CLONE_NEWNET)
            results.append(function())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter, name=f"in {namespace}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def cgroup_root() -> Path | None:
    """Where the host's cgroup2 hierarchy is mounted: ``/sys/fs/cgroup``, or beside version 1 on a hybrid host."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def cgroup(prefix: str, name: str = "") -> Path:
    """The control group of all that has ``prefix``, or of one machine in it; it need not exist."""
    root = cgroup_root()
    if root is None:
        raise MachineError("OSProvisioningInternalError", "no cgroup2 hierarchy is mounted on this host")
    return root / prefix / name if name else root / prefix


def populated(group: Path) -> bool:
    """Whether any process lives in the group or below."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def kill(group: Path, timeout: float = 20) -> bool:
    """Kill all that lives in the group and remove it; whether there was such a group."""
    if not group.is_dir():
        return False
    deadline = time.monotonic() + timeout
    while populated(group) and time.monotonic() < deadline:
        (group / "cgroup.kill").write_text("1")
        time.sleep(0.02)
    for directory, _names, _files in sorted(os.walk(group), key=lambda entry: -len(entry[0])):
        with contextlib.suppress(FileNotFoundError):
            _remove_group(Path(directory), deadline)
    return True


def _remove_group(group: Path, deadline: float) -> None:
    """A group stays busy for a moment after its last process died."""
    while True:
        try:
            return group.rmdir()
        except OSError as error:
            if isinstance(error, FileNotFoundError) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def spawn(group: Path, *command: str, log: Path) -> None:
    """Start a command that outlives this process, inside a control group; its output goes to the end of ``log``."""
    group.mkdir(parents=True, exist_ok=True)
    # The shell joins the group before it becomes the command, so nothing of it is ever outside.
    script = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "/bin/sh", "-c", script, str(group), *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, close_fds=True,
        )  # fmt: skip


def open_forwarding(prefix: str) -> None:
    """Let a firewall that drops what it does not know (Docker's, ufw) forward packets of our links.

    What they may reach is decided in a table of our own; in nftables a packet must pass all tables.
    """
    if shutil.which("iptables") is None:
        return
    rules = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False).stdout
    if "-P FORWARD DROP" in rules:
        for rule in _forwarding(prefix):
            if not attempt("iptables", "-C", *rule):
                run("iptables", "-I", *rule)


def close_forwarding(prefix: str) -> list[str]:
    """Undo ``open_forwarding``; returns what was removed."""
    return [f"iptables {' '.join(rule)}" for rule in _forwarding(prefix) if attempt("iptables", "-D", *rule)]


def _forwarding(prefix: str) -> list[tuple[str, ...]]:
    return [("FORWARD", direction, f"{prefix}+", "-j", "ACCEPT") for direction in ("-i", "-o")]


@contextlib.contextmanager
def locked(name: str) -> t.Iterator[None]:
    """Hold a lock that all sandboxes of this host share."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    with (RUN / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def claim_settings(prefix: str) -> None:
    """Raise the kernel settings that machines need and note the values before, for ``release_settings``."""
    with locked("settings"):
        before_file, members = RUN / "settings.json", RUN / "members"
        members.mkdir(exist_ok=True)
        (members / prefix).touch()
        before = json.loads(before_file.read_text()) if before_file.exists() else {}
        for name, wanted in SETTINGS.items():
            path = PROC_SYS / name.replace(".", "/")
            value = int(path.read_text())
            if value < wanted:
                before.setdefault(name, value)
                path.write_text(str(wanted))
        before_file.write_text(json.dumps(before))


def release_settings(prefix: str) -> list[str]:
    """Put the kernel settings back if no other sandbox needs them; returns what was put back."""
    if not (RUN / "members" / prefix).exists():
        return []
    with locked("settings"):
        (RUN / "members" / prefix).unlink(missing_ok=True)
        if any((RUN / "members").iterdir()):
            return []
        before_file = RUN / "settings.json"
        before = json.loads(before_file.read_text()) if before_file.exists() else {}
        for name, value in before.items():
            (PROC_SYS / name.replace(".", "/")).write_text(str(value))
        before_file.unlink(missing_ok=True)
        return [f"kernel setting {name} back to {value}" for name, value in before.items()]
