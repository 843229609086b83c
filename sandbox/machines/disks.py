# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of machines and captured images, as layers of overlayfs: what was written above what was there.

A machine's disk is ``upper`` (and ``work``, overlayfs' own) in its directory, over the layers of its image. Capturing
turns ``upper`` into a layer and leaves the machine with an empty one over it, so nothing is copied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
import uuid
from pathlib import Path

from sandbox.machines import DNS_ADDRESS, MachineError, MachineSpec
from sandbox.machines.names import digest

RESOLV_CONF = f"nameserver {DNS_ADDRESS}\nsearch internal.cloudapp.net\n"
ADMIN_FILE = "etc/cloud/cloud.cfg.d/99-zz-sandbox-admin.cfg"
SEED = "var/lib/cloud/seed/nocloud"

FORGOTTEN = (
    "etc/tmpfiles.d/sandbox-gpus.conf",
    "etc/hostname", "etc/machine-id", "etc/resolv.conf", "root/.bash_history", "root/.ssh/known_hosts", ADMIN_FILE,
    "var/lib/systemd/random-seed", "var/lib/dbus/machine-id", "etc/sudoers.d/90-cloud-init-users",
)  # fmt: skip
"""What a machine must not pass on through an image; with SSH host keys, logs and cloud-init's memory."""


def seed(spec: MachineSpec) -> dict[str, bytes]:
    """The files that tell cloud-init who the machine is, in JSON, which is YAML. ``custom_data`` is the user data.

    The administrator is cloud-init's default user, as on Azure, so that custom data with ``users`` works as there.
    """
    metadata = {
        "instance-id": instance_id(spec),
        "local-hostname": spec.computer_name,
        "public-keys": list(spec.ssh_public_keys),
    }
    user = {
        "name": spec.admin_username, "gecos": "Administrator", "groups": ["adm", "sudo"], "lock_passwd": True,
        "shell": "/bin/bash", "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
    }  # fmt: skip
    admin = {"users": ["default"], "system_info": {"default_user": user}}
    return {
        ADMIN_FILE: json.dumps(admin).encode(),
        f"{SEED}/meta-data": json.dumps(metadata).encode(),
        f"{SEED}/user-data": spec.custom_data,
        f"{SEED}/vendor-data": b"",
    }


def instance_id(spec: MachineSpec) -> str:
    """What cloud-init tells machines apart by: the vmId."""
    return spec.vm_id or digest(spec.arm_id, 32)


def machine_id(spec: MachineSpec) -> str:
    """A stable machine-id(5) that no other machine has."""
    return digest(f"{instance_id(spec)} {spec.arm_id}", 32)


def write_first_disk(spec: MachineSpec, upper: Path) -> None:
    """Put into an empty upper layer what a machine must find at its first boot."""
    files = {
        **seed(spec),
        "etc/hostname": f"{spec.computer_name}\n".encode(),
        "etc/machine-id": f"{machine_id(spec)}\n".encode(),
        "etc/resolv.conf": RESOLV_CONF.encode(),
        "etc/tmpfiles.d/sandbox-gpus.conf": gpu_devices(spec.gpus).encode(),
    }
    _directory(upper)
    for name, content in files.items():
        path = upper / name
        for parent in reversed(path.relative_to(upper).parents):
            _directory(upper / parent)
        path.write_bytes(content)
        path.chmod(0o600 if name.startswith(SEED) else 0o644)


def gpu_devices(count: int) -> str:
    """What makes the device files of GPUs at boot: schedulers hand them out, there is nothing behind them."""
    lines = [f"c /dev/nvidia{number} 0666 root root - 195:{number}\n" for number in range(count)]
    return "# The device files of the size's GPUs.\n" + "".join(lines)


def _directory(path: Path) -> None:
    # A directory of the upper layer hides the mode of the one below; all of these are plain system directories.
    if not path.is_dir():
        path.mkdir()
        path.chmod(0o755)


