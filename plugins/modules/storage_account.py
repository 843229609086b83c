#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: storage_account."""

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_account
short_description: Create, change or delete a storage account with its containers and NFS shares
version_added: 0.1.0
description:
  - Makes a storage account with blob containers, which machines may mount by NFS 3, or with file shares, which they
    mount by NFS 4.1.
  - Nothing in it is public, and it takes TLS 1.2 or newer. It can be reached from everywhere, or only from the networks
    that O(subnets) and O(allowed) name.
  - Only what is given is compared. With O(resource_group) and O(name) alone the module attaches to an account that
    exists. Containers and shares that are not named stay.
options:
  resource_group:
    description: The resource group of the account.
    type: str
    required: true
  name:
    description: The name, 3 to 24 lower-case letters and digits, unique in all of Azure.
    type: str
    required: true
  location:
    description: The Azure location. Needed to make the account.
    type: str
  kind:
    description:
      - V(FileStorage) is for file shares, V(StorageV2) and V(BlockBlobStorage) are for blobs.
      - V(StorageV2), if a new account is given none. It never changes.
    type: str
    choices: [StorageV2, BlockBlobStorage, FileStorage]
  sku:
    description:
      - How it is stored, such as V(Standard_LRS) or V(Premium_ZRS); the cheapest of its kind if a new account is given
        none.
      - It may change between those of V(StorageV2).
    type: str
  hierarchical_namespace:
    description: Whether blobs have real directories. It is decided when the account is made.
    type: bool
  nfs:
    description:
      - Whether containers can be mounted by NFS 3. It is decided when the account is made, and needs
        O(hierarchical_namespace).
    type: bool
  secure_transfer:
    description: Whether only encrypted requests are taken. NFS is not encrypted, so that it is off for what is mounted.
    type: bool
  containers:
    description: Names of blob containers.
    type: list
    elements: str
  shares:
    description: NFS shares, of an account of kind V(FileStorage).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the share.
        type: str
        required: true
      size_gib:
        description: The size in GiB, 100 to 102400, which is what is paid for.
        type: int
        required: true
      root_squash:
        description: Whether root of a client is root on the share.
        type: str
        choices: [NoRootSquash, RootSquash, AllSquash]
        default: NoRootSquash
  subnets:
    description: Resource ids of subnets that reach the account. They need the service endpoint C(Microsoft.Storage).
    type: list
    elements: str
  allowed:
    description: Public IPv4 addresses and prefixes that reach the account.
    type: list
    elements: str
  identities:
    description:
      - Resource ids of user-assigned identities that read and write blobs, as with blobfuse2. One that has neither the
        role C(Storage Blob Data Contributor) nor C(Storage Blob Data Owner) is an error.
    type: list
    elements: str
  grant:
    description: Whether to assign the role C(Storage Blob Data Contributor) to O(identities) that lack it.
    type: bool
    default: false
  shrink:
    description: Whether a share may get smaller. Azure allows that 24 hours after it last grew.
    type: bool
    default: false
  confirm:
    description: With O(state=absent), the name of the account again. Without it nothing is deleted.
    type: str
  state:
    description: Whether the account must exist.
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
- name: Containers to import from and export to
  azure_hpc.cluster.storage_account:
    resource_group: demo-rg
    name: demodata001
    location: westeurope
    hierarchical_namespace: true
    containers: [inputs, results, logs]

- name: An NFS share that only the nodes reach
  azure_hpc.cluster.storage_account:
    resource_group: demo-rg
    name: demofiles001
    location: westeurope
    kind: FileStorage
    shares:
      - {name: apps, size_gib: 256}
    subnets: ["{{ network.subnet_ids.compute }}"]
  register: files

- name: Say what to mount
  ansible.builtin.debug:
    msg: "{{ files.account.shares[0].server }}:{{ files.account.shares[0].export }}"

- name: Delete it with everything in it
  azure_hpc.cluster.storage_account:
    resource_group: demo-rg
    name: demofiles001
    state: absent
    confirm: demofiles001
"""

RETURN = r"""
account:
  description: The account, empty when it is gone. In check mode, as far as it is known.
  type: dict
  returned: success
  contains:
    id: {description: The resource id., type: str, returned: always}
    name: {description: The name., type: str, returned: always}
    location: {description: The Azure location., type: str, returned: always}
    kind: {description: The kind of account., type: str, returned: always}
    sku: {description: How it is stored., type: str, returned: always}
    hierarchical_namespace: {description: Whether blobs have real directories., type: bool, returned: always}
    nfs: {description: Whether containers can be mounted by NFS 3., type: bool, returned: always}
    secure_transfer: {description: Whether only encrypted requests are taken., type: bool, returned: always}
    hosts: {description: "The names of its services: blob, dfs, file.", type: dict, returned: always}
    subnets: {description: Subnets that reach it., type: list, elements: str, returned: always}
    allowed: {description: Public addresses that reach it., type: list, elements: str, returned: always}
    open: {description: Whether everybody reaches it., type: bool, returned: always}
    containers:
      description: "All containers: name, id, and server and export where they can be mounted by NFS."
      type: list
      elements: dict
      returned: always
    shares:
      description: "All shares: name, id, size_gib, protocol, root_squash, and server and export of NFS shares."
      type: list
      elements: dict
      returned: always
    provisioning_state: {description: What Azure says of it., type: str, returned: always}
    tags: {description: The tags., type: dict, returned: always}
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import storage
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

SQUASHES = ["NoRootSquash", "RootSquash", "AllSquash"]
SHARE = {
    "name": {"type": "str", "required": True},
    "size_gib": {"type": "int", "required": True},
    "root_squash": {"type": "str", "choices": SQUASHES, "default": "NoRootSquash"},
}
OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "kind": {"type": "str", "choices": ["StorageV2", "BlockBlobStorage", "FileStorage"]},
        "sku": {"type": "str"},
        "hierarchical_namespace": {"type": "bool"},
        "nfs": {"type": "bool"},
        "secure_transfer": {"type": "bool"},
        "containers": {"type": "list", "elements": "str"},
        "shares": {"type": "list", "elements": "dict", "options": SHARE},
        "subnets": {"type": "list", "elements": "str"},
        "allowed": {"type": "list", "elements": "str"},
        "identities": {"type": "list", "elements": "str"},
        "grant": {"type": "bool", "default": False},
        "shrink": {"type": "bool", "default": False},
        "confirm": {"type": "str"},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = storage.ensure if module.params["state"] == "present" else storage.remove
        outcome = act(session, module.params, module.check_mode)
        wanted = storage.account_id(session, module.params["resource_group"], module.params["name"])
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            account=storage.found(session, outcome.resource(wanted)),
        )


if __name__ == "__main__":
    main()
