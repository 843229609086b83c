# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of PBS's outputs: JSON with its breakages, ``qstat -fw`` and qmgr's lists, as dictionaries of texts.

Everything stays a text as PBS printed it: its JSON writer makes numbers of whatever looks like one, even of names.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

JOBS, JOBS_TEXT, NODES, SERVER, QUEUES = "jobs", "jobs_text", "nodes", "server", "queues"
SCHEDULER, DEFINITIONS = "scheduler", "definitions"
# What each output is called towards people.
COMMANDS: t.Mapping[str, str] = {
    JOBS: "qstat -f",
    JOBS_TEXT: "qstat -fw",
    NODES: "pbsnodes -av",
    SERVER: "qstat -Bf",
    QUEUES: "qstat -Qf",
    SCHEDULER: "qmgr list sched",
    DEFINITIONS: "qmgr print server",
}
NO_NODES = "Server has no node list"

Attributes = t.Mapping[str, t.Any]

# The line that begins a job, and the one that ends it, as both JSON writers of PBS indent them.
_BEGIN = re.compile(r'^(?: {8}|\t\t)"([^"\n]{1,200})":\s*\{\s*$', re.MULTILINE)
_END = re.compile(r"^(?: {8}|\t\t)\},?\s*$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    ([A-Za-z_][A-Za-z0-9_.-]*) = (.*)$")
_DEFINITION = re.compile(r"^set resource (\S+) (type|flag) = (\S+)\s*$")


class OutputError(ValueError):
    """An output that is not what the command prints; the text says which."""


def answered(outputs: t.Mapping[str, Output], key: str) -> str:
    """What the command printed. Raises OutputError when it was not run or failed: then even valid JSON means nothing.

    A server without nodes makes pbsnodes fail; that is an answer, too: an empty one.
    """
    output, what = outputs.get(key), COMMANDS[key]
    if output is None:
        raise OutputError(f"{what} was not run")
    if key == NODES and output.status == 1 and NO_NODES in output.stderr and not output.stdout.strip():
        return "{}"
    if output.status != 0:
        raise OutputError(f"{what} failed with status {output.status}: {output.said()}")
    return output.stdout


def is_json(text: str) -> bool:
    """Whether it can be read as JSON."""
    try:
        return isinstance(load(text), dict)
    except ValueError:
        return False


def load(text: str) -> t.Any:
    """JSON in which every number stays the text that it was, and control characters may stand in texts."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False)
    return decoder.decode(text)


def section(outputs: t.Mapping[str, Output], key: str, name: str) -> tuple[dict[str, Attributes], str]:
    """The things below ``name`` by their names, and the server's name. None of them: the key is missing."""
    text = answered(outputs, key)
    try:
        data = load(text)
    except ValueError as error:
        raise OutputError(f"{COMMANDS[key]} did not print JSON: {error}") from None
    if not isinstance(data, dict):
        raise OutputError(f"{COMMANDS[key]} did not print a dictionary")
    found = data.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(item, dict) for item in found.values()):
        raise OutputError(f"{COMMANDS[key]} has no dictionary {name}")
    return found, word(data.get("pbs_server"))


def jobs(outputs: t.Mapping[str, Output]) -> tuple[t.Mapping[str, Attributes], list[str], str]:
    """Jobs by id, what could not be read of single jobs, and the server's name.

    Where JSON cannot be read, the text is used; where that cannot be had either, each job of the JSON by itself.
    """
    text = answered(outputs, JOBS)
    if is_json(text):
        found, server = section(outputs, JOBS, "Jobs")
        return found, [], server
    try:
        return from_text(answered(outputs, JOBS_TEXT)), [], ""
    except OutputError as error:
        return _one_by_one(text, str(error))


def from_text(text: str) -> t.Mapping[str, Attributes]:
    """The jobs of ``qstat -fw``. Line breaks in values are printed as two characters, so lines are what PBS meant."""
    found: dict[str, dict[str, t.Any]] = {}
    current: dict[str, t.Any] = {}
    for line in text.split("\n"):
        if line.startswith("Job Id: "):
            current = found.setdefault(line[len("Job Id: ") :].strip(), {})
            continue
        match = _ATTRIBUTE.match(line)
        if match:
            name, dot, resource = match.group(1).partition(".")
            if dot:
                current.setdefault(name, {})[resource] = match.group(2)
            else:
                current.setdefault(name, match.group(2))
    return found


def _one_by_one(text: str, why: str) -> tuple[t.Mapping[str, Attributes], list[str], str]:
    """The jobs of broken JSON that can be read by themselves; the others are named."""
    begins = list(_BEGIN.finditer(text))
    if not begins:
        raise OutputError(f"{COMMANDS[JOBS]} did not print JSON, and {why}")
    found: dict[str, Attributes] = {}
    broken: list[str] = []
    for number, begin in enumerate(begins):
        limit = begins[number + 1].start() if number + 1 < len(begins) else len(text)
        ends = list(_END.finditer(text, begin.end(), limit))
        try:
            data = load("{" + text[begin.end() : ends[-1].start()] + "}") if ends else None
        except ValueError as error:
            broken.append(f"{begin.group(1)}: its JSON cannot be read: {error}")
            continue
        if isinstance(data, dict):
            found[begin.group(1)] = data
        else:
            broken.append(f"{begin.group(1)}: its JSON has no end")
    return found, broken, ""


def scheduler(text: str) -> dict[str, str]:
    """The attributes of the scheduler that ``list sched`` shows first, which is the default one."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("Sched ") and found:
            break
        match = _ATTRIBUTE.match(line)
        if match:
            found[match.group(1)] = match.group(2).strip()
    return found


def definitions(text: str) -> dict[str, tuple[str, str]]:
    """Type and flags of every custom resource that ``print server`` shows."""
    found: dict[str, dict[str, str]] = {}
    for line in text.split("\n"):
        match = _DEFINITION.match(line)
        if match:
            found.setdefault(match.group(1), {})[match.group(2)] = match.group(3)
    return {name: (item.get("type", "string"), item.get("flag", "")) for name, item in found.items()}


def word(value: t.Any) -> str:
    """A value as text; what is no single value is ''."""
    if isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def below(item: Attributes, key: str) -> dict[str, str]:
    """The texts of a dictionary below a key, such as Resource_List."""
    value = item.get(key)
    if not isinstance(value, dict):
        return {}
    return {str(name): word(inner) for name, inner in value.items()}


def truth(value: t.Any, default: bool = False) -> bool:
    """PBS's True and False, which may be written in many ways."""
    text = word(value).strip().lower()
    return default if not text else text in ("true", "t", "y", "yes", "1")
