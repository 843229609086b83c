# ruff: noqa: E501 (whole messages)
"""Cluster definitions: what is valid is read, what is wrong is all named at once."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster, SizeChoice
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.model import definitions


def change(data: dict[str, t.Any], path: str, value: t.Any) -> dict[str, t.Any]:
    """Set one key of a definition, such as ``node_arrays.0.name``."""
    target: t.Any = data
    *way, last = path.split(".")
    for part in way:
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    target[int(last) if last.isdigit() else last] = value
    return data


def mistakes(path: str = "", value: t.Any = None, **more: t.Any) -> list[str]:
    """The mistakes of the valid definition with one change."""
    data = definitions.definition()
    if path:
        change(data, path, value)
    data.update(more)
    return [str(found) for found in definition.check(data, definitions.CATALOG)]


def test_a_valid_definition_is_read_with_its_defaults() -> None:
    cluster = definition.read(definitions.definition(), definitions.CATALOG)
    assert cluster.admin.username == "azureuser"
    assert cluster.network.name == "demo-vnet"
    assert cluster.network.nat_gateway
    assert cluster.array("htc").vm_sizes == (SizeChoice("Standard_D4s_v5", 5), SizeChoice("Standard_D8s_v5", 2))
    assert cluster.image.source["offer"] == "debian-13"
    assert cluster.image.resource_group == "demo-rg"
    assert cluster.autoscale.boot_timeout == 900
    assert serial.load(Cluster, json.loads(json.dumps(serial.dump(cluster)))) == cluster


def test_size_names_are_spelled_as_azure_spells_them() -> None:
    data = change(definitions.definition(), "head.vm_size", "standard_d4S_V5")
    assert definition.read(data, definitions.CATALOG).head.vm_size == "Standard_D4s_v5"


def test_ten_mistakes_are_named_in_one_error() -> None:
    data = definitions.definition()
    change(data, "head.vm_sise", "Standard_D4s_v5")
    change(data, "node_arrays.0.vm_sizes.0", "Standard_HB120rs_v9")
    data["network"]["subnets"] = {"head": "10.20.16.0/24", "compute": "10.20.16.0/20", "store": "10.20.300.0/24"}
    change(data, "partitions.1.node_arrays.0", "htx")
    data["partitions"][1]["node_arrays"].append("htc")
    change(data, "node_arrays.1.min_nodes", 9)
    data["node_arrays"].append({"name": "hpc", "vm_sizes": ["Standard_D4s_v5"], "max_nodes": 1})
    change(data, "scheduler.munge_key", "c2VjcmV0")
    change(data, "autoscale.boot_timeout", -5)
    change(data, "scheduler.type", "slrum")
    with pytest.raises(definition.DefinitionError) as caught:
        definition.read(data, definitions.CATALOG)
    assert str(caught.value).splitlines() == [
        "the cluster definition has 10 mistakes:",
        "  autoscale.boot_timeout: must be at least 1, not -5",
        "  head.vm_sise: unknown key (did you mean vm_size?)",
        "  network.subnets.compute: 10.20.16.0/20 overlaps with subnet head (10.20.16.0/24)",
        "  network.subnets.store: '10.20.300.0/24' is not an IPv4 prefix such as 10.20.0.0/24",
        "  node_arrays[0].vm_sizes[0]: Standard_HB120rs_v9 is not a VM size of westeurope "
        "(did you mean Standard_HB120rs_v3?)",
        "  node_arrays[1].max_nodes: is 5, below min_nodes 9",
        "  node_arrays[2].name: hpc is the name of node_arrays[0] already",
        "  partitions[1].node_arrays[0]: there is no node array htx (did you mean htc?)",
        "  scheduler.munge_key: looks like a secret; secrets do not belong into the cluster definition",
        f"  scheduler.type: must be one of {', '.join(definition.KINDS)} (did you mean slurm?)",
    ]


SINGLE = [
    ("name", "Demo", "name: must be a-z, 0-9 and -, at most 20, begin with a letter"),
    ("name", None, "name: is missing"),
    ("node_arrays", {}, "node_arrays: must be a list, not a dictionary"),
    ("login", [], "login: must be a dictionary, not a list"),
    ("head.public_ip", "yes", "head.public_ip: must be true or false, not a text"),
    ("head.os_disk_gib", "64", "head.os_disk_gib: must be a whole number, not a text"),
    ("head.subnet", "haed", "head.subnet: there is no subnet haed (did you mean head?)"),
    ("admin.username", "root", "admin.username: root is a name that Azure or the system keeps for itself"),
    ("network.ssh_from", ["10.0.0.1/8"], "network.ssh_from[0]: 10.0.0.1/8 has bits set after the prefix (did you mean 10.0.0.0/8?)"),
    ("network.subnets.head", "10.21.0.0/24", "network.subnets.head: 10.21.0.0/24 is not within the address space of the network"),
    ("network.subnets.compute", "10.20.16.0/29", "network.subnets.compute: 10.20.16.0/29 has 3 addresses for the 9 machines that may be in it"),
    ("network.subnets.tiny", "10.20.1.0/30", "network.subnets.tiny: is too small: Azure needs a /29 at least, and keeps five addresses of it"),
    ("node_arrays.0.priority", "spot", "node_arrays[0].vm_sizes[0]: Standard_HB120rs_v3 is not offered as spot"),
    ("node_arrays.1.max_price", 1, "node_arrays[1].max_price: is for priority spot only"),
    ("node_arrays.0.zones", ["1"], "node_arrays[0].zones[0]: Standard_HB120rs_v3 is not offered in zone 1, but in no zone"),
    ("node_arrays.1.zones", [1], "node_arrays[1].zones[0]: must be a text, not a number"),
    ("node_arrays.1.max_vcpus", 6, "node_arrays[1].max_vcpus: is 6, but one Standard_D8s_v5 has 8"),
    ("node_arrays.1.vm_sizes.1", "Standard_D4s_v5", "node_arrays[1].vm_sizes[1]: Standard_D4s_v5 makes the same node names as vm_sizes[0]"),
    ("node_arrays.1.vm_sizes.0", "Standard_HX176rs", "node_arrays[1].vm_sizes[0]: Standard_HX176rs cannot be used in westeurope: NotAvailableForSubscription"),
    ("node_arrays.1.vm_sizes.1.max_nodes", 6, "node_arrays[1].vm_sizes[1].max_nodes: is 6, more than the 5 of the node array"),
    ("node_arrays.1.node_options", {"State": "IDLE"}, "node_arrays[1].node_options.State: cannot be set here: nodes have to be CLOUD nodes"),
    ("node_arrays.1.node_options", {"Reason": "a b"}, "node_arrays[1].node_options.Reason: must not contain blanks: they would begin another option"),
    ("partitions.1.options", {"MaxTime": "1:00\nNodeName=x"}, "partitions[1].options.MaxTime: must not contain line breaks, control characters, # or \\"),
    ("partitions.1.options", {"Nodes": "ALL"}, "partitions[1].options.Nodes: cannot be set here: use node_arrays"),
    ("partitions.1.default", True, "partitions[1].default: partitions[0] is the default already"),
    ("partitions.0.default", False, "partitions: none is the default; one needs default: true, for jobs that name none"),
    ("partitions.1.name", "default", "partitions[1].name: default means something else to Slurm"),
    (
        "scheduler.slurm_conf",
        {"NodeName": "x"},
        "scheduler.slurm_conf.NodeName: cannot be set here: the collection writes it from the definition: "
        "use node_arrays and their node_options",
    ),
    ("scheduler.slurm_conf", {"SuspendTime": 5}, "scheduler.slurm_conf.SuspendTime: cannot be set here: use autoscale.idle_timeout"),
    (
        "scheduler.slurm_conf",
        {"SlurmctldParameters": "power_save_interval=2,Cloud_DNS"},
        "scheduler.slurm_conf.SlurmctldParameters: "
        "must not have cloud_dns: names of nodes are in no DNS",
    ),
    (
        "scheduler.slurm_conf",
        {"SlurmctldPort": 7000},
        "scheduler.slurm_conf.SlurmctldPort: "
        "cannot be set here: nodes that join look for slurmctld at its usual port",
    ),
    ("scheduler.slurm_conf", {"A": "x", "a": "y"}, "scheduler.slurm_conf.a: is the same option as A"),
    (
        "scheduler.slurm_conf",
        {"AccountingStoragePass": "x"},
        "scheduler.slurm_conf.AccountingStoragePass: looks like a secret; "
        "secrets do not belong into the cluster definition",
    ),
    ("file_systems.0.path", "/etc", "file_systems[0].path: /etc belongs to the system"),
    ("file_systems.0.path", "/a/../etc", "file_systems[0].path: must not contain .."),
    ("file_systems.0.options", "rw;reboot", "file_systems[0].options: must be mount options with commas, without spaces"),
    ("autoscale", {"boot_timeout": 2000}, "autoscale.boot_timeout: is 2000 s, longer than resume_timeout with 1800 s"),
    ("autoscale", {"idle_timeout": 0}, "autoscale.idle_timeout: must be at least 1, not 0"),
    ("tags", {"hpc-cluster": "x"}, "tags.hpc-cluster: has a name that the collection or Azure keeps for itself"),
    ("image", {"id": "my-image"}, "image.id: must be the resource id of an image"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), SINGLE)
def test_one_mistake_is_one_message(path: str, value: t.Any, expected: str) -> None:
    assert mistakes(path, value) == [expected]


def test_private_keys_are_found_and_never_repeated() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"
    found = mistakes("admin.ssh_public_keys", [key])
    assert found == ["admin.ssh_public_keys[0]: is a private key; secrets do not belong into the cluster definition"]


def test_mount_points_that_meet_are_a_mistake() -> None:
    data = definitions.definition()
    data["file_systems"].append({"name": "more", "path": "/shared/home/", "export": "/export/more"})
    assert [str(found) for found in definition.check(data)] == [
        "file_systems[1].path: /shared/home is the mount point of file_systems[0] already"
    ]


def test_an_array_in_no_partition_is_a_mistake() -> None:
    data = definitions.definition()
    data["partitions"].pop()
    assert [found.path for found in definition.check(data)] == ["node_arrays[1]"]


def test_too_many_nodes_for_the_scale_sets_of_a_size_are_a_mistake() -> None:
    data = change(definitions.definition(), "node_arrays.1.max_nodes", 1001)
    assert "its scale sets hold 1000" in str(definition.check(data)[0])
    change(data, "image", {"bake": True})
    change(data, "node_arrays.1.max_nodes", 601)
    assert "its scale sets hold 600" in str(definition.check(data)[0])


def test_without_a_catalog_sizes_are_taken_as_they_are() -> None:
    data = change(definitions.definition(), "head.vm_size", "Standard_New_v9")
    assert definition.read(data).head.vm_size == "Standard_New_v9"


def test_an_empty_definition_says_where_it_should_be_and_names_all_that_is_missing() -> None:
    hint, *others = definition.check({})
    assert str(hint) == "the definition: is empty: does the inventory's group_vars have the variable hpc_cluster?"
    assert {found.message for found in others} == {"is missing"}
    missing = "admin head location name network node_arrays partitions resource_group scheduler"
    assert [found.path for found in others] == missing.split()


@pytest.mark.parametrize("odd", ["\n", "\x1b", "\x85", "\u2028", "\u202e", "\ud800"])
def test_what_breaks_a_line_or_turns_it_around_is_in_no_text(odd: str) -> None:
    data = change(definitions.definition(), "partitions.1.options", {"AllowGroups": f"a{odd}b"})
    assert [found.path for found in definition.check(data)] == ["partitions[1].options.AllowGroups"]


def test_yes_and_no_of_yaml_are_slurms_yes_and_no() -> None:
    data = change(definitions.definition(), "partitions.1.options", {"Hidden": True, "LLN": False, "MaxNodes": 3})
    assert definition.read(data).partitions[1].options == {"Hidden": "YES", "LLN": "NO", "MaxNodes": "3"}


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def leaves(data: t.Any, path: str = "") -> list[str]:
    """The path of every value of a definition."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    below = [found for key, value in items for found in leaves(value, f"{path}.{key}" if path else str(key))]
    return below + ([path] if path else [])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(leaves(definitions.definition())), junk)
def test_any_value_anywhere_is_read_or_refused_but_never_crashes(path: str, value: t.Any) -> None:
    data = change(definitions.definition(), path, value)
    found = definition.check(data, definitions.CATALOG)
    if not found:
        assert isinstance(definition.read(data, definitions.CATALOG), Cluster)


@given(junk)
def test_junk_is_refused(value: t.Any) -> None:
    with pytest.raises(definition.DefinitionError):
        definition.read(value)
