# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan for people and logs: one line per decision, plain data, and a diff."""

from __future__ import annotations

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist, plan, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import clock, plain

LINE_LENGTH = 500


def line(step: plan.Step) -> str:
    """One decision with its reason on one line, safe to print."""
    return plain(f"{_what(step)}: {step.reason}" if step.reason else _what(step), LINE_LENGTH)


def lines(decided: plan.Plan) -> list[str]:
    """One line per decision, in the order in which they are carried out, then what could not be met."""
    found = [line(step) for step in (*decided.azure, *decided.scheduler)]
    return found + [unmet(item) for item in decided.unmet]


def diff(decided: plan.Plan) -> dict[str, str]:
    """Before and after of everything that the plan touches, as Ansible shows differences."""
    before: list[str] = []
    after: list[str] = []
    for step in (*decided.azure, *decided.scheduler):
        was, will = _sides(step)
        before.extend(plain(text, LINE_LENGTH) for text in was)
        after.extend(plain(text, LINE_LENGTH) for text in will)
    return {"before": "".join(f"{text}\n" for text in before), "after": "".join(f"{text}\n" for text in after)}


def unmet(item: plan.Unmet) -> str:
    """One demand that was not met on one line, safe to print."""
    jobs = f", jobs {', '.join(item.jobs)}" if item.jobs else ""
    return plain(f"unmet{jobs}: {item.reason}", LINE_LENGTH)


def _what(step: plan.Step) -> str:
    if isinstance(step, plan.Grow):
        return f"grow {step.scale_set} from {step.current} to {step.capacity}"
    if isinstance(step, plan.Shrink):
        return f"delete {len(step.instance_ids)} of {step.scale_set} ({hostlist.compress(step.instance_ids)})"
    if isinstance(step, plan.MarkUnavailable):
        if not step.until:
            return f"forget that {step.scale_set} was unavailable"
        return f"leave {step.scale_set} alone until {clock(step.until)}"
    if isinstance(step, plan.Claim):
        return f"claim {step.hostname} ({step.address}) for {step.node}"
    if isinstance(step, plan.Add):
        return f"add {step.node} ({step.address})"
    if isinstance(step, plan.Kick):
        return "have the scheduler look at its queue"
    if isinstance(step, plan.Comment):
        return f'tell job {step.job} "{step.text}"'
    word = serial.kind(step) + (" and requeue" if isinstance(step, plan.Drain) and step.requeue else "")
    return f"{word} {hostlist.compress(step.nodes)}"


def _sides(step: plan.Step) -> tuple[list[str], list[str]]:
    if isinstance(step, plan.Grow):
        return [f"{step.scale_set}: {step.current} machines"], [f"{step.scale_set}: {step.capacity} machines"]
    if isinstance(step, plan.Shrink):
        return [f"{step.scale_set}: machine {number}" for number in step.instance_ids], []
    if isinstance(step, plan.MarkUnavailable):
        return [], [_what(step)]
    if isinstance(step, plan.Claim):
        return [f"{step.node}: no machine"], [f"{step.node}: {step.hostname} {step.address} {step.instance_id}"]
    if isinstance(step, plan.Add):
        size = f"{step.cpus} CPUs, {step.memory_mib} MiB, {step.gpus} GPUs"
        return [], [f"{step.node}: {step.hostname} {step.address}, {size}"]
    if isinstance(step, plan.Comment):
        return [], [f"job {step.job}: {step.text}"]
    if isinstance(step, plan.Kick):
        return [], [_what(step)]
    was, will = {
        plan.Release: ("claimed", "no machine"),
        plan.Drain: ("in service", step.reason),
        plan.Resume: ("out of service", "in service"),
        plan.Wake: ("powered down", "powering up"),
        plan.Remove: ("in service", "powering down"),
    }[type(step)]
    names = hostlist.compress(step.nodes)
    return [f"{names}: {was}"], [f"{names}: {will}"]
