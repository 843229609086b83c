# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single machines that fail, die or keep silent; what Azure shows of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from sandbox.faults import Rule
from sandbox.machines import PowerState
from sandbox.providers.compute import mishaps

from .conftest import Cloud


def grow(cloud: Cloud, path: str, capacity: int) -> dict[str, Any]:
    return cloud.run("PATCH", path, {"sku": {"name": "Standard_D2s_v5", "capacity": capacity}})


def view(cloud: Cloud, path: str, number: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.ok("GET", f"{path}/virtualMachines/{number}/instanceView")
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [status["code"] for status in found["statuses"]]


@pytest.mark.parametrize(
    "code", ["AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest", "SpotLost"]
)
def test_some_machines_are_made_and_some_fail(cloud: Cloud, code: str) -> None:
    path = cloud.scale_set("hpc")
    cloud.core.faults.add(Rule(code, when="machine", match="*/virtualMachineScaleSets/hpc", count=2))
    status = grow(cloud, path, 5)
    assert (status["status"], status["error"]["code"]) == ("Failed", code)
    assert status["error"]["target"] in cloud.states(path)
    assert Counter(cloud.states(path).values()) == {"Succeeded": 3, "Failed": 2}
    scale_set = cloud.ok("GET", path)
    assert (scale_set["sku"]["capacity"], scale_set["properties"]["provisioningState"]) == (5, "Failed")
    failed = next(number for number, state in cloud.states(path).items() if state == "Failed")
    assert f"ProvisioningState/failed/{code}" in codes(view(cloud, path, failed))
    assert list(cloud.driver.machines().values()) == [PowerState.RUNNING] * 3


def test_a_whole_growth_can_fail(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    cloud.core.faults.add(Rule("AllocationFailed", match=path))
    assert grow(cloud, path, 3)["status"] == "Failed"
    assert Counter(cloud.states(path).values()) == {"Succeeded": 1, "Failed": 2}


def test_a_machine_that_never_boots_runs_without_an_agent_and_fails(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.core.faults.add(Rule("NeverBoots", match="Microsoft.Compute/virtualMachineScaleSets"))
    status = grow(cloud, path, 2)
    assert status["error"]["code"] == "OSProvisioningTimedOut"
    assert "OS Provisioning for VM 'hpc_" in status["error"]["message"]
    (number,) = [number for number, state in cloud.states(path).items() if state == "Failed"]
    found = view(cloud, path, number)
    assert codes(found) == ["ProvisioningState/failed/OSProvisioningTimedOut", "PowerState/running"]
    assert found["vmAgent"]["vmAgentVersion"] == "Unknown"
    assert cloud.driver.state(f"{path}/virtualMachines/{number}") is PowerState.ABSENT


def test_a_silent_agent_is_not_ready_until_a_restart(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.core.faults.add(Rule("SilentAgent", match="*hpc*"))
    assert grow(cloud, path, 1)["status"] == "Succeeded"
    found = view(cloud, path, "0")
    assert codes(found) == ["ProvisioningState/succeeded", "PowerState/running"]
    assert "computerName" not in found
    assert found["vmAgent"]["statuses"][0]["message"] == "VM status blob is found but not yet populated."
    cloud.run("POST", f"{path}/virtualMachines/0/restart")
    assert view(cloud, path, "0")["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"


def test_an_agent_can_stop_to_report_and_begin_again(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    mishaps.silence(cloud.core, "hpc_0")
    agent = view(cloud, path, "0")["vmAgent"]["statuses"][0]
    assert (agent["code"], agent["message"]) == ("ProvisioningState/Unavailable", "VM Agent is unresponsive.")
    mishaps.silence(cloud.core, "hpc_0", end=True)
    assert view(cloud, path, "0")["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"


def test_a_dead_machine_counts_as_running_until_it_is_restarted(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    machine = f"{path}/virtualMachines/0"
    mishaps.crash(cloud.core, "hpc_0")
    assert cloud.driver.state(machine) is PowerState.STOPPED
    found = view(cloud, path, "0")
    assert "PowerState/running" in codes(found)
    assert found["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"
    assert view(cloud, path, "1")["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    cloud.run("POST", f"{machine}/restart")
    assert cloud.driver.state(machine) is PowerState.RUNNING
    assert view(cloud, path, "0")["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"


def test_a_dead_machine_stays_dead_when_the_server_starts_again(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    mishaps.crash(cloud.core, "hpc_0")
    cloud.core.service("machines_recovered")(cloud.driver.machines())
    assert cloud.driver.state(f"{path}/virtualMachines/0") is PowerState.STOPPED


def test_a_machine_that_powers_itself_off_is_stopped(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 1)
    mishaps.crash(cloud.core, "hpc_0", stopped=True)
    assert "PowerState/stopped" in codes(view(cloud, path, "0"))


def test_a_machine_can_die_soon_after_it_has_booted(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc")
    cloud.core.faults.add(Rule("Crash", delay=0.05))
    assert grow(cloud, path, 1)["status"] == "Succeeded"
    deadline = time.monotonic() + 120
    while cloud.driver.state(f"{path}/virtualMachines/0") is PowerState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_machine_is_found_by_name_or_not_at_all(cloud: Cloud) -> None:
    path = cloud.scale_set("hpc", 2)
    assert mishaps.find(cloud.core, "HPC-000001").id == mishaps.find(cloud.core, "hpc_1").id
    assert mishaps.find(cloud.core, f"{path}/virtualMachines/1").sort == 1
    with pytest.raises(LookupError, match="no machine"):
        mishaps.find(cloud.core, "hpc_9")


@pytest.mark.parametrize(
    ("name", "shown", "page"),
    [
        ("cores", "Total Regional Cores", "azure-supportability/regional-quota-requests"),
        ("standardDSv5Family", "standardDSv5Family Cores", "azure-supportability/per-vm-quota-requests"),
        ("lowPriorityCores", "LowPriorityCores", "azure-portal/supportability/low-priority-quota"),
    ],
)
def test_each_quota_is_refused_in_its_own_words(cloud: Cloud, name: str, shown: str, page: str) -> None:
    profile = {"priority": "Spot", "evictionPolicy": "Delete"} if name == "lowPriorityCores" else {}
    path = cloud.scale_set("hpc", 1, profile=profile)
    cloud.core.service("compute_limits").set_quota("westeurope", name, 6)
    answer = cloud.send("PATCH", path, {"sku": {"name": "Standard_D2s_v5", "capacity": 4}})
    assert (answer.status, answer.body["error"]["code"]) == (409, "OperationNotAllowed")
    message = answer.body["error"]["message"]
    assert message.startswith(
        f"Operation could not be completed as it results in exceeding approved {shown} quota. Additional details - "
        "Deployment Model: Resource Manager, Location: westeurope, Current Limit: 6, Current Usage: 2, Additional "
        "Required: 6, (Minimum) New Limit Required: 8. "
    )
    assert message.endswith(f"https://docs.microsoft.com/en-us/azure/{page}")
    assert f"%22resourceName%22:%22{name}%22,%22quotaRequest%22:%7B%22properties%22:%7B%22limit%22:8," in message
