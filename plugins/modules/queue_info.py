#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: queue_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_info
short_description: Read the jobs and nodes of a cluster's scheduler
version_added: 0.1.0
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
description:
  - Reads the whole queue of a scheduler, as the input for M(azure_hpc.cluster.autoscale).
  - Runs on a machine that has the scheduler's commands, usually the head node. Needs no library beside Python.
  - What could not be read is named in RV(queue.errors). A pass changes nothing while that list is not empty.
options:
  scheduler:
    description: The kind of scheduler.
    type: str
    choices: [slurm, openpbs, gridengine, htcondor, lsf, custom]
    default: slurm
  custom:
    description:
      - What the cluster definition says of a scheduler of the site's own, its C(scheduler).
        Needed with O(scheduler=custom).
      - Its lists are then in RV(queue.outputs) as they were printed.
        M(azure_hpc.cluster.autoscale) knows what they mean.
    type: dict
attributes:
  check_mode:
    support: full
    description: Only reads, so check mode makes no difference.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
seealso:
  - module: azure_hpc.cluster.queue_update
  - module: azure_hpc.cluster.autoscale
"""

EXAMPLES = r"""
- name: Read the queue
  azure_hpc.cluster.queue_info:
  register: observed

- name: Show who waits
  ansible.builtin.debug:
    msg: "{{ observed.queue.jobs | selectattr('state', 'eq', 'pending') | map(attribute='id') }}"
"""

RETURN = r"""
queue:
  description: One observation of the scheduler.
  returned: always
  type: dict
  contains:
    scheduler:
      description: The kind of scheduler.
      type: str
      sample: slurm
    cluster:
      description: The scheduler's name of the cluster.
      type: str
      sample: demo
    observed_at:
      description: When the queue was read, in seconds since the epoch by the clock of the machine.
      type: int
      sample: 1795162722
    jobs:
      description:
        - Jobs that have not ended. Each has V(id), V(state) (pending, configuring, running, completing or suspended),
          V(partitions), V(nodes), V(node_count), V(cpus), V(tasks), V(name), V(user), V(reason), V(note),
          V(submitted_at) and V(started_at).
      type: list
      elements: dict
    nodes:
      description:
        - All nodes. Each has V(name), V(flags), V(partitions), V(instance_id), V(address), V(hostname), V(reason),
          V(reason_at), V(cpus), V(memory_mib), V(registered_at) and V(last_busy).
      type: list
      elements: dict
    unwell:
      description:
        - What compute nodes said on this machine of themselves, those that boot as well as those that are up. Each has
          V(address), V(reason), why it must take no jobs, and V(at).
      type: list
      elements: dict
      sample: [{address: 10.20.16.4, reason: "mounts: /shared/home: does not answer within 20 s", at: 1795162700}]
    outputs:
      description: The lists of jobs and nodes of a site's own scheduler as its commands printed them.
      returned: with O(scheduler=custom)
      type: dict
    errors:
      description: What could not be read. Not empty means that nothing may be decided from this observation.
      type: list
      elements: str
      sample: []
"""

import dataclasses
import time

from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import Arguments, build, failures_reported
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import kinds, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import NAMES, run, scheduler

ARGUMENTS = Arguments(
    {
        "scheduler": {"type": "str", "choices": list(NAMES), "default": "slurm"},
        "custom": {"type": "dict"},
    }
)


def main() -> None:
    """Run the module."""
    module = build(ARGUMENTS)
    now = int(time.time())
    with failures_reported(module, ValueError):
        kind = scheduler(module.params["scheduler"], kinds.options(module.params["custom"]))
        outputs = run.outputs(kind)
        queue = dataclasses.replace(kind.parse(outputs, now), unwell=run.unwell())
    for error in queue.errors:
        module.warn(f"the queue could not be read: {error}")
    found = serial.dump(queue)
    if queue.scheduler == "custom":
        found["outputs"] = {key: output.stdout for key, output in outputs.items()}
    module.exit_json(changed=False, queue=found)


if __name__ == "__main__":
    main()
