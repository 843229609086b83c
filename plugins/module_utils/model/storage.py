# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts and what Azure serves by NFS: NetApp volumes, shares, blob containers. Values and limits. Pure."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

ACCOUNT = r"[a-z0-9]{3,24}"
ACCOUNT_RULE = "must be 3 to 24 lower-case letters and digits, and unique in all of Azure"
PART = r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*"
PART_RULE = "must be 3 to 63 lower-case letters, digits and single hyphens, not at the ends"
NETAPP_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
NETAPP_NAME_RULE = "must be letters, digits, _ and -, at most 64, and begin with a letter"

_STANDARD = ("Standard_LRS", "Standard_ZRS", "Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS")
_PREMIUM = ("Premium_LRS", "Premium_ZRS")
SKUS: t.Mapping[str, tuple[str, ...]] = {
    "StorageV2": _STANDARD,
    "BlockBlobStorage": _PREMIUM,
    "FileStorage": _PREMIUM,
}
"""What each kind of account may be made of."""
NFS_SKUS = ("Standard_LRS", "Standard_ZRS", "Standard_GRS", *_PREMIUM)
"""What an account that serves blobs by NFS 3 may be made of."""
ROOT_SQUASHES = ("NoRootSquash", "RootSquash", "AllSquash")
SHARE_MIN, SHARE_MAX = 100, 102400
"""GiB of a share of a FileStorage account."""

SERVICE_LEVELS = ("Standard", "Premium", "Ultra", "Flexible")
PROTOCOLS = ("NFSv3", "NFSv4.1")
POOL_MIN, POOL_MAX = 1, 2048
"""TiB of a capacity pool of Azure NetApp Files; any whole number between them."""
VOLUME_MIN, VOLUME_MAX = 50, 102400
"""GiB of a regular volume."""
POOL_THROUGHPUT_MIN = 128
"""MiB/s of a pool of service level Flexible; at most 640 for each TiB."""
DELEGATION = "Microsoft.Netapp/volumes"
ENDPOINT = "Microsoft.Storage"

_GROUP = r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers"
ACCOUNT_ID = re.compile(rf"{_GROUP}/Microsoft\.Storage/storageAccounts/(?P<account>{ACCOUNT})", re.IGNORECASE)
SHARE_ID = re.compile(rf"{ACCOUNT_ID.pattern}/fileServices/default/shares/(?P<part>[a-z0-9-]+)", re.IGNORECASE)
CONTAINER_ID = re.compile(rf"{ACCOUNT_ID.pattern}/blobServices/default/containers/(?P<part>[a-z0-9$-]+)", re.IGNORECASE)
VOLUME_ID = re.compile(
    rf"{_GROUP}/Microsoft\.NetApp/netAppAccounts/(?P<account>[^/\s]+)/capacityPools/(?P<pool>[^/\s]+)"
    r"/volumes/(?P<volume>[^/\s]+)",
    re.IGNORECASE,
)
OPTIONS: t.Mapping[str, str] = {
    "NFSv3": "nfsvers=3,proto=tcp,hard,noatime,rsize=262144,wsize=262144,nconnect=8",
    "NFSv4.1": "nfsvers=4.1,proto=tcp,hard,noatime,rsize=262144,wsize=262144,nconnect=8",
    "files": "nfsvers=4.1,sec=sys,hard,noatime,noresvport,nconnect=4",
    "blob": "nfsvers=3,sec=sys,proto=tcp,nolock,hard,noatime,nconnect=16",
}
"""How each of them is mounted best: by protocol of a NetApp volume, or by service."""

_GROUP_NAME = re.compile(r"/subscriptions/[^/]+/resourceGroups/([^/]+)/", re.IGNORECASE)


@dataclass(frozen=True)
class Share:
    """An NFS 4.1 file share of ``size_gib`` GiB in an account of kind FileStorage."""

    name: str
    size_gib: int
    root_squash: str = "NoRootSquash"


@dataclass(frozen=True)
class StorageAccount:
    """A storage account that a definition makes, with its containers and shares.

    ``nfs`` serves containers by NFS 3. From ``subnets`` (names of the definition's network) and ``allowed`` (public
    IPv4 prefixes) it can be reached, from everywhere if there are none. ``secure_transfer`` off lets NFS through, which
    is not encrypted. ``grant``: identities that mount blobs are given the role for it.
    """

    name: str
    sku: str = "Standard_LRS"
    kind: str = "StorageV2"
    hierarchical_namespace: bool = False
    nfs: bool = False
    secure_transfer: bool = True
    containers: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    subnets: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    grant: bool = False
    tags: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def serves_nfs(self) -> bool:
        """Whether machines mount something of it by NFS: such an account has to be closed to other networks."""
        return self.nfs or self.kind == "FileStorage"


