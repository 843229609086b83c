# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that builds something: in check mode, once, and again."""

from __future__ import annotations

import json
import sys
import typing as t

import pytest

from tests.integration.modules.conftest import KEY, STOCK, Modules, Result, definition


def network(group: str) -> dict[str, t.Any]:
    return {
        "resource_group": group,
        "name": "demo-vnet",
        "location": "westeurope",
        "address_space": ["10.20.0.0/16"],
        "subnets": [
            {"name": "head", "cidr": "10.20.0.0/24", "nat_gateway": True, "rules": [{"name": "web", "ports": [443]}]},
            {"name": "compute", "cidr": "10.20.16.0/20", "nat_gateway": True, "ssh": False},
        ],
        "ssh_from": ["198.51.100.0/24", "203.0.113.0/24"],
        "tags": {"hpc-cluster": "demo"},
    }


def machine(group: str, subnet: str, **changes: t.Any) -> dict[str, t.Any]:
    return {
        "resource_group": group,
        "name": "one",
        "location": "westeurope",
        "vm_size": "Standard_D2s_v5",
        "image": STOCK,
        "subnet_id": subnet,
        "admin_username": "azureuser",
        "ssh_public_keys": [KEY],
        "public_ip": True,
        "custom_data": "#cloud-config\npassword: hunter2\n",
        **changes,
    }


@pytest.fixture
def group(modules: Modules, request: pytest.FixtureRequest) -> t.Iterator[str]:
    """A resource group of the test's own."""
    name = f"rg-{abs(hash(request.node.nodeid)) % 10**8}"
    modules("resource_group", name=name, location="westeurope")
    yield name
    modules("resource_group", name=name, state="absent", force=True)


@pytest.fixture
def subnet(modules: Modules, group: str) -> str:
    found = modules("network", **network(group))
    return str(found["subnet_ids"]["head"])


def test_a_resource_group(modules: Modules) -> None:
    modules.twice("resource_group", name="rg-own", location="westeurope", tags={"hpc-cluster": "demo"})
    modules.twice("resource_group", name="rg-own", location="westeurope", tags={"owner": "me"})
    assert set(modules("resource_group", name="rg-own", location="West Europe")["resource_group"]["tags"]) == {
        "hpc-cluster",
        "owner",
    }
    elsewhere = modules("resource_group", name="rg-own", location="eastus")
    assert elsewhere["error"]["code"] == "InvalidResourceGroupLocation"
    modules.twice("resource_group", name="rg-own", state="absent")


def test_a_group_with_something_in_it(modules: Modules, group: str, subnet: str) -> None:
    refused = modules("resource_group", name=group, state="absent")
    assert (refused["failed"], refused["error"]["code"]) == (True, "ResourceGroupNotEmpty")
    gone = modules("resource_group", name=group, state="absent", force=True)
    assert any(one.endswith("/demo-vnet") for one in gone["deleted"])


def test_a_network(modules: Modules, group: str) -> None:
    made = modules.twice("network", **network(group))
    assert made["nat_address"]
    changed = network(group)
    changed["subnets"][1]["nat_gateway"] = False
    changed["ssh_from"] = ["198.51.100.0/24"]
    modules.twice("network", **changed)
    modules.twice("network", resource_group=group, name="demo-vnet", state="absent")


def test_a_network_in_use_is_not_deleted(modules: Modules, group: str, subnet: str) -> None:
    modules("machine", **machine(group, subnet))
    refused = modules("network", resource_group=group, name="demo-vnet", state="absent")
    assert refused["failed"]
    assert refused["error"]["code"] == "InUseSubnetCannotBeDeleted"
    assert refused["error"]["request_id"]


def test_a_machine(modules: Modules, group: str, subnet: str) -> None:
    made = modules.twice("machine", **machine(group, subnet))
    assert made["private_ip"] == "10.20.0.4"
    assert made["public_ip"]
    modules.twice("machine", **machine(group, subnet, vm_size="Standard_D4s_v5", tags={"a": "b"}))
    without = modules.twice("machine", **machine(group, subnet, vm_size="Standard_D4s_v5", public_ip=False))
    assert without["public_ip"] == ""
    for state in ("stopped", "deallocated", "present"):
        modules.twice("machine", **machine(group, subnet, vm_size="Standard_D4s_v5", public_ip=False, state=state))
    modules.twice("machine", resource_group=group, name="one", state="absent")


def test_custom_data_is_in_no_result(modules: Modules, group: str, subnet: str) -> None:
    made = modules("machine", **machine(group, subnet))
    assert made["changed"]
    assert "hunter2" not in json.dumps({key: value for key, value in made.items() if key != "invocation"})
    assert "hunter2" not in json.dumps(made.get("invocation", {}))


def test_an_image(modules: Modules, group: str, subnet: str) -> None:
    modules("machine", **machine(group, subnet))
    image = {"resource_group": group, "name": "node", "source": "one", "tags": {"hpc-role": "image"}}
    found = modules.twice("image", **image)
    sealed = modules("machine", **machine(group, subnet))
    assert sealed["error"]["code"] == "MachineGeneralized"
    modules.twice("machine", resource_group=group, name="one", state="absent")
    assert not modules("image", **image)["changed"]
    booted = modules("machine", **machine(group, subnet, name="two", image={"id": found["id"]}))
    assert not booted.get("failed"), booted
    modules.twice("image", resource_group=group, name="node", state="absent")


