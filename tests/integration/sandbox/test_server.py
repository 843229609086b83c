# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server from outside: signing in, refusals, operations, faults, and a life of starts, kills and restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from sandbox.state import start_time

ROOT = Path(__file__).resolve().parents[3]
ARM = "https://management.azure.com"
NSG = "/providers/Microsoft.Network/networkSecurityGroups"


class Sandbox(Protocol):
    state: Path
    env: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]: ...
    def up(self, *options: str) -> None: ...
    def down(self) -> None: ...
    def status(self) -> dict[str, Any]: ...


class Caller:
    """Plain HTTP through the proxy, as a client sees it."""

    def __init__(self, sandbox: Sandbox) -> None:
        env = sandbox.env
        self.subscription = f"{ARM}/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}"
        self.group = f"{self.subscription}/resourceGroups/server-{uuid.uuid4().hex[:8]}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"https": env["HTTPS_PROXY"]}
        self.session.verify = env["REQUESTS_CA_BUNDLE"]
        self.session.headers["Authorization"] = f"Bearer {sandbox.run('token').stdout.strip()}"

    def send(self, method: str, url: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.request(method, f"{url}?api-version=2025-04-01", json=body, timeout=60, **options)

    def make_group(self) -> str:
        assert self.send("PUT", self.group, {"location": "westeurope"}).status_code == 201
        return self.group

    def put_nsg(self, name: str) -> requests.Response:
        return self.send("PUT", f"{self.group}{NSG}/{name}", {"location": "westeurope"})

    def finish(self, answer: requests.Response) -> dict[str, Any]:
        """Poll until the operation is over; answers its last status."""
        url = answer.headers["Azure-AsyncOperation"]
        for _unused in range(5000):
            status: dict[str, Any] = self.session.get(url, timeout=60).json()
            if status["status"] != "InProgress":
                return status
            time.sleep(0.02)
        raise AssertionError(f"{url} does not end")


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Caller]:
    made = Caller(sandbox)
    made.make_group()
    yield made
    sandbox.run("fault", "clear")


def test_the_environment_has_the_names_of_azcollection_and_of_azure_identity(sandbox: Sandbox) -> None:
    env = sandbox.env
    assert env["AZURE_SECRET"] == env["AZURE_CLIENT_SECRET"]
    assert env["AZURE_TENANT"] == env["AZURE_TENANT_ID"]
    shell = sandbox.run("env").stdout
    assert f"export HTTPS_PROXY={env['HTTPS_PROXY']}" in shell
    assert (sandbox.state / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_a_credential_from_the_environment_signs_in(azure_environment: dict[str, str]) -> None:
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default")
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert claims["tid"] == azure_environment["AZURE_TENANT"]
    assert claims["appid"] == azure_environment["AZURE_CLIENT_ID"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": str(uuid.uuid4())}, "AADSTS700016"),
        ({"tenant_id": str(uuid.uuid4())}, "AADSTS90002"),
    ],
)
def test_a_wrong_credential_is_refused_with_azures_code(
    azure_environment: dict[str, str], change: dict[str, str], code: str
) -> None:
    env = azure_environment
    given = {
        "tenant_id": env["AZURE_TENANT"],
        "client_id": env["AZURE_CLIENT_ID"],
        "client_secret": env["AZURE_SECRET"],
    }
    with pytest.raises(ClientAuthenticationError, match=code):
        ClientSecretCredential(**{**given, **change}).get_token("https://management.azure.com/.default")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "AuthenticationFailed"),
        ("Basic abc", "AuthenticationFailed"),
        ("Bearer not-a-token", "InvalidAuthenticationToken"),
        (f"Bearer {jwt.encode({'aud': ARM, 'tid': 'x', 'exp': 9**10}, 'k' * 32)}", "InvalidAuthenticationToken"),
    ],
)
def test_a_call_without_a_good_token_gets_401_and_a_challenge(
    caller: Caller, authorization: str | None, code: str
) -> None:
    caller.session.headers["Authorization"] = authorization or ""
    if authorization is None:
        del caller.session.headers["Authorization"]
    answer = caller.send("GET", caller.group)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer.headers["WWW-Authenticate"].startswith('Bearer authorization_uri="https://login.microsoftonline.com/')


