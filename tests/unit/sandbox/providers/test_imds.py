# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sandbox.arm.core import Core, Settings
from sandbox.arm.store import Store
from sandbox.arm.tokens import Tokens
from sandbox.providers.imds import Metadata

VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
HEADER = {"Metadata": "true"}
NODES = {"resource_id": "/ids/nodes", "client_id": "c1", "principal_id": "p1"}
OTHER = {"resource_id": "/ids/other", "client_id": "c2", "principal_id": "p2"}


class Client:
    """Speaks to the service from one address."""

    def __init__(self, app: Starlette, address: str) -> None:
        self._transport = httpx.ASGITransport(app, client=(address, 40000))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._send("GET", path, options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._send("POST", path, options))

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://169.254.169.254") as client:
            return await client.request(method, path, **options)


def client_of(
    tmp_path: Path,
    identities: list[dict[str, str]],
    address: str = "10.0.0.4",
    offer: dict[str, Any] | None = None,
) -> Client:
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    machine = {
        "resource_id": "/vm",
        "compute": {"name": "set_3", "vmId": "v", "tagsList": [{"name": "a", "value": "b"}]},
        "network": {"interface": []},
        "identities": identities,
    }
    core.offer("instance_metadata", lambda vnet, ip: machine if (vnet, ip) == (VNET, "10.0.0.4") else None)
    for name, service in (offer or {}).items():
        core.offer(name, service)
    app = Metadata(core, Tokens(tmp_path, "tenant"), VNET).app()
    return Client(app, address)


def test_the_header_is_required_and_forwarding_refused(tmp_path: Path) -> None:
    client = client_of(tmp_path, [])
    bare = client.get("/metadata/instance?api-version=2021-02-01")
    assert (bare.status_code, bare.json()) == (400, {"error": "Bad request. Required metadata header not specified"})
    assert client.get("/metadata/instance", headers={**HEADER, "X-Forwarded-For": "1.2.3.4"}).status_code == 400


def test_a_machine_reads_about_itself_whole_or_by_path(tmp_path: Path) -> None:
    client = client_of(tmp_path, [])
    whole = client.get("/metadata/instance?api-version=2021-02-01", headers=HEADER).json()
    assert whole["compute"]["name"] == "set_3"
    name = client.get("/metadata/instance/compute/name?api-version=2021-02-01&format=text", headers=HEADER)
    assert name.text == "set_3"
    tag = client.get("/metadata/instance/compute/tagsList/0/value?api-version=2021-02-01&format=text", headers=HEADER)
    assert tag.text == "b"
    assert client.get("/metadata/instance/compute/nothing?api-version=2021-02-01", headers=HEADER).status_code == 404


def test_an_address_that_is_no_machines_gets_nothing(tmp_path: Path) -> None:
    client = client_of(tmp_path, [NODES], address="10.0.0.5")
    token = client.get("/metadata/identity/oauth2/token?resource=r", headers=HEADER)
    assert client.get("/metadata/instance?api-version=2021-02-01", headers=HEADER).status_code == 404
    assert token.status_code == 404


@pytest.mark.parametrize(
    ("identities", "query", "client"),
    [
        ([NODES], "", "c1"),
        ([NODES, OTHER], "&client_id=C2", "c2"),
        ([NODES, OTHER], "&msi_res_id=/ids/Other", "c2"),
        ([NODES, OTHER], "&object_id=p1", "c1"),
        ([{**OTHER, "system": "true"}, NODES], "", "c2"),
        ([], "", None),
        ([NODES, OTHER], "", None),
        ([NODES], "&client_id=c2", None),
    ],
)
def test_tokens_are_for_identities_that_the_machine_has(
    tmp_path: Path, identities: list[dict[str, str]], query: str, client: str | None
) -> None:
    url = f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/{query}"
    answer = client_of(tmp_path, identities).get(url, headers=HEADER)
    if client is None:
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        return
    body = answer.json()
    assert body["client_id"] == client
    claims = Tokens(tmp_path, "tenant").verify(f"Bearer {body['access_token']}")
    assert claims["oid"] == client.replace("c", "p")
    assert all(isinstance(value, str) for value in body.values())


def test_scheduled_events_are_empty_and_bad_acknowledgements_refused(tmp_path: Path) -> None:
    client = client_of(tmp_path, [])
    url = "/metadata/scheduledevents?api-version=2020-07-01"
    assert client.get(url, headers=HEADER).json() == {"DocumentIncarnation": 1, "Events": []}
    assert client.post(url, headers=HEADER, content=b"[").status_code == 400
    good = json.dumps({"StartRequests": [{"EventId": "e"}]}).encode()
    assert client.post(url, headers=HEADER, content=good).status_code == 200


def test_a_listener_handed_over_before_the_loop_runs_is_closed_not_leaked(tmp_path: Path) -> None:
    from sandbox.providers.imds import MetadataServers

    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        MetadataServers(core, Tokens(tmp_path, "tenant")).opened(VNET, listener)
        assert listener.fileno() == -1


class Events:
    """Takes the place of what compute offers."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def document(self, resource_id: str) -> dict[str, Any]:
        return {"DocumentIncarnation": 2, "Events": [{"EventId": "E1", "Resources": [resource_id]}]}

    def start(self, resource_id: str, event_ids: list[str]) -> None:
        self.started += event_ids


def test_scheduled_events_are_told_and_acknowledged(tmp_path: Path) -> None:
    events = Events()
    client = client_of(tmp_path, [], offer={"scheduled_events": events})
    path = "/metadata/scheduledevents?api-version=2020-07-01"
    assert client.get(path, headers=HEADER).json()["Events"][0]["Resources"] == ["/vm"]
    assert client.get(path).status_code == 400
    assert client.get("/metadata/scheduledevents", headers=HEADER).status_code == 400
    assert client.post(path, headers=HEADER, json={"StartRequests": [{"EventId": "E1"}]}).status_code == 200
    assert client.post(path, headers=HEADER, json={"StartRequests": "E1"}).status_code == 400
    assert events.started == ["E1"]
