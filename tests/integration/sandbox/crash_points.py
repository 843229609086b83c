# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a sandbox before each single thing that it makes durable, and looks at what the next one finds.

What is on disk changes at commits of the store and at lines of the journal of machines, and nowhere else: a kill before
each of them, one after the other, is a kill at every moment. ``python -m tests.integration.sandbox.crash_points DIR``
prints one line of JSON: how many such moments there were, and what was wrong after which of them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.arm import store
from sandbox.arm.core import Core, Settings
from sandbox.arm.dispatch import dispatch
from sandbox.arm.messages import Request
from sandbox.machines.record import RecordDriver
from sandbox.providers import register_all
from sandbox.providers.compute import sizes

GROUP = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g"
NETWORK, COMPUTE = f"{GROUP}/providers/Microsoft.Network", f"{GROUP}/providers/Microsoft.Compute"
VNET, SCALE_SET = f"{NETWORK}/virtualNetworks/v", f"{COMPUTE}/virtualMachineScaleSets/s"
ADDRESS, NIC, VM = (
    f"{NETWORK}/publicIPAddresses/p",
    f"{NETWORK}/networkInterfaces/n",
    f"{COMPUTE}/virtualMachines/m",
)
PLACE = {"location": "westeurope"}
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
STORAGE = {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"}}
OS = {
    "adminUsername": "azureuser",
    "linuxConfiguration": {
        "disablePasswordAuthentication": True,
        "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA one"}]},
    },
}


class NoMetadata:
    """Recorded machines ask nothing."""

    def opened(self, vnet_id: str, listener: Any) -> None:
        listener.close()

    def closed(self, vnet_id: str) -> None:
        pass


class Cloud:
    """A sandbox without HTTP, from its start to the end of the process. ``tell`` hears what has been answered."""

    def __init__(self, state: Path, tell: Callable[[str, str, Any], None] = lambda *_unused: None) -> None:
        self.core = Core(Settings(state, time_scale=0), store.Store(state / "state.db"))
        register_all(self.core)
        self.core.driver = RecordDriver(state, NoMetadata())
        found = self.core.driver.recover()
        self.core.service("network_recovered")()
        self.core.service("machines_recovered")(found)
        self.core.operations.resume()
        self._tell = tell

    def send(self, method: str, path: str, body: Any = None) -> Any:
        query = {"api-version": "2024-07-01"}
        answer = dispatch(
            self.core, Request(self.core, method, path, {}, query, {}, "https://management.azure.com", body)
        )
        if answer.status >= 400:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body}")
        self._tell(method, path, body)
        return answer.body

    def settle(self) -> None:
        until = time.monotonic() + 120
        while self.core.store.db().execute("SELECT count(*) FROM operations WHERE ended IS NULL").fetchone()[0]:
            if time.monotonic() > until:
                raise AssertionError("an operation does not end")
            time.sleep(0.002)

    def do(self, method: str, path: str, body: Any = None) -> None:
        self.send(method, path, body)
        self.settle()


def scale_set(capacity: int) -> dict[str, Any]:
    ip = {"name": "ip", "properties": {"subnet": {"id": f"{VNET}/subnets/a"}}}
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [ip]}}
    profile = {
        "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerNamePrefix": "s", **OS},
        "networkProfile": {"networkInterfaceConfigurations": [nic]},
    }
    properties = {"overprovision": False, "upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": profile}
    return {**PLACE, "sku": {"name": "Standard_D2s_v5", "capacity": capacity}, "properties": properties}


