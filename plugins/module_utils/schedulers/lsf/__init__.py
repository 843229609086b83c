# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IBM Spectrum LSF 10.1, by the JSON of its commands. Made from its documentation: docs/lsf.md says what is untried."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Refusal, Write

from . import commands, parse, update


class Lsf:
    """LSF as the modules see it."""

    name = "lsf"
    unset = commands.UNSET_PREFIXES
    unanswered = commands.UNANSWERED

    def __init__(self) -> None:
        # The role links the commands there; LSF itself is found through /etc/lsf.conf.
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *commands.FOLDERS))
        self.environment: t.Mapping[str, str] = {"PATH": path}

    def observe(self) -> tuple[Command, ...]:
        """Jobs before hosts: what the hosts say of their use is then never older than the jobs."""
        return (
            commands.show_jobs(),
            commands.show_ended(),
            commands.show_queues(),
            commands.show_parameters(),
            commands.show_static(),
            commands.show_labels(),
            commands.show_hosts(),
        )

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """Older fix packs do not know all fields of hosts and then show none."""
        output = outputs.get(commands.HOSTS)
        if output is None or output.status in (0, -1) or any(words in output.stderr for words in self.unanswered):
            return ()
        return (commands.show_hosts(commands.HOST_FIELDS_OF_OLD),)

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """See `Scheduler.parse`."""
        return parse.queue(outputs, observed_at)

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """See `Scheduler.check`."""
        return update.check(steps)

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """See `Scheduler.writes`."""
        return update.writes(steps, queue)
