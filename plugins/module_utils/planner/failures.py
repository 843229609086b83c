# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that Azure could not make: their scale sets are left alone, longer each time; later that is forgotten."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import AutoscalePolicy
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Unavailable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions, Seen
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import COMING, Machine


def remember(view: Seen, decided: Decisions, policy: AutoscalePolicy, now: int) -> None:
    """Mark the scale sets, in the plan and in the view, whose machines could not be made."""
    codes: dict[str, set[str]] = {}
    for machine in view.machines:
        waited = machine.node is None or machine.node.phase == COMING
        if waited and machine.instance.provisioning_state.lower() == "failed":
            codes.setdefault(machine.scale_set.name.casefold(), set()).add(error_code(machine))
    for key, item in sorted(view.scale_sets.items()):
        known = item.unavailable
        if key in codes and (known is None or known.until <= now):
            count = known.count + 1 if known else 1
            wait = min(policy.backoff_max, policy.backoff_min * 2 ** min(count - 1, 20))
            found = Unavailable(now + wait, min(codes[key]), count)
            view.scale_sets[key] = dataclasses.replace(item, unavailable=found)
            decided.mark(item, found, f"{found.code}, not again for {wait} s")
        elif known is not None and known.until + policy.backoff_max < now:
            view.scale_sets[key] = dataclasses.replace(item, unavailable=None)
            decided.mark(item, Unavailable(0, known.code, 0), "that was long ago")


def error_code(machine: Machine) -> str:
    """Azure's code of what went wrong: the first word of the instance's error."""
    found: t.Optional[re.Match[str]] = re.match(r"[A-Za-z][A-Za-z0-9_.-]{0,59}", machine.instance.error.strip())
    return found.group() if found else "ProvisioningFailed"
