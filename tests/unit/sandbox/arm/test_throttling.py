# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token buckets: what is left, who is refused, and when they may come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.store import Resource
from sandbox.arm.throttling import Throttling

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
COMPUTE = f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Compute"
SCALE_SET = f"{COMPUTE}/virtualMachineScaleSets/hpc"
RESOURCE = "x-ms-ratelimit-remaining-resource"


class Clock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Sends requests through the buckets alone."""

    def __init__(self, arm: Arm, scale: float = 1.0) -> None:
        self.clock, self._arm = Clock(), arm
        self.buckets = Throttling(arm.core.store, scale, self.clock)

    def send(self, method: str, path: str, body: Any = None, actor: str = "a") -> dict[str, str]:
        found = self._arm.core.router.match(method, path)
        assert found is not None, path
        request = Request(self._arm.core, method, path, {}, {}, {}, "https://management.azure.com", body)
        return self.buckets.take(request, found[0].template, found[0].type, actor)

    def refused(self, method: str, path: str, body: Any = None, actor: str = "a") -> ArmError:
        with pytest.raises(ArmError) as caught:
            self.send(method, path, body, actor)
        return caught.value


@pytest.fixture
def client(arm: Arm) -> Callable[[float], Client]:
    return lambda scale: Client(arm, scale)


def test_what_is_left_counts_down_for_the_resource_and_the_subscription(client: Callable[[float], Client]) -> None:
    one = client(1)
    first, second = one.send("GET", SCALE_SET), one.send("GET", SCALE_SET)
    assert first[RESOURCE] == (
        "Microsoft.Compute/GetVMScaleSetResource;35,Microsoft.Compute/GetVMScaleSetSubscriptionMaximum;2399"
    )
    assert "GetVMScaleSetResource;34," in second[RESOURCE]
    assert first["x-ms-ratelimit-remaining-subscription-reads"] == "249"
    assert second["x-ms-ratelimit-remaining-subscription-global-reads"] == "3748"


def test_a_scale_set_takes_twelve_writes_and_then_four_a_minute(client: Callable[[float], Client]) -> None:
    one = client(1)
    for _unused in range(12):
        one.send("PATCH", SCALE_SET, {"tags": {}})
    error = one.refused("PATCH", SCALE_SET, {"tags": {}})
    assert (error.status, error.code, error.headers["Retry-After"]) == (429, "OperationNotAllowed", "15")
    assert error.message == (
        "The server rejected the request because too many requests have been received for this subscription."
    )
    (detail,) = error.details or []
    assert (detail["code"], detail["target"]) == ("TooManyRequests", "VMScaleSetActionsResource")
    told = json.loads(detail["message"])
    assert (told["operationGroup"], told["allowedRequestCount"]) == ("VMScaleSetActionsResource", 12)
    assert told["measuredRequestCount"] > 12
    assert "VMScaleSetActionsResource;0" in error.headers[RESOURCE]
    one.send("PATCH", f"{SCALE_SET}2", {"tags": {}})
    one.clock.now += 15
    one.send("PATCH", SCALE_SET, {"tags": {}})
    one.refused("PATCH", SCALE_SET, {"tags": {}})


def test_a_refused_request_takes_nothing(client: Callable[[float], Client]) -> None:
    one = client(1)
    for _unused in range(12):
        one.send("DELETE", SCALE_SET)
    left = one.refused("DELETE", SCALE_SET).headers[RESOURCE]
    assert one.refused("DELETE", SCALE_SET).headers[RESOURCE] == left
    assert "DeleteVMScaleSetSubscriptionMaximum;513" in left


def test_machines_that_are_asked_for_together_are_charged_one_by_one(
    arm: Arm, client: Callable[[float], Client]
) -> None:
    one = client(1)
    arm.core.store.put(Resource(SCALE_SET, {"id": SCALE_SET, "sku": {"capacity": 10}, "properties": {}}))
    grown = one.send("PATCH", SCALE_SET, {"sku": {"capacity": 510}})
    assert "VMScaleSetBatchedVMRequestsSubscriptionMaximum;5500" in grown[RESOURCE]
    assert grown["x-ms-request-charge"] == "500"
    deleted = one.send("POST", f"{SCALE_SET}/delete", {"instanceIds": ["1", "2"]})
    assert deleted[RESOURCE] == (
        "Microsoft.Compute/VMScaleSetActionsSubscriptionMaximum;1498,"
        "Microsoft.Compute/VMScaleSetBatchedVMRequestsSubscriptionMaximum;5498"
    )


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", f"{COMPUTE}/virtualMachines/new", "PutVMResource;11"),
        ("PATCH", f"{COMPUTE}/virtualMachines/v", "UpdateVMResource;11"),
        ("POST", f"{COMPUTE}/virtualMachines/v/start", "UpdateVMResource;11"),
        ("POST", f"{COMPUTE}/virtualMachines/v/deallocate", "DeleteVMResource;11"),
        ("GET", f"{COMPUTE}/virtualMachines/v/instanceView", "LowCostGetResource;35"),
        ("GET", f"{COMPUTE}/virtualMachines", "HighCostGetSubscriptionMaximum;899"),
        ("PUT", SCALE_SET, "CreateVMScaleSetResource;11"),
        ("GET", f"{SCALE_SET}/virtualMachines", "HighCostGetVMScaleSetResource;29"),
        ("POST", f"{SCALE_SET}/deallocate", "DeleteVMScaleSetSubscriptionMaximum;524"),
        (
            "GET",
            f"{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/operations/o",
            "GetOperationResource;44",
        ),
        ("GET", f"{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/usages", "GetSubscriptionInfo"),
    ],
)
def test_requests_take_from_the_bucket_that_azure_names(
    client: Callable[[float], Client], method: str, path: str, name: str
) -> None:
    assert f"Microsoft.Compute/{name}" in client(1).send(method, path)[RESOURCE]


def test_a_principal_is_throttled_before_the_subscription_is(client: Callable[[float], Client]) -> None:
    one = client(1)
    group = f"{SUBSCRIPTION}/resourceGroups/g"
    for _unused in range(200):
        one.send("PUT", group)
    error = one.refused("PUT", group)
    assert (error.status, error.code, error.headers["Retry-After"]) == (429, "SubscriptionRequestsThrottled", "1")
    assert error.message.startswith(
        "Number of 'write' requests for subscription '00000000-0000-4000-8000-000000000001'"
    )
    assert (
        "actor 'a' exceeded. Please try again after '1' seconds after additional tokens are available." in error.message
    )
    one.send("PUT", group, actor="b")


def test_buckets_follow_the_time_scale_and_can_be_switched(client: Callable[[float], Client]) -> None:
    fast, none = client(0.1), client(0)
    for _unused in range(12):
        fast.send("DELETE", SCALE_SET)
    assert fast.refused("DELETE", SCALE_SET).headers["Retry-After"] == "2"
    for _unused in range(20):
        left = none.send("DELETE", SCALE_SET)[RESOURCE]
    assert "DeleteVMScaleSetResource;0," in left
    assert none.buckets.set_mode("on", 0.5) == {"mode": "on", "factor": 0.5, "enforced": True}
    for _unused in range(6):
        none.send("DELETE", SCALE_SET)
    assert none.refused("DELETE", SCALE_SET).status == 429
    assert none.buckets.set_mode("off")["enforced"] is False
    none.send("DELETE", SCALE_SET)
    with pytest.raises(ValueError, match="factor"):
        none.buckets.set_mode("on", 0)
