"""What a definition may say of a scheduler that the collection does not know."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, kinds

from tests.unit.plugins.module_utils.model.definitions import definition as whole

LISTS = {
    "jobs": {"command": ["q", "jobs"], "fields": {"id": "id", "state": "s"}, "states": {"w": "pending"}},
    "nodes": {"command": ["q", "nodes"], "fields": {"name": "n", "up": "u"}},
}
COMMANDS = {"drain": ["q", "off", "{node}"], "resume": ["q", "on", "{node}"], "remove": ["q", "rm", "{node}"]}


def own(**scheduler: t.Any) -> dict[str, t.Any]:
    data = whole()
    data.pop("partitions")
    data["scheduler"] = {"type": "custom", **LISTS, "commands": COMMANDS, **scheduler}
    return data


def mistakes(**scheduler: t.Any) -> dict[str, str]:
    return {found.path: found.message for found in definition.check(own(**scheduler))}


def test_a_small_definition_is_enough_and_queues_are_not_needed() -> None:
    found = definition.read(own())
    assert found.scheduler.options["jobs"]["each"] == "@"
    assert found.scheduler.options["commands"] == COMMANDS
    assert found.partitions == ()


@pytest.mark.parametrize(
    ("scheduler", "path", "words"),
    [
        ({"jobs": {**LISTS["jobs"], "command": "q jobs | grep x"}}, "scheduler.jobs.command", "no shell reads it"),
        ({"jobs": {**LISTS["jobs"], "fields": {"id": "id"}}}, "scheduler.jobs.fields.state", "is missing"),
        ({"jobs": {**LISTS["jobs"], "states": {"w": "waiting"}}}, "scheduler.jobs.states.w", "must be one of pending"),
        ({"nodes": {**LISTS["nodes"], "fields": {"name": "n", "up": "u", "cpu": "c"}}}, "scheduler.nodes.fields.cpu",
         "did you mean cpus"),
        ({"commands": {"drain": ["q"]}}, "scheduler.commands.resume", "is missing"),
        ({"commands": {**COMMANDS, "drain": ["q", "{job}"]}}, "scheduler.commands.drain[1]", "{job} means nothing"),
        ({"commands": {**COMMANDS, "drain": ["{node}"]}}, "scheduler.commands.drain[0]", "must not have placeholders"),
        ({"python": "import os\n"}, "scheduler.python", "must define queue(outputs) or commands(step)"),
        ({"role": "mini"}, "scheduler.role", "namespace.collection.role"),
        ({"join": ["mini-daemon"]}, "scheduler.join[0]", "must be a list of texts"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_path(scheduler: dict[str, t.Any], path: str, words: str) -> None:
    found = mistakes(**scheduler)
    assert words in found[path]


def test_a_program_takes_the_place_of_fields_and_commands() -> None:
    lists = {key: {"command": value["command"]} for key, value in LISTS.items()}
    source = "def queue(outputs):\n    return {}\n\n\ndef commands(step):\n    return []\n"
    assert mistakes(**lists, commands={}, python=source) == {}


def test_modules_on_the_head_say_all_mistakes_at_once() -> None:
    with pytest.raises(ValueError, match=r"custom.jobs: is missing.*custom.nodes: is missing"):
        kinds.options({"type": "custom", "commands": COMMANDS})
    assert kinds.options(None) is None
