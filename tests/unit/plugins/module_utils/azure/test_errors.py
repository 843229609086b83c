"""Errors: what Azure says is kept, and classified by code where that says enough, by text only where it does not."""

from __future__ import annotations

import json

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import errors
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError, from_response

QUOTA = (
    "Operation could not be completed as it results in exceeding approved standardFSv2Family Cores quota. Additional "
    "details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 50, Current Usage: 48, Additional "
    "Required: 4, (Minimum) New Limit Required: 52."
)
TOO_MANY = "The server rejected the request because too many requests have been received for this subscription."


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (
            409,
            "SkuNotAvailable",
            "The requested VM size ... is currently not available in location 'eastus'.",
            "capacity",
        ),
        (200, "AllocationFailed", "Allocation failed.", "capacity"),
        (200, "OverconstrainedZonalAllocationRequest", "Allocation failed.", "capacity"),
        (409, "OperationNotAllowed", QUOTA, "quota"),
        (400, "QuotaExceeded", QUOTA, "quota"),
        (
            409,
            "OperationNotAllowed",
            "Operation 'simulateEviction' is allowed only for Spot Virtual Machines",
            "conflict",
        ),
        (429, "OperationNotAllowed", TOO_MANY, "throttling"),
        (403, "RequestDisallowedByPolicy", "Resource 'x' was disallowed by policy.", "policy"),
        (403, "AuthorizationFailed", "The client 'x' does not have authorization", "authentication"),
        (401, "InvalidAuthenticationToken", "The access token is invalid.", "authentication"),
        (404, "ResourceGroupNotFound", "Resource group 'x' could not be found.", "not_found"),
        (409, "AnotherOperationInProgress", "Another operation on this resource is in progress.", "conflict"),
        (503, "SomethingNew", "?", "transient"),
        (400, "InvalidParameter", "The value of parameter x is invalid.", "invalid"),
    ],
)
def test_a_known_refusal_is_classified(status: int, code: str, message: str, kind: str) -> None:
    assert errors.classify(code, message, status)[0] == kind


def test_a_wrapped_capacity_failure_is_a_capacity_failure() -> None:
    inner = {"code": "DeploymentFailed", "message": "", "details": [{"code": "AllocationFailed", "message": "no room"}]}
    body = {"error": {"code": "ResourceDeploymentFailure", "message": "failed", "details": [inner]}}
    error = from_response(200, {}, json.dumps(body))
    assert (error.kind, error.cause, error.code) == (errors.CAPACITY, "AllocationFailed", "ResourceDeploymentFailure")


def test_throttling_by_compute_is_known_by_its_details() -> None:
    details = [{"code": "TooManyRequests", "target": "HighCostGetVMScaleSet3Min", "message": "{}"}]
    body = {"error": {"code": "OperationNotAllowed", "message": TOO_MANY, "details": details}}
    assert from_response(409, {}, json.dumps(body)).kind == errors.THROTTLING


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ('{"error":{"code":"A","message":"b"}}', "A", "b"),
        ('{"status":"Failed","error":{"code":"A","message":"b"}}', "A", "b"),
        ('{"status":"Canceled"}', "Canceled", "the operation ended as Canceled without saying why"),
        ('{"error":"invalid_client","error_description":"AADSTS7000215"}', "invalid_client", "AADSTS7000215"),
        ("<html>Bad Gateway</html>", "HTTP502", "<html>Bad Gateway</html>"),
        ("", "HTTP502", "Azure answered with HTTP status 502"),
        ("[1]", "HTTP502", "[1]"),
        ('{"error":{"code":null,"message":null,"details":"x"}}', "HTTP502", None),
    ],
)
def test_every_shape_of_an_error_says_something(body: str, code: str, message: str | None) -> None:
    error = from_response(502, {"x-ms-request-id": "r1"}, body)
    assert (error.code, error.request_id) == (code, "r1")
    assert error.message == (body if message is None else message)
    assert "r1" in str(error)


def test_an_error_for_a_result_is_plain_data() -> None:
    error = AzureError("text", "AllocationFailed", "r", 409, "3", [{"code": "x", "message": "y", "target": ""}])
    assert json.loads(json.dumps(error.as_dict())) == error.as_dict()
