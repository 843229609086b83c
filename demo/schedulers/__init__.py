"""What the demo has to know of a scheduler: how jobs are handed in there, and how its queue looks.

One module each; ``demo/jobs/<name>/`` has its jobs and ``demo/definitions/<name>.yml`` what its cluster has otherwise
than the sandbox inventory's (which is Slurm's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from demo.session import INVENTORY, ROOT, Session
from demo.timeline import JobLine, NodeSeen

IMPOSSIBLE = "toobig"  # the name of the job that can never run


class Kind(Protocol):
    """One scheduler. ``commands`` hand the jobs in, on the login node, in the user's home directory; ``look`` is what a
    shell on the head prints for `read`, as root."""

    @property
    def name(self) -> str: ...
    @property
    def commands(self) -> Sequence[str]: ...
    @property
    def look(self) -> str: ...

    def read(self, text: str, machines: Mapping[str, str]) -> tuple[list[NodeSeen], list[JobLine]]:
        """Nodes and jobs (also those that have ended) from what ``look`` printed. ``machines``: the lower-case resource
        id of every instance by its computer name. Raises ValueError for what is not complete."""

    def nodes_of(self, session: Session, head: str, text: str) -> list[str]:
        """The names of a job's nodes, from `JobLine.nodes`."""

    def owner_sees(self, session: Session, login: str) -> tuple[str, str, str]:
        """Of the impossible job: its id, the line that its owner sees of it, and what a pass wrote on it."""

    def cancel(self, job: str) -> str:
        """The command that takes a job out of the queue."""


def kinds() -> dict[str, Kind]:
    """All that the demo knows, by name; Slurm is the default."""
    from demo.schedulers.gridengine import GridEngine
    from demo.schedulers.htcondor import HTCondor
    from demo.schedulers.slurm import Slurm

    known: tuple[Kind, ...] = (Slurm(), HTCondor(), GridEngine())
    return {kind.name: kind for kind in known}


def definition(kind: Kind) -> dict[str, Any] | None:
    """The cluster definition for this scheduler, with its templates; None where the inventory's own is it.

    Scheduler and partitions come from the scheduler's file; of the rest, dictionaries are merged and other values
    replaced.
    """
    own = ROOT / "demo/definitions" / f"{kind.name}.yml"
    if not own.exists():
        return None
    base = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())["hpc_cluster"]
    base = {key: value for key, value in base.items() if key not in ("scheduler", "partitions")}
    return _merged(base, yaml.safe_load(own.read_text()))


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def job_files(kind: Kind) -> list[Path]:
    """What jobs need: files for all schedulers, and this one's."""
    folder = ROOT / "demo/jobs"
    return sorted(path for where in (folder, folder / kind.name) for path in where.iterdir() if path.is_file())
