# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure says: scale sets and instances, as values."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """One virtual machine of a Uniform scale set.

    ``id`` is the full resource id as Azure spells it (compare with ``same_id``). ``provisioning_state`` is Azure's
    (Creating, Succeeded, Failed, Deleting, ...). ``created_at`` is in seconds since the epoch, 0 when unknown.
    """

    id: str
    scale_set: str
    instance_id: str
    computer_name: str = ""
    private_ip: str = ""
    provisioning_state: str = ""
    power_state: str = ""
    created_at: int = 0
    zone: str = ""
    error: str = ""


@dataclass(frozen=True)
class Unavailable:
    """A capacity failure that must be remembered until ``until`` (epoch seconds): ``code`` is Azure's error code."""

    until: int
    code: str
    count: int = 1


@dataclass(frozen=True)
class ScaleSet:
    """A scale set of the cluster with the instances found in it; ``key`` fields say what it serves."""

    id: str
    name: str
    node_array: str
    vm_size: str
    capacity: int
    priority: str = "regular"
    zone: str = ""
    placement_group: int = 0
    provisioning_state: str = "Succeeded"
    unavailable: t.Optional[Unavailable] = None
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """All scale sets of a cluster; ``errors`` not empty means that the observation is not complete."""

    scale_sets: tuple[ScaleSet, ...] = ()
    observed_at: int = 0
    errors: tuple[str, ...] = ()


def same_id(one: str, other: str) -> bool:
    """Whether two Azure resource ids name the same resource: case does not count."""
    return one.casefold() == other.casefold()
