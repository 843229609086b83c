# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts and shared file systems of Azure: limits, and what a definition says of them."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import (
    definition,
    serial,
    storage,
    storage_rules,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.storage import ManagedBlob, ManagedNetApp
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.model import definitions

GROUP = "/subscriptions/s/resourceGroups/files/providers"
VOLUME = f"{GROUP}/Microsoft.NetApp/netAppAccounts/a/capacityPools/p/volumes/v"
CONTAINER = f"{GROUP}/Microsoft.Storage/storageAccounts/data/blobServices/default/containers/in"
FILES: dict[str, t.Any] = {"name": "demofiles", "kind": "FileStorage"}
BLOBS: dict[str, t.Any] = {"name": "demodata", "hierarchical_namespace": True, "nfs": True}


def system(of: str, /, **managed: t.Any) -> dict[str, t.Any]:
    return {"name": of, "path": f"/{of}", "managed": managed}


def netapp(of: str = "projects", /, **changes: t.Any) -> dict[str, t.Any]:
    return system(of, **{"service": "netapp", "size_gib": 2048, **changes})


def defined(*systems: dict[str, t.Any], accounts: tuple[dict[str, t.Any], ...] = ()) -> dict[str, t.Any]:
    data = definitions.definition()
    data["network"]["subnets"] |= {"netapp": "10.20.5.0/26", "storage": "10.20.4.0/24"}
    data["file_systems"] = list(systems)
    data["storage_accounts"] = list(accounts)
    return data


def read(*systems: dict[str, t.Any], accounts: tuple[dict[str, t.Any], ...] = ()) -> Cluster:
    return definition.read(defined(*systems, accounts=accounts), definitions.CATALOG)


def mistakes(data: dict[str, t.Any]) -> list[str]:
    return [str(found) for found in definition.check(data, definitions.CATALOG)]


@given(st.lists(st.integers(storage.VOLUME_MIN, storage.VOLUME_MAX), min_size=1, max_size=9))
def test_a_pool_holds_its_volumes_and_wastes_less_than_one_tib(sizes: list[int]) -> None:
    size = storage.pool_for(sizes)
    assert sum(sizes) <= size * 1024
    assert size == 1 or (size - 1) * 1024 < sum(sizes)


def test_all_of_it_survives_being_written_and_read() -> None:
    accounts = (FILES, {**BLOBS, "containers": ["inputs"], "tags": {"owner": "me"}})
    cluster = read(
        netapp(),
        system("apps", service="files", account="demofiles", size_gib=200),
        system("archive", service="blob", account="demodata"),
        system("old", id=VOLUME),
        accounts=accounts,
    )
    assert serial.load(Cluster, json.loads(json.dumps(serial.dump(cluster)))) == cluster


def test_names_derive_from_cluster_and_file_system() -> None:
    (volume,) = read(netapp("my_projects")).file_systems
    assert isinstance(volume.managed, ManagedNetApp)
    made = volume.managed
    assert (made.name, made.account, made.pool) == ("demo-my_projects", "demo-netapp", "demo-premium")
    assert (volume.server, volume.export) == ("", "/demo-my-projects")


def test_volumes_share_a_pool_that_is_large_enough_for_all() -> None:
    cluster = read(netapp("one", size_gib=1500), netapp("two", size_gib=600))
    volume = cluster.file_systems[1].managed
    assert isinstance(volume, ManagedNetApp)
    assert storage_rules.pool_size(cluster, volume) == 3
    assert storage_rules.delegated(cluster) == {"netapp"}


def test_what_file_systems_mount_is_made_and_only_machines_reach_it() -> None:
    cluster = read(
        system("apps", service="files", account="demofiles", size_gib=200),
        system("archive", service="blob", account="demodata", container="kept"),
        accounts=(FILES, {**BLOBS, "containers": ["inputs"]}, {"name": "open1"}),
    )
    files, blobs, plain = cluster.storage_accounts
    assert storage_rules.shares_of(cluster, files) == (storage.Share("apps", 200),)
    assert storage_rules.containers_of(cluster, blobs) == ("inputs", "kept")
    assert storage_rules.subnets_of(cluster, files) == ("head", "compute")
    assert storage_rules.subnets_of(cluster, plain) == ()
    assert storage_rules.endpoints(cluster) == {"head", "compute"}
    assert (files.sku, files.secure_transfer, plain.secure_transfer) == ("Premium_LRS", False, True)
    assert [one.export for one in cluster.file_systems] == ["/demofiles/apps", "/demodata/kept"]


@pytest.mark.parametrize(("resource_id", "export"), [(VOLUME, "/v"), (CONTAINER, "/data/in")])
def test_what_exists_is_known_by_its_id(resource_id: str, export: str) -> None:
    (found,) = read(system("old", id=resource_id)).file_systems
    assert isinstance(found.managed, (ManagedNetApp, ManagedBlob))
    assert (found.managed.id, found.export, found.server) == (resource_id, export, "")


