#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Capture a machine as an image
version_added: 0.1.0
description:
  - Makes a managed image from a virtual machine, or deletes it.
  - The machine is stopped, deallocated and generalised first. It can never start again after that.
options:
  resource_group:
    description: The resource group of the image.
    type: str
    required: true
  name:
    description: The name of the image.
    type: str
    required: true
  location:
    description:
      - The location of the image, by default its source's. An image serves machines of its location only.
    type: str
  source:
    description:
      - The machine to capture, as a resource id or as a name in O(source_resource_group).
      - Not looked at if the image exists, unless O(force=true).
    type: str
  source_resource_group:
    description: The resource group of O(source) if that is a name; O(resource_group) if not given.
    type: str
  hyper_v_generation:
    description: The generation of the machine that the image is captured from.
    type: str
    choices: [V1, V2]
    default: V2
  force:
    description: Replace an image that exists.
    type: bool
    default: false
  state:
    description: Whether the image must exist.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - azure-mgmt-compute >= 34.0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Capture the machine that was prepared
  azure_hpc.cluster.image:
    resource_group: demo-images
    name: demo-node
    source: demo-image-build
    source_resource_group: demo-rg
    tags: {hpc-cluster: demo, hpc-role: image}
"""

RETURN = r"""
id:
  description: The resource id of the image, empty when it does not exist; in check mode the one that it will have.
  type: str
  returned: success
image:
  description: The image as Azure describes it; empty when it does not exist.
  type: dict
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import images
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
        "source": {"type": "str"},
        "source_resource_group": {"type": "str"},
        "hyper_v_generation": {"type": "str", "choices": ["V1", "V2"], "default": "V2"},
        "force": {"type": "bool", "default": False},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = images.ensure if module.params["state"] == "present" else images.remove
        outcome = act(session, module.params, module.check_mode)
        image = outcome.resource(images.image_id(session, module.params))
        before, after = outcome.diff("before"), outcome.diff("after")
        finish(module, outcome.changed, before, after, id=image.get("id", ""), image=image)


if __name__ == "__main__":
    main()
