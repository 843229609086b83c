#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: autoscale."""

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscale
short_description: Make the machines of a cluster follow its queue
version_added: 0.1.0
description:
  - Observes the scale sets of a cluster, decides what the queue needs, and grows and shrinks the scale sets.
  - What the scheduler has to be told comes back in RV(plan), for M(azure_hpc.cluster.queue_update).
  - A pass remembers nothing by itself. Run twice, late, or killed half-way, the next pass leads to the same end.
  - If the queue or the scale sets cannot be read completely, it changes nothing and fails.
  - A growth that Azure refuses does not fail the module, because the rest of the plan is still to be carried out; see
    RV(errors). It is remembered in the tag C(hpc-unavailable) of the scale set, and something else is chosen.
options:
  definition:
    description: The cluster definition, as in C(hpc_cluster).
    type: dict
    required: true
  queue:
    description: What M(azure_hpc.cluster.queue_info) returned as RV(azure_hpc.cluster.queue_info#module:queue).
    type: dict
    required: true
  claim_wait:
    description:
      - For how many seconds at most to wait until new instances are listed. Those that come later are claimed by the
        next pass.
    type: int
    default: 20
  decision_log:
    description:
      - A file on the host that runs the module, to which one line of JSON per decision is appended.
      - C(autoscale.decision_log) of the definition if not given; none if that is empty.
    type: path
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.attributes
seealso:
  - module: azure_hpc.cluster.queue_info
  - module: azure_hpc.cluster.queue_update
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: Read the queue
  azure_hpc.cluster.queue_info:
  delegate_to: demo-head
  register: observed

- name: Grow and shrink
  azure_hpc.cluster.autoscale:
    definition: "{{ hpc_cluster }}"
    queue: "{{ observed.queue }}"
  register: pass

- name: Tell the scheduler
  azure_hpc.cluster.queue_update:
    plan: "{{ pass.plan }}"
  delegate_to: demo-head
"""

RETURN = r"""
plan:
  description: What the scheduler is to be told, in order; the option V(plan) of M(azure_hpc.cluster.queue_update).
  type: list
  elements: dict
  returned: success
azure:
  description:
    - What Azure was asked for, in order, each with V(step) (grow, shrink or mark_unavailable) and V(outcome) (sent,
      refused, or planned in check mode).
  type: list
  elements: dict
  returned: success
unmet:
  description: Jobs whose demand could not be met, and why.
  type: list
  elements: dict
  returned: success
lines:
  description: One line per decision with its reason.
  type: list
  elements: str
  returned: success
  sample: ["grow demo-hpc-hb120rsv3-pg1 from 0 to 2: job 12 needs hpc-hb120rsv3-[1-2]"]
errors:
  description: What Azure refused, with V(code), V(message), V(request_id) and V(kind).
  type: list
  elements: dict
  returned: success
requests:
  description: How many requests Azure answered.
  type: int
  returned: success
seconds:
  description: How long each stage took.
  type: dict
  returned: success
  sample: {observe: 0.4, plan: 0.01, apply: 1.3}
"""

import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils import described
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet, passes, questions, report
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session, connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    AnsibleModule,
    Arguments,
    build,
    failures_reported,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import explain, packed, slurm
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import with_growth

OPTIONS = Arguments(
    {
        "definition": {"type": "dict", "required": True},
        "queue": {"type": "dict", "required": True},
        "claim_wait": {"type": "int", "default": 20},
        "decision_log": {"type": "path"},
    }
)


def carry_out(session: Session, cluster: Cluster, queue: Queue, claim_wait: int, check: bool) -> passes.Result:
    """One pass; raises AzureError if nothing can be decided, and then nothing was changed."""
    begun, now = time.monotonic(), int(time.time())
    if queue.errors:
        text = f"nothing was changed, the queue is not complete: {'; '.join(queue.errors)}"
        raise AzureError(text, code="QueueIncomplete")
    seen = fleet.observe(session, cluster.resource_group, cluster.name, now)
    if seen.fleet.errors:
        text = f"nothing was changed, Azure cannot be read: {'; '.join(seen.fleet.errors)}"
        raise AzureError(text, code="FleetIncomplete")
    observed = time.monotonic() - begun
    offer, plan = questions.catalog_of(session, cluster, seen.tags.values()), layout(cluster)
    planner = slurm.plan if cluster.scheduler.type == "slurm" else packed.plan

    def decide(now_there: Fleet) -> Plan:
        known = offer if now_there is seen.fleet else with_growth(offer, seen.fleet, now_there)
        return planner(cluster, plan, queue, now_there, known, now)

    runner = passes.Runner(session, decide, cluster.autoscale, claim_wait, now)
    result = runner.run(seen, queue, check)
    return passes.with_stage(result, "observe", observed)


def write_log(module: AnsibleModule, path: str, cluster: str, rows: list[dict[str, t.Any]]) -> None:
    """Append to the decision log if there is one. A log that cannot be written does not stop a pass."""
    try:
        if path:
            report.append(path, cluster, int(time.time()), rows)
    except AzureError as error:
        module.warn(str(error))


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, AZURE)
    check, options = module.check_mode, module.params
    with failures_reported(module, definition.DefinitionError, serial.SerialError), connect(options) as session:
        cluster = definition.read(options["definition"])
        queue = described.read(options["queue"], cluster.scheduler)
        log = "" if check else options["decision_log"] or cluster.autoscale.decision_log
        try:
            result = carry_out(session, cluster, queue, options["claim_wait"], check)
        except AzureError as error:
            write_log(module, log, cluster.name, [report.failure(error)])
            raise
        rows = report.decisions(result, explain.line, explain.unmet, check)
        found = {**report.outcome(result, rows, check), "requests": session.requests}
        write_log(module, log, cluster.name, [*rows, report.summary(found)])
        for refused in report.refusals(result):
            module.warn(str(refused))
        if found["changed"]:
            found["diff"] = explain.diff(report.carried_out(result, check))
        module.exit_json(**found)


if __name__ == "__main__":
    main()
