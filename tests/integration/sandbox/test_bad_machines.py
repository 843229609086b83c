# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines on Azure's bad days, scripted from the command line, by Azure's own clock and in its words."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from tests.integration.conftest import RunningSandbox
from tests.integration.sandbox.simulation import Simulation

SPOT = {"priority": "Spot", "evictionPolicy": "Delete"}
SIZE = "Standard_D2s_v5"
SET = "Microsoft.Compute/virtualMachineScaleSets"
# As they have been reported from Azure.
NO_SKU = (
    f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {SIZE}' is currently "
    "not available in location 'westeurope'. Please try another size or deploy to a different location or different "
    "zone. See https://aka.ms/azureskunotavailable for details."
)
CONSTRAINED = (
    "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too "
    "restrictive. Please remove some constraints and try again. Constraints applied are:\n"
)
QUOTA = (
    "Operation could not be completed as it results in exceeding approved {name} quota. Additional details - "
    "Deployment Model: Resource Manager, Location: westeurope, Current Limit: 2, Current Usage: 0, Additional "
    "Required: 6, (Minimum) New Limit Required: 6. Setup Alerts when Quota reaches threshold. Learn more at "
    "https://aka.ms/quotamonitoringalerting . Submit a request for Quota increase at "
)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    sandbox = RunningSandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.down()


@pytest.fixture
def simulation(standing: RunningSandbox) -> Iterator[Simulation]:
    """A client with a group of its own, in a sandbox without faults and shortages."""
    made = Simulation(standing)
    yield made
    made.fault("clear")
    made.fault("throttling", "auto")
    made.fault("capacity", "westeurope", SIZE, "any")
    for quota in ("cores", "standardDSv5Family", "lowPriorityCores"):
        made.fault("quota", "westeurope", quota, "100")
    assert made.caller.send("DELETE", "").status_code == 202
    made.advance(3600)


def grow(simulation: Simulation, path: str, capacity: int) -> t.Any:
    return simulation.caller.send("PATCH", path, {"sku": {"name": SIZE, "capacity": capacity}})


def test_a_size_that_is_not_available_is_refused_at_once(simulation: Simulation) -> None:
    path = simulation.scale_set(0)
    simulation.fault("add", "SkuNotAvailable", "--match", SET, "--method", "PATCH")
    refused = grow(simulation, path, 2)
    assert (refused.status_code, refused.json()) == (409, {"error": {"code": "SkuNotAvailable", "message": NO_SKU}})
    assert simulation.caller.send("GET", path).json()["sku"]["capacity"] == 0


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "AllocationFailed",
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this ",
        ),
        (
            "ZonalAllocationFailed",
            "requested VM size in this zone. Read more about improving likelihood of allocation ",
        ),
        ("OverconstrainedAllocationRequest", f"{CONSTRAINED}  - VM Size\n"),
        ("OverconstrainedZonalAllocationRequest", f"{CONSTRAINED}  - Availability Zone\n  - VM Size\n"),
    ],
)
def test_what_cannot_be_allocated_fails_after_it_was_accepted(simulation: Simulation, code: str, text: str) -> None:
    path = simulation.scale_set(0)
    simulation.advance(300)
    simulation.fault("add", code, "--when", "machine", "--match", f"*{path}", "--count", "2")
    accepted = grow(simulation, path, 3)
    assert accepted.status_code in (200, 202)
    poll = accepted.headers["Azure-AsyncOperation"]
    assert simulation.caller.session.get(poll, timeout=20).json()["status"] == "InProgress"
    simulation.advance(300)
    ended = simulation.caller.session.get(poll, timeout=20)
    assert (ended.status_code, ended.json()["status"]) == (200, "Failed")
    assert ended.json()["error"]["code"] == code
    assert text in ended.json()["error"]["message"]
    assert sorted(simulation.states(path)) == ["Failed", "Failed", "Succeeded"]


@pytest.mark.parametrize(
    ("quota", "shown", "model"),
    [
        ("cores", "Total Regional Cores", {}),
        ("standardDSv5Family", "standardDSv5Family Cores", {}),
        ("lowPriorityCores", "LowPriorityCores", SPOT),
    ],
)
def test_quota_is_refused_at_once(simulation: Simulation, quota: str, shown: str, model: dict[str, str]) -> None:
    path = simulation.scale_set(0, **model)
    simulation.fault("quota", "westeurope", quota, "2")
    refused = grow(simulation, path, 3)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "OperationNotAllowed")
    assert refused.json()["error"]["message"].startswith(QUOTA.format(name=shown))


def test_a_region_can_be_full(simulation: Simulation) -> None:
    path = simulation.scale_set(0)
    simulation.advance(300)
    simulation.fault("capacity", "westeurope", SIZE, "2")
    assert grow(simulation, path, 3).status_code == 200
    simulation.advance(300)
    assert sorted(simulation.states(path)) == ["Failed", "Succeeded", "Succeeded"]


