# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Federated credentials of user-assigned identities: whom else an identity trusts. Nobody is asked for a token here."""

from __future__ import annotations

from typing import Any

from sandbox.arm import shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.store import Resource
from sandbox.providers.identity import TYPE as IDENTITY
from sandbox.providers.kept import Kept

TYPE = f"{IDENTITY}/federatedIdentityCredentials"
MOST = 20
SHAPE = {"issuer": str, "subject": str, "audiences": [str]}


class Credentials(Kept):
    """The type: issuer, subject and audiences, at most 20 for an identity, no two alike."""

    def shape(self, given: dict[str, Any], known: Resource | None) -> dict[str, Any]:
        given = shapes.read(given, SHAPE)
        for key in ("issuer", "subject", "audiences"):
            if not given.get(key):
                text = f"The federated identity credential must have a non-empty '{key}'."
                raise ArmError(400, "BadRequest", text)
        return {"issuer": given["issuer"], "subject": given["subject"], "audiences": given["audiences"]}

    def put(self, request: Request) -> Answer:
        given = request.body.get("properties") or {}
        if isinstance(given, dict):
            self._refuse_double(request, given)
        return super().put(request)

    def _refuse_double(self, request: Request, given: dict[str, Any]) -> None:
        others = [
            one
            for one in self._core.store.list(TYPE, parent=request.id.parent)
            if one.rid.name.lower() != request.id.name.lower()
        ]
        for one in others:
            if (one.properties["issuer"], one.properties["subject"]) == (given.get("issuer"), given.get("subject")):
                text = "Issuer and subject combination already exists for this Managed Identity."
                raise ArmError(409, "Conflict", text)
        if len(others) >= MOST:
            text = f"Managed Identity cannot have more than {MOST} federated identity credentials."
            raise ArmError(400, "BadRequest", text)


def register(core: Core) -> None:
    Credentials(core, TYPE).routes()
