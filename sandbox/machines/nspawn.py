# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver that boots: every machine is a systemd-nspawn container with its own network namespace and disk layer.

Below the state directory: ``machines/<digest>/`` (``machine.json``, ``upper``, ``work``, ``root``, ``console.log``),
``vnets/<digest>/`` (``vnet.json``, ``hosts.d``, ``exports``), ``images/``. Machines are no children of this process:
they run in control groups of their own, outlive a server that ends or is killed, and ``recover`` finds them by name.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import shutil
import signal
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox.machines import (
    Command,
    MachineError,
    MachineSpec,
    MetadataListener,
    Output,
    PowerState,
    SubnetState,
    VnetState,
    cleanup,
    disks,
    host,
    inside,
    names,
    network,
)
from sandbox.machines.base import base_image
from sandbox.machines.servers import Servers
from sandbox.machines.values import spec_from_json, spec_to_json, vnet_from_json, vnet_to_json

BOOT_TIMEOUT = 240.0
STOP_TIMEOUT = 45.0
POWER_OFF = signal.SIGRTMIN + 4
REBOOT = signal.SIGRTMIN + 5
SUPERVISE = Path(__file__).with_name("supervise.sh")
CONSOLE_BYTES = 64 * 1024


class NspawnDriver:
    """See ``sandbox.machines.Driver``."""

    def __init__(
        self, state: Path, metadata: MetadataListener, progress: t.Callable[[str], None] = lambda line: None
    ) -> None:
        if lacks := host.missing():
            raise MachineError("OSProvisioningInternalError", f"this host lacks: {'; '.join(lacks)}")
        state = state.resolve()
        if set(str(state)) & set(":,\\ \t\n"):
            raise MachineError("OSProvisioningInternalError", f"{state} has characters that overlayfs does not take")
        self.prefix = names.prefix_of(state)
        self._machines, self._vnets = state / "machines", state / "vnets"
        for directory in (self._machines, self._vnets):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._images = disks.Images(state / "images", base_image(progress))
        self._metadata, self._progress = metadata, progress
        self._served: set[str] = set()
        self._network_lock = threading.RLock()
        self._locks: collections.defaultdict[str, threading.RLock] = collections.defaultdict(threading.RLock)

    def create(self, spec: MachineSpec) -> None:
        """Write the first disk and boot."""
        with self._lock(spec.arm_id):
            home = self._home(spec.arm_id)
            if home.exists():
                raise MachineError("Conflict", f"machine {spec.arm_id} exists already")
            self._subnet(spec)
            layers = self._images.layers(spec.image)
            for name in ("work", "root"):
                (home / name).mkdir(parents=True)
            disks.write_first_disk(spec, home / "upper")
            (home / "hostname").write_text(spec.computer_name)
            self._write(home, spec, layers)
            self._boot(spec, layers)

    def start(self, arm_id: str) -> None:
        """Boot what does not run."""
        with self._lock(arm_id):
            spec, layers = self._read(arm_id)
            if not host.populated(self._group(arm_id)):
                (self._home(arm_id) / "deallocated").unlink(missing_ok=True)
                self._boot(spec, layers)

    def stop(self, arm_id: str) -> None:
        """Power off; by force if the machine does not do so itself."""
        with self._lock(arm_id):
            self._read(arm_id)
            self._halt(arm_id)

    def crash(self, arm_id: str) -> None:
        """Kill every process of the machine."""
        host.kill(self._group(arm_id))

    def freeze(self, arm_id: str, frozen: bool) -> None:
        """Freeze or thaw the control group of the machine."""
        with contextlib.suppress(FileNotFoundError):
            (self._group(arm_id) / "cgroup.freeze").write_text("1" if frozen else "0")

    def deallocate(self, arm_id: str) -> None:
        """Power off and remember why."""
        with self._lock(arm_id):
            spec, _layers = self._read(arm_id)
            self._halt(arm_id)
            with self._network_lock:
                self._router(spec.vnet_id).detach(self._name(arm_id), arm_id, spec.private_ip)
            (self._home(arm_id) / "deallocated").touch()

    def restart(self, arm_id: str) -> None:
        """Reboot from inside; from outside if the machine does not react."""
        with self._lock(arm_id):
            spec, layers = self._read(arm_id)
            before = self._init(arm_id)
            if before is None:
                raise MachineError("Conflict", f"machine {arm_id} does not run")
            _signal(before, REBOOT)
            deadline = time.monotonic() + STOP_TIMEOUT
            while self._init(arm_id) in {before, None}:
                if time.monotonic() > deadline or not host.populated(self._group(arm_id)):
                    host.kill(self._group(arm_id))
                    return self._boot(spec, layers)
                time.sleep(0.05)
            return self._await_ssh(spec)

    def delete(self, arm_id: str) -> None:
        """Kill, unplug, remove. A boot that is under way fails first, so that nobody waits for it."""
        host.kill(self._group(arm_id))
        with self._lock(arm_id):
            home = self._home(arm_id)
            if not home.exists():
                return
            host.kill(self._group(arm_id))
            with contextlib.suppress(MachineError):
                spec, _layers = self._read(arm_id)
                router = self._router(spec.vnet_id)
                with self._network_lock:
                    router.detach(self._name(arm_id), arm_id, spec.private_ip)
                router.unname_machine(arm_id)
                shutil.rmtree(router.exports / spec.private_ip, ignore_errors=True)
            for directory in cleanup.NSPAWN:
                with contextlib.suppress(OSError):
                    (directory / self._name(arm_id)).rmdir()
            shutil.rmtree(home)
            self._collect()

    def state(self, arm_id: str) -> PowerState:
        """By the processes of the machine and what was last asked for."""
        home = self._home(arm_id)
        if not home.exists():
            return PowerState.ABSENT
        if host.populated(self._group(arm_id)):
            return PowerState.RUNNING
        return PowerState.DEALLOCATED if (home / "deallocated").exists() else PowerState.STOPPED

    def machines(self) -> dict[str, PowerState]:
        """All machines with a disk here."""
        found = {}
        for path in sorted(self._machines.glob("*/machine.json")):
            with contextlib.suppress(FileNotFoundError):
                arm_id = json.loads(path.read_text())["spec"]["arm_id"]
                found[arm_id] = self.state(arm_id)
        return found

    def run(self, arm_id: str, command: Command) -> Output:
        """Enter the namespaces of the machine's init, in a control group that dies with the machine."""
        self._read(arm_id)
        init = self._init(arm_id)
        if init is None:
            raise MachineError("Conflict", f"machine {arm_id} does not run")
        return inside.run(init, self._group(arm_id), command)

    def console(self, arm_id: str) -> str:
        """The end of console.log."""
        self._read(arm_id)
        path = self._home(arm_id) / "console.log"
        return path.read_bytes()[-CONSOLE_BYTES:].decode(errors="replace") if path.exists() else ""

    def capture(self, arm_id: str, image_id: str) -> None:
        """Turn the machine's disk into an image, and the machine into one that is based on it. Of one that runs it is a
        copy.
        """
        with self._lock(arm_id):
            spec, layers = self._read(arm_id)
            if host.populated(self._group(arm_id)):
                with self._network_lock:
                    self._images.copy(image_id, self._home(arm_id) / "upper", layers)
                return
            with self._network_lock:
                below = self._images.capture(image_id, self._home(arm_id) / "upper", layers)
            shutil.rmtree(self._home(arm_id) / "work")
            (self._home(arm_id) / "work").mkdir()
            self._write(self._home(arm_id), spec, below)

    def delete_image(self, image_id: str) -> None:
        """Remove the image, its layer as soon as nothing needs it."""
        with self._network_lock:
            self._images.delete(image_id)
        self._collect()

    def apply_network(self, vnet: VnetState) -> None:
        """Make the router namespace and the host's rules as they should be."""
        with self._network_lock:
            host.claim_settings(self.prefix)
            host.open_forwarding(self.prefix)
            host.run("nft", "-f", "-", text=network.host_rules(self.prefix, network.mirror_addresses()))
            router = self._router(vnet.vnet_id)
            new = router.apply(vnet)
            draft = router.directory / "vnet.json.new"
            draft.write_text(json.dumps(vnet_to_json(vnet)))
            draft.replace(router.directory / "vnet.json")
            if new or vnet.vnet_id.casefold() not in self._served:
                self._served.add(vnet.vnet_id.casefold())
                self._metadata.opened(vnet.vnet_id, router.metadata_socket())
            router.publish(vnet)
            Servers(router, vnet.vnet_id).start(vnet)

    def serve(self, vnet_id: str, address: str, port: int, name: str = "") -> Path:
        """A network namespace of its own with a port that answers."""
        with self._network_lock:
            router = self._router(vnet_id)
            path = router.directory / "vnet.json"
            if not path.exists():
                raise MachineError("NetworkNotFound", f"there is no network {vnet_id}")
            return Servers(router, vnet_id).add(vnet_from_json(json.loads(path.read_text())), address, port, name)

    def unserve(self, vnet_id: str, address: str) -> None:
        """Remove its namespace and its directory."""
        with self._network_lock:
            router = self._router(vnet_id)
            if router.directory.exists():
                Servers(router, vnet_id).remove(address)

    def remove_network(self, vnet_id: str) -> None:
        """Remove the router namespace and what was exported in it."""
        with self._network_lock:
            router = self._router(vnet_id)
            if not router.directory.exists():
                return
            for path in self._machines.glob("*/machine.json"):
                if json.loads(path.read_text())["spec"]["vnet_id"].casefold() == vnet_id.casefold():
                    raise MachineError("Conflict", f"there are machines in {vnet_id}")
            self._served.discard(vnet_id.casefold())
            self._metadata.closed(vnet_id)
            router.remove()
            shutil.rmtree(router.directory)

    def reserved_public_addresses(self) -> frozenset[str]:
        """Those of this host's package mirrors and of other sandboxes."""
        return network.reserved_public_addresses(self.prefix)

    def recover(self) -> dict[str, PowerState]:
        """Apply the networks again; machines that run are simply there."""
        for path in sorted(self._vnets.glob("*/vnet.json")):
            vnet = vnet_from_json(json.loads(path.read_text()))
            try:
                self.apply_network(vnet)
            except MachineError as error:
                self._progress(f"network {vnet.vnet_id} is not as it should be: {error}")
        self._collect()
        return self.machines()

    def close(self) -> None:
        """Shut all machines down together, then remove everything that has our prefix."""
        running = [arm_id for arm_id, state in self.machines().items() if state is PowerState.RUNNING]
        with ThreadPoolExecutor(max_workers=max(1, min(32, len(running)))) as pool:
            list(pool.map(lambda arm_id: self._halt(arm_id, timeout=10), running))
        with self._network_lock:
            for path in self._vnets.glob("*/vnet.json"):
                self._metadata.closed(json.loads(path.read_text())["vnet_id"])
            self._served.clear()
            cleanup.sweep(self.prefix)

    def _boot(self, spec: MachineSpec, layers: list[str]) -> None:
        router, name, home = self._router(spec.vnet_id), self._name(spec.arm_id), self._home(spec.arm_id)
        subnet = self._subnet(spec)
        mac = spec.mac.replace("-", ":").lower()
        with self._network_lock:
            router.attach(spec.arm_id, name, subnet, spec.private_ip, mac)
            router.name_machine(spec.arm_id, spec.private_ip, spec.computer_name)
        host.kill(self._group(spec.arm_id))
        host.spawn(
            self._group(spec.arm_id),
            "unshare", "--mount", "--propagation", "slave", str(SUPERVISE), self.prefix, name, str(home),
            ":".join(layers), str(router.exports), log=home / "console.log",
        )  # fmt: skip
        self._await_ssh(spec)

    def _await_ssh(self, spec: MachineSpec) -> None:
        router, deadline = self._router(spec.vnet_id), time.monotonic() + BOOT_TIMEOUT
        time.sleep(0.3)
        while not router.ssh_banner(spec.private_ip, timeout=5):
            ended = not host.populated(self._group(spec.arm_id))
            if ended or time.monotonic() > deadline:
                host.kill(self._group(spec.arm_id))
                what = "ended while it booted" if ended else f"did not answer on port 22 within {BOOT_TIMEOUT:.0f} s"
                last = " | ".join(self.console(spec.arm_id).splitlines()[-5:])
                raise MachineError("OSProvisioningTimedOut", f"machine {spec.computer_name} {what}: {last}")
            time.sleep(0.1)

    def _halt(self, arm_id: str, timeout: float = STOP_TIMEOUT) -> None:
        group, init = self._group(arm_id), self._init(arm_id)
        deadline = time.monotonic() + timeout
        if init is not None:
            _signal(init, POWER_OFF)
            while host.populated(group) and time.monotonic() < deadline:
                time.sleep(0.05)
        host.kill(group)

    def _init(self, arm_id: str) -> int | None:
        """The process id of the machine's init on this host, None while there is none."""
        for scope in self._group(arm_id).glob("**/payload/init.scope/cgroup.procs"):
            with contextlib.suppress(OSError):
                processes = scope.read_text().split()
                if processes:
                    return int(processes[0])
        return None

    def _subnet(self, spec: MachineSpec) -> SubnetState:
        path = self._router(spec.vnet_id).directory / "vnet.json"
        if not path.exists():
            raise MachineError("NetworkNotFound", f"there is no network {spec.vnet_id}")
        return network.subnet_of(vnet_from_json(json.loads(path.read_text())), spec.private_ip)

    def _router(self, vnet_id: str) -> network.Router:
        return network.Router(self.prefix, vnet_id, self._vnets / names.digest(vnet_id))

    def _name(self, arm_id: str) -> str:
        return names.machine_name(self.prefix, arm_id)

    def _group(self, arm_id: str) -> Path:
        return host.cgroup(self.prefix, self._name(arm_id))

    def _home(self, arm_id: str) -> Path:
        return self._machines / names.digest(arm_id)

    def _lock(self, arm_id: str) -> threading.RLock:
        return self._locks[arm_id.casefold()]

    def _read(self, arm_id: str) -> tuple[MachineSpec, list[str]]:
        try:
            about = json.loads((self._home(arm_id) / "machine.json").read_text())
        except FileNotFoundError:
            raise MachineError("NotFound", f"there is no machine {arm_id}") from None
        return spec_from_json(about["spec"]), about["layers"]

    @staticmethod
    def _write(home: Path, spec: MachineSpec, layers: list[str]) -> None:
        draft = home / "machine.json.new"
        draft.write_text(json.dumps({"spec": spec_to_json(spec), "layers": layers}))
        draft.replace(home / "machine.json")

    def _collect(self) -> None:
        with self._network_lock:
            used = set()
            for path in self._machines.glob("*/machine.json"):
                with contextlib.suppress(FileNotFoundError):
                    used |= set(json.loads(path.read_text())["layers"])
            self._images.collect(used)


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
