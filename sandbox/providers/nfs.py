# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS servers that are no machines: an address of a virtual network, what it exports, and the files behind it.

Machines mount them by the same stand-in as what another machine exports (``sandbox/machines/guest/nfs``).
"""

from __future__ import annotations

import ipaddress
import json
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

from sandbox import machines
from sandbox.arm.core import Core

PORT = 2049
Clients = Sequence[tuple[str, list[str]]]
"""Who may mount: address, prefix or ``*``, and the options of exports(5)."""


def serve(core: Core, vnet_id: str, address: str, path: str, clients: Clients) -> Path:
    """Let an address export ``/<path>``; the directory with its files, made if it is not there."""
    return export(core.driver.serve(vnet_id, address, PORT), path, clients)


def endpoint(host: str) -> str:
    """The address at which machines find a service of that name."""
    network = ipaddress.IPv4Network(machines.ENDPOINTS)
    return str(network[1 + zlib.crc32(host.encode()) % (network.num_addresses - 2)])


def forget(behind: Path, keep: Collection[str]) -> None:
    """Export nothing but these paths any more."""
    table = behind / "table.json"
    known = json.loads(table.read_text())["exports"] if table.exists() else {}
    draft = behind / "table.json.new"
    draft.write_text(json.dumps({"exports": {one: known[one] for one in known if one in keep}, "bound": []}))
    draft.replace(table)


def export(behind: Path, path: str, clients: Clients) -> Path:
    """Export ``/<path>`` from the directory behind an address; the directory with its files."""
    files = behind / "data" / path.strip("/")
    files.mkdir(parents=True, exist_ok=True)
    table = behind / "table.json"
    known = json.loads(table.read_text())["exports"] if table.exists() else {}
    draft = behind / "table.json.new"
    draft.write_text(json.dumps({"exports": {**known, "/" + path.strip("/"): list(clients)}, "bound": []}))
    draft.replace(table)
    return files
