# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.NetApp: accounts, capacity pools and NFS volumes of Azure NetApp Files, and the quota of a region.

A volume is what ARM tells of it, and a directory of this host that machines of its network mount from its address, as
they mount what an emulated NFS server exports. Snapshots, backups, replication, SMB and Kerberos are not there.
"""

from __future__ import annotations

from sandbox.arm.core import Core

from .accounts import Accounts, Pools
from .quota import Quota
from .shapes import STYLE
from .volumes import Volumes


def register(core: Core) -> None:
    """Add the routes and works of Microsoft.NetApp."""
    core.operations.add_style(STYLE)
    volumes = Volumes(core)
    Accounts(core, volumes.remove).register()
    Pools(core).register()
    volumes.register()
    Quota(core).register()
