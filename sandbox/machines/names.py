# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of everything a driver makes on this host, all derived from the state directory and resource ids.

A name that can be computed needs no record: whatever a killed server left behind is found by its prefix.
Network interface names may have 15 characters.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

STEM = "azs"
_PREFIX_DIGITS = 6
PREFIX_LENGTH = len(STEM) + _PREFIX_DIGITS


def digest(text: str, digits: int = 10) -> str:
    """A short stable name for a resource id; case does not count."""
    return hashlib.sha256(text.casefold().encode()).hexdigest()[:digits]


def prefix_of(state: Path) -> str:
    """The prefix of all names that belong to the state directory ``state``."""
    return STEM + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:_PREFIX_DIGITS]


def is_prefix(text: str) -> bool:
    """Whether ``text`` can be a prefix, so that nothing else is ever swept by mistake."""
    digits = text.removeprefix(STEM)
    return text != digits and len(digits) == _PREFIX_DIGITS and set(digits) <= set("0123456789abcdef")


def router_namespace(prefix: str, vnet_id: str) -> str:
    """The network namespace that routes for a virtual network."""
    return f"{prefix}-r-{digest(vnet_id)}"


def machine_name(prefix: str, arm_id: str) -> str:
    """The network namespace, control group and container of a machine all have this name."""
    return f"{prefix}-m-{digest(arm_id)}"


def uplink(prefix: str, slot: int) -> str:
    """The host's end of the link to a router; ``slot`` numbers the links of the host."""
    return f"{prefix}{slot:x}"


def bridge(subnet_id: str) -> str:
    """A subnet's bridge inside the router namespace."""
    return f"b{digest(subnet_id)}"


def port(arm_id: str) -> str:
    """A machine's port on its bridge, inside the router namespace."""
    return f"m{digest(arm_id)}"
