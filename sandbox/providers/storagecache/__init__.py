# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.StorageCache: Azure Managed Lustre file systems with their import, export and expansion jobs.

A file system is what ARM tells of it, and a directory of this host that machines of its network mount by a stand-in for
Lustre's client (``content``, ``sandbox/machines/guest/lustre``). No Lustre server runs.
"""

from __future__ import annotations

from sandbox.arm.core import Core

from .catalogue import Catalogue
from .filesystems import FileSystems
from .job_status import KINDS
from .jobs import Jobs


def register(core: Core) -> None:
    """Add the routes and works of Microsoft.StorageCache."""
    file_systems = FileSystems(core)
    file_systems.register()
    for kind in KINDS:
        Jobs(core, kind).register()
    Catalogue(core).register()
