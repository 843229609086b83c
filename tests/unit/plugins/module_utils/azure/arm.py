"""A small ARM behind azure-core's transport: the one edge that the tests of the Azure side replace.

It keeps resources in a dictionary and answers as ARM does (shapes and headers as in recorded traffic); answers can be
scripted in front of that. Time does not pass: sleeps are noted.
"""

from __future__ import annotations

import io
import json
import re
import threading
import typing as t
from urllib.parse import parse_qs, unquote, urlsplit

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.credentials import Login
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest._http_response_impl import HttpResponseImpl

HOST = "https://management.azure.com"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


class Answer(t.NamedTuple):
    """One HTTP answer. A body of bytes is sent as it is, anything else as JSON, None as nothing."""

    status: int = 200
    body: t.Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 - a default that nobody changes


class Sent(t.NamedTuple):
    """One request as it went out."""

    method: str
    path: str
    query: dict[str, str]
    body: t.Any
    headers: dict[str, str]


class Arm(HttpTransport):
    """ARM in memory. ``script(method, pattern, *answers)`` puts answers in front of the usual ones."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, t.Any]] = {}
        self.sent: list[Sent] = []
        self.slept: list[float] = []
        self._scripts: list[tuple[str, re.Pattern[str], list[Answer | Exception]]] = []
        self._operations: dict[str, Answer] = {}
        self._lock = threading.RLock()

    def script(self, method: str, pattern: str, *answers: Answer | Exception) -> None:
        """Answer the next matching requests so."""
        self._scripts.append((method, re.compile(pattern, re.IGNORECASE), list(answers)))

    def put(self, path: str, body: dict[str, t.Any]) -> None:
        """Let a resource exist."""
        name = path.rsplit("/", 1)[-1]
        self.resources[path.casefold()] = {"id": path, "name": name, **body}

    def writes(self) -> list[tuple[str, str]]:
        """Method and last part of the path of everything that was not a read."""
        return [(one.method, one.path.rsplit("/", 1)[-1]) for one in self.sent if one.method != "GET"]

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __exit__(self, *unused: object) -> None: ...

    def sleep(self, duration: float) -> None:
        self.slept.append(duration)

    def send(self, request: t.Any, stream: bool = False, **unused: t.Any) -> t.Any:
        parts = urlsplit(request.url)
        body = json.loads(request.content) if request.content else None
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        sent = Sent(request.method, unquote(parts.path), query, body, dict(request.headers))
        with self._lock:
            self.sent.append(sent)
            answer = self._scripted(sent) or self._usual(sent)
        if isinstance(answer, Exception):
            raise answer
        response = _response(request, answer, len(self.sent))
        if not stream:
            response.read()
        return response

    def _scripted(self, sent: Sent) -> Answer | Exception | None:
        for method, pattern, answers in self._scripts:
            if method == sent.method and pattern.search(sent.path) and answers:
                return answers.pop(0)
        return None

    def _usual(self, sent: Sent) -> Answer:
        key = sent.path.casefold()
        if "/operations/" in key:
            return self._operations.get(key, Answer(200, {"status": "Succeeded"}))
        if sent.method == "GET":
            return self._read(key)
        if sent.method == "DELETE":
            gone = self.resources.pop(key, None)
            return self._operation(202, None) if gone else Answer(204)
        if sent.method == "POST":
            if key.endswith("/generalize"):
                return Answer(200)
            return self._operation(202, None)
        new = key not in self.resources
        if sent.method == "PATCH" and new:
            return not_found(sent.path)
        stored = self.resources.get(key, {"id": sent.path, "name": sent.path.rsplit("/", 1)[-1]})
        document = _over(stored, sent.body) if sent.method == "PATCH" else {**stored, **sent.body}
        document = _without_secrets(document)
        self.resources[key] = document
        return self._operation(201 if new else 200, document)

    def _read(self, key: str) -> Answer:
        if key in self.resources:
            return Answer(200, self.resources[key])
        children = [one for path, one in self.resources.items() if re.fullmatch(re.escape(key) + "/[^/]+", path)]
        if children or (re.search(r"/[a-z]+$", key) and key.count("/") % 2):
            return Answer(200, {"value": children})
        return not_found(key)

    def _operation(self, status: int, body: t.Any) -> Answer:
        number = len(self.sent)
        link = f"{HOST}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.X/locations/w/operations/{number}"
        return Answer(status, body, {"Azure-AsyncOperation": f"{link}?api-version=1"})


def not_found(path: str) -> Answer:
    """ARM's answer for what does not exist."""
    message = f"The Resource '{path}' was not found."
    return Answer(404, {"error": {"code": "ResourceNotFound", "message": message}})


def refusal(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    """An error of ARM."""
    return Answer(
        status, {"error": {"code": code, "message": message}}, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def session(arm: Arm, **options: t.Any) -> Session:
    """A session whose transport is ``arm`` and whose token is made up."""
    return Session(MadeUp("options", SUBSCRIPTION), transport=arm, **options)


class MadeUp(Login):
    """An account that needs no sign-in."""

    def credential(self) -> t.Any:
        return _Token()


class _Token:
    def get_token(self, *scopes: str, **unused: t.Any) -> AccessToken:
        return AccessToken("token", 4102444800)


def _over(below: t.Any, above: t.Any) -> t.Any:
    if isinstance(below, dict) and isinstance(above, dict):
        # Tags are the exception: ARM replaces them as a whole.
        return {
            **below,
            **{key: value if key == "tags" else _over(below.get(key), value) for key, value in above.items()},
        }
    return above


def _without_secrets(document: t.Any) -> t.Any:
    if isinstance(document, dict):
        return {key: _without_secrets(value) for key, value in document.items() if key != "customData"}
    return [_without_secrets(item) for item in document] if isinstance(document, list) else document


def _response(request: t.Any, answer: Answer, number: int) -> t.Any:
    content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    content = b"" if answer.body is None else content
    headers = {"content-type": "application/json", "x-ms-request-id": f"request-{number}", **answer.headers}
    return HttpResponseImpl(
        request=request,
        internal_response=io.BytesIO(),
        status_code=answer.status,
        headers=_Headers(headers),
        reason="",
        content_type="application/json",
        stream_download_generator=lambda *_unused, **_more: iter([content]),
    )


class _Headers(dict[str, str]):
    """Headers whose names are the same in any case."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__({key.lower(): value for key, value in values.items()})

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key).lower())

    def get(self, key: str, default: t.Any = None) -> t.Any:
        return super().get(key.lower(), default)
