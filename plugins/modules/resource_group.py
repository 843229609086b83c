#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: resource_group."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_group
short_description: Create or delete a resource group
version_added: 0.1.0
description:
  - Makes an Azure resource group exist, or deletes it with everything in it.
options:
  name:
    description: The name of the resource group.
    type: str
    required: true
  location:
    description: The Azure location, such as V(westeurope). Required with O(state=present). A group cannot be moved.
    type: str
  state:
    description: Whether the group must exist.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Delete the group even if there is something in it.
    type: bool
    default: false
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: A resource group for the cluster
  azure_hpc.cluster.resource_group:
    name: demo-rg
    location: westeurope
    tags: {hpc-cluster: demo}

- name: Delete it with everything in it
  azure_hpc.cluster.resource_group:
    name: demo-rg
    state: absent
    force: true
"""

RETURN = r"""
resource_group:
  description: The resource group as Azure describes it; empty when it does not exist.
  type: dict
  returned: success
  sample: {id: /subscriptions/x/resourceGroups/demo-rg, name: demo-rg, location: westeurope}
deleted:
  description: The ids of the resources that were deleted with the group.
  type: list
  elements: str
  returned: O(state=absent)
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.groups import ensure_group, remove_group
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
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "force": {"type": "bool", "default": False},
    },
    required_if=(("state", "present", ("location",)),),
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        result = {}
        if module.params["state"] == "present":
            outcome = ensure_group(session, module.params, module.check_mode)
        else:
            outcome, result["deleted"] = remove_group(session, module.params, module.check_mode)
        group = outcome.resource(session.group_path(module.params["name"]))
        finish(module, outcome.changed, outcome.diff("before"), outcome.diff("after"), resource_group=group, **result)


if __name__ == "__main__":
    main()
