"""What a pass tells: its result, its lines and its log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import report
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.fleet import Observation
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.passes import Done, Result
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Comment, Grow, Plan, Unmet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import explain

GROW = Grow("demo-a", 2, 0, "job 12 needs a-[1-2]")
COMMENT = Comment("12", "wait\n{{ x }}")
REFUSED = AzureError("no room", "AllocationFailed", "r1")


def result(*done: Done, **changes: object) -> Result:
    decided = Plan((GROW,), (COMMENT,), (Unmet(("7",), "never"),))
    return Result(Observation(Fleet()), decided, tuple(done), (COMMENT,), **changes)  # type: ignore[arg-type]


def rows(found: Result, check: bool = False) -> list[dict[str, object]]:
    return report.decisions(found, explain.line, explain.unmet, check)


def test_every_decision_has_a_line_its_kind_and_what_became_of_it() -> None:
    found = rows(result(Done(GROW)))
    assert [(row["kind"], row["outcome"]) for row in found] == [
        ("grow", "sent"),
        ("comment", "planned"),
        ("unmet", "unmet"),
    ]


def test_a_refusal_is_in_its_line_with_code_and_request_id() -> None:
    (row, *_rest) = rows(result(Done(GROW, REFUSED)))
    assert row["outcome"] == "refused"
    assert "AllocationFailed" in str(row["line"])
    assert "r1" in str(row["line"])


def test_in_check_mode_the_plan_is_told_and_the_module_would_change_something() -> None:
    found = result()
    told = report.outcome(found, rows(found, check=True), check=True)
    assert told["changed"] is True
    assert [one["outcome"] for one in told["azure"]] == ["planned"]


def test_the_plan_is_what_the_scheduler_is_to_be_told() -> None:
    found = result(Done(GROW))
    told = report.outcome(found, rows(found), check=False)
    assert told["plan"] == [{"step": "comment", "job": "12", "text": "wait\n{{ x }}", "reason": ""}]
    assert json.loads(json.dumps(told)) == told


def test_nothing_decided_is_nothing_changed() -> None:
    found = Result(Observation(Fleet()), Plan())
    told = report.outcome(found, rows(found), check=False)
    assert (told["changed"], told["plan"], told["azure"], told["lines"], told["errors"]) == (False, [], [], [], [])


def test_what_was_refused_is_not_in_the_diff() -> None:
    assert report.carried_out(result(Done(GROW, REFUSED)), check=False).azure == ()
    assert report.carried_out(result(Done(GROW)), check=False).azure == (GROW,)


def test_errors_of_no_step_are_told_too() -> None:
    found = result(errors=(REFUSED,))
    assert rows(found)[-1]["kind"] == "error"
    assert report.outcome(found, rows(found), check=False)["errors"][0]["request_id"] == "r1"


def test_the_log_is_appended_one_line_per_decision(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for _pass in range(2):
        report.append(str(path), "demo", 0, rows(result(Done(GROW))))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 6
    assert lines[0]["time"] == "1970-01-01T00:00:00Z"
    assert lines[1]["step"]["text"] == COMMENT.text


def test_nothing_decided_makes_no_log(tmp_path: Path) -> None:
    report.append(str(tmp_path / "log"), "demo", 0, [])
    assert not (tmp_path / "log").exists()


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AzureError, match="no/such"):
        report.append(str(tmp_path / "no/such"), "demo", 0, rows(result()))
