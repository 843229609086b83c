# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data disks by their ids, boot diagnostics, patches, shared galleries, repairs of scale sets."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import IMAGE, KEY, PROVIDERS, Cloud

COMPUTE = f"{PROVIDERS}/Microsoft.Compute"
VM = f"{COMPUTE}/virtualMachines/head"
DISK = f"{COMPUTE}/disks/data"


@pytest.fixture
def machine(cloud: Cloud) -> str:
    address = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = {"name": "nic", "properties": {"ipConfigurations": [address]}}
    body = {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"imageReference": IMAGE},
            "osProfile": {
                "adminUsername": "azureuser",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
            },
            "networkProfile": {"networkInterfaceConfigurations": [nic]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        },
    }
    assert cloud.run("PUT", VM, body)["status"] == "Succeeded"
    disk = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}
    cloud.run("PUT", DISK, {"location": "westeurope", "properties": disk})
    return VM


def luns(cloud: Cloud) -> list[int]:
    disks: list[dict[str, t.Any]] = cloud.ok("GET", VM)["properties"]["storageProfile"]["dataDisks"]
    return [disk["lun"] for disk in disks]


def test_disks_are_attached_and_detached_by_their_ids(cloud: Cloud, machine: str) -> None:
    path = f"{machine}/attachDetachDataDisks"
    ended = cloud.run("POST", path, {"dataDisksToAttach": [{"diskId": DISK, "lun": 3}]})
    assert ended["properties"]["output"]["dataDisks"][0]["lun"] == 3
    assert cloud.ok("GET", DISK)["properties"]["diskState"] == "Attached"
    accepted = cloud.send("POST", path, {"dataDisksToDetach": [{"diskId": DISK}]})
    assert (accepted.status, accepted.body["dataDisks"][0]["toBeDetached"]) == (200, True)
    cloud.settle()
    assert luns(cloud) == []
    assert cloud.ok("GET", DISK)["properties"]["diskState"] == "Unattached"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"dataDisksToAttach": [{"diskId": f"{DISK}-not"}]}, "InvalidParameter"),
        ({"dataDisksToDetach": [{"diskId": DISK}]}, "InvalidParameter"),
        ({"dataDisksToAttach": [{"diskId": DISK, "lun": 0}, {"diskId": DISK, "lun": 0}]}, "OperationNotAllowed"),
    ],
)
def test_disks_that_cannot_be_changed_change_nothing(
    cloud: Cloud, machine: str, asked: dict[str, t.Any], code: str
) -> None:
    refused = cloud.send("POST", f"{machine}/attachDetachDataDisks", asked)
    assert refused.body["error"]["code"] == code
    assert luns(cloud) == []
    assert cloud.ok("GET", DISK)["properties"]["diskState"] == "Unattached"


def test_boot_diagnostics_are_links_where_they_are_enabled(cloud: Cloud, machine: str) -> None:
    links = cloud.ok("POST", f"{machine}/retrieveBootDiagnosticsData")
    assert set(links) == {"consoleScreenshotBlobUri", "serialConsoleLogBlobUri"}
    cloud.scale_set("pool", 1)
    refused = cloud.send(
        "POST", f"{COMPUTE}/virtualMachineScaleSets/pool/virtualMachines/0/retrieveBootDiagnosticsData"
    )
    assert refused.status == 409


def test_a_machine_never_lacks_a_patch(cloud: Cloud, machine: str) -> None:
    told = cloud.run("POST", f"{machine}/assessPatches")["properties"]["output"]
    assert (told["status"], told["criticalAndSecurityPatchCount"]) == ("Succeeded", 0)
    assert cloud.send("POST", f"{machine}/installPatches", {}).status == 400


def test_a_gallery_is_shared_unless_it_is_private(cloud: Cloud) -> None:
    groups = [{"type": "Subscriptions", "ids": ["one", "two"]}]
    private, shared = f"{COMPUTE}/galleries/private", f"{COMPUTE}/galleries/shared"
    cloud.run("PUT", private, {"location": "westeurope"})
    cloud.run("PUT", shared, {"location": "westeurope", "properties": {"sharingProfile": {"permissions": "Groups"}}})
    assert cloud.send("POST", f"{private}/share", {"operationType": "Add", "groups": groups}).status == 409
    cloud.run("POST", f"{shared}/share", {"operationType": "Add", "groups": groups})
    removed = [{"type": "Subscriptions", "ids": ["one"]}]
    cloud.run("POST", f"{shared}/share", {"operationType": "Remove", "groups": removed})
    profile = cloud.ok("GET", shared)["properties"]["sharingProfile"]
    assert profile["groups"] == [{"type": "Subscriptions", "ids": ["two"]}]


def test_repairs_are_suspended_where_there_are_any(cloud: Cloud) -> None:
    with_repairs = cloud.scale_set("pool", automaticRepairsPolicy={"enabled": True})
    asked = {"serviceName": "AutomaticRepairs", "action": "Suspend"}
    cloud.run("POST", f"{with_repairs}/setOrchestrationServiceState", asked)
    (service,) = cloud.ok("GET", f"{with_repairs}/instanceView")["orchestrationServices"]
    assert service["serviceState"] == "Suspended"
    without = cloud.scale_set("other")
    assert cloud.send("POST", f"{without}/setOrchestrationServiceState", asked).status == 409


def test_a_scale_set_may_be_made_of_an_unmanaged_image(cloud: Cloud) -> None:
    blob = {"uri": "https://a.blob.core.windows.net/vhds/image.vhd"}
    disk = {"name": "os", "osType": "Linux", "createOption": "FromImage", "image": blob}
    path = cloud.scale_set("pool", 1, profile={"storageProfile": {"osDisk": disk}})
    shown = cloud.ok("GET", path)["properties"]["virtualMachineProfile"]["storageProfile"]["osDisk"]
    assert shown["image"] == blob
    assert "managedDisk" not in shown


@pytest.mark.parametrize(
    ("sku", "changes", "expected"),
    [
        ("Premium_LRS", {"diskSizeGB": 100}, ("P10", 500)),
        ("Premium_LRS", {"diskSizeGB": 100, "tier": "P40"}, ("P40", 7500)),
        ("Premium_LRS", {"diskSizeGB": 2048, "tier": "P10"}, ("P40", 7500)),
        ("UltraSSD_LRS", {"diskSizeGB": 100, "diskIOPSReadWrite": 777}, (None, 777)),
        ("PremiumV2_LRS", {"diskSizeGB": 100}, (None, 3000)),
        ("Standard_LRS", {"diskSizeGB": 100}, (None, 500)),
    ],
)
def test_how_fast_a_disk_is(
    cloud: Cloud, sku: str, changes: dict[str, t.Any], expected: tuple[str | None, int]
) -> None:
    properties = {"creationData": {"createOption": "Empty"}, **changes}
    cloud.run("PUT", DISK, {"location": "westeurope", "sku": {"name": sku}, "properties": properties})
    read = cloud.ok("GET", DISK)["properties"]
    assert (read.get("tier"), read["diskIOPSReadWrite"]) == expected
