"""The typed clients behind the store: nothing lost on the way, and everything that the session does for requests."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import errors
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session, finish
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients
from azure.core.exceptions import ServiceRequestError
from azure.mgmt.network import NetworkManagementClient

from tests.unit.plugins.module_utils.azure.arm import HOST, SUBSCRIPTION, Answer, Arm, MadeUp, refusal, session

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/one"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/net"
EVERYTHING = [
    VM,
    VNET,
    f"{GROUP}/providers/Microsoft.Compute/images/image",
    f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/group",
    f"{GROUP}/providers/Microsoft.Network/natGateways/gateway",
    f"{GROUP}/providers/Microsoft.Network/publicIPAddresses/address",
    f"{GROUP}/providers/Microsoft.Network/networkInterfaces/interface",
    f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/files",
    f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/files/importJobs/job",
    f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/files/autoImportJobs/job",
    f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/files/autoExportJobs/job",
    f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/files/expansionJobs/job",
]
# Keys that no version of the packages knows, null, a number where a model has a text, an empty list.
ODD = {
    "location": "westeurope",
    "properties": {"newInAzure": {"someKey": 1}, "natGateway": None, "subnets": [], "flowTimeoutInMinutes": "4"},
    "tags": {"hpc-cluster": "demo", "camelCase": "{{ kept }}"},
}


@pytest.fixture
def arm() -> Arm:
    return Arm()


@pytest.fixture
def azure(arm: Arm) -> t.Iterator[Session]:
    with session(arm) as opened:
        yield opened


@pytest.fixture
def clients(azure: Session) -> TypedClients:
    return TypedClients(azure)


@pytest.mark.parametrize("resource_id", EVERYTHING, ids=lambda one: one.split("/")[-2])
def test_documents_go_out_and_come_back_as_they_are(arm: Arm, clients: TypedClients, resource_id: str) -> None:
    made = clients.begin("PUT", resource_id, ODD, "create").result()
    assert {key: made[key] for key in ODD} == ODD
    assert next(one for one in arm.sent if one.method == "PUT").body == ODD
    assert {**(clients.find(resource_id) or {})} == made
    clients.begin("DELETE", resource_id, None, "delete").result()
    assert clients.find(resource_id) is None
    assert {one.path for one in arm.sent if "/operations/" not in one.path} == {resource_id}


def test_a_patch_sends_what_it_is_given(arm: Arm, clients: TypedClients) -> None:
    arm.put(VM, {"location": "westeurope"})
    clients.begin("PATCH", VM, {"properties": {"newInAzure": None}}, "update").result()
    (sent,) = [one for one in arm.sent if one.method == "PATCH"]
    assert sent.body == {"properties": {"newInAzure": None}}


def test_a_machine_is_read_with_its_power_state(arm: Arm, clients: TypedClients) -> None:
    arm.put(VM, {})
    clients.get(VM)
    assert arm.sent[0].query["$expand"] == "instanceView"


def test_the_api_version_is_the_clients_own(arm: Arm, clients: TypedClients) -> None:
    arm.put(VNET, {})
    clients.get(VNET)
    NetworkManagementClient(MadeUp("options", "").credential(), SUBSCRIPTION, transport=arm).virtual_networks.get(
        "rg", "net"
    )
    ours, theirs = arm.sent
    assert ours.query["api-version"] == theirs.query["api-version"]


@pytest.mark.parametrize(
    ("action", "ending"),
    [("start", "start"), ("powerOff", "powerOff"), ("deallocate", "deallocate"), ("generalize", "generalize")],
)
def test_an_action_ends_before_the_next_begins(arm: Arm, clients: TypedClients, action: str, ending: str) -> None:
    clients.act(VM, action)
    assert (arm.sent[0].method, arm.sent[0].path) == ("POST", f"{VM}/{ending}")
    assert len(arm.sent) == (1 if action == "generalize" else 2)


def test_requests_retries_and_polls_are_counted(arm: Arm, azure: Session, clients: TypedClients) -> None:
    arm.script("PUT", "virtualNetworks/net", refusal(429, "TooManyRequests", Retry_After="7"))
    clients.begin("PUT", VNET, {}, "create").result()
    clients.find(VM)
    assert azure.requests == len(arm.sent) == 5
    assert arm.slept[0] == 7


def test_a_wait_beyond_our_patience_is_an_error(arm: Arm, clients: TypedClients) -> None:
    arm.script("PUT", "virtualNetworks/net", refusal(429, "TooManyRequests", Retry_After="1235"))
    with pytest.raises(AzureError) as caught:
        clients.begin("PUT", VNET, {}, "create")
    assert (caught.value.kind, caught.value.retry_after, arm.slept) == (errors.THROTTLING, 1235, [])


def test_a_refusal_keeps_code_message_request_id_and_details(arm: Arm, clients: TypedClients) -> None:
    details = [{"code": "AllocationFailed", "message": "no room", "target": "3"}]
    body = {"error": {"code": "ResourceOperationFailure", "message": "failed", "details": details}}
    arm.script("PUT", "virtualMachines/one", Answer(409, body))
    with pytest.raises(AzureError, match="cannot create one") as caught:
        clients.begin("PUT", VM, {}, "create one")
    error = caught.value.as_dict()
    assert (error["code"], error["message"], error["request_id"]) == ("ResourceOperationFailure", "failed", "request-1")
    assert (error["kind"], error["cause"], error["details"]) == (errors.CAPACITY, "AllocationFailed", details)


def test_an_operation_that_fails_later_raises_what_its_status_says(arm: Arm, clients: TypedClients) -> None:
    status = {"Azure-AsyncOperation": f"{HOST}/subscriptions/{SUBSCRIPTION}/providers/X/locations/w/operations/1"}
    failed = {"status": "Failed", "error": {"code": "AllocationFailed", "message": "Allocation failed."}}
    arm.script("PUT", "virtualMachines/one", Answer(201, {"id": VM}, status))
    arm.script("GET", "operations/1", Answer(200, {"status": "InProgress"}, {"Retry-After": "3"}), Answer(200, failed))
    started = [clients.begin("PUT", VM, {}, "create one"), clients.begin("PUT", VNET, {}, "create net")]
    with pytest.raises(AzureError, match="cannot create one") as caught:
        finish(started)
    assert (caught.value.code, caught.value.kind, bool(caught.value.request_id)) == (
        "AllocationFailed",
        errors.CAPACITY,
        True,
    )
    assert started[1].wait(0)
    assert arm.slept == [3]


def test_between_polls_of_an_operation_it_waits_as_the_session_does(arm: Arm, clients: TypedClients) -> None:
    status = {"Azure-AsyncOperation": f"{HOST}/subscriptions/{SUBSCRIPTION}/providers/X/locations/w/operations/1"}
    arm.script("PUT", "virtualNetworks/net", Answer(201, {"id": VNET}, status))
    arm.script("GET", "operations/1", Answer(200, {"status": "InProgress"}))
    arm.put(VNET, {})
    clients.begin("PUT", VNET, {}, "create").result()
    assert arm.slept == [5]


def test_a_missing_subscription_is_not_a_missing_resource(arm: Arm, clients: TypedClients) -> None:
    arm.script("GET", "virtualMachines/one", refusal(404, "SubscriptionNotFound"))
    with pytest.raises(AzureError, match="SubscriptionNotFound"):
        clients.find(VM)


def test_a_dead_connection_is_transient(arm: Arm, clients: TypedClients) -> None:
    arm.script("GET", "virtualMachines/one", *[ServiceRequestError("connection refused")] * 8)
    with pytest.raises(AzureError, match="connection refused") as caught:
        clients.find(VM)
    assert caught.value.kind == errors.TRANSIENT


def test_an_answer_that_is_not_json_is_an_error_not_a_crash(arm: Arm, clients: TypedClients) -> None:
    arm.script("GET", "virtualMachines/one", Answer(200, b"<html>"))
    arm.script("PUT", "virtualMachines/one", Answer(200, b"<html>"))
    with pytest.raises(AzureError, match="cannot read"):
        clients.find(VM)
    with pytest.raises(AzureError, match="cannot create"):
        clients.begin("PUT", VM, {}, "create").result()


def test_a_provider_that_is_not_registered_is_registered_by_the_first_write(
    arm: Arm, azure: Session, clients: TypedClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    message = "The subscription is not registered to use namespace 'Microsoft.Network'"
    arm.script("PUT", "virtualNetworks/net", refusal(409, "MissingSubscriptionRegistration", message))
    arm.script("POST", "providers/Microsoft.Network/register", Answer(200, {}))
    arm.script("GET", "providers/Microsoft.Network$", Answer(200, {"registrationState": "Registered"}))
    assert clients.begin("PUT", VNET, {}, "create").result()["id"] == VNET
    assert [one.method for one in arm.sent[:4]] == ["PUT", "POST", "GET", "PUT"]


def test_an_id_may_lead_to_another_subscription(arm: Arm, clients: TypedClients) -> None:
    elsewhere = VM.replace(SUBSCRIPTION, "00000000-0000-0000-0000-000000000002")
    assert clients.find(VM) is None
    assert clients.find(elsewhere) is None
    assert [one.path for one in arm.sent] == [VM, elsewhere]


@pytest.mark.parametrize(
    "wrong", ["/", "one", f"{VNET}/subnets/head", f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a", GROUP, ""]
)
def test_an_id_of_something_else_is_an_error_before_anything_is_sent(
    arm: Arm, clients: TypedClients, wrong: str
) -> None:
    with pytest.raises(AzureError, match="not the id of"):
        clients.get(wrong)
    assert arm.sent == []


def test_only_the_client_that_is_needed_is_loaded() -> None:
    package = "ansible_collections.azure_hpc.cluster.plugins.module_utils.azure"
    program = f"""
import sys
from {package} import images
from tests.unit.plugins.module_utils.azure.arm import Arm, session
images.remove(session(Arm()), dict(resource_group="rg", name="node"), False)
print([name for name in ("azure.mgmt.compute", "azure.mgmt.network") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in [*sys.path, os.getcwd()] if path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "['azure.mgmt.compute']"
