# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts and NetApp volumes: every module in check mode, once, and again; bad input and bad days."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.modules.conftest import Modules, Result
from tests.integration.modules.test_lustre import group, refused

__all__ = ["group"]
Options = dict[str, t.Any]


@pytest.fixture
def subnets(modules: Modules, group: str) -> dict[str, str]:
    found = modules.twice("network", **network(group))
    return dict(found["subnet_ids"])


def network(group: str) -> Options:
    return {
        "resource_group": group,
        "name": "demo-vnet",
        "location": "westeurope",
        "address_space": ["10.0.0.0/16"],
        "subnets": [
            {"name": "compute", "cidr": "10.0.1.0/24", "service_endpoints": ["Microsoft.Storage"]},
            {"name": "netapp", "cidr": "10.0.5.0/26", "delegation": "Microsoft.Netapp/volumes"},
            {"name": "plain", "cidr": "10.0.6.0/26"},
        ],
    }


def named(group: str, what: str) -> str:
    """Names of accounts are unique in the whole sandbox, too."""
    return f"{what}{group[3:]}"


def files(group: str, reach: dict[str, str], /, **changes: t.Any) -> Options:
    return {
        "resource_group": group,
        "name": named(group, "files"),
        "location": "westeurope",
        "kind": "FileStorage",
        "shares": [{"name": "apps", "size_gib": 256}],
        "subnets": [reach["compute"]],
        "tags": {"hpc-cluster": "demo"},
        **changes,
    }


def blobs(group: str, **changes: t.Any) -> Options:
    account = {"resource_group": group, "name": named(group, "data"), "location": "westeurope"}
    return {**account, "hierarchical_namespace": True, "containers": ["inputs", "results"], **changes}


def volume(group: str, subnets: dict[str, str], **changes: t.Any) -> Options:
    return {
        "resource_group": group,
        "account": "netapp",
        "pool": "premium",
        "name": "projects",
        "location": "westeurope",
        "size_gib": 1024,
        "subnet_id": subnets["netapp"],
        "tags": {"hpc-cluster": "demo"},
        **changes,
    }


def own(options: Options) -> Options:
    """What names a volume or an account, and nothing else."""
    return {key: options[key] for key in ("resource_group", "account", "pool", "name") if key in options}


# storage accounts


def test_an_account_with_containers(modules: Modules, group: str) -> None:
    made = modules.twice("storage_account", **blobs(group))["account"]
    assert [one["name"] for one in made["containers"]] == ["inputs", "results"]
    assert (made["kind"], made["sku"], made["hierarchical_namespace"], made["open"]) == (
        "StorageV2",
        "Standard_LRS",
        True,
        True,
    )
    assert made["hosts"]["blob"] == f"{made['name']}.blob.core.windows.net"
    more = blobs(group, containers=["inputs", "logs"])
    added = modules.twice("storage_account", **more)["account"]
    assert len(added["containers"]) == 3
    attached = modules("storage_account", **own(more))
    assert (attached["changed"], len(attached["account"]["containers"])) == (False, 3)


