# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""az: virtual machines and what is made of them. ``vm create`` sends a template deployment."""

from __future__ import annotations

import pytest

from tests.clients.conftest import LOCATION, Az

DEBIAN = "Debian:debian-13:13-gen2:latest"
SIZE = "Standard_D2s_v5"


def create(az: Az, group: str, name: str, *more: str, image: str = DEBIAN) -> dict[str, str]:
    user = ("--admin-username", "azureuser", "--ssh-key-values", "key.pub")
    made: dict[str, str] = az("vm", "create", "-g", group, "-n", name, "--image", image, "--size", SIZE, *user, *more)
    return made


def power(az: Az, group: str, name: str) -> str:
    shown: str = az("vm", "show", "-g", group, "-n", name, "--show-details")["powerState"]
    return shown


@pytest.fixture(scope="module")
def machine(az: Az, group: str) -> str:
    """A machine ``vm`` with everything that az makes beside it; answers the group."""
    made = create(az, group, "vm", image="Ubuntu2204")
    assert (made["powerState"], made["location"]) == ("VM running", LOCATION)
    assert made["privateIpAddress"].startswith("10.0.0.")
    assert made["publicIpAddress"]
    return group


def test_a_machine_comes_with_its_network(az: Az, machine: str) -> None:
    types = {one["type"].rpartition("/")[2] for one in az("resource", "list", "-g", machine)}
    network = {"virtualNetworks", "networkSecurityGroups", "publicIPAddresses", "networkInterfaces"}
    assert types >= {"virtualMachines", "disks", *network}
    states = [one["properties"]["provisioningState"] for one in az("deployment", "group", "list", "-g", machine)]
    assert set(states) == {"Succeeded"}
    addresses = az("vm", "list-ip-addresses", "-g", machine, "-n", "vm")[0]["virtualMachine"]["network"]
    assert len(addresses["privateIpAddresses"]) == len(addresses["publicIpAddresses"]) == 1


def test_stop_start_restart_deallocate(az: Az, machine: str) -> None:
    at = ("-g", machine, "-n", "vm")
    for command, expected in (
        ("stop", "VM stopped"),
        ("start", "VM running"),
        ("restart", "VM running"),
        ("deallocate", "VM deallocated"),
        ("start", "VM running"),
    ):
        az("vm", command, *at)
        assert power(az, machine, "vm") == expected
    view = az("vm", "get-instance-view", *at)["instanceView"]
    assert [one["code"] for one in view["statuses"]] == ["ProvisioningState/succeeded", "PowerState/running"]


def test_a_machine_is_changed(az: Az, machine: str) -> None:
    at = ("-g", machine, "-n", "vm")
    assert az("vm", "update", *at, "--set", "tags.role=login")["tags"]["role"] == "login"
    assert az("vm", "resize", *at, "--size", "Standard_D4s_v5")["hardwareProfile"]["vmSize"] == "Standard_D4s_v5"
    az("disk", "create", "-g", machine, "-n", "data", "--size-gb", "32", "--sku", "Premium_LRS")
    az("vm", "disk", "attach", "-g", machine, "--vm-name", "vm", "--name", "data")
    assert az("disk", "show", "-g", machine, "-n", "data")["diskState"] == "Attached"
    az("vm", "disk", "detach", "-g", machine, "--vm-name", "vm", "--name", "data")
    assert az("disk", "update", "-g", machine, "-n", "data", "--size-gb", "64")["diskSizeGB"] == 64
    assert "data" in [one["name"] for one in az("disk", "list", "-g", machine)]
    az("disk", "delete", "-g", machine, "-n", "data", "--yes")
    assert "ResourceNotFound" in az.refused("disk", "show", "-g", machine, "-n", "data")


def test_a_spot_machine_is_evicted_and_deleted(az: Az, machine: str) -> None:
    spot = ("--priority", "Spot", "--eviction-policy", "Deallocate", "--max-price", "-1")
    create(az, machine, "spot", "--public-ip-address", "", "--nsg", "", *spot)
    az("vm", "simulate-eviction", "-g", machine, "-n", "spot")
    assert power(az, machine, "spot") == "VM deallocated"
    az("vm", "delete", "-g", machine, "-n", "spot", "--yes")
    assert "spot" not in [one["name"] for one in az("vm", "list", "-g", machine)]


