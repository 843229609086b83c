# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all schedulers refuse in the steps of a plan: values that are not what they should be."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Refusal


def refusals(
    steps: t.Sequence[SchedulerStep], check: t.Callable[[SchedulerStep], t.Iterator[str]]
) -> tuple[Refusal, ...]:
    """Everything that ``check`` says of the steps, with their numbers."""
    return tuple(Refusal(number, message) for number, step in enumerate(steps) for message in check(step))


def mismatch(pattern: t.Pattern[str], what: str, value: str) -> t.Iterator[str]:
    """Says that a value as a whole is not what it should be."""
    if not pattern.fullmatch(value):
        yield f"{value!r} is not a {what}"


def names(pattern: t.Pattern[str], nodes: t.Sequence[str]) -> t.Iterator[str]:
    """Says what is wrong with the nodes of a step: there have to be some, and each has a node's name."""
    if not nodes:
        yield "names no node"
    for node in nodes:
        yield from mismatch(pattern, "node name", node)
