# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with unmanaged disks, attached OS disks, disks of stopped machines, old api-versions, old images."""

from __future__ import annotations

import copy
import typing as t

import pytest

from sandbox.providers.compute import platform_images

from .conftest import IMAGE, PROVIDERS, Cloud

VM = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/m"
NIC = f"{PROVIDERS}/Microsoft.Network/networkInterfaces/n"
DISK = f"{PROVIDERS}/Microsoft.Compute/disks"
BLOB = "https://account.blob.core.windows.net/vhds"
LINUX = {"computerName": "m", "adminUsername": "azureuser", "adminPassword": "Secret-of-12-letters"}


@pytest.fixture
def body(cloud: Cloud) -> dict[str, t.Any]:
    configuration = {"name": "c", "properties": {"subnet": {"id": cloud.subnet}}}
    cloud.ok("PUT", NIC, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
    cloud.settle()
    return {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage", "name": "os"}},
            "osProfile": LINUX,
            "networkProfile": {"networkInterfaces": [{"id": NIC}]},
        },
    }


@pytest.fixture
def unmanaged(body: dict[str, t.Any]) -> dict[str, t.Any]:
    storage = body["properties"]["storageProfile"]
    storage["osDisk"]["vhd"] = {"uri": f"{BLOB}/os.vhd"}
    disk = {"lun": 0, "name": "data", "createOption": "Empty", "diskSizeGB": 5, "vhd": {"uri": f"{BLOB}/data.vhd"}}
    storage["dataDisks"] = [disk]
    return body


def done(cloud: Cloud, method: str, path: str, body: t.Any = None) -> dict[str, t.Any]:
    status = cloud.run(method, path, body)
    assert status["status"] == "Succeeded", status
    return status


def make(cloud: Cloud, body: dict[str, t.Any]) -> dict[str, t.Any]:
    done(cloud, "PUT", VM, body)
    read: dict[str, t.Any] = cloud.ok("GET", VM)
    return read


def test_unmanaged_disks_are_blobs_and_no_resources(cloud: Cloud, unmanaged: dict[str, t.Any]) -> None:
    storage = make(cloud, unmanaged)["properties"]["storageProfile"]
    for disk in (storage["osDisk"], *storage["dataDisks"]):
        assert disk["vhd"]["uri"].startswith(BLOB)
        assert "managedDisk" not in disk
    assert cloud.ok("GET", DISK)["value"] == []
    storage["dataDisks"] = []
    done(cloud, "PATCH", VM, {"properties": {"storageProfile": {"dataDisks": []}}})
    assert cloud.ok("GET", VM)["properties"]["storageProfile"]["dataDisks"] == []


def test_unmanaged_disks_become_managed_ones_while_the_machine_is_off(
    cloud: Cloud, unmanaged: dict[str, t.Any]
) -> None:
    make(cloud, unmanaged)
    refusal = cloud.send("POST", f"{VM}/convertToManagedDisks")
    assert refusal.status == 409
    done(cloud, "POST", f"{VM}/deallocate")
    done(cloud, "POST", f"{VM}/convertToManagedDisks")
    assert sorted(disk["name"] for disk in cloud.ok("GET", DISK)["value"]) == ["data", "os"]
    assert "already" in cloud.send("POST", f"{VM}/convertToManagedDisks").body["error"]["message"]
    done(cloud, "POST", f"{VM}/start")
    assert cloud.ok("GET", f"{DISK}/os")["properties"]["diskState"] == "Attached"


def test_a_capture_answers_a_template_for_the_copies(cloud: Cloud, unmanaged: dict[str, t.Any]) -> None:
    make(cloud, unmanaged)
    asked = {"vhdPrefix": "cpt", "destinationContainerName": "copies", "overwriteVhds": True}
    assert cloud.send("POST", f"{VM}/capture", asked).status == 409
    done(cloud, "POST", f"{VM}/deallocate")
    cloud.ok("POST", f"{VM}/generalize")
    output = done(cloud, "POST", f"{VM}/capture", asked)["properties"]["output"]
    (machine,) = output["resources"]
    assert "/copies/cpt-osDisk." in machine["properties"]["storageProfile"]["osDisk"]["image"]["uri"]
    image = f"{PROVIDERS}/Microsoft.Compute/images/i"
    done(cloud, "PUT", image, {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": VM}}})
    shown = cloud.ok("GET", image)["properties"]["storageProfile"]
    assert shown["osDisk"]["blobUri"] == f"{BLOB}/os.vhd"
    assert shown["dataDisks"][0]["diskSizeGB"] == 5


def test_managed_disks_are_not_captured_as_blobs(cloud: Cloud, body: dict[str, t.Any]) -> None:
    make(cloud, body)
    refusal = cloud.send("POST", f"{VM}/capture", {"vhdPrefix": "x", "destinationContainerName": "y"})
    assert "blob based disks" in refusal.body["error"]["message"]


def test_a_machine_is_made_of_a_disk_that_is_there(cloud: Cloud, body: dict[str, t.Any]) -> None:
    disk = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 40, "osType": "Linux"}
    done(cloud, "PUT", f"{DISK}/kept", {"location": "westeurope", "properties": disk})
    attached = {"createOption": "Attach", "osType": "Linux", "managedDisk": {"id": f"{DISK}/kept"}}
    body["properties"]["storageProfile"] = {"osDisk": attached}
    del body["properties"]["osProfile"]
    shown = make(cloud, body)["properties"]["storageProfile"]["osDisk"]
    assert (shown["name"], shown["diskSizeGB"]) == ("kept", 40)
    assert cloud.ok("GET", f"{DISK}/kept")["managedBy"] == VM
    assert cloud.send("DELETE", f"{DISK}/kept").status == 409
    done(cloud, "DELETE", VM)
    assert "managedBy" not in cloud.ok("GET", f"{DISK}/kept")


def test_disks_of_a_deallocated_machine_are_reserved(cloud: Cloud, body: dict[str, t.Any]) -> None:
    make(cloud, body)
    for action, state in (("deallocate", "Reserved"), ("start", "Attached")):
        done(cloud, "POST", f"{VM}/{action}")
        assert cloud.ok("GET", f"{DISK}/os")["properties"]["diskState"] == state


def test_a_disk_tells_the_exact_image_that_it_is_made_of(cloud: Cloud, body: dict[str, t.Any]) -> None:
    make(cloud, body)
    source = cloud.ok("GET", f"{DISK}/os")["properties"]["creationData"]["imageReference"]["id"]
    newest = platform_images.find("Debian", "debian-13", "13-gen2")
    assert newest is not None
    assert source.endswith(f"/Offers/debian-13/Skus/13-gen2/Versions/{newest.versions[-1]}")


@pytest.mark.parametrize(("version", "named"), [("2020-06-01", True), ("2024-07-01", False)])
def test_only_old_versions_name_an_operation_for_a_write_that_changes_nothing(
    cloud: Cloud, body: dict[str, t.Any], version: str, named: bool
) -> None:
    make(cloud, body)
    same = {"properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v3"}}}
    answer = cloud.send("PATCH", f"{VM}?api-version={version}", same)
    assert ("Azure-AsyncOperation" in answer.headers) is named
    cloud.settle()


