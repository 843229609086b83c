# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the sandbox bears: 10,000 recorded machines in 100 scale sets. Prints one line of JSON.

``./dev run python tests/bench/sandbox_size.py [--machines 10000] [--sets 100]`` starts a sandbox of its own, grows it
to that size, and measures what a client waits for. Times are seconds of real time (``_ms``: milliseconds), each the
median of some; time scale 0, so that nothing of Azure's own slowness is in them. ``peak_rss_mib`` is the
server's, ``database_mib`` what its state takes on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
API = "2024-07-01"
BUILD_TIMEOUT = 600.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bench@example"


class Bench:
    """A sandbox in a process of its own, and one client of it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.up()
        env = json.loads(self.run("env", "--json"))
        self.subscription = f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}"
        self.http = requests.Session()
        self.http.trust_env, self.http.verify = False, env["REQUESTS_CA_BUNDLE"]
        self.http.headers["Authorization"] = f"Bearer {self.run('token').strip()}"

    def up(self) -> None:
        self.run("up", "--driver", "record", "--time-scale", "0", "--ephemeral", "--owner", str(os.getpid()))
        about = json.loads((self.state / "server.json").read_text())
        self.pid, self.base = about["pid"], f"https://localhost:{about['tls_port']}"

    def kill_and_restart(self) -> None:
        """``kill -9`` of the server, until the next one answers."""
        os.kill(self.pid, signal.SIGKILL)
        self.up()

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "sandbox", "--state", str(self.state), *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; an error of the sandbox ends the bench."""
        url = path if path.startswith("https://") else f"{self.base}{path}"
        url += "" if "api-version=" in url else f"{'&' if '?' in url else '?'}api-version={API}"
        answer = self.http.request(method, url, json=body, timeout=120)
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def whole(self, path: str) -> list[Any]:
        """All pages of a list."""
        page = self.call("GET", path)
        found = list(page["value"])
        while page.get("nextLink"):
            page = self.call("GET", page["nextLink"])
            found += page["value"]
        return found

    def settle(self, paths: list[str]) -> None:
        """Wait until these resources are Succeeded."""
        until = time.monotonic() + BUILD_TIMEOUT
        for path in paths:
            while self.call("GET", path)["properties"]["provisioningState"] != "Succeeded":
                if time.monotonic() > until:
                    raise SystemExit(f"{path} is not ready after {BUILD_TIMEOUT:g} s")
                time.sleep(0.02)

    def memory(self, field: str) -> float:
        """MiB of the server: ``VmHWM`` is the most that it has had, ``VmRSS`` what it has."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("the server is gone")

    def cpu(self) -> float:
        """Seconds of processor time that the server has had: what a busy host does not lengthen."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def database(self) -> float:
        return sum(path.stat().st_size for path in self.state.glob("state.db*")) / 2**20


def timed(work: Callable[[], Any], rounds: int = 1) -> float:
    """The median time of some calls, in seconds."""
    spent = []
    for _unused in range(rounds):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def scale_set(subnet: str, capacity: int) -> dict[str, Any]:
    image = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
    configuration = {"name": "ip", "properties": {"subnet": {"id": subnet}}}
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [configuration]}}
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    profile = {
        "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {
            "computerNamePrefix": "hpc",
            "adminUsername": "azureuser",
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        },
        "networkProfile": {"networkInterfaceConfigurations": [nic]},
    }
    properties = {
        "orchestrationMode": "Uniform",
        "singlePlacementGroup": False,
        "overprovision": False,
        "upgradePolicy": {"mode": "Manual"},
        "virtualMachineProfile": profile,
    }
    return {
        "location": "westeurope",
        "sku": {"name": "Standard_D2s_v5", "tier": "Standard", "capacity": capacity},
        "properties": properties,
    }


