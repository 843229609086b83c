# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster definition may say to each kind of scheduler: its keys, its options, its own rules."""

from __future__ import annotations

import abc
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section


class Kind(abc.ABC):
    """One kind of scheduler in the definition.

    ``keys`` are those of the section ``scheduler`` beside ``type``; ``queues`` is the key under which queues are listed
    (Slurm's word for them is partitions); ``needs_queues``: whether every node array has to be in one.
    """

    keys: tuple[str, ...] = ()
    queues = "queues"
    needs_queues = True

    @abc.abstractmethod
    def read(self, section: Section) -> dict[str, t.Any]:
        """The section ``scheduler`` as plain data, one item per key; mistakes are noted in the section."""

    @abc.abstractmethod
    def queue_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """The options of one queue, as its configuration takes them."""

    @abc.abstractmethod
    def node_options(self, section: Section, key: str) -> dict[str, t.Any]:
        """The options of the nodes of one node array, as their configuration takes them."""

    @abc.abstractmethod
    def check(self, mistakes: Mistakes, cluster: Cluster) -> None:
        """Rules that need more than one value. Where a value is wrong already, no rule repeats it."""


def kinds() -> dict[str, Kind]:
    """All kinds by the name that ``scheduler.type`` has for them."""
    from .custom import Custom
    from .gridengine import GridEngine
    from .htcondor import HTCondor
    from .lsf import Lsf
    from .openpbs import OpenPbs
    from .slurm import Slurm

    return {
        "custom": Custom(),
        "gridengine": GridEngine(),
        "htcondor": HTCondor(),
        "lsf": Lsf(),
        "openpbs": OpenPbs(),
        "slurm": Slurm(),
    }


def options(section: t.Any) -> t.Optional[dict[str, t.Any]]:
    """The options of a site's own scheduler as a definition has them. Raises ValueError with every mistake at once."""
    if section is None:
        return None
    from .custom import Custom

    kind, mistakes = Custom(), Mistakes()
    found = kind.read(Section(mistakes, section, "custom", ("type", *kind.keys)))
    if mistakes.sorted():
        raise ValueError("; ".join(map(str, mistakes.sorted())))
    return found
