# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client may ask again, of every type: the same write, another spelling, what is not there, what is in use."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Answer, Request

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
NETWORK, COMPUTE = "/providers/Microsoft.Network", "/providers/Microsoft.Compute"
SUBNET = f"{GROUP}{NETWORK}/virtualNetworks/v/subnets/a"
VNET = {
    "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
    "subnets": [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/20"}}],
}
KEY = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA someone"}
LINUX = {
    "adminUsername": "azureuser",
    "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
}
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
STORAGE = {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}}
CONFIGURATION = {"name": "c", "properties": {"subnet": {"id": SUBNET}}}
SCALE_SET = {
    "sku": {"name": "Standard_D2s_v5", "capacity": 1},
    "properties": {
        "upgradePolicy": {"mode": "Manual"},
        "virtualMachineProfile": {
            "osProfile": {"computerNamePrefix": "n", **LINUX},
            "storageProfile": STORAGE,
            "networkProfile": {
                "networkInterfaceConfigurations": [{"name": "n", "properties": {"ipConfigurations": [CONFIGURATION]}}]
            },
        },
    },
}
MACHINE = {
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "osProfile": {"computerName": "m", **LINUX},
        "storageProfile": STORAGE,
        "networkProfile": {"networkInterfaces": [{"id": f"{GROUP}{NETWORK}/networkInterfaces/free"}]},
    }
}
RULE = {
    "access": "Allow", "direction": "Inbound", "priority": 100, "protocol": "Tcp", "sourcePortRange": "*",
    "destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
}  # fmt: skip
ALERT = {
    "severity": 2, "enabled": True, "evaluationFrequency": "PT1M", "windowSize": "PT5M", "scopes": [GROUP],
    "criteria": {"allOf": []},
}  # fmt: skip
CREDENTIAL = {"issuer": "https://token.example", "subject": "s", "audiences": ["api"]}
TOP: dict[str, dict[str, Any]] = {
    f"{NETWORK}/virtualNetworks/Own": {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}},
    f"{NETWORK}/networkSecurityGroups/Own": {},
    f"{NETWORK}/networkInterfaces/Own": {"properties": {"ipConfigurations": [CONFIGURATION]}},
    f"{NETWORK}/publicIPAddresses/Own": {"sku": {"name": "Standard"}},
    f"{NETWORK}/publicIPPrefixes/Own": {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}},
    f"{NETWORK}/natGateways/Own": {"sku": {"name": "Standard"}},
    f"{NETWORK}/routeTables/Own": {},
    f"{NETWORK}/loadBalancers/Own": {"sku": {"name": "Standard"}},
    f"{COMPUTE}/virtualMachines/Own": MACHINE,
    f"{COMPUTE}/virtualMachineScaleSets/Own": SCALE_SET,
    f"{COMPUTE}/disks/Own": {"properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}},
    f"{COMPUTE}/proximityPlacementGroups/Own": {},
    f"{COMPUTE}/availabilitySets/Own": {"sku": {"name": "Aligned"}},
    f"{COMPUTE}/galleries/Own": {},
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Own": {},
    "/providers/Microsoft.Storage/storageAccounts/ownaccount": {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2"},
    "/providers/Microsoft.Insights/metricAlerts/Own": {"location": "global", "properties": ALERT},
    "/providers/Microsoft.Insights/actionGroups/Own": {
        "location": "global",
        "properties": {"groupShortName": "own"},
    },
    "/providers/Microsoft.OperationalInsights/workspaces/Owned": {},
}
CHILDREN: dict[str, dict[str, Any]] = {
    f"{NETWORK}/virtualNetworks/v/subnets/Own": {"properties": {"addressPrefix": "10.0.16.0/24"}},
    f"{NETWORK}/networkSecurityGroups/n/securityRules/Own": {"properties": RULE},
    f"{NETWORK}/routeTables/t/routes/Own": {"properties": {"addressPrefix": "10.8.0.0/16", "nextHopType": "Internet"}},
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i/federatedIdentityCredentials/Own": {
        "properties": CREDENTIAL
    },
    f"{COMPUTE}/galleries/g/images/Own": {
        "properties": {
            "osType": "Linux",
            "osState": "Generalized",
            "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
        }
    },
}
EVERY = {**TOP, **CHILDREN}
# What may differ between two reads of a resource that has been written again.
MOVING = ("etag", "modifiedDate", "lastSkuUpdate", "quotaNextResetTime")


