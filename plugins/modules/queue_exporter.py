#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: queue_exporter."""

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_exporter
short_description: Install the program that tells Prometheus about the queue
version_added: 0.1.0
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
description:
  - Writes one file, a program for Python 3.9 or newer that needs no library. It holds what
    M(azure_hpc.cluster.queue_info) reads queues with, so that both always see the same.
  - When it runs, it reads the queue once, writes metrics for the textfile collector of Prometheus' node exporter and
    the list of nodes that Prometheus asks, and ends. The role C(azure_hpc.cluster.monitoring) lets a timer run it.
options:
  path:
    description: The file. Its directory has to be there.
    type: path
    default: /usr/libexec/azure_hpc/queue_metrics.pyz
  state:
    description: Whether the file must exist.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells whether the file would change.
  diff_mode:
    support: none
    description: The file is a program.
  idempotent:
    support: full
    description: The same version of the collection makes the same file.
seealso:
  - module: azure_hpc.cluster.queue_info
"""

EXAMPLES = r"""
- name: Install the program
  azure_hpc.cluster.queue_exporter:
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
modules:
  description: How many Python modules are in it.
  type: int
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils import bundle
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    Arguments,
    build,
    failures_reported,
    finish,
    state,
)

OPTIONS = Arguments({"path": {"type": "path", "default": "/usr/libexec/azure_hpc/queue_metrics.pyz"}})


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state())
    path, wanted = module.params["path"], module.params["state"] == "present"
    with failures_reported(module, OSError):
        files = bundle.sources() if wanted else {}
        changed = bundle.install(path, bundle.program(files) if wanted else None, module.check_mode)
    finish(module, changed, path=path, modules=len(files))


if __name__ == "__main__":
    main()
