# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service at 169.254.169.254, one small server per virtual network.

A machine is known by the network that it speaks from and its private address. What it is told comes from the compute
provider; tokens only for identities that the machine has.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.tokens import Principal, Tokens
from sandbox.clock import clock

# What the real service lists in its error; the newest is taken for what is not listed.
VERSIONS = (
    "2017-08-01",
    "2018-02-01",
    "2019-03-11",
    "2020-06-01",
    "2020-09-01",
    "2021-01-01",
    "2021-02-01",
    "2021-12-13",
)
Lookup = Callable[[str, str], dict[str, Any] | None]


class Metadata:
    """The service as the machines of one virtual network see it."""

    def __init__(self, core: Core, tokens: Tokens, vnet_id: str) -> None:
        self._core = core
        self._tokens = tokens
        self._vnet_id = vnet_id

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/metadata/instance{rest:path}", self._instance),
                Route("/metadata/identity/oauth2/token", self._token),
                Route("/metadata/identity/info", self._info),
                Route("/metadata/scheduledevents", self._events, methods=["GET", "POST"]),
                Route("/metadata/versions", self._versions),
            ]
        )

    async def _machine(self, request: Request) -> dict[str, Any] | Response:
        """What is known of the caller, or the refusal."""
        if request.headers.get("metadata", "").lower() != "true":
            return _error(400, "Bad request. Required metadata header not specified")
        if "x-forwarded-for" in request.headers:
            return _error(400, "Bad request. Forwarded requests are not allowed")
        lookup: Lookup = self._core.service("instance_metadata", lambda vnet, address: None)
        address = request.client.host if request.client else ""
        found = await run_in_threadpool(lookup, self._vnet_id, address)
        return found if found is not None else _error(404, "Not found")

    async def _versions(self, request: Request) -> Response:
        machine = await self._machine(request)
        return machine if isinstance(machine, Response) else JSONResponse({"apiVersions": list(VERSIONS)})

    async def _instance(self, request: Request) -> Response:
        machine = await self._machine(request)
        if isinstance(machine, Response):
            return machine
        if "api-version" not in request.query_params:
            text = "Bad request. api-version is invalid or was not specified in the request."
            return JSONResponse({"error": text, "newest-versions": list(VERSIONS[:-4:-1])}, 400)
        value: Any = {"compute": machine["compute"], "network": machine["network"]}
        for part in filter(None, request.path_params["rest"].split("/")):
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, ValueError, IndexError, TypeError):
                return _error(404, "Not found")
        if request.query_params.get("format", "json").lower() == "text":
            return PlainTextResponse(_text(value))
        if not isinstance(value, dict | list):
            return _error(404, "Not found")
        return JSONResponse(value)

    async def _token(self, request: Request) -> Response:
        machine = await self._machine(request)
        if isinstance(machine, Response):
            return machine
        query = request.query_params
        audience = query.get("resource", "")
        if not audience:
            return _refusal("invalid_request", "Required audience parameter not specified")
        identity = _choose(machine["identities"], query)
        if isinstance(identity, str):
            return _refusal("invalid_request", identity)
        principal = Principal(identity["principal_id"], identity["client_id"], identity["resource_id"])
        lifetime = self._tokens.lifetime
        token = self._tokens.issue(principal, audience)
        now = int(clock.now())
        return JSONResponse(
            {
                "access_token": token,
                "client_id": identity["client_id"],
                "expires_in": str(lifetime),
                "expires_on": str(now + lifetime),
                "ext_expires_in": str(lifetime),
                "not_before": str(now),
                "resource": audience,
                "token_type": "Bearer",
            }
        )

    async def _info(self, request: Request) -> Response:
        machine = await self._machine(request)
        return machine if isinstance(machine, Response) else JSONResponse({"tenantId": self._core.settings.tenant})

    async def _events(self, request: Request) -> Response:
        machine = await self._machine(request)
        if isinstance(machine, Response):
            return machine
        if "api-version" not in request.query_params:
            return _error(400, "Bad request. api-version is invalid or was not specified in the request.")
        service = self._core.service("scheduled_events")
        if request.method == "POST":
            return await self._acknowledge(request, machine["resource_id"], service)
        if service is None:
            return JSONResponse({"DocumentIncarnation": 1, "Events": []})
        return JSONResponse(await run_in_threadpool(service.document, machine["resource_id"]))

    async def _acknowledge(self, request: Request, resource_id: str, service: Any) -> Response:
        try:
            body = await request.json()
            events = [entry["EventId"] for entry in body["StartRequests"]]
        except (ValueError, KeyError, TypeError):
            return _error(400, "Bad request. The request body is malformed")
        if service is not None:
            await run_in_threadpool(service.start, resource_id, events)
        return Response(status_code=200)


def _choose(identities: list[dict[str, str]], query: Any) -> dict[str, str] | str:
    """The identity that the query asks for; the reason if there is none."""
    named = {
        "client_id": query.get("client_id", ""),
        "principal_id": query.get("object_id", "") or query.get("principal_id", ""),
        "resource_id": query.get("msi_res_id", "") or query.get("mi_res_id", ""),
    }
    wanted = {key: value.lower() for key, value in named.items() if value}
    for identity in identities:
        if wanted and all(ids.key(identity[key]) == value.rstrip("/") for key, value in wanted.items()):
            return identity
    if wanted or not identities:
        return "Identity not found"
    system = [identity for identity in identities if identity.get("system")]
    if system:
        return system[0]
    if len(identities) > 1:
        return "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity"
    return identities[0]


def _text(value: Any) -> str:
    """Directories as lists of their entries, values as they are."""
    if isinstance(value, dict):
        return "\n".join(f"{key}/" if isinstance(entry, dict | list) else key for key, entry in value.items())
    if isinstance(value, list):
        return "\n".join(f"{number}/" for number in range(len(value)))
    return str(value)


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


def _refusal(code: str, text: str) -> Response:
    return JSONResponse({"error": code, "error_description": text}, 400)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class MetadataServers:
    """Runs one server per virtual network on the listeners that the driver hands over, from whatever thread."""

    def __init__(self, core: Core, tokens: Tokens) -> None:
        self._core = core
        self._tokens = tokens
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[str, tuple[_Server, asyncio.Task[None]]] = {}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        """Serve a virtual network; see ``sandbox.machines.MetadataListener``."""
        if self._loop is None:
            listener.close()
        else:
            self._loop.call_soon_threadsafe(self._open, vnet_id, listener)

    def closed(self, vnet_id: str) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._close, vnet_id)

    def _open(self, vnet_id: str, listener: socket.socket) -> None:
        self._close(vnet_id)
        app = Metadata(self._core, self._tokens, vnet_id).app()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
        )
        server = _Server(config)
        self._running[ids.key(vnet_id)] = (server, asyncio.ensure_future(server.serve(sockets=[listener])))

    def _close(self, vnet_id: str) -> None:
        server, _unused = self._running.pop(ids.key(vnet_id), (None, None))
        if server is not None:
            server.should_exit = True

    async def close(self) -> None:
        """Stop all of them."""
        tasks = [task for _unused, task in self._running.values()]
        for server, _unused in self._running.values():
            server.should_exit = True
        if tasks:
            await asyncio.wait(tasks, timeout=3)