@pytest.mark.parametrize(
    ("systems", "path"),
    [
        ([netapp(size_gib=49)], "file_systems[0].managed.size_gib"),
        ([netapp(size_gib=102401)], "file_systems[0].managed.size_gib"),
        ([netapp(pool_tib=1)], "file_systems[0].managed.pool_tib"),
        ([netapp(pool_tib=2049)], "file_systems[0].managed.pool_tib"),
        ([netapp(service_level="Premum")], "file_systems[0].managed.service_level"),
        ([netapp(service_level="Flexible")], "file_systems[0].managed.throughput"),
        (
            [netapp(service_level="Flexible", throughput=200, pool_throughput=128)],
            "file_systems[0].managed.pool_throughput",
        ),
        ([netapp(throughput=64)], "file_systems[0].managed.throughput"),
        ([netapp(subnet="netap")], "file_systems[0].managed.subnet"),
        ([netapp(subnet="compute")], "file_systems[0].managed.subnet"),
        ([netapp(protocol="NFSv4.2")], "file_systems[0].managed.protocol"),
        ([netapp(account="1netapp")], "file_systems[0].managed.account"),
        ([netapp(), netapp("two", subnet="storage")], "file_systems"),
        ([netapp(pool="p"), netapp("two", pool="p", service_level="Ultra")], "file_systems[1].managed.service_level"),
        ([netapp(name="same"), netapp("two", name="same")], "file_systems[1].managed.name"),
        ([netapp(), {**netapp("two"), "server": "10.0.0.4"}], "file_systems[1].server"),
        ([netapp(container="x")], "file_systems[0].managed.container"),
        ([system("x", service="smb")], "file_systems[0].managed.service"),
        ([system("x", id="/subscriptions/s")], "file_systems[0].managed.id"),
        ([system("x", id=VOLUME, size_gib=50)], "file_systems[0].managed.size_gib"),
        ([system("x", service="files", account="demofiles", size_gib=99)], "file_systems[0].managed.size_gib"),
        ([system("x", service="files", account="demodata", size_gib=100)], "file_systems[0].managed.account"),
        ([system("x", service="files", account="demofils", size_gib=100)], "file_systems[0].managed.account"),
        ([system("x", service="blob", account="demoplain")], "file_systems[0].managed.account"),
        ([system("x", service="blob", account="demodata", container="A")], "file_systems[0].managed.container"),
    ],
)
def test_a_mistake_of_a_file_system_is_named_where_it_is(systems: list[dict[str, t.Any]], path: str) -> None:
    data = defined(*systems, accounts=(FILES, BLOBS, {"name": "demoplain"}))
    assert any(found.startswith(f"{path}: ") for found in mistakes(data)), mistakes(data)


@pytest.mark.parametrize(
    ("account", "path"),
    [
        ({"name": "Demo"}, "name"),
        ({"name": "demo", "kind": "Storage"}, "kind"),
        ({"name": "demo", "sku": "Premium_LRS"}, "sku"),
        ({"name": "demo", "nfs": True}, "nfs"),
        ({**BLOBS, "sku": "Standard_RAGRS"}, "sku"),
        ({**BLOBS, "secure_transfer": True}, "secure_transfer"),
        ({**FILES, "containers": ["inputs"]}, "containers"),
        ({**FILES, "shares": [{"name": "home", "size_gib": 10}]}, "shares[0].size_gib"),
        ({"name": "demo", "shares": [{"name": "home", "size_gib": 100}]}, "shares"),
        ({"name": "demo", "containers": ["a--b"]}, "containers[0]"),
        ({"name": "demo", "subnets": ["comput"]}, "subnets[0]"),
        ({"name": "demo", "subnets": ["netapp"]}, "subnets[0]"),
        ({"name": "demo", "allowed": ["10.0.0.0/8"]}, "allowed[0]"),
        ({"name": "demo", "allowed": ["8.8.8.8/31"]}, "allowed[0]"),
        ({"name": "demo", "size": 1}, "size"),
    ],
)
def test_a_mistake_of_an_account_is_named_where_it_is(account: dict[str, t.Any], path: str) -> None:
    found = mistakes(defined(netapp(), accounts=(account,)))
    assert any(one.startswith(f"storage_accounts[0].{path}: ") for one in found), found


def test_a_share_that_is_described_twice_has_one_size() -> None:
    mounted = system("home", service="files", account="demofiles", size_gib=200)
    described = {**FILES, "shares": [{"name": "home", "size_gib": 100}]}
    (found,) = mistakes(defined(mounted, accounts=(described,)))
    assert found == "storage_accounts[0].shares: home has 100 GiB here and 200 in file system home"
    assert mistakes(defined(accounts=(FILES, FILES))) != []


def test_single_addresses_are_written_as_azure_takes_them() -> None:
    (account,) = read(accounts=({"name": "demo", "allowed": ["8.8.8.8", "8.8.4.0/24"]},)).storage_accounts
    assert account.allowed == ("8.8.8.8", "8.8.4.0/24")
