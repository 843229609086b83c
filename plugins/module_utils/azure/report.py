# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass tells: its result, one line per decision, and the decision log."""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.passes import Done, Result
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Plan, Step, Unmet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain

Json = dict[str, t.Any]
Explain = t.Callable[[Step], str]
ExplainUnmet = t.Callable[[Unmet], str]

_LINE = 400


def decisions(result: Result, explain: Explain, unmet: ExplainUnmet, check: bool) -> list[Json]:
    """One dictionary per decision: ``line`` (for people), ``kind``, ``outcome`` and the step itself. Pure.

    ``outcome`` is sent or refused for Azure's steps, planned for the scheduler's, unmet for what could not be had.
    """
    azure = [Done(step) for step in result.decided.azure] if check else list(result.done)
    rows = [_azure_row(one, explain, check) for one in azure]
    rows += [
        {"line": explain(step), "kind": serial.kind(step), "outcome": "planned", "step": serial.dump(step)}
        for step in result.scheduler
    ]
    rows += [
        {"line": unmet(one), "kind": "unmet", "outcome": "unmet", "step": serial.dump(one)}
        for one in result.decided.unmet
    ]
    return rows + [failure(error) for error in result.errors]


def failure(error: AzureError) -> Json:
    """The row of something that failed and is no step. Pure."""
    return {"line": plain(str(error), _LINE), "kind": "error", "outcome": "failed", "error": error.as_dict()}


def _azure_row(done: Done, explain: Explain, check: bool) -> Json:
    row: Json = {"line": explain(done.step), "kind": serial.kind(done.step), "step": serial.dump(done.step)}
    if done.error is None:
        return {**row, "outcome": "planned" if check else "sent"}
    line = plain(f"{row['line']}, but Azure refused: {done.error}", _LINE)
    return {**row, "line": line, "outcome": "refused", "error": done.error.as_dict()}


def carried_out(result: Result, check: bool) -> Plan:
    """The plan of what was done (in check mode: would be), refused steps left out, for the diff. Pure."""
    azure = result.decided.azure if check else tuple(one.step for one in result.done if one.error is None)
    return Plan(azure, result.scheduler)


def refusals(result: Result) -> list[AzureError]:
    """Everything that went wrong on Azure in a pass."""
    return [one.error for one in result.done if one.error is not None] + list(result.errors)


def outcome(result: Result, rows: t.Sequence[Json], check: bool) -> Json:
    """The result of the module, but for what only the module knows. ``plan`` is what queue_update takes. Pure."""
    plan = serial.dump(result.scheduler)
    return {
        "changed": bool(plan or (result.decided.azure if check else result.done)),
        "plan": plan,
        "azure": [{**row["step"], "outcome": row["outcome"]} for row in rows if row["kind"] in serial.AZURE_STEPS],
        "unmet": serial.dump(result.decided.unmet),
        "lines": [row["line"] for row in rows],
        "errors": [error.as_dict() for error in refusals(result)],
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
    }


def summary(found: Json) -> Json:
    """The last line of a pass in the decision log: what it cost, from the result of the module. Pure."""
    spent = sum(found["seconds"].values())
    return {
        "line": f"pass: {len(found['lines'])} decisions, {found['requests']} requests, {spent:.1f} s",
        "kind": "pass",
        "outcome": "done" if not found["errors"] else "incomplete",
        **{key: found[key] for key in ("changed", "lines", "requests", "seconds")},
    }


def append(path: str, cluster: str, now: int, rows: t.Sequence[Json]) -> None:
    """Append one line of JSON per row to the decision log; raises AzureError if it cannot be written.

    All lines go out in one write, so that passes that overlap do not mix theirs. JSON keeps hostile text on its line.
    """
    if not rows:
        return
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    lines = "".join(json.dumps({"time": stamp, "cluster": cluster, **row}, sort_keys=True) + "\n" for row in rows)
    try:
        target = os.open(os.path.expanduser(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(target, lines.encode())
        finally:
            os.close(target)
    except OSError as error:
        raise AzureError(f"the decision log {path} cannot be written: {error.strerror}", code="DecisionLog") from error
