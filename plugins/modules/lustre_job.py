#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: lustre_job."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lustre_job
short_description: Move files between a Managed Lustre file system and its blob container
version_added: 0.2.0
description:
  - Starts, watches, cancels and deletes the jobs of an Azure Managed Lustre file system that was made with a container.
  - An import brings what is new in the container into the file system, by name; the contents come when a file is
    opened for the
    first time. An archive job copies what is new in the file system to the container. Automatic jobs do either all
    the time.
  - A job that did not end well is an error that says how far it came, that nothing is lost, and what to do.
options:
  resource_group:
    description: The resource group of the file system.
    type: str
    required: true
  file_system:
    description: The name of the file system.
    type: str
    required: true
  type:
    description: What the job does. There is one of each type at a time.
    type: str
    choices: [import, auto_import, auto_export, archive]
    required: true
  name:
    description: The name of the job. Archive jobs have none.
    type: str
  prefixes:
    description: What to import or export, as paths from the root of the container; everything if not given.
    type: list
    elements: str
  path:
    description: What an archive job copies, as a path in the file system.
    type: str
    default: /
  conflicts:
    description:
      - What imports do with files that exist. V(Fail) ends the job, V(Skip) leaves them, V(OverwriteIfDirty)
        replaces those
        that were deleted or changed in the file system, V(OverwriteAlways) all.
      - Azure's own choice is V(Fail) for an import, V(Skip) for an automatic one.
    type: str
    choices: [Fail, Skip, OverwriteIfDirty, OverwriteAlways]
  maximum_errors:
    description: How many errors an import may meet before it fails; V(-1) for any number.
    type: int
  enable_deletions:
    description: Whether an automatic import deletes files whose blobs are deleted.
    type: bool
  rerun:
    description:
      - Whether a job that ended is run again, under the same name. Without it, a job that ended well stays as it is,
        and one
        that did not is an error.
      - An automatic job that was cancelled is always started again by O(state=present).
    type: bool
    default: false
  wait:
    description: Whether to wait for the end of an import or archive job, or of the cancellation.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 3600
  state:
    description:
      - With V(present) the job has run, or in case of an automatic one, runs.
      - V(cancelled) stops it, V(absent) deletes what is known of a job that ended.
    type: str
    choices: [present, cancelled, absent]
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
- name: Bring in what was added to the container
  azure_hpc.cluster.lustre_job:
    resource_group: demo-rg
    file_system: demo-scratch
    type: import
    name: inputs-2026-11
    prefixes: [/inputs]
    conflicts: Skip

- name: Copy results to the container
  azure_hpc.cluster.lustre_job:
    resource_group: demo-rg
    file_system: demo-scratch
    type: archive
    path: /results
    rerun: true
"""

RETURN = r"""
job:
  description: The job, empty when there is none.
  type: dict
  returned: success
  sample:
    name: inputs-2026-11
    state: Completed
    prefixes: [/inputs]
    counts: {totalBlobsImported: 12, totalErrors: 0}
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre_jobs
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
        "file_system": {"type": "str", "required": True},
        "type": {"type": "str", "choices": ["import", "auto_import", "auto_export", "archive"], "required": True},
        "name": {"type": "str"},
        "prefixes": {"type": "list", "elements": "str"},
        "path": {"type": "str", "default": "/"},
        "conflicts": {"type": "str", "choices": ["Fail", "Skip", "OverwriteIfDirty", "OverwriteAlways"]},
        "maximum_errors": {"type": "int"},
        "enable_deletions": {"type": "bool"},
        "rerun": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state("cancelled"), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        outcome, job = lustre_jobs.run(session, module.params, module.check_mode)
        finish(module, outcome.changed, outcome.diff("before"), outcome.diff("after"), job=job)


if __name__ == "__main__":
    main()
