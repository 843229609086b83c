#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: lustre."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lustre
short_description: Create, change, grow or delete an Azure Managed Lustre file system
version_added: 0.2.0
description:
  - Makes an Azure Managed Lustre file system, which takes Azure 10 to 17 minutes, and changes it afterwards as far as
    Azure allows.
  - Tags, O(maintenance_window), O(root_squash) and the version of the key in O(encryption) can be changed.
    O(capacity_tib)
    can grow. Everything else is fixed when the file system is made; other values are refused with all that differs.
  - Only what is given is compared. With O(resource_group) and O(name) alone the module attaches to a file system
    that exists.
  - Before anything is made, size, subnet and containers are checked, because Azure finds such mistakes after a
    quarter of
    an hour. A file system that is half made is an error that says what to do.
options:
  resource_group:
    description: The resource group of the file system.
    type: str
    required: true
  name:
    description: The name of the resource. Clients mount C(/lustrefs) whatever it is.
    type: str
    required: true
  location:
    description: The Azure location. Needed to make the file system.
    type: str
  sku:
    description:
      - The kind, such as C(AMLFS-Durable-Premium-250) with 250 MB/s for each TiB. Needed to make the file system.
      - M(azure_hpc.cluster.lustre_info) lists those of a location with their sizes.
    type: str
  capacity_tib:
    description: The size in TiB. Needed to make the file system; a larger one than it has adds storage.
    type: float
  capacity_rounding:
    description:
      - What to do with a size that the kind does not have. V(none) is an error that names those that there are.
      - V(up) takes the next one, with a warning. Azure by itself would do so in silence.
    type: str
    choices: [none, up]
    default: none
  subnet_id:
    description: The resource id of the subnet, best one of its own. Needed to make the file system.
    type: str
  zone:
    description: The availability zone, best that of the compute nodes.
    type: str
  maintenance_window:
    description: When Azure may update the servers. Friday, 22:00, if a new file system is given none.
    type: dict
    suboptions:
      day:
        description: The day of the week.
        type: str
        choices: [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]
        required: true
      time:
        description: The time of the day in UTC, such as V(22:00).
        type: str
        required: true
  container:
    description:
      - The resource id of a blob container to import from and export to. It can be given to a new file system only.
      - The storage account must have given the principal C(HPC Cache Resource Provider) the roles C(Storage Account
        Contributor) and C(Storage Blob Data Contributor), five minutes before.
    type: str
  logging_container:
    description: The resource id of another container of the same account, for the logs of import and export.
    type: str
  import_prefixes:
    description: What of the container is there from the start; everything if not given.
    type: list
    elements: str
  root_squash:
    description: Whether root of a client is root in the file system.
    type: dict
    suboptions:
      mode:
        description: V(None) squashes nobody, V(RootOnly) root, V(All) everybody.
        type: str
        choices: [None, RootOnly, All]
        required: true
      uid:
        description: The user that the squashed become.
        type: int
      gid:
        description: The group that the squashed become.
        type: int
      except_nids:
        description: Lustre addresses of machines on which nobody is squashed, such as V(10.0.2.4@tcp;10.0.2.[6-8]@tcp).
        type: str
  encryption:
    description:
      - A key of one's own. Whether there is one is decided when the file system is made; its version may change.
    type: dict
    suboptions:
      key_url:
        description: The address of a version of the key.
        type: str
        required: true
      vault_id:
        description: The resource id of the key vault.
        type: str
        required: true
  identities:
    description: Resource ids of user-assigned identities, which may use the key.
    type: list
    elements: str
  confirm:
    description: With O(state=absent), the name of the file system again. Without it nothing is deleted.
    type: str
  wait:
    description:
      - Whether to wait until the file system is there, is gone, has changed.
      - Without it, M(azure_hpc.cluster.lustre_info) says how far it is; see the example.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 3600
  state:
    description: Whether the file system must exist.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - azure-mgmt-storagecache >= 4.0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Ask for 8 TiB with 2 GB/s, and do something else meanwhile
  azure_hpc.cluster.lustre:
    resource_group: demo-rg
    name: demo-scratch
    location: westeurope
    sku: AMLFS-Durable-Premium-250
    capacity_tib: 8
    zone: "1"
    subnet_id: "{{ network.subnet_ids.storage }}"
    maintenance_window: {day: Sunday, time: "03:00"}
    wait: false

