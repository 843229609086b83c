"""A valid definition to begin from, and the catalog of its location."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog, VmSize


def definition() -> dict[str, t.Any]:
    """A small valid definition, new each time."""
    return {
        "name": "demo",
        "location": "westeurope",
        "resource_group": "demo-rg",
        "admin": {"ssh_public_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@home"]},
        "network": {
            "address_space": ["10.20.0.0/16"],
            "subnets": {"head": "10.20.0.0/24", "compute": "10.20.16.0/20"},
        },
        "head": {"vm_size": "Standard_D4s_v5", "public_ip": True},
        "login": {"vm_size": "Standard_D4s_v5", "count": 1},
        "scheduler": {"type": "slurm"},
        "node_arrays": [
            {"name": "hpc", "vm_sizes": ["Standard_HB120rs_v3"], "max_nodes": 4, "placement_group": True},
            {
                "name": "htc",
                "vm_sizes": ["Standard_D4s_v5", {"name": "Standard_D8s_v5", "max_nodes": 2}],
                "max_nodes": 5,
            },
        ],
        "partitions": [
            {"name": "hpc", "node_arrays": ["hpc"], "default": True, "options": {"OverSubscribe": "EXCLUSIVE"}},
            {"name": "htc", "node_arrays": ["htc"]},
        ],
        "file_systems": [{"name": "home", "path": "/shared/home", "export": "/export/home"}],
    }


_ZONES = {"zones": ("1", "2", "3"), "restricted_zones": ("3",)}
CATALOG = Catalog(
    "westeurope",
    {
        size.name.lower(): size
        for size in (
            VmSize("Standard_D4s_v5", "standardDSv5Family", 4, 16384, vcpus_per_core=2, price=0.23, **_ZONES),
            VmSize("Standard_D8s_v5", "standardDSv5Family", 8, 32768, vcpus_per_core=2, price=0.46, **_ZONES),
            VmSize("Standard_HB120rs_v3", "standardHBrsv3Family", 120, 458752, rdma=True, price=3.96, spot=False),
            VmSize("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 225280, gpus=1, price=4.8),
            VmSize("Standard_HX176rs", "standardHXFamily", 176, 1441792, restriction="NotAvailableForSubscription"),
        )
    },
)
