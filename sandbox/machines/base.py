# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base image: a Debian root file system, made once for all sandboxes of a user and never written to again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from sandbox.machines import BASE_IMAGE, MachineError, debs

SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "apt-utils", "ca-certificates", "cloud-init", "cron", "curl", "dbus", "gpgv", "iproute2", "iputils-ping", "kmod",
    "less", "locales", "lsb-release", "netbase", "openssh-server", "procps", "psmisc", "python3", "python3-apt",
    "rsync", "sudo", "systemd", "systemd-sysv", "vim-tiny", "wget",
)  # fmt: skip
MASKED = (
    "apt-daily.service", "apt-daily.timer", "apt-daily-upgrade.service", "apt-daily-upgrade.timer",
    "console-getty.service", "cloud-init-hotplugd.socket", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "fstrim.timer", "getty@.service", "run-rpc_pipefs.mount", "systemd-firstboot.service",
    "systemd-networkd-wait-online.service",
)  # fmt: skip
GUEST = Path(__file__).parent / "guest"
REMOVED = ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id")

Progress = t.Callable[[str], None]


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/azure_hpc.cluster/images``; shared by all state directories of a user."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "azure_hpc.cluster" / "images"


def mirror() -> str:
    """The Debian mirror of the image and its machines: ``$AZURE_SANDBOX_MIRROR``, else Debian's own."""
    return os.environ.get("AZURE_SANDBOX_MIRROR", MIRROR).rstrip("/")


def sources(url: str) -> str:
    """The machines' sources.list for a mirror; security updates come from the directory beside ``debian``."""
    lines = [f"deb {url} {SUITE} main", f"deb {url} {SUITE}-updates main"]
    if url.endswith("/debian"):
        lines.append(f"deb {url}-security {SUITE}-security main")
    return "".join(f"{line}\n" for line in lines)


def recipe_hash() -> str:
    """A hash over everything that decides what is in the image."""
    parts = [SUITE, mirror(), *PACKAGES, "", *MASKED, Path(__file__).read_text(), Path(debs.__file__).read_text()]
    for path in sorted(GUEST.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            parts += [str(path.relative_to(GUEST)), path.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def base_image(progress: Progress) -> Path:
    """The root directory of the base image; made now if it is not in the cache. Safe when several processes ask."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / f"{BASE_IMAGE}-{recipe_hash()}"
    if root.is_dir():
        return root
    with (directory / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            _make(root, progress)
    return root


def _make(root: Path, progress: Progress) -> None:
    building = root.with_name(f"{root.name}.building")
    if building.exists():
        shutil.rmtree(building)
    progress(f"Making the base image {BASE_IMAGE} (once, about half a minute) ...")
    started = time.monotonic()
    _bootstrap(building)
    _customise(building)
    building.rename(root)
    progress(f"Made the base image in {time.monotonic() - started:.0f} s: {root}")


def _bootstrap(target: Path) -> None:
    command = [
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", "--aptopt=APT::Install-Recommends \"false\"",
        "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*",
        SUITE, str(target), "-",
    ]  # fmt: skip
    done = subprocess.run(command, input=sources(mirror()), capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
        raise MachineError("OSProvisioningInternalError", f"mmdebstrap failed:\n{done.stderr.strip()[-2000:]}")


def _customise(root: Path) -> None:
    shutil.copytree(GUEST / "rootfs", root, dirs_exist_ok=True, symlinks=True)
    # Machines install packages as any machine does: with recommended ones, with manual pages.
    for name in ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap"):
        (root / name).unlink(missing_ok=True)
    debs.make_repository(root / "usr/share/sandbox/apt")
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for name in REMOVED:
        (root / name).unlink(missing_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    (root / "run/sandbox-exports").mkdir(parents=True, exist_ok=True)