@pytest.fixture
def world(arm: Arm) -> Arm:
    """Something for each reference to refer to."""
    arm.make(f"{NETWORK}/virtualNetworks/v", {"properties": VNET})
    arm.make(f"{NETWORK}/networkInterfaces/free", {"properties": {"ipConfigurations": [CONFIGURATION]}})
    arm.make(f"{NETWORK}/networkSecurityGroups/n")
    arm.make(f"{NETWORK}/routeTables/t")
    arm.make(f"{COMPUTE}/galleries/g")
    arm.make("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i")
    return arm


def put(arm: Arm, path: str, **more: Any) -> Answer:
    body = {"location": "westeurope", **copy.deepcopy(EVERY[path]), **more}
    answer = arm.send("PUT", path, body)
    arm.wait()
    return answer


def still(value: Any) -> Any:
    """A body without what may move."""
    if isinstance(value, dict):
        return {key: still(entry) for key, entry in value.items() if key not in MOVING}
    return [still(entry) for entry in value] if isinstance(value, list) else value


def with_headers(arm: Arm, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    query = {"api-version": "2025-04-01"}
    return dispatch(arm.core, Request(arm.core, method, f"{GROUP}{path}", {}, query, given, "https://x", body))


@pytest.mark.parametrize("path", list(EVERY))
def test_the_same_write_again_changes_nothing(world: Arm, path: str) -> None:
    first = put(world, path)
    assert first.status in (200, 201, 202), first.body
    before = world.send("GET", path).body
    again = put(world, path)
    assert again.status in (200, 202), again.body
    assert still(world.send("GET", path).body) == still(before)


@pytest.mark.parametrize("path", list(EVERY))
def test_any_spelling_finds_it_and_the_first_one_is_told(world: Arm, path: str) -> None:
    put(world, path)
    plain = world.send("GET", path).body
    shouted = world.send("GET", f"{GROUP}{path}".upper().replace("/SUBSCRIPTIONS", "/subscriptions"))
    assert shouted.status == 200
    assert (shouted.body["id"], shouted.body["name"]) == (plain["id"], plain["name"])
    assert plain["name"] == path.rpartition("/")[2]


@pytest.mark.parametrize("path", list(EVERY))
def test_what_is_not_there_is_told_apart(world: Arm, path: str) -> None:
    """A missing resource, a missing group; deleting what is not there is no error."""
    missing = world.send("GET", path)
    assert missing.status == 404
    assert missing.body["error"]["code"] in ("ResourceNotFound", "NotFound")
    assert world.send("DELETE", path).status == 204
    elsewhere = f"{GROUP.replace('resourceGroups/g', 'resourceGroups/nowhere')}{path}"
    for method, body in (("GET", None), ("PUT", {"location": "westeurope", **EVERY[path]}), ("DELETE", None)):
        answer = world.send(method, elsewhere, copy.deepcopy(body))
        assert (answer.status, answer.body["error"]["code"]) == (404, "ResourceGroupNotFound"), method
    assert world.send("HEAD", path).status == 404
    assert world.send("HEAD", path).body is None
    put(world, path)
    assert world.send("HEAD", path).status == 204


@pytest.mark.parametrize("path", list(CHILDREN))
def test_a_child_needs_its_parent(world: Arm, path: str) -> None:
    *head, parent, kind, name = path.split("/")
    orphan = "/".join([*head, f"{parent}missing", kind, name])
    refusal = world.send("PUT", orphan, {"location": "westeurope", **copy.deepcopy(CHILDREN[path])})
    assert (refusal.status, refusal.body["error"]["code"]) == (404, "ParentResourceNotFound")
    for read in (orphan, orphan.rpartition("/")[0]):
        refusal = world.send("GET", read)
        assert (refusal.status, refusal.body["error"]["code"]) == (404, "ResourceNotFound"), read


@pytest.mark.parametrize("path", list(TOP))
def test_tags_are_patched_and_nothing_else_moves(world: Arm, path: str) -> None:
    put(world, path, tags={"a": "1", "b": "2"})
    before = world.send("GET", path).body
    answer = world.send("PATCH", path, {"tags": {"a": "3"}})
    assert answer.status in (200, 202), answer.body
    world.wait()
    after = world.send("GET", path).body
    assert after["tags"] == {"a": "3"}
    assert still({**after, "tags": 0}) == still({**before, "tags": 0})


@pytest.mark.parametrize("path", list(TOP))
def test_it_is_in_the_lists_of_its_group_and_its_subscription(world: Arm, path: str) -> None:
    put(world, path)
    collection, name = path.rsplit("/", 1)
    for listed in (f"{GROUP}{collection}", f"{GROUP.partition('/resourceGroups')[0]}{collection}"):
        assert name in [entry["name"] for entry in world.send("GET", listed).body["value"]]
    assert name in [entry["name"] for entry in world.send("GET", "/resources").body["value"]]
    missing = world.send("GET", f"{GROUP.replace('resourceGroups/g', 'resourceGroups/nowhere')}{collection}")
    assert (missing.status, missing.body["error"]["code"]) == (404, "ResourceGroupNotFound")


@pytest.mark.parametrize("path", [path for path in EVERY if NETWORK in path or "virtualMachine" in path])
def test_a_stale_etag_is_refused_and_the_present_one_is_not(world: Arm, path: str) -> None:
    put(world, path)
    etag = world.send("GET", path).body["etag"]
    body = {"location": "westeurope", **copy.deepcopy(EVERY[path])}
    stale = with_headers(world, "PUT", path, body, if_match='W/"0"')
    assert (stale.status, stale.body["error"]["code"]) == (412, "PreconditionFailed")
    assert with_headers(world, "PUT", path, body, if_match=etag).status in (200, 201)
    world.wait()


GUARDED = {
    "the subnet of an interface": f"{NETWORK}/virtualNetworks/v/subnets/a",
    "the network of an interface": f"{NETWORK}/virtualNetworks/v",
    "the interface of a machine": f"{NETWORK}/networkInterfaces/free",
    "the group of rules of an interface": f"{NETWORK}/networkSecurityGroups/used",
    "the public address of an interface": f"{NETWORK}/publicIPAddresses/used",
    "the gateway of a subnet": f"{NETWORK}/natGateways/used",
    "the table of a subnet": f"{NETWORK}/routeTables/used",
    "the disk of a machine": f"{COMPUTE}/disks/used",
    "the placement of a machine": f"{COMPUTE}/proximityPlacementGroups/used",
    "the gallery of a definition": f"{COMPUTE}/galleries/g",
}


@pytest.fixture
def busy(world: Arm) -> Arm:
    """A machine with all that one can hang on, so that none of it can go."""
    standard = {"sku": {"name": "Standard"}}
    world.make(f"{NETWORK}/publicIPAddresses/used", standard)
    for kind in ("networkSecurityGroups", "routeTables"):
        world.make(f"{NETWORK}/{kind}/used")
    world.make(f"{NETWORK}/natGateways/used", standard)
    world.make(f"{COMPUTE}/proximityPlacementGroups/used")
    world.make(f"{COMPUTE}/disks/used", TOP[f"{COMPUTE}/disks/Own"])
    wanted = {key: {"id": f"{GROUP}{NETWORK}/{kind}/used"} for key, kind in
              (("natGateway", "natGateways"), ("routeTable", "routeTables"))}  # fmt: skip
    world.make(f"{NETWORK}/virtualNetworks/v/subnets/b", {"properties": {"addressPrefix": "10.0.32.0/24", **wanted}})
    public = {"publicIPAddress": {"id": f"{GROUP}{NETWORK}/publicIPAddresses/used"}}
    configuration = {"name": "c", "properties": {**CONFIGURATION["properties"], **public}}  # type: ignore[dict-item]
    rules = {"networkSecurityGroup": {"id": f"{GROUP}{NETWORK}/networkSecurityGroups/used"}}
    world.make(f"{NETWORK}/networkInterfaces/free", {"properties": {"ipConfigurations": [configuration], **rules}})
    body: dict[str, Any] = copy.deepcopy(MACHINE)
    body["properties"]["proximityPlacementGroup"] = {"id": f"{GROUP}{COMPUTE}/proximityPlacementGroups/used"}
    disk = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": f"{GROUP}{COMPUTE}/disks/used"}}
    body["properties"]["storageProfile"] = {**STORAGE, "dataDisks": [disk]}
    world.make(f"{COMPUTE}/virtualMachines/m", body)
    world.make(f"{COMPUTE}/galleries/g/images/i", CHILDREN[f"{COMPUTE}/galleries/g/images/Own"])
    return world


@pytest.mark.parametrize("path", list(GUARDED.values()), ids=list(GUARDED))
def test_what_is_in_use_stays(busy: Arm, path: str) -> None:
    refusal = busy.send("DELETE", path)
    assert refusal.status in (400, 409), refusal.body
    assert busy.send("GET", path).status == 200


def test_what_was_in_use_goes_when_its_user_has_gone(busy: Arm) -> None:
    order = [f"{COMPUTE}/virtualMachines/m", f"{COMPUTE}/galleries/g/images/i", f"{NETWORK}/networkInterfaces/free"]
    later = [path for path in GUARDED.values() if path not in order and not path.endswith(("/v", "/a"))]
    for path in [*order, f"{NETWORK}/virtualNetworks/v/subnets/b", *later, f"{NETWORK}/virtualNetworks/v"]:
        assert busy.send("DELETE", path).status in (200, 202), path
        busy.wait()
    for path in GUARDED.values():
        assert busy.send("GET", path).status == 404


def test_of_two_that_make_the_same_at_once_one_creates_and_one_updates(world: Arm) -> None:
    """Writers are serialised: however they meet, there is one resource, and one 201."""
    path, statuses = f"{NETWORK}/networkSecurityGroups/Own", []
    threads = [threading.Thread(target=lambda: statuses.append(put(world, path).status)) for _unused in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201]


def test_while_a_subnet_is_written_another_write_to_its_network_is_refused(world: Arm) -> None:
    held = threading.Event()
    world.core.operations.register("network.virtualNetworks.settle", lambda _run: held.wait(60) and None)
    try:
        body = {"properties": {"addressPrefix": "10.0.48.0/24"}}
        assert world.send("PUT", f"{NETWORK}/virtualNetworks/v/subnets/x", body).status == 201
        refusal = world.send(
            "PUT", f"{NETWORK}/virtualNetworks/v/subnets/y", {"properties": {"addressPrefix": "10.0.49.0/24"}}
        )
        assert (refusal.status, refusal.body["error"]["code"]) == (409, "AnotherOperationInProgress")
    finally:
        held.set()
    world.wait()


def test_a_long_list_comes_in_pages_that_hold_each_entry_once(world: Arm) -> None:
    for number in range(130):
        world.send(
            "PUT", f"{COMPUTE}/virtualMachineScaleSets/s{number}",
            {"location": "westeurope", "properties": {"orchestrationMode": "Flexible"}},
        )  # fmt: skip
    found, path = [], f"{GROUP}{COMPUTE}/virtualMachineScaleSets"
    query = {"api-version": "2025-04-01"}
    while query:
        answer = dispatch(world.core, Request(world.core, "GET", path, {}, query, {}, "https://x", None))
        found += [entry["name"] for entry in answer.body["value"]]
        link = answer.body.get("nextLink", "")
        query = dict(pair.split("=", 1) for pair in link.partition("?")[2].split("&")) if link else {}
        query = {key.lower(): value for key, value in query.items()}
    assert len(found) == len(set(found)) == 130