def test_price_and_placement_change_while_the_machine_is_off(cloud: Cloud, body: dict[str, t.Any]) -> None:
    spot = copy.deepcopy(body)
    spot["properties"] |= {"priority": "Spot", "billingProfile": {"maxPrice": 1.0}}
    make(cloud, spot)
    for change in ({"billingProfile": {"maxPrice": 2.0}}, {"proximityPlacementGroup": {"id": f"{VM}x"}}):
        refusal = cloud.send("PATCH", VM, {"properties": change})
        assert (refusal.status, refusal.body["error"]["code"]) == (409, "OperationNotAllowed")
    done(cloud, "POST", f"{VM}/deallocate")
    done(cloud, "PATCH", VM, {"properties": {"billingProfile": {"maxPrice": 2.0}}})
    assert cloud.ok("GET", VM)["properties"]["billingProfile"] == {"maxPrice": 2.0}


@pytest.mark.parametrize(
    ("sku", "version", "there"),
    [
        ("16.04-LTS", "16.04.201801260", True),
        ("16.04-LTS", "18.04.201801260", False),
        ("16.04-LTS", "16.04.999912310", False),
        ("16.04-LTS", "16.04", False),
        ("16.04-LTS", "newest", False),
    ],
)
def test_older_versions_of_an_image_are_there_and_others_are_not(sku: str, version: str, there: bool) -> None:
    image = platform_images.find("Canonical", "UbuntuServer", sku)
    assert image is not None
    assert image.has(version) is there


def test_instances_of_a_uniform_scale_set_may_have_public_addresses(cloud: Cloud) -> None:
    public = {"name": "pub", "properties": {"idleTimeoutInMinutes": 10, "dnsSettings": {"domainNameLabel": "mine"}}}
    configuration = {
        "name": "c",
        "properties": {"subnet": {"id": cloud.subnet}, "publicIPAddressConfiguration": public},
    }
    path = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/s"
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard_D2s_v3", "capacity": 2},
        "properties": {
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": {
                "osProfile": {"computerNamePrefix": "n", "adminUsername": "a", "adminPassword": "Secret-of-12-letters"},
                "storageProfile": {"imageReference": IMAGE},
                "networkProfile": {
                    "networkInterfaceConfigurations": [
                        {"name": "nic", "properties": {"ipConfigurations": [configuration]}}
                    ]
                },
            },
        },
    }
    done(cloud, "PUT", path, body)
    listed = cloud.ok("GET", f"{path}/publicIPAddresses")["value"]
    assert len({entry["properties"]["ipAddress"] for entry in listed}) == 2
    assert listed[0]["properties"]["dnsSettings"]["fqdn"] == "vm0.mine.westeurope.cloudapp.azure.com"
    (nic,) = cloud.ok("GET", f"{path}/virtualMachines/1/networkInterfaces")["value"]
    (shown,) = nic["properties"]["ipConfigurations"]
    assert shown["properties"]["publicIPAddress"]["id"] == listed[1]["id"]
    assert cloud.ok("GET", listed[1]["id"])["properties"]["idleTimeoutInMinutes"] == 10
    assert cloud.ok("GET", shown["id"])["name"] == "c"
    done(cloud, "POST", f"{path}/delete", {"instanceIds": ["1"]})
    assert len(cloud.ok("GET", f"{path}/publicIPAddresses")["value"]) == 1
    rows = cloud.core.store.db().execute("SELECT owner FROM addresses WHERE pool = 'public'").fetchall()
    assert len(rows) == 1