def build(bench: Bench, sets: int, each: int) -> list[str]:
    """A network and scale sets in it; answers their paths."""
    for name, limit in (("cores", 10**6), ("standardDSv5Family", 10**6), ("virtualMachines", 10**6)):
        bench.run("fault", "quota", "westeurope", name, str(limit))
    group = f"{bench.subscription}/resourceGroups/bench"
    bench.call("PUT", group, {"location": "westeurope"})
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/net"
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/9"}}]
    space = {"addressPrefixes": ["10.0.0.0/9"]}
    bench.call("PUT", network, {"location": "westeurope", "properties": {"addressSpace": space, "subnets": subnets}})
    bench.settle([network])
    paths = [f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/set-{number:03}" for number in range(sets)]
    for path in paths:
        bench.call("PUT", path, scale_set(f"{network}/subnets/nodes", each))
    bench.settle(paths)
    return paths


def measure(bench: Bench, machines: int, sets: int) -> dict[str, Any]:
    each = machines // sets
    found: dict[str, Any] = {"machines": machines, "scale_sets": sets}
    found["start_rss_mib"] = bench.memory("VmRSS")
    begun = time.perf_counter()
    paths = build(bench, sets, each)
    found["build_s"] = time.perf_counter() - begun
    chosen = paths[sets // 2]
    page = f"{chosen}/virtualMachines?$expand=instanceView"
    scale_sets = f"{bench.subscription}/providers/Microsoft.Compute/virtualMachineScaleSets"
    found["page_ms"] = 1000 * timed(lambda: bench.call("GET", page), 20)
    begun = bench.cpu()
    for _unused in range(100):
        bench.call("GET", page)
    found["page_cpu_ms"] = 10 * (bench.cpu() - begun)
    found["page_without_view_ms"] = 1000 * timed(lambda: bench.call("GET", f"{chosen}/virtualMachines"), 20)
    found["interfaces_page_ms"] = 1000 * timed(lambda: bench.call("GET", f"{chosen}/networkInterfaces"), 20)
    found["list_scale_sets_ms"] = 1000 * timed(lambda: bench.whole(scale_sets), 5)

    def every() -> None:
        count = sum(len(bench.whole(f"{path}/virtualMachines?$expand=instanceView")) for path in paths)
        if count != each * sets:
            raise SystemExit(f"{count} machines are listed, not {each * sets}")

    found["list_all_machines_s"] = timed(every)
    found |= resize(bench, paths[0])
    found["peak_rss_mib"], found["rss_mib"] = bench.memory("VmHWM"), bench.memory("VmRSS")
    found["database_mib"] = bench.database()
    found["restart_after_kill_s"] = timed(bench.kill_and_restart)
    found["restart_cpu_s"] = bench.cpu()
    every()
    return found


def resize(bench: Bench, beside: str) -> dict[str, float]:
    """Grow a further scale set by 1,000, as many as one may have, and delete 500 chosen instances of it.

    Until the request is accepted, and until all is done.
    """
    found, path = {}, f"{beside.rpartition('/')[0]}/grows"
    body = bench.call("GET", beside)
    nics = body["properties"]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"]
    subnet = nics[0]["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
    bench.call("PUT", path, scale_set(subnet, 0))
    bench.settle([path])
    grown = {"location": "westeurope", "sku": {"name": "Standard_D2s_v5", "capacity": 1000}}
    found["grow_1000_accepted_s"] = timed(lambda: bench.call("PATCH", path, grown))
    found["grow_1000_s"] = found["grow_1000_accepted_s"] + timed(lambda: bench.settle([path]))
    instances = [entry["instanceId"] for entry in bench.whole(f"{path}/virtualMachines")]
    if len(instances) != 1000:
        raise SystemExit(f"{len(instances)} instances after growing by 1000")
    page = f"{path}/virtualMachines?$expand=instanceView"
    found["page_of_grown_set_ms"] = 1000 * timed(lambda: bench.call("GET", page), 10)
    asked = {"instanceIds": instances[::2]}
    found["delete_500_accepted_s"] = timed(lambda: bench.call("POST", f"{path}/delete", asked))
    found["delete_500_s"] = found["delete_500_accepted_s"] + timed(lambda: bench.settle([path]))
    left = len(bench.whole(f"{path}/virtualMachines"))
    if left != 500:
        raise SystemExit(f"{left} instances after deleting 500 of 1000")
    return found


def main() -> None:
    """Print the figures, rounded."""
    parser = argparse.ArgumentParser(description="How much the sandbox bears.")
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--sets", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sandbox-size-") as directory:
        bench = Bench(Path(directory) / "state")
        try:
            found = measure(bench, options.machines, options.sets)
        finally:
            bench.run("down", "--wipe")
    print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}))


if __name__ == "__main__":
    main()