def test_an_identity(modules: Modules, group: str, subnet: str) -> None:
    found = modules.twice("identity", resource_group=group, name="nodes", location="westeurope")
    assert found["principal_id"]
    assert found["client_id"]
    modules.twice("machine", **machine(group, subnet, identities=[found["id"]]))
    modules.twice("identity", resource_group=group, name="nodes", state="absent")


def scale_set(group: str, subnet: str, **changes: t.Any) -> dict[str, t.Any]:
    given = machine(group, subnet, name="demo-htc", computer_name_prefix="htc", **changes)
    return {key: value for key, value in given.items() if key != "public_ip"}


def test_a_scale_set(modules: Modules, group: str, subnet: str) -> None:
    assert modules.twice("scale_set", **scale_set(group, subnet))["capacity"] == 0
    modules.twice("scale_set", **scale_set(group, subnet, custom_data="other", tags={"a": "b"}))
    modules.twice("scale_set", **scale_set(group, subnet, custom_data="other", os_disk_gib=128))
    other = {**STOCK, "sku": "13"}
    modules.twice("scale_set", **scale_set(group, subnet, custom_data="other", image=other))
    fixed = modules("scale_set", **scale_set(group, subnet, vm_size="Standard_D4s_v5"))
    assert fixed["error"]["code"] == "PropertyChangeNotAllowed"
    modules.twice("scale_set", resource_group=group, name="demo-htc", state="absent")


def test_a_spot_scale_set_in_a_zone(modules: Modules, group: str, subnet: str) -> None:
    options = scale_set(group, subnet, priority="spot", max_price=0.5, zones=["1"], single_placement_group=True)
    modules.twice("scale_set", **options)


def test_what_azure_refuses_keeps_its_code_and_request_id(modules: Modules, group: str, subnet: str) -> None:
    refused = modules("machine", **machine(group, subnet, vm_size="Standard_Nothing_v9"))
    assert refused["failed"]
    assert refused["error"]["code"]
    assert refused["error"]["request_id"]
    assert refused["error"]["request_id"] in refused["msg"]


def test_a_wrong_secret_is_an_authentication_error_that_does_not_show_it(modules: Modules) -> None:
    options = {"client_id": "x", "secret": "hunter2", "tenant": "00000000-0000-0000-0000-000000000000"}
    refused = modules("resource_group", name="rg", location="westeurope", **options)
    assert refused["error"]["kind"] == "authentication"
    assert "hunter2" not in json.dumps({key: value for key, value in refused.items() if key != "invocation"})


def test_a_definition_with_its_parameters_builds_a_cluster_once(
    modules: Modules, build: t.Callable[[str], Result]
) -> None:
    parameters = build("whole")["parameters"]
    assert not modules("resource_group", **parameters["resource_group"])["changed"]
    assert not modules("network", **parameters["network"])["changed"]
    for name, options in (
        ("machine", parameters["head"]),
        ("machine", parameters["login"][0]),
        *(("scale_set", one) for one in parameters["scale_sets"]),
    ):
        assert not modules(name, **options)["changed"], name
    assert modules("cluster_info", definition=definition("whole"), fleet=True)["fleet"]["scale_sets"]


def test_ten_mistakes_are_one_error(modules: Modules, sandbox: t.Any) -> None:
    wrong = definition("wrong", colour="blue")
    wrong["scheduler"] = {"type": "cron"}
    wrong["network"]["subnets"] = {"head": "10.20.0.0/20", "compute": "10.20.8.0/21", "third": "10.20.300.0/24"}
    wrong["node_arrays"][0].update(vm_sizes=["Standard_HB121rs_v3"], min_nodes=9)
    wrong["node_arrays"][1]["name"] = "hpc"
    wrong["partitions"][1]["node_arrays"] = ["gpu"]
    wrong["admin"]["password"] = "hunter2"
    wrong["autoscale"] = {"idle_timeout": -1}
    before = sandbox.status()["resources"]
    found = modules("cluster_info", definition=wrong)
    assert found["failed"]
    assert len(found["error"]["mistakes"]) >= 10
    assert all(mistake["path"] in found["msg"] for mistake in found["error"]["mistakes"])
    assert sandbox.status()["resources"] == before


def test_a_library_that_is_missing_is_named(modules: Modules, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.mgmt.network", None)
    refused = modules("network", **network(group))
    assert refused["failed"]
    assert "azure.mgmt.network" in refused["msg"]


def test_a_machine_that_azure_had_no_room_for_is_made_again(
    modules: Modules, group: str, subnet: str, sandbox: t.Any
) -> None:
    sandbox.run(
        "fault", "add", "AllocationFailed", "--method", "PUT", "--when", "async", "--match", "*virtualMachines/*"
    )
    failed = modules("machine", **machine(group, subnet))
    sandbox.run("fault", "clear")
    assert (failed["error"]["code"], failed["error"]["kind"]) == ("AllocationFailed", "capacity")
    modules.twice("machine", **machine(group, subnet))
