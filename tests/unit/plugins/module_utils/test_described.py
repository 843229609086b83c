"""JSON of a site's own scheduler as a queue, by the expressions of its definition."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils import described
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Queue

JOB = {
    "id": 7,
    "s": "waiting",
    "mem": "16G",
    "when": "2026-11-20T12:40:00Z",
    "tags": ["ib", "rack=a"],
    "extra": {"disk": 5},
}
NODE = {
    "host": "a-1.internal",
    "s": "up",
    "cores": 8,
    "mem": 32768,
    "props": {"ib": True, "array": "htc", "none": None},
}
FIELDS = {
    "jobs": {"id": "to_string(id)", "state": "s", "memory_mib": "mem", "submitted_at": "when", "labels": "tags",
             "resources": "extra", "cpus": "cores", "startable": "may", "spread": "spread"},
    "nodes": {"name": "host", "up": "s == 'up'", "cpus": "cores", "memory_mib": "mem", "labels": "props", "jobs": "on",
              "free_cpus": "left", "drained": "off", "reason": "why", "idle_since": "idle"},
}  # fmt: skip


def options(**changed: t.Any) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {
        key: {
            "command": ["x"],
            "each": key,
            "fields": dict(FIELDS[key]),
            "states": {"waiting": "pending", "gone": "done"},
        }
        for key in ("jobs", "nodes")
    }
    return {**found, "commands": {}, "python": "", **changed}


def queue(jobs: t.Sequence[t.Any] = (), nodes: t.Sequence[t.Any] = (), **changed: t.Any) -> Queue:
    outputs = {"jobs": json.dumps({"jobs": list(jobs)}), "nodes": json.dumps({"nodes": list(nodes)})}
    seen = serial.dump(Queue("custom", "", 1, adds_nodes=True))
    return described.queue({**seen, "outputs": outputs}, options(**changed))


def test_a_job_is_what_its_expressions_say() -> None:
    (job,) = queue([JOB]).jobs
    assert (job.id, job.state, job.startable, job.tasks) == ("7", "pending", None, 1)
    labels = (("ib", "true"), ("rack", "a"))
    assert job.chunks == (Chunk(1, 1, 16384, resources=(("disk", 5.0),), labels=labels),)
    assert job.submitted_at == 1795178400


def test_a_node_is_what_its_expressions_say() -> None:
    (node,) = queue(nodes=[NODE]).nodes
    assert (node.name, node.up, node.cpus, node.free_cpus, node.memory_mib) == ("a-1", True, 8, 8, 32768)
    assert node.labels == (("array", "htc"), ("ib", "true"))


def test_what_is_free_of_a_busy_node_is_nothing_unless_somebody_says_so() -> None:
    busy, said = queue(nodes=[{**NODE, "on": ["7"]}, {**NODE, "host": "b", "on": 2, "left": 3}]).nodes
    assert (busy.jobs, busy.free_cpus, said.jobs, said.free_cpus) == (1, 0, 2, 3)


def test_a_reason_counts_only_while_the_node_is_drained() -> None:
    first, second = queue(nodes=[{**NODE, "off": True, "why": "x"}, {**NODE, "host": "b", "why": "x"}]).nodes
    assert (first.reason, second.reason) == ("x", "")


@pytest.mark.parametrize(("may", "startable"), [(True, 1), (False, 0), (5, 5), (None, None)])
def test_startable_is_a_number_or_yes_or_no(may: t.Any, startable: int | None) -> None:
    assert queue([{**JOB, "may": may}]).jobs[0].startable == startable


def test_jobs_that_are_over_are_left_out() -> None:
    assert queue([{**JOB, "s": "gone"}]).jobs == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"s": "odd"}, "job 7: state 'odd' is not in scheduler.jobs.states"),
        ({"mem": [1]}, "job 7: memory_mib must be a number"),
        ({"when": "yesterday"}, "job 7: submitted_at must be a time such as"),
        ({"spread": "wide"}, "job 7: spread 'wide' is none of"),
        ({"tags": 5}, "job 7: labels must be a dictionary or a list"),
        ({"id": ""}, "it has no id"),
        ({"id": "-rf"}, "job -rf: no command can take its id"),
        ({"id": "7\x1b[31m\r\n8"}, "job 7 [31m 8: no command can take its id"),
    ],
)
def test_a_job_that_does_not_fit_is_named_and_the_others_are_kept(changes: dict[str, t.Any], words: str) -> None:
    found = queue([{**JOB, **changes}, {**JOB, "id": 8}])
    assert [job.id for job in found.jobs] == ["8"]
    assert len(found.skipped) == 1
    assert words in found.skipped[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"s": "up", "off": "yes"}, "drained must be true or false: compare it with something"),
        ({"host": None}, "it has no name"),
        ({"cores": "many"}, "cpus must be a number"),
    ],
)
def test_a_node_that_does_not_fit_makes_the_whole_observation_incomplete(changes: dict[str, t.Any], words: str) -> None:
    found = queue([JOB], [{**NODE, **changes}])
    assert found.jobs == ()
    assert words in found.errors[0]


def test_a_list_that_is_not_there_is_an_error_and_no_empty_queue() -> None:
    wrong = {**options()["jobs"], "each": "nosuch"}
    seen = {**serial.dump(Queue("custom", "", 1)), "outputs": {"jobs": "{}", "nodes": '{"nodes": []}'}}
    assert "there is no nosuch" in described.queue(seen, {**options(), "jobs": wrong}).errors[0]
    assert "there is no jobs" in described.queue(seen, options()).errors[0]


def test_an_expression_that_is_none_is_named_with_its_place() -> None:
    wrong = {**options()["jobs"], "fields": {**FIELDS["jobs"], "state": "s ="}}
    seen = {**serial.dump(Queue("custom", "", 1)), "outputs": {"jobs": '{"jobs": []}', "nodes": '{"nodes": []}'}}
    assert described.queue(seen, {**options(), "jobs": wrong}).errors[0].startswith("scheduler.jobs: ")


def test_what_the_head_could_not_read_stays_an_error() -> None:
    seen = serial.dump(Queue("custom", "", 1, errors=("x failed",)))
    assert described.queue(seen, options()).errors == ("x failed",)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("def queue(outputs):\n    return outputs['nosuch']\n", "queue() of scheduler.python failed: KeyError"),
        ("def queue(outputs):\n    return []\n", "must answer a dictionary"),
        ("def queue(outputs):\n    return {'jobs': [{'id': 1}]}\n", "queue.jobs[0]"),
        ("def queue(:\n", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_program_that_fails_says_where(program: str, words: str) -> None:
    found = queue([JOB], python=program)
    assert found.jobs == ()
    assert words in found.errors[0]