@pytest.mark.parametrize("policy", ["Delete", "Deallocate"])
def test_a_spot_machine_has_thirty_seconds(simulation: Simulation, policy: str) -> None:
    path = simulation.scale_set(2, priority="Spot", evictionPolicy=policy)
    simulation.advance(300)
    told = simulation.now()
    simulation.fault("evict", "n_0")
    (event,) = simulation.events("n_1")
    assert (event["EventType"], event["EventStatus"], event["Resources"]) == ("Preempt", "Scheduled", ["n_0"])
    assert (event["EventSource"], event["DurationInSeconds"]) == ("Platform", -1)
    assert parsedate_to_datetime(event["NotBefore"]).timestamp() == told + 30
    simulation.advance(29)
    assert simulation.power(path) == "running"
    simulation.advance(60)
    assert simulation.power(path) == ("deallocated" if policy == "Deallocate" else "")
    assert simulation.events("n_1") == []
    assert simulation.power(path, "1") == "running"


@pytest.mark.parametrize(("kind", "minutes"), [("Reboot", 15), ("Redeploy", 10), ("Freeze", 15)])
def test_maintenance_is_announced(simulation: Simulation, kind: str, minutes: int) -> None:
    simulation.scale_set(1)
    simulation.advance(300)
    told = simulation.now()
    simulation.fault("maintain", "n_0", kind)
    (event,) = simulation.events("n_0")
    assert (event["EventType"], event["EventStatus"]) == (kind, "Scheduled")
    assert parsedate_to_datetime(event["NotBefore"]).timestamp() == told + minutes * 60
    simulation.advance(minutes * 60 - 1)
    assert simulation.events("n_0") == [event]
    simulation.advance(60)
    assert simulation.events("n_0") == []


def test_a_machine_that_wants_it_is_told_before_it_is_deleted(simulation: Simulation) -> None:
    notice = {"terminateNotificationProfile": {"enable": True, "notBeforeTimeout": "PT5M"}}
    path = simulation.scale_set(1, scheduledEventsProfile=notice)
    simulation.advance(300)
    accepted = simulation.caller.send("POST", f"{path}/delete", {"instanceIds": ["0"]})
    assert accepted.status_code == 202
    simulation.advance(60)
    (event,) = simulation.events("n_0")
    assert (event["EventType"], event["EventSource"]) == ("Terminate", "User")
    simulation.advance(180)
    assert simulation.states(path) == ["Deleting"]
    simulation.advance(180)
    assert simulation.states(path) == []


def test_a_machine_that_never_boots_fails_after_twenty_minutes(simulation: Simulation) -> None:
    simulation.fault("add", "NeverBoots", "--match", SET)
    path = simulation.scale_set(1)
    simulation.advance(19 * 60)
    assert (simulation.states(path), simulation.view(path)["vmAgent"]["vmAgentVersion"]) == (["Creating"], "Unknown")
    simulation.advance(5 * 60)
    assert simulation.states(path) == ["Failed"]
    (state, power) = simulation.view(path)["statuses"]
    assert (state["code"], power["code"]) == (
        "ProvisioningState/failed/OSProvisioningTimedOut",
        "PowerState/running",
    )
    assert state["message"].startswith("OS Provisioning for VM 'n_0' did not finish in the allotted time.")


def test_an_agent_can_be_silent_from_the_beginning_and_from_now_on(simulation: Simulation) -> None:
    simulation.fault("add", "SilentAgent", "--match", SET)
    path = simulation.scale_set(2)
    simulation.advance(300)
    simulation.fault("silence", "n_1")
    never, lost = (simulation.view(path, number)["vmAgent"]["statuses"][0] for number in ("0", "1"))
    assert {one["code"] for one in (never, lost)} == {"ProvisioningState/Unavailable"}
    assert never["message"] == "VM status blob is found but not yet populated."
    assert lost["message"] == "VM Agent is unresponsive."
    script = {"commandId": "RunShellScript", "script": ["true"]}
    accepted = simulation.caller.send("POST", f"{path}/virtualMachines/1/runCommand", script)
    simulation.advance(60)
    ended = simulation.caller.session.get(accepted.headers["Azure-AsyncOperation"], timeout=20).json()
    assert ended["error"]["code"] == "VMAgentStatusCommunicationError"
    simulation.fault("silence", "n_1", "--end")
    assert simulation.view(path, "1")["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"


def test_a_machine_can_die_at_its_time(simulation: Simulation) -> None:
    simulation.fault("add", "Crash", "--match", SET, "--delay", "3600")
    path = simulation.scale_set(1)
    simulation.advance(300)
    assert simulation.view(path)["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    simulation.advance(3600)
    assert simulation.power(path) == "running"
    assert simulation.view(path)["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"


def test_an_operation_can_hang_for_an_hour(simulation: Simulation) -> None:
    simulation.fault("add", "Hang", "--match", SET, "--delay", "3600")
    path = simulation.scale_set(1)
    simulation.advance(3600)
    assert simulation.states(path) == ["Creating"]
    simulation.advance(300)
    assert simulation.states(path) == ["Succeeded"]


def test_buckets_are_empty_until_their_time_has_come(simulation: Simulation) -> None:
    simulation.fault("throttling", "on", "--factor", "0.1")
    answers = [simulation.caller.put_nsg(f"g{number}") for number in range(25)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "SubscriptionRequestsThrottled"
    assert refused.headers["x-ms-ratelimit-remaining-subscription-writes"] == "0"
    assert simulation.caller.put_nsg("again").status_code == 429
    simulation.advance(float(refused.headers["Retry-After"]))
    assert simulation.caller.put_nsg("again").status_code == 201
