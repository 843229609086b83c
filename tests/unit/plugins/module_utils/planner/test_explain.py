# ruff: noqa: E501 (whole lines)
"""Plans as people read them."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import explain

STEPS: list[tuple[plan.Step, str, tuple[str, str]]] = [
    (plan.Grow("s", 4, 1, "job 1 needs a-[2-4]"), "grow s from 1 to 4: job 1 needs a-[2-4]", ("s: 1 machines", "s: 4 machines")),
    (plan.Shrink("s", ("1", "2", "7"), "off"), "delete 3 of s ([1-2,7]): off", ("s: machine 1\ns: machine 2\ns: machine 7", "")),
    (plan.MarkUnavailable("s", 1800000300, "X", 1, "X"), "leave s alone until 08:05 UTC: X", ("", "leave s alone until 08:05 UTC")),
    (plan.Claim("a-1", "/id", "10.0.0.4", "h", "job 1"), "claim h (10.0.0.4) for a-1: job 1", ("a-1: no machine", "a-1: h 10.0.0.4 /id")),
    (plan.Add("a-1", "a-1", "10.0.0.4", 4, 8000, 0, "joins"), "add a-1 (10.0.0.4): joins", ("", "a-1: a-1 10.0.0.4, 4 CPUs, 8000 MiB, 0 GPUs")),
    (plan.Kick("a-1 joined"), "have the scheduler look at its queue: a-1 joined", ("", "have the scheduler look at its queue")),
    (plan.Release(("a-1", "a-2"), "gone"), "release a-[1-2]: gone", ("a-[1-2]: claimed", "a-[1-2]: no machine")),
    (plan.Drain(("a-1",), "azure_hpc: x", True), "drain and requeue a-1: azure_hpc: x", ("a-1: in service", "a-1: azure_hpc: x")),
    (plan.Resume(("a-1",), "back"), "resume a-1: back", ("a-1: out of service", "a-1: in service")),
    (plan.Wake(("a-1",), "kept"), "wake a-1: kept", ("a-1: powered down", "a-1: powering up")),
    (plan.Remove(("a-1",), "gone"), "remove a-1: gone", ("a-1: in service", "a-1: powering down")),
    (plan.Comment("1", "t\nx", "say"), 'tell job 1 "t x": say', ("", "job 1: t x")),
]  # fmt: skip


@pytest.mark.parametrize(("step", "line", "sides"), STEPS)
def test_every_step_has_a_line_and_a_diff(step: plan.Step, line: str, sides: tuple[str, str]) -> None:
    of_azure = serial.kind(step) in serial.AZURE_STEPS
    decided = plan.Plan(azure=(step,)) if of_azure else plan.Plan(scheduler=(step,))  # type: ignore[arg-type]
    assert explain.lines(decided) == [line]
    found = explain.diff(decided)
    assert (found["before"].rstrip("\n"), found["after"].rstrip("\n")) == sides


def test_every_kind_of_step_is_covered() -> None:
    assert {serial.kind(step) for step, _line, _sides in STEPS} == set(serial.STEPS)


def test_what_was_not_met_is_told_with_its_jobs() -> None:
    assert explain.unmet(plan.Unmet(("1", "2"), "no quota")) == "unmet, jobs 1, 2: no quota"
    assert explain.unmet(plan.Unmet((), "no\nqueue")) == "unmet: no queue"
