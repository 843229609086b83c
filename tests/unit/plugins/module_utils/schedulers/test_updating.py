"""Running commands and carrying plans out; only the commands themselves are not real."""

from __future__ import annotations

import json
import os
import sys
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import (
    Command,
    Output,
    run,
    scheduler,
    updating,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.slurm import Slurm

NODES: dict[str, t.Any] = {"nodes": [{"name": f"htc-{n}", "state": ["IDLE", "CLOUD", "POWERED_DOWN"]} for n in (1, 2)]}
WAKE = {"step": "wake", "nodes": ["htc-1"], "reason": "r"}
DRAIN = {"step": "drain", "nodes": ["htc-2"], "reason": "azure_hpc: x", "requeue": False}


class Scontrol:
    """Answers as scontrol and squeue do, and notes what was written."""

    def __init__(self, failing: str = "never") -> None:
        self.written: list[str] = []
        self.failing = failing

    def __call__(self, command: Command) -> Output:
        if command.key == "jobs":
            return Output(0, '{"jobs": []}')
        if command.key == "nodes":
            return Output(0, json.dumps(NODES))
        self.written.append(" ".join(command.argv[2:]))
        return Output(1, "", "slurm_update error: Invalid node") if self.failing in self.written[-1] else Output(0, "")


def update(*steps: dict[str, t.Any], run_: run.Run, dry: bool = False) -> dict[str, t.Any]:
    return updating.update(scheduler("slurm"), updating.read_steps(steps), run_, dry)


def test_a_plan_is_carried_out_in_order_with_a_diff() -> None:
    fake = Scontrol()
    result = update(DRAIN, WAKE, run_=fake)
    assert fake.written == ["nodename=htc-2 state=drain reason=azure_hpc: x", "nodename=htc-1 state=power_up"]
    assert result["changed"]
    assert result["diff"]["after"] == "htc-2: DRAIN azure_hpc: x\nhtc-1: POWERING_UP\n"


def test_a_failing_step_keeps_no_other_step_from_being_done() -> None:
    fake = Scontrol(failing="htc-2")
    result = update(DRAIN, WAKE, run_=fake)
    assert len(fake.written) == 2
    assert result["changed"]
    assert result["failures"] == [
        {"step": 0, "message": "scontrol update nodename=htc-2: slurm_update error: Invalid node"}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        Output(1, "", "slurm_update error: Unable to contact slurm controller (connect failure)"),
        Output(1, "", "slurm_update error: Socket timed out on send/recv operation"),
        Output(-1, "", "scontrol did not end within 60 s"),
    ],
)
def test_a_scheduler_that_does_not_answer_is_not_asked_again_and_again(answer: Output) -> None:
    fake, tried = Scontrol(), []

    def silent(command: Command) -> Output:
        if command.key in ("jobs", "nodes"):
            return fake(command)
        tried.append(command)
        return answer

    result = update(DRAIN, WAKE, run_=silent)
    assert len(tried) == 1
    assert not result["changed"]
    assert [failure["step"] for failure in result["failures"]] == [0, 1]
    assert result["failures"][1]["message"] == "1 commands were not tried; the next pass continues"


def test_check_mode_says_what_would_be_done_and_does_nothing() -> None:
    fake = Scontrol()
    result = update(DRAIN, run_=fake, dry=True)
    assert fake.written == []
    assert result["changed"]
    assert [item["argv"][2] for item in result["commands"]] == ["nodename=htc-2"]


def test_one_bad_value_keeps_the_whole_plan_from_being_begun() -> None:
    fake = Scontrol()
    with pytest.raises(updating.UpdateError, match=r"plan\[1\]: 'htc 2' is not a node name"):
        update(WAKE, {**DRAIN, "nodes": ["htc 2"]}, run_=fake)
    assert fake.written == []


def test_an_unreadable_queue_changes_nothing() -> None:
    with pytest.raises(updating.UpdateError, match="the queue could not be read, nothing was changed"):
        update(WAKE, run_=lambda command: Output(1, "", "down"))


def test_an_empty_plan_runs_nothing() -> None:
    def never(command: Command) -> Output:
        raise AssertionError(command)

    assert update(run_=never)["changed"] is False


def test_steps_for_azure_are_refused() -> None:
    with pytest.raises(serial.SerialError, match="grow is not for the scheduler"):
        updating.read_steps([{"step": "grow", "scale_set": "x", "capacity": 1, "current": 0, "reason": ""}])


def test_commands_run_without_a_shell_in_a_fixed_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    code = "import os, sys; print(sys.argv[1], os.environ['LC_ALL'], os.environ.get('SQUEUE_FORMAT'))"
    output = run.runner(Slurm())(Command("x", (sys.executable, "-c", code, "$(id); `id` \u00e4")))
    assert output == Output(0, "$(id); `id` \u00e4 C.UTF-8 None\n", "")
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


def test_commands_that_hang_or_are_missing_are_failures_with_a_reason() -> None:
    hang = Command("x", (sys.executable, "-c", "input() or __import__('time').sleep(60)"), timeout=1)
    assert run.runner(Slurm())(hang).status != 0
    sleep = Command("x", (sys.executable, "-c", "__import__('time').sleep(60)"), timeout=1)
    assert "did not end within 1 s" in run.runner(Slurm())(sleep).stderr
    assert run.runner(Slurm())(Command("x", ("/nowhere/squeue",))) == Output(
        -1, "", "/nowhere/squeue cannot be run: No such file or directory"
    )


def test_bytes_that_are_no_text_do_not_hide_the_queue() -> None:
    code = "import sys; sys.stdout.buffer.write(b'a\\xff')"
    assert run.runner(Slurm())(Command("x", (sys.executable, "-c", code))).stdout == "a\ufffd"


def test_what_a_command_says_cannot_rewrite_a_terminal() -> None:
    fake = Output(1, "", "no such job: \x1b]0;owned\x07\x1b[31m\r\u202eevil\nsecond line\x9b1m")
    said = fake.said()
    assert said.startswith("no such job: ")
    assert said.endswith("\nsecond line 1m")
    assert all(char.isprintable() or char == "\n" for char in said)
    with pytest.raises(updating.UpdateError) as caught:
        update(WAKE, run_=lambda command: fake)
    assert "\x1b" not in str(caught.value)
