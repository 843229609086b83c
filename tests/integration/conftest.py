# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox for integration tests: a real server in a process of its own, asked through real clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class RunningSandbox:
    """A sandbox with its state directory. ``env`` is the environment that clients need and nothing else."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of ``python -m sandbox``."""
        command = [sys.executable, "-m", "sandbox", *arguments, "--state", str(self.state)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode:
            log = self.state / "server.log"
            pytest.fail(f"{' '.join(command)}: {done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}")
        return done

    def up(self, *options: str) -> None:
        self.run("up", "--driver", "record", "--time-scale", "0", "--owner", str(os.getpid()), *options)

    def down(self) -> None:
        self.run("down", "--wipe")

    @property
    def env(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.run("env", "--json").stdout)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """``env`` on top of this process's environment, for commands."""
        return {**os.environ, **self.env}

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def requests(self) -> dict[str, int]:
        """How many requests of each kind have been answered since the server started."""
        counted: dict[str, int] = self.status()["requests"]
        return counted


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One server for the whole test session (per xdist worker): use resource groups of your own in it."""
    running = RunningSandbox(tmp_path_factory.mktemp("sandbox"))
    running.up()
    yield running
    running.down()


@pytest.fixture
def new_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RunningSandbox]]:
    """Makes servers of one's own, for tests that restart or break them."""
    made: list[RunningSandbox] = []

    def make() -> RunningSandbox:
        made.append(RunningSandbox(tmp_path_factory.mktemp("sandbox")))
        return made[-1]

    yield make
    for running in made:
        running.down()


@pytest.fixture(scope="module")
def azure_environment(sandbox: RunningSandbox) -> Iterator[dict[str, str]]:
    """Points clients in this process to the sandbox, by nothing but the environment."""
    env = sandbox.env
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        for name, value in env.items():
            patch.setenv(name, value)
        yield env
