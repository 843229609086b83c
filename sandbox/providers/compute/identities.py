# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``identity`` of machines and scale sets: what a request asks for, and what Azure fills in."""

from __future__ import annotations

from sandbox.arm.core import Core

from .shapes import Json


def merged(core: Core, resource_id: str, known: Json | None, asked: Json | None, *, replace: bool) -> Json | None:
    """The identity after a request. PUT replaces, PATCH adds user-assigned ones and removes those given as null.

    Raises ArmError if a user-assigned identity does not exist. None: no identity.
    """
    if asked is None:
        return None if replace and known is None else known
    kind = ", ".join(word for word in ("SystemAssigned", "UserAssigned") if word in str(asked.get("type")))
    if not kind:
        return None
    identity: Json = {"type": kind}
    service = core.service("identity")
    if "SystemAssigned" in kind:
        own = service.system(resource_id)
        identity.update(principalId=own["principalId"], tenantId=own["tenantId"])
    if "UserAssigned" in kind:
        wanted = {} if replace else dict((known or {}).get("userAssignedIdentities") or {})
        for identity_id, value in (asked.get("userAssignedIdentities") or {}).items():
            same = [other for other in wanted if other.lower() == identity_id.lower()]
            for other in same:
                del wanted[other]
            if value is not None:
                wanted[identity_id] = {}
        described = {name: service.describe(name) for name in wanted}
        identity["userAssignedIdentities"] = {
            name: {"principalId": value["principalId"], "clientId": value["clientId"]}
            for name, value in described.items()
        }
    return identity


def set_on(body: Json, identity: Json | None) -> None:
    """Put an identity into a body, or take it out."""
    if identity is None:
        body.pop("identity", None)
    else:
        body["identity"] = identity