def test_identities_and_roles_of_a_machine(az: Az, machine: str) -> None:
    scope = az("group", "show", "-n", machine)["id"]
    identity = az("identity", "create", "-g", machine, "-n", "id")
    assert [one["name"] for one in az("identity", "list", "-g", machine)] == ["id"]
    assert az("identity", "show", "-g", machine, "-n", "id")["clientId"] == identity["clientId"]
    principal = ("--assignee-object-id", identity["principalId"], "--assignee-principal-type", "ServicePrincipal")
    az("role", "assignment", "create", *principal, "--role", "Reader", "--scope", scope)
    # Without the type az asks the directory, is refused, and takes the value for an object id.
    az("role", "assignment", "create", "--assignee", identity["principalId"], "--role", "Contributor", "--scope", scope)
    at = ("--assignee", identity["principalId"], "--scope", scope)
    assert {one["roleDefinitionName"] for one in az("role", "assignment", "list", *at)} == {"Reader", "Contributor"}
    az("role", "assignment", "delete", *at, "--role", "Contributor")
    assert {one["roleDefinitionName"] for one in az("role", "assignment", "list", *at)} == {"Reader"}
    given = az("vm", "identity", "assign", "-g", machine, "-n", "vm", "--identities", "id", "[system]")
    assert [one["clientId"] for one in given["userAssignedIdentities"].values()] == [identity["clientId"]]
    assert given["systemAssignedIdentity"]


def test_sizes_quota_and_images_of_a_region(az: Az, machine: str) -> None:
    usages = {one["name"]["value"]: int(one["currentValue"]) for one in az("vm", "list-usage", "-l", LOCATION)}
    assert usages["virtualMachines"] >= 1
    assert usages["cores"] >= 2
    skus = az("vm", "list-skus", "-l", LOCATION, "--size", "Standard_HB120rs_v3", "--all")
    assert {one["name"] for one in skus} == {"Standard_HB120rs_v3"}
    assert {"vCPUs": "120"}.items() <= {one["name"]: one["value"] for one in skus[0]["capabilities"]}.items()
    assert az("vm", "image", "show", "-l", LOCATION, "--urn", DEBIAN)["hyperVGeneration"] == "V2"
    assert {one["publisher"] for one in az("vm", "image", "list", "-p", "Debian", "--all", "-l", LOCATION)} == {
        "Debian"
    }


def test_quota_refuses_before_anything_is_made(az: Az, machine: str) -> None:
    refusal = az.refused(
        *("vm", "create", "-g", machine, "-n", "huge", "--image", DEBIAN, "--size", "Standard_HB120rs_v3"),
        *("--count", "100", "--admin-username", "azureuser", "--ssh-key-values", "key.pub"),
    )
    assert "QuotaExceeded" in refusal
    assert [one["name"] for one in az("vm", "list", "-g", machine)] == ["vm"]


def test_an_image_in_a_gallery_makes_machines(az: Az, group: str) -> None:
    create(az, group, "golden", "--public-ip-address", "", "--nsg", "")
    az("vm", "deallocate", "-g", group, "-n", "golden")
    az("vm", "generalize", "-g", group, "-n", "golden")
    image = az("image", "create", "-g", group, "-n", "image", "--source", "golden", "--hyper-v-generation", "V2")
    assert [one["id"] for one in az("image", "list", "-g", group)] == [image["id"]]
    az("sig", "create", "-g", group, "--gallery-name", "gallery")
    definition = ("-g", group, "--gallery-name", "gallery", "--gallery-image-definition", "node")
    about = ("--publisher", "p", "--offer", "o", "--sku", "s", "--os-type", "Linux", "--hyper-v-generation", "V2")
    az("sig", "image-definition", "create", *definition, *about)
    version = az(
        "sig", "image-version", "create", *definition, "--gallery-image-version", "1.0.0", "--managed-image", "image"
    )
    assert [one["name"] for one in az("sig", "image-version", "list", *definition)] == ["1.0.0"]
    create(az, group, "copy", "--public-ip-address", "", "--nsg", "", image=version["id"])
    source = az("vm", "show", "-g", group, "-n", "copy")["storageProfile"]["imageReference"]
    assert source["id"].lower() == version["id"].lower()
    assert az("sig", "list", "-g", group)[0]["name"] == "gallery"
