# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the decision log says of the last pass, where passes run on this machine."""

from __future__ import annotations

import calendar
import json
import os
import time
import typing as t

from .metrics import Family

_TAIL = 512 * 1024  # bytes: more than the longest pass writes


def families(path: str, cluster: str) -> list[Family]:
    """Metrics of the last pass of a cluster; none without a log."""
    rows = last_pass(tail(path), cluster)
    if not rows:
        return []
    end = rows[-1]
    when = Family("azure_hpc_pass_timestamp_seconds", "When the last pass was.")
    when.add(_seconds(str(end.get("time", ""))))
    requests = Family("azure_hpc_pass_requests", "Requests that Azure answered in the last pass.")
    requests.add(_number(end.get("requests")))
    spent = Family("azure_hpc_pass_seconds", "How long the stages of the last pass took.")
    stages = end.get("seconds")
    for stage, value in stages.items() if isinstance(stages, dict) else ():
        spent.add(_number(value), stage=str(stage))
    decisions = Family("azure_hpc_pass_decisions", "Decisions of the last pass by kind and outcome.")
    for row in rows[:-1]:
        decisions.add(1, kind=str(row.get("kind", "")), outcome=str(row.get("outcome", "")))
    complete = Family("azure_hpc_pass_complete", "Whether all went well in the last pass.")
    complete.add(1 if end.get("outcome") == "done" else 0)
    return [when, requests, spent, decisions, complete]


def tail(path: str) -> list[str]:
    """The last whole lines of a file; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            begin = max(0, file.tell() - _TAIL)
            file.seek(begin)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return lines[1:] if begin else lines


def last_pass(lines: t.Sequence[str], cluster: str) -> list[dict[str, t.Any]]:
    """The rows of the last pass that ended, the one that ends it included."""
    rows = [row for row in map(_row, lines) if row.get("cluster") == cluster]
    ends = [index for index, row in enumerate(rows) if row.get("kind") == "pass"]
    if not ends:
        return []
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    end = rows[ends[-1]]
    # All lines of a pass are written at once, with one time: others are of a pass that was killed.
    return [row for row in rows[begin : ends[-1]] if row.get("time") == end.get("time")] + [end]


def _row(line: str) -> dict[str, t.Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _number(value: t.Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _seconds(stamp: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return 0.0
