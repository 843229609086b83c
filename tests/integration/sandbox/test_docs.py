# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of docs/sandbox.md do what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sandbox.md"


def test_every_fault_command_of_the_page_is_accepted(new_sandbox: Callable[[], Any]) -> None:
    sandbox = new_sandbox()
    sandbox.up()
    commands = re.findall(r"^\$ \./dev sandbox (fault .*)$", PAGE.read_text(), re.MULTILINE)
    # There is no machine here: that is what they have to say, and nothing about their words.
    about_machines = ("evict", "maintain", "events", "crash", "silence")
    asked = [command for command in commands if command.split()[1] in about_machines]
    assert (len(commands), len(asked)) == (25, 6)
    for command in commands:
        done = sandbox.run(*shlex.split(command), check=False)
        expected = (1, "sandbox: no machine is called 'hpc_3'\n") if command in asked else (0, "")
        assert (done.returncode, done.stderr) == expected, command


def test_every_variable_of_the_page_is_printed_and_no_other(sandbox: Any) -> None:
    table = PAGE.read_text().partition("| variable |")[2].partition("\n\n")[0]
    named = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(sandbox.env)
