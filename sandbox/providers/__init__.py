# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What resources do. Each provider is a module with ``register(core)``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.arm.core import Core

PROVIDERS = (
    "resources",
    "tags",
    "features",
    "locks",
    "moves",
    "deployments",
    "identity",
    "federated",
    "authorization",
    "access_questions",
    "policies",
    "network",
    "compute",
    "storagecache",
    "storage",
    "storage_services",
    "storage_shares",
    "storage_changes",
    "netapp",
    "monitor",
    "data_collection",
    "workspaces",
    "cost",
)


def register_all(core: Core) -> None:
    """Let every provider add its routes, works and services."""
    for name in PROVIDERS:
        importlib.import_module(f"{__name__}.{name}").register(core)
