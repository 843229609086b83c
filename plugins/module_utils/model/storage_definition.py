# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster definition says of storage accounts, and ``managed`` of a file system of type nfs."""

from __future__ import annotations

import ipaddress
import typing as t

from . import storage
from .reading import Mistakes, Section, prefix
from .storage import ManagedBlob, ManagedFiles, ManagedNetApp, ManagedStorage, Share, StorageAccount

ACCOUNT_KEYS = (
    "name",
    "sku",
    "kind",
    "hierarchical_namespace",
    "nfs",
    "secure_transfer",
    "containers",
    "shares",
    "subnets",
    "allowed",
    "grant",
    "tags",
)
_NETAPP = (
    "name",
    "account",
    "pool",
    "size_gib",
    "service_level",
    "pool_tib",
    "pool_throughput",
    "throughput",
    "subnet",
    "protocol",
    "zone",
    "root_access",
    "tags",
)
SERVICES: t.Mapping[str, tuple[str, ...]] = {
    "netapp": _NETAPP,
    "files": ("account", "share", "size_gib", "root_squash"),
    "blob": ("account", "container"),
}
KEYS = ("service", "id", *dict.fromkeys(key for keys in SERVICES.values() for key in keys))
_ID_RULE = "must be the resource id of a NetApp volume, a file share or a blob container"


def read_account(section: Section, tags: t.Mapping[str, str]) -> StorageAccount:
    """The storage account of a section with `ACCOUNT_KEYS`."""
    kind = section.text("kind", "StorageV2", choices=tuple(storage.SKUS))
    sku = section.text("sku", storage.SKUS[kind][0])
    hierarchical, nfs = section.flag("hierarchical_namespace", False), section.flag("nfs", False)
    account = StorageAccount(
        name=section.text("name", None, storage.ACCOUNT, storage.ACCOUNT_RULE),
        sku=sku,
        kind=kind,
        hierarchical_namespace=hierarchical,
        nfs=nfs,
        secure_transfer=section.flag("secure_transfer", not (nfs or kind == "FileStorage")),
        containers=section.texts("containers", (), storage.PART, storage.PART_RULE),
        shares=tuple(_share(item, path, section.mistakes) for path, item in section.items("shares", ())),
        subnets=section.texts("subnets"),
        allowed=_allowed(section),
        grant=section.flag("grant", False),
        tags=tags,
    )
    for key, message in storage.account_mistakes(kind, sku, hierarchical, nfs, bool(account.containers), False):
        section.wrong(key, message)
    if account.shares and kind != "FileStorage":
        section.wrong("shares", "NFS shares are for kind: FileStorage")
    if account.serves_nfs and account.secure_transfer:
        section.wrong("secure_transfer", "must be false: NFS is not encrypted, and Azure would refuse every mount")
    return account


def _share(item: t.Any, path: str, mistakes: Mistakes) -> Share:
    section = Section(mistakes, item, path, ("name", "size_gib", "root_squash"))
    return Share(
        name=section.text("name", None, storage.PART, storage.PART_RULE),
        size_gib=_share_size(section),
        root_squash=section.text("root_squash", "NoRootSquash", choices=storage.ROOT_SQUASHES),
    )


def _share_size(section: Section) -> int:
    size = section.number("size_gib", low=1)
    for key, message in storage.share_mistakes(size) if size else ():
        section.wrong(key, message)
    return size


def _allowed(section: Section) -> tuple[str, ...]:
    found = []
    for path, item in section.items("allowed", ()):
        network = prefix(section.mistakes, path, item)
        if network is None:
            continue
        if network.is_private and not network.subnet_of(ipaddress.IPv4Network("203.0.113.0/24")):
            section.mistakes.add(path, "must be public: what is in the network of the cluster is let in by subnets")
        elif network.prefixlen == 31:
            section.mistakes.add(path, "Azure takes no /31 here: name the two addresses")
        else:
            found.append(str(network).replace("/32", ""))
    return tuple(found)


def read(section: Section, cluster: str, name: str, tags: t.Mapping[str, str]) -> t.Optional[ManagedStorage]:
    """The shared file system of a section with `KEYS`; its names derive from those of cluster and file system."""
    if section.has("id"):
        return _existing(section)
    service = section.text("service", choices=tuple(SERVICES))
    for key in section.data:
        if service and key in KEYS and key not in (*SERVICES[service], "service", "id"):
            section.wrong(key, f"is not for service {service}")
    if service == "netapp":
        return _netapp(section, cluster, name, tags)
    account = section.text("account", None, storage.ACCOUNT, storage.ACCOUNT_RULE) if service else ""
    part = name.replace("_", "-")
    if service == "files":
        share = section.text("share", part, storage.PART, storage.PART_RULE)
        squash = section.text("root_squash", "NoRootSquash", choices=storage.ROOT_SQUASHES)
        return ManagedFiles(share=share, account=account, size_gib=_share_size(section), root_squash=squash)
    if service == "blob":
        return ManagedBlob(section.text("container", part, storage.PART, storage.PART_RULE), account)
    return None


def _existing(section: Section) -> t.Optional[ManagedStorage]:
    for key in section.data:
        if key != "id":
            section.wrong(key, "cannot be given with id: it exists, and is only mounted")
    given = section.text("id", "")
    volume, share, container = (
        kind.fullmatch(given) for kind in (storage.VOLUME_ID, storage.SHARE_ID, storage.CONTAINER_ID)
    )
    if volume:
        return ManagedNetApp(volume["volume"], id=given, account=volume["account"], pool=volume["pool"])
    if share:
        return ManagedFiles(share["part"], share["account"].lower(), id=given)
    if container:
        return ManagedBlob(container["part"], container["account"].lower(), id=given)
    if given:
        section.wrong("id", _ID_RULE)
    return None


def _netapp(section: Section, cluster: str, name: str, tags: t.Mapping[str, str]) -> ManagedNetApp:
    level = section.text("service_level", "Premium", choices=storage.SERVICE_LEVELS)
    flexible = level == "Flexible"
    volume = ManagedNetApp(
        name=section.text("name", f"{cluster}-{name}", storage.NETAPP_NAME, storage.NETAPP_NAME_RULE),
        account=section.text("account", f"{cluster}-netapp", storage.NETAPP_NAME, storage.NETAPP_NAME_RULE),
        pool=section.text("pool", f"{cluster}-{level.lower()}", storage.NETAPP_NAME, storage.NETAPP_NAME_RULE),
        size_gib=section.number("size_gib", low=1),
        service_level=level,
        pool_tib=section.number("pool_tib", 0),
        pool_throughput=section.number("pool_throughput", storage.POOL_THROUGHPUT_MIN if flexible else 0),
        throughput=section.number("throughput", None if flexible else 0),
        subnet=section.text("subnet", "netapp"),
        protocol=section.text("protocol", "NFSv3", choices=storage.PROTOCOLS),
        zone=section.text("zone", "", r"[1-9]", 'must be the number of a zone as a text: "1"'),
        root_access=section.flag("root_access", True),
        tags=tags,
    )
    wrong = storage.volume_mistakes(volume.size_gib, level, volume.throughput) if volume.size_gib else []
    if volume.pool_tib:
        wrong += storage.pool_mistakes(volume.pool_tib, level, volume.pool_throughput)
    for key, message in wrong:
        section.wrong(key, message)
    return volume
