# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre: sizes, subnets, settings, and what a definition says of it."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.parameters import Parameters
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, lustre, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre import SKUS, LustreError, RootSquash
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.storage_rules import containers_of
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.model import definitions

DURABLE = SKUS["AMLFS-Durable-Premium-250"]
ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/data/blobServices/default"
FILE_SYSTEM = "/subscriptions/s/resourceGroups/files/providers/Microsoft.StorageCache/amlFilesystems/big"


@given(st.sampled_from(sorted(SKUS)), st.floats(0.1, 20_000), st.sampled_from(lustre.ROUNDINGS))
def test_a_size_is_legal_or_refused_with_the_legal_ones(name: str, asked: float, rounding: str) -> None:
    sku = SKUS[name]
    if asked > sku.largest or (rounding == "none" and asked % sku.step):
        with pytest.raises(LustreError, match=f"{sku.step} to {sku.maximum} TiB"):
            lustre.capacity(sku, asked, rounding)
        return
    size = lustre.capacity(sku, asked, rounding)
    assert size % sku.step == 0
    assert asked <= size < asked + sku.step


def test_4_tib_of_the_tier_of_250_are_refused_with_a_way_out() -> None:
    with pytest.raises(LustreError) as refused:
        lustre.capacity(DURABLE, 4)
    said = str(refused.value)
    assert "it has 8 to 128 TiB in steps of 8" in said
    assert "capacity_rounding: up" in said
    assert "AMLFS-Durable-Premium-500 would have 4 TiB" in said
    assert lustre.capacity(DURABLE, 4, "up") == 8


@pytest.mark.parametrize("asked", [0, -8, float("inf"), float("nan"), 2008])
def test_what_is_no_size_at_all_is_not_rounded(asked: float) -> None:
    with pytest.raises(LustreError):
        lustre.capacity(DURABLE, asked, "up")


def test_a_location_tells_its_own_sizes() -> None:
    rows = [
        {
            "resourceType": "amlFilesystems",
            "name": "AMLFS-Durable-Premium-250",
            "locations": ["West Europe"],
            "capabilities": [
                {"name": "OSS capacity increment (TiB)", "value": "8"},
                {"name": "default maximum capacity (TiB)", "value": "256"},
                {"name": "bandwidth increment (MB/s/TiB)", "value": "250"},
            ],
        },
        {"resourceType": "amlFilesystems", "name": "AMLFS-New", "locations": ["westeurope"], "capabilities": []},
        {"resourceType": "caches", "name": "Standard_2G", "locations": ["westeurope"]},
    ]
    found = lustre.offered(rows, "westeurope")
    assert {name: sku.maximum for name, sku in found.items()} == {"AMLFS-Durable-Premium-250": 256}
    assert lustre.offered(rows, "eastus") == {}


@pytest.mark.parametrize(("size", "bits"), [(4, 27), (16, 27), (24, 26), (48, 25), (96, 24), (128, 24), (400, 23)])
def test_subnets_grow_with_the_file_system(size: int, bits: int) -> None:
    assert lustre.subnet_bits(size) == bits


@pytest.mark.parametrize(
    ("container", "logs", "wrong"),
    [
        ("", "", []),
        (f"{ACCOUNT}/containers/data", f"{ACCOUNT}/containers/logs", []),
        (f"{ACCOUNT}/containers/data", f"{ACCOUNT}/containers/DATA", ["logging_container"]),
        (f"{ACCOUNT}/containers/data", "", ["logging_container"]),
        ("", f"{ACCOUNT}/containers/logs", ["container"]),
        ("https://data.blob.core.windows.net/x", f"{ACCOUNT}/containers/logs", ["container"]),
        (
            f"{ACCOUNT}/containers/data",
            f"{ACCOUNT.replace('/data/', '/other/')}/containers/logs",
            ["logging_container"],
        ),
    ],
)
def test_two_containers_of_one_account(container: str, logs: str, wrong: list[str]) -> None:
    assert [which for which, _unused in lustre.container_mistakes(container, logs)] == wrong


def test_squashing_leaves_somebody_root() -> None:
    assert lustre.squash_mistakes(RootSquash()) == []
    assert lustre.squash_mistakes(RootSquash("RootOnly", 99, 99, "10.0.2.4@tcp;10.0.[1-2].*@tcp0")) == []
    wrong = lustre.squash_mistakes(RootSquash("All", 0, 99, "10.0.2.4"))
    assert [key for key, _unused in wrong] == ["except_nids", "uid"]
    assert [key for key, _unused in lustre.squash_mistakes(RootSquash("All", 1, 1))] == ["except_nids"]


def defined(**changes: t.Any) -> dict[str, t.Any]:
    """A definition with a managed file system; ``changes`` are to ``managed``."""
    data = definitions.definition()
    data["network"]["subnets"]["storage"] = "10.20.8.0/24"
    data["image"] = {"bake": True}
    managed = {"sku": DURABLE.name, "capacity_tib": 8, "zone": "1", **changes}
    data["file_systems"] = [{"name": "scratch", "type": "lustre", "path": "/mnt/lustre", "managed": managed}]
    return data


