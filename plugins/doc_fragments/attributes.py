# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules promise about check mode, diff and repetition."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of modules that change something (DOCUMENTATION) and of those that only read (INFO)."""

    DOCUMENTATION = r"""
attributes:
  action_group:
    description: Use C(group/azure_hpc.cluster.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [azure_hpc.cluster.all]
  check_mode:
    description: Can run in check mode and say what it would change, without changing anything.
    support: full
  diff_mode:
    description: Says in diff mode what differs.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
attributes:
  action_group:
    description: Use C(group/azure_hpc.cluster.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [azure_hpc.cluster.all]
  check_mode:
    description: Changes nothing, in check mode or otherwise.
    support: full
  diff_mode:
    description: Says in diff mode what differs.
    support: N/A
    details: The module changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""
