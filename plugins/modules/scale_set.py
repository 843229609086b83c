#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: scale_set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: scale_set
short_description: Create, change or delete a scale set of compute nodes
version_added: 0.1.0
description:
  - Makes a Uniform scale set, without instances. Growing and shrinking it is what M(azure_hpc.cluster.autoscale) does;
    this module never touches the capacity of a scale set that exists.
  - Of a scale set that exists only what differs is sent. New instances follow the new model, running ones keep theirs.
  - Size, priority, zones and placement cannot be changed; asking for that is an error.
options:
  resource_group:
    description: The resource group of the scale set.
    type: str
    required: true
  name:
    description: The name of the scale set.
    type: str
    required: true
  location:
    description: The Azure location. Required with O(state=present).
    type: str
  vm_size:
    description: The VM size. Required with O(state=present).
    type: str
  image:
    description: What instances boot from, O(image.id) or the others. Required with O(state=present).
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
    description: The resource id of the subnet. Required with O(state=present).
    type: str
  admin_username:
    description: The account that is made. Required with O(state=present).
    type: str
  ssh_public_keys:
    description: The keys of that account; passwords are disabled. Required with O(state=present).
    type: list
    elements: str
  computer_name_prefix:
    description:
      - What the host names of instances begin with, 1 to 9 characters; Azure adds six. Required with O(state=present).
    type: str
  custom_data:
    description:
      - What cloud-init of new instances gets, as text. It is no place for secrets.
      - Azure never returns it, so its digest is kept in the tag C(hpc-custom-data).
    type: str
  priority:
    description: Spot instances are cheaper and can be taken away; they are deleted then.
    type: str
    choices: [regular, spot]
    default: regular
  max_price:
    description: What a spot instance may cost in USD/hour, V(-1) for up to the regular price.
    type: float
    default: -1
  zones:
    description: Availability zones; regional if not given.
    type: list
    elements: str
  single_placement_group:
    description: Keep all instances, at most 100, in one placement group, as InfiniBand needs it.
    type: bool
    default: false
  accelerated_networking:
    description: Whether interfaces bypass the host; Azure's default if not given.
    type: bool
  os_disk_gib:
    description: The size of the disk in GiB; the image's own if not given or V(0).
    type: int
  os_disk_type:
    description: The storage account type of the disk.
    type: str
    default: Premium_LRS
  system_identity:
    description:
      - Whether Azure gives the scale set an identity of its own, which all instances share. The Azure Monitor agent
        needs one.
    type: bool
    default: false
  identities:
    description: Resource ids of user-assigned identities of the instances.
    type: list
    elements: str
  terminate_notice:
    description:
      - Minutes that instances are told before they are deleted, so that they can leave their file systems; 5 to 15. An
        instance that says that it is ready is deleted at once. V(0) leaves it at what it is, none at first.
    type: int
    choices: [0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    default: 0
  wait:
    description:
      - Whether to wait until Azure has made or changed the scale set. Otherwise it is enough that Azure accepted it,
        which takes a second and not ten.
    type: bool
    default: true
  state:
    description: Whether the scale set must exist. Deleting it deletes its instances.
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
- name: A scale set for InfiniBand nodes
  azure_hpc.cluster.scale_set:
    resource_group: demo-rg
    name: demo-hpc-hb120rsv3-pg1
    location: westeurope
    vm_size: Standard_HB120rs_v3
    image: {id: "{{ image.id }}"}
    subnet_id: "{{ network.subnet_ids.compute }}"
    admin_username: azureuser
    ssh_public_keys: ["{{ lookup('file', '~/.ssh/id_ed25519.pub') }}"]
    computer_name_prefix: hpc1
    single_placement_group: true
    tags: {hpc-cluster: demo, hpc-role: compute, hpc-node-array: hpc, hpc-vm-size: Standard_HB120rs_v3}
"""

RETURN = r"""
id:
  description: The resource id of the scale set.
  type: str
  returned: success
capacity:
  description: How many instances it has now.
  type: int
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import scale_sets
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

NEEDED = ("location", "vm_size", "image", "subnet_id", "admin_username", "ssh_public_keys", "computer_name_prefix")
OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "vm_size": {"type": "str"},
        "image": image_option(),
        "subnet_id": {"type": "str"},
        "admin_username": {"type": "str"},
        "ssh_public_keys": {"type": "list", "elements": "str", "no_log": False},
        "computer_name_prefix": {"type": "str"},
        "custom_data": {"type": "str", "no_log": True},
        "priority": {"type": "str", "choices": ["regular", "spot"], "default": "regular"},
        "max_price": {"type": "float", "default": -1},
        "zones": {"type": "list", "elements": "str"},
        "single_placement_group": {"type": "bool", "default": False},
        "accelerated_networking": {"type": "bool"},
        "os_disk_gib": {"type": "int"},
        "os_disk_type": {"type": "str", "default": "Premium_LRS"},
        "identities": {"type": "list", "elements": "str"},
        "system_identity": {"type": "bool", "default": False},
        "terminate_notice": {"type": "int", "default": 0, "choices": [0, *range(5, 16)]},
        "wait": {"type": "bool", "default": True},
    },
    required_if=(("state", "present", NEEDED),),
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = scale_sets.ensure if module.params["state"] == "present" else scale_sets.remove
        outcome, scale_set_id = act(session, module.params, module.check_mode)
        capacity = (outcome.resource(scale_set_id).get("sku") or {}).get("capacity") or 0
        before, after = outcome.diff("before"), outcome.diff("after")
        finish(module, outcome.changed, before, after, id=scale_set_id, capacity=int(capacity))


if __name__ == "__main__":
    main()
