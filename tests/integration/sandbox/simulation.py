# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox with realistic latencies whose clock stands, for tests in which time matters."""

from __future__ import annotations

import contextlib
import io
import json
import os
import typing as t

from sandbox import cli
from sandbox.state import StateDirectory
from tests.integration.sandbox.test_bad_days import Caller

NEW_YEAR = "2026-01-01T00:00:00Z"
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
KEY = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA someone"}


class Simulation:
    """A sandbox with realistic latencies whose clock stands at the beginning of 2026, and a client of it."""

    def __init__(self, sandbox: t.Any, *options: str) -> None:
        self.sandbox = sandbox
        self._state = StateDirectory(sandbox.state)
        if not self._state.running():
            sandbox.run("up", "--driver", "record", "--time-scale", "1", "--owner", str(os.getpid()))
            sandbox.run("clock", "stop", "--at", NEW_YEAR, *options)
        self.caller = Caller(sandbox)

    def clock(self, do: str, **given: t.Any) -> dict[str, t.Any]:
        found: dict[str, t.Any] = cli.ask(self._state, "clock", {"do": do, **given} if do else None, timeout=600)
        return found

    def now(self) -> float:
        return float(self.clock("")["now"])

    def advance(self, seconds: float) -> None:
        self.clock("advance", seconds=seconds)

    def network(self) -> str:
        """A network; answers the id of its subnet."""
        subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
        properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
        path = "/providers/Microsoft.Network/virtualNetworks/v"
        assert self.caller.send("PUT", path, {"location": "westeurope", "properties": properties}).status_code == 201
        self.advance(60)
        return f"{self.caller.group.removeprefix('https://management.azure.com')}{path}/subnets/s"

    def scale_set(self, capacity: int, **profile: t.Any) -> str:
        """A scale set, before anything of it is done; answers its path. ``profile`` is more of its machines' model."""
        ip = {"name": "ip", "properties": {"subnet": {"id": self.network()}}}
        nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [ip]}}
        login = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}}
        model = {
            "osProfile": {"computerNamePrefix": "n", "adminUsername": "azureuser", "linuxConfiguration": login},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {"networkInterfaceConfigurations": [nic]},
            **profile,
        }
        properties = {"upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": model, "overprovision": False}
        sku = {"name": "Standard_D2s_v5", "capacity": capacity}
        path = "/providers/Microsoft.Compute/virtualMachineScaleSets/n"
        body = {"location": "westeurope", "sku": sku, "properties": properties}
        assert self.caller.send("PUT", path, body).status_code == 201
        return path

    def states(self, path: str) -> list[str]:
        rows = self.caller.send("GET", f"{path}/virtualMachines").json()["value"]
        return [row["properties"]["provisioningState"] for row in rows]

    def fault(self, *arguments: str) -> str:
        """A command ``sandbox fault``, in this process because there are many."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert cli.main(["--state", str(self.sandbox.state), "fault", *arguments]) == 0
        return printed.getvalue()

    def events(self, name: str) -> list[dict[str, t.Any]]:
        """The Scheduled Events that a machine sees."""
        found: list[dict[str, t.Any]] = json.loads(self.fault("events", name))["Events"]
        return found

    def view(self, path: str, number: str = "0") -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.caller.send("GET", f"{path}/virtualMachines/{number}/instanceView").json()
        return found

    def power(self, path: str, number: str = "0") -> str:
        """The power state that Azure shows of an instance; empty if there is none."""
        codes = [status["code"] for status in self.view(path, number).get("statuses", [])]
        return next((code.removeprefix("PowerState/") for code in codes if code.startswith("PowerState/")), "")
