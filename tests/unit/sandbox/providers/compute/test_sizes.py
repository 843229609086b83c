# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, quota names and prices."""

from __future__ import annotations

import pytest

from sandbox.arm.errors import ArmError
from sandbox.providers.compute import price_list, sizes
from sandbox.providers.compute.limits import quota_exceeded, require_size


def facts(name: str, location: str) -> dict[str, str]:
    size = sizes.find(name)
    assert size is not None
    entry = sizes.sku_entry(size, location)
    return {fact["name"]: fact["value"] for fact in entry["capabilities"]}


def test_every_size_has_a_family_with_a_quota_and_is_offered_somewhere() -> None:
    for size in sizes.sizes().values():
        assert size.family in sizes.quota_defaults()
        assert size.regions
        assert set(size.regions) <= set(sizes.regions())
        for location, zones in size.regions.items():
            assert set(zones) <= set(sizes.regions()[location].zones)


def test_a_constrained_size_shows_what_the_guest_gets_beside_what_is_billed() -> None:
    constrained = facts("Standard_HB120-32rs_v3", "westeurope")
    assert (constrained["vCPUs"], constrained["vCPUsAvailable"], constrained["ParentSize"]) == (
        "120",
        "32",
        "HB120rs_v3",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("standard_hb176rs_v4", {"vCPUs": "176", "MemoryGB": "768", "RdmaEnabled": "True", "HyperVGenerations": "V2"}),
        ("Standard_ND96isr_H100_v5", {"vCPUs": "96", "GPUs": "8", "MemoryGB": "1900", "RdmaEnabled": "True"}),
        ("Standard_D4s_v5", {"vCPUs": "4", "MemoryGB": "16", "vCPUsPerCore": "2", "RdmaEnabled": "False"}),
        ("Standard_D2ps_v5", {"CpuArchitectureType": "Arm64", "vCPUsPerCore": "1"}),
        ("Standard_B2s", {"LowPriorityCapable": "False", "MaxNetworkInterfaces": "3"}),
    ],
)
def test_sizes_carry_azures_facts(name: str, expected: dict[str, str]) -> None:
    assert expected.items() <= facts(name, "eastus").items()


def test_regions_offer_different_sizes() -> None:
    north = {size.name for size in sizes.in_region("North Europe")}
    assert "Standard_HB120rs_v3" not in north
    assert {"Standard_D4s_v5", "Standard_HB120rs_v2"} <= north


def test_a_restricted_size_is_listed_with_its_reason() -> None:
    listed = {entry["name"]: entry for entry in sizes.skus("westeurope") if entry["resourceType"] == "virtualMachines"}
    reasons = [(entry["type"], entry["reasonCode"]) for entry in listed["Standard_HC44rs"]["restrictions"]]
    assert reasons == [("Location", "NotAvailableForSubscription"), ("Zone", "NotAvailableForSubscription")]
    assert listed["Standard_HB120rs_v3"]["restrictions"] == []


@pytest.mark.parametrize(
    ("name", "zones", "status", "code"),
    [
        ("Standard_Nonsense", [], 400, "InvalidParameter"),
        ("Standard_ND96isr_H100_v5", [], 400, "InvalidParameter"),
        ("Standard_HC44rs", [], 409, "SkuNotAvailable"),
        ("Standard_HB120rs_v3", ["1"], 409, "SkuNotAvailable"),
        ("Standard_NC6s_v3", ["1"], 409, "SkuNotAvailable"),
    ],
)
def test_a_size_that_can_not_be_had_is_refused_in_azures_words(
    name: str, zones: list[str], status: int, code: str
) -> None:
    with pytest.raises(ArmError) as refusal:
        require_size(name, "westeurope", zones)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert name in refusal.value.message


def test_a_size_without_spot_is_refused_as_spot() -> None:
    with pytest.raises(ArmError, match="AzureSpotIsNotSupportedForThisVMSize"):
        require_size("Standard_B2s", "westeurope", spot=True)
    assert require_size("standard_b2s", "westeurope").name == "Standard_B2s"


def test_spot_prices_are_told_from_regular_ones_by_the_names_only() -> None:
    items = [item for item in price_list.price_items("westeurope") if item["armSkuName"] == "Standard_D4s_v5"]
    by_name = {item["skuName"]: item["retailPrice"] for item in items}
    assert set(by_name) == {"D4s v5", "D4s v5 Spot", "D4s v5 Low Priority"}
    assert by_name["D4s v5 Spot"] < by_name["D4s v5"]
    assert len({item["meterId"] for item in items}) == 3
    names = {item["skuName"] for item in price_list.price_items("westeurope") if item["armSkuName"] == "Standard_B2s"}
    assert names == {"B2s"}


def test_the_quota_text_has_the_numbers_that_clients_read() -> None:
    error = quota_exceeded("sub", "eastus", "standardFSv2Family", 50, 48, 4)
    for part in (
        "exceeding approved standardFSv2Family Cores quota. Additional details - Deployment Model: Resource Manager",
        "Location: eastus, Current Limit: 50, Current Usage: 48, Additional Required: 4",
        "(Minimum) New Limit Required: 52. ",
    ):
        assert part in error.message
    assert "%22resourceName%22:%22standardFSv2Family%22" in error.message
    assert "LowPriorityCores quota" in quota_exceeded("sub", "eastus", "lowPriorityCores", 1, 1, 1).message
    assert "Total Regional Cores quota" in quota_exceeded("sub", "eastus", "cores", 1, 1, 1).message
