# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""graph.microsoft.com, as a service principal without permissions in the directory meets it.

Such a principal may not read the directory, and clients know what to do then: ``az role assignment create --assignee``
takes the value for an object id.
"""

from __future__ import annotations

import time
import uuid

from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer
from sandbox.arm.tokens import Tokens

HOST = "graph.microsoft.com"
AUDIENCES = (f"https://{HOST}",)


def answer(tokens: Tokens, headers: dict[str, str]) -> Answer:
    """The answer to any request; ``headers`` have lower-case keys."""
    try:
        tokens.verify(headers.get("authorization"), AUDIENCES)
    except ArmError as error:
        return _refusal(401, "InvalidAuthenticationToken", error.message, headers)
    return _refusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", headers)


def _refusal(status: int, code: str, message: str, headers: dict[str, str]) -> Answer:
    request_id = str(uuid.uuid4())
    inner = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "request-id": request_id,
        "client-request-id": headers.get("client-request-id", request_id),
    }
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    return Answer(status, body, {"request-id": request_id, "client-request-id": inner["client-request-id"]})
