# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox with a clock of its own: Azure's latencies and days, in seconds."""

from __future__ import annotations

import os
import signal
import typing as t
from collections.abc import Callable

import pytest

from tests.integration.sandbox.simulation import NEW_YEAR, Simulation

DAY = 86400
LATENCY = (60, 120)
"""Seconds that Azure takes for a virtual machine."""


@pytest.fixture
def simulate(new_sandbox: Callable[[], t.Any]) -> Callable[..., Simulation]:
    return lambda *options: Simulation(new_sandbox(), *options)


def test_machines_take_their_time_and_the_clock_gives_it(simulate: Callable[..., Simulation]) -> None:
    simulation = simulate()
    path = simulation.scale_set(3)
    begun = simulation.now()
    simulation.advance(LATENCY[0] - 1)
    assert simulation.states(path) == ["Creating"] * 3
    simulation.advance(LATENCY[1] - LATENCY[0] + 1)
    assert simulation.states(path) == ["Succeeded"] * 3
    assert simulation.now() == begun + LATENCY[1]
    (row, *_others) = simulation.caller.send("GET", f"{path}/virtualMachines").json()["value"]
    assert row["properties"]["timeCreated"].startswith("2026-01-01T00:01:0")
    assert simulation.caller.send("GET", path).headers["Date"] == "Thu, 01 Jan 2026 00:03:00 GMT"


def test_tokens_do_not_outlive_the_virtual_day(simulate: Callable[..., Simulation]) -> None:
    simulation = simulate()
    assert simulation.caller.send("GET", "").status_code == 200
    simulation.advance(DAY)
    assert simulation.caller.send("GET", "").json()["error"]["code"] == "ExpiredAuthenticationToken"
    simulation.caller.sign_in()
    assert simulation.caller.send("GET", "").status_code == 200


def test_a_day_of_passes_takes_seconds(simulate: Callable[..., Simulation]) -> None:
    """Every minute a look; every hour a growth, every hour a shrinking: 48 of them, each at its time."""
    simulation = simulate()
    path = simulation.scale_set(0)
    simulation.advance(600)
    began, changes = simulation.now(), 0
    for minute in range(24 * 60):
        if minute % (12 * 60) == 0:
            simulation.caller.sign_in()
        if minute % 30 == 0:
            capacity = 5 if minute % 60 == 0 else 0
            assert simulation.caller.send("PATCH", path, {"sku": {"capacity": capacity}}).status_code == 200
        simulation.advance(60)
        if minute % 30 == 10:
            assert simulation.states(path) == ["Succeeded"] * (5 if minute % 60 == 10 else 0)
            changes += 1
    assert changes == 48
    assert simulation.now() == began + DAY


def test_the_clock_survives_a_kill(simulate: Callable[..., Simulation]) -> None:
    simulation = simulate()
    path = simulation.scale_set(1)
    simulation.advance(30)
    before = simulation.clock("")
    os.kill(simulation.sandbox.status()["pid"], signal.SIGKILL)
    simulation.sandbox.run("up")
    after = simulation.clock("")
    assert after == before
    simulation.advance(120)
    assert simulation.states(path) == ["Succeeded"]


def test_an_unmodified_client_leaps_over_what_it_would_wait_for(
    simulate: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity import EnvironmentCredential
    from azure.mgmt.storagecache import StorageCacheManagementClient

    simulation = simulate("--leap")
    subnet, begun = simulation.network(), simulation.now()
    for name, value in simulation.sandbox.env.items():
        monkeypatch.setenv(name, value)
    group = simulation.caller.group.rsplit("/", 1)[1]
    client = StorageCacheManagementClient(EnvironmentCredential(), os.environ["AZURE_SUBSCRIPTION_ID"])
    body = {
        "location": "westeurope",
        "sku": {"name": "AMLFS-Durable-Premium-250"},
        "zones": ["1"],
        "properties": {
            "storageCapacityTiB": 8,
            "filesystemSubnet": subnet,
            "maintenanceWindow": {"dayOfWeek": "Friday", "timeOfDayUTC": "22:00"},
        },
    }
    made = client.aml_filesystems.begin_create_or_update(group, "fs", body).result()
    assert made.properties.provisioning_state == "Succeeded"
    assert 10 * 60 <= simulation.now() - begun <= 17 * 60 + 60


def test_the_command_line_tells_and_sets_the_time(new_sandbox: Callable[[], t.Any]) -> None:
    sandbox = new_sandbox()
    sandbox.up()
    assert "(the host's time)" in sandbox.run("clock").stdout
    refused = sandbox.run("clock", "advance", "60", check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        "sandbox: only a virtual clock can be advanced, and only ahead\n",
    )
    assert sandbox.run("clock", "stop", "--at", NEW_YEAR).stdout.startswith("2026-01-01T00:00:00.000000Z (virtual, st")
    assert sandbox.run("clock", "advance", "90").stdout.startswith("2026-01-01T00:01:30.0")
    assert "(virtual, 60 times as fast)" in sandbox.run("clock", "run", "60").stdout
    assert "(the host's time)" in sandbox.run("clock", "real").stdout
