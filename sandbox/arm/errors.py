# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ARM errors: one exception that carries everything the answer needs, and the texts that Azure uses.

Error bodies have the shape ``{"error": {"code", "message", "target"?, "details"?}}``. The wording is Azure's, because
clients (and people) search for it.
"""

from __future__ import annotations

from typing import Any


class ArmError(Exception):
    """A refusal. ``status`` is the HTTP status of a synchronous refusal; in an operation only the body counts."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details
        self.headers = headers or {}

    def error(self) -> dict[str, Any]:
        """The value of the ``error`` key."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        return error

    def body(self) -> dict[str, Any]:
        return {"error": self.error()}

    def record(self) -> dict[str, Any]:
        """A JSON form from which ``from_record`` makes the same error."""
        return {"status": self.status, "error": self.error(), "headers": self.headers}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ArmError:
        error = record["error"]
        return cls(
            record["status"],
            error["code"],
            error["message"],
            target=error.get("target"),
            details=error.get("details"),
            headers=record.get("headers"),
        )


GATEWAY = {"x-ms-failure-cause": "gateway"}
NOT_FOUND_FIX = "For more details please go to https://aka.ms/ARMResourceNotFoundFix"


def resource_not_found(type_and_name: str, group: str) -> ArmError:
    """``type_and_name`` is like ``Microsoft.Network/virtualNetworks/vnet1``."""
    message = f"The Resource '{type_and_name}' under resource group '{group}' was not found. {NOT_FOUND_FIX}"
    return ArmError(404, "ResourceNotFound", message, headers=GATEWAY)


def group_not_found(name: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.", headers=GATEWAY)


def invalid_parameter(target: str, message: str) -> ArmError:
    """Compute's word for a bad value."""
    return ArmError(400, "InvalidParameter", message, target=target)


def invalid_request(message: str) -> ArmError:
    return ArmError(400, "InvalidRequestFormat", message, details=[])


def another_operation(operation_id: str) -> ArmError:
    """Network's answer to a write while another write to the same resource runs."""
    message = (
        "Another operation on this or dependent resource is in progress. "
        f"To retrieve status of the operation use uri: {operation_id}."
    )
    return ArmError(409, "AnotherOperationInProgress", message, details=[])


def internal_error() -> ArmError:
    return ArmError(500, "InternalServerError", "Encountered internal server error.")
