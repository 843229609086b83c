"""Real machines: boots Linux, logs in, and looks at what a machine of a virtual network may and may not do.

The tests of this file share three machines and run in the order in which they stand. Needs root, systemd-nspawn and a
Debian mirror for the base image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.machines import (
    MachineError,
    MachineSpec,
    NicState,
    PowerState,
    SecurityRule,
    SubnetState,
    VnetState,
    host,
    take_down,
)
from sandbox.machines.names import prefix_of
from sandbox.machines.nspawn import NspawnDriver

pytestmark = [
    pytest.mark.booted,
    pytest.mark.skipif(bool(host.missing()), reason=f"this host lacks {host.missing()}"),
]

ROOT = Path(__file__).parents[3]
VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/demo-vnet"
IMAGE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/demo-node"
ALLOW_SSH = SecurityRule(
    name="ssh", priority=100, direction="Inbound", access="Allow", protocol="Tcp",
    source_prefixes=("198.51.100.0/24",), destination_ports=("22",),
)  # fmt: skip
DENY_NFS = SecurityRule(
    name="no-nfs", priority=200, direction="Inbound", access="Deny", protocol="Tcp", destination_ports=("2049",)
)
HEAD, ONE, TWO, CLONE, SPARE = (
    f"/subscriptions/s/vm/{name}" for name in ("head", "node-1", "node-2", "clone", "spare")
)
OFFLINE_APT = "-o Dir::Etc::SourceList=/etc/apt/sources.list.d/sandbox.list -o Dir::Etc::SourceParts=-"


class _Answer(http.server.BaseHTTPRequestHandler):
    """Stands for the metadata service: tells who asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

    def log_message(self, *arguments: object) -> None:
        pass


class Metadata:
    """Serves every network that the driver opens until it is closed."""

    def __init__(self) -> None:
        self.servers: dict[str, http.server.ThreadingHTTPServer] = {}

    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        self.closed(vnet_id)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        self.servers[vnet_id] = server
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def closed(self, vnet_id: str) -> None:
        if server := self.servers.pop(vnet_id, None):
            server.shutdown()
            server.server_close()


