# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory of booted machines: a driver, a virtual network of two subnets, and ways in. Needs root."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.machines import MachineSpec, NicState, SecurityRule, SubnetState, VnetState, host, take_down
from sandbox.machines.nspawn import NspawnDriver

BOOTED = [
    pytest.mark.booted,
    pytest.mark.skipif(bool(host.missing()), reason=f"this host lacks {host.missing()}"),
]
"""What test modules that boot machines are marked with."""

ROOT = Path(__file__).parents[3]
VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/demo-vnet"
IMAGE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/demo-node"
ALLOW_SSH = SecurityRule(
    name="ssh", priority=100, direction="Inbound", access="Allow", protocol="Tcp",
    source_prefixes=("198.51.100.0/24",), destination_ports=("22",),
)  # fmt: skip
DENY_NFS = SecurityRule(
    name="no-nfs", priority=200, direction="Inbound", access="Deny", protocol="Tcp", destination_ports=("2049",)
)
HEAD, ONE, TWO, CLONE, SPARE = (
    f"/subscriptions/s/vm/{name}" for name in ("head", "node-1", "node-2", "clone", "spare")
)
ADDRESSES = {HEAD: "10.20.0.4", ONE: "10.20.16.4", TWO: "10.20.16.5"}
CUSTOM_DATA = {
    ONE: b"#cloud-config\nwrite_files: [{path: /etc/mine, content: hello}]\n",
    TWO: b"#!/bin/sh\necho script >/etc/mine\n",
}
OFFLINE_APT = "-o Dir::Etc::SourceList=/etc/apt/sources.list.d/sandbox.list -o Dir::Etc::SourceParts=-"


class _Answer(http.server.BaseHTTPRequestHandler):
    """Stands for the metadata service: tells who asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

    def log_message(self, *arguments: object) -> None:
        pass


class Metadata:
    """Serves every network that the driver opens until it is closed."""

    def __init__(self) -> None:
        self.servers: dict[str, http.server.ThreadingHTTPServer] = {}

    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        self.closed(vnet_id)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        self.servers[vnet_id] = server
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def closed(self, vnet_id: str) -> None:
        if server := self.servers.pop(vnet_id, None):
            server.shutdown()
            server.server_close()


@dataclasses.dataclass
class Lab:
    """The driver, and a way into its machines."""

    driver: NspawnDriver
    metadata: Metadata
    state: Path
    key: Path
    public: str
    vnet: VnetState

    def spec(self, arm_id: str, address: str, **changes: t.Any) -> MachineSpec:
        octets = [int(part) for part in address.split(".")]
        values = {
            "arm_id": arm_id, "vnet_id": VNET, "computer_name": arm_id.rsplit("/", 1)[-1], "private_ip": address,
            "mac": "60-45-" + "-".join(f"{octet:02X}" for octet in octets), "admin_username": "azureuser",
            "ssh_public_keys": (self.key.with_suffix(".pub").read_text().strip(),), "vm_id": f"{arm_id}-{time.time()}",
        }  # fmt: skip
        return MachineSpec(**{**values, **changes})

    def ssh(self, name: str, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        options = ["-F", "none", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5",
                   "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]  # fmt: skip
        if name != "head":
            jump = f"ssh {' '.join(options)} -W %h:%p azureuser@{self.public}"
            options += ["-o", f"ProxyCommand={jump}"]
        target = f"azureuser@{self.public if name == 'head' else name}"
        return subprocess.run(
            ["ssh", *options, target, "bash -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def out(self, name: str, script: str) -> str:
        done = self.ssh(name, f"set -e\n{script}")
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def apply(
        self,
        head_rules: tuple[SecurityRule, ...] = (ALLOW_SSH,),
        compute_rules: tuple[SecurityRule, ...] = (),
        nat: bool = True,
    ) -> None:
        nat_ips = ("203.0.113.253",) if nat else ()
        self.vnet = dataclasses.replace(
            self.vnet,
            subnets=(
                SubnetState(subnet_id=f"{VNET}/subnets/head", prefix="10.20.0.0/24", rules=head_rules),
                SubnetState(
                    subnet_id=f"{VNET}/subnets/compute",
                    prefix="10.20.16.0/20",
                    rules=compute_rules,
                    nat_public_ips=nat_ips,
                ),
            ),
            nics=(NicState(private_ip="10.20.0.4", public_ip=self.public),),
        )
        self.driver.apply_network(self.vnet)


def free_address(taken: t.Collection[str]) -> str:
    """A public address that the driver does not reserve."""
    return min(address for n in range(100, 200) if (address := f"203.0.113.{n}") not in taken)


@contextlib.contextmanager
def watched(state: Path) -> t.Iterator[None]:
    """Nothing may be left of a driver's state when this process is killed, so another one waits for its end."""
    sweep = [sys.executable, "-m", "sandbox.machines", "--state", str(state), "sweep", "--after", str(os.getpid())]
    watcher = subprocess.Popen(sweep, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        take_down(state)
        watcher.terminate()
        watcher.wait()


@contextlib.contextmanager
def laboratory(factory: pytest.TempPathFactory, *names: str) -> t.Iterator[Lab]:
    """A laboratory with some of its machines booted; nothing of it is left afterwards."""
    state, key = factory.mktemp("machines"), factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    metadata = Metadata()
    with watched(state):
        driver = NspawnDriver(state, metadata, print)
        public = free_address(driver.reserved_public_addresses())
        found = Lab(driver, metadata, state, key, public, VnetState(vnet_id=VNET, address_prefixes=("10.20.0.0/16",)))
        try:
            found.apply(nat=False)
            specs = [found.spec(name, ADDRESSES[name], custom_data=CUSTOM_DATA.get(name, b"")) for name in names]
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(driver.create, specs))
            yield found
        finally:
            found.driver.close()


def leftovers(prefix: str, state: Path) -> list[str]:
    """Whatever on this host bears the prefix or the state directory, found by other means than the driver's."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    found = [*lines("ip", "link"), *lines("ip", "address"), *lines("ip", "route"), *lines("ip", "netns")]
    found += [*lines("nft", "list", "tables"), *Path("/proc/self/mountinfo").read_text().splitlines()]
    found += [str(path) for path in Path("/run/systemd/nspawn").rglob("*")]
    found += [str(path) for path in Path("/run/azure_hpc.sandbox/members").glob("*")]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            dead = "\nState:\tZ" in (process / "status").read_text()  # only its parent can do anything about that
            command = (process / "cmdline").read_text()
            watches_over_this_test = "\0--after\0" in command
            if int(process.name) != os.getpid() and not dead and not watches_over_this_test:
                found.append((process / "cgroup").read_text() + command)
    found += [str(path) for path in Path("/sys/fs/cgroup").rglob(f"{prefix}*")]
    return [entry for entry in found if prefix in entry or str(state) in entry]
