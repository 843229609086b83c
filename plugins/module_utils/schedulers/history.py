# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that have ended, of any scheduler: one protocol, one package's ``history.py`` for each."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import History
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output

NAMES = ("slurm", "openpbs", "gridengine", "htcondor", "lsf")


class Reader(t.Protocol):
    """How one scheduler is asked for jobs that have ended. Times are seconds since the epoch.

    ``directory`` is where its accounting files are, '' for the usual place; a scheduler that has commands ignores it.
    """

    def commands(self, since: int, until: int, directory: str) -> tuple[Command, ...]:
        """The commands whose outputs `parse` understands."""

    def parse(self, outputs: t.Mapping[str, Output], since: int, until: int) -> History:
        """What ended from ``since`` until before ``until``. What is incomplete is named in ``errors``; never raises."""


def reader(name: str) -> Reader:
    """The reader of a scheduler, one of `NAMES`. Raises ValueError for an unknown one."""
    # Plain imports, each where it is used: Ansible finds what a module needs by reading them.
    if name == "slurm":
        from .slurm.history import SlurmHistory

        return SlurmHistory()
    if name == "openpbs":
        from .openpbs.history import OpenPbsHistory

        return OpenPbsHistory()
    if name == "gridengine":
        from .gridengine.history import GridEngineHistory

        return GridEngineHistory()
    if name == "htcondor":
        from .htcondor.history import HTCondorHistory

        return HTCondorHistory()
    if name == "lsf":
        from .lsf.history import LsfHistory

        return LsfHistory()
    raise ValueError(f"the history of {name} cannot be read")


def observe(
    reader_: Reader, since: int, until: int, run: t.Callable[[Command], Output], directory: str = ""
) -> History:
    """Run the commands and read what they say."""
    outputs = {command.key: run(command) for command in reader_.commands(since, until, directory)}
    return reader_.parse(outputs, since, until)


def failure(scheduler: str, output: Output) -> t.Optional[History]:
    """The history that says why there is none, or None when the command did well."""
    if output.status == 0:
        return None
    return History(scheduler, errors=(output.said() or "a command failed",))
