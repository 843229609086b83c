# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which powered down nodes Slurm may choose: none that Azure cannot give now, all others again; and the kept ones."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, kept_nodes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.decisions import Decisions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.limits import Limits, Room
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.supply import Key, Supply, key_of
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.view import (
    COMING,
    GOING,
    OFF,
    PREFIX,
    NodeState,
    View,
)


class Service:
    """Decides for nodes that are off, or were taken out of service on their way up.

    ``blocked`` says afterwards what is in the way of a kind of node. Room is looked at only where it matters.
    """

    def __init__(
        self, cluster: Cluster, layout: Layout, view: View, decided: Decisions, limits: Limits, supply: Supply
    ) -> None:
        self._cluster, self._layout, self._view = cluster, layout, view
        self._decided, self._limits, self._supply = decided, limits, supply
        self._some_node: dict[Key, str] = {}
        self._room: dict[Key, tuple[int, Room]] = {}

    def blocked(self, key: Key) -> t.Optional[Room]:
        """What is in the way of nodes of this kind, or None if one more could be served."""
        headroom, room = self._headroom(key)
        return None if headroom else room

    def _headroom(self, key: Key) -> tuple[int, Room]:
        if key not in self._room:
            self._room[key] = self._supply.headroom(self._some_node[key])
        return self._room[key]

    def decide(self) -> None:
        """Drain, resume and wake nodes that are powered down."""
        kept = frozenset(kept_nodes(self._cluster))
        off: dict[Key, list[NodeState]] = {}
        returning: dict[Key, int] = {}
        for state in self._view.nodes:
            if state.place is None:
                continue
            key = key_of(state.place)
            if state.phase == GOING or "POWER_DOWN" in state.node.flags:
                returning[key] = returning.get(key, 0) + (not state.out_of_service)
            # A node that was drained while it came up has lost its jobs, and waits here like one that is off.
            elif (
                (state.phase == OFF or (state.phase == COMING and state.ours)) and not state.busy and not state.machine
            ):
                off.setdefault(key, []).append(state)
        for group in self._layout.node_groups:
            for part in group.placement_groups or (None,):
                key = (group.prefix, part.index if part else 0)
                self._some_node[key] = f"{group.prefix}-{part.first if part else 1}"
                self._decide_alike(key, off.get(key, []), returning.get(key, 0), kept)

    def _decide_alike(self, key: Key, off: t.Sequence[NodeState], returning: int, kept: t.AbstractSet[str]) -> None:
        ready = [state for state in off if not state.out_of_service]
        unavailable = self._supply.unavailable(self._some_node[key])
        if unavailable is not None:
            for state in ready:
                self._decided.drain(state, PREFIX + unavailable.reason, requeue=False)
            return
        waiting = [state for state in off if state.ours and not state.node.instance_id]
        asked = [state for state in ready if state.name in kept and "POWER_UP" not in state.node.flags]
        if not waiting and not asked:
            return
        headroom = self._headroom(key)[0]
        # No more nodes go back into service than could be served, or Slurm would choose them in vain.
        for state in waiting[: max(0, headroom - len(ready) - returning)]:
            self._decided.resume(state, "it can be served again")
        for state in asked[:headroom]:
            self._decided.wake(state, "min_nodes keeps it running")
