# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are no machines: an address in a subnet with a port that answers, and a directory behind it.

The servers of a managed file system are such. Their port shows whether the network lets a client through, as the one
of an emulated NFS server does; the files lie where all machines of the virtual network see them, in
``/run/sandbox-exports/<address>``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from sandbox.machines import MachineError, VnetState, host, names
from sandbox.machines.network import Router, subnet_of

PORT = Path(__file__).with_name("port.py")


def server_id(vnet_id: str, address: str) -> str:
    """What stands for a server where a machine has its resource id."""
    return f"{vnet_id}/servers/{address}"


class Servers:
    """The servers of one virtual network. Calls must not overlap; all are idempotent."""

    def __init__(self, router: Router, vnet_id: str) -> None:
        self._router, self._vnet_id = router, vnet_id
        self._record = router.directory / "servers.json"

    def known(self) -> dict[str, int]:
        """Port by address."""
        try:
            found: dict[str, int] = json.loads(self._record.read_text())
        except FileNotFoundError:
            return {}
        return found

    def add(self, vnet: VnetState, address: str, port: int) -> Path:
        """Let an address answer; the directory behind it."""
        self._write({**self.known(), address: port})
        self._start(vnet, address, port)
        return self.directory(address)

    def remove(self, address: str) -> None:
        """Let it answer no more, and delete what is behind it."""
        self._write({one: port for one, port in self.known().items() if one != address})
        name, arm_id = self._name(address), server_id(self._vnet_id, address)
        host.kill(host.cgroup(self._router.prefix, name))
        self._router.detach(name, arm_id, address)
        shutil.rmtree(self.directory(address), ignore_errors=True)

    def start(self, vnet: VnetState) -> None:
        """Let all answer that do not, after a restart of the host or of the network."""
        for address, port in self.known().items():
            if not host.populated(host.cgroup(self._router.prefix, self._name(address))):
                self._start(vnet, address, port)

    def directory(self, address: str) -> Path:
        """What machines see as ``/run/sandbox-exports/<address>``."""
        path = self._router.exports / address
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _start(self, vnet: VnetState, address: str, port: int) -> None:
        name = self._name(address)
        group = host.cgroup(self._router.prefix, name)
        if host.populated(group):
            return
        mac = "02:" + ":".join(names.digest(name)[at : at + 2] for at in range(0, 10, 2))
        self._router.attach(server_id(self._vnet_id, address), name, subnet_of(vnet, address), address, mac)
        host.spawn(
            group, "nsenter", f"--net={host.NETNS / name}", sys.executable, "-I", str(PORT), str(port),
            log=self._router.directory / "servers.log",
        )  # fmt: skip

    def _name(self, address: str) -> str:
        return names.machine_name(self._router.prefix, server_id(self._vnet_id, address))

    def _write(self, servers: dict[str, int]) -> None:
        if not self._router.directory.exists():
            raise MachineError("NetworkNotFound", f"there is no network {self._vnet_id}")
        draft = self._record.with_suffix(".new")
        draft.write_text(json.dumps(servers))
        draft.replace(self._record)
