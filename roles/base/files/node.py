# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine does to become a node of its cluster, whatever the scheduler: the programs ``join`` build on it.

It lies beside them in /usr/libexec/azure_hpc. What they need to know is in /etc/azure_hpc/join.json, written by
cloud-init, without a secret in it; secrets come from the head's private export. Standard library and Python 3.9.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

CONFIGURATION = Path("/etc/azure_hpc/join.json")
RUN = Path("/run/azure_hpc")
UNITS = Path("/run/systemd/system")
METADATA = "169.254.169.254:80"
METADATA_PATH = "/metadata/instance?api-version=2021-02-01"
# What may stand between the double quotes of an EnvironmentFile and be split into words by systemd without surprise.
RESOURCE_ID = re.compile(r"/[^\s\"'`$%\\\x00-\x1f]+")

SPREAD = random.SystemRandom()


class JoinError(Exception):
    """Why this machine cannot join."""


@dataclass(frozen=True)
class Mount:
    """One file system: ``source`` is server:/path or what the type has for it, ``options`` as in fstab. ``settings``
    are for types that need more than mount(8) takes, see mounting.py."""

    source: str
    path: str
    type: str = "nfs"
    options: str = ""
    name: str = ""
    settings: t.Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Configuration:
    """What every join.json says; schedulers derive their own with more fields.

    ``private`` is the head's export with the secrets of the cluster.
    """

    cluster: str
    head: str
    private: str
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Identity:
    """What Azure's instance metadata say of this machine. ``scale_set`` is '' for a machine of its own; ``name`` is
    what Azure calls it."""

    resource_id: str
    addresses: tuple[str, ...]
    scale_set: str = ""
    name: str = ""


def say(text: str) -> None:
    """One line for the journal."""
    print(text, file=sys.stderr, flush=True)


def run(*argv: str, env: t.Optional[t.Mapping[str, str]] = None, timeout: float = 180) -> str:
    """Run a command and return its output; raises JoinError with what it said when it fails."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=timeout, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JoinError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise JoinError(f"{' '.join(argv[:2])} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


C = t.TypeVar("C", bound=Configuration)
T = t.TypeVar("T")
Refuse = t.Callable[[str], None]


def read_configuration(path: Path, kind: t.Callable[..., C]) -> C:
    """Read join.json as a Configuration of that kind; raises JoinError when it is not what it should be."""
    try:
        data = dict(json.loads(path.read_text(encoding="utf-8")))
        mounts = tuple(Mount(**mount) for mount in data.pop("mounts", ()))
        return kind(mounts=mounts, **data)
    except (OSError, ValueError, TypeError) as error:
        raise JoinError(f"{path}: {error}") from error


def known(mounts: tuple[Mount, ...], **data: t.Any) -> Configuration:
    """What every join.json says, out of one of any scheduler."""
    return Configuration(data["cluster"], data["head"], data["private"], mounts)


def parse_metadata(text: str) -> Identity:
    """Resource id, private addresses and scale set from the answer of the instance metadata service."""
    try:
        data = json.loads(text)
        resource_id = data["compute"]["resourceId"]
        scale_set = data["compute"].get("vmScaleSetName") or ""
        name = str(data["compute"].get("name") or "")
        addresses = tuple(
            address["privateIpAddress"]
            for interface in data["network"]["interface"]
            for address in interface["ipv4"]["ipAddress"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JoinError(f"the instance metadata is not understood: {error!r}") from error
    if not RESOURCE_ID.fullmatch(resource_id):
        raise JoinError(f"the instance metadata has no usable resource id: {resource_id!r}")
    return Identity(resource_id, addresses, scale_set, name)


def read_metadata(service: str = METADATA, attempts: int = 30) -> Identity:
    """Ask the instance metadata service (host:port), which may need a moment after boot."""
    for attempt in range(attempts):
        connection = http.client.HTTPConnection(service, timeout=5)
        try:
            connection.request("GET", METADATA_PATH, headers={"Metadata": "true"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            if answer.status == 200:
                return parse_metadata(text)
            problem = f"{answer.status} {answer.reason}"
        except (OSError, http.client.HTTPException) as error:
            problem = str(error)
        finally:
            connection.close()
        if attempt < attempts - 1:
            time.sleep(min(1 + attempt, 5))
    raise JoinError(f"the instance metadata service does not answer: {problem}")


def host_name() -> str:
    """The host name of this machine without a domain: its computer name in Azure."""
    return socket.gethostname().split(".")[0]


def full_name(name: str) -> str:
    """The name with its domain, as the resolver has it. Raises JoinError where it has none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except OSError as error:
        raise JoinError(f"{name} cannot be resolved: {error}") from error
    for entry in found:
        full = entry[3].rstrip(".").lower()
        if full.startswith(name.split(".")[0].lower() + "."):
            return full
    raise JoinError(f"{name} has no domain")


def address(name: str) -> str:
    """The IPv4 address of a host. Raises JoinError."""
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        raise JoinError(f"{name} cannot be resolved: {error}") from error


def mount(spec: Mount) -> None:
    """Mount a file system unless it is there already."""
    os.makedirs(spec.path, exist_ok=True)
    if os.path.ismount(spec.path):
        return
    options = ["-o", spec.options] if spec.options else []
    run("mount", "-t", spec.type, *options, spec.source, spec.path)
    say(f"mounted {spec.source} on {spec.path}")


def with_retries(what: t.Callable[[], None], attempts: int, pause: float = 2.0) -> None:
    """Do something that fails while the head is not there yet."""
    for attempt in range(attempts):
        try:
            what()
            return
        except JoinError as error:
            if attempt == attempts - 1:
                raise
            if attempt == 0:
                say(f"{error}; trying again")
            time.sleep(pause + SPREAD.uniform(0, pause))


