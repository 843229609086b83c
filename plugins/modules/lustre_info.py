#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: lustre_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lustre_info
short_description: Managed Lustre file systems, what is wrong with them, and what a location offers
version_added: 0.2.0
description:
  - Tells of the Azure Managed Lustre file systems of a resource group, how far those are that are being made, and
    what to do about
    those that went wrong.
  - With O(location) it also tells which kinds and sizes there are, and how many file systems are left.
options:
  resource_group:
    description: The resource group; all of the subscription if not given.
    type: str
  name:
    description: One file system of O(resource_group).
    type: str
  location:
    description: The Azure location whose kinds and quota to list.
    type: str
  jobs:
    description: Whether to list the jobs of the file systems that import, export, and add storage.
    type: bool
    default: false
  wait:
    description:
      - Seconds to wait at most until nothing is being made, changed or deleted any more. Not to be done is no failure.
      - For people who want to see something once a minute while they wait.
    type: int
    default: 0
requirements:
  - azure-mgmt-storagecache >= 4.0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.attributes
  - azure_hpc.cluster.attributes.info
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Which sizes there are
  azure_hpc.cluster.lustre_info:
    location: westeurope
  register: lustre

- name: Wait, and see something while waiting
  azure_hpc.cluster.lustre_info:
    resource_group: demo-rg
    name: demo-scratch
    wait: 60
  register: scratch
  until: scratch.ready or scratch.problems | length > 0
  retries: 60
"""

RETURN = r"""
file_systems:
  description: The file systems, sorted by id.
  type: list
  elements: dict
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
    jobs:
      description: "The jobs with their V(type): name, state, message, prefixes, started, ended, and Azure's counts."
      type: list
      elements: dict
      returned: with O(jobs)
ready:
  description: Whether there are file systems, and all of them can be mounted.
  type: bool
  returned: success
problems:
  description: What is not as it should be with any of them, and what to do about it.
  type: list
  elements: str
  returned: success
skus:
  description: What the location offers, by name.
  type: dict
  returned: with O(location)
  sample:
    AMLFS-Durable-Premium-250: {throughput: 250, step: 8, maximum: 128, on_request: 2000, sizes: 8 to 128 TiB ...}
quota:
  description: How many file systems of the location are in use, and how many there may be.
  type: dict
  returned: with O(location)
  sample: {used: 1, limit: 4}
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre, lustre_jobs
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
        "resource_group": {"type": "str"},
        "name": {"type": "str"},
        "location": {"type": "str"},
        "jobs": {"type": "bool", "default": False},
        "wait": {"type": "int", "default": 0},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        found = lustre.look(session, module.params)
        if module.params["jobs"]:
            found = [{**one, "jobs": lustre_jobs.listing(session, one["id"])} for one in found]
        place = module.params["location"]
        offers = {"skus": lustre.offers(session, place), "quota": lustre.usage(session, place)} if place else {}
        finish(
            module,
            False,
            file_systems=found,
            ready=bool(found) and all(one["ready"] for one in found),
            problems=[problem for one in found for problem in one["problems"]],
            **offers,
        )


if __name__ == "__main__":
    main()
