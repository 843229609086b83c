#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: queue_update."""

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_update
short_description: Carry out the scheduler's part of a plan
version_added: 0.1.0
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
description:
  - Claims, releases, drains and resumes nodes and writes comments on jobs, as M(azure_hpc.cluster.autoscale) planned.
  - Runs on a machine that has the scheduler's commands and may administer it, usually the head node as root.
  - Every value of the plan is checked before the first command. Then the scheduler is read, and only what differs
    is written.
  - A step that fails does not keep the others from being carried out. All failures are reported together at the end.
  - If the scheduler does not answer any more, the rest is left to the next pass.
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
      - Its commands are run for every step of the plan, without another look at what differs.
    type: dict
  plan:
    description:
      - The steps, in order. The key V(step) says what each one is, V(claim), V(release), V(drain), V(resume),
        V(wake), V(remove) or V(comment).
      - Take them from RV(azure_hpc.cluster.autoscale#module:plan).
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Reads the scheduler and says what would be written.
  diff_mode:
    support: full
    description: Shows the state of each node and job before and after.
  idempotent:
    support: full
    description: Nodes and jobs that are as the plan says are left alone.
seealso:
  - module: azure_hpc.cluster.queue_info
  - module: azure_hpc.cluster.autoscale
"""

EXAMPLES = r"""
- name: Take a node out of service and tell a user
  azure_hpc.cluster.queue_update:
    plan:
      - step: drain
        nodes: [htc-d4sv5-1]
        reason: "azure_hpc: no capacity until 12:40 UTC"
        requeue: true
      - step: comment
        job: "12"
        text: Waits for another size, Azure has no D4s_v5 at the moment
"""

RETURN = r"""
commands:
  description: What was run (in check mode would be run), in order, with V(step), V(argv), V(status) and V(stderr).
  returned: always
  type: list
  elements: dict
failures:
  description: Steps that could not be carried out, with V(step) (its number in the plan) and V(message).
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import Arguments, build, failures_reported
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import kinds
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import NAMES, run, scheduler, updating

ARGUMENTS = Arguments(
    {
        "scheduler": {"type": "str", "choices": list(NAMES), "default": "slurm"},
        "custom": {"type": "dict"},
        "plan": {"type": "list", "elements": "dict", "required": True},
    }
)


def main() -> None:
    """Run the module."""
    module = build(ARGUMENTS)
    with failures_reported(module, ValueError):
        steps = updating.read_steps(module.params["plan"])
        kind = scheduler(module.params["scheduler"], kinds.options(module.params["custom"]))
        result = updating.update(kind, steps, run.runner(kind), dry=module.check_mode)
    if result["failures"]:
        module.fail_json(msg=updating.summary(result["failures"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
