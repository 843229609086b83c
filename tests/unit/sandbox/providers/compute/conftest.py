# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A core with its providers and no server: requests go in as values. Only the machines are faked."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.arm.core import Core, Settings
from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Store
from sandbox.machines import MachineError, MachineSpec
from sandbox.machines.record import RecordDriver
from sandbox.providers import register_all

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
PROVIDERS = f"{GROUP}/providers"
KEY = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA someone"}
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}


class Listener:
    """Nobody asks for metadata here."""

    def opened(self, vnet_id: str, listener: t.Any) -> None:
        listener.close()

    def closed(self, vnet_id: str) -> None:
        pass


class Driver(RecordDriver):
    """Machines on paper whose boots and deletions can be held back, or fail."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, Listener())
        self.gate = threading.Event()
        self.gate.set()
        self.failing: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.created: list[MachineSpec] = []

    def _wait(self) -> None:
        if not self.gate.wait(60):
            raise TimeoutError("the test never opened the gate")

    def create(self, spec: MachineSpec) -> None:
        self._wait()
        code = self.failing.get(spec.computer_name)
        if code:
            raise MachineError(code, "it did not answer")
        super().create(spec)
        self.created.append(spec)

    def delete(self, arm_id: str) -> None:
        self._wait()
        if arm_id in self.stuck:
            raise MachineError("Conflict", "it does not go away")
        super().delete(arm_id)


class Cloud:
    """Requests without HTTP."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.open()
        self.ok("PUT", GROUP, {"location": "westeurope"})
        subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/20"}}]
        vnet = {"addressSpace": {"addressPrefixes": ["10.0.0.0/20"]}, "subnets": subnets}
        self.ok(
            "PUT", f"{PROVIDERS}/Microsoft.Network/virtualNetworks/v", {"location": "westeurope", "properties": vnet}
        )
        self.subnet = f"{PROVIDERS}/Microsoft.Network/virtualNetworks/v/subnets/s"
        self.settle()

    def open(self) -> None:
        """What a start of the server does."""
        self.core = Core(Settings(self._path, 0.0, "nspawn"), Store(self._path / "state.db"))
        register_all(self.core)
        self.driver = Driver(self._path)
        self.core.driver = self.driver

    def send(self, method: str, path: str, body: t.Any = None, **headers: str) -> Answer:
        path, _unused, query = path.partition("?")
        pairs = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        everything = {"api-version": "2024-07-01", **pairs}
        return dispatch(
            self.core, Request(self.core, method, path, {}, everything, given, "https://management.azure.com", body)
        )

    def ok(self, method: str, path: str, body: t.Any = None) -> t.Any:
        answer = self.send(method, path, body)
        assert answer.status < 300, answer.body
        return answer.body

    def begin(self, method: str, path: str, body: t.Any = None) -> str:
        """Begin an operation; answers its status path."""
        answer = self.send(method, path, body)
        assert answer.status < 300, answer.body
        headers = {key.lower(): value for key, value in answer.headers.items()}
        return headers["azure-asyncoperation"].removeprefix("https://management.azure.com").split("?")[0]

    def end(self, operation: str) -> dict[str, t.Any]:
        """The status of an operation when it has ended."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status: dict[str, t.Any] = self.ok("GET", operation)
            if status["status"] != "InProgress":
                return status
            time.sleep(0.005)
        raise AssertionError(f"{operation} did not end")

    def run(self, method: str, path: str, body: t.Any = None) -> dict[str, t.Any]:
        return self.end(self.begin(method, path, body))

    def settle(self) -> None:
        """Wait until no operation runs."""
        deadline = time.monotonic() + 120
        query = "SELECT count(*) FROM operations WHERE ended IS NULL"
        while time.monotonic() < deadline:
            if not self.core.store.db().execute(query).fetchone()[0]:
                return
            time.sleep(0.005)
        raise AssertionError("operations did not end")

    def scale_set(self, name: str, capacity: int = 0, **changes: t.Any) -> str:
        """Make a scale set; answers its path."""
        address = {"name": "ip", "properties": {"subnet": {"id": self.subnet}}}
        profile: dict[str, t.Any] = {
            "osProfile": {
                "computerNamePrefix": f"{name}-",
                "adminUsername": "azureuser",
                "customData": "I2Nsb3VkLWNvbmZpZwo=",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}},
            },
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {
                "networkInterfaceConfigurations": [{"name": "nic", "properties": {"ipConfigurations": [address]}}]
            },
            **changes.pop("profile", {}),
        }
        properties = {"upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": profile, **changes}
        sku = {"name": "Standard_D2s_v5", "capacity": capacity}
        path = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/{name}"
        assert (
            self.run("PUT", path, {"location": "westeurope", "sku": sku, "properties": properties})["status"]
            == "Succeeded"
        )
        return path

    def states(self, scale_set: str) -> dict[str, str]:
        rows = self.ok("GET", f"{scale_set}/virtualMachines")["value"]
        return {row["instanceId"]: row["properties"]["provisioningState"] for row in rows}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    made.driver.gate.set()
    made.core.operations.close()
