#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: storage_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_info
short_description: Look at the storage accounts and NetApp volumes of a resource group
version_added: 0.1.0
description:
  - Lists storage accounts with their containers and shares, and volumes of Azure NetApp Files, with what machines
    mount.
  - What does not exist is not in the lists, and no error.
options:
  resource_group:
    description: The resource group.
    type: str
    required: true
  accounts:
    description: Names of storage accounts, if not all of the group.
    type: list
    elements: str
  volumes:
    description: Volumes as C(ACCOUNT/POOL/VOLUME), if not all of the group.
    type: list
    elements: str
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.attributes.info
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: See what there is
  azure_hpc.cluster.storage_info:
    resource_group: demo-rg
  register: storage

- name: Say what of it can be mounted
  ansible.builtin.debug:
    msg: "{{ storage.volumes | map(attribute='source') }}"
"""

RETURN = r"""
accounts:
  description: The storage accounts, each as M(azure_hpc.cluster.storage_account) returns it.
  type: list
  elements: dict
  returned: success
volumes:
  description: The volumes, each as M(azure_hpc.cluster.netapp_volume) returns it.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import netapp, storage
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    Arguments,
    build,
    failures_reported,
    finish,
)

OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "accounts": {"type": "list", "elements": "str"},
        "volumes": {"type": "list", "elements": "str"},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        group = module.params["resource_group"]
        finish(
            module,
            False,
            accounts=storage.look(session, group, module.params["accounts"]),
            volumes=netapp.look(session, group, module.params["volumes"]),
        )


if __name__ == "__main__":
    main()
