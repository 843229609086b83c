# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre: capacity and subnets, states, jobs, quota."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.providers.storagecache import shapes

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g"
FS = "/providers/Microsoft.StorageCache/amlFilesystems/fs"
SKU = "AMLFS-Durable-Premium-250"
HEAD = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.StorageCache"
CONTAINER = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers"
HSM = {"settings": {"container": f"{CONTAINER}/data", "loggingContainer": f"{CONTAINER}/log"}}


@pytest.fixture
def subnet(arm: Arm) -> str:
    subnets = [
        {"name": "wide", "properties": {"addressPrefix": "10.0.0.0/24"}},
        {"name": "narrow", "properties": {"addressPrefix": "10.0.1.0/28"}},
    ]
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/20"]}, "subnets": subnets}
    arm.make("/providers/Microsoft.Network/virtualNetworks/v", {"properties": space})
    return f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/wide"


def request(subnet: str, **changes: Any) -> dict[str, Any]:
    window = {"dayOfWeek": "Friday", "timeOfDayUTC": "22:00"}
    properties = {"storageCapacityTiB": 16, "filesystemSubnet": subnet, "maintenanceWindow": window, **changes}
    return {"location": "westeurope", "sku": {"name": SKU}, "zones": ["1"], "properties": properties}


def test_a_file_system_is_mounted_from_an_address_of_its_subnet(arm: Arm, subnet: str) -> None:
    first = arm.send("PUT", FS, request(subnet))
    assert first.status == 201
    assert first.body["properties"]["health"]["state"] == "Transitioning"
    assert first.body["properties"]["clientInfo"]["mgsAddress"] == ""
    arm.wait()
    read = arm.send("GET", FS).body["properties"]
    address = read["clientInfo"]["mgsAddress"]
    assert address.startswith("10.0.0.")
    assert f" {address}@tcp0:/lustrefs " in read["clientInfo"]["mountCommand"]
    claim = read["clientInfo"]["containerStorageInterface"]["persistentVolumeClaim"]
    assert "storage: 16.0Ti" in base64.b64decode(claim).decode()
    assert (read["health"]["state"], read["throughputProvisionedMBps"]) == ("Available", 4000)


def test_a_file_system_takes_addresses_of_its_subnet_and_gives_them_back(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet))
    assert arm.send("GET", subnet).body["properties"]["ipConfigurations"]
    arm.send("DELETE", FS)
    arm.wait()
    assert "ipConfigurations" not in arm.send("GET", subnet).body["properties"]


@given(st.sampled_from(sorted(shapes.SKUS)), st.floats(min_value=0.5, max_value=700))
def test_capacity_is_the_next_step_or_refused(name: str, asked: float) -> None:
    sku = shapes.SKUS[name]
    if asked > sku.largest:
        with pytest.raises(ArmError, match="out of range"):
            shapes.capacity_of(sku, asked)
        return
    given_capacity = shapes.capacity_of(sku, asked)
    assert given_capacity % sku.step == 0
    assert asked <= given_capacity < asked + sku.step


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"storageCapacityTiB": 4000}, "storageCapacityTiB"),
        ({"storageCapacityTiB": None}, "storageCapacityTiB"),
        ({"maintenanceWindow": {"dayOfWeek": "Someday"}}, "maintenanceWindow"),
        ({"hsm": {"settings": {"container": "c"}}}, "hsm.settings.loggingContainer"),
        ({"rootSquashSettings": {"mode": "Some"}}, "rootSquashSettings.mode"),
        ({"filesystemSubnet": "/nowhere"}, "filesystemSubnet"),
    ],
)
def test_bad_requests_name_what_is_wrong(arm: Arm, subnet: str, changes: dict[str, Any], target: str) -> None:
    refused = arm.send("PUT", FS, request(subnet, **changes))
    assert (refused.status, refused.body["error"]["target"]) == (400, target)


def test_a_subnet_that_is_too_small_is_told_before_and_refused_after(arm: Arm, subnet: str) -> None:
    narrow = subnet.replace("wide", "narrow")
    asked = {"sku": {"name": SKU}, "storageCapacityTiB": 16, "location": "westeurope"}
    size = arm.send("POST", f"{HEAD}/getRequiredAmlFSSubnetsSize", asked).body["filesystemSubnetSize"]
    assert size == 24
    good = arm.send("POST", f"{HEAD}/checkAmlFSSubnets", {**asked, "filesystemSubnet": subnet})
    bad = arm.send("POST", f"{HEAD}/checkAmlFSSubnets", {**asked, "filesystemSubnet": narrow})
    assert (good.status, good.body) == (200, None)
    assert (bad.status, bad.body["filesystemSubnet"]["status"]) == (400, "Invalid")
    assert arm.send("PUT", FS, request(narrow)).status == 400


