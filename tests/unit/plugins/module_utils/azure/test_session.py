"""The session: retries, throttling, long-running operations, paging, errors, what is counted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import errors
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import finish, together
from azure.core.exceptions import ServiceRequestError

from tests.unit.plugins.module_utils.azure.arm import HOST, SUBSCRIPTION, Answer, Arm, refusal, session

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/one"
OPERATION = {"Azure-AsyncOperation": f"{HOST}/subscriptions/{SUBSCRIPTION}/providers/X/locations/w/operations/1?a=b"}


def test_a_server_error_is_retried_and_both_requests_are_counted() -> None:
    arm = Arm()
    arm.put(VM, {"location": "westeurope"})
    arm.script("GET", "virtualMachines/one", Answer(503, {"error": {"code": "ServiceUnavailable", "message": "later"}}))
    with session(arm) as azure:
        assert azure.get(VM, "v")["location"] == "westeurope"
        assert azure.requests == 2


def test_throttling_waits_as_long_as_azure_says() -> None:
    arm = Arm()
    arm.put(VM, {})
    arm.script("GET", "virtualMachines/one", refusal(429, "TooManyRequests", Retry_After="7"))
    with session(arm) as azure:
        azure.get(VM, "v")
    assert arm.slept == [7]


def test_a_wait_beyond_our_patience_is_an_error_with_the_time_in_it() -> None:
    arm = Arm()
    arm.script("GET", "virtualMachines/one", refusal(429, "OperationNotAllowed", Retry_After="1235"))
    with session(arm) as azure, pytest.raises(AzureError) as caught:
        azure.get(VM, "v")
    assert (caught.value.kind, caught.value.retry_after, arm.slept) == (errors.THROTTLING, 1235, [])


def test_an_error_keeps_code_message_request_id_and_details() -> None:
    arm = Arm()
    details = [{"code": "AllocationFailed", "message": "no room", "target": "3"}]
    body = {"error": {"code": "ResourceOperationFailure", "message": "failed", "details": details}}
    arm.script("PUT", "virtualMachines/one", Answer(409, body))
    with session(arm) as azure, pytest.raises(AzureError) as caught:
        azure.begin("PUT", VM, "v", {}, "create one")
    error = caught.value.as_dict()
    assert (error["code"], error["message"], error["request_id"]) == ("ResourceOperationFailure", "failed", "request-1")
    assert (error["kind"], error["cause"], error["details"]) == (errors.CAPACITY, "AllocationFailed", details)
    assert "create one" in str(caught.value)
    assert "no room" in str(caught.value)


def test_an_operation_that_fails_later_raises_what_its_status_says() -> None:
    arm = Arm()
    failed = {"status": "Failed", "error": {"code": "AllocationFailed", "message": "Allocation failed."}}
    arm.script("PUT", "virtualMachines/one", Answer(201, {"id": VM}, OPERATION))
    arm.script("GET", "operations/1", Answer(200, {"status": "InProgress"}, {"Retry-After": "3"}), Answer(200, failed))
    with session(arm) as azure:
        operation = azure.begin("PUT", VM, "v", {})
        with pytest.raises(AzureError) as caught:
            operation.result()
    assert (caught.value.code, caught.value.kind) == ("AllocationFailed", errors.CAPACITY)
    assert arm.slept == [3]


def test_an_operation_ends_with_the_resource_as_it_is_then() -> None:
    arm = Arm()
    arm.script("PUT", "virtualMachines/one", Answer(201, {"id": VM, "properties": {}}, OPERATION))
    arm.script("GET", "virtualMachines/one", Answer(200, {"id": VM, "properties": {"ready": True}}))
    with session(arm) as azure:
        assert azure.begin("PUT", VM, "v", {}).result()["properties"] == {"ready": True}


def test_a_failure_among_operations_is_raised_after_all_have_ended() -> None:
    arm = Arm()
    arm.script("PUT", "virtualMachines/a", Answer(201, {}, {"Azure-AsyncOperation": f"{HOST}/x/operations/a"}))
    arm.script("GET", "operations/a", Answer(200, {"status": "Failed", "error": {"code": "A", "message": "a"}}))
    with session(arm) as azure:
        started = [azure.begin("PUT", f"{VM[:-3]}{name}", "v", {}) for name in ("a", "b")]
        with pytest.raises(AzureError, match="A: a"):
            finish(started)
        assert started[1].wait(0)


def test_a_list_follows_its_pages() -> None:
    arm = Arm()
    first = {"value": [{"id": "1"}], "nextLink": f"{HOST}{GROUP}/things?api-version=v&$skiptoken=x"}
    arm.script("GET", "things", Answer(200, first), Answer(200, {"value": [{"id": "2"}]}))
    with session(arm) as azure:
        assert [one["id"] for one in azure.listing(f"{GROUP}/things", "v")] == ["1", "2"]
    assert arm.sent[1].query["$skiptoken"] == "x"


def test_a_page_link_that_leads_elsewhere_is_not_followed() -> None:
    arm = Arm()
    arm.script("GET", "things", Answer(200, {"value": [], "nextLink": "https://evil.example/things"}))
    with session(arm) as azure, pytest.raises(AzureError, match="evil"):
        azure.listing(f"{GROUP}/things", "v")
    assert len(arm.sent) == 1


def test_what_is_not_there_is_none_and_other_refusals_are_raised() -> None:
    arm = Arm()
    arm.script("GET", "virtualMachines/two", refusal(403, "AuthorizationFailed"))
    with session(arm) as azure:
        assert azure.find(VM, "v") is None
        with pytest.raises(AzureError) as caught:
            azure.find(VM.replace("one", "two"), "v")
    assert caught.value.kind == errors.AUTHENTICATION


def test_a_subscription_that_is_not_there_is_never_taken_for_a_missing_resource() -> None:
    arm = Arm()
    arm.script("GET", "virtualMachines/one", refusal(404, "SubscriptionNotFound"))
    with session(arm) as azure, pytest.raises(AzureError, match="SubscriptionNotFound"):
        azure.find(VM, "v")


def test_a_dead_connection_is_an_azure_error_of_the_transient_kind() -> None:
    arm = Arm()
    arm.script("GET", "virtualMachines/one", *[ServiceRequestError("connection refused")] * 8)
    with session(arm) as azure, pytest.raises(AzureError) as caught:
        azure.get(VM, "v", "look")
    assert caught.value.kind == errors.TRANSIENT
    assert "connection refused" in str(caught.value)


def test_an_answer_that_is_not_json_is_an_error_not_a_crash() -> None:
    arm = Arm()
    arm.script("GET", "virtualMachines/one", Answer(200, b"<html>"))
    with session(arm) as azure, pytest.raises(AzureError, match="not JSON"):
        azure.get(VM, "v")


def test_tasks_together_keep_their_order_and_raise_the_first_error() -> None:
    assert together([lambda value=value: value for value in range(20)]) == list(range(20))

    def fail() -> int:
        raise AzureError("first")

    with pytest.raises(AzureError, match="first"):
        together([lambda: 1, fail])


def test_the_hot_path_imports_no_typed_client() -> None:
    """The typed clients would double what a pass and the inventory cost, and those run every minute."""
    names = ["passes", "report", "fleet", "catalog", "hosts", "session", "scale_sets", "info"]
    package = "ansible_collections.azure_hpc.cluster.plugins.module_utils.azure"
    program = f"""
import sys
from {package} import {", ".join(names)}
from {package}.credentials import login
account = dict(client_id="c", secret="x", tenant="t", subscription_id="s")
session.Session(login(account, {{}}))
print([name for name in sys.modules if name.startswith(("azure.mgmt.compute", "azure.mgmt.network"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
