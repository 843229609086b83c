# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are run in machines: what the driver is asked for, and what is told of it."""

from __future__ import annotations

import threading
import typing as t

import pytest

from sandbox.machines import OUTPUT_BYTES, Command, MachineError, Output
from sandbox.providers.compute import mishaps

if t.TYPE_CHECKING:
    from tests.unit.sandbox.providers.compute.conftest import Cloud

SCRIPT = {"commandId": "RunShellScript", "script": ["echo a", "echo b"]}


class Guest:
    """Stands for what runs scripts in machines."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.asked: list[tuple[str, Command]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, arm_id: str, command: Command) -> Output:
        self.asked.append((arm_id, command))
        assert self.gate.wait(60)
        return self.output


@pytest.fixture
def guest(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Guest:
    made = Guest(Output(status=3, stdout=b"out\n", stderr=b"err\n"))
    monkeypatch.setattr(cloud.driver, "run", made)
    return made


@pytest.fixture
def instance(cloud: Cloud) -> str:
    return f"{cloud.scale_set('s', 1)}/virtualMachines/0"


def test_a_script_gets_its_parameters_and_its_output_is_the_result(cloud: Cloud, guest: Guest, instance: str) -> None:
    parameters = [{"name": "arg1", "value": "x y"}, {"name": "not a name", "value": "z"}]
    done = cloud.run("POST", f"{instance}/runCommand", {**SCRIPT, "parameters": parameters})
    ((arm_id, command),) = guest.asked
    assert (arm_id, command.script) == (instance, "echo a\necho b\n")
    assert (command.arguments, command.environment) == (("x y", "z"), (("arg1", "x y"),))
    # A script that fails has been run all the same.
    (told,) = done["properties"]["output"]["value"]
    assert (done["status"], told["code"]) == ("Succeeded", "ProvisioningState/succeeded")
    assert told["message"] == "Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n"


def test_no_more_than_the_end_of_the_output_is_told(cloud: Cloud, guest: Guest, instance: str) -> None:
    guest.output = Output(stdout=b"x" * 5000 + "é".encode() + b"y" * (OUTPUT_BYTES - 1))
    (told,) = cloud.run("POST", f"{instance}/runCommand", SCRIPT)["properties"]["output"]["value"]
    shown = told["message"].removeprefix("Enable succeeded: \n[stdout]\n").partition("\n[stderr]\n")[0]
    assert shown == "\ufffd" + "y" * (OUTPUT_BYTES - 1)


def test_one_at_a_time(cloud: Cloud, guest: Guest, instance: str) -> None:
    guest.gate.clear()
    first = cloud.begin("POST", f"{instance}/runCommand", SCRIPT)
    refused = cloud.send("POST", f"{instance}/runCommand", SCRIPT)
    assert (refused.status, refused.body["error"]["code"]) == (409, "Conflict")
    assert "Run command extension execution is in progress" in refused.body["error"]["message"]
    guest.gate.set()
    assert cloud.end(first)["status"] == "Succeeded"
    assert cloud.run("POST", f"{instance}/runCommand", SCRIPT)["status"] == "Succeeded"


@pytest.mark.parametrize("why", ["silent", "crashed", "gone"])
def test_a_machine_that_does_not_answer_fails_the_operation(
    cloud: Cloud, guest: Guest, instance: str, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def gone(arm_id: str, command: Command) -> Output:
        raise MachineError("Conflict", "it does not run")

    if why == "silent":
        mishaps.silence(cloud.core, instance)
    elif why == "crashed":
        mishaps.crash(cloud.core, instance)
    else:
        monkeypatch.setattr(cloud.driver, "run", gone)
    done = cloud.run("POST", f"{instance}/runCommand", SCRIPT)
    assert (done["status"], done["error"]["code"]) == ("Failed", "VMAgentStatusCommunicationError")
    assert "has not reported status for VM agent or extensions" in done["error"]["message"]
    assert cloud.ok("GET", instance)["properties"]["provisioningState"] == "Succeeded"


def test_a_script_is_not_run_again_by_the_next_server(cloud: Cloud, guest: Guest, instance: str) -> None:
    guest.gate.clear()
    operation = cloud.begin("POST", f"{instance}/runCommand", SCRIPT)
    cloud.core.operations.close()
    guest.gate.set()
    cloud.open()
    cloud.driver.recover()
    cloud.core.operations.resume()
    assert cloud.end(operation)["error"]["code"] == "VMAgentStatusCommunicationError"
    assert len(guest.asked) <= 1


@pytest.mark.parametrize("wrong", [{"script": "echo"}, {"script": [1]}, {"parameters": ["a"]}])
def test_bad_input_is_refused(cloud: Cloud, guest: Guest, instance: str, wrong: dict[str, t.Any]) -> None:
    refused = cloud.send("POST", f"{instance}/runCommand", {**SCRIPT, **wrong})
    assert (refused.status, refused.body["error"]["code"]) == (400, "InvalidParameter")
    assert guest.asked == []
