"""Names that are derived from a definition."""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, slurm_nodes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout, kept_nodes, layout, slug
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.model import definitions


def cluster(**array: t.Any) -> Cluster:
    """The usual cluster with changes to its array htc."""
    data = definitions.definition()
    data["network"]["subnets"]["compute"] = "10.20.128.0/17"
    data["node_arrays"][1].update(array)
    return definition.read(data)


def made(**array: t.Any) -> Layout:
    return layout(cluster(**array))


def test_names_follow_the_array_and_the_size() -> None:
    found = made()
    assert [spec.name for spec in found.scale_sets] == ["demo-hpc-hb120rsv3-pg1", "demo-htc-d4sv5", "demo-htc-d8sv5"]
    assert [group.hostlist for group in found.node_groups] == [
        "hpc-hb120rsv3-[1-4]",
        "htc-d4sv5-[1-5]",
        "htc-d8sv5-[1-2]",
    ]
    assert [spec.max_capacity for spec in found.scale_sets] == [4, 5, 2]


def test_spot_zones_and_placement_groups_make_scale_sets_of_their_own() -> None:
    found = made(priority="spot", zones=["1", "2"], placement_group=True, max_nodes=150, vm_sizes=["Standard_D4s_v5"])
    assert [(spec.name, spec.max_capacity) for spec in found.scale_sets if spec.node_array == "htc"] == [
        ("demo-htc-d4sv5-spot-z1-pg1", 100),
        ("demo-htc-d4sv5-spot-z2-pg1", 100),
        ("demo-htc-d4sv5-spot-z1-pg2", 50),
        ("demo-htc-d4sv5-spot-z2-pg2", 50),
    ]
    assert [spec.name for spec in found.candidates("htc-d4sv5-101")] == [
        "demo-htc-d4sv5-spot-z1-pg2",
        "demo-htc-d4sv5-spot-z2-pg2",
    ]
    assert found.nodes_of("DEMO-htc-d4sv5-spot-z1-pg2") == tuple(f"htc-d4sv5-{n}" for n in range(101, 151))


def test_names_that_are_no_nodes_have_no_place() -> None:
    found = made()
    for name in ("htc-d4sv5-6", "htc-d4sv5-0", "htc-d4sv5-01", "htc-d4sv5", "other-1", "htc-d4sv5-1x", ""):
        assert found.place(name) is None
        assert found.candidates(name) == ()
    assert found.nodes_of("other") == ()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 450), st.booleans(), st.sampled_from([[], ["1"], ["1", "2"]]))
def test_every_node_can_be_served_by_its_own_sets_and_no_others(count: int, groups: bool, zones: list[str]) -> None:
    found = made(max_nodes=count, vm_sizes=["Standard_D4s_v5"], placement_group=groups, zones=zones)
    for group in found.node_groups:
        for node in group.nodes():
            specs = found.candidates(node)
            assert len(specs) == max(1, len(zones) if group.node_array == "htc" else 1)
            assert all(node in found.nodes_of(spec.name) for spec in specs)
    assert len({spec.computer_name_prefix for spec in found.scale_sets}) == len(found.scale_sets)
    assert all(len(spec.computer_name_prefix) <= 15 for spec in found.scale_sets)


def test_slugs_are_short_and_lower_case() -> None:
    assert [slug(name) for name in ("Standard_D4s_v5", "standard_HB120-16rs_v3", "Basic_A1")] == [
        "d4sv5",
        "hb12016rsv3",
        "basica1",
    ]


def test_min_nodes_keeps_the_first_nodes() -> None:
    assert kept_nodes(cluster(min_nodes=2)) == ("htc-d4sv5-1", "htc-d4sv5-2")


def test_slurm_nodes_say_what_the_sizes_have() -> None:
    hpc, small, large = slurm_nodes.slurm_nodes(cluster(features=["x", "htc"]), definitions.CATALOG)
    assert (hpc["cpus"], hpc["cores_per_socket"], hpc["threads_per_core"], hpc["gres"]) == (120, 120, 1, "")
    assert (small["cpus"], small["cores_per_socket"], small["threads_per_core"]) == (4, 2, 2)
    assert (small["real_memory"], hpc["real_memory"]) == (15360, 458752 - 22938)
    assert small["features"] == ["htc", "d4sv5", "regular", "x"]
    assert small["weight"] < large["weight"] < hpc["weight"]
    assert small["state"] == "CLOUD"


def test_weights_follow_the_list_when_a_price_is_not_known() -> None:
    catalog = definitions.CATALOG
    sizes = {
        name: (size if "d8" not in name else type(size)("Standard_D8s_v5", "f", 8, 8192))
        for name, size in catalog.sizes.items()
    }
    lines = slurm_nodes.slurm_nodes(cluster(), type(catalog)("westeurope", sizes))
    assert [line["weight"] for line in lines] == [10, 10, 20]


def test_gpus_become_generic_resources() -> None:
    lines = slurm_nodes.slurm_nodes(cluster(vm_sizes=["Standard_NC24ads_A100_v4"]), definitions.CATALOG)
    assert lines[1]["gres"] == "gpu:1"


def test_partitions_list_the_nodes_of_their_arrays() -> None:
    assert [(part["name"], part["nodes"], part["default"]) for part in slurm_nodes.slurm_partitions(cluster())] == [
        ("hpc", "hpc-hb120rsv3-[1-4]", True),
        ("htc", "htc-d4sv5-[1-5],htc-d8sv5-[1-2]", False),
    ]


def test_a_topology_is_written_only_when_an_array_has_several_placement_groups() -> None:
    assert slurm_nodes.slurm_topology(cluster()) == []
    data = definitions.definition()
    data["node_arrays"][0]["max_nodes"] = 150
    assert slurm_nodes.slurm_topology(definition.read(data)) == [
        {"switch": "hpc-hb120rsv3-pg1", "nodes": "hpc-hb120rsv3-[1-100]"},
        {"switch": "hpc-hb120rsv3-pg2", "nodes": "hpc-hb120rsv3-[101-150]"},
        {"switch": "ethernet", "nodes": "htc-d4sv5-[1-5],htc-d8sv5-[1-2]"},
    ]
