#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: cluster_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Validate a cluster definition and derive everything from it
version_added: 0.1.0
description:
  - Checks a whole cluster definition against what the Azure location offers, and fails with one error that lists every
    mistake with its path.
  - Returns the cluster with all defaults, the options of every module that builds it, and the scheduler's nodes and
    partitions.
  - Reads only, in a handful of requests.
options:
  definition:
    description: The cluster definition, as in C(hpc_cluster).
    type: dict
    required: true
  fleet:
    description: Whether to return the scale sets and instances that exist.
    type: bool
    default: false
  leftovers:
    description:
      - Whether to return what carries the cluster's tag in its resource group and is not in the definition any more.
    type: bool
    default: false
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.attributes.info
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Validate the definition before anything is touched
  azure_hpc.cluster.cluster_info:
    definition: "{{ hpc_cluster }}"
  register: info

- name: Make the scale sets
  azure_hpc.cluster.scale_set:
    resource_group: "{{ item.resource_group }}"
    name: "{{ item.name }}"
    location: "{{ item.location }}"
    vm_size: "{{ item.vm_size }}"
    image: "{{ item.image }}"
    subnet_id: "{{ item.subnet_id }}"
    admin_username: "{{ item.admin_username }}"
    ssh_public_keys: "{{ item.ssh_public_keys }}"
    computer_name_prefix: "{{ item.computer_name_prefix }}"
  loop: "{{ info.parameters.scale_sets }}"
"""

RETURN = r"""
cluster:
  description: The definition with all defaults.
  type: dict
  returned: success
parameters:
  description:
    - The options of the modules, by what they build.
    - V(resource_group), V(network), V(image) and V(head) are dictionaries, V(login) and V(scale_sets) lists of them.
    - V(image) also says C(id) (where machines boot from, empty for the stock image), C(bake) (whether that image is to
      be made), C(exists), and C(build) (options of the machine to capture it from).
  type: dict
  returned: success
layout:
  description:
    - What follows for scale sets and the scheduler. V(scale_sets) are names and limits, V(offers) what a machine of
      each gives to jobs, V(kinds) what nodes of each array and size are called and cost. With Slurm also
      V(slurm_nodes), V(slurm_partitions), V(slurm_topology) and V(slurm_always_on).
  type: dict
  returned: success
sizes:
  description: The VM sizes that the cluster uses, with vCPUs, memory in MiB and prices in USD/hour.
  type: dict
  returned: success
quota:
  description: What the full cluster needs of each quota, and what there is.
  type: list
  elements: dict
  returned: success
  sample: [{name: standardHBrsv3Family, needed: 480, limit: 1000, used: 0, enough: true}]
fleet:
  description: The scale sets of the cluster with their instances.
  type: dict
  returned: O(fleet=true)
leftovers:
  description:
    - Names of what is left over, by kind. V(monitoring) is what belongs to Azure Monitor and only watches; the rest has
      data, or jobs may run on it.
  type: dict
  returned: O(leftovers=true)
  sample:
    monitoring: [demo-collect]
    workspaces: [demo-logs]
    lustre: [demo-scratch]
    storage_accounts: []
    netapp_accounts: []
    machines: []
    scale_sets: [demo-old-d4sv5]
requests:
  description: How many requests were sent to Azure.
  type: int
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import info
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    Arguments,
    build,
    failures_reported,
    finish,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.definition import DefinitionError

OPTIONS = Arguments(
    {
        "definition": {"type": "dict", "required": True},
        "fleet": {"type": "bool", "default": False},
        "leftovers": {"type": "bool", "default": False},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, AZURE)
    with failures_reported(module, DefinitionError), connect(module.params) as session:
        given = module.params
        found, warnings = info.gather(session, given["definition"], given["fleet"], given["leftovers"])
        for warning in warnings:
            module.warn(warning)
        finish(module, False, **found)


if __name__ == "__main__":
    main()