- name: See how far it is
  azure_hpc.cluster.lustre_info:
    resource_group: demo-rg
    name: demo-scratch
    wait: 60
  register: scratch
  until: scratch.ready or scratch.problems | length > 0
  retries: 60

- name: Grow it to 16 TiB
  azure_hpc.cluster.lustre:
    resource_group: demo-rg
    name: demo-scratch
    capacity_tib: 16

- name: Delete it with all that is in it
  azure_hpc.cluster.lustre:
    resource_group: demo-rg
    name: demo-scratch
    state: absent
    confirm: demo-scratch
"""

RETURN = r"""
file_system:
  description: The file system, empty when it is gone. In check mode, as far as it is known.
  type: dict
  returned: success
  contains:
    id: {description: The resource id., type: str, returned: always}
    name: {description: The name of the resource., type: str, returned: always}
    location: {description: The Azure location., type: str, returned: always}
    zone: {description: "The availability zone, empty for none.", type: str, returned: always}
    sku: {description: The kind of file system., type: str, returned: always}
    capacity_tib: {description: The size in TiB., type: int, returned: always}
    throughput_mbps: {description: The throughput of all servers together in MB/s., type: int, returned: always}
    subnet_id: {description: The subnet., type: str, returned: always}
    container: {description: "The blob container, empty for none.", type: str, returned: always}
    logging_container: {description: The container of the logs of import and export., type: str, returned: always}
    mgs_address:
      description: The address that clients mount from, empty until it is known.
      type: str
      returned: always
    export: {description: "The name of the file system in Lustre, with a slash.", type: str, returned: always}
    source: {description: "What clients mount, such as C(10.0.3.4@tcp:/lustrefs).", type: str, returned: always}
    mount_command: {description: The command that Azure suggests., type: str, returned: always}
    lustre_version: {description: The version of the servers., type: str, returned: always}
    provisioning_state:
      description: V(Creating), V(Updating), V(Deleting), V(Succeeded), V(Failed) or V(Canceled).
      type: str
      returned: always
    health: {description: What Azure says of the servers., type: str, returned: always}
    tags: {description: The tags., type: dict, returned: always}
    archives:
      description: "What archive jobs have done: path, state, percent, started, ended, error."
      type: list
      elements: dict
      returned: always
    ready: {description: Whether it can be mounted., type: bool, returned: always}
    progress: {description: One line for who waits., type: str, returned: always}
    problems:
      description: What is not as it should be, and what to do about it.
      type: list
      elements: str
      returned: always
"""

import time

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre, lustre_documents
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

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "sku": {"type": "str"},
        "capacity_tib": {"type": "float"},
        "capacity_rounding": {"type": "str", "choices": ["none", "up"], "default": "none"},
        "subnet_id": {"type": "str"},
        "zone": {"type": "str"},
        "maintenance_window": {
            "type": "dict",
            "options": {
                "day": {"type": "str", "choices": DAYS, "required": True},
                "time": {"type": "str", "required": True},
            },
        },
        "container": {"type": "str"},
        "logging_container": {"type": "str"},
        "import_prefixes": {"type": "list", "elements": "str"},
        "root_squash": {
            "type": "dict",
            "options": {
                "mode": {"type": "str", "choices": ["None", "RootOnly", "All"], "required": True},
                "uid": {"type": "int"},
                "gid": {"type": "int"},
                "except_nids": {"type": "str"},
            },
        },
        "encryption": {
            "type": "dict",
            "no_log": False,
            "options": {
                "key_url": {"type": "str", "required": True, "no_log": False},
                "vault_id": {"type": "str", "required": True},
            },
        },
        "identities": {"type": "list", "elements": "str"},
        "confirm": {"type": "str"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        if module.params["state"] == "absent":
            outcome = lustre.remove(session, module.params, module.check_mode)
        else:
            outcome, warnings = lustre.ensure(session, module.params, module.check_mode)
            for warning in warnings:
                module.warn(warning)
        known = outcome.resource(lustre.lustre_id(session, module.params["resource_group"], module.params["name"]))
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            file_system=lustre_documents.summary(known, time.time()) if known else {},
        )


if __name__ == "__main__":
    main()
