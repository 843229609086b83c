"""Observing a fleet: how many requests, what is read, and that a failure is never taken for emptiness."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Unavailable
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.azure.arm import refusal, session
from tests.unit.plugins.module_utils.azure.scale_set_world import World


def observe(world: World) -> fleet.Observation:
    with session(world) as azure:
        return fleet.observe(azure, "demo-rg", "demo", 100)


def test_a_fleet_is_read_with_its_addresses_names_and_times() -> None:
    world = World()
    world.scale_set("demo-htc-d4sv5", instances=2, hpc_placement_group="3", hpc_priority="spot")
    (found,) = observe(world).fleet.scale_sets
    assert (found.node_array, found.capacity, found.placement_group, found.priority) == ("htc", 2, 3, "spot")
    first = found.instances[0]
    assert (first.instance_id, first.private_ip, first.computer_name) == ("0", "10.0.1.4", "4sv5000000")
    assert (first.created_at, first.provisioning_state) == (1795165200, "Succeeded")


@pytest.mark.parametrize("nodes", [1, 40])
def test_requests_grow_with_the_scale_sets_that_have_instances_not_with_nodes(nodes: int) -> None:
    world = World()
    world.scale_set("demo-a", instances=nodes)
    world.scale_set("demo-b", instances=nodes)
    for number in range(5):
        world.scale_set(f"demo-empty-{number}")
    observe(world)
    assert len(world.sent) == 1 + 2 * 2


def test_an_empty_set_that_azure_is_still_busy_with_is_looked_into() -> None:
    world = World()
    path = world.scale_set("demo-a")
    world.resources[path.casefold()]["properties"]["provisioningState"] = "Updating"
    observe(world)
    assert len(world.sent) == 3


def test_sets_of_other_clusters_are_not_seen() -> None:
    world = World()
    path = world.scale_set("demo-a", instances=1)
    world.resources[path.casefold()]["tags"]["hpc-cluster"] = "other"
    assert observe(world).fleet.scale_sets == ()


@pytest.mark.parametrize("broken", ["virtualMachineScaleSets$", "demo-b/virtualMachines$", "demo-b/networkInterfaces$"])
def test_a_list_that_fails_is_an_error_of_the_fleet(broken: str) -> None:
    world = World()
    world.scale_set("demo-a", instances=1)
    world.scale_set("demo-b", instances=1)
    world.script("GET", broken, *[refusal(403, "AuthorizationFailed", "not allowed")] * 3)
    (error,) = observe(world).fleet.errors
    assert "AuthorizationFailed" in error


def test_why_instances_failed_is_asked_for_only_if_some_did() -> None:
    world = World()
    world.scale_set("demo-a", instances=1)
    world.grow("demo-a", 2, "Failed")
    status = {"level": "Error", "code": "ProvisioningState/failed/AllocationFailed", "message": "no room"}
    for one in world.instances("demo-a"):
        one["properties"]["instanceView"] = {"statuses": [status]}
    (found,) = observe(world).fleet.scale_sets
    assert [one.error for one in found.instances] == ["", "AllocationFailed: no room"]
    assert len(world.sent) == 4
    assert world.sent[-1].query["$expand"] == "instanceView"


def test_looking_again_asks_only_for_the_named_sets() -> None:
    world = World()
    world.scale_set("demo-a", instances=1)
    world.scale_set("demo-b", instances=1)
    with session(world) as azure:
        first = fleet.observe(azure, "demo-rg", "demo", 100)
        world.grow("demo-b", 3)
        world.sent.clear()
        again = fleet.observe_again(azure, first, ["DEMO-B"], 101)
    assert [len(one.instances) for one in again.fleet.scale_sets] == [1, 3]
    assert len(world.sent) == 2


@given(
    until=st.integers(0, 10**11 - 1), code=st.from_regex(r"[A-Za-z0-9]{1,40}", fullmatch=True), count=st.integers(0, 99)
)
def test_the_memory_of_a_failure_survives_as_a_tag(until: int, code: str, count: int) -> None:
    memory = Unavailable(until, code, count)
    assert fleet.unavailable(fleet.unavailable_tag(memory)) == memory


@given(st.one_of(st.none(), st.text(), st.integers()))
def test_a_tag_that_makes_no_sense_is_no_memory_and_no_crash(tag: object) -> None:
    found = fleet.unavailable(tag)
    assert found is None or fleet.unavailable_tag(found).split(" ")[1] == found.code


def test_hostile_tags_are_data() -> None:
    world = World()
    path = world.scale_set("demo-a")
    world.resources[path.casefold()]["tags"].update(
        {
            "hpc-placement-group": "9" * 30,
            "hpc-unavailable": "1 $(reboot) 1",
            "hpc-node-array": "{{ lookup('pipe','id') }}",
        }
    )
    (found,) = observe(world).fleet.scale_sets
    assert (found.placement_group, found.unavailable, found.node_array) == (0, None, "{{ lookup('pipe','id') }}")


def test_a_group_without_scale_sets_is_an_empty_fleet() -> None:
    assert observe(World()).fleet.errors == ()


def test_a_missing_group_is_an_error_because_a_pass_must_not_take_it_for_an_empty_one() -> None:
    world = World()
    world.script("GET", "virtualMachineScaleSets$", refusal(404, "ResourceGroupNotFound"))
    assert "ResourceGroupNotFound" in observe(world).fleet.errors[0]
