# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A core without a server: requests go straight to the dispatcher, machines to the driver that boots none."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from sandbox import machines
from sandbox.arm.core import Core, Settings
from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Store
from sandbox.providers import register_all

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g"


class NoMetadata:
    """Takes no metadata listeners: the record driver has none to give."""

    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        listener.close()

    def closed(self, vnet_id: str) -> None:
        pass


class Arm:
    """Sends requests to a core and waits for its operations."""

    def __init__(self, state: Path) -> None:
        self.core = Core(Settings(state, time_scale=0), Store(state / "state.db"))
        register_all(self.core)
        self.core.driver = machines.open_driver("record", state, NoMetadata())

    def send(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        """One request, below the group ``g`` unless the path begins with ``/subscriptions``."""
        path, _mark, asked = path.partition("?")
        url = path if path.startswith("/subscriptions") else f"{GROUP}{path}"
        given = {"api-version": "2025-04-01", **dict(parse_qsl(asked)), **{f"${k}": v for k, v in query.items()}}
        request = Request(self.core, method, url, {}, given, {}, "https://management.azure.com", body)
        return dispatch(self.core, request)

    def wait(self) -> None:
        """Until no operation runs."""
        for _unused in range(12_000):
            query = "SELECT count(*) FROM operations WHERE ended IS NULL"
            if not self.core.store.db().execute(query).fetchone()[0]:
                return
            time.sleep(0.01)
        raise AssertionError("an operation does not end")

    def make(self, path: str, body: Any = None) -> dict[str, Any]:
        """PUT, wait, GET."""
        answer = self.send("PUT", path, {"location": "westeurope", **(body or {})})
        assert answer.status in (200, 201, 202), answer.body
        self.wait()
        read: dict[str, Any] = self.send("GET", path).body
        return read

    def close(self) -> None:
        self.core.operations.close()
        self.core.store.close()


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[Arm]:
    made = Arm(tmp_path)
    made.make("")
    yield made
    made.close()


@pytest.fixture
def reopen(tmp_path: Path) -> Callable[[], Arm]:
    """A second core on the same state, as after a restart."""
    return lambda: Arm(tmp_path)
