# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in pages: ``{"value": [...], "nextLink": <absolute URL with $skiptoken>}``; the last page has no nextLink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request


def offset(request: Request) -> int:
    """Where the requested page begins; 0 for the first. 400 for a token that we did not make."""
    token = request.query.get("$skiptoken", "")
    if not token:
        return 0
    if not token.isdigit():
        raise ArmError(400, "InvalidSkipToken", f"The skip token '{token}' is invalid.")
    return int(token)


def page(request: Request, items: Sequence[Any], size: int, start: int, more: bool) -> Answer:
    """Answer ``items`` as the page that begins at ``start``; ``more``: a page follows."""
    body: dict[str, Any] = {"value": list(items)}
    if more:
        query = "&".join(f"{quote(k, safe='$-')}={quote(v)}" for k, v in request.query.items() if k != "$skiptoken")
        body["nextLink"] = f"{request.base_url}{quote(request.path)}?{query}&$skiptoken={start + size}"
    return Answer(200, body)


def paged(request: Request, fetch: Callable[[int, int], Sequence[Any]], size: int) -> Answer:
    """One page of a list. ``fetch(offset, limit)`` answers bodies; it is asked for one more than a page holds."""
    start = offset(request)
    items = fetch(start, size + 1)
    return page(request, items[:size], size, start, len(items) > size)
