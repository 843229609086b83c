"""Sizes, quota and prices, from answers as Azure gives them."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import VmSize

from tests.unit.plugins.module_utils.azure.arm import Answer, Arm, refusal, session

HB = {
    "resourceType": "virtualMachines",
    "name": "Standard_HB120-64rs_v3",
    "family": "standardHBrsv3Family",
    "locations": ["WestEurope"],
    "locationInfo": [{"location": "westeurope", "zones": ["3", "1"]}],
    "capabilities": [
        {"name": "vCPUs", "value": "120"},
        {"name": "vCPUsAvailable", "value": "64"},
        {"name": "MemoryGB", "value": "448"},
        {"name": "RdmaEnabled", "value": "True"},
        {"name": "vCPUsPerCore", "value": "1"},
        {"name": "LowPriorityCapable", "value": "True"},
        {"name": "AcceleratedNetworkingEnabled", "value": "True"},
        {"name": "PremiumIO", "value": "True"},
        {"name": "CpuArchitectureType", "value": "x64"},
    ],
    "restrictions": [],
}


def test_a_size_is_read_from_its_capabilities() -> None:
    found = catalog.vm_size(HB, "westeurope")
    assert found == VmSize(
        "Standard_HB120-64rs_v3",
        "standardHBrsv3Family",
        vcpus=64,
        memory_mib=458752,
        rdma=True,
        accelerated_networking=True,
        zones=("1", "3"),
    )


def test_a_size_says_whether_it_takes_premium_disks() -> None:
    others = [one for one in HB["capabilities"] if one["name"] != "PremiumIO"]
    for capabilities in (others, [*others, {"name": "PremiumIO", "value": "False"}]):
        found = catalog.vm_size({**HB, "capabilities": capabilities}, "westeurope")
        assert found is not None
        assert found.premium_disks is False


def test_restrictions_are_told_apart_by_what_they_restrict() -> None:
    whole = {"type": "Location", "values": ["westeurope"], "reasonCode": "NotAvailableForSubscription"}
    zone = {"type": "Zone", "restrictionInfo": {"locations": ["westeurope"], "zones": ["1"]}, "reasonCode": "QuotaId"}
    elsewhere = {"type": "Location", "values": ["eastus"], "reasonCode": "QuotaId"}
    found = catalog.vm_size({**HB, "restrictions": [whole, zone]}, "westeurope")
    assert found is not None
    assert (found.restriction, found.restricted_zones) == ("NotAvailableForSubscription", ("1",))
    free = catalog.vm_size({**HB, "restrictions": [elsewhere]}, "westeurope")
    assert free is not None
    assert free.restriction == ""


def test_a_size_of_another_location_is_none() -> None:
    assert catalog.vm_size(HB, "eastus") is None


def test_a_catalog_is_read_in_two_requests() -> None:
    arm = Arm()
    usage = {"limit": 100, "unit": "Count", "currentValue": 5, "name": {"value": "standardHBrsv3Family"}}
    arm.script("GET", "/skus$", Answer(200, {"value": [HB, {"resourceType": "disks", "name": "P10"}]}))
    arm.script("GET", "/usages$", Answer(200, {"value": [usage]}))
    with session(arm) as azure:
        found = catalog.read(azure, "westeurope")
    assert list(found.sizes) == ["standard_hb120-64rs_v3"]
    assert found.quotas["standardhbrsv3family"].used == 5
    assert [one.query.get("$filter") for one in arm.sent if one.path.endswith("skus")] == ["location eq 'westeurope'"]
    assert len(arm.sent) == 2


def test_a_pass_asks_for_sizes_only_if_it_does_not_know_them() -> None:
    arm = Arm()
    arm.script("GET", "/skus$", Answer(200, {"value": [HB]}))
    known = catalog.sizes_in_tags([{"hpc-vm-size": "Standard_D4s_v5", "hpc-vm-facts": "4 standardDSv5Family 16384 1"}])
    with session(arm) as azure:
        found = catalog.lazily(azure, "westeurope", known)
        size = found.size("standard_d4s_V5")
        assert size is not None
        assert (size.vcpus, size.family, size.memory_mib, size.gpus) == (4, "standardDSv5Family", 16384, 1)
        assert arm.sent == []
        other = found.size("Standard_HB120-64rs_v3")
        assert other is not None
        assert (other.vcpus, len(arm.sent)) == (64, 1)
        assert found.size("Standard_Nothing") is None
        assert len(arm.sent) == 1


@pytest.mark.parametrize(
    "facts", ["", "x standardDSv5Family 1 0", "4", "4 f", "4 a b 0", "999999 f 1 0", "4 {{ x }} 1 0"]
)
def test_facts_that_make_no_sense_are_not_known(facts: str) -> None:
    assert catalog.sizes_in_tags([{"hpc-vm-size": "Standard_D4s_v5", "hpc-vm-facts": facts}]) == {}


def test_the_tag_says_what_is_read_from_it() -> None:
    size = VmSize("Standard_D4s_v5", "standardDSv5Family", 4, 16384)
    found = catalog.sizes_in_tags([{"hpc-vm-size": size.name, "hpc-vm-facts": catalog.facts_tag(size)}])[
        size.name.lower()
    ]
    assert found == size


def item(price: float, sku: str = "D4s v5", product: str = "Virtual Machines Dsv5", **more: str) -> dict[str, object]:
    return {
        "armSkuName": "Standard_D4s_v5",
        "retailPrice": price,
        "skuName": sku,
        "productName": product,
        "type": "Consumption",
        "unitOfMeasure": "1 Hour",
        **more,
    }


def test_linux_prices_are_found_among_the_others() -> None:
    items = [
        item(0.4, product="Virtual Machines Dsv5 Series Windows"),
        item(0.03, "D4s v5 Low Priority"),
        item(900.0, type="Reservation"),
        item(0.05, "D4s v5 Spot"),
        item(0.2),
    ]
    assert catalog.prices(items) == (0.2, 0.05)
    assert catalog.prices([]) == (None, None)


def test_prices_are_asked_without_our_token_and_page_by_page() -> None:
    arm = Arm()
    arm.script("GET", "/skus$", Answer(200, {"value": [{**HB, "name": "Standard_D4s_v5"}]}))
    more = f"{catalog.PRICES}?$skip=1000"
    pages = [{"Items": [item(0.2)], "NextPageLink": more}, {"Items": [item(0.05, "x Spot")], "NextPageLink": None}]
    arm.script("GET", "retail/prices", *[Answer(200, page) for page in pages])
    with session(arm) as azure:
        found = catalog.priced(azure, catalog.read(azure, "westeurope"), ["standard_d4s_v5", "Standard_Nothing"])
        size = found.size("Standard_D4s_v5")
    assert size is not None
    assert (size.price, size.spot_price) == (0.2, 0.05)
    asked = [one for one in arm.sent if "prices" in one.path]
    assert ["Authorization" in one.headers for one in asked] == [False, False]
    assert "armSkuName eq 'Standard_D4s_v5'" in asked[0].query["$filter"]


def test_a_price_list_that_is_down_is_an_error() -> None:
    arm = Arm()
    arm.script("GET", "/skus$", Answer(200, {"value": [HB]}))
    arm.script("GET", "retail/prices", *[refusal(400, "BadRequest")] * 9)
    with session(arm) as azure, pytest.raises(AzureError, match="BadRequest"):
        catalog.priced(azure, catalog.read(azure, "westeurope"), [HB["name"]])  # type: ignore[list-item]
