# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a cluster to the options of the modules that build it. Pure: ids are derived, nothing is asked."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.catalog import FACTS_TAG, facts_tag
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.storage_parameters import StorageParameters
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage, storage_rules
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster, Machine
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, ScaleSetSpec
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre import ManagedLustre, container_id
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre_definition import parts_of
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.monitoring import (
    MACHINES,
    SCALE_SETS,
    Monitoring,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.mounting import WANTS_NOTICE

Json = dict[str, t.Any]
# Minutes, Azure's least. A machine that has left its file systems says so and is deleted at once.
TERMINATE_NOTICE = 5


class Parameters:
    """The options of every module for one cluster, ready to be given to them."""

    def __init__(self, cluster: Cluster, layout: Layout, catalog: Catalog, subscription_id: str) -> None:
        self._cluster = cluster
        self._layout = layout
        self._catalog = catalog
        self._subscription = subscription_id

    def everything(self) -> Json:
        """One dictionary of options per module (for machines and scale sets a list of them)."""
        return {
            "resource_group": self.resource_group(),
            "network": self.network(),
            "image": self.image(),
            "head": self.head(),
            "login": self.login(),
            "storage": StorageParameters(self._cluster, self._subnet, self.tags("storage")).everything(),
            "lustre": self.lustre(),
            "scale_sets": self.scale_sets(),
            "monitoring": self.monitoring(),
        }

    def tags(self, role: str) -> dict[str, str]:
        """The tags of a resource with a role."""
        return {
            **self._cluster.tags,
            "hpc-cluster": self._cluster.name,
            "hpc-role": role,
            "hpc-scheduler": self._cluster.scheduler.type,
        }

    def resource_group(self) -> Json:
        """Options of the module resource_group."""
        cluster = self._cluster
        tags = {**cluster.tags, "hpc-cluster": cluster.name}
        return {"name": cluster.resource_group, "location": cluster.location, "tags": tags}

    def network(self) -> Json:
        """Options of the module network. Only the subnets of the head and the login nodes are open to ssh_from."""
        cluster, network = self._cluster, self._cluster.network
        front = {cluster.head.subnet, *([cluster.login.subnet] if cluster.login else [])}
        netapp, endpoints = storage_rules.delegated(cluster), storage_rules.endpoints(cluster)
        return {
            **self._place(network.name),
            "address_space": list(network.address_space),
            "subnets": [
                {
                    "name": subnet.name,
                    "cidr": subnet.cidr,
                    # In the subnet of a service are no machines that would want a way out.
                    "nat_gateway": network.nat_gateway and subnet.name not in netapp,
                    "ssh": subnet.name in front,
                    "security_group": f"{cluster.name}-{subnet.name}-nsg",
                    **({"service_endpoints": [storage.ENDPOINT]} if subnet.name in endpoints else {}),
                    **({"delegation": storage.DELEGATION} if subnet.name in netapp else {}),
                }
                for subnet in network.subnets
            ],
            "nat_gateway": {"name": f"{cluster.name}-nat", "public_ip_name": f"{cluster.name}-nat-ip"},
            "ssh_from": list(network.ssh_from),
            "tags": self.tags("network"),
        }

    def image(self) -> Json:
        """Options of the module image, and of the machine (``build``) that it is captured from.

        ``id`` is where machines boot from, '' if from the stock image; ``bake`` whether it is ours to make.
        """
        cluster, image = self._cluster, self._cluster.image
        build = Machine(image.build_size or cluster.head.vm_size, subnet=cluster.head.subnet, public_ip=True)
        machine = {**self._machine(f"{cluster.name}-image", "image", build), "image": dict(image.source)}
        return {
            "name": image.name,
            "resource_group": image.resource_group or cluster.resource_group,
            "location": cluster.location,
            "id": self.image_id(),
            "bake": bool(image.bake and not image.id),
            "source": machine["name"],
            "source_resource_group": cluster.resource_group,
            "build": machine,
            "tags": self.tags("image"),
        }

    def image_id(self) -> str:
        """The id of the image that machines boot from: a given one, or the baked one; '' for the stock image."""
        image = self._cluster.image
        if image.id or not image.bake:
            return image.id
        group = image.resource_group or self._cluster.resource_group
        return self._id(group, "Microsoft.Compute/images", image.name)

    def head(self) -> Json:
        """Options of the module machine for the head node."""
        return self._machine(f"{self._cluster.name}-head", "head", self._cluster.head)

    def login(self) -> list[Json]:
        """Options of the module machine for each login node."""
        login = self._cluster.login
        count = login.count if login else 0
        name = self._cluster.name
        return [self._machine(f"{name}-login-{one}", "login", login) for one in range(1, count + 1) if login]

    def lustre(self) -> list[Json]:
        """Options of the module lustre for each managed file system, by the name that it has in the definition
        (``file_system``); for one that is only used, where it is.
        """
        managed = [
            (system.name, system.managed)
            for system in self._cluster.file_systems
            if isinstance(system.managed, ManagedLustre)
        ]
        return [
            {"file_system": name, "own": not one.id, **(self._used(one) if one.id else self._made(one))}
            for name, one in managed
        ]

    @staticmethod
    def _used(lustre: ManagedLustre) -> Json:
        group, name = parts_of(lustre.id)
        return {"resource_group": group, "name": name}

    def _made(self, lustre: ManagedLustre) -> Json:
        group = f"/subscriptions/{self._subscription}/resourceGroups/{self._cluster.resource_group}"
        squash, own_key = lustre.root_squash, {"key_url": lustre.encryption_key, "vault_id": lustre.key_vault}
        optional: Json = {
            "zone": lustre.zone,
            "container": container_id(lustre.container, group),
            "logging_container": container_id(lustre.logging_container, group),
            "import_prefixes": list(lustre.import_prefixes),
            "root_squash": dataclasses.asdict(squash) if squash else None,
            "encryption": own_key if lustre.encryption_key else None,
            "identities": list(lustre.identities),
        }
        return {
            **self._place(lustre.name),
            "sku": lustre.sku,
            "capacity_tib": lustre.capacity_tib,
            "subnet_id": self._subnet(lustre.subnet),
            "maintenance_window": {"day": lustre.maintenance_day, "time": lustre.maintenance_time},
            **{key: value for key, value in optional.items() if value},
            "tags": {**self.tags("storage"), **lustre.tags},
        }

    def scale_sets(self) -> list[Json]:
        """Options of the module scale_set for each scale set. ``custom_data`` is for the playbook to add."""
        return [self._scale_set(spec) for spec in self._layout.scale_sets]

    def _scale_set(self, spec: ScaleSetSpec) -> Json:
        return {
            **self._place(spec.name),
            "vm_size": spec.vm_size,
            "image": {"id": spec.image} if spec.image else self._image(),
            "subnet_id": self._subnet(spec.subnet),
            **self._account(),
            "computer_name_prefix": spec.computer_name_prefix,
            "priority": spec.priority,
            "max_price": spec.max_price,
            "zones": [spec.zone] if spec.zone else [],
            "single_placement_group": spec.single_placement_group,
            "accelerated_networking": self._accelerated(spec.vm_size),
            "os_disk_gib": spec.os_disk_gib,
            "os_disk_type": self._disk(spec.vm_size),
            "system_identity": self._agent(),
            "identities": self._identities(),
            "terminate_notice": TERMINATE_NOTICE if self._leaves() else 0,
            "tags": {**spec.tags, **self._facts(spec.vm_size), "hpc-scheduler": self._cluster.scheduler.type},
        }

    def monitoring(self) -> Json:
        """Options of the module monitoring, and whether there is anything for it to make (``azure``); ``webhooks`` are
        names.
        """
        found = self._cluster.monitoring or Monitoring()
        made = dataclasses.asdict(found.log_analytics) if found.log_analytics else {}
        group = self._cluster.resource_group
        machines = [("head", self.head()), *(("login", one) for one in self.login())]
        watched = [(role, self._id(group, MACHINES, one["name"])) for role, one in machines]
        watched += [("compute", self._id(group, SCALE_SETS, spec.name)) for spec in self._layout.scale_sets]
        return {
            **self._place(self._cluster.name),
            "azure": bool(found.log_analytics or found.alerts),
            "workspace": {"id": made["id"]} if made.get("id") else {k: v for k, v in made.items() if k != "id"},
            "agent": found.agent,
            "targets": [{"id": one, "role": role} for role, one in watched],
            "alerts": [{**dataclasses.asdict(one), "machines": list(one.machines)} for one in found.alerts],
            "emails": list(found.action_group.emails),
            "webhooks": list(found.action_group.webhooks),
            "tags": self.tags("monitoring"),
        }

    def _identities(self) -> list[str]:
        """The identities that machines need to get at blobs."""
        found = (system.blobfuse.identity for system in self._cluster.file_systems if system.blobfuse is not None)
        return list(dict.fromkeys(found))

    def _leaves(self) -> bool:
        return any(system.type in WANTS_NOTICE for system in self._cluster.file_systems)

    def _agent(self) -> bool:
        return bool(self._cluster.monitoring and self._cluster.monitoring.agent)

    def _facts(self, name: str) -> dict[str, str]:
        size = self._catalog.size(name)
        return {FACTS_TAG: facts_tag(size)} if size else {}

    def _machine(self, name: str, role: str, machine: Machine) -> Json:
        return {
            **self._place(name),
            "vm_size": machine.vm_size,
            "image": self._image(),
            "subnet_id": self._subnet(machine.subnet),
            "public_ip": machine.public_ip,
            "accelerated_networking": self._accelerated(machine.vm_size),
            **self._account(),
            "os_disk_gib": machine.os_disk_gib,
            "os_disk_type": self._disk(machine.vm_size),
            "system_identity": self._agent() and role != "image",
            "identities": self._identities() if role != "image" else [],
            "tags": self.tags(role),
        }

    def _place(self, name: str) -> Json:
        return {
            "resource_group": self._cluster.resource_group,
            "name": name,
            "location": self._cluster.location,
        }

    def _account(self) -> Json:
        admin = self._cluster.admin
        return {"admin_username": admin.username, "ssh_public_keys": list(admin.ssh_public_keys)}

    def _image(self) -> Json:
        found = self.image_id()
        return {"id": found} if found else dict(self._cluster.image.source)

    def _accelerated(self, name: str) -> bool:
        size = self._catalog.size(name)
        return bool(size and size.accelerated_networking)

    def _disk(self, name: str) -> str:
        """The best disk to boot from that a size takes: Azure refuses machines with a better one."""
        size = self._catalog.size(name)
        return "StandardSSD_LRS" if size and not size.premium_disks else "Premium_LRS"

    def _subnet(self, name: str) -> str:
        network = self._cluster.network.name
        group = self._cluster.resource_group
        return f"{self._id(group, 'Microsoft.Network/virtualNetworks', network)}/subnets/{name}"

    def _id(self, group: str, kind: str, name: str) -> str:
        return f"/subscriptions/{self._subscription}/resourceGroups/{group}/providers/{kind}/{name}"


def quota_needed(cluster: Cluster, layout: Layout, catalog: Catalog) -> list[Json]:
    """What the cluster needs of each quota when every array is full, and what there is. Pure.

    Rows: name, needed (vCPUs), limit, used, enough. A cluster that does not fit is no mistake: it grows while it can.
    """
    needed: dict[str, int] = {}
    machines = [cluster.head, *([cluster.login] if cluster.login else [])]
    amounts = [(machine.vm_size, machine.count, "regular") for machine in machines]
    amounts += [(spec.vm_size, spec.max_capacity, spec.priority) for spec in _largest(layout)]
    for name, count, priority in amounts:
        size = catalog.size(name)
        if size is None:
            continue
        for quota in ("lowprioritycores",) if priority == "spot" else ("cores", size.family.lower()):
            needed[quota] = needed.get(quota, 0) + size.vcpus * count
    rows = []
    for key, amount in sorted(needed.items()):
        quota_ = catalog.quotas.get(key)
        if quota_ is not None:
            enough = amount <= quota_.limit
            rows.append(
                {"name": quota_.name, "needed": amount, "limit": quota_.limit, "used": quota_.used, "enough": enough}
            )
    return rows


def _largest(layout: Layout) -> list[ScaleSetSpec]:
    """One scale set per zone group: zones are alternatives, not additions."""
    seen: dict[tuple[str, str, int], ScaleSetSpec] = {}
    for spec in layout.scale_sets:
        seen.setdefault((spec.node_array, spec.vm_size, spec.placement_group), spec)
    return list(seen.values())