def test_a_token_for_another_audience_is_refused(caller: Caller, sandbox: Sandbox) -> None:
    env = sandbox.env
    form = {"client_id": env["AZURE_CLIENT_ID"], "client_secret": env["AZURE_SECRET"]}
    form |= {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"}
    url = f"https://login.microsoftonline.com/{env['AZURE_TENANT']}/oauth2/v2.0/token"
    token = caller.session.post(url, data=form, timeout=60).json()["access_token"]
    caller.session.headers["Authorization"] = f"Bearer {token}"
    assert caller.send("GET", caller.group).json()["error"]["code"] == "InvalidAuthenticationTokenAudience"


@pytest.mark.parametrize("target", ["example.com:443", "management.azure.com:80", "127.0.0.1:22"])
def test_the_proxy_refuses_everything_that_is_not_azure(sandbox: Sandbox, target: str) -> None:
    port = int(sandbox.env["HTTPS_PROXY"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 403 ")


def test_plain_http_through_the_proxy_is_refused(sandbox: Sandbox) -> None:
    proxy = {"http": sandbox.env["HTTPS_PROXY"]}
    answer = requests.get("http://management.azure.com/", proxies=proxy, timeout=60)
    assert answer.status_code == 403


def test_the_command_lines_door_is_closed_to_clients(caller: Caller) -> None:
    assert caller.send("POST", f"{ARM}/sandbox/status").status_code == 403


def test_every_answer_has_azures_headers(caller: Caller) -> None:
    answer = caller.send("GET", caller.group, headers={"x-ms-correlation-request-id": "mine"})
    assert uuid.UUID(answer.headers["x-ms-request-id"])
    assert answer.headers["x-ms-correlation-request-id"] == "mine"
    first = int(answer.headers["x-ms-ratelimit-remaining-subscription-global-reads"])
    assert 0 < first < 16500


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/providers/Microsoft.Nothing/things", 404, "InvalidResourceNamespace"),
        ("GET", "/providers/Microsoft.Network/things", 404, "InvalidResourceType"),
        ("GET", f"{NSG}/none", 404, "ResourceNotFound"),
        ("GET", "/providers/Microsoft.Network/virtualNetworks/none/subnets/s", 404, "ResourceNotFound"),
        ("POST", f"{NSG}/none", 405, "MethodNotAllowed"),
    ],
)
def test_what_is_not_there_is_refused_as_azure_does(
    caller: Caller, method: str, path: str, status: int, code: str
) -> None:
    answer = caller.send(method, caller.group + path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_request_without_api_version_is_refused(caller: Caller) -> None:
    answer = caller.session.get(caller.group, timeout=60)
    assert answer.json()["error"]["code"] == "MissingApiVersionParameter"


def test_a_body_that_is_no_json_is_refused(caller: Caller) -> None:
    url = f"{caller.group}{NSG}/n?api-version=2025-04-01"
    answer = caller.session.put(url, data=b"{'location'", timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")


def test_a_network_write_is_polled_at_its_operation_and_a_delete_at_both(caller: Caller) -> None:
    made = caller.put_nsg("n")
    assert made.status_code == 201
    assert made.json()["properties"]["provisioningState"] == "Updating"
    assert "Location" not in made.headers
    assert caller.finish(made) == {"status": "Succeeded"}
    gone = caller.send("DELETE", f"{caller.group}{NSG}/n")
    assert (gone.status_code, gone.content) == (202, b"")
    assert "/operationResults/" in gone.headers["Location"]
    caller.finish(gone)
    assert caller.session.get(gone.headers["Location"], timeout=60).status_code == 204
    assert caller.send("DELETE", f"{caller.group}{NSG}/n").status_code == 204


def test_names_keep_their_first_spelling_and_paths_any_case(caller: Caller) -> None:
    caller.finish(caller.put_nsg("MyGroup"))
    path = f"{caller.group}{NSG}/mygroup".replace("resourceGroups", "RESOURCEGROUPS").replace("networkS", "NETWORKs")
    assert caller.send("GET", path).json()["name"] == "MyGroup"


def test_a_scripted_refusal_happens_as_often_as_it_was_asked_for(caller: Caller, sandbox: Sandbox) -> None:
    match = "Microsoft.Network/networkSecurityGroups"
    sandbox.run("fault", "add", "TooManyRequests", "--method", "PUT", "--match", match, "--retry-after", "7")
    refused, accepted = caller.put_nsg("a"), caller.put_nsg("a")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert refused.json()["error"]["code"] == "TooManyRequests"
    assert accepted.status_code == 201
    assert json.loads(sandbox.run("fault", "list", "--json").stdout)[0]["hits"] == 1


def test_a_scripted_failure_is_accepted_first_and_leaves_a_failed_resource(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.run("fault", "add", "InternalError", "--when", "async", "--match", "*/networkSecurityGroups/b")
    answer = caller.put_nsg("b")
    assert answer.status_code == 201
    status = caller.finish(answer)
    assert (status["status"], status["error"]["code"]) == ("Failed", "InternalError")
    read = caller.send("GET", f"{caller.group}{NSG}/b").json()
    assert read["properties"]["provisioningState"] == "Failed"


def test_a_scripted_reset_cuts_the_connection_once(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.run("fault", "add", "ConnectionReset", "--match", "Microsoft.Resources/resourceGroups")
    with pytest.raises(requests.ConnectionError):
        caller.send("GET", caller.group)
    assert caller.send("GET", caller.group).status_code == 200


def test_a_bad_rule_is_refused_with_its_reason(sandbox: Sandbox) -> None:
    done = sandbox.run("fault", "add", "Slow", check=False)
    assert done.returncode == 1
    assert "--delay" in done.stderr


def test_requests_are_counted_by_method_and_type(caller: Caller, sandbox: Sandbox) -> None:
    before = sandbox.status()["requests"].get("PUT Microsoft.Network/networkSecurityGroups", 0)
    caller.put_nsg("x")
    caller.put_nsg("y")
    assert sandbox.status()["requests"]["PUT Microsoft.Network/networkSecurityGroups"] == before + 2


def test_cloud_metadata_is_an_object_now_and_a_list_before(caller: Caller) -> None:
    def read(version: str) -> Any:
        return caller.session.get(f"{ARM}/metadata/endpoints?api-version={version}", timeout=60).json()

    assert read("2022-09-01")["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com/"
    assert read("2019-05-01")[0]["name"] == "AzureCloud"


def test_subscriptions_and_regions_are_listed(caller: Caller) -> None:
    listed = caller.send("GET", f"{ARM}/subscriptions").json()["value"]
    assert [entry["id"] for entry in listed] == [urllib.parse.urlparse(caller.subscription).path]
    regions = caller.send("GET", f"{caller.subscription}/locations").json()["value"]
    assert {"westeurope", "eastus", "northeurope", "southcentralus"} <= {region["name"] for region in regions}


def test_prices_are_filtered_without_a_token(caller: Caller) -> None:
    del caller.session.headers["Authorization"]
    wanted = "armRegionName eq 'westeurope' and serviceName eq 'Virtual Machines' and armSkuName eq 'Standard_D4s_v5'"
    query = urllib.parse.urlencode({"api-version": "2023-01-01-preview", "$filter": wanted})
    answer = caller.session.get(f"https://prices.azure.com/api/retail/prices?{query}", timeout=60).json()
    assert answer["Count"] == len(answer["Items"]) > 0
    assert {item["armSkuName"] for item in answer["Items"]} == {"Standard_D4s_v5"}


def test_roles_are_found_by_name_and_assigned_once(caller: Caller) -> None:
    identity = f"{caller.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
    principal = caller.send("PUT", identity, {"location": "westeurope"}).json()["properties"]["principalId"]
    roles = f"{caller.group}/providers/Microsoft.Authorization/roleDefinitions"
    query = {"$filter": "roleName eq 'Reader'", "api-version": "2022-04-01"}
    found = caller.session.get(roles, params=query, timeout=60).json()["value"]
    assert [role["name"] for role in found] == ["acdd72a7-3385-48ef-bd42-f606fba81ae7"]

    def assign(name: str, who: str) -> requests.Response:
        body = {"properties": {"roleDefinitionId": found[0]["id"], "principalId": who}}
        return caller.send("PUT", f"{caller.group}/providers/Microsoft.Authorization/roleAssignments/{name}", body)

    first = str(uuid.uuid4())
    assert assign(first, principal).json()["properties"]["principalType"] == "ServicePrincipal"
    assert assign(first, principal).status_code == 201
    assert assign(str(uuid.uuid4()), principal).json()["error"]["code"] == "RoleAssignmentExists"
    assert assign(str(uuid.uuid4()), str(uuid.uuid4())).json()["error"]["code"] == "PrincipalNotFound"


# a life of starts and kills


def test_state_and_ports_survive_a_kill_and_unfinished_operations_are_resumed(
    new_sandbox: Callable[[], Sandbox],
) -> None:
    sandbox = new_sandbox()
    sandbox.run("up", "--driver", "record", "--time-scale", "1")
    caller, env = Caller(sandbox), sandbox.env
    caller.make_group()
    pending = caller.put_nsg("n")
    assert pending.json()["properties"]["provisioningState"] == "Updating"
    os.kill(sandbox.status()["pid"], signal.SIGKILL)
    sandbox.run("up")
    assert sandbox.env == env
    assert sandbox.status()["time_scale"] == 1
    assert caller.finish(pending) == {"status": "Succeeded"}
    read = caller.send("GET", f"{caller.group}{NSG}/n").json()
    assert read["properties"]["provisioningState"] == "Succeeded"


def test_up_twice_is_one_server_even_at_the_same_time(new_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = new_sandbox()
    command = [sys.executable, "-m", "sandbox", "up", "--time-scale", "0", "--state", str(sandbox.state)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _unused in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("already running" in output for output in outputs) == 1
    assert "already running" in sandbox.run("up").stdout


def test_down_stops_the_server_and_wipe_removes_the_state(new_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = new_sandbox()
    sandbox.up()
    pid = sandbox.status()["pid"]
    sandbox.run("down")
    assert start_time(pid) == 0
    assert sandbox.status()["running"] is False
    assert (sandbox.state / "state.db").exists()
    sandbox.run("down", "--wipe")
    assert not sandbox.state.exists()


def test_an_ephemeral_sandbox_leaves_nothing(new_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = new_sandbox()
    sandbox.up("--ephemeral")
    sandbox.run("down")
    assert not sandbox.state.exists()


@pytest.mark.parametrize("patience", [0.05, 0.3])
def test_a_start_that_was_killed_halfway_leaves_no_server_after_down(
    new_sandbox: Callable[[], Sandbox], patience: float
) -> None:
    sandbox = new_sandbox()
    command = [sys.executable, "-m", "sandbox", "up", "--state", str(sandbox.state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as up:
        while not (sandbox.state / "starting").exists():
            time.sleep(0.005)
        time.sleep(patience)
        up.kill()
    pid = int((sandbox.state / "starting").read_text().split()[0])
    sandbox.run("down")
    assert start_time(pid) == 0


def test_down_does_not_kill_a_stranger_who_got_the_pid(new_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = new_sandbox()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        about = {"pid": stranger.pid, "started": 1, "tls_port": 1, "proxy_port": 1, "driver": "record"}
        (sandbox.state / "server.json").write_text(json.dumps(about))
        (sandbox.state / "lock").write_text(f"{stranger.pid} 1")
        assert "not running" in sandbox.run("down").stdout
        assert stranger.poll() is None
        stranger.kill()


def test_commands_that_need_a_server_say_so_when_there_is_none(new_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = new_sandbox()
    for command in (("env",), ("fault", "list"), ("token",)):
        done = sandbox.run(*command, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("sandbox: no sandbox ")
