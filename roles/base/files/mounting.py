# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of a machine of the cluster: mounted before the scheduler's daemon starts, or the reason why not.

Nodes mount by this as they join. ``mounting.py FILE`` mounts the list in FILE (head and login nodes do so at boot, for
the types that systemd alone cannot mount). Standard library and Python 3.9.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import time
import typing as t
from pathlib import Path

import node
import scratch
from node import Configuration, JoinError, Mount, say

SETTINGS = Path("/etc/azure_hpc")
SECRETS = Path("/etc/azure_hpc/beegfs")
MOUNTED = Path("/proc/self/mountinfo")
TIMEOUT = 60  # seconds for one try
PATIENCE = 600  # seconds of trying before all begins anew
TELL_AFTER = 30  # seconds of trying before the scheduler is told
DO = "; it goes on trying: see that the server runs and that network rules and its exports let this node in"
Tell = t.Callable[[str], None]


class Hopeless(JoinError):
    """A file system that will not come by waiting."""


def ordered(mounts: t.Iterable[Mount]) -> list[Mount]:
    """As they have to be mounted: local disks first, for caches may lie there, and what is above another before it."""
    return sorted(mounts, key=lambda spec: (spec.type != "local", spec.path.rstrip("/").count("/"), spec.path))


def named(spec: Mount) -> str:
    """A file system for people: where it is mounted, and from where."""
    return f"{spec.path} ({spec.source})" if spec.source else spec.path


def mounted() -> frozenset[str]:
    """All mount points. Asks no server: this never hangs."""
    points = (line.split()[4] for line in MOUNTED.read_text(encoding="utf-8").splitlines())
    return frozenset(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point) for point in points)


def mount(spec: Mount, private: t.Optional[Configuration] = None) -> bool:
    """Mount one file system; False if it is there already, or need not be. ``private``: where its secret comes from."""
    point = spec.path.rstrip("/")
    if point in mounted():
        return False
    found = resolve(spec, private)
    if found is None:
        say(f"{point} is left out: this machine has no local disks of that kind")
        return False
    os.makedirs(point, exist_ok=True)
    if write_unit(found):
        node.run("systemctl", "daemon-reload")
    options = ["-o", found.options] if found.options else []
    node.run("mount", "-t", found.type, *options, found.source, point, timeout=TIMEOUT)
    if spec.type == "local":
        os.chmod(point, 0o1777)  # noqa: S103 (scratch, as /tmp is)
    say(f"mounted {found.source} on {point}")
    return True


def resolve(spec: Mount, private: t.Optional[Configuration] = None) -> t.Optional[Mount]:
    """What mount(8) has to be told, after everything that has to be there is. None for disks that may be missing."""
    more = spec.settings
    if spec.type == "local":
        device = scratch.ready(more["disks"], more["format"])
        if not device and more["missing"] != "skip":
            kind = {"nvme": "NVMe disk", "temporary": "temporary disk"}.get(more["disks"], "disk")
            raise Hopeless(f"this machine has no local {kind}: its VM size brings none")
        return dataclasses.replace(spec, source=device, type=more["format"]) if device else None
    if spec.type == "blobfuse":
        file = _settings(spec, ".json", json.dumps(blobfuse(more), indent=1))
        Path(more["cache"]).mkdir(mode=0o700, parents=True, exist_ok=True)
        options = ",".join(filter(None, [f"--config-file={file}", spec.options]))
        return dataclasses.replace(spec, source="blobfuse2", type="fuse3", options=options)
    if spec.type == "beegfs":
        file = _settings(spec, ".conf", beegfs(spec, private))
        options = ",".join(filter(None, [spec.options, f"cfgFile={file}"]))
        return dataclasses.replace(spec, source="beegfs_nodev", options=options)
    return spec


