# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a handler gets and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.arm.ids import ResourceId

if TYPE_CHECKING:
    from sandbox.arm.core import Core


def tidy(path: str) -> str:
    """A path as it is meant: clients write ``/providers/Microsoft.X//type``, and Azure does not mind."""
    return "/" + "/".join(part for part in path.split("/") if part)


@dataclass
class Request:
    """One ARM request.

    ``params`` are the values of the route's placeholders; ``rid`` is the id that the route names (of the resource, or
    for an action and a nested list of the resource that it belongs to), None for lists; ``query`` has lower-case keys
    (``$expand`` stays ``$expand``); ``headers`` has lower-case keys; ``base_url`` is ``https://host`` of the Host
    header, from which absolute URLs are made; ``type`` is the canonical type of the route.
    """

    core: Core
    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    base_url: str
    body: Any = None
    type: str = ""
    rid: ResourceId | None = None
    claims: dict[str, Any] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        return self.query.get("api-version", "")

    @property
    def subscription(self) -> str:
        return self.params.get("subscription", "")

    @property
    def group(self) -> str:
        return self.params.get("group", "")

    @property
    def id(self) -> ResourceId:
        """``rid`` where the route has one."""
        if self.rid is None:
            raise LookupError(f"{self.path} does not name a resource")
        return self.rid


@dataclass
class Answer:
    """``body`` None means an empty answer."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