@dataclass(frozen=True)
class ManagedNetApp:
    """A volume of Azure NetApp Files that a definition makes, or uses (``id``).

    ``size_gib`` is in GiB, ``pool_tib`` in TiB (the size of the whole pool, 0 for what its volumes need), throughputs
    in MiB/s: ``pool_throughput`` of a Flexible pool, ``throughput`` of the volume in such a pool.
    """

    name: str
    service: str = "netapp"
    id: str = ""
    account: str = ""
    pool: str = ""
    size_gib: int = 0
    service_level: str = "Premium"
    pool_tib: int = 0
    pool_throughput: int = 0
    throughput: int = 0
    subnet: str = ""
    protocol: str = "NFSv3"
    zone: str = ""
    root_access: bool = True
    tags: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """What clients mount, less the slash: Azure takes no underscores in it."""
        return self.name.replace("_", "-")


@dataclass(frozen=True)
class ManagedFiles:
    """An NFS share of a storage account of the definition, or one that exists (``id``)."""

    share: str
    account: str = ""
    service: str = "files"
    id: str = ""
    size_gib: int = 0
    root_squash: str = "NoRootSquash"


@dataclass(frozen=True)
class ManagedBlob:
    """A container of a storage account of the definition by NFS 3, or one that exists (``id``)."""

    container: str
    account: str = ""
    service: str = "blob"
    id: str = ""


ManagedStorage = t.Union[ManagedNetApp, ManagedFiles, ManagedBlob]
MANAGED = (ManagedNetApp, ManagedFiles, ManagedBlob)


def group_of(resource_id: str) -> str:
    """The resource group of a resource id, '' if it has none."""
    found = _GROUP_NAME.match(resource_id)
    return found[1] if found else ""


def volume_mistakes(size_gib: int, service_level: str, throughput: int = 0) -> list[tuple[str, str]]:
    """What is wrong with a volume by itself: option and message."""
    wrong = []
    if not VOLUME_MIN <= size_gib <= VOLUME_MAX:
        wrong.append(("size_gib", f"is {size_gib} GiB, and a volume has {VOLUME_MIN} to {VOLUME_MAX} GiB"))
    if throughput and service_level != "Flexible":
        wrong.append(("throughput", "is for service level Flexible: in other pools it follows from the size"))
    return wrong


def pool_mistakes(size_tib: int, service_level: str, throughput: int = 0) -> list[tuple[str, str]]:
    """What is wrong with a capacity pool by itself: option and message."""
    wrong = []
    if not POOL_MIN <= size_tib <= POOL_MAX:
        wrong.append(("pool_tib", f"is {size_tib} TiB, and a pool has {POOL_MIN} to {POOL_MAX} TiB, whole ones"))
    if throughput and service_level != "Flexible":
        wrong.append(("pool_throughput", "is for service level Flexible: in other pools it follows from the size"))
    elif throughput and not POOL_THROUGHPUT_MIN <= throughput <= 5 * POOL_THROUGHPUT_MIN * max(size_tib, 1):
        most = 5 * POOL_THROUGHPUT_MIN * max(size_tib, 1)
        wrong.append(
            (
                "pool_throughput",
                f"is {throughput} MiB/s, and a Flexible pool of {size_tib} TiB has {POOL_THROUGHPUT_MIN} to {most}",
            )
        )
    return wrong


def pool_for(sizes_gib: t.Iterable[int]) -> int:
    """The size in TiB of the smallest pool that holds volumes of these sizes (GiB)."""
    return max(POOL_MIN, math.ceil(sum(sizes_gib) / 1024))


def share_mistakes(size_gib: int) -> list[tuple[str, str]]:
    """What is wrong with a file share by itself: option and message."""
    if SHARE_MIN <= size_gib <= SHARE_MAX:
        return []
    return [("size_gib", f"is {size_gib} GiB, and a share of a FileStorage account has {SHARE_MIN} to {SHARE_MAX} GiB")]


def account_mistakes(
    kind: str, sku: str, hierarchical_namespace: bool, nfs: bool, containers: bool, shares: bool
) -> list[tuple[str, str]]:
    """What an account cannot be at the same time: option and message."""
    wrong = []
    if sku not in SKUS[kind]:
        wrong.append(("sku", f"{sku} is not for kind {kind}: it has {', '.join(SKUS[kind])}"))
    if kind == "FileStorage":
        for key, given in (
            ("hierarchical_namespace", hierarchical_namespace),
            ("nfs", nfs),
            ("containers", containers),
        ):
            if given:
                wrong.append((key, "is about blobs, and an account of kind FileStorage has none"))
    elif shares:
        wrong.append(("shares", "NFS shares are for kind FileStorage (sku Premium_LRS or Premium_ZRS)"))
    if nfs and kind != "FileStorage":
        if not hierarchical_namespace:
            wrong.append(("nfs", "needs hierarchical_namespace: true"))
        if sku in SKUS[kind] and sku not in NFS_SKUS:
            wrong.append(("sku", f"{sku} is not for nfs: it takes {', '.join(NFS_SKUS)}"))
    return wrong


def mount_options(managed: ManagedStorage) -> str:
    """The mount options that suit its server."""
    return OPTIONS[managed.protocol if isinstance(managed, ManagedNetApp) else managed.service]


def export(managed: ManagedStorage) -> str:
    """The path on the server. Of a NetApp volume that the definition only uses, Azure may know another one."""
    if isinstance(managed, ManagedNetApp):
        return f"/{managed.path}"
    return f"/{managed.account}/{managed.share if isinstance(managed, ManagedFiles) else managed.container}"
