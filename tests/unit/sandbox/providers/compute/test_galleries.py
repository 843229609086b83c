# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galleries: what Azure fills in, what may not change, and machines made of image versions."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import KEY, PROVIDERS, Cloud

COMPUTE = f"{PROVIDERS}/Microsoft.Compute"
GALLERY = f"{COMPUTE}/galleries/g"
DEFINITION = f"{GALLERY}/images/node"
IDENTIFIER = {"publisher": "p", "offer": "o", "sku": "s"}


@pytest.fixture
def source(cloud: Cloud) -> str:
    """A managed image of a captured machine."""
    made = cloud.scale_set("maker")
    address = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = {"name": "nic", "properties": {"ipConfigurations": [address]}}
    profile = cloud.ok("GET", made)["properties"]["virtualMachineProfile"]
    body = {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"imageReference": profile["storageProfile"]["imageReference"]},
            "osProfile": {
                "adminUsername": "azureuser",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
            },
            "networkProfile": {"networkInterfaceConfigurations": [nic]},
        },
    }
    machine = f"{COMPUTE}/virtualMachines/maker"
    assert cloud.run("PUT", machine, body)["status"] == "Succeeded"
    cloud.run("POST", f"{machine}/deallocate")
    cloud.ok("POST", f"{machine}/generalize")
    image = f"{COMPUTE}/images/node"
    properties = {"sourceVirtualMachine": {"id": machine}, "hyperVGeneration": "V2"}
    assert cloud.run("PUT", image, {"location": "westeurope", "properties": properties})["status"] == "Succeeded"
    return image


def definition(cloud: Cloud) -> None:
    cloud.run("PUT", GALLERY, {"location": "westeurope"})
    properties = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "identifier": IDENTIFIER}
    cloud.run("PUT", DEFINITION, {"location": "westeurope", "properties": properties})


def publish(cloud: Cloud, source: str, name: str, **profile: t.Any) -> dict[str, t.Any]:
    properties = {"storageProfile": {"source": {"id": source}}, "publishingProfile": profile}
    return cloud.run("PUT", f"{DEFINITION}/versions/{name}", {"location": "westeurope", "properties": properties})


def test_a_version_tells_where_it_is_replicated_and_how_large_it_is(cloud: Cloud, source: str) -> None:
    definition(cloud)
    publish(cloud, source, "1.0.0", replicaCount=2, targetRegions=[{"name": "westeurope"}])
    read = cloud.ok("GET", f"{DEFINITION}/versions/1.0.0?$expand=ReplicationStatus")["properties"]
    (region,) = read["publishingProfile"]["targetRegions"]
    assert region == {"name": "West Europe", "regionalReplicaCount": 2, "storageAccountType": "Standard_LRS"}
    assert read["storageProfile"]["osDiskImage"]["sizeInGB"] == 30
    assert read["replicationStatus"]["aggregatedState"] == "Completed"


def test_the_newest_version_of_a_definition_boots_what_was_captured(cloud: Cloud, source: str) -> None:
    definition(cloud)
    for name in ("1.9.0", "1.10.0"):
        publish(cloud, source, name)
    publish(cloud, source, "2.0.0", excludeFromLatest=True)
    storage = {"imageReference": {"id": DEFINITION}, "osDisk": {"createOption": "FromImage"}}
    path = cloud.scale_set("pool", 1, profile={"storageProfile": storage})
    assert cloud.driver.created[-1].image == source
    (instance,) = cloud.ok("GET", f"{path}/virtualMachines")["value"]
    assert instance["properties"]["storageProfile"]["imageReference"]["exactVersion"] == "1.10.0"


def test_a_version_can_be_made_of_a_machine_that_runs(cloud: Cloud, source: str) -> None:
    machine = f"{COMPUTE}/virtualMachines/maker"
    profile = cloud.ok("GET", machine)["properties"]
    address = {"name": "ip", "properties": {"subnet": {"id": cloud.subnet}}}
    nic = {"name": "nic", "properties": {"ipConfigurations": [address]}}
    running = f"{COMPUTE}/virtualMachines/busy"
    body = {
        "hardwareProfile": profile["hardwareProfile"],
        "storageProfile": {"imageReference": {"id": source}},
        "osProfile": {**profile["osProfile"], "computerName": "busy"},
        "networkProfile": {"networkInterfaceConfigurations": [nic]},
    }
    assert cloud.run("PUT", running, {"location": "westeurope", "properties": body})["status"] == "Succeeded"
    definition(cloud)
    storage = {"storageProfile": {"source": {"virtualMachineId": running}}, "publishingProfile": {}}
    version = f"{DEFINITION}/versions/1.0.0"
    assert cloud.run("PUT", version, {"location": "westeurope", "properties": storage})["status"] == "Succeeded"
    assert cloud.ok("GET", f"{running}/instanceView")["statuses"][-1]["code"] == "PowerState/running"
    cloud.scale_set("pool", 1, profile={"storageProfile": {"imageReference": {"id": version}}})
    assert cloud.driver.created[-1].image == version


def test_a_version_outlives_the_image_that_it_was_made_of(cloud: Cloud, source: str) -> None:
    definition(cloud)
    publish(cloud, source, "1.0.0")
    deleted: list[str] = []
    cloud.driver.delete_image = deleted.append  # type: ignore[method-assign]
    cloud.run("DELETE", source)
    assert deleted == []
    cloud.run("DELETE", f"{DEFINITION}/versions/1.0.0")
    assert deleted == [source]


