# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.core import Settings
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, DISKS, Run, stamp
from sandbox.arm.store import Resource
from sandbox.faults import Rule

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

THING = "/providers/Microsoft.Test/things/t"


def add_things(arm: Arm, work: Callable[[Run], Any], **options: Any) -> None:
    """A resource type whose PUT begins ``work``."""

    def put(request: Request) -> Answer:
        with arm.core.store.transaction():
            thing = Resource(str(request.id), {"id": str(request.id), "properties": {"provisioningState": "Creating"}})
            arm.core.store.put(thing)
            given = {"style": COMPUTE, "status": 201, "body": thing.body, "location": "westeurope", **options}
            return arm.core.operations.begin(request, "test.put", thing.id, **given)

    arm.core.operations.register("test.put", work)
    arm.core.router.resource("Microsoft.Test/things", get=arm.core.get_handler, put=put)


def path_of(url: str) -> tuple[str, dict[str, str]]:
    path, _unused, query = url.removeprefix("https://management.azure.com").partition("?")
    return path, dict(pair.split("=") for pair in query.split("&"))


def poll(arm: Arm, url: str) -> Answer:
    path, query = path_of(url)
    from sandbox.arm.dispatch import dispatch

    return dispatch(arm.core, Request(arm.core, "GET", path, {}, query, {}, "https://management.azure.com"))


def test_an_operation_is_in_progress_until_its_work_is_done(arm: Arm) -> None:
    gate = threading.Event()
    add_things(arm, lambda run: gate.wait(60) and None)
    answer = arm.send("PUT", THING, {})
    status = poll(arm, answer.headers["Azure-AsyncOperation"])
    location = poll(arm, answer.headers["Location"])
    assert (status.status, status.body["status"]) == (200, "InProgress")
    assert (location.status, location.body) == (202, None)
    gate.set()
    arm.wait()
    done = poll(arm, answer.headers["Azure-AsyncOperation"]).body
    assert (done["status"], set(done)) == ("Succeeded", {"startTime", "endTime", "status", "name"})
    assert poll(arm, answer.headers["Location"]).status == 200


def test_a_works_refusal_is_told_by_the_poll_and_marks_the_resource(arm: Arm) -> None:
    def fail(run: Run) -> None:
        raise ArmError(409, "AllocationFailed", "no room", target="0")

    add_things(arm, fail)
    answer = arm.send("PUT", THING, {})
    arm.wait()
    status = poll(arm, answer.headers["Azure-AsyncOperation"])
    assert (status.status, status.body["status"]) == (200, "Failed")
    assert status.body["error"] == {"code": "AllocationFailed", "message": "no room", "target": "0"}
    assert poll(arm, answer.headers["Location"]).status == 409
    assert arm.send("GET", THING).body["properties"]["provisioningState"] == "Failed"


