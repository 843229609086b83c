# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual clock: what is due happens at its time, however far the clock jumps."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.arm.core import Settings
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.operations import COMPUTE, Run
from sandbox.arm.throttling import Throttling
from sandbox.arm.tokens import AUDIENCES, Principal, Tokens
from sandbox.clock import Clock, clock

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

NEW_YEAR = 1767225600.0


@pytest.fixture
def standing() -> Iterator[Clock]:
    """The process's clock, stopped at the beginning of 2026."""
    clock.stop(NEW_YEAR)
    yield clock
    clock.real()


@pytest.fixture
def slow(arm: Arm, standing: Clock) -> Arm:
    """A core with Azure's latencies, and an operation that can be begun."""
    arm.core.settings = Settings(arm.core.settings.state, time_scale=1.0)
    return arm


def begin(arm: Arm, work: str, latency: float, name: str = "i") -> str:
    request = Request(arm.core, "PUT", f"/subscriptions/s/{name}", {"subscription": "s"}, {}, {}, "https://x")
    rid = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.X/things/{name}"
    answer = arm.core.operations.begin(request, work, rid, style=COMPUTE, latency=latency)
    return answer.headers["Azure-AsyncOperation"].partition("?")[0].rpartition("/")[2]


def ended(arm: Arm, operation: str) -> float | None:
    """Seconds of the year at which the operation ended."""
    found = arm.core.operations.get(operation)
    assert found is not None
    return None if found.ended is None else found.ended - NEW_YEAR


def test_by_default_it_is_the_hosts(arm: Arm) -> None:
    made = Clock()
    assert not made.virtual
    assert abs(made.now() - time.time()) < 60
    with pytest.raises(ValueError, match="only a virtual clock"):
        made.advance(1)


def test_an_operation_ends_when_its_time_has_come_and_not_before(slow: Arm, standing: Clock) -> None:
    slow.core.operations.register("quick", lambda run: None)
    operation = begin(slow, "quick", 75)
    assert standing.advance(74.5) == NEW_YEAR + 74.5
    assert ended(slow, operation) is None
    standing.advance(0.5)
    assert ended(slow, operation) == 75


def test_a_long_jump_stops_wherever_something_is_due(slow: Arm, standing: Clock) -> None:
    def chain(run: Run) -> None:
        run.sleep(20)
        seen.append(standing.now() - NEW_YEAR)
        run.sleep(20)

    seen: list[float] = []
    slow.core.operations.register("chain", chain)
    slow.core.operations.register("quick", lambda run: seen.append(standing.now() - NEW_YEAR))
    first, second = begin(slow, "chain", 10, "a"), begin(slow, "quick", 40, "b")
    standing.advance(86400)
    assert seen == [30, 40]
    assert (ended(slow, first), ended(slow, second)) == (50, 40)
    assert standing.now() == NEW_YEAR + 86400


def test_work_that_waits_for_other_work_is_waited_for(slow: Arm, standing: Clock) -> None:
    def waits(run: Run) -> None:
        while ended(slow, other) is None:
            standing.pause(30)

    slow.core.operations.register("quick", lambda run: None)
    slow.core.operations.register("waits", waits, apart=True)
    other = begin(slow, "quick", 100, "a")
    operation = begin(slow, "waits", 0, "b")
    standing.advance(1000)
    assert ended(slow, operation) == 100


def test_what_waits_for_the_host_is_waited_for_too(slow: Arm, standing: Clock) -> None:
    gate = threading.Event()
    slow.core.operations.register("boots", lambda run: gate.wait(60))
    operation = begin(slow, "boots", 60)
    threading.Timer(0.05, gate.set).start()
    standing.advance(3600)
    assert ended(slow, operation) == 60


def test_who_polls_is_told_the_clocks_time(slow: Arm, standing: Clock) -> None:
    slow.core.operations.register("quick", lambda run: None)
    path = f"/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/operations/{begin(slow, 'quick', 75)}"
    standing.advance(100)
    body = slow.send("GET", path).body
    assert (body["startTime"], body["endTime"]) == (
        "2026-01-01T00:00:00.0000000+00:00",
        "2026-01-01T00:01:15.0000000+00:00",
    )


def test_what_waits_goes_on_waiting_as_long_as_it_had_to_when_the_clock_is_set(standing: Clock) -> None:
    rung: list[float] = []
    standing.later(60, lambda: rung.append(standing.now()))
    standing.advance(20)
    standing.stop(NEW_YEAR + 10**6)
    standing.advance(39)
    assert rung == []
    standing.advance(1)
    assert rung == [NEW_YEAR + 10**6 + 40]


