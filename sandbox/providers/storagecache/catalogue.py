# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Microsoft.StorageCache offers: SKUs, usages, and checks of subnets before a file system is made."""

from __future__ import annotations

import ipaddress
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.providers.common import REGIONS, normal
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.interfaces import subnet_of

from . import shapes
from .shapes import FILE_SYSTEM, Json

LIMIT = 4
_HEAD = "/subscriptions/{subscription}/providers/Microsoft.StorageCache"


class Catalogue:
    """Handlers that depend on no file system."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        add = self._core.router.add
        add("GET", f"{_HEAD}/skus", self.skus, type="Microsoft.StorageCache/skus")
        usages = "Microsoft.StorageCache/locations/usages"
        add("GET", f"{_HEAD}/locations/{{location}}/usages", self.usages, type=usages)
        add("POST", f"{_HEAD}/getRequiredAmlFSSubnetsSize", self.required_size, type=FILE_SYSTEM)
        add("POST", f"{_HEAD}/checkAmlFSSubnets", self.check_subnets, type=FILE_SYSTEM)

    def skus(self, _unused: Request) -> Answer:
        entries = [
            shapes.sku_entry(sku, region.name, ["1", "2", "3"])
            for region in REGIONS
            if region.zones
            for sku in shapes.SKUS.values()
        ]
        return Answer(200, {"value": entries})

    def usages(self, request: Request) -> Answer:
        place = normal(request.params["location"])
        counts = {"Cache": 0, "AmlFilesystem": used(self._core, request.subscription, place)}
        entries = [
            {"name": {"value": name, "localizedValue": name}, "currentValue": count, "limit": LIMIT, "unit": "Count"}
            for name, count in counts.items()
        ]
        return Answer(200, {"value": entries})

    def required_size(self, request: Request) -> Answer:
        body: Json = request.body or {}
        capacity = shapes.capacity_of(shapes.sku_of(body), body.get("storageCapacityTiB"))
        return Answer(200, {"filesystemSubnetSize": shapes.addresses_needed(capacity)})

    def check_subnets(self, request: Request) -> Answer:
        """200 without a body if the subnet will do; otherwise what is wrong with it, which is not an ARM error."""
        body: Json = request.body or {}
        capacity = shapes.capacity_of(shapes.sku_of(body), body.get("storageCapacityTiB"))
        wrong = subnet_problem(self._core, str(body.get("filesystemSubnet") or ""), capacity)
        if wrong:
            return Answer(400, {"filesystemSubnet": {"status": "Invalid", "message": wrong}})
        return Answer(200)


def used(core: Core, subscription: str, location: str) -> int:
    """How many file systems a subscription has in a region."""
    return sum(entry.body["location"] == location for entry in core.store.list(FILE_SYSTEM, subscription=subscription))


def subnet_problem(core: Core, subnet_id: str, capacity: float) -> str:
    """Why a file system of a capacity (TiB) cannot live in a subnet; empty if it can."""
    found: dict[str, Any] | None = subnet_of(core, subnet_id)
    if found is None:
        return f"The subnet {subnet_id} was not found."
    bits = shapes.subnet_bits(capacity)
    if ipaddress.ip_network(prefix_of(found)).prefixlen > bits:
        return f"A subnet with a minimum size of /{bits} is required."
    return ""


def check_quota(core: Core, subscription: str, location: str) -> None:
    """409 OperationNotAllowed if the subscription has all the file systems of the region that it may have."""
    count = used(core, subscription, location)
    if count >= LIMIT:
        message = (
            f"Operation results in exceeding quota limits of resource type AmlFilesystem. Maximum allowed: {LIMIT}, "
            f"Current in use: {count}, Additional requested: 1."
        )
        raise ArmError(409, "OperationNotAllowed", message)
