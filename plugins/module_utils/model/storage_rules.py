# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts and shared file systems of a definition together: what follows from them, and what contradicts."""

from __future__ import annotations

import typing as t

from . import storage
from .lustre import OWN_CONTAINER, ManagedLustre
from .reading import Mistakes, near
from .storage import ManagedBlob, ManagedFiles, ManagedNetApp, Share, StorageAccount

if t.TYPE_CHECKING:
    from .cluster import Cluster

Pool = tuple[str, str]
"""Account and name."""


def machine_subnets(cluster: Cluster) -> tuple[str, ...]:
    """The subnets that machines live in, each once."""
    found = [cluster.head.subnet, *([cluster.login.subnet] if cluster.login else [])]
    return tuple(dict.fromkeys([*found, *(array.subnet for array in cluster.node_arrays)]))


def subnets_of(cluster: Cluster, account: StorageAccount) -> tuple[str, ...]:
    """The subnets that reach an account: those it names; of one that machines mount, those of the machines."""
    if account.subnets or not account.serves_nfs:
        return account.subnets
    return machine_subnets(cluster)


def containers_of(cluster: Cluster, account: StorageAccount) -> tuple[str, ...]:
    """The containers of an account: its own, and those that file systems mount or import from."""
    mounted = [one.container for one in _managed(cluster, ManagedBlob) if not one.id and one.account == account.name]
    mounted += [one.container for one in cluster.file_systems if one.container and one.account == account.name]
    lustre = [name for one in _managed(cluster, ManagedLustre) for name in (one.container, one.logging_container)]
    behind = [found for found in map(OWN_CONTAINER.fullmatch, lustre) if found]
    mounted += [found["container"] for found in behind if found["account"] == account.name]
    return tuple(dict.fromkeys([*account.containers, *mounted]))


def identities_of(cluster: Cluster, account: StorageAccount) -> tuple[str, ...]:
    """The identities that mount blobs of an account: they need the right to."""
    found = [
        system.blobfuse.identity
        for system in cluster.file_systems
        if system.blobfuse is not None and system.account == account.name
    ]
    return tuple(dict.fromkeys(one for one in found if one))


def shares_of(cluster: Cluster, account: StorageAccount) -> tuple[Share, ...]:
    """The shares of an account: its own, and those that file systems mount."""
    mounted = [
        Share(one.share, one.size_gib, one.root_squash)
        for one in _managed(cluster, ManagedFiles)
        if not one.id and one.account == account.name
    ]
    return tuple({share.name: share for share in (*mounted, *account.shares)}.values())


def endpoints(cluster: Cluster) -> frozenset[str]:
    """The subnets that need a service endpoint for storage."""
    return frozenset(name for account in cluster.storage_accounts for name in subnets_of(cluster, account))


def delegated(cluster: Cluster) -> frozenset[str]:
    """The subnets that belong to Azure NetApp Files."""
    return frozenset(volume.subnet for volume in _managed(cluster, ManagedNetApp) if not volume.id)


def pool_size(cluster: Cluster, volume: ManagedNetApp) -> int:
    """The size in TiB of the pool of a volume: as the definition says, or what all of its volumes need."""
    mates = [one for one in _managed(cluster, ManagedNetApp) if not one.id and _pool(one) == _pool(volume)]
    said = max(one.pool_tib for one in mates)
    return said or storage.pool_for(one.size_gib for one in mates)


Kind = t.TypeVar("Kind", ManagedLustre, ManagedNetApp, ManagedFiles, ManagedBlob)


def _managed(cluster: Cluster, kind: type[Kind]) -> list[Kind]:  # noqa: UP047 (Python 3.9)
    return [system.managed for system in cluster.file_systems if isinstance(system.managed, kind)]


def _pool(volume: ManagedNetApp) -> Pool:
    return (volume.account, volume.pool)


def cross_check(mistakes: Mistakes, cluster: Cluster) -> None:
    """Rules between storage accounts, shared file systems and the rest of the definition."""
    subnets = [subnet.name for subnet in cluster.network.subnets]
    netapp = delegated(cluster)
    _accounts(mistakes, cluster, subnets, netapp)
    known = {account.name: account for account in cluster.storage_accounts if account.name}
    for index, system in enumerate(cluster.file_systems):
        path, managed = f"file_systems[{index}].managed", system.managed
        if isinstance(managed, (ManagedFiles, ManagedBlob)) and not managed.id:
            _mounted(mistakes, path, managed, known)
        elif isinstance(managed, ManagedNetApp) and not managed.id:
            _delegated(mistakes, path, managed, cluster, subnets)
    _pools(mistakes, cluster)
    if len(netapp) > 1 and not mistakes.at("network.subnets"):
        mistakes.add(
            "file_systems", f"Azure NetApp Files may be in one subnet of a network, not in {', '.join(sorted(netapp))}"
        )