def test_what_is_cancelled_does_not_happen(standing: Clock) -> None:
    rung: list[int] = []
    standing.later(1, lambda: rung.append(1)).cancel()
    standing.later(2, lambda: rung.append(2))
    standing.advance(3)
    assert rung == [2]


def test_time_goes_on_whatever_it_brings(standing: Clock) -> None:
    rung: list[int] = []
    standing.later(1, lambda: rung[0])
    standing.later(1, lambda: rung.append(2))
    standing.advance(2)
    assert rung == [2]


def test_a_clock_that_runs_needs_nobody_to_advance_it(standing: Clock) -> None:
    standing.run(10_000, NEW_YEAR)
    standing.sleep(600)
    assert standing.now() >= NEW_YEAR + 600
    assert standing.real_seconds(600) == 0.06
    with pytest.raises(ValueError, match="more than 0"):
        standing.run(0)


def test_retry_after_is_by_the_clock_of_the_client(standing: Clock, tmp_path: Path) -> None:
    settings = Settings(tmp_path, time_scale=1.0)
    assert settings.retry_after(10) == {"Retry-After": "10"}
    standing.run(5)
    assert settings.retry_after(10) == {"Retry-After": "2"}


def test_tokens_expire_by_it(standing: Clock, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path, "00000000-0000-4000-8000-000000000007")
    header = f"Bearer {tokens.issue(Principal('o', 'a'), AUDIENCES[0])}"
    standing.advance(86398)
    assert tokens.verify(header)["iat"] == NEW_YEAR
    standing.advance(1)
    with pytest.raises(ArmError) as refused:
        tokens.verify(header)
    assert refused.value.code == "ExpiredAuthenticationToken"
    assert "'01/01/2026 23:59:59'" in refused.value.message


def test_buckets_fill_by_it(arm: Arm, standing: Clock) -> None:
    buckets = Throttling(arm.core.store, 1.0)
    request = Request(arm.core, "PUT", "/subscriptions/s/resourceGroups/g", {}, {}, {}, "https://x")

    def left() -> int:
        found = buckets.take(request, "/subscriptions/{subscription}/resourceGroups/{name}", "", "me")
        return int(found["x-ms-ratelimit-remaining-subscription-writes"])

    for _unused in range(200):
        assert left() >= 0
    with pytest.raises(ArmError) as refused:
        left()
    assert refused.value.headers["Retry-After"] == "1"
    standing.advance(5)
    assert left() == 49


def test_resources_carry_its_time(arm: Arm, standing: Clock) -> None:
    body: dict[str, Any] = {"location": "westeurope"}
    arm.make("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i", body)
    row = arm.core.store.list("Microsoft.ManagedIdentity/userAssignedIdentities")[0]
    assert datetime.fromtimestamp(row.created).year in (2025, 2026)
    assert row.created == NEW_YEAR


def test_lists_lag_by_it(arm: Arm, standing: Clock, reopen: Callable[[], Arm]) -> None:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    arm.core.store.keep_history(True)
    arm.make(f"/providers/{kind}/i")
    standing.advance(60)
    arm.core.store.delete(arm.core.store.list(kind)[0].id)
    with arm.core.store.as_of(standing.now() - 30):
        assert len(arm.core.store.list(kind)) == 1
    assert arm.core.store.list(kind) == []


def test_nothing_that_is_azures_asks_the_host_for_the_time() -> None:
    root = Path(__file__).resolve().parents[3] / "sandbox"
    # The validity of certificates; answers that a fault delays; how often rows are written while machines boot.
    real = {"arm/tls.py": 1, "providers/deployments/runner.py": 1, "providers/compute/scale_set_works.py": 2}
    found = {}
    for path in [*(root / "arm").rglob("*.py"), *(root / "providers").rglob("*.py")]:
        asked = re.findall(r"\btime\.(?:time|sleep|monotonic)\(|datetime\.now\(|threading\.Timer\(", path.read_text())
        if asked:
            found[path.relative_to(root).as_posix()] = len(asked)
    assert found == real


def test_a_pause_that_is_over_does_not_end_another_that_is_like_it() -> None:
    watch = Clock()
    watch.stop(NEW_YEAR)

    def wait(seconds: float) -> None:
        watch.pause(0)
        watch.pause(seconds)

    long, short = (threading.Thread(target=wait, args=(seconds,)) for seconds in (60.0, 0.1))
    for thread in (long, short):
        thread.start()
        time.sleep(0.05)
    short.join()
    assert long.is_alive()
    watch.enter()
    watch.leave()
    long.join(60)
    assert not long.is_alive()
