# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are resources: what runs, and what is told of it."""

from __future__ import annotations

import threading
import typing as t

import pytest

from sandbox.machines import Command, Output

if t.TYPE_CHECKING:
    from tests.unit.sandbox.providers.compute.conftest import Cloud

SOURCE = {"script": "echo $1"}


class Guest:
    """Stands for what runs scripts in machines."""

    def __init__(self) -> None:
        self.output = Output(stdout=b"out\n")
        self.asked: list[Command] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, arm_id: str, command: Command) -> Output:
        self.asked.append(command)
        assert self.gate.wait(60)
        return self.output


@pytest.fixture
def guest(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Guest:
    made = Guest()
    monkeypatch.setattr(cloud.driver, "run", made)
    return made


@pytest.fixture
def path(cloud: Cloud) -> str:
    return f"{cloud.scale_set('s', 1)}/virtualMachines/0/runCommands/one"


def view(cloud: Cloud, path: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = cloud.ok("GET", f"{path}?$expand=instanceView")["properties"]["instanceView"]
    return found


def body(**properties: t.Any) -> dict[str, t.Any]:
    return {"location": "westeurope", "properties": {"source": SOURCE, **properties}}


def test_writing_one_runs_it(cloud: Cloud, guest: Guest, path: str) -> None:
    secret = [{"name": "password", "value": "hidden"}]
    given = body(parameters=[{"name": "arg", "value": "x"}], protectedParameters=secret, timeoutInSeconds=60)
    assert cloud.run("PUT", path, given)["status"] == "Succeeded"
    (command,) = guest.asked
    assert (command.script, command.arguments, command.timeout) == ("echo $1", ("x", "hidden"), 60)
    assert dict(command.environment) == {"arg": "x", "password": "hidden"}
    kept = cloud.ok("GET", path)
    assert (kept["name"], kept["properties"]["provisioningState"]) == ("one", "Succeeded")
    assert "hidden" not in str(kept)
    assert "instanceView" not in kept["properties"]
    told = view(cloud, path)
    assert (told["executionState"], told["output"], told["exitCode"]) == ("Succeeded", "out\n", 0)
    assert [one["id"] for one in cloud.ok("GET", path.rpartition("/")[0])["value"]] == [kept["id"]]


def test_a_patch_runs_it_again(cloud: Cloud, guest: Guest, path: str) -> None:
    cloud.run("PUT", path, body(runAsUser="o'neill"))
    cloud.run("PATCH", path, {"properties": {"source": {"script": "id"}}, "tags": {"a": "b"}})
    assert guest.asked[1].script == "exec runuser -u 'o'\"'\"'neill' -- /bin/sh -c id sh \"$@\"\n"
    assert cloud.ok("GET", path)["tags"] == {"a": "b"}


@pytest.mark.parametrize("strict", [False, True])
def test_a_failed_script_fails_its_operation_only_if_that_is_asked_for(
    cloud: Cloud, guest: Guest, path: str, strict: bool
) -> None:
    guest.output = Output(status=3, stderr=b"no\n")
    done = cloud.run("PUT", path, body(treatFailureAsDeploymentFailure=strict))
    assert done["status"] == ("Failed" if strict else "Succeeded")
    assert cloud.ok("GET", path)["properties"]["provisioningState"] == done["status"]
    told = view(cloud, path)
    assert (told["executionState"], told["error"], told["exitCode"]) == ("Failed", "no\n", 3)


def test_what_is_asynchronous_is_there_before_its_script_has_ended(cloud: Cloud, guest: Guest, path: str) -> None:
    guest.gate.clear()
    assert cloud.run("PUT", path, body(asyncExecution=True))["status"] == "Succeeded"
    assert view(cloud, path)["executionState"] in ("Pending", "Running")
    guest.gate.set()
    cloud.settle()
    assert view(cloud, path)["executionState"] == "Succeeded"


def test_a_script_that_took_too_long_timed_out(cloud: Cloud, guest: Guest, path: str) -> None:
    guest.output = Output(status=-9)
    cloud.run("PUT", path, body(timeoutInSeconds=1))
    assert view(cloud, path)["executionState"] == "TimedOut"


def test_what_would_have_to_be_downloaded_fails(cloud: Cloud, guest: Guest, path: str) -> None:
    cloud.run("PUT", path, {"properties": {"source": {"scriptUri": "https://a.blob.core.windows.net/b/c.sh"}}})
    assert (view(cloud, path)["executionState"], guest.asked) == ("Failed", [])


@pytest.mark.parametrize(
    "wrong",
    [{"source": None}, {"source": {}}, {"source": {"script": 1}}, {"parameters": ["a"]}, {"timeoutInSeconds": "x"}],
)
def test_bad_input_is_refused(cloud: Cloud, guest: Guest, path: str, wrong: dict[str, t.Any]) -> None:
    assert cloud.send("PUT", path, body(**wrong)).status == 400
    assert cloud.send("GET", path).status == 404


def test_it_goes_alone_and_with_its_machine(cloud: Cloud, guest: Guest, path: str) -> None:
    assert cloud.send("PUT", path.replace("/0/", "/9/"), body()).status == 404
    cloud.run("PUT", path, body())
    assert cloud.run("DELETE", path)["status"] == "Succeeded"
    assert cloud.send("DELETE", path).status == 204
    cloud.run("PUT", path, body())
    machine = path.partition("/runCommands")[0]
    cloud.run("DELETE", machine)
    assert not cloud.core.store.exists(path)
