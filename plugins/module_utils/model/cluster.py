# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster should be: the values that a cluster definition becomes once it is valid."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .lustre import ManagedLustre
from .monitoring import Monitoring
from .mounting import Beegfs, Blobfuse, LocalDisks
from .storage import ManagedBlob, ManagedFiles, ManagedNetApp, StorageAccount
from .users import Group, User


@dataclass(frozen=True)
class Subnet:
    """One subnet. ``cidr`` is an IPv4 prefix such as ``10.20.0.0/24``."""

    name: str
    cidr: str


@dataclass(frozen=True)
class Network:
    """The virtual network of a cluster; ``ssh_from`` are the prefixes that may reach public addresses on port 22."""

    name: str
    address_space: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    nat_gateway: bool = True
    ssh_from: tuple[str, ...] = ()

    def subnet(self, name: str) -> Subnet:
        """The subnet of that name; raises KeyError."""
        return {subnet.name: subnet for subnet in self.subnets}[name]


@dataclass(frozen=True)
class Image:
    """Where machines boot from.

    ``source`` is the stock image (publisher, offer, sku, version). With ``bake`` the ``image`` playbook makes
    ``name`` in ``resource_group`` from it; ``id`` names an image that exists already and wins over both.
    """

    source: t.Mapping[str, str] = field(default_factory=dict)
    bake: bool = False
    name: str = ""
    resource_group: str = ""
    build_size: str = ""
    id: str = ""


@dataclass(frozen=True)
class Admin:
    """The account that Ansible uses on every machine."""

    username: str
    ssh_public_keys: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """The head node or the login nodes: ``count`` alike machines with fixed life."""

    vm_size: str
    count: int = 1
    subnet: str = "head"
    public_ip: bool = False
    os_disk_gib: int = 64


@dataclass(frozen=True)
class SizeChoice:
    """One VM size that a node array may use, and how many nodes of it at most."""

    name: str
    max_nodes: int


@dataclass(frozen=True)
class NodeArray:
    """A named set of alike compute nodes.

    ``vm_sizes`` are in order of preference; ``max_nodes`` and ``max_vcpus`` (0: no limit) hold for the whole array.
    ``zones`` empty means regional. ``placement_group`` puts nodes into scale sets of at most 100 with
    ``singlePlacementGroup`` (InfiniBand). ``max_price`` (USD/hour, -1: up to the regular price) is for spot.
    There are never fewer than ``min_nodes``, and ``warm_nodes`` wait without a job beyond those that jobs need. An idle
    node goes after ``idle_timeout`` seconds (0: as `AutoscalePolicy` has it), never with ``keep_alive``; these three
    are for schedulers other than Slurm, whose own options say the same.
    """

    name: str
    vm_sizes: tuple[SizeChoice, ...]
    max_nodes: int
    min_nodes: int = 0
    warm_nodes: int = 0
    max_vcpus: int = 0
    idle_timeout: int = 0
    keep_alive: bool = False
    priority: str = "regular"
    max_price: float = -1.0
    zones: tuple[str, ...] = ()
    placement_group: bool = False
    subnet: str = "compute"
    os_disk_gib: int = 0
    image: str = ""
    features: tuple[str, ...] = ()
    node_options: t.Mapping[str, t.Any] = field(default_factory=dict)
    tags: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Partition:
    """A Slurm partition, or a queue of another scheduler, over the nodes of some node arrays.

    ``options`` are the scheduler's own, as they are (for Slurm they go to its line in slurm.conf).
    """

    name: str
    node_arrays: tuple[str, ...]
    default: bool = False
    options: t.Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileSystem:
    """``export`` on ``server`` (``head``, a host name, an address) is mounted at ``path``.

    ``type`` is nfs, lustre, local, blobfuse or beegfs. Of type lustre and beegfs, ``server`` is the management server;
    that of a ``managed`` one is known when Azure has made it. Local disks and blobs (``account``, ``container``) have
    no server and no export.
    """

    name: str
    path: str
    export: str
    server: str = "head"
    type: str = "nfs"
    options: str = ""
    managed: t.Union[ManagedLustre, ManagedNetApp, ManagedFiles, ManagedBlob, None] = None
    account: str = ""
    container: str = ""
    local: t.Optional[LocalDisks] = None
    blobfuse: t.Optional[Blobfuse] = None
    beegfs: t.Optional[Beegfs] = None


@dataclass(frozen=True)
class Budget:
    """What compute nodes may cost in USD, by list prices: in every hour, and since the month began; 0: no limit."""

    per_hour: float = 0.0
    per_month: float = 0.0


@dataclass(frozen=True)
class AutoscalePolicy:
    """How passes behave; times are in seconds.

    A node is powered down after ``idle_timeout`` without a job, replaced when it has not joined ``boot_timeout``
    after its machine was asked for, given up after ``resume_timeout``. ``orphan_grace`` is how old a machine that no
    node claims may get. A failed allocation makes its scale set unavailable for ``backoff_min`` to ``backoff_max``.
    Over all node arrays there are at most ``max_nodes`` nodes with ``max_vcpus`` vCPUs, at most ``grow_per_minute`` are
    asked for in a minute and ``shrink_at_once`` are being deleted at a time (0: no limit). When more than
    ``brake_percent`` of the nodes that should be up do not answer, nothing is deleted or bought for their sake.
    """

    idle_timeout: int = 300
    boot_timeout: int = 900
    resume_timeout: int = 1800
    suspend_timeout: int = 120
    orphan_grace: int = 300
    backoff_min: int = 300
    backoff_max: int = 3600
    max_nodes: int = 0
    max_vcpus: int = 0
    grow_per_minute: int = 0
    shrink_at_once: int = 0
    brake_percent: int = 40
    budget: Budget = field(default_factory=Budget)
    decision_log: str = ""


@dataclass(frozen=True)
class Scheduler:
    """``type`` is one of the known schedulers, ``options`` what the definition says to it, under the keys that
    `kinds` has for its type; options of configuration files win over the role's own."""

    type: str
    options: t.Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """A whole valid cluster definition."""

    name: str
    location: str
    resource_group: str
    network: Network
    admin: Admin
    head: Machine
    scheduler: Scheduler
    node_arrays: tuple[NodeArray, ...]
    partitions: tuple[Partition, ...]
    login: t.Optional[Machine] = None
    image: Image = field(default_factory=Image)
    file_systems: tuple[FileSystem, ...] = ()
    storage_accounts: tuple[StorageAccount, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    autoscale: AutoscalePolicy = field(default_factory=AutoscalePolicy)
    monitoring: t.Optional[Monitoring] = None
    tags: t.Mapping[str, str] = field(default_factory=dict)

    def array(self, name: str) -> NodeArray:
        """The node array of that name; raises KeyError."""
        return {array.name: array for array in self.node_arrays}[name]
