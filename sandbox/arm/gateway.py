# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPS side: hosts, tokens, headers, faults, counting; hands ARM requests to ``dispatch`` in a thread."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

import pyjson5
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from sandbox.arm import batch, directory
from sandbox.arm.access import Access
from sandbox.arm.actions import action_of, is_list, provider_of, scope_of
from sandbox.arm.compute_buckets import charge
from sandbox.arm.core import Core
from sandbox.arm.dispatch import dispatch
from sandbox.arm.errors import ArmError
from sandbox.arm.login import Login, cloud_metadata
from sandbox.arm.messages import Answer, Request, tidy
from sandbox.arm.router import Route
from sandbox.arm.throttling import KINDS, Throttling
from sandbox.arm.tokens import Tokens
from sandbox.clock import clock
from sandbox.fault_codes import worded
from sandbox.faults import Fault

LOGIN_HOSTS = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"]
Admin = Callable[[Any], Any]


class Gateway:
    """Everything that listens on the TLS port.

    ``admin_token`` opens ``/sandbox/<name>`` on localhost for the command line; ``reset`` cuts a proxied connection by
    the port that it comes from.
    """

    def __init__(
        self, core: Core, tokens: Tokens, login: Login, admin_token: str, reset: Callable[[int], bool]
    ) -> None:
        self._core = core
        self._tokens = tokens
        self._login = login
        self._admin_token = admin_token
        self._reset = reset
        self.access = Access(core)
        self.throttling = Throttling(core.store, core.settings.time_scale)
        self.counts: Counter[str] = Counter()
        self.admin: dict[str, Admin] = {}
        self.prices: Callable[[Request], Answer] | None = None

    def app(self) -> Starlette:
        return Starlette(routes=[HttpRoute("/{path:path}", self._serve, methods=METHODS)])

    async def _serve(self, http: HttpRequest) -> Response:
        host = http.headers.get("host", "localhost")
        name, path = host.partition(":")[0].lower(), http.scope["path"]
        raw = await http.body()
        if path.startswith("/sandbox/"):
            return _response(await run_in_threadpool(self._serve_admin, http, name, raw))
        if name == directory.HOST:
            self.counts[f"{http.method} graph"] += 1
            return _response(directory.answer(self._tokens, dict(http.headers)))
        query = {key.lower(): value for key, value in parse_qsl(http.url.query, keep_blank_values=True)}
        answer = self._serve_public(http, name, f"https://{host}", path, query, raw)
        if answer is not None:
            return _response(answer)
        request = Request(self._core, http.method, tidy(path), {}, query, dict(http.headers), f"https://{host}")
        if name == "prices.azure.com":
            return await self._serve_prices(request)
        if request.method == "POST" and request.path.lower() == batch.PATH:
            return await self._serve_batch(http, request, raw)
        return await self._serve_arm(http, request, raw)

    def _serve_public(
        self, http: HttpRequest, name: str, base_url: str, path: str, query: dict[str, str], raw: bytes
    ) -> Answer | None:
        """What needs no token: signing in, the description of the cloud."""
        if path.lower().rstrip("/") == "/metadata/endpoints":
            return Answer(200, cloud_metadata(base_url, query.get("api-version", "")))
        if name in LOGIN_HOSTS or not path.lower().startswith(("/subscriptions", "/providers", "/tenants", "/api/")):
            form = dict(parse_qsl(raw.decode("utf-8", "replace"))) if http.method == "POST" else {}
            answer = self._login.answer(http.method, path, base_url, form, query)
            if answer is not None or name in LOGIN_HOSTS:
                return answer or Answer(404, {"error": "invalid_request", "error_description": "AADSTS90019"})
        return None

    async def _serve_prices(self, request: Request) -> Response:
        self.counts["GET prices"] += 1
        if self.prices is None or request.method != "GET" or not request.path.lower().startswith("/api/retail/prices"):
            return _response(Answer(404, {"error": {"code": "NotFound", "message": "The resource cannot be found."}}))
        return _response(await run_in_threadpool(self.prices, request))

    async def _serve_batch(self, http: HttpRequest, request: Request, raw: bytes) -> Response:
        self.counts["POST batch"] += 1
        try:
            self._tokens.verify(request.headers.get("authorization"))
            answer = await batch.answer(request, parse(raw), partial(self._serve_arm, http))
        except ArmError as error:
            answer = Answer(error.status, error.body(), dict(error.headers))
        return _response(Answer(answer.status, answer.body, {**self._headers(request), **answer.headers}))

    async def _serve_arm(self, http: HttpRequest, request: Request, raw: bytes) -> Response:
        found = self._core.router.match(request.method, request.path)
        if found is None and request.method == "HEAD":
            found = self._core.router.match("GET", request.path)
        route = found[0] if found else None
        type = route.type if route else ""
        self.counts[f"{request.method} {_label(request, route.template if route else '', type)}"] += 1
        conditional = "if-match" in request.headers or "if-none-match" in request.headers
        fault = await run_in_threadpool(
            self._core.faults.synchronous,
            request.method,
            request.path,
            type,
            conditional=conditional,
            listing=is_list(route, request),
        )
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.reset:
                return self._cut(http)
        return _response(await run_in_threadpool(self._answer, request, raw, route, fault))

    def _answer(self, request: Request, raw: bytes, route: Route | None, fault: Fault | None) -> Answer:
        """Who asks, how often, and then what for."""
        headers = self._headers(request)
        try:
            request.claims = self._tokens.verify(request.headers.get("authorization"))
            request.body = parse(raw)
            headers |= self._take(request, route)
            if fault is not None and fault.error is not None:
                raise self._worded(fault.error, request, route)
            self.access.check(request, route)
        except ArmError as error:
            answer = Answer(error.status, error.body(), dict(error.headers))
        else:
            moment = clock.now() - fault.lag if fault is not None and fault.lag else None
            with self._core.store.as_of(moment):
                answer = dispatch(self._core, request)
        answer.headers = {**headers, **answer.headers}
        return _waited(answer) if clock.leap else answer

    def _take(self, request: Request, route: Route | None, *, inner: bool = False) -> dict[str, str]:
        template, type = (route.template, route.type) if route else ("", "")
        return self.throttling.take(request, template, type, request.claims.get("oid", ""), inner=inner)

    def admit(self, request: Request, route: Route | None) -> None:
        """What a deployment's own requests pass, too: the providers' buckets, and what the deploying one may do.

        Raises ArmError as for a request from outside.
        """
        self._take(request, route, inner=True)
        self.access.check(request, route)

    def _worded(self, error: ArmError, request: Request, route: Route | None) -> ArmError:
        """A scripted refusal in Azure's words, about this very request."""
        template, type = (route.template, route.type) if route else ("", "")
        charges = charge(self._core.store, request, template, type)
        now = datetime.fromtimestamp(clock.now(), UTC)
        words = {
            "client": request.claims.get("appid", ""),
            "oid": request.claims.get("oid", ""),
            "tenant": self._tokens.tenant,
            "action": action_of(request.method, template),
            "scope": scope_of(route, request.path, request.method),
            "provider": provider_of(request.path),
            "subscription": request.path.split("/")[2] if request.path.count("/") > 1 else "",
            "kind": KINDS.get(request.method, "writes").removesuffix("s"),
            "match": request.headers.get("if-match") or request.headers.get("if-none-match", ""),
            "expired": f"{now - timedelta(seconds=1):%m/%d/%Y %H:%M:%S}",
            "now": f"{now:%m/%d/%Y %H:%M:%S}",
            "bucket": charges[0].name if charges else "",
        }
        return worded(error, request.body, self._core.store.get(request.path) if type else None, **words)

    def _cut(self, http: HttpRequest) -> Response:
        if http.client is None or not self._reset(http.client.port):
            # Not through the proxy: promise more than is sent, so that the server has to drop the connection.
            return Response(b"", headers={"content-length": "1"})
        return Response(b"")

    def _headers(self, request: Request) -> dict[str, str]:
        request_id, moment = str(uuid.uuid4()), time.gmtime(clock.now())
        correlation = request.headers.get("x-ms-correlation-request-id", str(uuid.uuid4()))
        headers = {
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "Expires": "-1",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": correlation,
            "x-ms-routing-request-id": f"WESTEUROPE:{time.strftime('%Y%m%dT%H%M%SZ', moment)}:{request_id}",
        }
        if request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            headers["x-ms-client-request-id"] = request.headers.get("x-ms-client-request-id", "")
        return headers

    def _serve_admin(self, http: HttpRequest, host: str, raw: bytes) -> Answer:
        given = http.headers.get("authorization", "").removeprefix("Bearer ")
        if host not in ("localhost", "127.0.0.1") or not hmac.compare_digest(
            given.encode(), self._admin_token.encode()
        ):
            return Answer(403, {"error": {"code": "Forbidden", "message": "This is for the sandbox's command line."}})
        command = self.admin.get(http.url.path.removeprefix("/sandbox/"))
        if command is None:
            return Answer(404, {"error": {"code": "NotFound", "message": f"there are: {', '.join(self.admin)}"}})
        try:
            return Answer(200, command(json.loads(raw) if raw else None))
        except (ValueError, TypeError, LookupError) as error:
            return Answer(400, {"error": {"code": "BadRequest", "message": str(error)}})


