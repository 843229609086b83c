# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines beside others, after a killed server, and after everything was taken down.

The tests of this file share their machines and run in the order in which they stand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from sandbox.machines import MachineError, PowerState, take_down
from sandbox.machines.names import prefix_of
from sandbox.machines.nspawn import NspawnDriver
from tests.integration.sandbox.lab import (
    BOOTED,
    HEAD,
    ONE,
    ROOT,
    TWO,
    VNET,
    Lab,
    Metadata,
    free_address,
    laboratory,
    leftovers,
    watched,
)

pytestmark = BOOTED


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    with laboratory(tmp_path_factory, HEAD, ONE) as found:
        found.out("head", "echo kept | sudo tee /etc/kept; sudo sync")
        yield found


def test_two_sandboxes_with_the_same_addresses_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    metadata = Metadata()
    with watched(tmp_path):
        driver = NspawnDriver(tmp_path, metadata)
        other = Lab(driver, metadata, tmp_path, lab.key, "", lab.vnet)
        taken = driver.reserved_public_addresses()
        assert lab.public in taken
        other.public = free_address(taken)
        try:
            other.apply()
            other.driver.create(other.spec(HEAD, "10.20.0.4", computer_name="other"))
            assert (lab.out("head", "hostname"), other.out("head", "hostname")) == ("head", "other")
            assert other.ssh("head", "getent hosts node-1").returncode == 2
            assert other.ssh("head", "timeout 3 bash -c '</dev/tcp/10.20.16.4/22'").returncode != 0
            assert other.ssh("head", f"timeout 3 bash -c '</dev/tcp/{lab.public}/22'").returncode != 0
        finally:
            driver.close()
    assert leftovers(driver.prefix, tmp_path) == []
    assert lab.out("head", "hostname") == "head"


def test_machines_outlive_a_killed_server_and_are_adopted(lab: Lab) -> None:
    """A process boots a machine and kills itself with SIGKILL; another driver finds it running."""
    spec = lab.spec(TWO, "10.20.16.6", vm_id="second")
    script = f"""
import os, signal
from pathlib import Path
from sandbox.machines import MachineSpec
from sandbox.machines.nspawn import NspawnDriver
class Metadata:
    def opened(self, vnet_id, listener): pass
    def closed(self, vnet_id): pass
NspawnDriver(Path({str(lab.state)!r}), Metadata()).create({spec!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    lab.metadata.closed(VNET)
    lab.driver = NspawnDriver(lab.state, lab.metadata)
    assert lab.driver.recover() == {HEAD: PowerState.RUNNING, ONE: PowerState.RUNNING, TWO: PowerState.RUNNING}
    assert lab.out("node-2", "curl -sf http://169.254.169.254/") == "10.20.16.6"


def test_a_network_with_machines_is_not_removed(lab: Lab) -> None:
    with pytest.raises(MachineError, match="Conflict"):
        lab.driver.remove_network(VNET)


def test_after_taking_down_nothing_is_left_and_all_comes_back(lab: Lab) -> None:
    lab.metadata.closed(VNET)
    prefix = prefix_of(lab.state)
    assert leftovers(prefix, lab.state) != []
    assert take_down(lab.state) != []
    assert leftovers(prefix, lab.state) == []
    assert take_down(lab.state) == []
    lab.driver = NspawnDriver(lab.state, lab.metadata)
    assert set(lab.driver.recover().values()) == {PowerState.STOPPED}
    lab.driver.start(HEAD)
    assert lab.out("head", "cat /etc/kept") == "kept"
    for arm_id in (HEAD, ONE, TWO):
        lab.driver.delete(arm_id)
    lab.driver.remove_network(VNET)
    assert lab.driver.machines() == {}
    lab.driver.close()
    assert leftovers(prefix, lab.state) == []
