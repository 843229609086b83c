# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subscription uses of its network limits in one region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers import common

# Azure's default limits. name: (shown name, resource type, limit)
LIMITS = {
    "VirtualNetworks": ("Virtual Networks", "virtualNetworks", 1000),
    "PublicIPAddresses": ("Public IP Addresses", "publicIPAddresses", 1000),
    "StaticPublicIPAddresses": ("Static Public IP Addresses", "publicIPAddresses", 1000),
    "StandardSkuPublicIpAddresses": ("Public IPv4 Addresses - Standard", "publicIPAddresses", 1000),
    "NetworkSecurityGroups": ("Network Security Groups", "networkSecurityGroups", 5000),
    "NetworkInterfaces": ("Network Interfaces", "networkInterfaces", 65536),
    "NatGateways": ("Nat Gateways", "natGateways", 1000),
}
COUNTED: dict[str, Callable[[Resource], bool]] = {
    "StaticPublicIPAddresses": lambda found: found.properties["publicIPAllocationMethod"] == "Static",
    "StandardSkuPublicIpAddresses": lambda found: found.body["sku"]["name"] == "Standard",
}


def register(core: Core) -> None:
    def usages(request: Request) -> Answer:
        place = common.normal(request.params["location"])
        return Answer(200, {"value": [_usage(core, request.subscription, place, name) for name in LIMITS]})

    path = "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
    core.router.add("GET", path, usages, type="Microsoft.Network/locations/usages", kind="list")


def _any(found: Resource) -> bool:
    return True


def _usage(core: Core, subscription: str, location: str, name: str) -> dict[str, Any]:
    shown, kind, limit = LIMITS[name]
    counted = COUNTED.get(name, _any)
    found = core.store.list(f"Microsoft.Network/{kind}", subscription=subscription)
    return {
        "currentValue": sum(1 for one in found if one.body["location"] == location and counted(one)),
        "id": f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages/{name}",
        "limit": limit,
        "name": {"localizedValue": shown, "value": name},
        "unit": "Count",
        "isAdjustable": True,
    }
