# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a Lustre file system, and how they move between it and its blob container.

Both are directories of this host. On Azure an import brings names, and contents when a file is first opened; here it
brings both at once. Users of the machines own the file system's directory: nothing here follows a symbolic link in it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.arm.core import Core
from sandbox.arm.store import Resource
from sandbox.providers import blobs

ROOT = "lustrefs"
PORT = 988
MEBIBYTE = 1 << 20


@dataclass
class Moved:
    """What was done with each file: relative paths, in order."""

    walked: int = 0
    moved: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    bytes: int = 0
    stopped: bool = False


class Content:
    """The directories of one file system."""

    def __init__(self, core: Core, file_system: Resource) -> None:
        self._core, self._resource = core, file_system
        self._link = core.settings.state / "lustre" / file_system.internal["handle"]

    def open(self) -> Path:
        """Serve the file system in its network; its directory."""
        own = self._resource
        vnet = self._core.service("network").vnet_of(own.properties["filesystemSubnet"])
        behind = self._core.driver.serve(vnet, own.internal["mgs"], PORT)
        (behind / ROOT).mkdir(exist_ok=True)
        (behind / ROOT).chmod(0o755)
        (behind / "of").write_text(own.id.lower())
        self._link.parent.mkdir(exist_ok=True)
        if not self._link.is_symlink():
            self._link.symlink_to(behind)
        return behind / ROOT

    def close(self) -> None:
        """Delete all files of the file system."""
        own = self._resource
        network = self._core.service("network")
        if self._link.is_symlink():
            self._core.driver.unserve(network.vnet_of(own.properties["filesystemSubnet"]), own.internal["mgs"])
            self._link.unlink(missing_ok=True)

    @property
    def files(self) -> Path:
        """The directory that clients mount."""
        return self._link.resolve() / ROOT if self._link.is_symlink() else self.open()

    @property
    def container(self) -> Path:
        """The directory of the blobs."""
        return blobs.directory(self._core, self._resource.properties["hsm"]["settings"]["container"])

    def bring(self, prefixes: Sequence[str], mode: str, most_errors: int = -1) -> Moved:
        """Import what begins with one of the prefixes; stops at a conflict (mode Fail) or at too many errors."""
        done, target = Moved(), self.files
        for name in _names(self.container, prefixes):
            done.walked += 1
            source, copy = self.container / name, target / name
            if copy.exists() and copy.is_file() and filecmp.cmp(source, copy, shallow=False):
                done.there.append(name)
                continue
            if os.path.lexists(copy):
                done.conflicts.append(name)
                if mode == "Fail":
                    done.stopped = True
                    return done
                if mode == "Skip":
                    continue
            _copy(source, copy, target, name, done)
            if -1 < most_errors < len(done.errors):
                done.stopped = True
                return done
        return done

    def take(self, prefixes: Sequence[str]) -> Moved:
        """Export what is new or has changed and begins with one of the prefixes."""
        done, target = Moved(), self.container
        for name in _names(self.files, prefixes):
            done.walked += 1
            source, blob = self.files / name, target / name
            if blob.is_file() and filecmp.cmp(source, blob, shallow=False):
                done.there.append(name)
            else:
                _copy(source, blob, target, name, done)
        return done

    def forget(self, names: Sequence[str]) -> list[str]:
        """Delete imported files whose blobs are gone; those that were."""
        gone = [
            name
            for name in names
            if not (self.container / name).exists()
            and (self.files / name).is_file()
            and _inside(self.files / name, self.files)
        ]
        for name in gone:
            (self.files / name).unlink()
        return gone


def _names(root: Path, prefixes: Sequence[str]) -> Iterator[str]:
    """The files below a directory whose path begins with one of the prefixes, in order; no links."""
    wanted = tuple(prefix.strip("/") for prefix in prefixes) or ("",)
    found = []
    for directory, _directories, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            relative = path.relative_to(root).as_posix()
            if relative.startswith(wanted) and path.is_file() and not path.is_symlink():
                found.append(relative)
    yield from sorted(found)


def _inside(path: Path, root: Path) -> bool:
    """Whether a path really lies below the root, whatever links its parents are."""
    return path.parent.resolve().is_relative_to(root.resolve()) and not path.is_symlink()


def _copy(source: Path, target: Path, root: Path, name: str, done: Moved) -> None:
    try:
        if not _inside(target, root):
            raise PermissionError(f"{name} leads out of the file system")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copystat(source, target)
        status = source.stat()
        os.chown(target, status.st_uid, status.st_gid)
    except OSError as error:
        done.errors.append(f"{name}: {error.strerror or error}")
        return
    done.moved.append(name)
    done.bytes += status.st_size
