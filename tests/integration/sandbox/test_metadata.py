# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service and the real managed identity client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential

from sandbox.arm.core import Core, Settings
from sandbox.arm.store import Store
from sandbox.arm.tokens import Tokens
from sandbox.providers.imds import MetadataServers

VNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
IDENTITIES = [
    {"resource_id": "/ids/nodes", "client_id": "11111111-1111-4111-8111-111111111111", "principal_id": "p1"},
    {"resource_id": "/ids/other", "client_id": "22222222-2222-4222-8222-222222222222", "principal_id": "p2"},
]


@pytest.fixture
def metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataServers]:
    """The service of one virtual network, on loopback; every caller is the same machine."""
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    machine = {"resource_id": "/vm", "compute": {}, "network": {}, "identities": IDENTITIES}
    core.offer("instance_metadata", lambda vnet, address: machine if vnet == VNET else None)
    servers, loop = MetadataServers(core, Tokens(tmp_path, "tenant")), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers.start(loop)
    listener = socket.create_server(("127.0.0.1", 0))
    servers.opened(VNET, listener)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield servers
    asyncio.run_coroutine_threadsafe(servers.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    core.store.close()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_managed_identity_gets_its_own_token(metadata: MetadataServers, identity: dict[str, str]) -> None:
    credential = ManagedIdentityCredential(client_id=identity["client_id"])
    token = credential.get_token("https://management.azure.com/.default")
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert (claims["oid"], claims["xms_mirid"]) == (identity["principal_id"], identity["resource_id"])


def test_an_identity_that_the_machine_has_not_is_unavailable(metadata: MetadataServers) -> None:
    credential = ManagedIdentityCredential(client_id="33333333-3333-4333-8333-333333333333")
    with pytest.raises(CredentialUnavailableError):
        credential.get_token("https://management.azure.com/.default")