def test_an_account_with_nfs_shares_that_one_subnet_reaches(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    made = modules.twice("storage_account", **files(group, subnets))["account"]
    (share,) = made["shares"]
    name = made["name"]
    assert (share["server"], share["export"]) == (f"{name}.file.core.windows.net", f"/{name}/apps")
    assert (share["size_gib"], share["protocol"], made["secure_transfer"], made["open"]) == (256, "NFS", False, False)
    assert [one.lower() for one in made["subnets"]] == [subnets["compute"].lower()]
    grown = files(group, subnets, shares=[{"name": "apps", "size_gib": 512}], allowed=["8.8.8.8"], tags={"a": "b"})
    changed = modules.twice("storage_account", **grown)["account"]
    assert changed["shares"][0]["size_gib"] == 512
    assert changed["allowed"] == ["8.8.8.8"]
    assert changed["tags"] == {"hpc-cluster": "demo", "a": "b"}


def test_containers_by_nfs(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    wanted = blobs(group, nfs=True, subnets=[subnets["compute"]])
    made = modules.twice("storage_account", **wanted)["account"]
    assert made["containers"][0]["export"] == f"/{made['name']}/inputs"
    assert made["nfs"]


def test_what_an_account_cannot_become_is_refused_with_all_of_it(modules: Modules, group: str) -> None:
    modules("storage_account", **blobs(group))
    other = blobs(group, location="northeurope", nfs=True, sku="Standard_LRS")
    result = modules("storage_account", **other)
    assert refused(result) == "PropertyChangeNotAllowed"
    for what in ("location", "nfs"):
        assert what in result["msg"]
    assert modules.twice("storage_account", **blobs(group, sku="Standard_ZRS"))["account"]["sku"] == "Standard_ZRS"


def test_options_that_contradict_are_one_error(modules: Modules, group: str) -> None:
    wrong = {"kind": "FileStorage", "sku": "Standard_LRS", "nfs": True, "shares": [{"name": "x", "size_gib": 99}]}
    result = modules("storage_account", **blobs(group, **wrong))
    assert refused(result) == "InvalidOptions"
    for what in ("sku", "nfs", "containers", "shares[0].size_gib"):
        assert what in result["msg"]


def test_a_name_that_is_taken_says_so(modules: Modules, group: str) -> None:
    modules("storage_account", **blobs(group))
    modules("resource_group", name=f"{group}b", location="westeurope")
    taken = modules("storage_account", **{**blobs(group), "resource_group": f"{group}b"})
    modules("resource_group", name=f"{group}b", state="absent", force=True)
    assert refused(taken) == "StorageAccountAlreadyTaken"
    assert "choose another" in taken["msg"]
    assert taken["error"]["request_id"]


def test_a_share_does_not_shrink_by_mistake(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("storage_account", **files(group, subnets))
    smaller = files(group, subnets, shares=[{"name": "apps", "size_gib": 128}])
    result = modules("storage_account", **smaller)
    assert refused(result) == "PropertyChangeNotAllowed"
    assert "shrink: true" in result["msg"]
    late = modules("storage_account", **smaller, shrink=True)
    assert refused(late) == "ContainerQuotaDowngradeNotAllowed"
    assert "24 hours" in late["msg"]


def test_a_subnet_without_endpoint_says_what_it_lacks(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    result = modules("storage_account", **files(group, subnets, subnets=[subnets["plain"]]))
    assert refused(result) == "NetworkAclsValidationFailure"
    assert "service_endpoints" in result["msg"]


def test_an_identity_without_rights_is_found_before_a_machine_needs_it(modules: Modules, group: str) -> None:
    who = modules("identity", resource_group=group, name="nodes", location="westeurope")["id"]
    result = modules("storage_account", **blobs(group, identities=[who]))
    assert refused(result) == "RoleMissing"
    assert "'Storage Blob Data Contributor'" in result["msg"]
    assert "nodes" in result["msg"]
    assert "Assign it (it may take ten minutes to count), or use grant: true" in result["msg"]
    modules.twice("storage_account", **blobs(group, identities=[who], grant=True))
    assert not modules("storage_account", **blobs(group, identities=[who]))["changed"]


def test_an_account_is_deleted_only_when_asked_twice(modules: Modules, group: str) -> None:
    once = {**own(blobs(group)), "state": "absent"}
    modules("storage_account", **blobs(group))
    assert refused(modules("storage_account", **once)) == "ConfirmationMissing"
    assert modules.twice("storage_account", **once, confirm=once["name"])["account"] == {}
    assert not modules("storage_account", **once)["changed"]


# NetApp volumes


def test_a_volume_with_all_that_it_is_in(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    made = modules.twice("netapp_volume", **volume(group, subnets))["volume"]
    assert made["source"] == f"{made['server']}:/projects"
    assert made["server"].startswith("10.0.5.")
    assert (made["pool_tib"], made["throughput"], made["service_level"], made["ready"]) == (1, 64.0, "Premium", True)
    attached = modules("netapp_volume", **own(volume(group, subnets)))
    assert (attached["changed"], attached["volume"]["source"]) == (False, made["source"])
    seen = modules("storage_info", resource_group=group)["volumes"]
    assert [one["source"] for one in seen] == [made["source"]]


def test_what_of_a_volume_can_change_is_changed_in_place(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("netapp_volume", **volume(group, subnets))
    grown = volume(group, subnets, size_gib=1500, pool_tib=2)
    changed = modules.twice("netapp_volume", **grown)["volume"]
    assert (changed["size_gib"], changed["pool_tib"]) == (1500, 2)
    modules.twice("netapp_volume", **{**grown, "clients": ["10.0.1.0/24"], "root_access": False, "tags": {"a": "b"}})
    assert refused(modules("netapp_volume", **{**grown, "size_gib": 1024})) == "PropertyChangeNotAllowed"
    modules.twice("netapp_volume", **{**grown, "size_gib": 1024, "pool_tib": 1, "shrink": True})


def test_what_of_a_volume_cannot_change_is_refused_with_all_of_it(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    modules("netapp_volume", **volume(group, subnets))
    other = {"protocol": "NFSv4.1", "path": "elsewhere", "service_level": "Ultra", "subnet_id": subnets["plain"]}
    result = modules("netapp_volume", **volume(group, subnets, **other))
    assert refused(result) == "PropertyChangeNotAllowed"
    for what in ("protocolTypes", "creationToken", "serviceLevel", "subnetId"):
        assert what in result["msg"]


def test_a_pool_that_is_too_small_says_what_would_do(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    result = modules("netapp_volume", **volume(group, subnets, size_gib=1500, pool_tib=1))
    assert refused(result) == "PoolTooSmall"
    assert "pool_tib: 2" in result["msg"]
    modules("netapp_volume", **volume(group, subnets))
    second = volume(group, subnets, name="second", size_gib=100)
    assert refused(modules("netapp_volume", **second)) == "PoolTooSmall"
    assert modules("netapp_volume", **{**second, "pool_tib": 2})["volume"]["pool_tib"] == 2


def test_sizes_that_do_not_exist_and_quota_are_found_first(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    assert refused(modules("netapp_volume", **volume(group, subnets, size_gib=49))) == "InvalidOptions"
    over = modules("netapp_volume", **volume(group, subnets, pool_tib=26))
    assert refused(over) == "QuotaExceeded"
    assert over["error"]["kind"] == "quota"
    assert modules("storage_info", resource_group=group)["volumes"] == []


def test_a_subnet_that_is_not_delegated_is_found_first(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    result = modules("netapp_volume", **volume(group, subnets, subnet_id=subnets["plain"]))
    assert refused(result) == "SubnetNotSuitable"
    assert "delegation: Microsoft.Netapp/volumes" in result["msg"]
    missing = modules("netapp_volume", **volume(group, subnets, subnet_id=f"{subnets['plain']}x"))
    assert refused(missing) == "SubnetNotSuitable"


def test_a_flexible_pool(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    wanted = volume(group, subnets, service_level="Flexible", pool_throughput=256, throughput=200)
    made = modules.twice("netapp_volume", **wanted)["volume"]
    assert made["throughput"] == 200
    modules.twice("netapp_volume", **{**wanted, "pool_throughput": 640, "throughput": 600})


def test_a_volume_is_deleted_only_when_asked_twice_and_takes_an_empty_pool_along(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    wanted = volume(group, subnets)
    modules("netapp_volume", **{**wanted, "name": "second", "pool_tib": 2})
    modules("netapp_volume", **{**wanted, "pool_tib": 2})
    once = {**own(wanted), "state": "absent"}
    assert refused(modules("netapp_volume", **once)) == "ConfirmationMissing"
    assert modules.twice("netapp_volume", **once, confirm="projects", prune=True)["volume"] == {}
    assert len(modules("storage_info", resource_group=group)["volumes"]) == 1
    gone = modules.twice("netapp_volume", **{**once, "name": "second"}, confirm="second", prune=True)
    assert gone["volume"] == {}
    assert modules("resource_group", name=group, state="absent", force=False).get("failed")  # the network is there
    assert modules("network", resource_group=group, name="demo-vnet", state="absent")["changed"]


def test_a_volume_that_is_being_made_is_not_waited_for(
    modules: Modules, group: str, subnets: dict[str, str], sandbox: t.Any
) -> None:
    wanted = volume(group, subnets)
    sandbox.run("fault", "add", "Hang", "--method", "PUT", "--match", "*/volumes/*", "--count", "1")
    begun = modules("netapp_volume", **wanted, wait=False)
    assert (begun["changed"], begun["volume"]["ready"]) == (True, False)
    assert not modules("netapp_volume", **wanted, wait=False)["changed"]
    assert refused(modules("netapp_volume", **wanted, wait_timeout=0)) == "ClientTimeout"
    sandbox.run("fault", "clear")
    assert modules("netapp_volume", **wanted)["volume"]["ready"]


def test_a_half_made_pool_is_mended_and_a_half_made_volume_is_never_unnoticed(
    modules: Modules, group: str, subnets: dict[str, str], sandbox: t.Any
) -> None:
    wanted = volume(group, subnets)
    said = ("--status", "200", "--message", "no capacity in this region", "--count", "1")
    sandbox.run(
        "fault",
        "add",
        "InternalServerError",
        "--when",
        "async",
        "--method",
        "PUT",
        "--match",
        "*/capacityPools/premium",
        *said,
    )
    assert refused(modules("netapp_volume", **wanted)) == "InternalServerError"
    sandbox.run(
        "fault", "add", "InternalServerError", "--when", "async", "--method", "PUT", "--match", "*/volumes/*", *said
    )
    assert refused(modules("netapp_volume", **wanted)) == "InternalServerError"
    sandbox.run("fault", "clear")
    half = modules("netapp_volume", **wanted)
    assert refused(half) == "VolumeFailed"
    assert "confirm: projects" in half["msg"]
    modules("netapp_volume", **own(wanted), state="absent", confirm="projects")
    assert modules("netapp_volume", **wanted)["volume"]["ready"]


def test_what_is_not_there_is_in_no_list(modules: Modules) -> None:
    found: Result = modules("storage_info", resource_group="rg-none", accounts=["nothing"], volumes=["a/b/c"])
    assert (found["accounts"], found["volumes"]) == ([], [])
    assert modules("storage_info", resource_group="rg-none")["volumes"] == []
