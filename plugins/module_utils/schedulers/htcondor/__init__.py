# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTCondor 23 and later, by its commands' JSON."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Refusal, Write

from . import commands, parse, update


class HTCondor:
    """HTCondor as the modules see it."""

    name = "htcondor"
    environment: t.Mapping[str, str] = {}
    unset = commands.UNSET_PREFIXES
    unanswered = commands.UNANSWERED

    def observe(self) -> tuple[Command, ...]:
        """Jobs first, machines second: what machines say of their use is then never older than the jobs."""
        return (
            commands.show_machines(),
            commands.show_config(),
            commands.show_jobs(),
            commands.show_collector(),
            commands.show_slots(),
        )

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """Requirements may use any attribute of the job: those that were not asked for."""
        names = parse.wanted_attributes(outputs)
        return (commands.show_more(names),) if names else ()

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """See `Scheduler.parse`."""
        return parse.queue(outputs, observed_at)

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """See `Scheduler.check`."""
        return update.check(steps)

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """See `Scheduler.writes`."""
        return update.writes(steps, queue)
