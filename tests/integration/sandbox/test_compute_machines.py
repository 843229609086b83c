# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to Resource Manager that end in booted machines: a head, an image baked from one, a scale set of it."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
import typing as t
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.machines import host
from sandbox.machines.names import prefix_of

pytestmark = [
    pytest.mark.booted,
    pytest.mark.skipif(bool(host.missing()), reason=f"this host lacks {host.missing()}"),
]
LOCATION = "westeurope"
IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
USER = "azureuser"


class Cloud:
    """Plain requests to a sandbox whose machines boot, and a way into them."""

    def __init__(self, sandbox: t.Any, key: Path) -> None:
        self._key, self._state, env = key, sandbox.state, sandbox.env
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {sandbox.run('token').stdout.strip()}"
        self._session.verify = env["REQUESTS_CA_BUNDLE"]
        self._session.proxies = {"https": env["HTTPS_PROXY"]}
        self.group = f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/rg-{uuid.uuid4().hex[:6]}"

    def send(self, method: str, path: str, body: t.Any = None) -> tuple[t.Any, dict[str, str]]:
        url = path if path.startswith("https:") else f"https://management.azure.com{path}?api-version=2024-07-01"
        answer = self._session.request(method, url, json=body, timeout=60)
        assert answer.ok, answer.text
        return (answer.json() if answer.content else None), {
            key.lower(): value for key, value in answer.headers.items()
        }

    def do(self, method: str, path: str, body: t.Any = None) -> t.Any:
        """A request and its operation; answers the resource if there is one."""
        answer, headers = self.send(method, path, body)
        while "azure-asyncoperation" in headers:
            status, _unused = self.send("GET", headers["azure-asyncoperation"])
            if status["status"] != "InProgress":
                assert status["status"] == "Succeeded", status
                break
            time.sleep(0.1)
        return self.send("GET", path)[0] if method in ("PUT", "PATCH") else answer

    def result(self, path: str, body: t.Any) -> t.Any:
        """What an action comes to."""
        _unused, headers = self.send("POST", path, body)
        while True:
            answer, later = self.send("GET", headers["location"])
            if "location" not in later:
                return answer
            time.sleep(0.1)

    def listening(self) -> set[str]:
        """What the sandbox and its machines listen on in this host's own network."""
        prefix, found = prefix_of(self._state), set()
        lines = subprocess.run(["ss", "-Hlntup"], capture_output=True, text=True, check=True).stdout.splitlines()
        for fields in map(str.split, lines):
            for process in (Path(f"/proc/{pid}") for pid in re.findall(r"pid=(\d+)", fields[-1])):
                about = (process / "cgroup").read_text() + (process / "cmdline").read_text()
                if prefix in about or str(self._state) in about:
                    found.add(fields[4])
        return found

    def network(self, kind: str, name: str, properties: t.Any, **more: t.Any) -> str:
        path = f"{self.group}/providers/Microsoft.Network/{kind}/{name}"
        self.do("PUT", path, {"location": LOCATION, "properties": properties, **more})
        return path

    def compute(self, kind: str, name: str) -> str:
        return f"{self.group}/providers/Microsoft.Compute/{kind}/{name}"

    def profile(self, custom_data: str = "") -> dict[str, t.Any]:
        keys = [{"path": f"/home/{USER}/.ssh/authorized_keys", "keyData": self._key.with_suffix(".pub").read_text()}]
        return {
            "adminUsername": USER,
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
            **({"customData": base64.b64encode(custom_data.encode()).decode()} if custom_data else {}),
        }

    def vm(self, name: str, nic: str, custom_data: str = "") -> str:
        path = self.compute("virtualMachines", name)
        properties = {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "osProfile": self.profile(custom_data),
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
        }
        self.do("PUT", path, {"location": LOCATION, "properties": properties})
        return path

    def ssh(self, address: str, script: str, jump: str = "") -> str:
        options = ["-F", "none", "-i", str(self._key), "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=10"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        if jump:
            proxy = f"ssh {' '.join(options)} -W %h:%p {USER}@{jump}"
            options += ["-o", f"ProxyCommand={proxy}"]
        done = subprocess.run(
            ["ssh", *options, f"{USER}@{address}", "bash -s"],
            input=f"set -e\n{script}",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    kind = type(request.getfixturevalue("sandbox"))
    running = kind(tmp_path_factory.mktemp("booted"))
    key = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    try:
        running.run("up", "--driver", "nspawn", "--time-scale", "0", "--owner", str(os.getpid()))
        made = Cloud(running, key)
        made.send("PUT", made.group, {"location": LOCATION})
        yield made
    finally:
        running.down()


def test_machines_boot_are_captured_multiply_and_leave(cloud: Cloud) -> None:
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.44.0.0/24"}}]
    space = {"addressSpace": {"addressPrefixes": ["10.44.0.0/24"]}, "subnets": subnets}
    subnet = cloud.network("virtualNetworks", "v", space) + "/subnets/s"
    rule = {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22",
    }  # fmt: skip
    nsg = cloud.network("networkSecurityGroups", "g", {"securityRules": [{"name": "ssh", "properties": rule}]})
    public = cloud.network("publicIPAddresses", "ip", {"publicIPAllocationMethod": "Static"}, sku={"name": "Standard"})
    address = cloud.send("GET", public)[0]["properties"]["ipAddress"]

    def nic(name: str, **more: t.Any) -> str:
        entry = {"name": "ip", "properties": {"subnet": {"id": subnet}, **more}}
        group = {"networkSecurityGroup": {"id": nsg}} if more else {}
        return cloud.network("networkInterfaces", name, {"ipConfigurations": [entry], **group})

    head = cloud.vm("head", nic("head-nic", publicIPAddress={"id": public}), "#cloud-config\nruncmd: [touch /made]\n")
    assert cloud.ssh(address, "cloud-init status --wait >/dev/null; hostname; ls /made") == "head\n/made"
    told = cloud.ssh(
        address,
        "python3 -c \"import urllib.request as u; print(u.urlopen(u.Request('http://169.254.169.254/metadata/instance/"
        "compute/resourceId?api-version=2021-02-01&format=text', headers={'Metadata': 'true'})).read().decode())\"",
    )
    assert told.lower() == head.lower()

    script = ["echo $name in $(hostname) as $(id -un)", "ls /nothing"]
    asked = {"commandId": "RunShellScript", "script": script, "parameters": [{"name": "name", "value": "x"}]}
    printed = cloud.result(f"{head}/runCommand", asked)["value"][0]["message"]
    assert printed.startswith("Enable succeeded: \n[stdout]\nx in head as root\n\n[stderr]\nls: cannot access")
    assert {address.rpartition(":")[0] for address in cloud.listening()} == {"127.0.0.1"}

    build = cloud.vm("build", nic("build-nic"))
    cloud.ssh("build", "echo baked | sudo tee /etc/baked", jump=address)
    cloud.do("POST", f"{build}/deallocate")
    cloud.send("POST", f"{build}/generalize")
    image = cloud.compute("images", "node")
    source = {"hyperVGeneration": "V2", "sourceVirtualMachine": {"id": build}}
    cloud.do("PUT", image, {"location": LOCATION, "properties": source})
    cloud.do("DELETE", build)

    entry = {"name": "ip", "properties": {"subnet": {"id": subnet}}}
    profile = {
        "osProfile": {"computerNamePrefix": "hpc-", **cloud.profile("#!/bin/sh\nhostname > /joined\n")},
        "storageProfile": {"imageReference": {"id": image}},
        "networkProfile": {
            "networkInterfaceConfigurations": [{"name": "nic", "properties": {"ipConfigurations": [entry]}}]
        },
    }
    scale_set = cloud.compute("virtualMachineScaleSets", "hpc")
    body = {
        "location": LOCATION,
        "sku": {"name": "Standard_HB120rs_v3", "capacity": 0},
        "properties": {"upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": profile},
    }
    cloud.do("PUT", scale_set, body)
    cloud.do("PATCH", scale_set, {"sku": {"capacity": 2}})
    script = "cloud-init status --wait >/dev/null; cat /etc/baked /joined; sudo cat /etc/machine-id"
    first = cloud.ssh("hpc-000000", script, jump=address).split()
    second = cloud.ssh("hpc-000001", script, jump=address).split()
    assert (first[:2], second[:2]) == (["baked", "hpc-000000"], ["baked", "hpc-000001"])
    assert first[2] != second[2]

    cloud.do("POST", f"{scale_set}/delete", {"instanceIds": ["0"]})
    listed = cloud.send("GET", f"{scale_set}/virtualMachines")[0]["value"]
    assert [row["instanceId"] for row in listed] == ["1"]
    assert cloud.ssh(address, "getent hosts hpc-000000 || echo gone") == "gone"
    cloud.do("DELETE", scale_set)
    cloud.do("POST", f"{head}/restart")
    assert cloud.ssh(address, "ls /made") == "/made"
