# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside machines: keys, hosts, encryption sets, restore points; extensions, commands, chances of Spot."""

from __future__ import annotations

import typing as t

import pytest
from cryptography.hazmat.primitives import serialization

from .conftest import GROUP, PROVIDERS, Cloud

COMPUTE = f"{PROVIDERS}/Microsoft.Compute"
LOCATION = f"{GROUP.partition('/resourceGroups')[0]}/providers/Microsoft.Compute/locations/westeurope"
WEST: dict[str, t.Any] = {"location": "westeurope"}


def test_a_pair_of_keys_is_made_and_its_private_half_is_told_once(cloud: Cloud) -> None:
    path = f"{COMPUTE}/sshPublicKeys/k"
    cloud.ok("PUT", path, WEST)
    pair = cloud.ok("POST", f"{path}/generateKeyPair")
    private = serialization.load_pem_private_key(pair["privateKey"].encode(), None)
    kinds = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    assert private.public_key().public_bytes(*kinds).decode() == pair["publicKey"]
    assert cloud.ok("GET", path)["properties"] == {"publicKey": pair["publicKey"]}


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("hostGroups/g/hosts/h", 201, {"sku": {"name": "DSv3-Type3"}, "properties": {"platformFaultDomain": 0}}),
        ("diskEncryptionSets/d", 202, {"identity": {"type": "SystemAssigned"}}),
        ("diskAccesses/d", 202, {}),
    ],
)
def test_some_are_written_and_deleted_by_operations(
    cloud: Cloud, path: str, status: int, body: dict[str, t.Any]
) -> None:
    cloud.ok("PUT", f"{COMPUTE}/hostGroups/g", WEST)
    assert cloud.send("PUT", f"{COMPUTE}/{path}", {**WEST, **body}).status == status
    cloud.settle()
    made = cloud.ok("GET", f"{COMPUTE}/{path}")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert {key: made[key] for key in body if key != "properties"} == {
        k: v for k, v in body.items() if k != "properties"
    }
    assert cloud.run("DELETE", f"{COMPUTE}/{path}")["status"] == "Succeeded"
    assert cloud.send("GET", f"{COMPUTE}/{path}").status == 404
    assert cloud.send("DELETE", f"{COMPUTE}/{path}").status == 204


def test_a_collection_of_restore_points_belongs_to_a_machine_that_is_there(cloud: Cloud) -> None:
    source = {"source": {"id": f"{COMPUTE}/virtualMachines/missing"}}
    path = f"{COMPUTE}/restorePointCollections/c"
    assert cloud.send("PUT", path, {**WEST, "properties": source}).status == 404
    assert cloud.send("PUT", path, WEST).status == 400
    disk = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}
    assert cloud.run("PUT", f"{COMPUTE}/disks/d", {**WEST, "properties": disk})["status"] == "Succeeded"
    cloud.ok("PUT", path, {**WEST, "properties": {"source": {"id": f"{COMPUTE}/disks/d"}}})
    assert cloud.run("PUT", f"{path}/restorePoints/p", {"properties": {}})["status"] == "Succeeded"
    (point,) = cloud.ok("GET", f"{path}/restorePoints")["value"]
    assert point["properties"]["consistencyMode"] == "CrashConsistent"


def test_extensions_are_found_by_publisher_type_and_version(cloud: Cloud) -> None:
    types = f"{LOCATION}/publishers/microsoft.azure.extensions/artifacttypes/vmextension/types"
    assert "CustomScript" in [entry["name"] for entry in cloud.ok("GET", types)]
    (newest,) = cloud.ok("GET", f"{types}/customscript/versions?$top=1&$orderby=name desc")
    assert (
        cloud.ok("GET", f"{types}/CustomScript/versions/{newest['name']}")["properties"]["operatingSystem"] == "Linux"
    )
    assert cloud.send("GET", f"{types}/Nonsense/versions").status == 404
    assert cloud.send("GET", f"{types}/CustomScript/versions/0.0").status == 404


def test_commands_tell_their_script(cloud: Cloud) -> None:
    names = {entry["id"] for entry in cloud.ok("GET", f"{LOCATION}/runCommands")["value"]}
    assert {"RunShellScript", "RunPowerShellScript"} <= names
    assert cloud.ok("GET", f"{LOCATION}/runCommands/runshellscript")["osType"] == "Linux"
    assert cloud.send("GET", f"{LOCATION}/runCommands/nonsense").status == 404


@pytest.mark.parametrize(("room", "score"), [(None, "High"), (20, "High"), (10, "Medium"), (3, "Low")])
def test_the_chance_of_spot_machines_is_the_room_that_there_is(cloud: Cloud, room: int | None, score: str) -> None:
    cloud.core.service("compute_limits").set_capacity("westeurope", "Standard_D2s_v5", room)
    asked = {
        "desiredLocations": ["West Europe"],
        "desiredSizes": [{"sku": "Standard_D2s_v5"}, {"sku": "Standard_Nonsense"}],
        "desiredCount": 10,
    }
    scores = cloud.ok("POST", f"{LOCATION}/placementScores/spot/generate", asked)["placementScores"]
    assert [entry["score"] for entry in scores] == [score, "RestrictedSkuNotAvailable"]