def _accounts(mistakes: Mistakes, cluster: Cluster, subnets: list[str], netapp: frozenset[str]) -> None:
    first: dict[str, int] = {}
    for index, account in enumerate(cluster.storage_accounts):
        path = f"storage_accounts[{index}]"
        if account.name and first.setdefault(account.name, index) != index:
            earlier = f"storage_accounts[{first[account.name]}]"
            mistakes.add(f"{path}.name", f"{account.name} is the name of {earlier} already")
        for number, name in enumerate(account.subnets):
            at = f"{path}.subnets[{number}]"
            if name not in subnets and not mistakes.at("network.subnets"):
                mistakes.add(at, f"there is no subnet {name}{near(name, subnets)}")
            elif name in netapp:
                mistakes.add(at, f"{name} belongs to Azure NetApp Files, and no machine is in it")
        sizes = {share.name: share.size_gib for share in account.shares}
        for system, managed in ((one.name, one.managed) for one in cluster.file_systems):
            if not isinstance(managed, ManagedFiles) or managed.id or managed.account != account.name:
                continue
            if sizes.get(managed.share, managed.size_gib) != managed.size_gib:
                here, there = sizes[managed.share], managed.size_gib
                text = f"{managed.share} has {here} GiB here and {there} in file system {system}"
                mistakes.add(f"{path}.shares", text)


def _mounted(
    mistakes: Mistakes, path: str, managed: t.Union[ManagedFiles, ManagedBlob], known: t.Mapping[str, StorageAccount]
) -> None:
    at = f"{path}.account"
    if mistakes.at(at) or mistakes.at("storage_accounts"):
        return
    account = known.get(managed.account)
    if account is None:
        text = f"there is no {managed.account} in storage_accounts{near(managed.account, known)}"
        mistakes.add(at, f"{text}; of one that exists, give id")
    elif isinstance(managed, ManagedFiles) and account.kind != "FileStorage":
        mistakes.add(at, f"{account.name} is of kind {account.kind}: NFS shares are in accounts of kind FileStorage")
    elif isinstance(managed, ManagedBlob) and not account.nfs:
        mistakes.add(at, f"{account.name} has no nfs: true, which cannot be added later")


def _delegated(mistakes: Mistakes, path: str, volume: ManagedNetApp, cluster: Cluster, subnets: list[str]) -> None:
    at = f"{path}.subnet"
    if mistakes.at(at) or mistakes.at("network.subnets"):
        return
    if volume.subnet not in subnets:
        mistakes.add(at, f"there is no subnet {volume.subnet}{near(volume.subnet, subnets)}")
    elif volume.subnet in machine_subnets(cluster):
        mistakes.add(at, f"{volume.subnet} has machines in it, and Azure NetApp Files wants a subnet of its own")
    elif any(
        isinstance(one.managed, ManagedLustre) and one.managed.subnet == volume.subnet for one in cluster.file_systems
    ):
        mistakes.add(at, f"{volume.subnet} has Lustre in it, and Azure NetApp Files wants a subnet of its own")


def _pools(mistakes: Mistakes, cluster: Cluster) -> None:
    pools: dict[Pool, list[tuple[str, ManagedNetApp]]] = {}
    for index, system in enumerate(cluster.file_systems):
        if isinstance(system.managed, ManagedNetApp) and not system.managed.id:
            entry = (f"file_systems[{index}].managed", system.managed)
            pools.setdefault(_pool(system.managed), []).append(entry)
    for volumes in pools.values():
        if any(mistakes.at(path) for path, _unused in volumes):
            continue
        _pool_rules(mistakes, volumes)


def _pool_rules(mistakes: Mistakes, volumes: list[tuple[str, ManagedNetApp]]) -> None:
    first, one = volumes[0]
    for key in ("service_level", "pool_tib", "pool_throughput"):
        for path, other in volumes[1:]:
            ours, theirs = getattr(one, key), getattr(other, key)
            if ours != theirs and (key != "pool_tib" or (ours and theirs)):
                mistakes.add(f"{path}.{key}", f"is {theirs}, and {first} says {ours} of the same pool {one.pool}")
    names: dict[str, str] = {}
    for path, volume in volumes:
        if names.setdefault(volume.name.lower(), path) != path:
            mistakes.add(f"{path}.name", f"{volume.name} is the name of {names[volume.name.lower()]} already")
    together, size = sum(volume.size_gib for _unused, volume in volumes), max(v.pool_tib for _unused, v in volumes)
    if size and together > size * 1024:
        need = storage.pool_for(volume.size_gib for _unused, volume in volumes)
        text = f"is {size} TiB, and its volumes have {together} GiB together: it takes {need}"
        mistakes.add(f"{first}.pool_tib", text)
    throughput = sum(volume.throughput for _unused, volume in volumes)
    if throughput > one.pool_throughput > 0:
        text = f"is {one.pool_throughput} MiB/s, and its volumes have {throughput} together"
        mistakes.add(f"{first}.pool_throughput", text)
