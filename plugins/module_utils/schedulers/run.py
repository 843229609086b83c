# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a scheduler's commands: without a shell, with a time limit, in a fixed locale."""

from __future__ import annotations

import os
import re
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue, Unwell
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.text import plain
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, Scheduler, Write

Run = t.Callable[[Command], Output]
# What nodes said on this machine, a file for each address: the role mounts has a program that hears them.
UNWELL = Path("/var/lib/azure_hpc/unwell")
REASON_LENGTH = 400


def environment(scheduler: Scheduler, inherited: t.Mapping[str, str]) -> dict[str, str]:
    """The environment of every command: what users' variables would change is taken out, the locale is fixed."""
    kept = {key: value for key, value in inherited.items() if not key.startswith(scheduler.unset)}
    return {**kept, "LC_ALL": "C.UTF-8", **scheduler.environment}


def runner(scheduler: Scheduler) -> Run:
    """What runs the commands of a scheduler on this machine."""
    variables = environment(scheduler, os.environ)
    return lambda command: _run(command, variables)


def _run(command: Command, variables: t.Mapping[str, str]) -> Output:
    """Run one command to its end. Status -1 when it is not installed or takes longer than its time limit."""
    try:
        # AnsibleModule.run_command knows no time limit and ends the module when a command is missing.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(command.argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=command.timeout,
            env=dict(variables),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Output(-1, "", f"{command.argv[0]} did not end within {command.timeout} s")
    except OSError as error:
        return Output(-1, "", f"{command.argv[0]} cannot be run: {error.strerror}")
    return Output(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(raw: bytes) -> str:
    # Names that users chose may be in any encoding; one odd byte must not hide the whole queue.
    return raw.decode("utf-8", errors="replace")


def observe(scheduler: Scheduler, run_: t.Optional[Run] = None) -> Queue:
    """The scheduler's queue now, by this machine's clock."""
    now = int(time.time())
    return scheduler.parse(outputs(scheduler, run_), now)


def outputs(scheduler: Scheduler, run_: t.Optional[Run] = None) -> dict[str, Output]:
    """What the commands that observe the scheduler answered, by key."""
    run_ = run_ or runner(scheduler)
    found = {command.key: run_(command) for command in scheduler.observe()}
    found.update({command.key: run_(command) for command in scheduler.again(found)})
    return found


def unwell(folder: t.Optional[Path] = None) -> tuple[Unwell, ...]:
    """Why machines say that they must take no jobs, as this machine heard it from them; none where nothing is heard."""
    found = []
    try:
        files = sorted(one for one in (folder or UNWELL).iterdir() if not one.name.startswith("."))
    except FileNotFoundError:
        return ()
    for file in files:
        try:
            reason, at = said(_text(file.read_bytes())), int(file.stat().st_mtime)
        except FileNotFoundError:
            continue  # it has just said that it is well again
        found.append(Unwell(file.name, reason, at))
    return tuple(found)


def said(text: str) -> str:
    """What a machine said, in signs that every scheduler keeps as they are: else the next pass would say it again."""
    return plain(re.sub(r"[\"'`\\]", " ", text), REASON_LENGTH)


def apply(scheduler: Scheduler, writes: t.Sequence[Write], run_: Run) -> list[dict[str, t.Any]]:
    """Run all writes in order, also after one that failed. Answers one dictionary for each: argv, status, stderr.

    Where the scheduler does not answer at all it ends: a thousand commands that each wait for it would take hours.
    """
    done = []
    for write in writes:
        output = run_(write.command)
        said = output.said(1000)
        done.append({"step": write.step, "argv": list(write.command.argv), "status": output.status, "stderr": said})
        if output.status == -1 or (output.status and any(words in said for words in scheduler.unanswered)):
            break
    return done
