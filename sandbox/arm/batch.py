# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``POST /batch``: many requests in one, each answered as if alone; the inventory of azure.azcollection asks so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.responses import Response

from sandbox.arm import shapes
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request, tidy

PATH = "/batch"
SHAPE = {"requests": [{"url": str, "httpMethod": str, "name": str}]}
Serve = Callable[[Request, bytes], Awaitable[Response]]


async def answer(request: Request, body: Any, serve: Serve) -> Answer:
    """Answer a batch; ``serve`` answers one request. Raises ArmError if the body is no batch."""
    asked = shapes.read(body, SHAPE).get("requests") or []
    if not asked or not all(one.get("url") and one.get("httpMethod") for one in asked):
        message = "The request content was invalid: a batch has 'requests', and each of them 'httpMethod' and 'url'."
        raise ArmError(400, "InvalidRequestContent", message)
    served = await asyncio.gather(*(serve(_single(request, one), _content(one)) for one in asked))
    return Answer(200, {"responses": [_described(one, response) for one, response in zip(asked, served, strict=True)]})


def _single(request: Request, asked: dict[str, Any]) -> Request:
    url = urlsplit(asked["url"])
    query = {key.lower(): value for key, value in parse_qsl(url.query, keep_blank_values=True)}
    return replace(request, method=asked["httpMethod"].upper(), path=tidy(unquote(url.path)), params={}, query=query)


def _content(asked: dict[str, Any]) -> bytes:
    return json.dumps(asked["content"]).encode() if asked.get("content") is not None else b""


def _described(asked: dict[str, Any], response: Response) -> dict[str, Any]:
    content = bytes(response.body)
    described: dict[str, Any] = {"name": asked["name"]} if "name" in asked else {}
    described["httpStatusCode"] = response.status_code
    described["headers"] = {name: value for name, value in response.headers.items() if name != "content-length"}
    if content:
        described["content"] = json.loads(content)
    described["contentLength"] = len(content)
    return described
