# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines without ARM, for trying the driver: ``python -m sandbox.machines image|boot|list|console|sweep``."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import socket
import sys
import time
from pathlib import Path

from sandbox.machines import (
    MachineError,
    MachineSpec,
    NicState,
    SecurityRule,
    SubnetState,
    VnetState,
    open_driver,
    take_down,
)
from sandbox.machines.base import base_image
from sandbox.machines.cleanup import leftovers, sweep

VNET = "/try/vnet"
SSH = SecurityRule(
    name="ssh", priority=100, direction="Inbound", access="Allow", protocol="Tcp", destination_ports=("22",)
)


class _NoMetadata:
    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        listener.close()

    def closed(self, vnet_id: str) -> None:
        pass


def _boot(arguments: argparse.Namespace) -> None:
    driver = open_driver("nspawn", arguments.state, _NoMetadata(), print)
    addresses = [f"10.250.0.{number + 4}" for number in range(arguments.count)]
    public = [f"203.0.113.{number}" for number in range(200, 250)]
    free = [address for address in public if address not in driver.reserved_public_addresses()]
    nics = [NicState(private_ip=own, public_ip=outer) for own, outer in zip(addresses, free, strict=False)]
    subnet = SubnetState(subnet_id=f"{VNET}/all", prefix="10.250.0.0/24", rules=(SSH,))
    driver.apply_network(
        VnetState(vnet_id=VNET, address_prefixes=("10.250.0.0/16",), subnets=(subnet,), nics=tuple(nics))
    )
    for number, nic in enumerate(nics):
        started = time.monotonic()
        spec = MachineSpec(
            arm_id=f"/try/{number}", vnet_id=VNET, computer_name=f"try-{number}", private_ip=nic.private_ip,
            mac=f"02:00:0a:fa:00:{number + 4:02x}", admin_username="azureuser",
            ssh_public_keys=tuple(Path(key).read_text().strip() for key in arguments.key),
        )  # fmt: skip
        driver.create(spec)
        print(f"{spec.computer_name}: ssh azureuser@{nic.public_ip} ({time.monotonic() - started:.1f} s)")


def _list(arguments: argparse.Namespace) -> None:
    for arm_id, state in open_driver("nspawn", arguments.state, _NoMetadata()).machines().items():
        print(state, arm_id)


def _console(arguments: argparse.Namespace) -> None:
    print(open_driver("nspawn", arguments.state, _NoMetadata()).console(arguments.machine), end="")


def _sweep(arguments: argparse.Namespace) -> None:
    if arguments.after:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(arguments.after)], [], [])
    removed = (
        [line for prefix in leftovers() for line in sweep(prefix)] if arguments.all else take_down(arguments.state)
    )
    print("\n".join(removed) or "nothing was left")


def main() -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.machines", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".dev/machines"), help="where the disks are")
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("image", help="make the base image").set_defaults(do=lambda _: print(base_image(print)))
    boot = verbs.add_parser("boot", help="boot machines in a network of their own")
    boot.add_argument("count", type=int, nargs="?", default=1)
    boot.add_argument("--key", action="append", required=True, help="a file with an SSH public key")
    boot.set_defaults(do=_boot)
    verbs.add_parser("list", help="what there is").set_defaults(do=_list)
    console = verbs.add_parser("console", help="what a machine printed")
    console.add_argument("machine")
    console.set_defaults(do=_console)
    sweeping = verbs.add_parser("sweep", help="remove everything but disks from this host")
    sweeping.add_argument("--all", action="store_true", help="of every sandbox on this host")
    sweeping.add_argument("--after", type=int, metavar="PID", help="wait until this process has ended, however it ends")
    sweeping.set_defaults(do=_sweep)
    arguments = parser.parse_args()
    try:
        arguments.do(arguments)
    except MachineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
