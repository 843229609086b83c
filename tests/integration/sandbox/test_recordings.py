# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure answered to real clients (``recordings/``), the sandbox answers, too.

Of each exchange the status, the style of the long-running operation, the error code, and every key that Azure's answer
has are compared. Values are not: most of them are Azure's to choose.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

RECORDINGS = sorted(Path(__file__).with_name("recordings").glob("*.json"))
TERMINAL = {"succeeded", "failed", "canceled"}
GROUP = re.compile(r"/resourcegroups/([^/?]+)", re.IGNORECASE)


class Arm:
    """A client that knows nothing but HTTP."""

    def __init__(self, token: str) -> None:
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, url: str, body: Any = None) -> requests.Response:
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        return self._session.request(method, url, data=data, headers={"Content-Type": "application/json"}, timeout=30)

    def finish(self, answer: requests.Response, url: str) -> None:
        """Wait for what a write began."""
        headers = {key.lower(): value for key, value in answer.headers.items()}
        told = style(answer.status_code, headers, url)
        if not told and answer.request.method not in ("PUT", "PATCH"):
            return
        poll = headers[min(told)] if told else url
        for _unused in range(5000):
            now = self.send("GET", poll)
            body = now.json() if now.content else {}
            state = body.get("status") or (body.get("properties") or {}).get("provisioningState") or "Succeeded"
            if now.status_code != 202 and str(state).lower() in TERMINAL:
                return
            time.sleep(0.02)
        pytest.fail(f"{poll} does not end")


@pytest.fixture(scope="module")
def arm(azure_environment: dict[str, str], sandbox: Any) -> Arm:
    assert azure_environment
    return Arm(sandbox.run("token").stdout.strip())


def style(status: int, headers: dict[str, str], url: str) -> set[str]:
    """Which headers tell where to poll; a Location that names the resource itself is none."""
    if status >= 400:
        return set()
    found = {key for key in ("azure-asyncoperation", "location") if key in headers}
    named = headers.get("location", "").partition("?")[0].lower().removeprefix("https://management.azure.com")
    return found - {"location"} if named and url.partition("?")[0].lower().endswith(named) else found


def paths(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of an answer with the type of its value; elements of arrays are merged. Null is any type."""
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
    yield prefix, "" if value is None else kind
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from paths(entry, f"{prefix}.{key}")
    if isinstance(value, list):
        for entry in value:
            yield from paths(entry, f"{prefix}[]")


def missing(recorded: Any, answered: Any) -> list[str]:
    """Keys that Azure's answer has and ours has not, or has with another type."""
    known: dict[str, set[str]] = {}
    for path, kind in paths(answered):
        known.setdefault(path, set()).add(kind)
    return [p for p, kind in paths(recorded) if p not in known or (kind and kind not in known[p])]


def error_code(body: Any) -> str | None:
    return body["error"]["code"] if isinstance(body, dict) and "error" in body else None


def renamed(exchange: dict[str, Any], subscription: str) -> dict[str, Any]:
    """The exchange in a subscription of its own."""
    text = json.dumps(exchange).replace("00000000-0000-0000-0000-000000000000", subscription)
    found: dict[str, Any] = json.loads(text)
    return found


def prepare(arm: Arm, exchanges: list[dict[str, Any]], subscription: str) -> None:
    """Groups that the recording uses and does not make, as it first shows them."""
    for name in dict.fromkeys(m[1] for e in exchanges if (m := GROUP.search(e["url"]))):
        own = [e for e in exchanges if e["url"].partition("?")[0].lower().endswith(f"/resourcegroups/{name}".lower())]
        if not any(e["method"] == "PUT" for e in own):
            shown = next((e["answer"] for e in own if e["method"] == "GET" and e["status"] == 200), {})
            body = {"location": shown.get("location", "westus"), "tags": shown.get("tags") or {"made": "by the test"}}
            url = f"https://management.azure.com/subscriptions/{subscription}/resourcegroups/{name}?api-version=2022-09-01"
            assert arm.send("PUT", url, body).status_code == 201


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_the_sandbox_answers_as_azure_did(arm: Arm, recording: Path) -> None:
    subscription = str(uuid.uuid4())
    exchanges = [renamed(entry, subscription) for entry in json.loads(recording.read_text(encoding="utf-8"))]
    prepare(arm, exchanges, subscription)
    wrong = []
    for number, exchange in enumerate(exchanges):
        url = exchange["url"]
        answer = arm.send(exchange["method"], url, exchange["request"])
        body = answer.json() if answer.content else None
        what = f"#{number} {exchange['method']} {url}"
        if answer.status_code != exchange["status"]:
            wrong.append(f"{what}: {answer.status_code} {body} instead of {exchange['status']}")
            continue
        headers = {key.lower(): value for key, value in answer.headers.items()}
        if style(answer.status_code, headers, url) != style(exchange["status"], exchange["headers"], url):
            wrong.append(f"{what}: polled by {style(answer.status_code, headers, url)}")
        if error_code(body) != error_code(exchange["answer"]):
            wrong.append(f"{what}: {error_code(body)} instead of {error_code(exchange['answer'])}")
        if absent := missing(exchange["answer"], body):
            wrong.append(f"{what}: lacks {', '.join(absent)}")
        if exchange["method"] in ("PUT", "PATCH", "DELETE", "POST") and answer.status_code < 300:
            arm.finish(answer, url)
    assert not wrong, "\n".join(wrong)


def test_there_are_recordings_with_writes_and_errors_among_them() -> None:
    exchanges = [entry for path in RECORDINGS for entry in json.loads(path.read_text(encoding="utf-8"))]
    assert {"GET", "PUT", "DELETE"} <= {entry["method"] for entry in exchanges}
    assert any(entry["headers"] for entry in exchanges)
