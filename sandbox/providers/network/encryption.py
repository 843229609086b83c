# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``encryption`` of virtual networks: kept, nothing is encrypted."""

from __future__ import annotations

from typing import Any

from sandbox.arm.errors import ArmError


def encryption(given: dict[str, Any], vnet_id: str) -> dict[str, Any]:
    """What a network tells of it; 400 for one that is to be encrypted and does not say how strictly."""
    if given.get("enabled") and not given.get("enforcement"):
        text = (
            f"Cannot encrypt VirtualNetwork {vnet_id} unless both encryption intent (Enabled true or false) and "
            "enforcement policy (AllowUnencrypted or DropUnencrypted) are specified."
        )
        raise ArmError(400, "MustSpecifyBothEncryptionIntentAndEnforcementPolicy", text, details=[])
    return {"enabled": False, "enforcement": "AllowUnencrypted", **given}
