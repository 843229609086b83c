# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that images and accounts decide about, disks of instances, domains of availability sets, shared galleries."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import IMAGE, PROVIDERS, Cloud

COMPUTE = f"{PROVIDERS}/Microsoft.Compute"
NETWORK = f"{PROVIDERS}/Microsoft.Network"
VM = f"{COMPUTE}/virtualMachines/m"
LINUX = {"computerName": "m", "adminUsername": "azureuser", "adminPassword": "Secret-of-12-letters"}


def body(cloud: Cloud, name: str = "m", **changes: t.Any) -> dict[str, t.Any]:
    nic = f"{NETWORK}/networkInterfaces/{name}"
    configuration = {"name": "c", "properties": {"subnet": {"id": cloud.subnet}}}
    cloud.ok("PUT", nic, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
    cloud.settle()
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"imageReference": IMAGE},
        "osProfile": LINUX,
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }
    return {"location": "westeurope", "properties": {**properties, **changes}}


def done(cloud: Cloud, method: str, path: str, given: t.Any = None) -> None:
    assert cloud.run(method, path, given)["status"] == "Succeeded"


def kinds(cloud: Cloud, path: str) -> list[str]:
    storage = cloud.ok("GET", path)["properties"]["storageProfile"]
    return [disk["managedDisk"]["storageAccountType"] for disk in [storage["osDisk"], *storage["dataDisks"]]]


def data_disk(cloud: Cloud, name: str = "d") -> str:
    path = f"{COMPUTE}/disks/{name}"
    disk = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}
    done(cloud, "PUT", path, {"location": "westeurope", "properties": disk})
    return path


