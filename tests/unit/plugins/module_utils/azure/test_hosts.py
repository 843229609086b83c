"""Hosts of an inventory: what is found, in how many requests, and that cloud data stays data."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.inventory.nodes import connection
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import hosts
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

from tests.unit.plugins.module_utils.azure.arm import Answer, refusal, session
from tests.unit.plugins.module_utils.azure.scale_set_world import GROUP, World

NETWORK = f"{GROUP}/providers/Microsoft.Network"


class Machines(World):
    """Also holds machines with an interface each."""

    def machine(
        self, name: str, role: str, private: str, public: str = "", user: str = "azureuser", **more: str
    ) -> None:
        path = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"
        properties: dict[str, t.Any] = {
            "provisioningState": "Succeeded",
            "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
            "osProfile": {"computerName": name, "adminUsername": user},
            "instanceView": {"statuses": [{"code": "PowerState/running"}]},
        }
        self.put(
            path,
            {
                "location": "westeurope",
                "tags": {"hpc-cluster": "demo", "hpc-role": role, **more},
                "properties": properties,
            },
        )
        inner: dict[str, t.Any] = {"privateIPAddress": private, "primary": True}
        if public:
            inner["publicIPAddress"] = {"id": f"{NETWORK}/publicIPAddresses/{name}-ip".upper()}
            self.put(f"{NETWORK}/publicIPAddresses/{name}-ip", {"properties": {"ipAddress": public}})
        nic = {"virtualMachine": {"id": path.upper()}, "ipConfigurations": [{"name": "primary", "properties": inner}]}
        self.put(f"{NETWORK}/networkInterfaces/{name}-nic", {"properties": nic})

    def _usual(self, sent: t.Any) -> t.Any:
        if sent.query.get("statusOnly"):
            found = [one for path, one in self.resources.items() if "microsoft.compute/virtualmachines/" in path]
            return Answer(200, {"value": found})
        return super()._usual(sent)


def find(world: World, *clusters: str) -> dict[str, dict[str, t.Any]]:
    with session(world) as azure:
        return {one["name"]: one for one in hosts.find(azure, ["demo-rg"], clusters)}


def test_machines_and_instances_are_hosts_with_addresses_and_states() -> None:
    world = Machines()
    world.machine("demo-head", "head", "10.0.0.4", "203.0.113.9")
    world.scale_set("demo-htc", instances=2, hpc_role="compute")
    found = find(world)
    assert list(found) == ["demo-head", "demo-htc_0", "demo-htc_1"]
    head, node = found["demo-head"], found["demo-htc_1"]
    assert (head["hpc_private_ip"], head["hpc_public_ip"], head["hpc_state"]) == ("10.0.0.4", "203.0.113.9", "running")
    assert (node["hpc_role"], node["hpc_node_array"], node["hpc_private_ip"]) == ("compute", "htc", "10.0.1.5")
    assert (node["hpc_scale_set"], node["hpc_instance_id"]) == ("demo-htc", "1")


@pytest.mark.parametrize("nodes", [1, 30])
def test_requests_do_not_depend_on_the_number_of_nodes(nodes: int) -> None:
    world = Machines()
    for number in range(nodes):
        world.machine(f"demo-login-{number}", "login", f"10.0.0.{number + 4}", f"203.0.113.{number + 1}")
    world.scale_set("demo-a", instances=nodes)
    world.scale_set("demo-empty")
    find(world)
    assert len(world.sent) == 5 + 2


def test_only_machines_with_the_tag_and_of_the_named_clusters_are_hosts() -> None:
    world = Machines()
    world.machine("demo-head", "head", "10.0.0.4")
    world.machine("other-head", "head", "10.0.0.5", **{"hpc-cluster": "other"})
    world.machine("stranger", "head", "10.0.0.6", **{"hpc-cluster": ""})
    assert list(find(world)) == ["demo-head", "other-head"]
    assert list(find(world, "Other")) == ["other-head"]


def test_two_machines_of_one_name_get_names_of_their_own() -> None:
    found = hosts._named([{"hpc_name": "head", "hpc_resource_group": one} for one in ("a", "b")])
    assert [one["name"] for one in found] == ["head.a", "head.b"]


def test_instances_are_in_the_order_of_their_numbers() -> None:
    world = Machines()
    world.scale_set("demo-a", instances=12)
    assert list(find(world)) == [f"demo-a_{number}" for number in range(12)]


def test_a_missing_group_is_an_empty_inventory_and_a_refusal_an_error() -> None:
    assert find(Machines()) == {}
    world = Machines()
    world.script("GET", "", *[refusal(404, "ResourceGroupNotFound")] * 9)
    assert find(world) == {}
    world = Machines()
    world.script("GET", "", *[refusal(404, "SubscriptionNotFound")] * 9)
    with pytest.raises(AzureError, match="SubscriptionNotFound"):
        find(world)
    world = Machines()
    world.script("GET", "networkInterfaces", refusal(403, "AuthorizationFailed"))
    with pytest.raises(AzureError):
        find(world)


def test_instances_that_come_or_go_say_so() -> None:
    world = Machines()
    world.scale_set("demo-a")
    for count, state in enumerate(("Creating", "Failed", "Deleting"), 1):
        world.grow("demo-a", count, state)
    assert [one["hpc_state"] for one in find(world).values()] == ["creating", "failed", "deleting"]


@pytest.mark.parametrize("user", ["a;reboot", "-oProxyCommand=x", "$(id)", "{{ x }}", "x" * 60, "Ünicode"])
def test_a_user_that_is_more_than_a_name_is_not_put_on_a_command_line(user: str) -> None:
    world = Machines()
    world.machine("demo-head", "head", "10.0.0.4", "203.0.113.9", user=user)
    assert find(world)["demo-head"]["hpc_user"] == ""


def test_an_address_that_is_none_is_dropped() -> None:
    world = Machines()
    world.machine("demo-head", "head", "10.0.0.4 -oProxyCommand=x", "`id`")
    head = find(world)["demo-head"]
    assert (head["hpc_private_ip"], head["hpc_public_ip"]) == ("", "")


def host(**changes: str) -> dict[str, t.Any]:
    return {
        "hpc_cluster": "demo",
        "hpc_private_ip": "10.0.0.5",
        "hpc_public_ip": "",
        "hpc_user": "azureuser",
        **changes,
    }


HEADS = {"demo": host(hpc_public_ip="203.0.113.9")}


def test_a_private_machine_is_reached_through_the_head_and_a_public_one_directly() -> None:
    found = connection(host(), HEADS, True, "-i key")
    assert found["ansible_host"] == "10.0.0.5"
    assert found["ansible_ssh_common_args"] == "-o ProxyCommand='ssh -W [%h]:%p -q -i key azureuser@203.0.113.9'"
    assert "ansible_ssh_common_args" not in connection(HEADS["demo"], HEADS, True, "")
    assert "ansible_ssh_common_args" not in connection(host(), {}, True, "")


def test_the_user_is_set_only_if_wanted() -> None:
    assert connection(host(), {}, True, "")["ansible_user"] == "azureuser"
    assert "ansible_user" not in connection(host(), {}, False, "")
