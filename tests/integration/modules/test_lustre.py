# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre: every module in check mode, once, and again; bad input and bad days."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

from tests.integration.modules.conftest import Modules, Result

SKU = "AMLFS-Durable-Premium-250"


@pytest.fixture
def group(modules: Modules, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A resource group of the test's own."""
    name = f"rg-{abs(hash(request.node.nodeid)) % 10**8}"
    modules("resource_group", name=name, location="westeurope")
    yield name
    modules("resource_group", name=name, state="absent", force=True)


@pytest.fixture
def subnets(modules: Modules, group: str) -> dict[str, str]:
    found = modules(
        "network",
        resource_group=group,
        name="demo-vnet",
        location="westeurope",
        address_space=["10.0.0.0/16"],
        subnets=[
            {"name": "storage", "cidr": "10.0.3.0/24"},
            {"name": "narrow", "cidr": "10.0.4.0/28"},
            {"name": "tight", "cidr": "10.0.6.0/27"},
            {"name": "other", "cidr": "10.0.5.0/24"},
        ],
    )
    assert not found.get("failed"), found
    return dict(found["subnet_ids"])


@pytest.fixture
def containers(group: str, azure_environment: dict[str, str]) -> dict[str, str]:
    """A storage account with a container for data and one for logs: their resource ids."""
    account = f"data{group[3:]}"
    with connect({}) as azure:
        path = azure.resource_path(group, "Microsoft.Storage/storageAccounts", account)
        body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        azure.begin("PUT", path, "2024-01-01", {**body, "properties": {"isHnsEnabled": True}}).result()
        found = {}
        for name in ("data", "logs"):
            found[name] = f"{path}/blobServices/default/containers/{name}"
            azure.send("PUT", found[name], "2024-01-01", {})
    return found


@pytest.fixture
def files(sandbox: t.Any, group: str) -> Path:
    """The directory that the sandbox keeps the blobs of the container in."""
    return Path(sandbox.state) / "blobs" / f"data{group[3:]}" / "data"


def file_system(group: str, subnets: dict[str, str], **changes: t.Any) -> dict[str, t.Any]:
    return {
        "resource_group": group,
        "name": "scratch",
        "location": "westeurope",
        "sku": SKU,
        "capacity_tib": 8,
        "zone": "1",
        "subnet_id": subnets["storage"],
        "maintenance_window": {"day": "Sunday", "time": "03:00"},
        "tags": {"hpc-cluster": "demo"},
        **changes,
    }


def with_container(containers: dict[str, str]) -> dict[str, t.Any]:
    return {"container": containers["data"], "logging_container": containers["logs"]}


def squash(**changes: t.Any) -> dict[str, t.Any]:
    return {"mode": "RootOnly", "uid": 65534, "gid": 65534, "except_nids": "10.0.2.4@tcp;10.0.2.[6-8]@tcp", **changes}


def refused(result: Result) -> str:
    assert result.get("failed"), result
    return str(result["error"]["code"])


def test_a_file_system(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    made = modules.twice("lustre", **file_system(group, subnets))["file_system"]
    assert made["ready"]
    assert made["mgs_address"].startswith("10.0.3.")
    assert made["source"] == f"{made['mgs_address']}@tcp:/lustrefs"
    assert (made["capacity_tib"], made["throughput_mbps"], made["problems"]) == (8, 2000, [])
    attached = modules("lustre", resource_group=group, name="scratch")
    assert (attached["changed"], attached["file_system"]["mgs_address"]) == (False, made["mgs_address"])


def test_what_can_change_is_changed_in_place(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("lustre", **file_system(group, subnets))
    window = {"day": "Monday", "time": "04:30"}
    modules.twice("lustre", **file_system(group, subnets, maintenance_window=window, tags={"owner": "me"}))
    modules.twice("lustre", **file_system(group, subnets, maintenance_window=window, root_squash=squash()))
    kept = modules("lustre", resource_group=group, name="scratch")["file_system"]
    assert kept["tags"] == {"hpc-cluster": "demo", "owner": "me"}


def test_what_cannot_change_is_refused_with_all_of_it(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("lustre", **file_system(group, subnets))
    other = file_system(group, subnets, sku="AMLFS-Durable-Premium-500", zone="2", subnet_id=subnets["other"])
    result = modules("lustre", **other)
    assert refused(result) == "PropertyChangeNotAllowed"
    for what in ("sku.name", "zones", "filesystemSubnet"):
        assert what in result["msg"]


def test_a_file_system_grows_and_never_shrinks(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("lustre", **file_system(group, subnets, capacity_tib=8))
    grown = modules.twice("lustre", **file_system(group, subnets, capacity_tib=16))["file_system"]
    assert (grown["capacity_tib"], grown["throughput_mbps"], grown["health"]) == (16, 4000, "Available")
    assert refused(modules("lustre", **file_system(group, subnets, capacity_tib=8))) == "PropertyChangeNotAllowed"


def test_growth_that_does_not_fit_into_the_subnet_is_refused_before_it_begins(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    options = file_system(group, subnets, subnet_id=subnets["tight"])
    assert modules("lustre", **options)["file_system"]["ready"]
    result = modules("lustre", **{**options, "capacity_tib": 128})
    assert refused(result) == "SubnetNotSuitable"
    assert "growing from 8 to 128 TiB takes" in result["msg"]
    found = modules("lustre_info", resource_group=group, jobs=True)["file_systems"][0]
    assert (found["capacity_tib"], found["jobs"]) == (8, [])


def test_growth_that_failed_while_nobody_waited_is_told_by_the_next_who_asks(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    options = file_system(group, subnets, sku="AMLFS-Durable-Premium-500", subnet_id=subnets["tight"])
    made = modules("lustre", **options)["file_system"]
    with connect({}) as azure:  # as somebody does who does not look at the subnet first
        body = {"location": "westeurope", "properties": {"newStorageCapacityTiB": 128}}
        azure.begin("PUT", f"{made['id']}/expansionJobs/to-128-tib", "2026-01-01", body).result()
    larger = {**options, "capacity_tib": 16}
    found = modules("lustre_info", resource_group=group, jobs=True)["file_systems"][0]
    assert (found["capacity_tib"], [(one["type"], one["state"]) for one in found["jobs"]]) == (
        8,
        [("expansion", "Failed")],
    )
    again = modules("lustre", **larger)
    assert any("to-128-tib of scratch ended as Failed" in str(warning) for warning in again["warnings"])
    assert again["file_system"]["capacity_tib"] == 16


def test_a_size_that_does_not_exist_names_those_that_do(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    result = modules("lustre", **file_system(group, subnets, capacity_tib=4))
    assert refused(result) == "InvalidCapacity"
    assert "8 to 128 TiB in steps of 8" in result["msg"]
    assert "AMLFS-Durable-Premium-500 would have 4 TiB" in result["msg"]
    rounded = file_system(group, subnets, capacity_tib=4, capacity_rounding="up")
    made = modules("lustre", **rounded)
    assert made["file_system"]["capacity_tib"] == 8
    assert any("gets 8 TiB" in str(warning) for warning in made["warnings"])
    assert not modules("lustre", **rounded)["changed"]
    assert refused(modules("lustre", **file_system(group, subnets, name="x", sku="AMLFS-Gold"))) == "InvalidCapacity"


def test_a_subnet_that_is_too_small_is_found_before_anything_is_made(
    modules: Modules, group: str, subnets: dict[str, str]
) -> None:
    result = modules("lustre", **file_system(group, subnets, subnet_id=subnets["narrow"]))
    assert refused(result) == "SubnetNotSuitable"
    assert "11 free addresses" in result["msg"]
    assert "/27" in result["msg"]
    missing = f"{subnets['storage']}x"
    assert refused(modules("lustre", **file_system(group, subnets, subnet_id=missing))) == "SubnetNotSuitable"
    assert modules("lustre_info", resource_group=group)["file_systems"] == []


def test_options_that_contradict_are_one_error(
    modules: Modules, group: str, subnets: dict[str, str], containers: dict[str, str]
) -> None:
    wrong = file_system(
        group,
        subnets,
        container=containers["data"],
        logging_container=containers["data"],
        root_squash=squash(uid=0, except_nids="10.0.2.4"),
        encryption={"key_url": "https://v.vault.azure.net/keys/k/1a", "vault_id": "/subscriptions/x"},
    )
    result = modules("lustre", **wrong)
    assert refused(result) == "InvalidOptions"
    for what in ("logging_container", "root_squash.uid", "root_squash.except_nids", "identities"):
        assert what in result["msg"]


def test_it_is_deleted_only_when_asked_twice(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    modules("lustre", **file_system(group, subnets))
    once = {"resource_group": group, "name": "scratch", "state": "absent"}
    for wrong in ({}, {"confirm": "scratchy"}):
        assert refused(modules("lustre", **once, **wrong)) == "ConfirmationMissing"
    assert modules("lustre_info", resource_group=group, name="scratch")["ready"]
    assert modules.twice("lustre", **once, confirm="scratch")["file_system"] == {}
    assert not modules("lustre", **once)["changed"]


def test_its_key_and_identity(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    who = modules("identity", resource_group=group, name="lustre", location="westeurope")["id"]
    vault = f"/subscriptions/x/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/v"

    def with_key(version: str) -> dict[str, t.Any]:
        key = {"key_url": f"https://v.vault.azure.net/keys/k/{version}", "vault_id": vault}
        return file_system(group, subnets, encryption=key, identities=[who])

    modules.twice("lustre", **with_key("1a"))
    modules.twice("lustre", **with_key("2b"))


def test_a_file_system_that_is_being_made_is_not_waited_for(
    modules: Modules, group: str, subnets: dict[str, str], sandbox: t.Any
) -> None:
    sandbox.run("fault", "add", "Hang", "--method", "PUT", "--match", "*/amlFilesystems/*", "--count", "1")
    begun = modules("lustre", **file_system(group, subnets, wait=False))
    assert begun["changed"]
    again = modules("lustre", **file_system(group, subnets, wait=False))
    assert not again["changed"]
    found = modules("lustre_info", resource_group=group, name="scratch", wait=1)
    assert not found["ready"]
    assert found["file_systems"][0]["progress"].startswith("Creating, Transitioning, ")
    assert "min of usually 10 to 17" in found["file_systems"][0]["progress"]
    late = modules("lustre", **file_system(group, subnets, wait_timeout=0))
    assert refused(late) == "ClientTimeout"
    sandbox.run("fault", "clear")
    assert modules("lustre_info", resource_group=group, name="scratch", wait=60)["ready"]


def test_a_half_made_file_system_is_never_unnoticed(
    modules: Modules, group: str, subnets: dict[str, str], containers: dict[str, str], sandbox: t.Any
) -> None:
    said = ("--status", "200", "--message", "The storage account denied access to the container.")
    sandbox.run(
        "fault", "add", "ContainerAccessDenied", "--when", "async", "--method", "PUT", "--match", "*/amlFilesystems/*",
        *said, "--count", "1",
    )  # fmt: skip
    failed = modules("lustre", **file_system(group, subnets, **with_container(containers)))
    sandbox.run("fault", "clear")
    assert refused(failed) == "ContainerAccessDenied"
    assert "HPC Cache Resource Provider" in failed["msg"]
    assert "confirm: scratch" in failed["msg"]
    assert refused(modules("lustre", **file_system(group, subnets, **with_container(containers)))) == "FileSystemFailed"
    info = modules("lustre_info", resource_group=group)
    assert (info["ready"], len(info["problems"])) == (False, 1)
    modules("lustre", resource_group=group, name="scratch", state="absent", confirm="scratch")
    made = modules("lustre", **file_system(group, subnets, **with_container(containers)))
    assert made["file_system"]["ready"]


def test_what_a_location_offers(modules: Modules) -> None:
    found = modules("lustre_info", location="westeurope", resource_group="rg-none")
    assert found["skus"][SKU]["sizes"].startswith("8 to 128 TiB")
    assert found["quota"]["limit"] == 4


def job(group: str, **options: t.Any) -> dict[str, t.Any]:
    return {"resource_group": group, "file_system": "scratch", **options}


@pytest.fixture
def lustre(modules: Modules, group: str, subnets: dict[str, str], containers: dict[str, str], sandbox: t.Any) -> Path:
    """A file system with a container: the directory of its content."""
    made = modules("lustre", **file_system(group, subnets, **with_container(containers)))
    assert not made.get("failed"), made
    found = [
        path
        for path in (Path(sandbox.state) / "lustre").iterdir()
        if (path / "of").read_text() == made["file_system"]["id"].lower()
    ]
    return found[0] / "lustrefs"


def test_an_import_brings_files_from_the_container(modules: Modules, group: str, lustre: Path, files: Path) -> None:
    (files / "inputs").mkdir(parents=True)
    (files / "inputs/mesh.dat").write_text("mesh")
    (files / "other.txt").write_text("other")
    done = modules.twice("lustre_job", **job(group, type="import", name="one", prefixes=["/inputs"]))["job"]
    assert (done["state"], done["counts"]["totalBlobsImported"]) == ("Completed", 1)
    assert (lustre / "inputs/mesh.dat").read_text() == "mesh"
    assert not (lustre / "other.txt").exists()
    modules("lustre_job", **job(group, type="import", name="all", conflicts="Skip"))
    assert (lustre / "other.txt").read_text() == "other"
    modules.twice("lustre_job", **job(group, type="import", name="one", state="absent"))


def test_an_import_with_conflicts_says_what_to_do(modules: Modules, group: str, lustre: Path, files: Path) -> None:
    (lustre / "result.txt").write_text("of Lustre")
    (files / "result.txt").write_text("of the container")
    options = job(group, type="import", name="one", conflicts="Fail")
    failed = modules("lustre_job", **options)
    assert refused(failed) == "JobFailed"
    assert "totalConflicts 1" in failed["msg"]
    assert "rerun: true" in failed["msg"]
    assert (lustre / "result.txt").read_text() == "of Lustre"
    changed = {**options, "conflicts": "OverwriteAlways"}
    assert refused(modules("lustre_job", **changed)) == "PropertyChangeNotAllowed"
    assert modules("lustre_job", **changed, rerun=True)["job"]["state"] == "Completed"
    assert (lustre / "result.txt").read_text() == "of the container"


def test_an_archive_copies_files_to_the_container(modules: Modules, group: str, lustre: Path, files: Path) -> None:
    (lustre / "results").mkdir()
    (lustre / "results/a.out").write_text("42")
    done = modules.twice("lustre_job", **job(group, type="archive", path="/results"))["job"]
    assert (done["state"], done["percent"]) == ("Completed", 100)
    assert (files / "results/a.out").read_text() == "42"
    (lustre / "results/b.out").write_text("43")
    modules("lustre_job", **job(group, type="archive", path="/results", rerun=True))
    assert (files / "results/b.out").read_text() == "43"


def test_an_export_that_fails_half_way_loses_nothing(modules: Modules, group: str, lustre: Path, files: Path) -> None:
    for name in ("a", "b", "c"):
        (lustre / name).write_text(name)
    (files / "b").mkdir(parents=True)  # no blob can be written there
    failed = modules("lustre_job", **job(group, type="archive"))
    assert refused(failed) == "JobFailed"
    assert "%" in failed["msg"]
    assert "What was not copied is still in the file system: see the logs in logs" in failed["msg"]
    assert "rerun: true" in failed["msg"]
    assert modules("lustre_info", resource_group=group)["problems"]
    (files / "b").rmdir()
    modules("lustre_job", **job(group, type="archive", rerun=True))
    assert sorted(path.name for path in files.iterdir()) == ["a", "b", "c"]
    assert modules("lustre_info", resource_group=group)["problems"] == []


def test_automatic_jobs_move_files_until_they_are_cancelled(
    modules: Modules, group: str, lustre: Path, files: Path
) -> None:
    modules.twice("lustre_job", **job(group, type="auto_export", name="out"))
    (lustre / "late.txt").write_text("late")
    rows = modules("lustre_info", resource_group=group, jobs=True)["file_systems"][0]["jobs"]
    assert {(row["type"], row["state"]) for row in rows} == {("import", "Completed"), ("auto_export", "InProgress")}
    assert (files / "late.txt").read_text() == "late"
    busy = modules("lustre_job", **job(group, type="auto_export", name="out", state="absent"))
    assert refused(busy) == "JobBusy"
    modules.twice("lustre_job", **job(group, type="auto_export", name="out", state="cancelled"))
    (lustre / "later.txt").write_text("later")
    modules("lustre_info", resource_group=group, jobs=True)
    assert not (files / "later.txt").exists()
    modules.twice("lustre_job", **job(group, type="auto_import", name="in", enable_deletions=True))
    (files / "new.txt").write_text("new")
    modules("lustre_info", resource_group=group, jobs=True)
    assert (lustre / "new.txt").read_text() == "new"


def test_jobs_need_a_container(modules: Modules, group: str, subnets: dict[str, str]) -> None:
    assert refused(modules("lustre_job", **job(group, type="archive"))) == "FileSystemNotFound"
    modules("lustre", **file_system(group, subnets))
    assert refused(modules("lustre_job", **job(group, type="archive"))) == "NoContainer"
