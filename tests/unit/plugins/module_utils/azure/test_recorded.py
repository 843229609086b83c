"""What we read from Azure, held against answers that Azure really gave."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import catalog, fleet

from tests.unit.plugins.module_utils.azure.arm import Answer, Arm, session

FIXTURES = Path(__file__).parents[3] / "fixtures" / "azure"


def recorded(name: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


def test_instances_of_a_scale_set() -> None:
    first, second = fleet.instances("vmss1", recorded("scale_set_instances")["value"], [])
    assert (first.instance_id, first.computer_name, first.provisioning_state) == ("0", "vmss1e119000000", "Updating")
    assert first.id.endswith("/virtualMachineScaleSets/vmss1/virtualMachines/0")
    assert (first.created_at, first.power_state, first.private_ip) == (1724660844, "", "")
    assert second.instance_id == "1"


def test_the_private_address_of_a_machine() -> None:
    found = fleet.private_addresses(recorded("interfaces")["value"])
    (machine,) = recorded("interfaces")["value"]
    owner = machine["properties"]["virtualMachine"]["id"]
    assert found == {owner.casefold(): "10.0.0.4"}


def test_sizes_and_quota_of_a_location() -> None:
    arm = Arm()
    arm.script("GET", "/skus$", Answer(200, recorded("skus")))
    arm.script("GET", "/usages$", Answer(200, recorded("usages")))
    with session(arm) as azure:
        found = catalog.read(azure, "westeurope")
    assert sorted(found.sizes) == ["standard_d2s_v3", "standard_hb60rs", "standard_hc44rs", "standard_nc6s_v3"]
    hc, d2 = found.sizes["standard_hc44rs"], found.sizes["standard_d2s_v3"]
    assert (hc.vcpus, hc.memory_mib, hc.rdma, hc.family) == (44, 335697, True, "standardHCSFamily")
    assert hc.restriction == "NotAvailableForSubscription"
    assert (d2.vcpus, d2.vcpus_per_core, d2.restriction, d2.zones) == (2, 2, "", ("1", "2", "3"))
    assert found.sizes["standard_nc6s_v3"].gpus == 1
    assert (found.quotas["cores"].limit, found.quotas["cores"].used) == (100, 5)
    assert found.quotas["standardhbsfamily"].limit == 0
