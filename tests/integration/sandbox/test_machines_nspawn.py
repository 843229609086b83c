# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines: boots Linux, logs in, and looks at what a machine of a virtual network may and may not do.

The tests of this file share three machines and run in the order in which they stand. Needs root, systemd-nspawn and a
Debian mirror for the base image.
"""

from __future__ import annotations

import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.machines import OUTPUT_BYTES, Command, MachineError, PowerState, SecurityRule
from tests.integration.sandbox.lab import BOOTED, HEAD, ONE, SPARE, TWO, Lab, laboratory

pytestmark = BOOTED
IMAGE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/demo-node"
CLONE = "/subscriptions/s/vm/clone"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    with laboratory(tmp_path_factory, HEAD, ONE, TWO) as found:
        yield found


def test_the_administrator_logs_in_and_is_root_without_a_password(lab: Lab) -> None:
    for name in ("head", "node-1", "node-2"):
        assert lab.out(name, "id -un; hostname; sudo -n id -un").splitlines() == ["azureuser", name, "root"]


def test_a_machine_comes_up_whole(lab: Lab) -> None:
    assert lab.out("node-1", "cloud-init status --wait") == "status: done"
    assert lab.out("node-1", "systemctl is-system-running --wait") == "running"
    assert lab.out("node-1", "stat -f -c %T /sys/fs/cgroup") == "cgroup2fs"


def test_custom_data_is_cloud_inits_user_data(lab: Lab) -> None:
    assert lab.out("node-1", "cat /etc/mine") == "hello"
    assert lab.out("node-2", "cloud-init status --wait >/dev/null; cat /etc/mine") == "script"


def test_machines_share_neither_host_keys_nor_machine_id(lab: Lab) -> None:
    seen = [lab.out(name, "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id") for name in ("node-1", "node-2")]
    assert len(set(seen)) == 2


def test_names_of_the_network_resolve_and_no_others(lab: Lab) -> None:
    assert lab.out("node-1", "hostname -f") == "node-1.internal.cloudapp.net"
    assert lab.out("node-1", "getent hosts head").split() == ["10.20.0.4", "head.internal.cloudapp.net"]
    assert lab.out("head", "getent hosts 10.20.16.5").split()[1] == "node-2.internal.cloudapp.net"
    assert lab.ssh("node-1", "getent hosts example.org").returncode == 2


def test_the_metadata_service_sees_who_asks(lab: Lab) -> None:
    assert lab.out("node-1", "curl -sf http://169.254.169.254/metadata") == "10.20.16.4"
    assert lab.out("head", "curl -sf http://169.254.169.254/metadata") == "10.20.0.4"


def test_a_machine_cannot_use_the_address_of_another(lab: Lab) -> None:
    borrow = "sudo ip address add 10.20.16.99/20 dev eth0; curl -s -m 2 --interface 10.20.16.99 169.254.169.254"
    assert lab.ssh("node-1", borrow).returncode != 0
    lab.out("node-1", "sudo ip address delete 10.20.16.99/20 dev eth0; curl -sf 169.254.169.254")


def test_without_a_nat_gateway_nothing_outside_is_reachable_and_with_one_only_mirrors_are(lab: Lab) -> None:
    fetch = "curl -s -o /dev/null -m 5 http://deb.debian.org/debian/dists/trixie/Release"
    assert lab.ssh("node-1", fetch).returncode != 0
    lab.apply(nat=True)
    assert lab.ssh("node-1", fetch).returncode == 0
    assert lab.ssh("node-1", "curl -s -m 3 http://192.0.2.1/").returncode != 0
    assert lab.ssh("node-1", "timeout 3 bash -c '</dev/tcp/deb.debian.org/22'").returncode != 0


@pytest.mark.skipif(not Path("/proc/sys/net/bridge").exists(), reason="this kernel has no br_netfilter loaded")
def test_security_rules_hold_inside_a_subnet_too(lab: Lab) -> None:
    knock = "timeout 3 bash -c '</dev/tcp/node-2/22'"
    deny = SecurityRule(
        name="not-node-1", priority=100, direction="Inbound", access="Deny", source_prefixes=("10.20.16.4",)
    )
    assert lab.ssh("node-1", knock).returncode == 0
    lab.apply(compute_rules=(deny,))
    assert lab.ssh("node-1", knock).returncode != 0
    assert lab.out("node-2", "timeout 3 bash -c '</dev/tcp/node-1/22'; hostname") == "node-2"
    lab.apply()
    assert lab.ssh("node-1", knock).returncode == 0


def test_a_script_runs_as_root_and_its_last_words_are_told(lab: Lab) -> None:
    lines = 'id -un; hostname; echo "$1-$name"; echo wrong >&2; exit 3\n'
    done = lab.driver.run(ONE, Command(script=lines, arguments=("one",), environment=(("name", "two"),)))
    assert (done.status, done.stdout, done.stderr) == (3, b"root\nnode-1\none-two\n", b"wrong\n")
    flood = lab.driver.run(ONE, Command(script="#!/usr/bin/python3\nprint('x' * 100000 + 'end')\n"))
    assert (len(flood.stdout), flood.stdout[-5:]) == (OUTPUT_BYTES, b"xend\n")
    assert lab.out("node-1", "sudo cat /var/lib/waagent/run-command/download/0/script.sh") == lines.strip()


def test_a_script_sees_the_network_of_its_machine_and_dies_with_it(lab: Lab) -> None:
    asked = lab.driver.run(TWO, Command(script="curl -sf http://169.254.169.254/metadata"))
    assert asked.stdout == b"10.20.16.5"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lab.driver.run, TWO, Command(script="touch /run/began; sleep 600"))
        lab.out("node-2", "while ! test -e /run/began; do sleep 0.1; done")
        lab.driver.crash(TWO)
        assert waiting.result(30).status != 0
    with pytest.raises(MachineError, match="Conflict"):
        lab.driver.run(TWO, Command(script="true"))
    lab.driver.start(TWO)


def test_a_script_that_does_not_end_is_killed(lab: Lab) -> None:
    assert lab.driver.run(ONE, Command(script="sleep 600 & wait", timeout=1.0)).status == -9
    assert lab.ssh("node-1", "pgrep -x sleep").returncode == 1


def test_stopping_keeps_the_disk_and_stays_as_it_was_called(lab: Lab) -> None:
    lab.out("node-2", "echo mine | sudo tee /etc/kept")
    lab.driver.stop(TWO)
    assert lab.driver.state(TWO) is PowerState.STOPPED
    lab.driver.deallocate(TWO)
    assert lab.driver.state(TWO) is PowerState.DEALLOCATED
    lab.driver.start(TWO)
    assert lab.driver.state(TWO) is PowerState.RUNNING
    assert lab.out("node-2", "cat /etc/kept /etc/mine").split() == ["mine", "script"]


def test_a_machine_that_shuts_itself_down_is_stopped(lab: Lab) -> None:
    lab.ssh("node-2", "sudo systemctl poweroff")
    deadline = time.monotonic() + 120
    while lab.driver.state(TWO) is PowerState.RUNNING and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lab.driver.state(TWO) is PowerState.STOPPED
    lab.driver.start(TWO)


def test_a_machine_can_be_frozen_and_can_die_without_a_word(lab: Lab) -> None:
    lab.driver.freeze(TWO, True)
    with pytest.raises(subprocess.TimeoutExpired):
        lab.ssh("node-2", "true", timeout=3)
    lab.driver.freeze(TWO, False)
    assert lab.out("node-2", "sudo sync; id -un") == "azureuser"
    lab.driver.crash(TWO)
    assert lab.driver.state(TWO) is PowerState.STOPPED
    lab.driver.start(TWO)
    assert lab.out("node-2", "cat /etc/kept") == "mine"


def test_an_image_of_a_machine_boots_as_another_machine(lab: Lab) -> None:
    old = lab.out(
        "node-2", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; echo baked | sudo tee /opt/baked >/dev/null"
    )
    lab.driver.capture(TWO, IMAGE)
    assert lab.out("node-2", "cat /opt/baked") == "baked"
    with pytest.raises(MachineError, match="Conflict"):
        lab.driver.capture(TWO, IMAGE)
    lab.driver.delete_image(IMAGE)
    lab.driver.deallocate(TWO)
    lab.driver.capture(TWO, IMAGE)
    lab.driver.delete(TWO)
    lab.driver.create(lab.spec(CLONE, "10.20.16.5", image=IMAGE))
    lab.driver.delete_image(IMAGE)
    seen = lab.out("clone", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")
    assert not set(seen.split()[:1]) & set(old.split())
    assert seen.split()[2] not in old
    assert lab.out("clone", "cat /opt/baked; hostname; test ! -e /var/lib/cloud/instances/old") == "baked\nclone"
    assert lab.out("clone", "systemctl is-system-running --wait") == "running"


def test_a_deleted_machine_is_gone_with_its_name_and_its_image(lab: Lab) -> None:
    lab.driver.delete(CLONE)
    assert lab.driver.state(CLONE) is PowerState.ABSENT
    assert lab.ssh("head", "getent hosts clone").returncode == 2
    assert list((lab.state / "images").iterdir()) == []
    lab.driver.delete(CLONE)


def test_a_machine_without_a_network_is_refused(lab: Lab) -> None:
    for spec in (lab.spec(TWO, "10.99.0.4"), lab.spec(TWO, "10.20.16.5", vnet_id="/other")):
        with pytest.raises(MachineError, match="NetworkNotFound"):
            lab.driver.create(spec)
        assert lab.driver.state(TWO) is PowerState.ABSENT


def test_a_machine_that_does_not_come_up_is_an_error_with_its_last_words(lab: Lab) -> None:
    broken = lab.spec(SPARE, "10.20.16.9", custom_data=b"#cloud-config\nbootcmd: [[systemctl, poweroff, -ff]]\n")
    with pytest.raises(MachineError, match="spare ended while it booted") as caught:
        lab.driver.create(broken)
    assert caught.value.code == "OSProvisioningTimedOut"
    assert lab.driver.state(SPARE) is PowerState.STOPPED
    assert "cloud-init" in lab.driver.console(SPARE)
    lab.driver.delete(SPARE)


def test_a_boot_that_is_under_way_can_be_deleted(lab: Lab) -> None:
    slow = lab.spec(SPARE, "10.20.16.9", custom_data=b"#cloud-config\nbootcmd: [[sleep, '600']]\n")
    with ThreadPoolExecutor(1) as pool:
        boot = pool.submit(lab.driver.create, slow)
        while lab.driver.state(SPARE) is not PowerState.RUNNING and not boot.done():
            time.sleep(0.05)
        lab.driver.delete(SPARE)
        with pytest.raises(MachineError):
            boot.result()
    assert lab.driver.state(SPARE) is PowerState.ABSENT
