# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scale sets, used as people use Azure: by azure-mgmt-compute."""

from __future__ import annotations

import re
import typing as t

import pytest
from azure.core.exceptions import ResourceNotFoundError

from tests.integration.sandbox.compute_cloud import (
    DEBIAN,
    LOCATION,
    Cloud,
    HttpResponseError,
    a_cloud,
    code,
    create_scale_set,
    grow,
    instances,
    new_name,
    power,
)


@pytest.fixture(scope="module")
def cloud(sandbox: t.Any) -> t.Iterator[Cloud]:
    yield from a_cloud(sandbox)


@pytest.fixture(scope="module")
def subnet(cloud: Cloud) -> str:
    return cloud.subnet()


@pytest.fixture
def name() -> str:
    return new_name()


class TestScaleSet:
    def test_grows_is_listed_shrinks_and_goes(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        made = create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        assert (made.sku.capacity, made.provisioning_state) == (0, "Succeeded")
        assert instances(cloud, name) == {}
        grown = grow(cloud, name, 3).result()
        assert grown.sku.capacity == 3
        found = instances(cloud, name)
        assert sorted(found) == ["0", "1", "2"]
        row = found["1"]
        assert row.name == f"{name}_1"
        assert row.os_profile.computer_name == "htc-d2sv5-000001"
        assert row.provisioning_state == "Succeeded"
        assert row.latest_model_applied
        assert power(row.instance_view) == "PowerState/running"

        sets.begin_delete_instances(cloud.group, name, {"instanceIds": ["1"]}).result()
        assert sorted(instances(cloud, name)) == ["0", "2"]
        assert sets.get(cloud.group, name).sku.capacity == 2
        grow(cloud, name, 3).result()
        assert sorted(instances(cloud, name)) == ["0", "2", "3"]
        grow(cloud, name, 1).result()
        assert sorted(instances(cloud, name)) == ["0"]
        grow(cloud, name, 2).result()
        assert sorted(instances(cloud, name)) == ["0", "4"]

        view = sets.get_instance_view(cloud.group, name)
        summary = {entry.code: entry.count for entry in view.virtual_machine.statuses_summary}
        assert summary == {"ProvisioningState/succeeded": 2}
        sets.begin_delete(cloud.group, name).result()
        with pytest.raises(ResourceNotFoundError):
            sets.get(cloud.group, name)

    def test_instances_are_listed_at_once_as_creating(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        answer = cloud.send("PATCH", cloud.path("virtualMachineScaleSets", name), {"sku": {"capacity": 2}})
        assert answer.status_code == 200
        assert "azure-asyncoperation" in answer.headers
        body = answer.json()
        assert (body["properties"]["provisioningState"], body["sku"]["capacity"]) == ("Updating", 2)
        listed = cloud.send("GET", cloud.path("virtualMachineScaleSets", name) + "/virtualMachines").json()["value"]
        assert len(listed) == 2
        assert {row["properties"]["provisioningState"] for row in listed} <= {"Creating", "Succeeded"}

    def test_tells_the_addresses_of_all_instances_in_one_list(self, cloud: Cloud, name: str) -> None:
        subnet = cloud.subnet("10.9.0.0/24")
        create_scale_set(cloud, name, cloud.scale_set(subnet, 3))
        nics = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name)
        )
        addresses = {nic.ip_configurations[0].private_ip_address for nic in nics}
        assert addresses == {"10.9.0.4", "10.9.0.5", "10.9.0.6"}
        assert {nic.virtual_machine.id.rsplit("/", 1)[1] for nic in nics} == {"0", "1", "2"}
        one = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_vm_network_interfaces(
                cloud.group, name, "2"
            )
        )
        assert [nic.ip_configurations[0].private_ip_address for nic in one] == ["10.9.0.6"]
        grow(cloud, name, 0).result()
        assert (
            list(cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name))
            == []
        )
        grow(cloud, name, 1).result()
        again = list(
            cloud.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(cloud.group, name)
        )
        assert again[0].ip_configurations[0].private_ip_address == "10.9.0.4"

    def test_instances_that_get_no_capacity_stay_failed_and_count(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 1))
        cloud.fault("add", "AllocationFailed", "--method", "PATCH", "--match", f"*/virtualMachineScaleSets/{name}")
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 3).result()
        assert code(error) == "AllocationFailed"
        found = instances(cloud, name)
        assert {number: row.provisioning_state for number, row in found.items()} == {
            "0": "Succeeded",
            "1": "Failed",
            "2": "Failed",
        }
        assert found["1"].instance_view.statuses[0].code == "ProvisioningState/failed/AllocationFailed"
        assert power(found["1"].instance_view) == ""
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.sku.capacity, made.provisioning_state) == (3, "Failed")
        cloud.compute.virtual_machine_scale_sets.begin_delete_instances(
            cloud.group,
            name,
            {"instanceIds": ["1", "2"]},
        ).result()
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.sku.capacity, made.provisioning_state) == (1, "Succeeded")

    def test_refuses_more_than_the_placement_group_and_the_quota_hold(
        self, cloud: Cloud, subnet: str, name: str
    ) -> None:
        body = cloud.scale_set(subnet, 0, size="Standard_HB120rs_v3", singlePlacementGroup=True)
        create_scale_set(cloud, name, body)
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 101).result()
        assert code(error) == "OperationNotAllowed"
        assert "exceeds the total limit of '100' Virtual Machine instances" in str(error.value)
        with pytest.raises(HttpResponseError) as error:
            grow(cloud, name, 11).result()
        assert code(error) == "OperationNotAllowed"
        assert "exceeding approved standardHBv3Family Cores quota" in str(error.value)
        assert re.search(r"Current Limit: 1200, Current Usage: \d+, Additional Required: 1320", str(error.value))
        assert cloud.compute.virtual_machine_scale_sets.get(cloud.group, name).sku.capacity == 0

    def test_usages_follow_what_exists(self, cloud: Cloud, subnet: str, name: str) -> None:
        def used() -> dict[str, int]:
            return {entry.name.value: entry.current_value for entry in cloud.compute.usage.list(LOCATION)}

        before = used()
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2, size="Standard_F4s_v2"))
        after = used()
        assert after["standardFSv2Family"] - before["standardFSv2Family"] == 8
        assert after["cores"] - before["cores"] == 8
        assert after["virtualMachines"] - before["virtualMachines"] == 2
        cloud.compute.virtual_machine_scale_sets.begin_delete(cloud.group, name).result()
        assert used() == before

    def test_spreads_over_zones_and_shrinks_the_fullest(self, cloud: Cloud, subnet: str, name: str) -> None:
        body = {**cloud.scale_set(subnet, 5), "zones": ["1", "2"]}
        create_scale_set(cloud, name, body)
        assert [row.zones[0] for row in instances(cloud, name).values()] == ["1", "2", "1", "2", "1"]
        grow(cloud, name, 2).result()
        assert sorted(row.zones[0] for row in instances(cloud, name).values()) == ["1", "2"]

    def test_actions_move_the_chosen_instances(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        sets.begin_deallocate(cloud.group, name, {"instanceIds": ["1"]}).result()
        assert {k: power(row.instance_view) for k, row in instances(cloud, name).items()} == {
            "0": "PowerState/running",
            "1": "PowerState/deallocated",
        }
        sets.begin_start(cloud.group, name).result()
        assert {power(row.instance_view) for row in instances(cloud, name).values()} == {"PowerState/running"}
        sets.begin_power_off(cloud.group, name, {"instanceIds": ["*"]}).result()
        assert {power(row.instance_view) for row in instances(cloud, name).values()} == {"PowerState/stopped"}
        answer = cloud.send("POST", cloud.path("virtualMachineScaleSets", name) + "/delete", {"instanceIds": ["77"]})
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "code": "InvalidParameter",
            "message": "The provided instanceId 77 is not an active Virtual Machine Scale Set VM instanceId.",
            "target": "instanceIds",
        }

    def test_a_changed_model_reaches_instances_by_manual_upgrade(self, cloud: Cloud, subnet: str, name: str) -> None:
        sets = cloud.compute.virtual_machine_scale_sets
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        older = {
            "virtualMachineProfile": {"storageProfile": {"imageReference": {**DEBIAN, "version": "0.20250814.2204"}}}
        }
        sets.begin_update(cloud.group, name, {"properties": older}).result()
        assert {row.latest_model_applied for row in instances(cloud, name).values()} == {False}
        sets.begin_update_instances(cloud.group, name, {"instanceIds": ["0"]}).result()
        found = instances(cloud, name)
        assert (found["0"].latest_model_applied, found["1"].latest_model_applied) == (True, False)
        assert found["0"].storage_profile.image_reference.exact_version == "0.20250814.2204"

    def test_tags_change_and_capacity_stays(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 2))
        tags = {"hpc-cluster": "demo", "hpc-unavailable": "1 AllocationFailed 1", "odd": "{{ lookup('pipe','id') }}"}
        cloud.compute.virtual_machine_scale_sets.begin_update(cloud.group, name, {"tags": tags}).result()
        made = cloud.compute.virtual_machine_scale_sets.get(cloud.group, name)
        assert (made.tags, made.sku.capacity) == (tags, 2)
        assert len(instances(cloud, name)) == 2

    def test_a_stale_etag_is_refused(self, cloud: Cloud, subnet: str, name: str) -> None:
        create_scale_set(cloud, name, cloud.scale_set(subnet, 0))
        with pytest.raises(HttpResponseError) as error:
            cloud.compute.virtual_machine_scale_sets.begin_update(
                cloud.group,
                name,
                {"sku": {"capacity": 1}},
                headers={"If-Match": '"999"'},
            ).result()
        assert error.value.status_code == 412
