"""A site's own scheduler on the head: its commands, filled in."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output, scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.custom import fill
from hypothesis import given
from hypothesis import strategies as st

EVIL = "{node} $(reboot) {{ lookup('pipe','id') }} \"q\" {text}"
COMMANDS = {
    "add": ["q", "add", "{node}", "{cpus}/{memory_mib}", "{queues}", "{labels}"],
    "drain": ["q", "off", "{node}", "why={reason}"],
    "resume": ["q", "on", "{node}"],
    "remove": ["q", "rm", "{node}"],
    "requeue": ["q", "lost", "{node}"],
    "comment": ["q", "note", "{job}", "{text}"],
    "kick": ["q", "go"],
}


def own(**changed: t.Any) -> t.Any:
    lists = {key: {"command": ["q", key], "timeout": 5} for key in ("jobs", "nodes")}
    return scheduler("custom", {**lists, "commands": COMMANDS, "python": "", "unanswered": ["no daemon"], **changed})


def run(step: plan.SchedulerStep, **changed: t.Any) -> list[tuple[str, ...]]:
    kind = own(**changed)
    assert kind.check([step]) == ()
    writes, refused = kind.writes([step], Queue("custom", "", 1))
    assert refused == ()
    return [write.command.argv for write in writes]


def test_it_is_observed_with_the_commands_of_the_definition() -> None:
    assert [(one.key, one.argv, one.timeout) for one in own().observe()] == [
        ("jobs", ("q", "jobs"), 5), ("nodes", ("q", "nodes"), 5),
    ]  # fmt: skip
    assert own().unanswered == ("no daemon",)


def test_each_step_becomes_its_command_for_each_node() -> None:
    add = plan.Add("a-1", "a-1", "10.0.0.4", 4, 1024, 0, "", labels=(("ib", "true"),), partitions=("x", "y"))
    assert run(add) == [("q", "add", "a-1", "4/1024", "x,y", "ib=true")]
    assert run(plan.Drain(("a-1", "a-2"), "azure_hpc: idle")) == [
        ("q", "off", "a-1", "why=azure_hpc: idle"), ("q", "off", "a-2", "why=azure_hpc: idle"),
    ]  # fmt: skip
    assert run(plan.Drain(("a-1",), "azure_hpc: gone", requeue=True))[1:] == [("q", "lost", "a-1")]
    assert run(plan.Resume(("a-1",), "")) == [("q", "on", "a-1")]
    assert run(plan.Remove(("a-1",), "")) == [("q", "rm", "a-1")]
    assert run(plan.Kick("")) == [("q", "go")]


def test_text_of_users_is_one_word_and_is_not_looked_at_again() -> None:
    assert run(plan.Comment("7", EVIL)) == [("q", "note", "7", EVIL)]


@given(st.text(max_size=50), st.text(max_size=50))
def test_filling_in_happens_once(job: str, text: str) -> None:
    assert fill("{job}|{text}", {"job": job, "text": text}) == f"{job}|{text}"


def test_a_step_without_a_command_is_nothing_to_do() -> None:
    few = {key: COMMANDS[key] for key in ("drain", "resume", "remove")}
    assert run(plan.Comment("7", "x"), commands=few) == []
    assert run(plan.Kick(""), commands=few) == []
    kind = own(commands=few)
    answers = {key: Output(0, "{}") for key in ("jobs", "nodes")}
    assert not kind.parse(answers, 1).adds_nodes
    assert own().parse(answers, 1).adds_nodes


@pytest.mark.parametrize(
    ("output", "words"),
    [(Output(3, "", "no daemon"), "failed with status 3: no daemon"), (Output(0, "oops"), "did not print JSON")],
)
def test_a_list_that_did_not_come_is_an_error(output: Output, words: str) -> None:
    found = own().parse({"jobs": Output(0, "{}"), "nodes": output}, 1)
    assert len(found.errors) == 1
    assert words in found.errors[0]


def test_a_program_says_which_commands_to_run() -> None:
    source = "def commands(step):\n    return [['x', step['step'], *step.get('nodes', [])]]\n"
    assert run(plan.Resume(("a-1", "a-2"), ""), python=source) == [("x", "resume", "a-1", "a-2")]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def commands(step):\n    return ['rm -rf /']\n", "must answer lists of texts"),
        ("def commands(step):\n    return step['nosuch']\n", "failed: KeyError"),
    ],
)
def test_a_program_that_fails_keeps_no_other_step_from_being_carried_out(source: str, words: str) -> None:
    writes, refused = own(python=source).writes([plan.Resume(("a-1",), "")], Queue("custom", "", 1))
    assert writes == ()
    assert words in refused[0].message


@pytest.mark.parametrize(
    "step",
    [
        plan.Claim("a", "/subscriptions/x", "10.0.0.1", "a", ""),
        plan.Wake(("a-1",), ""),
        plan.Drain((), "x"),
        plan.Resume(("-rf",), ""),
        plan.Remove(("a b",), ""),
        plan.Comment("-x", "text"),
        plan.Comment("7 8", "text"),
        plan.Add("a/b", "a", "10.0.0.1", 1, 1, 0, ""),
        plan.Add("a", "a", "10.0.0.1 x", 1, 1, 0, ""),
    ],
)
def test_values_that_could_be_options_or_more_than_one_word_are_refused(step: plan.SchedulerStep) -> None:
    assert own().check([step])


def test_without_options_there_is_no_such_scheduler() -> None:
    with pytest.raises(ValueError, match="unknown scheduler custom"):
        scheduler("custom")