def mistakes(data: dict[str, t.Any]) -> list[str]:
    return [str(found) for found in definition.check(data, definitions.CATALOG)]


def test_containers_of_the_definitions_own_accounts_have_short_names() -> None:
    data = defined(container="waves/data", logging_container="waves/logs")
    data["storage_accounts"] = [{"name": "waves", "hierarchical_namespace": True, "containers": ["data"]}]
    cluster = definition.read(data, definitions.CATALOG)
    assert containers_of(cluster, cluster.storage_accounts[0]) == ("data", "logs")
    (options,) = Parameters(cluster, layout(cluster), definitions.CATALOG, "s").lustre()
    account = (
        f"/subscriptions/s/resourceGroups/{data['resource_group']}/providers/Microsoft.Storage/storageAccounts/waves"
    )
    assert options["container"] == f"{account}/blobServices/default/containers/data"
    assert options["logging_container"] == f"{account}/blobServices/default/containers/logs"


def test_an_account_that_nobody_makes_is_a_mistake() -> None:
    (first, second) = mistakes(defined(container="waves/data", logging_container="waves/logs"))
    assert first.startswith("file_systems[0].managed.container: there is no storage account waves")
    assert second.startswith("file_systems[0].managed.logging_container: ")
    wrong = mistakes(defined(container="waves/data", logging_container="other/logs"))
    assert any("must be in the same storage account" in one for one in wrong)


def test_a_definition_makes_a_file_system() -> None:
    cluster = definition.read(defined(capacity_tib=4, capacity_rounding="up"), definitions.CATALOG)
    assert serial.load(Cluster, json.loads(json.dumps(serial.dump(cluster)))) == cluster
    (options,) = Parameters(cluster, layout(cluster), definitions.CATALOG, "s").lustre()
    assert (options["file_system"], options["name"], options["capacity_tib"]) == ("scratch", "demo-scratch", 8)
    assert options["subnet_id"].endswith("/virtualNetworks/demo-vnet/subnets/storage")
    assert options["tags"]["hpc-role"] == "storage"
    assert options["own"]
    assert "container" not in options


def test_a_definition_uses_a_file_system() -> None:
    data = defined()
    data["file_systems"][0]["managed"] = {"id": FILE_SYSTEM}
    cluster = definition.read(data, definitions.CATALOG)
    (options,) = Parameters(cluster, layout(cluster), definitions.CATALOG, "s").lustre()
    assert options == {"file_system": "scratch", "own": False, "resource_group": "files", "name": "big"}


def test_a_definition_mounts_any_lustre_server() -> None:
    data = defined()
    data["file_systems"] = [{"name": "scratch", "type": "lustre", "path": "/mnt/lustre", "server": "10.9.0.4"}]
    (system,) = definition.read(data, definitions.CATALOG).file_systems
    assert (system.server, system.export) == ("10.9.0.4", "/lustrefs")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"capacity_tib": 4}, "file_systems[0].managed.capacity_tib"),
        ({"capacity_tib": "8"}, "file_systems[0].managed.capacity_tib"),
        ({"sku": "AMLFS-Durable-Premium-251"}, "file_systems[0].managed.sku"),
        ({"subnet": "storrage"}, "file_systems[0].managed.subnet"),
        ({"capacity_tib": 256}, "file_systems[0].managed.subnet"),
        ({"zone": "westeurope-1"}, "file_systems[0].managed.zone"),
        ({"maintenance_window": {"day": "Freitag"}}, "file_systems[0].managed.maintenance_window.day"),
        ({"maintenance_window": {"time": "24:00"}}, "file_systems[0].managed.maintenance_window.time"),
        ({"container": f"{ACCOUNT}/containers/data"}, "file_systems[0].managed.logging_container"),
        ({"import_prefixes": ["/x"]}, "file_systems[0].managed.import_prefixes"),
        ({"root_squash": {"mode": "RootOnly", "uid": 9, "gid": 9}}, "file_systems[0].managed.root_squash.except_nids"),
        (
            {"encryption": {"key_url": "k", "vault_id": "/s"}},
            "file_systems[0].managed.encryption.key_url",
        ),
        ({"id": FILE_SYSTEM}, "file_systems[0].managed.sku"),
    ],
)
def test_a_mistake_is_named_where_it_is(changes: dict[str, t.Any], path: str) -> None:
    assert any(found.startswith(f"{path}: ") for found in mistakes(defined(**changes))), mistakes(defined(**changes))


def test_the_client_needs_a_baked_image_and_a_server() -> None:
    data = defined()
    data.pop("image")
    data["file_systems"].append({"name": "old", "type": "lustre", "path": "/old"})
    data["file_systems"].append({"name": "home", "path": "/shared/home", "managed": {"id": FILE_SYSTEM}})
    found = "\n".join(mistakes(data))
    for what in ("image.bake: must be true", "file_systems[1].server: is missing", "file_systems[2].managed.id: must"):
        assert what in found
