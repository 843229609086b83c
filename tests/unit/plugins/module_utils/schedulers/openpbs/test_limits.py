"""Limits of the server and its queues: what may start now, and why the rest may not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.openpbs.asking import Definitions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.openpbs.limits import (
    Ask,
    Rules,
    Verdict,
    entries,
)

OPEN = {"queue_type": "Execution", "started": "True"}
LICENCE = Definitions({"lic": ("long", "q"), "scratch": ("size", "q")})


def rules(server: dict[str, t.Any] | None = None, **queue: t.Any) -> Rules:
    return Rules(server or {}, {"workq": {**OPEN, **queue}, "other": OPEN}, LICENCE)


def ask(user: str = "alice", tasks: int = 1, running: int = 0, **fields: t.Any) -> Ask:
    return Ask(
        **{"queue": "workq", "user": user, "group": "staff", "project": "p", **fields}, tasks=tasks, running=running
    )


def test_without_limits_everything_may_start() -> None:
    assert rules().judge(ask(tasks=100_000)) == Verdict(100_000)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("[u:PBS_GENERIC=3]", "the server allows user alice 3 running jobs"),
        ("[u:alice=3],[u:PBS_GENERIC=1]", "the server allows user alice 3 running jobs"),
        ("[g:staff=3]", "the server allows group staff 3 running jobs"),
        ("[p:p=3]", "the server allows project p 3 running jobs"),
        ("[o:PBS_ALL=3]", "the server allows all jobs 3 running jobs"),
    ],
)
def test_max_run_counts_what_runs_of_whoever_it_names(limit: str, words: str) -> None:
    found = rules({"max_run": limit})
    found.note_running(ask(running=1))
    assert found.judge(ask(tasks=5)) == Verdict(2, words)
    assert found.judge(ask(tasks=1)).startable == 0, "what was allowed counts for the next job"


def test_limits_of_one_user_do_not_hold_for_another() -> None:
    found = rules(max_run="[u:alice=1]")
    assert found.judge(ask(tasks=5)) == Verdict(1, "queue workq allows user alice 1 running jobs")
    assert found.judge(ask("bob", tasks=5)) == Verdict(5)
    assert found.judge(ask(tasks=5, queue="other")) == Verdict(5)


def test_the_narrowest_of_server_and_queue_holds() -> None:
    found = rules({"max_run": "[o:PBS_ALL=8]"}, max_run="[u:PBS_GENERIC=2]")
    assert found.judge(ask(tasks=5)).startable == 2
    assert found.judge(ask("bob", tasks=9)).startable == 2


def test_max_run_res_counts_amounts() -> None:
    found = rules({"max_run_res": {"ncpus": "[u:PBS_GENERIC=10]", "mem": "[o:PBS_ALL=64gb]"}})
    found.note_running(ask(running=2, resources={"ncpus": 2.0}))
    verdict = found.judge(ask(tasks=9, resources={"ncpus": 4.0, "mem": 1024.0}))
    assert verdict == Verdict(1, "the server allows user alice 10 ncpus")
    assert found.judge(ask("bob", tasks=99, resources={"mem": 32 * 1024.0})).startable == 1


@pytest.mark.parametrize(
    "old",
    [{"max_running": "2"}, {"max_user_run": "2"}, {"max_group_run": "2"}, {"max_user_res": {"ncpus": "8"}},
     {"max_group_res": {"ncpus": "8"}}],
)  # fmt: skip
def test_limits_in_the_old_words_hold_too(old: dict[str, t.Any]) -> None:
    assert rules(old).judge(ask(tasks=5, resources={"ncpus": 4.0})).startable == 2


def test_licences_go_to_the_first_jobs_and_machines_do_not_bring_more() -> None:
    found = rules({"resources_available": {"lic": "5"}, "resources_assigned": {"lic": "1"}})
    assert found.judge(ask(resources={"lic": 3.0})) == Verdict(1)
    assert found.judge(ask("bob", resources={"lic": 2.0})) == Verdict(0, "the server has 5 lic, 1 of them free")
    assert found.judge(ask("eve", tasks=7, resources={"ncpus": 1.0})) == Verdict(7)


def test_a_queue_has_amounts_of_its_own() -> None:
    found = rules(resources_available={"ncpus": "8"}, resources_assigned={"ncpus": "4"})
    assert found.judge(ask(tasks=9, resources={"ncpus": 2.0})).startable == 2


def test_of_an_array_only_so_many_tasks_run_at_once() -> None:
    found = rules()
    assert found.judge(ask(tasks=10, running=2, most=3)) == Verdict(1, "at most 3 tasks of the array run at once")
    assert found.judge(ask(tasks=10, running=5, most=3)).startable == 0


@pytest.mark.parametrize(
    ("attributes", "queue", "words"),
    [
        ({}, "nosuch", "queue nosuch is not known"),
        ({"started": "False"}, "workq", "queue workq is stopped"),
        ({"queue_type": "Route"}, "workq", "it waits in the routing queue workq"),
    ],
)
def test_jobs_that_no_machine_would_start(attributes: dict[str, str], queue: str, words: str) -> None:
    assert rules(None, **attributes).judge(ask(queue=queue)) == Verdict(0, words)


def test_scheduling_switched_off_and_reservations_are_no_demand() -> None:
    assert rules({"scheduling": "False"}).judge(ask()) == Verdict(0, "scheduling is switched off")
    found = Rules({}, {"R12": OPEN}, LICENCE).judge(ask(queue="R12"))
    assert found == Verdict(0, "it runs on the nodes of reservation R12")


def test_limits_that_cannot_be_read_are_as_if_they_were_not_there() -> None:
    assert rules({"max_run": "[u:alice=many],[x:y=1]"}).judge(ask(tasks=3)) == Verdict(3)
    assert rules({"resources_available": {"arch": "linux"}}).judge(ask(tasks=3)) == Verdict(3)


def test_entries_of_a_limit() -> None:
    text = '[u:PBS_GENERIC=2],[g:"big team"=8], [o:PBS_ALL=100]'
    assert entries(text) == [("u", "PBS_GENERIC", "2"), ("g", "big team", "8"), ("o", "PBS_ALL", "100")]
