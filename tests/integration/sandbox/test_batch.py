# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many requests in one, and the directory: what az and azure.azcollection ask besides resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from azure.identity import DefaultAzureCredential

ARM = "https://management.azure.com"
Send = Callable[..., requests.Response]


@pytest.fixture
def send(azure_environment: dict[str, str]) -> Send:
    """Sends one request with a token for ``scope``, Resource Manager's unless given."""

    def send(method: str, url: str, scope: str = ARM, **given: Any) -> requests.Response:
        token = DefaultAzureCredential().get_token(f"{scope}/.default").token
        return requests.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=30, **given)

    return send


def _batch(*asked: dict[str, Any]) -> dict[str, Any]:
    return {"url": f"{ARM}/batch?api-version=2015-11-01", "json": {"requests": list(asked)}}


def test_a_batch_answers_each_request_by_its_name(send: Send, azure_environment: dict[str, str]) -> None:
    head = f"{ARM}/subscriptions/{azure_environment['AZURE_SUBSCRIPTION_ID']}"
    version = "api-version=2024-07-01"
    answer = send(
        "POST",
        **_batch(
            {
                "httpMethod": "PUT",
                "url": f"{head}/resourceGroups/batched?{version}",
                "name": "make",
                "content": {"location": "westeurope"},
            },
            {"httpMethod": "GET", "url": f"{head}/resourceGroups/nobody?{version}", "name": "miss"},
            {"httpMethod": "GET", "url": f"{head[len(ARM) :]}/locations?{version}", "name": "relative"},
        ),
    )
    assert answer.status_code == 200, answer.text
    by_name = {one["name"]: one for one in answer.json()["responses"]}
    assert {name: one["httpStatusCode"] for name, one in by_name.items()} == {"make": 201, "miss": 404, "relative": 200}
    assert by_name["make"]["content"]["name"] == "batched"
    assert by_name["miss"]["content"]["error"]["code"] == "ResourceGroupNotFound"
    assert by_name["relative"]["content"]["value"]
    assert send("GET", f"{head}/resourceGroups/batched?{version}").status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (_batch(), "InvalidRequestContent"),
        (_batch({"httpMethod": "GET"}), "InvalidRequestContent"),
        (_batch({"httpMethod": "GET", "url": 7}), "InvalidRequestFormat"),
    ],
)
def test_what_is_no_batch_is_refused(send: Send, body: dict[str, Any], code: str) -> None:
    answer = send("POST", **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_batch_needs_a_token(azure_environment: dict[str, str]) -> None:
    url = f"{ARM}/subscriptions?api-version=2022-12-01"
    answer = requests.post(**_batch({"httpMethod": "GET", "url": url, "name": "a"}), timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("scope", "status", "code"),
    [
        ("https://graph.microsoft.com", 403, "Authorization_RequestDenied"),
        (ARM, 401, "InvalidAuthenticationToken"),
    ],
)
def test_the_directory_is_closed_to_a_service_principal(send: Send, scope: str, status: int, code: str) -> None:
    answer = send("GET", "https://graph.microsoft.com/v1.0/servicePrincipals", scope)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_slashes_that_repeat_count_once(send: Send, azure_environment: dict[str, str]) -> None:
    head = f"{ARM}//subscriptions/{azure_environment['AZURE_SUBSCRIPTION_ID']}"
    url = f"{head}/resourceGroups//slashed/?api-version=2024-07-01"
    answer = send("PUT", url, json={"location": "westeurope"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["id"].endswith("/resourceGroups/slashed")