def waits(total: float, first: float = 1.0, longest: float = 15.0) -> t.Iterator[float]:
    """Seconds to wait between questions, growing and spread at random, until their sum would exceed ``total``."""
    spent, step = 0.0, first
    while spent < total:
        pause = SPREAD.uniform(0.5 * step, 1.5 * step)
        spent += pause
        step = min(2 * step, longest)
        yield pause


def answered(ask: t.Callable[[], T], total: float) -> T:
    """What ``ask`` answers; while it raises JoinError it is asked again, and each new reason is said.

    Raises JoinError with the last reason when that has taken ``total`` seconds.
    """
    said = ""
    for pause in waits(total):
        try:
            return ask()
        except JoinError as error:
            if str(error) != said:
                said = str(error)
                say(f"{said}; asking again")
        time.sleep(pause)
    raise JoinError(f"{said} after {total:.0f} s")


@contextlib.contextmanager
def private_export(configuration: Configuration, attempts: int = 20) -> t.Iterator[Path]:
    """The head's private export, mounted read-only where only root can look, for as long as it is needed.

    One at a time: who comes later waits, for the first to be done would take the mount away under the second.
    """
    RUN.mkdir(mode=0o755, exist_ok=True)
    with open(RUN / "private.lock", "w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with _private_mount(configuration, attempts) as point:
            yield point


@contextlib.contextmanager
def _private_mount(configuration: Configuration, attempts: int) -> t.Iterator[Path]:
    point = RUN / "private"
    point.mkdir(mode=0o700, exist_ok=True)
    point.chmod(0o700)
    source = Mount(
        f"{configuration.head}:{configuration.private}", str(point), "nfs", "ro,nosuid,nodev,noexec,nfsvers=4"
    )
    with_retries(lambda: mount(source), attempts=attempts)
    try:
        yield point
    finally:
        run("umount", str(point))


def install_secret(
    source: Path, target: Path, what: str, least: int = 1, owner: t.Optional[tuple[int, int]] = None
) -> bool:
    """Put a secret in place, never readable by others, all or nothing. False when it was there already.

    ``what`` names it for people, ``least`` is how many bytes it has at least, ``owner`` a user and a group id.
    """
    try:
        secret = source.read_bytes()
    except OSError as error:
        raise JoinError(f"cannot read {what} from the head: {error}") from error
    if len(secret) < least:
        raise JoinError(f"{what} on the head is shorter than it can be")
    with contextlib.suppress(OSError):
        if target.read_bytes() == secret:
            return False
    fresh = target.with_name(target.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        if owner:
            os.fchown(descriptor, *owner)
        file.write(secret)
        file.flush()
        os.fsync(descriptor)
    os.replace(fresh, target)
    return True


def write_if_changed(path: Path, text: str) -> bool:
    """Write a file all or nothing; False when that is what it said already."""
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return False
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
    return True


def order_services(services: t.Iterable[str]) -> None:
    """Have systemd stop these before it unmounts anything, whatever their packages say."""
    changed = False
    for service in services:
        file = UNITS / f"{service}.d" / "azure_hpc.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        changed |= write_if_changed(file, "[Unit]\nAfter=local-fs.target remote-fs.target\n")
    if changed:
        run("systemctl", "daemon-reload")


def main(
    arguments: t.Sequence[str],
    join: t.Callable[[], None],
    refuse: t.Optional[Refuse] = None,
    services: t.Sequence[str] = (),
    keep: t.Optional[t.Callable[[], None]] = None,
    **others: t.Callable[[Path], bool],
) -> int:
    """The command line of a join program: without arguments it joins, with the accounts of the cluster's people made
    and its file systems mounted before; ``people`` only follows the list of people, as a timer has it do; ``watch``
    looks after the file systems; ``NAME FILE`` does one of ``others`` with the configuration FILE and prints whether
    that changed anything. ``refuse`` has the scheduler take this node out of service, saying why
    (without it the head hears that, see telling.py); ``services`` are the scheduler's;
    ``keep`` is called again and again and has this machine join anew where it must. Any failure is one line on stderr
    and status 1."""
    import follow  # these build on this file
    import mounting
    import telling
    import watch

    def against_mounts(reason: str) -> None:
        telling.tell("mounts", reason, refuse)

    def whole_way() -> None:
        follow.people(CONFIGURATION, refuse)
        follow.keep_following()
        order_services(services)
        mounting.mount_all(read_configuration(CONFIGURATION, known), against_mounts)
        watch.keep_watching()
        join()

    def join_or_say() -> None:
        try:
            whole_way()
        except (JoinError, OSError, KeyError) as error:
            if not telling.stands():
                telling.tell("join", str(error), refuse)
            raise
        telling.tell("join", "", refuse)

    try:
        for tool in ("mount", "systemctl"):
            if shutil.which(tool) is None:
                raise JoinError(f"{tool} is not installed")
        if not arguments:
            join_or_say()
        elif list(arguments) == ["people"]:
            follow.people(CONFIGURATION, refuse, attempts=1)
        elif list(arguments) == ["watch"]:
            watch.watch(read_configuration(CONFIGURATION, known), against_mounts, services, keep)
        elif len(arguments) == 2 and arguments[0] in others:
            print("changed" if others[arguments[0]](Path(arguments[1])) else "unchanged")
        else:
            raise JoinError(f"usage: join [{'|'.join(others)} FILE]")
    except (JoinError, OSError, KeyError) as error:
        say(f"cannot join: {error}")
        return 1
    return 0