def test_a_bug_in_a_work_ends_the_operation_as_an_internal_error(arm: Arm) -> None:
    add_things(arm, lambda run: 1 // 0)
    answer = arm.send("PUT", THING, {})
    arm.wait()
    assert poll(arm, answer.headers["Azure-AsyncOperation"]).body["error"]["code"] == "InternalServerError"


def test_output_is_in_the_status_of_styles_that_have_it_and_in_the_location(arm: Arm) -> None:
    add_things(arm, lambda run: {"id": "x"}, style=DISKS)
    answer = arm.send("PUT", THING, {})
    arm.wait()
    assert poll(arm, answer.headers["Azure-AsyncOperation"]).body["properties"] == {"output": {"id": "x"}}
    assert poll(arm, answer.headers["Location"]).body == {"id": "x"}


def test_an_exclusive_operation_refuses_a_second_one_and_names_the_first(arm: Arm) -> None:
    gate = threading.Event()
    add_things(arm, lambda run: gate.wait(60) and None, exclusive=True)
    first, second = arm.send("PUT", THING, {}), arm.send("PUT", THING, {})
    gate.set()
    arm.wait()
    assert (second.status, second.body["error"]["code"]) == (409, "AnotherOperationInProgress")
    running = path_of(first.headers["Azure-AsyncOperation"])[0].rpartition("/")[2]
    assert running in second.body["error"]["message"]


def test_a_refused_request_begins_nothing(arm: Arm) -> None:
    called: list[str] = []
    arm.core.operations.register("test.put", lambda run: called.append(run.id))

    def put(request: Request) -> Answer:
        with arm.core.store.transaction():
            arm.core.operations.begin(request, "test.put", request.id, style=COMPUTE)
            raise ArmError(400, "No", "no")

    arm.core.router.resource("Microsoft.Test/things", put=put)
    assert arm.send("PUT", THING, {}).status == 400
    arm.wait()
    assert called == []


def test_what_a_dead_server_left_running_is_done_by_the_next(arm: Arm, reopen: Callable[[], Arm]) -> None:
    gate = threading.Event()
    add_things(arm, lambda run: gate.wait(60) and None, args={"size": 3})
    answer = arm.send("PUT", THING, {})
    # The first core never writes again: that is what a kill is to the store.
    arm.core.operations.close()
    gate.set()
    second, seen = reopen(), []
    add_things(second, lambda run: seen.append((run.args, run.resumed)))
    assert second.core.operations.resume() == 1
    second.wait()
    assert seen == [({"size": 3}, True)]
    assert poll(second, answer.headers["Azure-AsyncOperation"]).body["status"] == "Succeeded"
    second.close()


@pytest.mark.parametrize("handled", [False, True])
def test_a_scripted_failure_comes_before_the_work_unless_the_work_wants_it(arm: Arm, handled: bool) -> None:
    seen: list[str] = []
    add_things(arm, lambda run: None)
    arm.core.operations.register(
        "test.put", lambda run: seen.append(run.fault.code if run.fault else ""), handles_faults=handled
    )
    arm.core.faults.add(Rule("AllocationFailed", match="Microsoft.Test/things"))
    first, second = arm.send("PUT", THING, {}), arm.send("PUT", THING, {})
    arm.wait()
    states = [poll(arm, one.headers["Azure-AsyncOperation"]).body["status"] for one in (first, second)]
    assert (states, sorted(seen)) == (
        (["Succeeded", "Succeeded"], ["", "AllocationFailed"]) if handled else (["Failed", "Succeeded"], [""])
    )


@pytest.mark.parametrize(
    ("scale", "seconds", "header"),
    [
        (1, 10, {"Retry-After": "10"}),
        (0.5, 3, {"Retry-After": "2"}),
        (0.1, 3, {"retry-after-ms": "300"}),
        (0, 10, {"retry-after-ms": "100"}),
    ],
)
def test_waits_are_whole_seconds_or_milliseconds_and_never_zero(
    tmp_path: Any, scale: float, seconds: float, header: dict[str, str]
) -> None:
    assert Settings(tmp_path, time_scale=scale).retry_after(seconds) == header


def test_a_scripted_delay_is_not_scaled_away(arm: Arm) -> None:
    add_things(arm, lambda run: None)
    arm.core.faults.add(Rule("Slow", when="async", delay=0.3))
    answer = arm.send("PUT", THING, {})
    assert poll(arm, answer.headers["Azure-AsyncOperation"]).body["status"] == "InProgress"
    arm.wait()
    assert poll(arm, answer.headers["Azure-AsyncOperation"]).body["status"] == "Succeeded"


def test_times_have_seven_decimals() -> None:
    assert re.fullmatch(r"2026-11-20T09:42:42\.\d{7}\+00:00", stamp(1795167762.311))


def test_an_operation_hangs_until_its_rule_is_cleared(arm: Arm) -> None:
    seen: list[str] = []
    add_things(arm, lambda run: seen.append(run.id))
    rule = arm.core.faults.add(Rule("Hang", match="Microsoft.Test/things"))
    answer = arm.send("PUT", THING, {})
    arm.core.operations.resume()
    status = poll(arm, answer.headers["Azure-AsyncOperation"])
    assert (status.status, status.body["status"], seen) == (200, "InProgress", [])
    arm.core.faults.clear(rule.id)
    arm.wait()
    assert poll(arm, answer.headers["Azure-AsyncOperation"]).body["status"] == "Succeeded"
    assert len(seen) == 1
