#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: job_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job_info
short_description: Say why jobs do not run, what they would take and what they would cost
version_added: 0.1.0
description:
  - Looks at the queue and at the scale sets as a pass of M(azure_hpc.cluster.autoscale) does, and says what the pass
    thinks of single jobs.
  - Reads only. Prices are list prices, in USD per hour.
  - With Slurm, which chooses nodes itself, sizes and costs are those of the job on new machines.
options:
  definition:
    description: The cluster definition, as in C(hpc_cluster).
    type: dict
    required: true
  queue:
    description: What M(azure_hpc.cluster.queue_info) returned as RV(azure_hpc.cluster.queue_info#module:queue).
    type: dict
    required: true
  jobs:
    description: The ids of the jobs, as the scheduler's commands show them. All waiting jobs if not given.
    type: list
    elements: str
  more:
    description: Say also what so many more jobs like each of them would cost.
    type: int
    default: 0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.attributes.info
seealso:
  - module: azure_hpc.cluster.queue_info
  - module: azure_hpc.cluster.autoscale
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Read the queue
  azure_hpc.cluster.queue_info:
    scheduler: openpbs
  delegate_to: demo-head
  register: observed

- name: Ask why job 17 does not run, and what 1,000 more of it would cost
  azure_hpc.cluster.job_info:
    definition: "{{ hpc_cluster }}"
    queue: "{{ observed.queue }}"
    jobs: ["17"]
    more: 1000
  register: asked

- name: Show the answer
  ansible.builtin.debug:
    msg: "{{ asked.jobs[0].why }}"
"""

RETURN = r"""
jobs:
  description:
    - One answer for each job, in the order in which they were asked for.
    - V(why) says in one line why it does not run; V(nodes) are those that it has or would get. It begins with
      C(this job cannot start) if that holds even when all other jobs are done, and says what would have to change.
    - V(sizes) says of each size whether the job fits, how many nodes it would take, what they cost in an hour, how many
      more the limits allow, and what is in the way.
    - V(more) says which machines O(more) jobs would need and what these cost in an hour.
  type: list
  elements: dict
  returned: success
  sample:
    - job: "17"
      found: true
      state: pending
      why: "quota standardHBrsv3Family allows 600 vCPUs, one Standard_HB120rs_v3 takes 120 (jobs that have them: 12)"
      needs: "4 x (120 CPUs), alone on its nodes, in one placement group"
      nodes: []
      cheapest: {vm_size: Standard_HB120rs_v3, node_array: hpc, nodes: 4, cost_per_hour: 14.4, room: 1}
requests:
  description: How many requests Azure answered.
  type: int
  returned: success
"""

import time

from ansible_collections.azure_hpc.cluster.plugins.module_utils import described
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import questions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    Arguments,
    build,
    failures_reported,
    finish,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.answers import Answers

OPTIONS = Arguments(
    {
        "definition": {"type": "dict", "required": True},
        "queue": {"type": "dict", "required": True},
        "jobs": {"type": "list", "elements": "str"},
        "more": {"type": "int", "default": 0},
    }
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, AZURE)
    options, now = module.params, int(time.time())
    with failures_reported(module, definition.DefinitionError, serial.SerialError), connect(options) as session:
        cluster = definition.read(options["definition"])
        queue = described.read(options["queue"], cluster.scheduler)
        fleet, catalog = questions.observed(session, cluster, queue, now)
        answers = Answers(cluster, layout(cluster), queue, fleet, catalog, now)
        wanted = options["jobs"]
        if wanted is None:
            wanted = [job.id for job in queue.jobs if job.state == "pending"]
        found = [answers.answer(name, options["more"]) for name in wanted]
        finish(module, False, jobs=found, requests=session.requests)


if __name__ == "__main__":
    main()
