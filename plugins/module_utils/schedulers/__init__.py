# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scheduler has to offer: commands that observe it, text to values, and steps of a plan to commands.

Nothing here runs anything. ``modules.queue_info`` and ``modules.queue_update`` run the commands, without a shell.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue


@dataclass(frozen=True)
class Command:
    """One command: ``argv`` for exec, never for a shell; ``timeout`` in seconds; ``key`` names its output."""

    key: str
    argv: tuple[str, ...]
    timeout: int = 60


@dataclass(frozen=True)
class Output:
    """What a command answered. ``status`` is its exit status, -1 when it could not be run or did not end in time."""

    status: int
    stdout: str
    stderr: str = ""

    def said(self, most: int = 500) -> str:
        """What a command that failed said, in at most so many characters that a terminal may be shown: users' text may
        be in it."""
        text = self.stderr.strip() or self.stdout.strip()
        return "".join(char if char.isprintable() or char == "\n" else " " for char in text[:most])


@dataclass(frozen=True)
class Write:
    """One change of the scheduler's state with what it changes, as lines for a diff."""

    command: Command
    before: tuple[str, ...]
    after: tuple[str, ...]
    step: int


@dataclass(frozen=True)
class Refusal:
    """A step that cannot be carried out as it is; ``step`` is its number in the plan."""

    step: int
    message: str


class Scheduler(t.Protocol):
    """One kind of scheduler.

    ``environment`` is added to the environment of its commands, variables that begin with one of ``unset`` are taken
    out of it. ``unanswered`` are words of its commands' errors which mean that the scheduler does not answer at all.
    """

    name: str
    environment: t.Mapping[str, str]
    unset: tuple[str, ...]
    unanswered: tuple[str, ...]

    def observe(self) -> tuple[Command, ...]:
        """The commands whose outputs make a `Queue`, in the order in which they have to run."""

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """More commands that these outputs make necessary, such as another format where one is broken; usually none."""

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """The queue from the commands' outputs by key. What is not complete is named in ``errors``; never raises."""

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """What must not be carried out: values that are no node, job, address or resource id."""

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """The commands for what differs between the steps and the queue, and the steps that name unknown things."""


NAMES = ("slurm", "openpbs", "gridengine", "htcondor", "lsf", "custom")


def scheduler(name: str, options: t.Optional[t.Mapping[str, t.Any]] = None) -> Scheduler:
    """The scheduler of that name, one of `NAMES`. Raises ValueError for an unknown one.

    ``options`` are those of the definition, for a site's own scheduler, which has nothing else.
    """
    # Plain imports, each where it is used: Ansible finds what a module needs by reading them.
    if name == "slurm":
        from .slurm import Slurm

        return Slurm()
    if name == "openpbs":
        from .openpbs import OpenPbs

        return OpenPbs()
    if name == "gridengine":
        from .gridengine import GridEngine

        return GridEngine()
    if name == "htcondor":
        from .htcondor import HTCondor

        return HTCondor()
    if name == "lsf":
        from .lsf import Lsf

        return Lsf()
    if name == "custom" and options:
        from .custom import Custom

        return Custom(options)
    raise ValueError(f"unknown scheduler {name}")
