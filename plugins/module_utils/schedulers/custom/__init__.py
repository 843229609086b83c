# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own scheduler: commands of its definition. What their JSON means is worked out on the controller.

On the head nothing is understood of jobs and nodes: `Custom.parse` only says whether the commands answered. The plan
that comes back was made from what they said a moment ago, and its steps become the commands of the definition.
"""

from __future__ import annotations

import json
import re
import types
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import SchedulerStep
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Refusal, Write

JOBS, NODES = "jobs", "nodes"
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
# Job ids and addresses are what the site's own commands printed: one word that is no option.
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,199}")
_NO_USE = (plan.Claim, plan.Release, plan.Wake)


class CustomError(ValueError):
    """A program of a site that does not do what it has to; the text says what."""


def program(source: str) -> types.ModuleType:
    """A site's program: functions ``queue(outputs)`` and ``commands(step)``, either or both. Raises CustomError."""
    module = types.ModuleType("custom_scheduler")
    try:
        # It is part of the cluster definition, as trusted as the playbooks beside it.
        exec(compile(source, "scheduler.python", "exec"), module.__dict__)  # noqa: S102
    except Exception as error:
        raise CustomError(f"scheduler.python cannot be loaded: {type(error).__name__}: {error}") from error
    return module


class Custom:
    """The scheduler of a definition as the modules see it; ``options`` are those of `kinds.custom`."""

    name = "custom"
    unset: tuple[str, ...] = ()

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        self._options = options
        self.environment: t.Mapping[str, str] = {}
        self.unanswered: tuple[str, ...] = tuple(options.get("unanswered", ()))
        source = options.get("python", "")
        self._program = program(source) if source else None

    def observe(self) -> tuple[Command, ...]:
        """The two lists, jobs first."""
        return tuple(
            Command(key, tuple(self._options[key]["command"]), self._options[key].get("timeout", 60))
            for key in (JOBS, NODES)
        )

    def again(self, outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
        """See `Scheduler.again`."""
        return ()

    def parse(self, outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
        """Whether the lists are there; their jobs and nodes are not looked at."""
        errors = tuple(filter(None, (self._problem(key, outputs.get(key)) for key in (JOBS, NODES))))
        commands = self._options.get("commands", {})
        return Queue(self.name, "", observed_at, errors=errors, adds_nodes="add" in commands, kicks="kick" in commands)

    def _problem(self, key: str, output: t.Optional[Output]) -> str:
        name = self._options[key]["command"][0]
        if output is None:
            return f"{name} was not run"
        if output.status != 0:
            return f"{name} failed with status {output.status}: {output.said()}"
        if self._program is not None and hasattr(self._program, "queue"):
            return ""
        try:
            json.loads(output.stdout)
        except ValueError as error:
            return f"{name} did not print JSON: {error}"
        return ""

    def check(self, steps: t.Sequence[SchedulerStep]) -> tuple[Refusal, ...]:
        """See `Scheduler.check`."""
        return tuple(Refusal(number, message) for number, step in enumerate(steps) for message in _check(step))

    def writes(self, steps: t.Sequence[SchedulerStep], queue: Queue) -> tuple[tuple[Write, ...], tuple[Refusal, ...]]:
        """The commands of every step. The plan names what differs already; nothing is compared here."""
        wanted: list[Write] = []
        refused: list[Refusal] = []
        for number, step in enumerate(steps):
            try:
                wanted += [
                    Write(Command(serial.kind(step), argv), (), (" ".join(argv),), number) for argv in self._argvs(step)
                ]
            except CustomError as error:
                refused.append(Refusal(number, str(error)))
        return tuple(wanted), tuple(refused)

    def _argvs(self, step: SchedulerStep) -> t.Iterator[tuple[str, ...]]:
        if self._program is not None and hasattr(self._program, "commands"):
            yield from _of_program(self._program, step)
            return
        names = [serial.kind(step)]
        if isinstance(step, plan.Drain) and step.requeue:
            names.append("requeue")
        for name in names:
            for values in _values(step):
                template = self._options.get("commands", {}).get(name)
                if template:
                    yield tuple(fill(word, values) for word in template)


def fill(word: str, values: t.Mapping[str, str]) -> str:
    """A word with its placeholders filled in, once: what is filled in is not looked at again."""
    return re.sub(r"\{([a-z_]+)\}", lambda match: values.get(match.group(1), match.group(0)), word)


def _of_program(module: types.ModuleType, step: SchedulerStep) -> t.Iterator[tuple[str, ...]]:
    try:
        found = module.commands(serial.dump(step))
    except Exception as error:
        raise CustomError(f"commands() of scheduler.python failed: {type(error).__name__}: {error}") from error
    for argv in found or ():
        if not isinstance(argv, (list, tuple)) or not argv or not all(isinstance(word, str) for word in argv):
            raise CustomError("commands() of scheduler.python must answer lists of texts")
        yield tuple(argv)


def _values(step: SchedulerStep) -> t.Iterator[dict[str, str]]:
    """What the placeholders of a step mean: one dictionary for each command that it takes."""
    if isinstance(step, plan.Comment):
        yield {"job": step.job, "text": plain(step.text)}
    elif isinstance(step, plan.Add):
        yield {
            "node": step.node, "hostname": step.hostname or step.node, "address": step.address, "cpus": str(step.cpus),
            "memory_mib": str(step.memory_mib), "gpus": str(step.gpus), "queues": ",".join(step.partitions),
            "labels": ",".join(f"{name}={value}" for name, value in step.labels),
        }  # fmt: skip
    elif isinstance(step, plan.Kick):
        yield {}
    elif isinstance(step, (plan.Drain, plan.Resume, plan.Remove)):
        for node in step.nodes:
            yield {"node": node, "reason": plain(step.reason)}


def is_job_id(text: str) -> bool:
    """Whether a command can take the text for a job: one word that is no option."""
    return bool(_WORD.fullmatch(text)) and text.isprintable()


def _check(step: SchedulerStep) -> t.Iterator[str]:
    if isinstance(step, _NO_USE):
        yield "is nothing that a scheduler of one's own needs"
    elif isinstance(step, plan.Comment):
        if not is_job_id(step.job):
            yield f"{step.job!r} is not a job id"
    elif isinstance(step, plan.Add):
        if not _NODE.fullmatch(step.node):
            yield f"{step.node!r} is not a node name"
        if step.address and not _WORD.fullmatch(step.address):
            yield f"{step.address!r} is not an address"
    elif not isinstance(step, plan.Kick):
        if not step.nodes:
            yield "names no node"
        for node in step.nodes:
            if not _NODE.fullmatch(node):
                yield f"{node!r} is not a node name"