def life(cloud: Cloud) -> None:
    """Machines come, change and go; every step may be sent again."""
    subnets = [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    cloud.do("PUT", GROUP, PLACE)
    cloud.do("PUT", VNET, {**PLACE, "properties": {"addressSpace": space, "subnets": subnets}})
    cloud.do(
        "PUT", ADDRESS, {**PLACE, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    )
    ip = {"subnet": {"id": f"{VNET}/subnets/a"}, "publicIPAddress": {"id": ADDRESS}}
    cloud.do("PUT", NIC, {**PLACE, "properties": {"ipConfigurations": [{"name": "ip", "properties": ip}]}})
    machine = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": STORAGE,
        "osProfile": {"computerName": "m", **OS},
        "networkProfile": {"networkInterfaces": [{"id": NIC, "properties": {"deleteOption": "Detach"}}]},
    }
    cloud.do("PUT", VM, {**PLACE, "tags": {"step": "1"}, "properties": machine})
    cloud.do("PUT", SCALE_SET, scale_set(2))
    # Two at once: the second overtakes the first.
    cloud.send("PATCH", SCALE_SET, {"sku": {"capacity": 3}})
    cloud.do("PATCH", SCALE_SET, {"sku": {"capacity": 5}, "tags": {"step": "2"}})
    rows = cloud.send("GET", f"{SCALE_SET}/virtualMachines")["value"]
    cloud.send("POST", f"{SCALE_SET}/delete", {"instanceIds": [row["instanceId"] for row in rows[:2]]})
    cloud.do("PATCH", VM, {"tags": {"step": "3"}})
    cloud.do("POST", f"{VM}/deallocate")
    cloud.do("POST", f"{VM}/start")
    cloud.do("DELETE", VM)
    cloud.do("DELETE", NIC)
    cloud.do("DELETE", ADDRESS)


def whole(cloud: Cloud) -> None:
    """Nothing is torn: what belongs together is there together."""
    cloud.settle()
    rows = list(cloud.core.store.in_scope("00000000-0000-4000-8000-000000000001"))
    for row in rows:
        state = row.properties.get("provisioningState")
        assert state in (None, "Succeeded"), f"{row.id} is {state}"
    kind = "Microsoft.Compute/virtualMachineScaleSets"
    for owner in (row for row in rows if row.rid.type == kind):
        left = cloud.core.store.count(f"{kind}/virtualMachines", parent=owner.id)
        assert owner.body["sku"]["capacity"] == left, f"capacity {owner.body['sku']['capacity']}, instances {left}"
    known = {row.id.lower() for row in rows}
    for (holder,) in cloud.core.store.db().execute("SELECT owner FROM addresses"):
        root = holder.split("/ipconfigurations/")[0].split("/networkinterfaces/")
        resource = root[0] if "/virtualmachines/" in root[0] else "/networkinterfaces/".join(root)
        assert resource in known, f"an address of {holder}, which is not there"
    machines = {arm_id: str(state) for arm_id, state in cloud.core.driver.machines().items()}
    wanted = {row.id: row.internal["power"] for row in rows if "machine" in row.internal}
    assert machines == wanted, f"machines {machines}, resources {wanted}"


def acknowledged(cloud: Cloud, told: list[dict[str, Any]], last: dict[str, Any] | None) -> None:
    """What had been answered is true, as far as the request that was under way has not changed it."""
    tags: dict[str, Any] = {}
    for entry in told:
        if entry["method"] in ("PUT", "PATCH"):
            tags[entry["path"]] = {**(entry["body"].get("tags") or {})} or tags.get(entry["path"], {})
        elif entry["method"] == "DELETE":
            tags[entry["path"]] = None
    for path, expected in tags.items():
        if last is not None and last["path"] == path:
            continue
        found = cloud.core.store.get(path)
        assert (found is None) == (expected is None), f"{path} is {'gone' if found is None else 'there again'}"
        if found is not None and expected:
            assert found.body.get("tags") == expected, f"{path}: {found.body.get('tags')}, acknowledged {expected}"


def die_at(point: int, count: Path) -> None:
    """Let this process be killed before it makes its ``point``-th change durable; count in a file."""
    seen, note = 0, RecordDriver._note

    def reached() -> bool:
        nonlocal seen
        seen += 1
        count.write_text(str(seen))
        return seen == point

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def commit(statement: str) -> None:
        if statement == "COMMIT" and reached():
            die()

    def noted(self: RecordDriver, call: str, **values: Any) -> None:
        if reached():
            with self._journal.open("a") as journal:
                journal.write(json.dumps({"call": call, **values})[:40])
            die()
        note(self, call, **values)

    begin = store._Connection.__init__

    def connect(self: Any, path: Path) -> None:
        begin(self, path)
        self.db.set_trace_callback(commit)

    store._Connection.__init__ = connect  # type: ignore[method-assign]
    RecordDriver._note = noted  # type: ignore[method-assign]


def fork(work: Callable[[], None], report: Path) -> int:
    """Run work in a process of its own; answers how it ended. What it raises is in the report."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            report.write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def one(directory: Path, point: int) -> tuple[bool, str]:
    """Live until the point, die there, come back. Answers whether it came to that, and what was wrong."""
    state, log, report = directory / "state", directory / "told", directory / "report"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    report.unlink(missing_ok=True)
    log.write_text("")
    (directory / "asked").write_text("null")

    def tell(method: str, path: str, body: Any) -> None:
        with log.open("a") as told:
            told.write(json.dumps({"method": method, "path": path, "body": body}) + "\n")

    class Telling(Cloud):
        def send(self, method: str, path: str, body: Any = None) -> Any:
            (directory / "asked").write_text(json.dumps({"method": method, "path": path}))
            return super().send(method, path, body)

    def live() -> None:
        die_at(point, directory / "count")
        cloud = Telling(state, tell)
        life(cloud)
        whole(cloud)
        assert cloud.send("GET", SCALE_SET)["sku"]["capacity"] == 3

    ended = fork(live, report)
    if not os.WIFSIGNALED(ended):
        return False, report.read_text() if report.exists() else ""
    told = [json.loads(line) for line in log.read_text().splitlines()]
    asked = json.loads((directory / "asked").read_text())
    answered = bool(told) and {name: told[-1][name] for name in ("method", "path")} == asked
    under_way = None if answered else asked

    def come_back() -> None:
        cloud = Cloud(state)
        whole(cloud)
        acknowledged(cloud, told, under_way)

    fork(come_back, report)
    return True, report.read_text() if report.exists() else ""


def main(directory: Path, step: int) -> None:
    point, wrong = 1, {}
    # Read once for all processes to come.
    sizes.find("Standard_D2s_v5")
    while True:
        died, said = one(directory, point)
        if said:
            wrong[point] = said
        if not died:
            break
        point += step
    print(json.dumps({"moments": int((directory / "count").read_text()), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
