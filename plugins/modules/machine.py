#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine
short_description: Create, stop, generalise or delete one virtual machine
version_added: 0.1.0
description:
  - Makes a Linux machine with a network interface and, if wanted, a public address; or brings it into another power
    state.
  - Its image, disk, account, keys, zone and custom data are fixed when it is created, and not compared afterwards.
    Its size, identities, public address and tags are.
options:
  resource_group:
    description: The resource group of the machine.
    type: str
    required: true
  name:
    description: The name of the machine. Its interface is C(<name>-nic), its public address C(<name>-ip).
    type: str
    required: true
  location:
    description: The Azure location. Needed to create the machine.
    type: str
  vm_size:
    description: The VM size. Needed to create the machine. Azure restarts a machine when its size changes.
    type: str
  image:
    description: What to boot from, O(image.id) or the others. Needed to create the machine.
    type: dict
    suboptions:
      id:
        description: The resource id of an image.
        type: str
      publisher:
        description: The publisher of a marketplace image.
        type: str
      offer:
        description: The offer of a marketplace image.
        type: str
      sku:
        description: The SKU of a marketplace image.
        type: str
      version:
        description: The version of a marketplace image.
        type: str
        default: latest
  subnet_id:
    description: The resource id of the subnet. Needed to create the machine.
    type: str
  private_ip:
    description: A fixed address in the subnet; Azure chooses one if not given.
    type: str
  public_ip:
    description: Whether the machine has a public address.
    type: bool
    default: false
  accelerated_networking:
    description: Whether the interface bypasses the host; Azure's default for the size if not given.
    type: bool
  admin_username:
    description: The account that is made. Needed to create the machine.
    type: str
  ssh_public_keys:
    description: The keys of that account; passwords are disabled. Needed to create the machine.
    type: list
    elements: str
  computer_name:
    description: The host name, if not O(name).
    type: str
  custom_data:
    description:
      - What cloud-init gets, as text. Whoever is logged in on the machine can read it, so it is no place for secrets.
    type: str
  os_disk_gib:
    description: The size of the disk in GiB; the image's own if not given.
    type: int
  os_disk_type:
    description: The storage account type of the disk.
    type: str
    default: Premium_LRS
  zone:
    description: The availability zone.
    type: str
  system_identity:
    description: Whether Azure gives the machine an identity of its own. The Azure Monitor agent needs one.
    type: bool
    default: false
  identities:
    description: Resource ids of user-assigned identities of the machine.
    type: list
    elements: str
  state:
    description:
      - With V(present) the machine exists and runs.
      - V(stopped) is switched off and billed, V(deallocated) is switched off and not billed.
      - V(generalized) is deallocated and ready for M(azure_hpc.cluster.image); it can never start again.
      - V(absent) deletes the machine with its disk, interface and address.
    type: str
    choices: [present, absent, stopped, deallocated, generalized]
    default: present
requirements:
  - azure-mgmt-compute >= 34.0
  - azure-mgmt-network >= 28.0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: The head node
  azure_hpc.cluster.machine:
    resource_group: demo-rg
    name: demo-head
    location: westeurope
    vm_size: Standard_D4s_v5
    image: {publisher: Debian, offer: debian-13, sku: 13-gen2}
    subnet_id: "{{ network.subnet_ids.head }}"
    public_ip: true
    admin_username: azureuser
    ssh_public_keys: ["{{ lookup('file', '~/.ssh/id_ed25519.pub') }}"]
    tags: {hpc-cluster: demo, hpc-role: head}
"""

RETURN = r"""
id:
  description: The resource id of the machine.
  type: str
  returned: success
name:
  description: The name of the machine.
  type: str
  returned: success
private_ip:
  description: The address in the subnet, empty when there is none (yet, in check mode).
  type: str
  returned: success
public_ip:
  description: The public address, empty when there is none.
  type: str
  returned: success
state:
  description: The state that was asked for and is reached.
  type: str
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import machines
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    TAGS,
    Arguments,
    build,
    failures_reported,
    finish,
    image_option,
    state,
)

OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "vm_size": {"type": "str"},
        "image": image_option(),
        "subnet_id": {"type": "str"},
        "private_ip": {"type": "str"},
        "public_ip": {"type": "bool", "default": False},
        "accelerated_networking": {"type": "bool"},
        "admin_username": {"type": "str"},
        "ssh_public_keys": {"type": "list", "elements": "str", "no_log": False},
        "computer_name": {"type": "str"},
        "custom_data": {"type": "str", "no_log": True},
        "os_disk_gib": {"type": "int"},
        "os_disk_type": {"type": "str", "default": "Premium_LRS"},
        "zone": {"type": "str"},
        "identities": {"type": "list", "elements": "str"},
        "system_identity": {"type": "bool", "default": False},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state("stopped", "deallocated", "generalized"), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = machines.remove if module.params["state"] == "absent" else machines.ensure
        outcome, ids = act(session, module.params, module.check_mode)
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            id=ids.machine,
            name=module.params["name"],
            state=module.params["state"],
            **machines.addresses(ids, outcome),
        )


if __name__ == "__main__":
    main()
