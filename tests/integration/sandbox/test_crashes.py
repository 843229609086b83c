# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``kill -9`` at any moment: what was answered is there afterwards, and nothing is torn."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[3]
API = "2024-07-01"
ROUNDS = 2
WRITERS = 4


def test_a_kill_before_any_single_write_loses_and_tears_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.sandbox.crash_points", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == {}
    assert found["moments"] > 50


class Writer(threading.Thread):
    """Creates, tags and deletes security groups of its own as fast as it is answered, until nobody answers.

    ``known`` is what the answers said: the tag of each, None for what was deleted. ``open`` is the name that the last
    request was about, if it was not answered.
    """

    def __init__(self, sandbox: t.Any, token: str, number: int) -> None:
        super().__init__(daemon=True)
        env = sandbox.env
        self.group = f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/g"
        self.known: dict[str, str | None] = {}
        self.open = ""
        self._number = number
        self._http = requests.Session()
        self._http.trust_env, self._http.verify = False, env["REQUESTS_CA_BUNDLE"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._base = f"https://localhost:{json.loads((sandbox.state / 'server.json').read_text())['tls_port']}"

    def send(self, method: str, path: str, body: t.Any = None) -> requests.Response:
        return self._http.request(method, f"{self._base}{path}?api-version={API}", json=body, timeout=20)

    def path(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.Network/networkSecurityGroups/{name}"

    def run(self) -> None:
        try:
            for step in range(100_000):
                self.open = f"w{self._number}-{step % 7}"
                if step % 5 == 4:
                    answer = self.send("DELETE", self.path(self.open))
                    wanted = None
                else:
                    wanted = str(step)
                    answer = self.send("PUT", self.path(self.open), {"location": "westeurope", "tags": {"t": wanted}})
                assert answer.status_code < 300 or answer.status_code in (409, 429), answer.text
                if answer.status_code < 300:
                    self.known[self.open] = wanted
        except requests.RequestException:
            return


def kill_under_load(sandbox: t.Any, seconds: float) -> list[Writer]:
    """Let writers write, and kill the server after so many seconds."""
    token = sandbox.run("token").stdout.strip()
    writers = [Writer(sandbox, token, number) for number in range(WRITERS)]
    assert writers[0].send("PUT", writers[0].group, {"location": "westeurope"}).status_code in (200, 201)
    for writer in writers:
        writer.start()
    time.sleep(seconds)
    os.kill(sandbox.status()["pid"], signal.SIGKILL)
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
    return writers


def read(writer: Writer, name: str) -> dict[str, t.Any] | None:
    """What there is of a security group when nothing happens to it any more."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        answer = writer.send("GET", writer.path(name))
        if answer.status_code == 404:
            return None
        found: dict[str, t.Any] = answer.json()
        if found["properties"]["provisioningState"] in ("Succeeded", "Failed"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} is still {found['properties']['provisioningState']}")


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_server_that_is_killed_under_load_has_kept_what_it_answered(
    new_sandbox: Callable[[], t.Any], seed: int
) -> None:
    sandbox = new_sandbox()
    sandbox.up()
    writers = kill_under_load(sandbox, random.Random(seed).uniform(0.1, 1.0))
    sandbox.up()
    assert sum(len(writer.known) for writer in writers) > 0
    for writer in writers:
        for name, tag in writer.known.items():
            if name == writer.open:
                continue
            found = read(writer, name)
            assert (found is None) == (tag is None), f"{name}: acknowledged {tag}, found {found}"
            if found is not None:
                assert (found["tags"]["t"], found["properties"]["provisioningState"]) == (tag, "Succeeded")
    assert sandbox.status()["operations_running"] == 0
