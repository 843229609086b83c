# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How file systems are mounted on machines: options that each kind of server wants, and what the kinds beyond NFS and
Lustre need to know: scratch on local disks, containers by blobfuse2, BeeGFS."""

from __future__ import annotations

import posixpath
import typing as t
from dataclasses import dataclass

from . import storage
from .reading import Mistakes, Section

if t.TYPE_CHECKING:
    from .cluster import Cluster, FileSystem

TYPES = ("nfs", "lustre", "local", "blobfuse", "beegfs")
# Only these have a server, whose name or address the definition gives.
SERVED = ("nfs", "lustre", "beegfs")
# Servers of these wait for clients that vanish, and clients may hold what is not written yet.
WANTS_NOTICE = ("lustre", "blobfuse", "beegfs")
DISKS = ("any", "nvme", "temporary")
FORMATS = ("xfs", "ext4")
PATH = r"/[A-Za-z0-9_.@+-]+(?:/[A-Za-z0-9_.@+-]+)*"
_IDENTITY = (
    r"(?i:/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/)[^/\s]+"
)

OPTIONS: t.Mapping[str, str] = {
    "nfs": "nfsvers=4.2,hard,noatime",
    # MPI-IO and databases lock files: flock makes that hold on all machines.
    "lustre": "noatime,flock",
    "local": "noatime",
    "blobfuse": "allow_other",
    "beegfs": "rw,relatime",
}
"""The mount options of each type; what Azure serves by NFS has its own, see `storage`."""


@dataclass(frozen=True)
class LocalDisks:
    """Scratch on disks of the machine itself: ``disks`` are its NVMe disks (nvme), its temporary disk, or any, which is
    NVMe disks if there are some; several become a stripe (RAID 0). ``missing``: without such disks fail or skip."""

    disks: str = "any"
    format: str = "xfs"
    missing: str = "fail"


@dataclass(frozen=True)
class Blobfuse:
    """How blobfuse2 gets at a container: with the user-assigned identity of that resource id. ``cache`` is a local
    directory, which may take ``cache_mib`` MiB (0: as much as blobfuse2 likes); ``endpoint`` where the account is not
    reached by its usual name; ``hierarchical`` for accounts with that namespace."""

    identity: str
    cache: str
    cache_mib: int = 0
    endpoint: str = ""
    hierarchical: bool = False


@dataclass(frozen=True)
class Beegfs:
    """The client of a BeeGFS ``version`` such as 8.2. ``auth_file`` is the file of the shared secret on the controller,
    '' for a file system without."""

    version: str
    auth_file: str = ""
    port: int = 8008


def read_local(section: Section) -> LocalDisks:
    """``local`` of a file system."""
    usual = LocalDisks()
    return LocalDisks(
        disks=section.text("disks", usual.disks, choices=DISKS),
        format=section.text("format", usual.format, choices=FORMATS),
        missing=section.text("missing", usual.missing, choices=("fail", "skip")),
    )


def read_blobfuse(section: Section, name: str) -> Blobfuse:
    """``blobfuse`` of a file system; ``name`` names its cache if the section does not say."""
    return Blobfuse(
        identity=section.text(
            "identity", pattern=_IDENTITY, rule="must be the resource id of a user-assigned identity"
        ),
        cache=section.text("cache", f"/var/cache/blobfuse/{name}", PATH, "must be an absolute path"),
        cache_mib=section.number("cache_mib", 0, high=2**30),
        endpoint=section.text(
            "endpoint", "", r"https://[A-Za-z0-9.-]+(?::\d{1,5})?/?", "must be the URL of the account's blob service"
        ),
        hierarchical=section.flag("hierarchical", False),
    )


def read_beegfs(section: Section) -> Beegfs:
    """``beegfs`` of a file system."""
    return Beegfs(
        version=section.text(
            "version", pattern=r"8\.\d{1,2}(?:\.\d{1,2})?", rule='must be a release of BeeGFS 8 as a text: "8.2"'
        ),
        auth_file=section.text("auth_file", "", r"[^\x00-\x1f]+", "must be a file on the controller"),
        port=section.number("port", 8008, low=1, high=65535),
    )


def read_sections(section: Section, type_: str, name: str) -> dict[str, t.Any]:
    """The part of a file system that belongs to its type, as fields of `FileSystem`."""
    readers: dict[str, tuple[tuple[str, ...], t.Callable[[Section], t.Any]]] = {
        "local": (("disks", "format", "missing"), read_local),
        "blobfuse": (
            ("identity", "cache", "cache_mib", "endpoint", "hierarchical"),
            lambda one: read_blobfuse(one, name),
        ),
        "beegfs": (("version", "auth_file", "port"), read_beegfs),
    }
    found: dict[str, t.Any] = {}
    for key, (keys, reader) in readers.items():
        if key == type_:
            found[key] = reader(section.section(key, keys, required=key != "local"))
        elif section.has(key):
            section.wrong(key, f"is for file systems of type {key}")
    for key, pattern, rule in (
        ("account", storage.ACCOUNT, storage.ACCOUNT_RULE),
        ("container", storage.PART, storage.PART_RULE),
    ):
        if type_ == "blobfuse":
            found[key] = section.text(key, pattern=pattern, rule=rule)
        elif section.has(key):
            section.wrong(key, "is for file systems of type blobfuse")
    if type_ and type_ not in SERVED:
        for key in ("server", "export"):
            if section.has(key):
                section.wrong(key, f"has no meaning for a file system of type {type_}")
    return found


def cross_check(mistakes: Mistakes, cluster: Cluster) -> None:
    """Rules between file systems of these types and the rest of the definition."""
    for index, system in enumerate(cluster.file_systems):
        path = f"file_systems[{index}]"
        if system.type == "beegfs" and system.server == "head":
            mistakes.add(f"{path}.server", "is missing: the host of the BeeGFS management service")
        if system.type in ("blobfuse", "beegfs") and not cluster.image.bake and not cluster.image.id:
            message = f"must be true, or id given: no stock image has the client for {system.name}"
            mistakes.add("image.bake", message)
        if system.blobfuse is not None:
            _hierarchy(mistakes, f"{path}.blobfuse.hierarchical", system, cluster)
        if system.type == "local":
            _local(mistakes, path, system, cluster.file_systems)
    if sum(system.type == "local" for system in cluster.file_systems) > 1:
        mistakes.add("file_systems", "only one can be of type local: it takes all local disks of its kind")
    versions = {system.beegfs.version for system in cluster.file_systems if system.beegfs is not None}
    if len(versions) > 1:
        mistakes.add("file_systems", f"a machine has one BeeGFS client, not {' and '.join(sorted(versions))}")


def _local(mistakes: Mistakes, path: str, system: FileSystem, others: t.Iterable[FileSystem]) -> None:
    for other in others:
        above = posixpath.normpath(other.path) if other.path else ""
        if other is not system and above and posixpath.normpath(system.path).startswith(above + "/"):
            mistakes.add(f"{path}.path", f"is below {above}, which may not be there when local disks are mounted")


def _hierarchy(mistakes: Mistakes, path: str, system: FileSystem, cluster: Cluster) -> None:
    """What the definition says of the account twice must be the same."""
    for account in cluster.storage_accounts:
        told = system.blobfuse is not None and system.blobfuse.hierarchical
        if account.name == system.account and account.hierarchical_namespace != told:
            has = "has a" if account.hierarchical_namespace else "has no"
            mistakes.add(path, f"must be {str(not told).lower()}: account {account.name} {has} hierarchical namespace")
