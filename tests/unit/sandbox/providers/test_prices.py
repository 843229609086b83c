# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.arm.core import Core, Settings
from sandbox.arm.messages import Request
from sandbox.arm.store import Store
from sandbox.providers.prices import Prices, parse

ITEM = {"armRegionName": "westeurope", "skuName": "D4s v5 Spot", "type": "Consumption", "isPrimaryMeterRegion": True}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("armRegionName eq 'westeurope'", True),
        ("armregionname eq 'westeurope' and type ne 'Reservation'", True),
        ("armRegionName eq 'eastus' or contains(skuName, 'Spot')", True),
        ("(armRegionName eq 'eastus' or endswith(skuName,'Low')) and type eq 'Consumption'", False),
        ("startswith(skuName, 'D4s') and isPrimaryMeterRegion eq true", True),
        ("skuName eq 'it''s'", False),
    ],
)
def test_filters_choose_items(text: str, matches: bool) -> None:
    assert parse(text)(ITEM) is matches


@pytest.mark.parametrize(
    "text", ["armRegionName", "a eq", "a gt 'b'", "(a eq 'b'", "a eq 'b' c", "contains(a)", "a ~ 'b'"]
)
def test_filters_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(text)


def test_long_lists_come_in_pages_that_link_to_each_other(tmp_path: Path) -> None:
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    core.offer("retail_prices", lambda: [{"meterId": str(number)} for number in range(2500)])

    def page(query: dict[str, str]) -> dict[str, object]:
        request = Request(core, "GET", "/api/retail/prices", {}, query, {}, "https://prices.azure.com")
        body: dict[str, object] = Prices(core).answer(request).body
        return body

    first, last = page({}), page({"$skip": "2000"})
    assert (first["Count"], first["NextPageLink"]) == (1000, "https://prices.azure.com/api/retail/prices?&$skip=1000")
    assert (last["Count"], last["NextPageLink"]) == (500, None)


def test_filters_call_the_type_of_an_item_price_type() -> None:
    assert parse("priceType eq 'Consumption'")({"type": "Consumption"})
    assert not parse("priceType eq 'Reservation'")({"type": "Consumption"})
