# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private and public addresses: who has which. Rows of the store's ``addresses`` table, one pool per subnet."""

from __future__ import annotations

import ipaddress
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError

PUBLIC_POOL = "public"
# Addresses for documentation and for benchmarks, so that an emulated public one can never be anybody's real one. The
# first network is what machines and their docs speak of; who asks for more than it has gets the others.
PUBLIC_PREFIXES = tuple(
    ipaddress.IPv4Network(prefix) for prefix in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.18.0.0/15")
)
RESERVED_FIRST, RESERVED_LAST = 4, 1


@dataclass(frozen=True)
class Taken:
    """An address in use. ``owner`` is the id of an ip configuration, ``nsg_id`` the security group of its interface."""

    address: str
    owner: str
    nsg_id: str


class Addresses:
    """The allocator. All methods may be called inside a transaction of the store."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def allocate(
        self, subnet_id: str, prefix: str, owners: Sequence[str], *, wanted: str = "", nsg_id: str = ""
    ) -> list[str]:
        """An address of the subnet for each owner, the lowest free ones; or the wanted one for a single owner.

        An owner that has an address in this subnet keeps it, unless it wants another. Raises ArmError (400) when the
        subnet is full, or the wanted address is outside, reserved or taken.
        """
        network, pool = _ipv4(prefix, subnet_id), ids.key(subnet_id)
        store = self._core.store
        with store.transaction() as db:
            rows = db.execute("SELECT address, owner FROM addresses WHERE pool = ?", (pool,)).fetchall()
            taken = {row["address"]: row["owner"] for row in rows}
            mine = {owner: address for address, owner in taken.items()}
            extra = json.dumps({"nsg": ids.key(nsg_id)} if nsg_id else {})
            if wanted:
                given = [self._check_wanted(network, _address(wanted), owners[0], taken)]
            else:
                new = [owner for owner in owners if ids.key(owner) not in mine]
                free = self._free(network, taken, len(new), ids.parse(subnet_id).name)
                mine |= {ids.key(owner): number for owner, number in zip(new, free, strict=True)}
                given = [mine[ids.key(owner)] for owner in owners]
            for owner, number in zip(owners, given, strict=True):
                db.execute("DELETE FROM addresses WHERE owner = ?", (ids.key(owner),))
                db.execute("REPLACE INTO addresses VALUES (?,?,?,?)", (pool, number, ids.key(owner), extra))
        return [str(ipaddress.IPv4Address(number)) for number in given]

    def _check_wanted(
        self, network: ipaddress.IPv4Network, address: ipaddress.IPv4Address, owner: str, taken: dict[int, str]
    ) -> int:
        if address not in network:
            text = f"Private static IP address {address} does not belong to the range of subnet prefix {network}."
            raise ArmError(400, "PrivateIPAddressNotInSubnet", text, details=[])
        if int(address) not in usable(network):
            text = f"Private static IP address {address} falls within reserved IP range of subnet prefix {network}."
            raise ArmError(400, "PrivateIPAddressInReservedRange", text, details=[])
        holder = taken.get(int(address))
        if holder is not None and holder != ids.key(owner):
            text = (
                f"IP configuration {owner} is using the private IP address {address} which is already allocated to "
                f"resource {holder}."
            )
            raise ArmError(400, "PrivateIPAddressIsAllocated", text, details=[])
        return int(address)

    def _free(self, network: ipaddress.IPv4Network, taken: dict[int, str], count: int, name: str) -> list[int]:
        free: list[int] = []
        for number in usable(network):
            if len(free) == count:
                break
            if number not in taken:
                free.append(number)
        if len(free) < count:
            text = (
                f"Subnet {name} with address prefix {network} does not have enough capacity for {count} IP addresses."
            )
            raise ArmError(400, "SubnetIsFull", text, details=[])
        return free

    def release(self, owners: Iterable[str]) -> None:
        with self._core.store.transaction() as db:
            db.executemany("DELETE FROM addresses WHERE owner = ?", [(ids.key(owner),) for owner in owners])

    def release_below(self, prefix: str) -> None:
        """Release what belongs to owners nested in the resource ``prefix``, and to itself."""
        key = ids.key(prefix)
        with self._core.store.transaction() as db:
            db.execute(
                "DELETE FROM addresses WHERE owner = ? OR (owner > ? AND owner < ?)", (key, key + "/", key + "0")
            )

    def in_subnet(self, subnet_id: str) -> list[Taken]:
        """The addresses in use in a subnet, in ascending order."""
        query = "SELECT address, owner, extra FROM addresses WHERE pool = ? ORDER BY address"
        return [
            Taken(str(ipaddress.IPv4Address(row["address"])), row["owner"], json.loads(row["extra"]).get("nsg", ""))
            for row in self._core.store.db().execute(query, (ids.key(subnet_id),))
        ]

    def of(self, owner: str) -> tuple[str, str] | None:
        """(subnet id in lower case, address) of an ip configuration."""
        query = "SELECT pool, address FROM addresses WHERE owner = ?"
        row = self._core.store.db().execute(query, (ids.key(owner),)).fetchone()
        return (row["pool"], str(ipaddress.IPv4Address(row["address"]))) if row else None

    def special(self, subnet_id: str, owners: Iterable[str]) -> list[Taken]:
        """Those in a subnet that have a security group of their own, or one of these owners (ids in lower case)."""
        wanted = json.dumps(list(owners))
        query = (
            "SELECT address, owner, extra FROM addresses WHERE pool = ? AND "
            "(extra != '{}' OR owner IN (SELECT value FROM json_each(?))) ORDER BY address"
        )
        return [
            Taken(str(ipaddress.IPv4Address(row["address"])), row["owner"], json.loads(row["extra"]).get("nsg", ""))
            for row in self._core.store.db().execute(query, (ids.key(subnet_id), wanted))
        ]

    def public(self, owner: str) -> str:
        """A public address for the resource ``owner``; the one that it has, if it has one. 400 when all are
        given away.
        """
        reserved = {int(ipaddress.IPv4Address(one)) for one in self._core.driver.reserved_public_addresses()}
        with self._core.store.transaction() as db:
            known = self.of(owner)
            if known is not None:
                return known[1]
            rows = db.execute("SELECT address FROM addresses WHERE pool = ?", (PUBLIC_POOL,))
            taken = reserved | {row[0] for row in rows}
            for number in self._public_numbers():
                if number not in taken:
                    db.execute("INSERT INTO addresses VALUES (?,?,?,'{}')", (PUBLIC_POOL, number, ids.key(owner)))
                    return str(ipaddress.IPv4Address(number))
        text = f"Cannot create more than {len(taken)} public IP addresses for this subscription in this region."
        raise ArmError(400, "PublicIPCountLimitReached", text, details=[])

    def _public_numbers(self) -> Iterator[int]:
        for prefix in PUBLIC_PREFIXES:
            first, count = int(prefix.network_address) + 1, prefix.num_addresses - 2
            # Sandboxes with booted machines share the host's routes: begin at different places.
            start = zlib.crc32(str(self._core.settings.state).encode()) % count
            yield from (first + (start + offset) % count for offset in range(count))


def _ipv4(prefix: str, subnet_id: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(prefix)
    except ValueError:
        text = f"Subnet {subnet_id} has no IPv4 address prefix."
        raise ArmError(400, "SubnetHasNoIPv4Prefix", text, details=[]) from None


def _address(text: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise ArmError(400, "InvalidIPAddressFormat", f"{text} is not a valid IP address.", details=[]) from None


def usable(network: ipaddress.IPv4Network) -> range:
    """The addresses of a subnet that Azure gives away: neither the first four nor the last."""
    first = int(network.network_address)
    return range(first + RESERVED_FIRST, first + network.num_addresses - RESERVED_LAST)


def mac(address: str) -> str:
    """The hardware address that goes with a private address: Microsoft's prefix and the last three bytes."""
    packed = ipaddress.IPv4Address(address).packed
    return "-".join(("00", "0D", "3A", *(f"{byte:02X}" for byte in packed[1:])))


# Owners are kept in lower case; scale set interfaces have no row of their own to ask.
_SPELLINGS = {
    word.lower(): word
    for word in (
        "resourceGroups",
        "Microsoft.Compute",
        "Microsoft.Network",
        "virtualMachineScaleSets",
        "virtualMachines",
        "networkInterfaces",
        "ipConfigurations",
        "loadBalancers",
        "frontendIPConfigurations",
    )
}


def respell(owner: str) -> str:
    """An owner with the words of its id as Azure writes them."""
    return "/".join(_SPELLINGS.get(part, part) for part in owner.split("/"))
