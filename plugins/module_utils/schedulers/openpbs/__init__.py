# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPBS and PBS Professional (same commands), by their JSON and, where that is broken, by their text."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Refusal, Write

from . import commands, formats, parse, update


class OpenPbs:
    """OpenPBS as the modules see it."""

    name = "openpbs"
    unset = commands.UNSET_PREFIXES
    unanswered = commands.UNANSWERED

    def __init__(self) -> None:
        # PBS puts its commands on the PATH of login shells only.
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *commands.FOLDERS))
        self.environment: t.Mapping[str, str] = {"PATH": path}

    def observe(self) -> tuple[Command, ...]:
        """Jobs before nodes: what the nodes say of their use is then never older than the jobs."""
        return (
            commands.show_jobs(),
            commands.show_nodes(),
            commands.show_server(),
            commands.show_queues(),
            commands.show_scheduler(),
            commands.show_resources(),
        )

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """One odd job makes the JSON of all jobs unreadable; the text shows every job on lines of its own."""
        output = outputs.get(formats.JOBS)
        if output is None or output.status != 0 or formats.is_json(output.stdout):
            return ()
        return (commands.show_jobs_as_text(),)

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """See `Scheduler.parse`."""
        return parse.queue(outputs, observed_at)

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """See `Scheduler.check`."""
        return update.check(steps)

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """See `Scheduler.writes`."""
        return update.writes(steps, queue)
