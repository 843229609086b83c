# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid Engine 8.1.9, by the XML of its commands and the texts of qconf."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Refusal, Write

from . import commands, update
from . import parse as reader


class GridEngine:
    """Grid Engine as the modules see it."""

    name = reader.NAME
    environment = commands.ENVIRONMENT
    unset = commands.UNSET_PREFIXES
    unanswered = commands.UNANSWERED

    def observe(self) -> tuple[Command, ...]:
        """Jobs first, hosts second: what the hosts say of their use is then never older than the jobs."""
        return (
            commands.show_jobs(),
            commands.show_hosts(),
            commands.show_complexes(),
            commands.show_queues(),
            commands.show_groups(),
            commands.show_environments(),
            commands.show_submit_hosts(),
            commands.show_quotas(),
            commands.show_configuration(),
            commands.show_scheduler(),
        )

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """See `Scheduler.again`."""
        return reader.again(outputs)

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """See `Scheduler.parse`."""
        return reader.queue(outputs, observed_at)

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """See `Scheduler.check`."""
        return update.check(steps)

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """See `Scheduler.writes`."""
        return update.writes(steps, queue)
