# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure's bad days, scripted from the command line and met by plain HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests

ARM = "https://management.azure.com"
NSG = "/providers/Microsoft.Network/networkSecurityGroups"


class Caller:
    """Plain HTTP through the proxy, in a group of its own."""

    def __init__(self, sandbox: Any) -> None:
        env, self.sandbox = sandbox.env, sandbox
        self.group = f"{ARM}/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/bad-{uuid.uuid4().hex[:8]}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"https": env["HTTPS_PROXY"]}
        self.session.verify = env["REQUESTS_CA_BUNDLE"]
        self.sign_in()
        assert self.send("PUT", "", {"location": "westeurope"}).status_code == 201

    def sign_in(self) -> str:
        token = str(self.sandbox.run("token").stdout).strip()
        self.session.headers["Authorization"] = f"Bearer {token}"
        return token

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        url = f"{self.group}{path}?api-version=2025-04-01"
        return self.session.request(method, url, json=body, timeout=20, **options)

    def put_nsg(self, name: str, **options: Any) -> requests.Response:
        return self.send("PUT", f"{NSG}/{name}", {"location": "westeurope"}, **options)

    def listed(self) -> set[str]:
        return {entry["name"] for entry in self.send("GET", NSG).json()["value"]}

    def status(self, answer: requests.Response) -> str:
        return str(self.session.get(answer.headers["Azure-AsyncOperation"], timeout=20).json()["status"])

    def fault(self, *arguments: str) -> str:
        return str(self.sandbox.run("fault", *arguments).stdout)

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert time.monotonic() < deadline, "it does not happen"
            time.sleep(0.02)


@pytest.fixture
def caller(sandbox: Any) -> Iterator[Caller]:
    made = Caller(sandbox)
    yield made
    sandbox.run("fault", "clear")


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("InternalServerError", 500, "Encountered internal server error."),
        ("BadGatewayConnection", 502, "network connectivity issue encountered for 'Microsoft.Network'"),
        ("ServiceUnavailable", 503, "The service is unavailable."),
        ("GatewayTimeout", 504, "did not receive a response from 'Microsoft.Network' within the specified time period"),
        ("TooManyRequests", 429, "Too many requests. Please try again after sometime."),
        (
            "AuthorizationFailed",
            403,
            "to perform action 'Microsoft.Network/networkSecurityGroups/write' over scope '/sub",
        ),
        ("ExpiredAuthenticationToken", 401, "is earlier than current UTC time"),
    ],
)
def test_a_refusal_is_worded_as_azure_words_it(caller: Caller, code: str, status: int, text: str) -> None:
    caller.fault("add", code, "--method", "PUT", "--match", f"*{NSG}/*")
    refused, accepted = caller.put_nsg("a"), caller.put_nsg("a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert text in refused.json()["error"]["message"]
    assert accepted.status_code == 201
    assert ("WWW-Authenticate" in refused.headers) is (status == 401)


def test_compute_is_throttled_in_its_own_words(caller: Caller) -> None:
    caller.fault("add", "TooManyRequests", "--match", "Microsoft.Compute/virtualMachineScaleSets", "--retry-after", "9")
    refused = caller.send("GET", "/providers/Microsoft.Compute/virtualMachineScaleSets")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], refused.headers["Retry-After"]) == (429, "OperationNotAllowed", "9")
    assert error["details"][0]["target"] == "HighCostGetVMScaleSetSubscriptionMaximum"


