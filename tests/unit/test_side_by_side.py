"""What runs CI's steps at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import side_by_side


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_keeps_no_other_step_from_running(capfd: pytest.CaptureFixture[str]) -> None:
    ended = side_by_side.run(
        [[("one", python("print('a'); exit(3)")), ("three", python("print('b')"))], [("two", python("print('c')"))]]
    )
    assert {name: step.status for name, step in ended.items()} == {"one": 3, "two": 0, "three": 0}
    assert set(capfd.readouterr().out.splitlines()) == {"one   | a", "three | b", "two   | c"}


def test_the_end_says_again_how_what_failed_ended_and_nothing_of_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    code = f"print(*range({side_by_side.LAST + 1}), sep='\\n'); exit(3)"
    ended = side_by_side.run([[("fails", python(code)), ("passes", python("print('quiet')"))]])
    capsys.readouterr()
    assert side_by_side.report(ended) == 3
    told, table = capsys.readouterr().out.split("\n\n")
    assert told.splitlines()[1:] == [
        "--- fails failed; its last lines were",
        *(str(number + 1) for number in range(side_by_side.LAST)),
    ]
    assert [(line.split()[0], line.split(" s  ")[1]) for line in table.splitlines()] == [
        ("fails", "FAILED (3)"),
        ("passes", "passed"),
    ]


def test_steps_of_a_lane_follow_one_another_and_lanes_do_not_wait(tmp_path: Path) -> None:
    there = tmp_path / "there"
    wait = python(f"import pathlib, time\nwhile not pathlib.Path({str(there)!r}).exists(): time.sleep(0.01)")
    make = python(f"import pathlib; pathlib.Path({str(there)!r}).touch()")
    ended = side_by_side.run([[("waits", wait), ("then", python(""))], [("makes", make)]])
    assert [name for name in ended if name != "makes"] == ["waits", "then"]


def test_being_told_to_stop_stops_what_was_started_with_its_children(tmp_path: Path) -> None:
    started = tmp_path / "started"
    inner = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    code = (
        "import signal, sys; from tests import side_by_side;"
        "signal.signal(signal.SIGTERM, side_by_side.on_terminate);"
        f"side_by_side.run([[('sleeps', [sys.executable, '-c', {outer!r}]), ('never', ['false'])]])"
    )
    process = subprocess.Popen(python(code), cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, _err = process.communicate()  # ends only when nobody has the pipe any more
    assert process.returncode == 143
    assert "never" not in out
