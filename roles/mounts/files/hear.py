# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The head hears what nodes say of themselves: why they must not take jobs, or that nothing stands against them.

systemd starts it when a node speaks, and it ends when all are silent. What a node says is kept in a file that is named
by the address that it came from, for passes to read; nothing else is done about it. ``hear.py CLIENT...`` names who is
heard, by prefix or host name, and that only from ports that root alone has there. Standard library and Python 3.9.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
import typing as t
from pathlib import Path

KEPT = Path("/var/lib/azure_hpc/unwell")
LENGTH = 1000
SILENCE = 30.0  # seconds after which it ends
PATIENCE = 5.0  # seconds that one node may take
FORGET = 7 * 86400  # nodes say once a day what still holds
SOCKET = 3  # the first that systemd hands over
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def keep(address: str, text: str) -> None:
    """Remember what a node says, all or nothing; '' forgets."""
    reason = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if not reason:
        (KEPT / address).unlink(missing_ok=True)
        return
    fresh = KEPT / f".{address}"
    fresh.write_text(reason, encoding="utf-8")
    os.replace(fresh, KEPT / address)


def forget() -> None:
    """Forget machines that have long been gone."""
    KEPT.mkdir(mode=0o755, parents=True, exist_ok=True)
    for file in KEPT.iterdir():
        if time.time() - file.stat().st_mtime > FORGET:
            file.unlink(missing_ok=True)


def answer(line: socket.socket, host: str, port: int, networks: t.Sequence[Network]) -> str:
    """Hear one node out; what it is told."""
    if port > 1023 or not any(ipaddress.ip_address(host) in network for network in networks):
        return "refused: only root of a machine of the cluster is heard"
    said = b""
    deadline = time.monotonic() + PATIENCE
    while len(said) <= LENGTH and time.monotonic() < deadline:
        more = line.recv(LENGTH)
        if not more:
            keep(host, said.decode("utf-8", "replace"))
            return "heard"
        said += more
    return "refused: that takes too long"


def allowed(clients: t.Iterable[str]) -> list[Network]:
    """The networks of those who are heard; a name that nobody has is nobody."""
    found: list[Network] = []
    for client in clients:
        try:
            found.append(ipaddress.ip_network(client, strict=False))
        except ValueError:
            try:
                found.append(ipaddress.ip_network(socket.gethostbyname(client)))
            except OSError as error:
                print(f"{client} cannot be resolved: {error}", file=sys.stderr, flush=True)
    return found


def main(arguments: t.Sequence[str]) -> int:
    """Hear whoever speaks until all are silent."""
    networks = allowed(arguments)
    forget()
    with socket.socket(fileno=SOCKET) as listener:
        while True:
            listener.settimeout(SILENCE)
            try:
                line, (host, port) = listener.accept()
            except socket.timeout:  # noqa: UP041 (Python 3.9)
                return 0
            with line:
                line.settimeout(PATIENCE)
                try:
                    told = answer(line, host, port, networks)
                    line.sendall(told.encode())
                except OSError as error:
                    told = str(error)
                if told != "heard":
                    print(f"{host}: {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
