# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a cluster to the options of the modules that make its storage. Pure: ids are derived, nothing is asked."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage, storage_rules
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.storage import (
    ManagedBlob,
    ManagedFiles,
    ManagedNetApp,
    StorageAccount,
)

Json = dict[str, t.Any]


class StorageParameters:
    """``subnet_id`` makes the id of a subnet of its name, ``tags`` are those of everything that stores."""

    def __init__(self, cluster: Cluster, subnet_id: t.Callable[[str], str], tags: t.Mapping[str, str]) -> None:
        self._cluster, self._subnet_id, self._tags = cluster, subnet_id, tags

    def everything(self) -> Json:
        """``accounts`` are options of storage_account, ``volumes`` of netapp_volume with the name of their
        ``file_system`` and whether it is the cluster's ``own``; ``mounts`` tells which part of which account a file
        system mounts.
        """
        return {
            "accounts": [self._account(one) for one in self._cluster.storage_accounts],
            "volumes": [
                self._volume(system.name, system.managed)
                for system in self._cluster.file_systems
                if isinstance(system.managed, ManagedNetApp)
            ],
            "mounts": [
                self._mount(system.name, system.managed)
                for system in self._cluster.file_systems
                if isinstance(system.managed, (ManagedFiles, ManagedBlob))
            ],
        }

    def _account(self, account: StorageAccount) -> Json:
        subnets = storage_rules.subnets_of(self._cluster, account)
        identities = storage_rules.identities_of(self._cluster, account)
        shares = storage_rules.shares_of(self._cluster, account)
        containers = storage_rules.containers_of(self._cluster, account)
        optional: Json = {
            "containers": list(containers),
            "shares": [dataclasses.asdict(share) for share in shares],
            "identities": list(identities),
        }
        return {
            "resource_group": self._cluster.resource_group,
            "name": account.name,
            "location": self._cluster.location,
            "kind": account.kind,
            "sku": account.sku,
            "hierarchical_namespace": account.hierarchical_namespace,
            "nfs": account.nfs,
            "secure_transfer": account.secure_transfer,
            "subnets": [self._subnet_id(name) for name in subnets],
            "allowed": list(account.allowed),
            **{key: value for key, value in optional.items() if value},
            "grant": account.grant,
            "tags": {**self._tags, **account.tags},
        }

    def _volume(self, name: str, volume: ManagedNetApp) -> Json:
        group = storage.group_of(volume.id) or self._cluster.resource_group
        place = {"resource_group": group, "account": volume.account, "pool": volume.pool, "name": volume.name}
        if volume.id:
            return {"file_system": name, "own": False, **place}
        cidrs = {subnet.name: subnet.cidr for subnet in self._cluster.network.subnets}
        optional: Json = {
            "pool_throughput": volume.pool_throughput,
            "throughput": volume.throughput,
            "zone": volume.zone,
        }
        return {
            "file_system": name,
            "own": True,
            **place,
            "location": self._cluster.location,
            "size_gib": volume.size_gib,
            "service_level": volume.service_level,
            "pool_tib": storage_rules.pool_size(self._cluster, volume),
            "subnet_id": self._subnet_id(volume.subnet),
            "protocol": volume.protocol,
            "path": volume.path,
            "root_access": volume.root_access,
            "clients": [cidrs[one] for one in storage_rules.machine_subnets(self._cluster)],
            **{key: value for key, value in optional.items() if value},
            "tags": {**self._tags, **volume.tags},
        }

    def _mount(self, name: str, managed: ManagedFiles | ManagedBlob) -> Json:
        files = isinstance(managed, ManagedFiles)
        return {
            "file_system": name,
            "resource_group": storage.group_of(managed.id) or self._cluster.resource_group,
            "account": managed.account,
            "part": "shares" if files else "containers",
            "name": managed.share if isinstance(managed, ManagedFiles) else managed.container,
        }
