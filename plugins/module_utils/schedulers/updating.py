# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out the scheduler's part of a plan: check everything, read the queue, write only what differs."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Scheduler, Write, run


class UpdateError(ValueError):
    """Nothing was changed: the plan holds values that must not be carried out, or the queue could not be read."""


def read_steps(plan: t.Sequence[t.Any]) -> tuple[SchedulerStep, ...]:
    """The scheduler's steps of plain data. Raises serial.SerialError for what is no such step."""
    steps = []
    for index, item in enumerate(plan):
        step = serial.load_step(item, f"plan[{index}]")
        if serial.kind(step) not in serial.SCHEDULER_STEPS:
            raise serial.SerialError(f"plan[{index}].step", f"{serial.kind(step)} is not for the scheduler")
        steps.append(t.cast(SchedulerStep, step))
    return tuple(steps)


def update(scheduler: Scheduler, steps: t.Sequence[SchedulerStep], run_: run.Run, dry: bool) -> dict[str, t.Any]:
    """Carry the steps out; with ``dry`` only say what would be done.

    Answers changed, commands (step, argv, status, stderr), failures (step, message) and diff. Raises UpdateError.
    """
    refusals = scheduler.check(steps)
    if refusals:
        raise UpdateError("; ".join(f"plan[{refusal.step}]: {refusal.message}" for refusal in refusals))
    if not steps:
        return {"changed": False, "commands": [], "failures": []}
    queue = run.observe(scheduler, run_)
    if queue.errors:
        raise UpdateError(f"the queue could not be read, nothing was changed: {'; '.join(queue.errors)}")
    writes, unknown = scheduler.writes(steps, queue)
    failures = [{"step": refusal.step, "message": refusal.message} for refusal in unknown]
    if dry:
        commands = [{"step": w.step, "argv": list(w.command.argv), "status": 0, "stderr": ""} for w in writes]
    else:
        commands = run.apply(scheduler, writes, run_)
    failures += [{"step": c["step"], "message": _failure(c)} for c in commands if c["status"] != 0]
    if len(commands) < len(writes):
        left = f"{len(writes) - len(commands)} commands were not tried; the next pass continues"
        failures.append({"step": writes[len(commands)].step, "message": left})
    worked = [write for write, command in zip(writes, commands) if command["status"] == 0]
    return {"changed": bool(worked), "commands": commands, "failures": failures, "diff": _diff(worked)}


def summary(failures: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """All failures on one line."""
    return "; ".join(f"plan[{failure['step']}]: {failure['message']}" for failure in failures)


def _failure(command: t.Mapping[str, t.Any]) -> str:
    return f"{' '.join(command['argv'][:3])}: {command['stderr'] or command['status']}"


def _diff(writes: t.Sequence[Write]) -> dict[str, str]:
    sides = [[line for write in writes for line in getattr(write, side)] for side in ("before", "after")]
    before, after = ("".join(f"{line}\n" for line in lines) for lines in sides)
    return {"before": before, "after": after}