def blobfuse(settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The configuration of blobfuse2, which takes JSON for YAML. There is no secret in it."""
    cache: dict[str, t.Any] = {"path": settings["cache"]}
    if settings.get("cache_mib"):
        cache["max-size-mb"] = settings["cache_mib"]
    storage = {
        "type": "adls" if settings.get("hierarchical") else "block",
        "account-name": settings["account"],
        "container": settings["container"],
        "mode": "msi",
        "resid": settings["identity"],
    }
    if settings.get("endpoint"):
        storage["endpoint"] = settings["endpoint"]
    return {
        "allow-other": True,
        "logging": {"type": "syslog", "level": "log_warning"},
        "components": ["libfuse", "file_cache", "attr_cache", "azstorage"],
        "file_cache": cache,
        "azstorage": storage,
    }


def beegfs(spec: Mount, private: t.Optional[Configuration]) -> str:
    """The configuration of BeeGFS's client; gets the secret that it names from the head, where there is one."""
    lines = [f"sysMgmtdHost = {spec.source}", f"connMgmtdPort = {spec.settings['port']}"]
    if not spec.settings.get("auth"):
        return "\n".join([*lines, "connDisableAuthentication = true", ""])
    secret = SECRETS / f"{spec.name}.auth"
    if private is not None:
        SECRETS.mkdir(mode=0o700, parents=True, exist_ok=True)
        with node.private_export(private, attempts=1) as point:
            node.install_secret(point / "beegfs" / secret.name, secret, f"the secret of {spec.name}")
    return "\n".join([*lines, f"connAuthFile = {secret}", ""])


def _settings(spec: Mount, suffix: str, text: str) -> Path:
    file = SETTINGS / spec.type / f"{spec.name}{suffix}"
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    node.write_if_changed(file, text)
    return file


def unit_name(path: str) -> str:
    """The name that systemd has for a mount point."""
    plain = path.strip("/").encode()
    keep = re.compile(rb"[A-Za-z0-9:_.]")
    parts = (
        "-" if char == b"/" else char.decode() if keep.fullmatch(char) and (char != b"." or at) else f"\\x{char[0]:02x}"
        for at, char in enumerate(plain[at : at + 1] for at in range(len(plain)))
    )
    return "".join(parts) + ".mount"


def unit_text(spec: Mount, local: bool) -> str:
    """How systemd treats a mount: unmounts it after what uses it has ended, and does not wait for a dead server."""
    after = "" if local else "After=network-online.target\n"
    options = spec.options if local else ",".join(filter(None, [spec.options, "_netdev"]))
    target = "local-fs.target" if local else "remote-fs.target"
    return (
        "# Written by azure-hpc-join.\n"
        f"[Unit]\nDescription=File system {spec.name or spec.path} of the cluster\n{after}Before={target}\n\n"
        f"[Mount]\nWhat={spec.source}\nWhere={spec.path.rstrip('/')}\nType={spec.type}\n"
        f"Options={options or 'defaults'}\nTimeoutSec={TIMEOUT}\nLazyUnmount=yes\n"
    )


def write_unit(spec: Mount) -> bool:
    """Tell systemd of a mount; False if it knows."""
    node.UNITS.mkdir(parents=True, exist_ok=True)
    local = spec.type in ("xfs", "ext4")
    return node.write_if_changed(node.UNITS / unit_name(spec.path), unit_text(spec, local))


def mount_all(configuration: Configuration, tell: Tell, patience: float = PATIENCE) -> None:
    """Mount everything, however long servers need to answer. ``tell`` hears why that takes longer than usual and what
    to do, and '' when all is there. Raises JoinError with all reasons."""
    waiting, spent = ordered(configuration.mounts), 0.0
    problems: t.Dict[str, str] = {}
    for pause in (0.0, *node.waits(patience, longest=30.0)):
        time.sleep(pause)
        began = time.monotonic()
        problems, hopeless = try_all(waiting, configuration)
        waiting = [spec for spec in waiting if spec.path in problems]
        if not waiting:
            tell("")
            return
        spent += pause + time.monotonic() - began
        say(f"{_reasons(waiting, problems)}; trying again")
        if hopeless or spent >= TELL_AFTER:
            tell(_reasons(waiting, problems) + ("" if hopeless else DO))
        if hopeless:
            break
    raise JoinError(_reasons(waiting, problems))


def _reasons(specs: t.Iterable[Mount], problems: t.Mapping[str, str]) -> str:
    return "; ".join(f"{named(spec)}: {problems[spec.path]}" for spec in specs)


def try_all(specs: t.Iterable[Mount], private: t.Optional[Configuration]) -> tuple[dict[str, str], bool]:
    """Try each once; what stands against those that failed, and whether waiting is no use."""
    problems: dict[str, str] = {}
    hopeless = False
    for spec in specs:
        try:
            mount(spec, private)
        except (JoinError, OSError, KeyError) as error:
            problems[spec.path] = str(error)
            hopeless |= isinstance(error, Hopeless)
    return problems, hopeless


def unmount_all(mounts: t.Iterable[Mount]) -> None:
    """Take all away, the other way round: cleanly if it is possible, else from under whoever still holds it."""
    for spec in reversed(ordered(mounts)):
        point = spec.path.rstrip("/")
        if point not in mounted():
            continue
        for how in (("umount", point), ("umount", "--force", "--lazy", point)):
            try:
                node.run(*how, timeout=20)
                say(f"unmounted {point}{'' if len(how) == 2 else ' by force'}")
                break
            except JoinError as error:
                say(str(error))


def main(arguments: t.Sequence[str]) -> int:
    """Mount what the one file on the command line says, in the form of ``mounts`` of join.json."""
    try:
        (file,) = arguments
        specs = ordered(Mount(**entry) for entry in json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        say(f"usage: mounting.py FILE: {error}")
        return 1
    problems, _hopeless = try_all(specs, None)
    for spec in specs:
        if spec.path in problems:
            say(f"{named(spec)}: {problems[spec.path]}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
