# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are told before something happens to them, and that it happens then."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sandbox.machines import PowerState
from sandbox.providers.compute.scheduled_events import ScheduledEvents, minutes

from .conftest import Cloud

SPOT = {"priority": "Spot", "billingProfile": {"maxPrice": -1}}


def until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def events(cloud: Cloud) -> ScheduledEvents:
    service = cloud.core.service("scheduled_events")
    assert isinstance(service, ScheduledEvents)
    return service


def spot(cloud: Cloud, policy: str) -> str:
    return cloud.scale_set("spot", 2, profile={**SPOT, "evictionPolicy": policy})


def test_a_spot_machine_is_told_before_it_is_taken(cloud: Cloud, events: ScheduledEvents) -> None:
    path = spot(cloud, "Delete")
    one, other = f"{path}/virtualMachines/0", f"{path}/virtualMachines/1"
    before = events.document(one)["DocumentIncarnation"]
    cloud.core.service("interruptions").evict_by_name("spot_0", 600)
    document = events.document(one)
    (event,) = document["Events"]
    assert document["DocumentIncarnation"] > before
    assert (event["EventType"], event["EventStatus"], event["Resources"]) == ("Preempt", "Scheduled", ["spot_0"])
    assert (event["ResourceType"], event["EventSource"], event["DurationInSeconds"]) == (
        "VirtualMachine",
        "Platform",
        -1,
    )
    notice = parsedate_to_datetime(event["NotBefore"]).timestamp() - time.time()
    assert 590 < notice <= 600
    assert events.document(other)["Events"] == [event]
    assert cloud.driver.state(one) is PowerState.RUNNING
    assert events.start(one, [event["EventId"].lower(), "unknown"]) == ["unknown"]
    until(lambda: cloud.send("GET", one).status == 404)
    cloud.settle()
    assert events.document(other)["Events"] == []
    assert cloud.ok("GET", path)["sku"]["capacity"] == 1


def test_an_evicted_machine_may_be_deallocated_only(cloud: Cloud, events: ScheduledEvents) -> None:
    path = spot(cloud, "Deallocate")
    answer = cloud.send("POST", f"{path}/virtualMachines/1/simulateEviction")
    assert (answer.status, answer.body) == (204, None)
    cloud.settle()
    codes = [entry["code"] for entry in cloud.ok("GET", f"{path}/virtualMachines/1/instanceView")["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "PowerState/deallocated"]
    assert cloud.ok("GET", path)["sku"]["capacity"] == 2
    assert events.document(f"{path}/virtualMachines/1")["Events"] == []


def test_only_spot_machines_are_evicted(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    answer = cloud.send("POST", f"{path}/virtualMachines/0/simulateEviction")
    assert (answer.status, answer.body["error"]["code"]) == (409, "OperationNotAllowed")
    with pytest.raises(ValueError, match="only for Spot"):
        cloud.core.service("interruptions").evict_by_name("hpc_0")


@pytest.mark.parametrize("kind", ["Reboot", "Redeploy", "Freeze"])
def test_maintenance_waits_for_the_machine_to_agree(cloud: Cloud, events: ScheduledEvents, kind: str) -> None:
    path = cloud.scale_set("hpc", 1)
    machine, calls = f"{path}/virtualMachines/0", []
    restart, freeze = cloud.driver.restart, cloud.driver.freeze

    def restarted(arm_id: str) -> None:
        calls.append("restart")
        restart(arm_id)

    def frozen(arm_id: str, on: bool) -> None:
        calls.append(f"freeze {on}")
        freeze(arm_id, on)

    cloud.driver.restart, cloud.driver.freeze = restarted, frozen  # type: ignore[method-assign]
    cloud.core.service("interruptions").maintain("hpc_0", kind, 600)
    (event,) = events.document(machine)["Events"]
    assert (event["EventType"], event["DurationInSeconds"]) == (kind, 9 if kind == "Freeze" else -1)
    assert calls == []
    events.start(machine, [event["EventId"]])
    cloud.settle()
    assert calls == (["freeze True", "freeze False"] if kind == "Freeze" else ["restart"])
    assert events.document(machine)["Events"] == []


def test_maintenance_does_not_wait_longer_than_it_said(cloud: Cloud, events: ScheduledEvents) -> None:
    path = cloud.scale_set("hpc", 1)
    cloud.core.service("interruptions").maintain("hpc_0", "Reboot", 0)
    cloud.settle()
    assert events.document(f"{path}/virtualMachines/0")["Events"] == []
    with pytest.raises(ValueError, match="Reboot, Redeploy, Freeze"):
        cloud.core.service("interruptions").maintain("hpc_0", "Terminate")


def test_a_machine_that_asks_for_it_is_told_before_it_is_deleted(cloud: Cloud, events: ScheduledEvents) -> None:
    notify = {"terminateNotificationProfile": {"enable": True, "notBeforeTimeout": "PT10M"}}
    path = cloud.scale_set("hpc", 2, profile={"scheduledEventsProfile": notify})
    machine, add = f"{path}/virtualMachines/1", events.add

    def slowly(kind: str, resource: Any, *, notice: float | None = None) -> str:
        assert notice == 0  # ten minutes at time scale 0
        return add(kind, resource, notice=600)

    events.add = slowly  # type: ignore[method-assign]
    operation = cloud.begin("POST", f"{path}/delete", {"instanceIds": ["1"]})
    until(lambda: events.document(machine)["Events"])
    (event,) = events.document(machine)["Events"]
    assert (event["EventType"], event["EventSource"], event["Resources"]) == ("Terminate", "User", ["hpc_1"])
    assert cloud.ok("GET", operation)["status"] == "InProgress"
    assert cloud.driver.state(machine) is PowerState.RUNNING
    events.start(f"{path}/virtualMachines/0", [event["EventId"]])
    assert cloud.end(operation)["status"] == "Succeeded"
    assert events.document(f"{path}/virtualMachines/0")["Events"] == []


def test_an_event_survives_the_server(cloud: Cloud, events: ScheduledEvents) -> None:
    path = spot(cloud, "Delete")
    cloud.core.service("interruptions").evict_by_name("spot_0", 600)
    (event,) = events.document(f"{path}/virtualMachines/0")["Events"]
    cloud.core.operations.close()
    cloud.open()
    cloud.driver.recover()
    cloud.core.operations.resume()
    again = cloud.core.service("scheduled_events")
    assert again.document(f"{path}/virtualMachines/0")["Events"] == [event]
    again.start(f"{path}/virtualMachines/0", [event["EventId"]])
    until(lambda: cloud.send("GET", f"{path}/virtualMachines/0").status == 404)
    cloud.settle()


@pytest.mark.parametrize(("text", "value"), [("PT5M", 5), ("PT15M", 15), ("nonsense", 5)])
def test_notice_of_a_deletion_is_in_minutes(text: str, value: float) -> None:
    assert minutes(text) == value
