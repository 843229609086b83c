# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources that hang on a scope, any resource or what holds it, and go by a name there."""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource


class AtScope:
    """What all of them have. The path of a request has ``scope`` and ``name``."""

    def __init__(self, core: Core, kind: str) -> None:
        self._core = core
        self._type = kind

    def _id(self, request: Request) -> str:
        return f"{request.params['scope']}/providers/{self._type}/{request.params['name']}"

    def _find(self, request: Request) -> Resource | None:
        return self._core.store.get(self._id(request))

    def _shown(self, request: Request, missing: ArmError) -> Answer:
        """The resource; raises ``missing`` if it is not there."""
        found = self._find(request)
        if found is None:
            raise missing
        return Answer(200, found.body)

    def _removed(self, request: Request) -> Resource | None:
        """What was there, and is not any more."""
        found = self._find(request)
        if found is not None:
            self._core.store.delete(found.id)
        return found
