# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox, and clients that know of it only what ``sandbox env`` prints."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import install
from tests.integration.conftest import RunningSandbox

LOCATION = "westeurope"
PATIENCE = 300


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One server for the whole session: use resource groups of your own in it."""
    running = RunningSandbox(tmp_path_factory.mktemp("sandbox"))
    running.up()
    yield running
    running.down()


def client_environment(sandbox: RunningSandbox, name: str, home: Path) -> dict[str, str]:
    """An environment with the client's programs, a home of its own, and what ``sandbox env`` prints."""
    if not install.installed(name):
        pytest.skip(f"{name} is not installed; ./dev clients does it")
    path = os.pathsep.join([str(install.home(name) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **sandbox.env}


class Az:
    """The command line. Called with the words of a command it answers what the command prints."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self.environment = {**environment, "AZURE_CONFIG_DIR": str(directory / ".azure")}
        self.directory = directory

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["az", *words, "--output", "json"],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def __call__(self, *words: str) -> Any:
        done = self.run(*words)
        assert done.returncode == 0, f"az {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *words: str) -> str:
        """What the command says when it fails."""
        done = self.run(*words)
        assert done.returncode != 0, f"az {' '.join(words)}: {done.stdout}"
        return done.stderr


@pytest.fixture(scope="session")
def az(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Az:
    """Signed in, with a key pair ``key`` in its directory."""
    directory = tmp_path_factory.mktemp("az")
    made = Az(client_environment(sandbox, "az", directory), directory)
    env = sandbox.env
    secret = ("--username", env["AZURE_CLIENT_ID"], "--password", env["AZURE_SECRET"], "--tenant", env["AZURE_TENANT"])
    accounts = made("login", "--service-principal", *secret)
    assert [account["id"] for account in accounts] == [env["AZURE_SUBSCRIPTION_ID"]]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")], check=True)
    return made


@pytest.fixture(scope="module")
def group(az: Az) -> str:
    """A resource group of the module's own."""
    name = f"rg-{uuid.uuid4().hex[:8]}"
    assert az("group", "create", "--name", name, "--location", LOCATION)["location"] == LOCATION
    return name
