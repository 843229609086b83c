#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: identity."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity
short_description: Create or delete a user-assigned identity
version_added: 0.1.0
description:
  - Makes a user-assigned managed identity exist, which machines can then be given.
options:
  resource_group:
    description: The resource group of the identity.
    type: str
    required: true
  name:
    description: The name of the identity.
    type: str
    required: true
  location:
    description: The Azure location. Required with O(state=present).
    type: str
  state:
    description: Whether the identity must exist.
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
- name: An identity for the compute nodes
  azure_hpc.cluster.identity:
    resource_group: demo-rg
    name: demo-nodes
    location: westeurope
    tags: {hpc-cluster: demo}
"""

RETURN = r"""
id:
  description: The resource id, empty when the identity does not exist.
  type: str
  returned: success
principal_id:
  description: The object id to assign roles to.
  type: str
  returned: success
client_id:
  description: The client id to choose the identity by, on a machine that has several.
  type: str
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.groups import ensure_identity, remove_identity
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
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
    },
    required_if=(("state", "present", ("location",)),),
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = ensure_identity if module.params["state"] == "present" else remove_identity
        outcome, identity = act(session, module.params, module.check_mode)
        properties = identity.get("properties") or {}
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            id=identity.get("id", ""),
            principal_id=properties.get("principalId", ""),
            client_id=properties.get("clientId", ""),
        )


if __name__ == "__main__":
    main()