def test_what_the_servers_are_made_of_does_not_change(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet))
    refused = arm.send("PUT", FS, request(subnet, storageCapacityTiB=24))
    assert (refused.status, refused.body["error"]["code"]) == (409, "PropertyChangeNotAllowed")
    tags = arm.send("PATCH", FS, {"tags": {"a": "b"}})
    assert (tags.status, tags.body["tags"]) == (200, {"a": "b"})


def test_the_fifth_file_system_exceeds_the_quota(arm: Arm, subnet: str) -> None:
    for number in range(4):
        arm.make(f"{FS}{number}", request(subnet))
    refused = arm.send("PUT", FS, request(subnet))
    assert (refused.status, refused.body["error"]["code"]) == (409, "OperationNotAllowed")
    usages = arm.send("GET", f"{HEAD}/locations/westeurope/usages").body["value"]
    assert {entry["name"]["value"]: entry["currentValue"] for entry in usages} == {"Cache": 0, "AmlFilesystem": 4}


def test_jobs_need_a_container(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet))
    refused = arm.send("PUT", f"{FS}/importJobs/j", {"location": "westeurope"})
    assert (refused.status, refused.body["error"]["code"]) == (409, "OperationNotAllowed")
    assert arm.send("POST", f"{FS}/archive").status == 409


def test_a_file_system_with_a_container_has_imported_it(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet, hsm=HSM))
    (job,) = arm.send("GET", f"{FS}/importJobs").body["value"]
    assert (job["name"], job["properties"]["status"]["state"]) == ("importJobInitialAmlfsPut", "Completed")


def test_an_automatic_job_runs_until_it_is_disabled(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet, hsm=HSM))
    for kind in ("autoImportJobs", "autoExportJobs"):
        job = arm.make(f"{FS}/{kind}/j")
        assert job["properties"]["status"]["state"] == "InProgress"
        assert arm.send("PUT", f"{FS}/{kind}/other", {"location": "westeurope"}).status == 409
        stopped = arm.send("PATCH", f"{FS}/{kind}/j", {"properties": {"adminStatus": "Disable"}})
        assert (stopped.status, stopped.body) == (202, None)
        arm.wait()
        assert arm.send("GET", f"{FS}/{kind}/j").body["properties"]["status"]["state"] == "Disabled"


@pytest.mark.parametrize(("version", "suffix"), [("2024-07-01", ""), ("2025-07-01", "UTC")])
def test_automatic_exports_tell_their_times_as_the_version_names_them(
    arm: Arm, subnet: str, version: str, suffix: str
) -> None:
    arm.make(FS, request(subnet, hsm=HSM))
    arm.make(f"{FS}/autoExportJobs/j")
    path, query = f"{GROUP}{FS}/autoExportJobs", {"api-version": version}
    for asked in (f"{path}/j", path):
        answer = dispatch(
            arm.core, Request(arm.core, "GET", asked, {}, query, {}, "https://management.azure.com", None)
        )
        job = answer.body["value"][0] if "value" in answer.body else answer.body
        status = job["properties"]["status"]
        assert {f"lastStartedTime{suffix}", f"lastSuccessfulIterationCompletionTime{suffix}"} < set(status)
        # Who looks twice and finds nothing new sees one iteration.
        assert status["exportIterationCount"] == 1


def test_an_expansion_ends_with_the_new_capacity(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet))
    arm.make(f"{FS}/expansionJobs/j", {"properties": {"newStorageCapacityTiB": 30}})
    read = arm.send("GET", FS).body["properties"]
    assert (read["storageCapacityTiB"], read["throughputProvisionedMBps"]) == (32, 8000)
    smaller = {"location": "westeurope", "properties": {"newStorageCapacityTiB": 8}}
    assert arm.send("PUT", f"{FS}/expansionJobs/k", smaller).status == 400


def test_an_archive_is_told_by_the_file_system(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet, hsm=HSM))
    assert arm.send("POST", f"{FS}/archive", {"filesystemPath": "/results"}).status == 200
    arm.wait()
    (archive,) = arm.send("GET", FS).body["properties"]["hsm"]["archiveStatus"]
    assert (archive["filesystemPath"], archive["status"]["state"]) == ("/results", "Completed")


def test_a_file_system_goes_with_its_group(arm: Arm, subnet: str) -> None:
    arm.make(FS, request(subnet, hsm=HSM))
    arm.send("DELETE", GROUP)
    arm.wait()
    assert not arm.core.store.counts().get("microsoft.storagecache/amlfilesystems")
