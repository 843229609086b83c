"""From a definition to the options of the modules: names, tags, images, and what is asked of Azure for it."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import info
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.definition import DefinitionError

from tests.unit.plugins.module_utils.azure.arm import SUBSCRIPTION, Answer, Arm, refusal, session

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqTnQxV0l3Jt8nJkGm4Jt1uQm7eVg0Yb0v0Yh2xkz0E someone"
DEFINITION: dict[str, t.Any] = {
    "name": "demo",
    "location": "westeurope",
    "resource_group": "demo-rg",
    "tags": {"owner": "me"},
    "admin": {"username": "azureuser", "ssh_public_keys": [KEY]},
    "network": {
        "address_space": ["10.20.0.0/16"],
        "subnets": {"head": "10.20.0.0/24", "compute": "10.20.16.0/20"},
        "ssh_from": ["198.51.100.0/24"],
    },
    "image": {"bake": True, "name": "demo-node", "resource_group": "images"},
    "head": {"vm_size": "Standard_D4s_v5", "public_ip": True},
    "login": {"vm_size": "Standard_D4s_v5", "count": 2},
    "scheduler": {"type": "slurm"},
    "node_arrays": [
        {"name": "hpc", "vm_sizes": ["Standard_HB120rs_v3"], "max_nodes": 150, "placement_group": True},
        {"name": "htc", "vm_sizes": ["Standard_D4s_v5"], "max_nodes": 8, "priority": "spot", "zones": ["1", "2"]},
    ],
    "partitions": [{"name": "work", "node_arrays": ["hpc", "htc"], "default": True}],
}


def sku(name: str, family: str, vcpus: int, premium: bool = True) -> dict[str, t.Any]:
    has = {"vCPUs": vcpus, "MemoryGB": vcpus * 4, "LowPriorityCapable": True, "AcceleratedNetworkingEnabled": True}
    has["PremiumIO"] = premium
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": family,
        "locations": ["westeurope"],
        "locationInfo": [{"location": "westeurope", "zones": ["1", "2", "3"]}],
        "capabilities": [{"name": key, "value": str(value)} for key, value in has.items()],
    }


def cloud() -> Arm:
    arm = Arm()
    sizes = [sku("Standard_D4s_v5", "standardDSv5Family", 4), sku("Standard_HB120rs_v3", "standardHBrsv3Family", 120)]
    sizes.append(sku("Standard_D4_v5", "standardDv5Family", 4, premium=False))
    arm.script("GET", "/skus$", *[Answer(200, {"value": sizes})] * 9)
    limits = {"cores": 2000, "standardDSv5Family": 100, "standardHBrsv3Family": 500, "lowPriorityCores": 100}
    usages = [{"name": {"value": name}, "limit": limit, "currentValue": 0} for name, limit in limits.items()]
    arm.script("GET", "/usages$", *[Answer(200, {"value": usages})] * 9)
    return arm


def gather(arm: Arm, **changes: t.Any) -> tuple[dict[str, t.Any], list[str]]:
    with session(arm) as azure:
        return info.gather(azure, {**copy.deepcopy(DEFINITION), **changes}, False)


def test_every_module_gets_its_options() -> None:
    found, _warnings = gather(cloud())
    parameters = found["parameters"]
    assert parameters["resource_group"]["name"] == "demo-rg"
    assert [one["name"] for one in parameters["login"]] == ["demo-login-1", "demo-login-2"]
    assert parameters["head"]["tags"] == {
        "owner": "me",
        "hpc-cluster": "demo",
        "hpc-role": "head",
        "hpc-scheduler": "slurm",
    }
    subnets = {one["name"]: one for one in parameters["network"]["subnets"]}
    assert (subnets["head"]["ssh"], subnets["compute"]["ssh"]) == (True, False)
    assert subnets["head"]["security_group"] == "demo-head-nsg"
    names = [one["name"] for one in parameters["scale_sets"]]
    assert names[:2] == ["demo-hpc-hb120rsv3-pg1", "demo-hpc-hb120rsv3-pg2"]
    assert names[2:] == ["demo-htc-d4sv5-spot-z1", "demo-htc-d4sv5-spot-z2"]
    assert parameters["scale_sets"][0]["single_placement_group"] is True
    assert parameters["scale_sets"][0]["tags"]["hpc-vm-facts"] == "120 standardHBrsv3Family 491520 0"
    assert parameters["scale_sets"][2]["priority"] == "spot"
    assert parameters["scale_sets"][2]["zones"] == ["1"]


def test_what_is_watched_are_the_machines_and_scale_sets_of_the_cluster() -> None:
    told = {"emails": ["ops@example.org"], "webhooks": ["chat"]}
    alerts = [{"name": "cpu", "machines": ["head", "compute"]}]
    found, _unused = gather(cloud(), monitoring={"log_analytics": {}, "alerts": alerts, "action_group": told})
    parameters = found["parameters"]
    watching = parameters["monitoring"]
    assert [(one["role"], one["id"].rsplit("/", 1)[1]) for one in watching["targets"]] == [
        ("head", "demo-head"), ("login", "demo-login-1"), ("login", "demo-login-2"),
        *(("compute", one["name"]) for one in parameters["scale_sets"]),
    ]  # fmt: skip
    assert watching["workspace"]["name"] == "demo-logs"
    assert (watching["agent"], watching["webhooks"]) == (True, ["chat"])
    assert watching["alerts"][0]["machines"] == ["head", "compute"]
    assert watching["tags"]["hpc-role"] == "monitoring"


def test_machines_have_identities_of_their_own_only_for_the_agent() -> None:
    for given, wanted in (({"log_analytics": {}}, True), ({"prometheus": {}}, False)):
        parameters = gather(cloud(), monitoring=given)[0]["parameters"]
        machines = [parameters["head"], *parameters["login"], *parameters["scale_sets"]]
        assert {one["system_identity"] for one in machines} == {wanted}
        assert parameters["image"]["build"]["system_identity"] is False


@pytest.mark.parametrize(
    ("given", "asked"),
    [({}, False), ({"prometheus": {}}, False), ({"log_analytics": {}}, True), ({"alerts": [{"name": "cpu"}]}, True)],
)
def test_azure_is_asked_to_watch_only_for_a_workspace_or_alerts(given: dict[str, t.Any], asked: bool) -> None:
    for changes in ({"monitoring": given}, *([{}] if not given else [])):
        found, _unused = gather(cloud(), **changes)
        assert found["parameters"]["monitoring"]["azure"] is asked


def test_machines_that_mount_blobs_have_the_identity_for_it_and_time_to_leave() -> None:
    identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
    blob = {"type": "blobfuse", "account": "demodata", "blobfuse": {"identity": identity}}
    systems = [{**blob, "name": name, "path": f"/{name}", "container": name} for name in ("one", "two")]
    for given, identities, notice in ((systems, [identity], 5), ([], [], 0)):
        parameters = gather(cloud(), file_systems=given)[0]["parameters"]
        machines = [parameters["head"], *parameters["login"], *parameters["scale_sets"]]
        assert all(one["identities"] == identities for one in machines)
        assert {one["terminate_notice"] for one in parameters["scale_sets"]} == {notice}
        assert parameters["image"]["build"]["identities"] == []


def test_a_workspace_of_others_is_named_by_its_id_alone() -> None:
    path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w"
    found, _unused = gather(cloud(), monitoring={"log_analytics": {"id": path}})
    assert found["parameters"]["monitoring"]["workspace"] == {"id": path}


def test_kinds_of_nodes_have_names_and_prices() -> None:
    kinds = gather(cloud())[0]["layout"]["kinds"]
    assert [(one["node_array"], one["prefix"]) for one in kinds] == [("hpc", "hpc-hb120rsv3"), ("htc", "htc-d4sv5")]
    assert {type(one["price"]) for one in kinds} == {float}


def test_everything_boots_from_the_baked_image_and_the_image_from_the_stock() -> None:
    found, _warnings = gather(cloud())
    baked = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/images/demo-node"
    parameters = found["parameters"]
    assert parameters["image"]["id"] == baked
    assert parameters["head"]["image"] == parameters["scale_sets"][0]["image"] == {"id": baked}
    assert parameters["image"]["build"]["image"]["publisher"] == "Debian"
    assert (parameters["image"]["bake"], parameters["image"]["exists"]) == (True, False)


def test_machines_boot_from_the_best_disk_that_their_size_takes() -> None:
    arrays = [{"name": "plain", "vm_sizes": ["Standard_D4_v5"], "max_nodes": 2}, *DEFINITION["node_arrays"]]
    queues = [{"name": "work", "node_arrays": ["plain", "hpc", "htc"], "default": True}]
    login = {"vm_size": "Standard_D4_v5"}
    found, _warnings = gather(cloud(), node_arrays=arrays, partitions=queues, login=login)
    parameters = found["parameters"]
    assert parameters["head"]["os_disk_type"] == parameters["image"]["build"]["os_disk_type"] == "Premium_LRS"
    assert parameters["login"][0]["os_disk_type"] == "StandardSSD_LRS"
    kinds = {one["vm_size"]: one["os_disk_type"] for one in parameters["scale_sets"]}
    assert kinds["Standard_D4_v5"] == "StandardSSD_LRS"
    assert kinds["Standard_HB120rs_v3"] == "Premium_LRS"


def test_whether_the_image_exists_is_asked() -> None:
    arm = cloud()
    baked = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/images/demo-node"
    arm.put(baked, {"location": "westeurope"})
    assert gather(arm)[0]["parameters"]["image"]["exists"] is True


def test_a_quota_that_is_too_small_is_a_warning_not_a_mistake() -> None:
    found, warnings = gather(cloud())
    rows = {row["name"]: row for row in found["quota"]}
    assert (rows["standardHBrsv3Family"]["needed"], rows["standardHBrsv3Family"]["enough"]) == (150 * 120, False)
    # Two zones are alternatives: the array never has more than eight nodes.
    assert (rows["lowPriorityCores"]["needed"], rows["lowPriorityCores"]["enough"]) == (32, True)
    assert any("standardHBrsv3Family" in text for text in warnings)


def test_prices_that_cannot_be_read_are_a_warning() -> None:
    arm = cloud()
    arm.script("GET", "retail/prices", *[refusal(400, "BadRequest")] * 9)
    found, warnings = gather(arm)
    assert any("prices cannot be read" in text for text in warnings)
    assert [one["weight"] > 0 for one in found["layout"]["slurm_nodes"]] == [True, True]


def test_all_mistakes_are_told_at_once_those_that_azure_knows_included() -> None:
    arrays = copy.deepcopy(DEFINITION["node_arrays"])
    arrays[0]["vm_sizes"], arrays[1]["max_nodes"] = ["Standard_HB999"], -1
    with pytest.raises(DefinitionError) as caught:
        gather(cloud(), node_arrays=arrays, colour="blue")
    text = str(caught.value)
    for path in ("colour", "node_arrays[0].vm_sizes", "node_arrays[1].max_nodes"):
        assert path in text


def test_a_location_that_offers_nothing_is_a_mistake_beside_the_others() -> None:
    with pytest.raises(DefinitionError) as caught:
        gather(Arm(), location="westeuropa", colour="blue")
    assert [one.path for one in caught.value.mistakes] == sorted(one.path for one in caught.value.mistakes)
    assert {"location", "colour"} <= {one.path for one in caught.value.mistakes}


@pytest.mark.parametrize("location", [None, 7, "", "west europe", "x' or 1 eq 1", {"a": 1}])
def test_a_location_that_is_no_name_is_not_asked_for(location: t.Any) -> None:
    arm = Arm()
    with pytest.raises(DefinitionError):
        gather(arm, location=location)
    assert arm.sent == []
