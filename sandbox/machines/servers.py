# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are no machines: an address in a subnet with a port that answers, and a directory behind it.

The servers of a managed file system are such. Their port shows whether the network lets a client through, as the one
of an emulated NFS server does; the files lie where all machines of the virtual network see them, in
``/run/sandbox-exports/<address>``. A service of Azure that has a public name is in no subnet: it lives in the router.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import sys
import typing as t
from pathlib import Path

from sandbox.machines import ENDPOINTS, MachineError, VnetState, host, names
from sandbox.machines.network import Router, subnet_of

PORT = Path(__file__).with_name("port.py")


def server_id(vnet_id: str, address: str) -> str:
    """What stands for a server where a machine has its resource id."""
    return f"{vnet_id}/servers/{address}"


def is_endpoint(address: str) -> bool:
    """Whether an address is that of a service with a public name, which is in no subnet."""
    return ipaddress.IPv4Address(address) in ipaddress.IPv4Network(ENDPOINTS)


class Servers:
    """The servers of one virtual network. Calls must not overlap; all are idempotent."""

    def __init__(self, router: Router, vnet_id: str) -> None:
        self._router, self._vnet_id = router, vnet_id
        self._record = router.directory / "servers.json"

    def known(self) -> dict[str, tuple[int, str]]:
        """Port and name (of those that have one) by address."""
        try:
            found: dict[str, t.Any] = json.loads(self._record.read_text())
        except FileNotFoundError:
            return {}
        return {address: (int(entry["port"]), str(entry["name"])) for address, entry in found.items()}

    def add(self, vnet: VnetState, address: str, port: int, name: str = "") -> Path:
        """Let an address answer; the directory behind it."""
        self._write({**self.known(), address: (port, name)})
        self._start(vnet, address, port, name)
        return self.directory(address)

    def remove(self, address: str) -> None:
        """Let it answer no more, and delete what is behind it."""
        self._write({one: entry for one, entry in self.known().items() if one != address})
        name, arm_id = self._name(address), server_id(self._vnet_id, address)
        host.kill(host.cgroup(self._router.prefix, name))
        if is_endpoint(address):
            self._router.remove_endpoint(address)
        else:
            self._router.detach(name, arm_id, address)
        shutil.rmtree(self.directory(address), ignore_errors=True)

    def start(self, vnet: VnetState) -> None:
        """Let all answer that do not, after a restart of the host or of the network."""
        for address, (port, name) in self.known().items():
            if not host.populated(host.cgroup(self._router.prefix, self._name(address))):
                self._start(vnet, address, port, name)

    def directory(self, address: str) -> Path:
        """What machines see as ``/run/sandbox-exports/<address>``."""
        path = self._router.exports / address
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _start(self, vnet: VnetState, address: str, port: int, known_as: str) -> None:
        name = self._name(address)
        group = host.cgroup(self._router.prefix, name)
        if host.populated(group):
            return
        if is_endpoint(address):
            self._router.add_endpoint(address, known_as)
            self._listen(group, self._router.namespace, port, address)
            return
        mac = "02:" + ":".join(names.digest(name)[at : at + 2] for at in range(0, 10, 2))
        self._router.attach(server_id(self._vnet_id, address), name, subnet_of(vnet, address), address, mac)
        self._listen(group, name, port)

    def _listen(self, group: Path, namespace: str, port: int, *address: str) -> None:
        host.spawn(
            group, "nsenter", f"--net={host.NETNS / namespace}", sys.executable, "-I", str(PORT), str(port), *address,
            log=self._router.directory / "servers.log",
        )  # fmt: skip

    def _name(self, address: str) -> str:
        return names.machine_name(self._router.prefix, server_id(self._vnet_id, address))

    def _write(self, servers: dict[str, tuple[int, str]]) -> None:
        if not self._router.directory.exists():
            raise MachineError("NetworkNotFound", f"there is no network {self._vnet_id}")
        draft = self._record.with_suffix(".new")
        draft.write_text(json.dumps({one: {"port": port, "name": name} for one, (port, name) in servers.items()}))
        draft.replace(self._record)
