#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: jobs_history."""

from __future__ import annotations

DOCUMENTATION = r"""
module: jobs_history
short_description: Read the jobs that have ended, the same facts for any scheduler
version_added: 0.1.0
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
description:
  - Reads which jobs ended in a time, who had them, on which nodes, and how they ended.
  - Slurm is asked by sacct, HTCondor by condor_history; of OpenPBS, Grid Engine and LSF the accounting files are read.
  - Runs on the head node, as somebody who may see all jobs. Needs no library beside Python.
options:
  scheduler:
    description: The kind of scheduler.
    type: str
    choices: [slurm, openpbs, gridengine, htcondor, lsf]
    default: slurm
  since:
    description: Jobs that ended at this time or later, in seconds since the epoch. If negative, so many seconds ago.
    type: int
    default: -86400
  until:
    description: Jobs that ended before this time, in seconds since the epoch. V(0) is now.
    type: int
    default: 0
  directory:
    description:
      - Where the accounting files are, if not in the usual place.
      - C(/var/spool/pbs/server_priv/accounting) for OpenPBS, C(/var/lib/gridengine/default/common) for Grid Engine,
        C(/opt/ibm/lsf/work) for LSF.
    type: path
    default: ""
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
  - module: azure_hpc.cluster.queue_info
"""

EXAMPLES = r"""
- name: Read what ended in the last hour
  azure_hpc.cluster.jobs_history:
    since: -3600
  register: past

- name: Sum up core hours by account
  ansible.builtin.debug:
    msg: >-
      {{ item.0 or 'no account' }}: {{ (item.1 | map(attribute='cpu_seconds') | sum / 3600) | round(1) }} core hours
  loop: "{{ past.jobs | groupby('account') }}"
"""

RETURN = r"""
jobs:
  description: The jobs by the time of their end. Each task of an array is one.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The scheduler's name of the job.
      type: str
      sample: "42_7"
    name:
      description: What its user called it. It can be any text.
      type: str
    user:
      description: Who had it.
      type: str
    account:
      description: The account that it was charged to, empty if there is none.
      type: str
    queue:
      description: The partition or queue, empty where the scheduler has none.
      type: str
    state:
      description: completed, failed, cancelled, timeout, node_failed, out_of_memory, preempted, requeued or unknown.
      type: str
    said:
      description: The scheduler's own word for that.
      type: str
    submitted_at:
      description: When it was handed in, in seconds since the epoch.
      type: int
    started_at:
      description: When it started, 0 if it never did.
      type: int
    ended_at:
      description: When it ended.
      type: int
    nodes:
      description: The nodes that it had.
      type: list
      elements: str
    node_count:
      description: How many.
      type: int
    cores:
      description: How many CPUs it had, as the scheduler counts them.
      type: int
    cpu_seconds:
      description: The CPUs times the seconds that it had them.
      type: int
    exit_code:
      description: The exit status of the job.
      type: int
    signal:
      description: The signal that ended it, 0 if none did.
      type: int
not_understood:
  description: Records that are not understood.
  returned: always
  type: list
  elements: str
"""

import time

from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import Arguments, build
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import history, run, scheduler

ARGUMENTS = Arguments(
    {
        "scheduler": {"type": "str", "choices": list(history.NAMES), "default": "slurm"},
        "since": {"type": "int", "default": -86400},
        "until": {"type": "int", "default": 0},
        "directory": {"type": "path", "default": ""},
    }
)


def main() -> None:
    """Run the module."""
    module = build(ARGUMENTS)
    name, since, now = module.params["scheduler"], module.params["since"], int(time.time())
    found = history.observe(
        history.reader(name),
        since if since >= 0 else now + since,
        module.params["until"] or now + 1,
        run.runner(scheduler(name)),
        module.params["directory"],
    )
    if found.errors:
        module.fail_json(msg=f"the history of {name} cannot be read: {'; '.join(found.errors)}")
    for what in found.skipped[:5]:
        module.warn(what)
    # Ansible itself has a use for a result that is called skipped.
    module.exit_json(changed=False, jobs=serial.dump(found.jobs), not_understood=list(found.skipped))


if __name__ == "__main__":
    main()