def test_machines_have_the_kinds_of_disks_of_their_image(cloud: Cloud) -> None:
    slow = {"managedDisk": {"storageAccountType": "standard_lrs"}, "createOption": "fromImage"}
    data = {"lun": 0, "createOption": "empty", "diskSizeGB": 4, "managedDisk": {"storageAccountType": "standard_lrs"}}
    storage = {"imageReference": IMAGE, "osDisk": slow, "dataDisks": [data]}
    done(cloud, "PUT", VM, body(cloud, storageProfile=storage))
    assert kinds(cloud, VM) == ["Standard_LRS", "Standard_LRS"]
    done(cloud, "POST", f"{VM}/deallocate")
    assert cloud.send("POST", f"{VM}/generalize").status == 200
    image = f"{COMPUTE}/images/i"
    done(cloud, "PUT", image, {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": VM}}})
    other, asked = f"{COMPUTE}/virtualMachines/o", {"imageReference": {"id": image}}
    done(cloud, "PUT", other, body(cloud, "o", storageProfile=asked))
    assert kinds(cloud, other) == ["Standard_LRS", "Standard_LRS"]


@pytest.mark.parametrize("kind", ["Premium_LRS", "Standard_GRS"])
def test_converted_disks_are_as_good_as_the_account_of_their_blobs(cloud: Cloud, kind: str) -> None:
    account = {"location": "westeurope", "sku": {"name": kind}, "kind": "StorageV2"}
    cloud.send("PUT", f"{PROVIDERS}/Microsoft.Storage/storageAccounts/blobs1", account)
    cloud.settle()
    disk = {"createOption": "FromImage", "name": "os", "vhd": {"uri": "https://blobs1.blob.core.windows.net/v/o.vhd"}}
    done(cloud, "PUT", VM, body(cloud, storageProfile={"imageReference": IMAGE, "osDisk": disk}))
    done(cloud, "POST", f"{VM}/deallocate")
    done(cloud, "POST", f"{VM}/convertToManagedDisks")
    assert kinds(cloud, VM) == ["Premium_LRS" if kind == "Premium_LRS" else "Standard_LRS"]


def test_an_instance_can_have_disks_of_its_own(cloud: Cloud) -> None:
    disk, pool = data_disk(cloud), cloud.scale_set("pool", 2)
    one = f"{pool}/virtualMachines/0"
    attached = [{"lun": 1, "createOption": "Attach", "managedDisk": {"id": disk}}]
    done(cloud, "PUT", one, {"location": "westeurope", "properties": {"storageProfile": {"dataDisks": attached}}})
    (told,) = cloud.ok("GET", one)["properties"]["storageProfile"]["dataDisks"]
    assert (told["lun"], told["name"], told["diskSizeGB"]) == (1, "d", 8)
    assert cloud.ok("GET", disk)["properties"]["diskState"] == "Attached"
    leaving = cloud.send("PUT", one, {"properties": {"storageProfile": {"dataDisks": []}}})
    assert [entry["toBeDetached"] for entry in leaving.body["properties"]["storageProfile"]["dataDisks"]] == [True]
    cloud.settle()
    assert cloud.ok("GET", one)["properties"]["storageProfile"]["dataDisks"] == []
    assert cloud.ok("GET", disk)["properties"]["diskState"] == "Unattached"
    done(cloud, "PUT", one, {"properties": {"storageProfile": {"dataDisks": attached}}})
    done(cloud, "DELETE", one)
    assert "managedBy" not in cloud.ok("GET", disk)
    gone = cloud.send("GET", one)
    assert (gone.status, gone.body["error"]["code"]) == (404, "NotFound")


def test_old_versions_forget_a_detached_disk_at_once(cloud: Cloud) -> None:
    disk, given = data_disk(cloud), body(cloud)
    given["properties"]["storageProfile"]["dataDisks"] = [
        {"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk}}
    ]
    done(cloud, "PUT", VM, given)
    given["properties"]["storageProfile"]["dataDisks"] = []
    answer = cloud.send("PUT", f"{VM}?api-version=2017-12-01", given)
    assert answer.body["properties"]["storageProfile"]["dataDisks"] == []


def test_machines_of_an_availability_set_are_spread_over_its_domains(cloud: Cloud) -> None:
    path = f"{COMPUTE}/availabilitySets/set"
    counts = {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 3}
    cloud.ok("PUT", path, {"location": "westeurope", "sku": {"name": "Aligned"}, "properties": counts})
    placed = []
    for name in ("a", "b", "c"):
        machine = f"{COMPUTE}/virtualMachines/{name}"
        done(cloud, "PUT", machine, body(cloud, name, availabilitySet={"id": path}))
        view = cloud.ok("GET", f"{machine}/instanceView")
        placed.append((view["platformFaultDomain"], view["platformUpdateDomain"]))
        assert "placementGroupId" not in view
    assert placed == [(0, 0), (1, 1), (0, 2)]


def test_two_kinds_of_identity_are_told_as_azure_writes_them(cloud: Cloud) -> None:
    identity = f"{PROVIDERS}/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    cloud.ok("PUT", identity, {"location": "westeurope"})
    kinds_of = {"type": "UserAssigned,SystemAssigned", "userAssignedIdentities": {identity: {}}}
    done(cloud, "PUT", VM, {**body(cloud), "identity": kinds_of})
    assert cloud.ok("GET", VM)["identity"]["type"] == "SystemAssigned, UserAssigned"
    assert cloud.send("PATCH", VM, {"identity": {"type": "None"}}).status == 200
    cloud.settle()
    assert "identity" not in cloud.ok("GET", VM)


def test_new_user_data_is_an_update_and_the_same_is_none(cloud: Cloud) -> None:
    given = body(cloud, userData="YQ==")
    done(cloud, "PUT", VM, given)
    given = body(cloud, userData="Yg==")
    assert "Azure-AsyncOperation" in cloud.send("PUT", VM, given).headers
    cloud.settle()
    assert cloud.ok("GET", f"{VM}?$expand=userData")["properties"]["userData"] == "Yg=="
    assert "Azure-AsyncOperation" not in cloud.send("PUT", VM, given).headers


def test_a_disk_tells_what_its_image_is_and_ultra_disks_their_limits(cloud: Cloud) -> None:
    reference = (
        "/Subscriptions/s/Providers/Microsoft.Compute/Locations/westeurope/Publishers/Canonical/ArtifactTypes/VMImage/"
        "Offers/0001-com-ubuntu-server-jammy/Skus/22_04-lts-gen2/Versions/latest"
    )
    path = f"{COMPUTE}/disks/i"
    creation = {"createOption": "FromImage", "imageReference": {"id": reference}}
    done(cloud, "PUT", path, {"location": "westeurope", "properties": {"creationData": creation}})
    told = cloud.ok("GET", path)["properties"]
    assert (told["osType"], told["hyperVGeneration"], told["diskSizeGB"]) == ("Linux", "V2", 30)
    assert told["supportedCapabilities"]["architecture"] == "x64"
    empty = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 10}
    sku = {"name": "UltraSSD_LRS"}
    done(cloud, "PUT", f"{COMPUTE}/disks/u", {"location": "westeurope", "sku": sku, "properties": empty})
    ultra = cloud.ok("GET", f"{COMPUTE}/disks/u")["properties"]
    assert (ultra["maxShares"], ultra["readOnly"], ultra["creationData"]["logicalSectorSize"]) == (1, False, 4096)


def test_a_gallery_is_shared_with_a_community_and_private_again(cloud: Cloud) -> None:
    path = f"{COMPUTE}/galleries/g"
    info = {"publisherUri": "https://example.com", "publicNamePrefix": "pub", "eula": "none"}
    profile = {"permissions": "Community", "communityGalleryInfo": info}
    done(cloud, "PUT", path, {"location": "westeurope", "properties": {"sharingProfile": profile}})
    shared = cloud.ok("GET", path)["properties"]["sharingProfile"]["communityGalleryInfo"]
    assert (shared["communityGalleryEnabled"], shared["publicNames"][0][:4]) == (False, "pub-")
    done(cloud, "POST", f"{path}/share", {"operationType": "EnableCommunity"})
    shared = cloud.ok("GET", path)["properties"]["sharingProfile"]["communityGalleryInfo"]
    assert shared["communityGalleryEnabled"]
    done(cloud, "POST", f"{path}/share", {"operationType": "Reset"})
    assert cloud.ok("GET", path)["properties"]["sharingProfile"] == {"permissions": "Private"}


def test_features_of_image_versions_are_of_their_day(cloud: Cloud) -> None:
    place = (
        "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/artifacttypes/vmimage"
    )
    line = f"{place}/offers/UbuntuServer/skus/18.04-LTS/versions"
    told = []
    for version in ("18.04.202206150", "18.04.202401161"):
        features = cloud.ok("GET", f"{line}/{version}")["properties"]["features"]
        told.append({one["name"]: one["value"] for one in features}["DiskControllerTypes"])
    assert told == ["SCSI", "SCSI, NVMe"]
    brief = cloud.ok("GET", f"{line}?$expand=properties")[0]
    assert brief["extendedLocation"] is None
    assert brief["properties"]["replicaCount"] is None
