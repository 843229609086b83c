# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of requests: etags that a resource must have, or that it must not exist."""

from __future__ import annotations

from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.store import Resource


def check_match(request: Request, known: Resource | None) -> None:
    """``If-Match`` and ``If-None-Match: *``: 412 PreconditionFailed if they do not hold."""
    match, none = request.headers.get("if-match", ""), request.headers.get("if-none-match", "")
    etag = known.body.get("etag") if known is not None else None
    if (match and match != "*" and match != etag) or (match and known is None) or (none == "*" and known is not None):
        message = f"The condition '{match or none}' in the If-Match or If-None-Match header was not satisfied."
        raise ArmError(412, "PreconditionFailed", message)
