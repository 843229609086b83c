# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices of VM sizes in the shape of the retail price list."""

from __future__ import annotations

import functools
import uuid
from typing import Any

from . import sizes
from .sizes import Size

_PRICES_SINCE = "2024-01-01T00:00:00Z"
_METER_NAMESPACE = uuid.UUID("6f1f2f4e-52f2-5c0d-9d5a-0f6a0f6f3f11")


def price(size: Size, location: str, *, spot: bool = False) -> float | None:
    """USD/hour in the region, None if it is not sold so."""
    base = size.spot_price if spot else size.price
    if base is None or location not in size.regions:
        return None
    return round(base * sizes.regions()[location].price_factor, 6)


def _meter(size: Size, location: str, kind: str) -> str:
    return str(uuid.uuid5(_METER_NAMESPACE, f"{size.name}/{location}/{kind}"))


@functools.cache
def price_items(location: str) -> list[dict[str, Any]]:
    """Items of the retail price list for the VM sizes of a region (Linux): consumption, Spot and Low Priority meters.

    As in the real list, Spot and Low Priority are told from regular prices only by ``skuName`` and ``meterName``.
    """
    place = sizes.normal_location(location)
    items = []
    for size in sizes.in_region(place):
        label = size.short.replace("_", " ")
        regular = price(size, place)
        low = price(size, place, spot=True)
        rows = [("", "", regular), (" Spot", "spot", low), (" Low Priority", "low", low)]
        for suffix, kind, amount in rows:
            if amount is not None:
                items.append(_price_item(size, place, label + suffix, kind, amount))
    return items


def _price_item(size: Size, location: str, label: str, kind: str, amount: float) -> dict[str, Any]:
    product = str(uuid.uuid5(_METER_NAMESPACE, size.product)).replace("-", "")[:12].upper()
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": amount,
        "unitPrice": amount,
        "armRegionName": location,
        "location": sizes.regions()[location].billing,
        "effectiveStartDate": _PRICES_SINCE,
        "meterId": _meter(size, location, kind),
        "meterName": label,
        "productId": "DZH318Z0" + product[:4],
        "skuId": f"DZH318Z0{product[:4]}/{product[4:8]}",
        "productName": f"Virtual Machines {size.product}",
        "skuName": label,
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": size.name,
    }