def generalise(upper: Path) -> None:
    """Remove from a layer what makes a machine itself, as ``waagent -deprovision`` and ``cloud-init clean`` do."""
    for name in FORGOTTEN:
        (upper / name).unlink(missing_ok=True)
    for key in (upper / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("var/lib/cloud", "var/log/journal", "tmp", "var/tmp", "run"):
        shutil.rmtree(upper / name, ignore_errors=True)
    for directory, _names, files in os.walk(upper / "var/log"):
        for file in files:
            (Path(directory) / file).unlink()


class Images:
    """The captured images of a state directory: ``images/<name>/{image.json,root}``.

    A deleted image keeps its layer as long as the disk of a machine, or another image, is based on it.
    """

    def __init__(self, directory: Path, base: Path) -> None:
        self._directory = directory
        self._base = base

    def layers(self, image: str) -> list[str]:
        """The layers of an image by its id, topmost first; any name that is no resource id is the base image."""
        if not image.startswith("/"):
            return [str(self._base)]
        for home, about in self._all():
            if about["image_id"].casefold() == image.casefold() and not about["deleted"]:
                return [str(home / "root"), *about["layers"]]
        raise MachineError("ImageNotFound", f"there is no image {image}")

    def capture(self, image_id: str, upper: Path, layers: list[str]) -> list[str]:
        """Turn ``upper`` into the image ``image_id`` and put an empty directory in its place; returns its layers."""
        home = self._new(image_id)
        generalise(upper)
        upper.rename(home / "root")
        upper.mkdir()
        upper.chmod(0o755)
        self._write(home, {"image_id": image_id, "layers": layers, "deleted": False})
        return [str(home / "root"), *layers]

    def copy(self, image_id: str, upper: Path, layers: list[str]) -> None:
        """Make the image ``image_id`` of what is in ``upper`` now, which its machine goes on writing to."""
        home = self._new(image_id)
        command = ["cp", "--archive", "--reflink=auto", str(upper), str(home / "root")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # What the machine removes while it is copied is not in the image, as on a disk whose power is cut.
        wrong = [line for line in done.stderr.splitlines() if not line.endswith("No such file or directory")]
        if wrong or not (home / "root").is_dir():
            shutil.rmtree(home)
            raise MachineError("Internal", f"cannot copy {upper}: {'; '.join(wrong)}")
        generalise(home / "root")
        self._write(home, {"image_id": image_id, "layers": layers, "deleted": False})

    def _new(self, image_id: str) -> Path:
        """The directory of an image that there is not yet."""
        if any(
            about["image_id"].casefold() == image_id.casefold() for _home, about in self._all() if not about["deleted"]
        ):
            raise MachineError("Conflict", f"image {image_id} exists already")
        home = self._directory / f"{digest(image_id)}-{uuid.uuid4().hex[:6]}"
        home.mkdir(parents=True)
        return home

    def delete(self, image_id: str) -> None:
        """Mark an image deleted; ``collect`` removes it when nothing stands on it."""
        for home, about in self._all():
            if about["image_id"].casefold() == image_id.casefold():
                self._write(home, {**about, "deleted": True})

    def collect(self, used: set[str]) -> None:
        """Remove deleted images whose layer is neither in ``used`` nor below another image."""
        while True:
            images = self._all()
            below = used | {layer for _home, about in images for layer in about["layers"]}
            gone = [home for home, about in images if about["deleted"] and str(home / "root") not in below]
            if not gone:
                return
            for home in gone:
                shutil.rmtree(home)

    def _all(self) -> list[tuple[Path, dict[str, t.Any]]]:
        found = self._directory.glob("*/image.json")
        return [(path.parent, json.loads(path.read_text())) for path in sorted(found)]

    @staticmethod
    def _write(home: Path, about: dict[str, t.Any]) -> None:
        draft = home / "image.json.new"
        draft.write_text(json.dumps(about))
        draft.replace(home / "image.json")
