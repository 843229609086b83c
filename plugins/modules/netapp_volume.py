#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: netapp_volume."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netapp_volume
short_description: Create, change or delete an NFS volume of Azure NetApp Files
version_added: 0.1.0
description:
  - Makes a volume, with the NetApp account and the capacity pool that it is in, if these do not exist.
  - Size, throughput, permissions and who may mount it change in place; the pool grows and shrinks. Everything else is
    fixed when the volume is made; other values are refused with all that differs.
  - Only what is given is compared. With the names alone the module attaches to a volume that exists.
  - Sizes, the quota of the region and the subnet are checked before anything is made.
options:
  resource_group:
    description: The resource group of account, pool and volume.
    type: str
    required: true
  account:
    description: The name of the NetApp account.
    type: str
    required: true
  pool:
    description: The name of the capacity pool.
    type: str
    required: true
  name:
    description: The name of the volume.
    type: str
    required: true
  location:
    description: The Azure location. Needed to make the volume.
    type: str
  size_gib:
    description: The size of the volume in GiB, 50 to 102400. Needed to make it.
    type: int
  service_level:
    description:
      - What a new pool gives, V(Premium) if it is given none. V(Standard) has 16 MiB/s for each TiB of a volume,
        V(Premium) 64, V(Ultra) 128. Of V(Flexible), pool and volumes are given their throughput.
    type: str
    choices: [Standard, Premium, Ultra, Flexible]
  pool_tib:
    description:
      - The size of the pool in TiB, 1 to 2048, which is what is paid for.
      - What its volumes need, if a new pool is given none.
    type: int
  pool_throughput:
    description: The throughput in MiB/s of a pool of service level V(Flexible), 128 to 640 for each TiB.
    type: int
  throughput:
    description: The throughput in MiB/s of a volume in a pool of service level V(Flexible).
    type: int
  subnet_id:
    description: The resource id of a subnet that is delegated to C(Microsoft.Netapp/volumes). Needed to make it.
    type: str
  protocol:
    description: What clients speak. V(NFSv3), if a new volume is given none.
    type: str
    choices: [NFSv3, NFSv4.1]
  path:
    description:
      - What clients mount, in letters, digits and hyphens, without a slash.
      - The name, if a new volume is given none.
    type: str
  zone:
    description: The availability zone, best that of the compute nodes.
    type: str
  permissions:
    description: The mode of the directory, four octal digits. C(0755), if a new volume is given none.
    type: str
  clients:
    description: IPv4 prefixes that may mount the volume; all if it is given none.
    type: list
    elements: str
  root_access:
    description: Whether root of a client is root in the volume.
    type: bool
  shrink:
    description: Whether the volume may get smaller. What is in it may not fit any more.
    type: bool
    default: false
  prune:
    description: With O(state=absent), whether the pool and the account go, too, if nothing else is in them.
    type: bool
    default: false
  confirm:
    description: With O(state=absent), the name of the volume again. Without it nothing is deleted.
    type: str
  wait:
    description:
      - Whether to wait until the volume is there, is gone, has changed.
      - Account and pool are waited for anyway.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for a volume that somebody else has begun to make.
    type: int
    default: 1800
  state:
    description: Whether the volume must exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Two TiB with 128 MiB/s
  azure_hpc.cluster.netapp_volume:
    resource_group: demo-rg
    account: demo-netapp
    pool: demo-premium
    name: projects
    location: westeurope
    service_level: Premium
    size_gib: 2048
    subnet_id: "{{ network.subnet_ids.netapp }}"
  register: projects

- name: Say what to mount
  ansible.builtin.debug:
    msg: "{{ projects.volume.source }}"

- name: Grow it, and the pool with it
  azure_hpc.cluster.netapp_volume:
    resource_group: demo-rg
    account: demo-netapp
    pool: demo-premium
    name: projects
    size_gib: 4096
    pool_tib: 4

- name: Delete it with all that is in it, and what it was in
  azure_hpc.cluster.netapp_volume:
    resource_group: demo-rg
    account: demo-netapp
    pool: demo-premium
    name: projects
    state: absent
    confirm: projects
    prune: true
"""

RETURN = r"""
volume:
  description: The volume, empty when it is gone. In check mode, as far as it is known.
  type: dict
  returned: success
  contains:
    id: {description: The resource id., type: str, returned: always}
    name: {description: The name of the volume., type: str, returned: always}
    account: {description: The NetApp account., type: str, returned: always}
    pool: {description: The capacity pool., type: str, returned: always}
    location: {description: The Azure location., type: str, returned: always}
    zone: {description: "The availability zone, empty for none.", type: str, returned: always}
    size_gib: {description: The size in GiB., type: int, returned: always}
    service_level: {description: The service level., type: str, returned: always}
    pool_tib: {description: The size of the pool in TiB., type: int, returned: always}
    throughput: {description: The throughput in MiB/s., type: float, returned: always}
    protocol: {description: What clients speak., type: str, returned: always}
    subnet_id: {description: The subnet., type: str, returned: always}
    server: {description: "The address that clients mount from, empty until it is known.", type: str, returned: always}
    export: {description: The path that clients mount., type: str, returned: always}
    source: {description: "What clients mount, such as C(10.0.5.4:/projects).", type: str, returned: always}
    provisioning_state: {description: What Azure says of it., type: str, returned: always}
    tags: {description: The tags., type: dict, returned: always}
    ready: {description: Whether it can be mounted., type: bool, returned: always}
    problems:
      description: What is not as it should be, and what to do about it.
      type: list
      elements: str
      returned: always
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import netapp
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    TAGS,
    Arguments,
    build,
    failures_reported,
    finish,
    state,
)

OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "account": {"type": "str", "required": True},
        "pool": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "size_gib": {"type": "int"},
        "service_level": {"type": "str", "choices": ["Standard", "Premium", "Ultra", "Flexible"]},
        "pool_tib": {"type": "int"},
        "pool_throughput": {"type": "int"},
        "throughput": {"type": "int"},
        "subnet_id": {"type": "str"},
        "protocol": {"type": "str", "choices": ["NFSv3", "NFSv4.1"]},
        "path": {"type": "str"},
        "zone": {"type": "str"},
        "permissions": {"type": "str"},
        "clients": {"type": "list", "elements": "str"},
        "root_access": {"type": "bool"},
        "shrink": {"type": "bool", "default": False},
        "prune": {"type": "bool", "default": False},
        "confirm": {"type": "str"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 1800},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = netapp.ensure if module.params["state"] == "present" else netapp.remove
        outcome = act(session, module.params, module.check_mode)
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            volume=netapp.found(session, module.params, outcome),
        )


if __name__ == "__main__":
    main()
