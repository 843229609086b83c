# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines say of themselves, why they must take no jobs, in words for those who wait for them."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.demand import JobClass
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.nodes import Node, NodeView, short
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.stacks import Kind
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import Machine


def says(said: str) -> str:
    """What one machine says, as an addition to what is said of it; '' if it says nothing."""
    return f" (it says: {said})" if said else ""


def they_say(view: NodeView, kinds: t.Mapping[str, Kind], item: JobClass) -> str:
    """Which machines must take no jobs, and why, as an addition to why jobs of a class wait that could run there; '' if
    there are none. ``kinds`` by scale set, in lower case."""
    found = []
    for machine in view.machines:
        said = machine.node.said if isinstance(machine.node, Node) else machine.said
        kind = kinds.get(machine.scale_set.name.casefold())
        suits = kind is not None and kind.serves(item) and any(map(kind.has, item.pieces))
        if said and suits and not machine.leaving:
            found.append((short(machine.instance.computer_name), said))
    if not found:
        return ""
    more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
    return f" ({found[0][0]} takes no jobs: {found[0][1]}{more})"


def held_up(placements: t.Iterable[tuple[Job, t.Sequence[t.Any]]]) -> dict[str, str]:
    """Jobs (by id) with a machine that boots and says why it cannot join, in words for their owners."""
    found: dict[str, str] = {}
    for job, tags in placements:
        for tag in tags:
            if isinstance(tag, Machine) and tag.said and job.id not in found:
                found[job.id] = f"its machine {short(tag.instance.computer_name)} is there, but says: {tag.said}"
    return found