def test_limits_of_requests_are_enforced_when_they_are_switched_on(caller: Caller) -> None:
    path = "/providers/Microsoft.Compute/virtualMachines/none"
    free = [caller.send("GET", path).status_code for _unused in range(40)]
    assert set(free) == {404}
    assert "enforced" in caller.fault("throttling", "on")
    try:
        answers = [caller.send("GET", path) for _unused in range(40)]
    finally:
        assert "not enforced" in caller.fault("throttling", "auto")
    codes = [answer.status_code for answer in answers]
    assert codes.count(404) in (36, 37)
    assert codes[-1] == 429
    assert "LowCostGetResource;35" in answers[0].headers["x-ms-ratelimit-remaining-resource"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 5


def test_an_operation_hangs_until_the_rule_is_cleared(caller: Caller) -> None:
    caller.fault("add", "Hang", "--match", f"*{NSG}/h")
    answer = caller.put_nsg("h")
    other = caller.put_nsg("quick")
    caller.until(lambda: caller.status(other) == "Succeeded")
    assert caller.status(answer) == "InProgress"
    assert caller.send("GET", f"{NSG}/h").json()["properties"]["provisioningState"] == "Updating"
    caller.fault("clear")
    caller.until(lambda: caller.status(answer) == "Succeeded")


def test_lists_lag_behind_what_single_reads_tell(caller: Caller) -> None:
    caller.put_nsg("old")
    caller.until(lambda: caller.listed() == {"old"})
    # Time stands, so that a slow machine does not outlive the delay before it looks.
    caller.sandbox.run("clock", "stop")
    try:
        caller.sandbox.run("clock", "advance", "31")
        caller.fault("add", "StaleList", "--delay", "30", "--match", "Microsoft.Network/*", "--count", "-1")
        caller.put_nsg("new")
        caller.send("DELETE", f"{NSG}/old")
        caller.until(lambda: caller.send("GET", f"{NSG}/old").status_code == 404)
        assert caller.send("GET", f"{NSG}/new").status_code == 200
        assert caller.listed() == {"old"}
        caller.sandbox.run("clock", "advance", "31")
        assert caller.listed() == {"new"}
    finally:
        caller.fault("clear")
        caller.sandbox.run("clock", "real")


def test_an_etag_can_have_changed_meanwhile(caller: Caller) -> None:
    caller.put_nsg("e")
    caller.fault("add", "PreconditionFailed", "--match", f"*{NSG}/e")
    assert caller.put_nsg("e").status_code == 200
    refused = caller.put_nsg("e", headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (412, "PreconditionFailed")


def test_tokens_expire_at_once_or_soon(new_sandbox: Callable[[], Any]) -> None:
    sandbox = new_sandbox()
    sandbox.up()
    caller = Caller(sandbox)
    caller.fault("tokens", "--expire")
    refused = caller.send("GET", "")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    caller.fault("tokens", "--lifetime", "60")
    claims = jwt.decode(caller.sign_in(), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60
    assert caller.send("GET", "").status_code == 200


def test_an_answer_can_be_slow(caller: Caller) -> None:
    caller.fault("add", "Slow", "--delay", "0.4", "--match", f"*{NSG}/s")
    began = time.monotonic()
    assert caller.put_nsg("s").status_code == 201
    assert time.monotonic() - began >= 0.4


def scale_set(caller: Caller, name: str, capacity: int, **profile: Any) -> str:
    """A scale set of Spot machines, made by plain requests; answers its path below the group."""
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    vnet = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    network = "/providers/Microsoft.Network/virtualNetworks/v"
    made = caller.send("PUT", network, {"location": "westeurope", "properties": vnet})
    caller.until(lambda: caller.status(made) == "Succeeded")
    subnet = {"id": f"{caller.group.removeprefix(ARM)}{network}/subnets/s"}
    address = {"name": "ip", "properties": {"subnet": subnet}}
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [address]}}
    key = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA someone"}
    login = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    image = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
    model = {
        "priority": "Spot",
        "evictionPolicy": "Delete",
        "osProfile": {"computerNamePrefix": name, "adminUsername": "azureuser", "linuxConfiguration": login},
        "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
        "networkProfile": {"networkInterfaceConfigurations": [nic]},
        **profile,
    }
    path = f"/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"
    properties = {"upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": model}
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard_D2s_v5", "capacity": capacity},
        "properties": properties,
    }
    answer = caller.send("PUT", path, body)
    assert answer.status_code == 201, answer.text
    caller.until(lambda: caller.status(answer) != "InProgress")
    return path


def test_single_machines_of_a_growth_fail_and_others_die(caller: Caller) -> None:
    name = f"s{uuid.uuid4().hex[:6]}"
    match = ("--match", f"*/virtualMachineScaleSets/{name}")
    caller.fault("add", "ZonalAllocationFailed", "--when", "machine", *match)
    path = scale_set(caller, name, 3)
    rows = caller.send("GET", f"{path}/virtualMachines").json()["value"]
    assert sorted(row["properties"]["provisioningState"] for row in rows) == ["Failed", "Succeeded", "Succeeded"]
    (alive, other) = [row["instanceId"] for row in rows if row["properties"]["provisioningState"] == "Succeeded"]
    assert "crash" in caller.fault("crash", f"{name}_{alive}")
    agents = [
        caller.send("GET", f"{path}/virtualMachines/{number}/instanceView").json()["vmAgent"]["statuses"][0]
        for number in (alive, other)
    ]
    assert [agent["displayStatus"] for agent in agents] == ["Not Ready", "Ready"]


def test_a_machine_that_is_not_there_cannot_be_taken(caller: Caller) -> None:
    done = caller.sandbox.run("fault", "evict", "nobody", check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: no machine is called 'nobody'\n")
