# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an emulated virtual machine is: the driver protocol and its values.

The ARM side of the sandbox knows resources; a driver knows machines and the networks between them. They meet here:

* ``record`` remembers what it was told and boots nothing: for tests of everything that speaks ARM only.
* ``nspawn`` boots real Linux machines in systemd-nspawn containers, one router namespace per virtual network.

Order of calls: ``apply_network`` for a virtual network before the first ``create`` in it, again after each change of
its subnets, rules, addresses; ``recover`` once after opening a driver on a state directory that was used before.
All methods may be called from many threads at once; calls for one machine wait for each other.

Resource ids are compared without regard to case. A driver never talks to Azure's API and holds no ARM state.
"""

from __future__ import annotations

import enum
import socket
import typing as t
from dataclasses import dataclass
from pathlib import Path

BASE_IMAGE = "debian-13"
"""The name of the image that every platform image reference may be mapped to."""

METADATA_ADDRESS = "169.254.169.254"
DNS_ADDRESS = "168.63.129.16"
ENDPOINTS = "100.96.0.0/16"
"""Where services of Azure that have public names, such as storage accounts, are for the machines of a network."""
CONTROLLER_ADDRESS = "198.51.100.10"
"""Where this host appears to be on the Internet when it connects to the public address of a machine."""


class MachineError(Exception):
    """A machine could not do what it was asked to. ``code`` is one that Azure uses.

    Codes: ``OSProvisioningTimedOut`` (did not become reachable), ``OSProvisioningInternalError`` (could not be
    started), ``NotFound`` (no such machine), ``ImageNotFound``, ``Conflict`` (not allowed
    in the machine's present state),
    ``NetworkNotFound`` (no ``apply_network`` for its virtual network or subnet yet).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PowerState(enum.StrEnum):
    """What a driver knows about a machine; ``ABSENT``: it never existed or was deleted."""

    RUNNING = "running"
    STOPPED = "stopped"
    DEALLOCATED = "deallocated"
    ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """A machine to create.

    ``vm_id`` is the ``vmId`` (a GUID) that tells a re-created machine from its predecessor of the same ``arm_id``.
    ``private_ip`` lies in one of the subnets of ``vnet_id``; ``mac`` is in colon form (``60-45-BD-..`` is accepted) and
    must be stable for the address. ``custom_data`` is decoded (not base64). ``image`` is ``BASE_IMAGE`` or the id that
    was given to ``capture``. Sizes are only remembered: an emulated machine sees the processors of its host.
    """

    arm_id: str
    vnet_id: str
    computer_name: str
    private_ip: str
    mac: str
    admin_username: str
    ssh_public_keys: tuple[str, ...] = ()
    custom_data: bytes = b""
    image: str = BASE_IMAGE
    vm_id: str = ""
    vcpus: int = 1
    memory_mib: int = 1024
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A script to run in a machine, as root: with ``arguments``, and ``environment`` beside a bare one.

    It is killed after ``timeout`` seconds.
    """

    script: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    timeout: float = 5400.0


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a script came to: its exit status (negative: the signal that killed it), and the ends of its streams."""

    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


OUTPUT_BYTES = 4096
"""As much as Azure tells of either stream: the last of it."""


@dataclass(frozen=True, kw_only=True)
class SecurityRule:
    """One custom rule of a network security group; all fields as ARM has them.

    Prefixes are CIDRs, addresses, ``*`` or the service tags ``VirtualNetwork``, ``Internet``, ``AzureLoadBalancer``
    (others match nothing). Ports are ``"22"``, ``"1000-2000"`` or ``"*"``.
    """

    name: str
    priority: int
    direction: t.Literal["Inbound", "Outbound"]
    access: t.Literal["Allow", "Deny"]
    protocol: str = "*"
    source_prefixes: tuple[str, ...] = ("*",)
    source_ports: tuple[str, ...] = ("*",)
    destination_prefixes: tuple[str, ...] = ("*",)
    destination_ports: tuple[str, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class SubnetState:
    """A subnet.

    ``rules`` are the custom rules of its security group (``None``: no group; the default rules of Azure are added by
    the driver). ``nat_public_ips`` are the addresses of its NAT gateway (empty: no NAT gateway).
    """

    subnet_id: str
    prefix: str
    rules: tuple[SecurityRule, ...] | None = None
    nat_public_ips: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NicState:
    """An address in use in a subnet: ``rules`` as for a subnet, ``public_ip`` empty if the NIC has none.

    Only NICs with a security group or a public address need to be listed.
    """

    private_ip: str
    rules: tuple[SecurityRule, ...] | None = None
    public_ip: str = ""


@dataclass(frozen=True, kw_only=True)
class VnetState:
    """Everything about one virtual network that decides which packet may go where."""

    vnet_id: str
    address_prefixes: tuple[str, ...]
    subnets: tuple[SubnetState, ...] = ()
    nics: tuple[NicState, ...] = ()


class MetadataListener(t.Protocol):
    """What a driver tells its owner about the instance metadata address of each virtual network."""

    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        """``listener`` is bound to 169.254.169.254:80 of that network and listens. The callee owns and closes it.

        The peer address of an accepted connection is the private address of a machine of that network.
        """

    def closed(self, vnet_id: str) -> None:
        """The network is gone: stop serving it."""


class Driver(t.Protocol):
    """What every driver does. Each method raises ``MachineError`` unless it says otherwise."""

    def create(self, spec: MachineSpec) -> None:
        """Boot a new machine; returns when its SSH port answers. A machine of the same id that exists is a Conflict.

        When it fails the machine exists no more than its disk does: call ``delete`` before trying again.
        """

    def start(self, arm_id: str) -> None:
        """Boot a stopped or deallocated machine and wait for its SSH port; nothing if it runs."""

    def stop(self, arm_id: str) -> None:
        """Shut down and keep it allocated; nothing if it does not run."""

    def crash(self, arm_id: str) -> None:
        """Cut the power: nothing in the machine is shut down; nothing if it does not run."""

    def freeze(self, arm_id: str, frozen: bool) -> None:
        """Pause all that runs in the machine, or let it go on; nothing if it does not run."""

    def deallocate(self, arm_id: str) -> None:
        """Shut down and release; the disk stays."""

    def restart(self, arm_id: str) -> None:
        """Reboot and wait for the SSH port."""

    def delete(self, arm_id: str) -> None:
        """Kill the machine and remove its disk; nothing if there is none."""

    def state(self, arm_id: str) -> PowerState:
        """What the machine does right now; never raises for an unknown id."""

    def machines(self) -> dict[str, PowerState]:
        """All machines by the ``arm_id`` they were created with."""

    def run(self, arm_id: str, command: Command) -> Output:
        """Run a script in a machine that runs; returns when it has ended, its last ``OUTPUT_BYTES`` of each stream."""

    def console(self, arm_id: str) -> str:
        """The last 64 KiB that the machine wrote to its serial console."""

    def capture(self, arm_id: str, image_id: str) -> None:
        """Make the disk of a machine bootable as ``image_id``, without what was only this machine's. The machine stays;
        of one that runs, it is what was written at the moment.
        """

    def delete_image(self, image_id: str) -> None:
        """Remove a captured image, nothing if there is none. Machines made from it stay and run on."""

    def apply_network(self, vnet: VnetState) -> None:
        """Make the virtual network like this, whatever it was before. Existing connections live on."""

    def serve(self, vnet_id: str, address: str, port: int, name: str = "") -> Path:
        """Let an address of the network answer on a TCP port, as a server that is no machine; nothing if it does.

        The address is one of a subnet, or one of ``ENDPOINTS``, which machines know by the ``name``.
        Returns the directory behind it, which machines of the network see as ``/run/sandbox-exports/<address>``.
        """

    def unserve(self, vnet_id: str, address: str) -> None:
        """Let it answer no more and delete its directory; nothing if it does not."""

    def remove_network(self, vnet_id: str) -> None:
        """Remove the virtual network, nothing if there is none. A machine left in it is a Conflict."""

    def reserved_public_addresses(self) -> frozenset[str]:
        """Public addresses that must not be given out: this host or another sandbox on it uses them."""

    def recover(self) -> dict[str, PowerState]:
        """Adopt what an earlier process left in the state directory: networks, running machines, disks.

        Calls ``MetadataListener.opened`` for each network. Returns the machines found; one whose host went down
        meanwhile is ``STOPPED`` and boots with ``start``.
        """

    def close(self) -> None:
        """Take down all machines and networks of this state directory; disks, images and ``spec``s stay for later."""


DRIVERS = ("record", "nspawn")


def open_driver(
    kind: str, state: Path, metadata: MetadataListener, progress: t.Callable[[str], None] = lambda line: None
) -> Driver:
    """The driver of that kind, working below the directory ``state`` (made if absent).

    ``progress`` gets a line for each thing that takes long. Raises ``ValueError`` for an unknown kind and
    ``MachineError`` naming everything that this host lacks.
    """
    if kind == "record":
        from sandbox.machines.record import RecordDriver

        return RecordDriver(state, metadata)
    if kind == "nspawn":
        from sandbox.machines.nspawn import NspawnDriver

        return NspawnDriver(state, metadata, progress)
    raise ValueError(f"unknown machine driver {kind!r}; there are: {', '.join(DRIVERS)}")


def take_down(state: Path) -> list[str]:
    """Remove every process, mount, namespace, link, route and table that a driver made for the directory ``state``.

    Works without any driver object or file in ``state``, so it also cleans up after a killed server. Returns what it
    found and removed, one line each. Disks stay; remove the directory to lose them.
    """
    from sandbox.machines.cleanup import sweep
    from sandbox.machines.names import prefix_of

    return sweep(prefix_of(state))
