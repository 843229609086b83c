# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blob containers as directories: ``blobs/<account>/<container>`` below the state directory, a blob is a file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError

CONTAINER = "microsoft.storage/storageaccounts/blobservices/containers"
_NAME = re.compile(r"[a-z0-9$-]+")


def directory(core: Core, container_id: str) -> Path:
    """Where the blobs of a container are; made if it is not there yet."""
    path = _path(core, container_id)
    if path.is_symlink() and not path.exists():  # the files of an NFS container went with their network
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return path


def is_container(container_id: str) -> bool:
    """Whether this is the id of a blob container."""
    try:
        return ids.parse(container_id).type.lower() == CONTAINER
    except ArmError:
        return False


def remove(core: Core, resource_id: str) -> None:
    """Delete the blobs of a container, or of a whole account."""
    path = _path(core, resource_id)
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _path(core: Core, resource_id: str) -> Path:
    """The directory of a container, or of a whole account."""
    names = ids.parse(resource_id).names
    parts = [name.lower() for name in (names[0], *names[2:])]
    if not all(_NAME.fullmatch(part) for part in parts):
        raise ArmError(400, "InvalidResourceName", f"'{resource_id}' has no names that Azure Storage takes.")
    return core.settings.state / "blobs" / Path(*parts)
