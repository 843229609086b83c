# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes back from Azure's libraries, whichever client asked: documents, or exceptions that become AzureError."""

from __future__ import annotations

import contextlib
import json
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import (
    NOT_FOUND,
    AzureError,
    from_response,
)

Json = dict[str, t.Any]


def document(answer: t.Any, doing: str) -> Json:
    """The JSON of a pipeline's answer, {} if it is empty; raises AzureError."""
    response = answer.http_response
    text = response.text()
    if not text.strip():
        return {}
    try:
        found = response.json()
    except ValueError:
        request_id, status = response.headers.get("x-ms-request-id", ""), response.status_code
        raise AzureError("the answer is not JSON", "BadResponse", request_id, status, doing=doing) from None
    return found if isinstance(found, dict) else {"value": found}


def found_or_none(read: t.Callable[[], Json]) -> Json | None:
    """What ``read`` returns, or None if it does not exist. A missing resource group counts as that."""
    try:
        return read()
    except AzureError as error:
        if error.kind == NOT_FOUND:
            return None
        raise


@contextlib.contextmanager
def failures(doing: str) -> t.Iterator[None]:
    """Turn the exceptions of Azure's libraries into AzureError, which says what could not be done."""
    from azure.core import exceptions

    try:
        yield
    except exceptions.AzureError as error:
        response = getattr(error, "response", None)
        if response is not None:
            raise refusal(response, doing, str(error.message)) from error
        known = isinstance(error, exceptions.ClientAuthenticationError)
        code = "AuthenticationFailed" if known else "ConnectionFailed"
        raise AzureError(str(error.message), code=code, doing=doing) from error
    except json.JSONDecodeError as error:
        raise AzureError("the answer is not JSON", code="BadResponse", doing=doing) from error
    except ValueError as error:
        # A typed client refuses some names before anything is sent.
        raise AzureError(str(error), code="InvalidRequest", doing=doing) from error


def refusal(response: t.Any, doing: str, otherwise: str = "") -> AzureError:
    """What a response with an error status says; ``otherwise`` if it says nothing."""
    try:
        body = response.text()
    except Exception:  # a body that cannot be read must not hide the refusal itself
        body = ""
    headers = {key.lower(): value for key, value in response.headers.items()}
    try:
        wait = float(headers.get("retry-after") or 0)
    except ValueError:
        wait = 0.0
    return from_response(response.status_code, headers, body or otherwise, doing, wait)


def tail(path: str) -> str:
    """The type and the name at the end of a resource id, for messages."""
    return "/".join(path.rstrip("/").split("/")[-2:])
