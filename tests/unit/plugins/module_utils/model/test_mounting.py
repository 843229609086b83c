# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition says of file systems that have no server of their own: local disks, blobs, BeeGFS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, mounting, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster

from tests.unit.plugins.module_utils.model import definitions

IDENTITY = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
LOCAL = {"name": "scratch", "type": "local", "path": "/mnt/scratch"}
BLOB = {
    "name": "results",
    "type": "blobfuse",
    "path": "/mnt/results",
    "account": "demodata",
    "container": "results",
    "blobfuse": {"identity": IDENTITY},
}
BEEGFS = {
    "name": "bee",
    "type": "beegfs",
    "path": "/mnt/bee",
    "server": "10.9.0.4",
    "beegfs": {"version": "8.2", "auth_file": "/etc/site/bee.auth"},
}


def defined(*systems: dict[str, Any], bake: bool = True) -> dict[str, Any]:
    data = definitions.definition()
    data["image"] = {**data.get("image", {}), "bake": bake}
    data["file_systems"] = [dict(system) for system in systems]
    return data


def mistakes(*systems: dict[str, Any], bake: bool = True) -> dict[str, str]:
    found = definition.check(defined(*systems, bake=bake), definitions.CATALOG)
    return {mistake.path: mistake.message for mistake in found}


def test_each_type_has_what_it_needs_to_know_and_usual_mount_options() -> None:
    local, blob, bee = definition.read(defined(LOCAL, BLOB, BEEGFS), definitions.CATALOG).file_systems
    assert (local.local, local.server, local.options) == (mounting.LocalDisks("any", "xfs", "fail"), "", "noatime")
    assert blob.blobfuse == mounting.Blobfuse(IDENTITY, "/var/cache/blobfuse/results")
    assert (blob.account, blob.container, blob.server, blob.options) == ("demodata", "results", "", "allow_other")
    assert bee.beegfs == mounting.Beegfs("8.2", "/etc/site/bee.auth", 8008)
    assert (bee.server, bee.options) == ("10.9.0.4", "rw,relatime")


@pytest.mark.parametrize(("type_", "options"), [("nfs", "nfsvers=4.2,hard,noatime"), ("lustre", "noatime,flock")])
def test_what_the_definition_does_not_say_is_what_the_type_usually_has(type_: str, options: str) -> None:
    system = {"name": "data", "type": type_, "path": "/data", "server": "10.9.0.5"}
    assert definition.read(defined(system), definitions.CATALOG).file_systems[0].options == options
    own = {**system, "options": "ro"}
    assert definition.read(defined(own), definitions.CATALOG).file_systems[0].options == "ro"


def test_they_survive_the_way_to_the_machines() -> None:
    cluster = definition.read(defined(LOCAL, BLOB, BEEGFS), definitions.CATALOG)
    assert serial.load(Cluster, json.loads(json.dumps(serial.dump(cluster)))) == cluster


@pytest.mark.parametrize(
    ("system", "path", "message"),
    [
        ({**LOCAL, "local": {"disks": "all"}}, "local.disks", "must be one of any, nvme, temporary"),
        ({**LOCAL, "local": {"format": "btrfs"}}, "local.format", "must be one of xfs, ext4"),
        ({**LOCAL, "local": {"missing": "ignore"}}, "local.missing", "must be one of fail, skip"),
        ({**LOCAL, "server": "head"}, "server", "has no meaning for a file system of type local"),
        ({**LOCAL, "account": "demodata"}, "account", "is for file systems of type blobfuse"),
        ({**LOCAL, "blobfuse": {}}, "blobfuse", "is for file systems of type blobfuse"),
        ({**BLOB, "blobfuse": None}, "blobfuse", "is missing"),
        (
            {**BLOB, "blobfuse": {"identity": "nodes"}},
            "blobfuse.identity",
            "must be the resource id of a user-assigned",
        ),
        ({**BLOB, "blobfuse": {"identity": IDENTITY, "cache": "cache"}}, "blobfuse.cache", "must be an absolute path"),
        (
            {**BLOB, "blobfuse": {"identity": IDENTITY, "account_key": "x"}},
            "blobfuse.account_key",
            "looks like a secret",
        ),
        ({**BLOB, "container": None}, "container", "is missing"),
        ({**BLOB, "account": "Demo-Data"}, "account", "must be 3 to 24 lower-case letters"),
        ({**BLOB, "managed": {}}, "managed", "is for file systems of type lustre or nfs"),
        ({**BEEGFS, "server": None}, "server", "is missing: the host of the BeeGFS management service"),
        ({**BEEGFS, "beegfs": {}}, "beegfs.version", "is missing"),
        ({**BEEGFS, "beegfs": {"version": "7.4"}}, "beegfs.version", "must be a release of BeeGFS 8"),
        ({**BEEGFS, "beegfs": {"version": 8.2}}, "beegfs.version", "must be a text"),
        ({**BEEGFS, "type": "beegsf"}, "type", "did you mean beegfs?"),
    ],
)
def test_a_mistake_is_named_with_its_place(system: dict[str, Any], path: str, message: str) -> None:
    assert message in mistakes(system)[f"file_systems[0].{path}"]


@pytest.mark.parametrize("system", [BLOB, BEEGFS])
def test_clients_that_no_stock_image_has_need_a_baked_one(system: dict[str, Any]) -> None:
    assert f"no stock image has the client for {system['name']}" in mistakes(system, bake=False)["image.bake"]
    assert mistakes(LOCAL, bake=False) == {}


def test_local_disks_are_mounted_before_anything_else_and_once() -> None:
    home = {"name": "home", "path": "/mnt", "export": "/export/home"}
    assert "is below /mnt" in mistakes(home, LOCAL)["file_systems[1].path"]
    again = {**LOCAL, "name": "more", "path": "/mnt/more"}
    assert "only one can be of type local" in mistakes(LOCAL, again)["file_systems"]


def test_a_machine_has_one_client_of_beegfs() -> None:
    other = {**BEEGFS, "name": "old", "path": "/old", "beegfs": {"version": "8.0"}}
    assert "not 8.0 and 8.2" in mistakes(BEEGFS, other)["file_systems"]


def test_all_mistakes_come_at_once() -> None:
    found = mistakes({**LOCAL, "local": {"disks": "x", "format": "y"}}, {**BEEGFS, "beegfs": {"version": "x"}})
    assert sorted(found) == [
        "file_systems[0].local.disks",
        "file_systems[0].local.format",
        "file_systems[1].beegfs.version",
    ]
