# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How writes begin: PUT and PATCH of machines and scale sets, and the deletion of what nothing can be in the way of."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sandbox.arm.core import Core
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE
from sandbox.arm.store import Resource

from .conditions import check_match
from .shapes import Json, canonical, tidy


class Writes(ABC):
    """Handlers of PUT and PATCH; what they do to the resource is the subclass's."""

    _core: Core

    @abstractmethod
    def _create(self, request: Request, given: Json) -> Answer:
        """Answer the PUT of a resource that is not there yet."""

    @abstractmethod
    def _update(self, request: Request, known: Resource, asked: Json, *, replace: bool) -> Answer:
        """Answer the PUT (``replace``) or PATCH of one that is."""

    def put(self, request: Request) -> Answer:
        body = canonical(tidy(request.body))
        with self._core.store.transaction():
            known = self._core.store.get(request.id)
            check_match(request, known)
            if known is None:
                return self._create(request, body)
            return self._update(request, known, body, replace=True)

    def patch(self, request: Request) -> Answer:
        with self._core.store.transaction():
            known = self._core.require(request.id)
            check_match(request, known)
            return self._update(request, known, canonical(request.body), replace=False)


def delete_later(core: Core, request: Request, work: str, latency: float) -> Answer:
    """Answer the DELETE of what is kept until ``work`` has taken it away; 204 if it is not there."""
    with core.store.transaction():
        known = core.store.get(request.id)
        if known is None:
            core.require_group(request.subscription, request.group)
            return Answer(204)
        known.properties["provisioningState"] = "Deleting"
        core.store.put(known)
        location = known.body["location"]
        return core.operations.begin(request, work, known.id, style=COMPUTE, location=location, latency=latency)