@dataclasses.dataclass
class Lab:
    """The driver, and a way into its machines."""

    driver: NspawnDriver
    metadata: Metadata
    state: Path
    key: Path
    public: str
    vnet: VnetState

    def spec(self, arm_id: str, address: str, **changes: t.Any) -> MachineSpec:
        octets = [int(part) for part in address.split(".")]
        values = {
            "arm_id": arm_id, "vnet_id": VNET, "computer_name": arm_id.rsplit("/", 1)[-1], "private_ip": address,
            "mac": "60-45-" + "-".join(f"{octet:02X}" for octet in octets), "admin_username": "azureuser",
            "ssh_public_keys": (self.key.with_suffix(".pub").read_text().strip(),), "vm_id": f"{arm_id}-{time.time()}",
        }  # fmt: skip
        return MachineSpec(**{**values, **changes})

    def ssh(self, name: str, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        options = ["-F", "none", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5",
                   "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]  # fmt: skip
        if name != "head":
            jump = f"ssh {' '.join(options)} -W %h:%p azureuser@{self.public}"
            options += ["-o", f"ProxyCommand={jump}"]
        target = f"azureuser@{self.public if name == 'head' else name}"
        return subprocess.run(
            ["ssh", *options, target, "bash -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def out(self, name: str, script: str) -> str:
        done = self.ssh(name, f"set -e\n{script}")
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def apply(
        self,
        head_rules: tuple[SecurityRule, ...] = (ALLOW_SSH,),
        compute_rules: tuple[SecurityRule, ...] = (),
        nat: bool = True,
    ) -> None:
        nat_ips = ("203.0.113.253",) if nat else ()
        self.vnet = dataclasses.replace(
            self.vnet,
            subnets=(
                SubnetState(subnet_id=f"{VNET}/subnets/head", prefix="10.20.0.0/24", rules=head_rules),
                SubnetState(
                    subnet_id=f"{VNET}/subnets/compute",
                    prefix="10.20.16.0/20",
                    rules=compute_rules,
                    nat_public_ips=nat_ips,
                ),
            ),
            nics=(NicState(private_ip="10.20.0.4", public_ip=self.public),),
        )
        self.driver.apply_network(self.vnet)


def free_address(taken: t.Collection[str]) -> str:
    """A public address that the driver does not reserve."""
    return min(address for n in range(100, 200) if (address := f"203.0.113.{n}") not in taken)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    state, key = tmp_path_factory.mktemp("machines"), tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    metadata = Metadata()
    # Nothing may be left when this process is killed, so another one waits for its end.
    sweep = [sys.executable, "-m", "sandbox.machines", "--state", str(state), "sweep", "--after", str(os.getpid())]
    watcher = subprocess.Popen(sweep, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    driver = NspawnDriver(state, metadata, print)
    taken = driver.reserved_public_addresses()
    public = free_address(taken)
    found = Lab(driver, metadata, state, key, public, VnetState(vnet_id=VNET, address_prefixes=("10.20.0.0/16",)))
    try:
        found.apply(nat=False)
        specs = [
            found.spec(HEAD, "10.20.0.4"),
            found.spec(
                ONE, "10.20.16.4", custom_data=b"#cloud-config\nwrite_files: [{path: /etc/mine, content: hello}]\n"
            ),
            found.spec(TWO, "10.20.16.5", custom_data=b"#!/bin/sh\necho script >/etc/mine\n"),
        ]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(driver.create, specs))
        yield found
    finally:
        driver.close()
        take_down(state)
        watcher.terminate()
        watcher.wait()


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


def test_a_share_of_the_head_is_mounted_as_the_network_and_its_clients_allow(lab: Lab) -> None:
    apt = f"sudo apt-get {OFFLINE_APT} -q update && sudo apt-get {OFFLINE_APT} -qy install"
    lab.out(
        "head",
        f"""{apt} nfs-kernel-server >/dev/null 2>&1
        sudo install -d -o azureuser /export/home; echo old >/export/home/before
        echo '/export/home 10.20.16.4(rw) 10.20.16.5(ro)' | sudo tee /etc/exports.d/home.exports
        sudo exportfs -ra""",
    )
    for name in ("node-1", "node-2"):
        lab.out(name, f"{apt} nfs-common >/dev/null 2>&1; sudo mkdir -p /shared/home")
    mount = "sudo mount -t nfs -o rw,retry=0,nfsvers=4.2 head:/export/home /shared/home"
    lab.apply(head_rules=(ALLOW_SSH, DENY_NFS))
    refused = lab.ssh("node-1", mount)
    assert refused.returncode == 32
    assert "timed out" in refused.stderr
    lab.apply()
    assert lab.out("node-1", f"{mount}; echo new >/shared/home/after; cat /shared/home/before") == "old"
    assert lab.out("head", "cat /export/home/after") == "new"
    assert lab.out("node-2", f"{mount}; cat /shared/home/after") == "new"
    assert "Read-only" in lab.ssh("node-2", "echo x >/shared/home/x").stderr
    denied = lab.ssh("head", "sudo mount -t nfs -o retry=0 head:/export/home /mnt")
    assert denied.returncode == 32
    assert "access denied by server" in denied.stderr


def test_a_share_in_fstab_survives_reboots_of_both_sides(lab: Lab) -> None:
    line = "head:/export/home /shared/home nfs defaults,_netdev 0 0"
    lab.out("node-1", f"sudo umount /shared/home; echo '{line}' | sudo tee -a /etc/fstab; sudo systemctl daemon-reload")
    boot = lab.out("head", "sudo journalctl --list-boots -q | wc -l")
    lab.driver.restart(HEAD)
    assert lab.out("head", "sudo journalctl --list-boots -q | wc -l") > boot
    assert lab.out("head", "cat /export/home/after") == "new"
    lab.driver.restart(ONE)
    assert lab.out("node-1", "cat /shared/home/after; findmnt -no TARGET /shared/home").split() == [
        "new",
        "/shared/home",
    ]
    assert lab.out("node-1", "systemctl is-system-running --wait") == "running"


def test_a_share_is_mounted_when_it_is_first_looked_at(lab: Lab) -> None:
    lab.out(
        "node-2",
        """sudo umount /shared/home
        echo 'head:/export/home /shared/home nfs ro,_netdev,x-systemd.automount 0 0' | sudo tee -a /etc/fstab
        sudo systemctl daemon-reload; sudo systemctl restart remote-fs.target""",
    )
    assert lab.ssh("node-2", "mountpoint -q /shared/home && findmnt -t autofs /shared/home >/dev/null").returncode == 0
    assert lab.out("node-2", "findmnt -nt ext4,xfs,btrfs /shared/home | wc -l; cat /shared/home/after").split() == [
        "0",
        "new",
    ]


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
    deadline = time.monotonic() + 30
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
    with pytest.raises(MachineError, match="Conflict"):
        lab.driver.capture(TWO, IMAGE)
    old = lab.out(
        "node-2", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; echo baked | sudo tee /opt/baked >/dev/null"
    )
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


def test_two_sandboxes_with_the_same_addresses_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    metadata = Metadata()
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
    assert lab.out("head", "cat /export/home/after") == "new"
    for arm_id in (HEAD, ONE, TWO):
        lab.driver.delete(arm_id)
    lab.driver.remove_network(VNET)
    assert lab.driver.machines() == {}
    lab.driver.close()
    assert leftovers(prefix, lab.state) == []


def leftovers(prefix: str, state: Path) -> list[str]:
    """Whatever on this host bears the prefix or the state directory, found by other means than the driver's."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    found = [*lines("ip", "link"), *lines("ip", "address"), *lines("ip", "route"), *lines("ip", "netns")]
    found += [*lines("nft", "list", "tables"), *Path("/proc/self/mountinfo").read_text().splitlines()]
    found += [str(path) for path in Path("/run/systemd/nspawn").rglob("*")]
    found += [str(path) for path in Path("/run/azure_hpc.sandbox/members").glob("*")]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            dead = "\nState:\tZ" in (process / "status").read_text()  # only its parent can do anything about that
            command = (process / "cmdline").read_text()
            watches_over_this_test = "\0--after\0" in command
            if int(process.name) != os.getpid() and not dead and not watches_over_this_test:
                found.append((process / "cgroup").read_text() + command)
    found += [str(path) for path in Path("/sys/fs/cgroup").rglob(f"{prefix}*")]
    return [entry for entry in found if prefix in entry or str(state) in entry]