def test_what_holds_something_cannot_be_deleted(cloud: Cloud) -> None:
    definition(cloud)
    refused = cloud.send("DELETE", GALLERY)
    assert (refused.status, refused.body["error"]["code"]) == (409, "CannotDeleteResource")
    cloud.run("DELETE", DEFINITION)
    assert cloud.run("DELETE", GALLERY)["status"] == "Succeeded"


@pytest.mark.parametrize("name", ["1.0", "latest", "v1.0.0"])
def test_a_version_is_three_numbers(cloud: Cloud, name: str) -> None:
    definition(cloud)
    refused = cloud.send("PUT", f"{DEFINITION}/versions/{name}", {"location": "westeurope"})
    assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidParameter")


def test_the_identity_of_a_definition_is_for_good(cloud: Cloud) -> None:
    definition(cloud)
    refused = cloud.send("PATCH", DEFINITION, {"properties": {"osType": "Windows"}})
    assert (refused.status, refused.body["error"]["code"]) == (409, "PropertyChangeNotAllowed")


def test_an_image_is_used_where_it_is_replicated_to_and_nowhere_else(cloud: Cloud, source: str) -> None:
    definition(cloud)
    publish(cloud, source, "1.0.0", targetRegions=[{"name": "eastus"}])
    with pytest.raises(AssertionError, match="GalleryImageNotFound"):
        cloud.scale_set("pool", profile={"storageProfile": {"imageReference": {"id": f"{DEFINITION}/versions/1.0.0"}}})


def test_machines_and_disks_are_made_of_what_a_gallery_shows_others(cloud: Cloud, source: str) -> None:
    definition(cloud)
    publish(cloud, source, "1.0.0")
    community = {"publisherUri": "u", "publisherContact": "c", "eula": "e", "publicNamePrefix": "pub"}
    profile = {"permissions": "Community", "communityGalleryInfo": community}
    cloud.run("PUT", GALLERY, {"location": "westeurope", "properties": {"sharingProfile": profile}})
    gallery = cloud.ok("GET", GALLERY)["properties"]
    (public,) = gallery["sharingProfile"]["communityGalleryInfo"]["publicNames"]
    below = "Images/node/Versions/1.0.0"
    named = {
        "communityGalleryImageId": f"/CommunityGalleries/{public}/{below}",
        "sharedGalleryImageId": f"/SharedGalleries/{gallery['identifier']['uniqueName']}/{below}",
    }
    for number, (key, value) in enumerate(named.items()):
        storage = {"imageReference": {key: value}, "osDisk": {"createOption": "FromImage"}}
        path = cloud.scale_set(f"pool{number}", 1, profile={"storageProfile": storage})
        assert list(cloud.states(path).values()) == ["Succeeded"]
        disk = f"{COMPUTE}/disks/d{number}"
        creation = {"createOption": "FromImage", "galleryImageReference": {key: value}}
        cloud.run("PUT", disk, {"location": "westeurope", "properties": {"creationData": creation}})
        made = cloud.ok("GET", disk)["properties"]
        assert (made["osType"], made["creationData"]["imageReference"]) == ("Linux", {"id": value})
    wrong = {"communityGalleryImageId": f"/CommunityGalleries/nobody/{below}"}
    storage = {"imageReference": wrong, "osDisk": {"createOption": "FromImage"}}
    model = cloud.ok("GET", path)
    model["properties"]["virtualMachineProfile"]["storageProfile"] = storage
    refused = cloud.send("PUT", path.replace("pool1", "pool2"), model)
    assert refused.body["error"]["code"] == "GalleryImageNotFound"


def test_versions_of_applications_tell_where_they_are(cloud: Cloud) -> None:
    definition(cloud)
    application = f"{GALLERY}/applications/a"
    cloud.ok("PUT", application, {"location": "westeurope", "properties": {"supportedOSType": "Linux"}})
    cloud.settle()
    source = {"source": {"mediaLink": "https://account.blob.core.windows.net/c/b"}}
    given = {"publishingProfile": {**source, "manageActions": {"install": "i", "remove": "r"}}}
    cloud.run("PUT", f"{application}/versions/1.0.0", {"location": "westeurope", "properties": given})
    cloud.run(
        "PUT", f"{application}/versions/1.0.0", {"location": "westeurope", "properties": {"publishingProfile": source}}
    )
    profile = cloud.ok("GET", f"{application}/versions/1.0.0")["properties"]["publishingProfile"]
    assert [region["name"] for region in profile["targetRegions"]] == ["West Europe"]
    assert (profile["enableHealthCheck"], profile["manageActions"]["install"]) == (False, "i")


def test_copies_in_edge_zones_tell_the_region(cloud: Cloud, source: str) -> None:
    definition(cloud)
    zone = {"name": "westeurope", "extendedLocation": {"name": "zone1", "type": "EdgeZone"}}
    publish(cloud, source, "1.0.0", targetExtendedLocations=[zone])
    (told,) = cloud.ok("GET", f"{DEFINITION}/versions/1.0.0")["properties"]["publishingProfile"][
        "targetExtendedLocations"
    ]
    assert (told["name"], told["storageAccountType"]) == ("West Europe", "StandardSSD_LRS")