def _waited(answer: Answer) -> Answer:
    """Let the time pass that the answer tells its client to wait for, and tell the client not to."""
    told = {name.lower(): value for name, value in answer.headers.items()}
    seconds = float(told.get("retry-after") or float(told.get("retry-after-ms") or 0) / 1000)
    if seconds > 0:
        clock.advance(seconds)
        kept = {name: value for name, value in answer.headers.items() if name.lower() != "retry-after"}
        answer.headers = {**kept, "retry-after-ms": "1"}
    return answer


def _label(request: Request, template: str, type: str) -> str:
    """What a request is counted as: the type, an action with its name, ``operation`` for polls."""
    if "{operation}" in template:
        return "operation"
    if not type:
        words = template.rpartition("/providers/")[2].split("/")
        return "/".join(word for word in words if not word.startswith("{")) or "unknown"
    return f"{type}/{template.rsplit('/', 1)[-1]}" if request.method == "POST" else type


def parse(raw: bytes) -> Any:
    """The body of a request, or 400 InvalidRequestContent."""
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        message = f"The request content was invalid and could not be deserialized: '{error}'."
    try:
        # Azure's reader takes comments, bare keys and strings of many lines, and az sends templates as they stand in
        # their files.
        return pyjson5.decode(_TOKEN.sub(_one_line, raw.decode()))
    except (pyjson5.Json5DecoderException, UnicodeDecodeError):
        raise ArmError(400, "InvalidRequestContent", message) from None


# Strings and comments: what looks like the one in the other is none.
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def _one_line(found: re.Match[str]) -> str:
    token = found[0]
    return token.replace("\r", "\\r").replace("\n", "\\n") if token.startswith('"') else token


def _response(answer: Answer) -> Response:
    content = b"" if answer.body is None else json.dumps(answer.body).encode()
    response = Response(content, answer.status, {"date": formatdate(clock.now(), usegmt=True)})
    if answer.body is not None:
        response.headers["content-type"] = "application/json; charset=utf-8"
    for name, value in answer.headers.items():
        response.headers[name] = quote(value, safe="".join(map(chr, range(32, 127))))
    return response
