# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure refuses, as one exception with a kind that says how to react. Standard library only."""

from __future__ import annotations

import json
import typing as t

CAPACITY = "capacity"
QUOTA = "quota"
POLICY = "policy"
THROTTLING = "throttling"
AUTHENTICATION = "authentication"
TRANSIENT = "transient"
NOT_FOUND = "not_found"
CONFLICT = "conflict"
INVALID = "invalid"

# Codes that only say that something inside failed; what matters is in ``details``.
_WRAPPERS = frozenset(
    {
        "ResourceDeploymentFailure",
        "ResourceOperationFailure",
        "DeploymentFailed",
        "InvalidTemplateDeployment",
        "MultipleErrorsOccurred",
        "MultipleErrors",
    }
)

_KINDS: t.Mapping[str, str] = {
    **dict.fromkeys(
        (
            "SkuNotAvailable",
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
            "SpotPriceGreaterThanProvidedMaxPrice",
            "CapacityReservationGroupFull",
        ),
        CAPACITY,
    ),
    **dict.fromkeys(("QuotaExceeded", "ResourceQuotaExceeded", "PublicIPCountLimitReached"), QUOTA),
    **dict.fromkeys(("RequestDisallowedByPolicy", "RequestDisallowedByAzure", "ScopeLocked"), POLICY),
    **dict.fromkeys(
        (
            "TooManyRequests",
            "SubscriptionRequestsThrottled",
            "ResourceRequestsThrottled",
            "ResourceCollectionRequestsThrottled",
            "RetryableErrorDueToThrottling",
        ),
        THROTTLING,
    ),
    **dict.fromkeys(
        (
            "AuthenticationFailed",
            "InvalidAuthenticationToken",
            "ExpiredAuthenticationToken",
            "InvalidAuthenticationTokenTenant",
            "AuthorizationFailed",
            "LinkedAuthorizationFailed",
            "CredentialUnavailable",
            # 404 and 400, but about the account: nothing below such a subscription is merely "not there".
            "SubscriptionNotFound",
            "InvalidSubscriptionId",
        ),
        AUTHENTICATION,
    ),
    **dict.fromkeys(
        (
            "InternalServerError",
            "InternalExecutionError",
            "InternalOperationError",
            "ServerTimeout",
            "ServiceUnavailable",
            "RetryableError",
            "NetworkingInternalOperationError",
            "ConnectionFailed",
            "OSProvisioningTimedOut",
        ),
        TRANSIENT,
    ),
    **dict.fromkeys(("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound"), NOT_FOUND),
    **dict.fromkeys(
        (
            "AnotherOperationInProgress",
            "OperationNotAllowed",
            "PropertyChangeNotAllowed",
            "PreconditionFailed",
            "ResourceGroupBeingDeleted",
            "NicInUse",
            "InUseSubnetCannotBeDeleted",
        ),
        CONFLICT,
    ),
}

_KINDS_BY_STATUS: t.Mapping[int, str] = {
    401: AUTHENTICATION,
    403: AUTHENTICATION,
    404: NOT_FOUND,
    408: TRANSIENT,
    409: CONFLICT,
    412: CONFLICT,
    429: THROTTLING,
}


class AzureError(Exception):
    """A request that Azure (or the way to it) refused.

    ``code`` and ``message`` are Azure's own, ``request_id`` is what Azure's support asks for ('' when nothing
    answered), ``status`` the HTTP status (0 when nothing answered), ``target`` what the error is about, ``details`` the
    nested errors as ``{code, message, target}``. ``kind`` is one of this file's constants.
    ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        message: str,
        code: str = "",
        request_id: str = "",
        status: int = 0,
        target: str = "",
        details: t.Sequence[t.Mapping[str, str]] = (),
        doing: str = "",
        retry_after: float = 0.0,
    ) -> None:
        self.message = message
        self.code = code
        self.request_id = request_id
        self.status = status
        self.target = target
        self.details = tuple(dict(detail) for detail in details)
        self.doing = doing
        self.retry_after = retry_after
        self.kind, self.cause = classify(code, message, status, self.details)
        super().__init__(self._text())

    def _text(self) -> str:
        head = f"cannot {self.doing}: " if self.doing else ""
        code = f"{self.code}: " if self.code else ""
        inner = "; ".join(f"{detail['code']}: {detail['message']}" for detail in self.details if detail.get("message"))
        tail = f" (request id {self.request_id})" if self.request_id else ""
        return f"{head}{code}{self.message}{' [' + inner + ']' if inner else ''}{tail}"

    def as_dict(self) -> dict[str, t.Any]:
        """The error for a module's result: everything that Azure said, and its kind."""
        return {
            "code": self.code,
            "message": self.message,
            "request_id": self.request_id,
            "status": self.status,
            "target": self.target,
            "details": list(self.details),
            "kind": self.kind,
            "cause": self.cause,
        }


def classify(code: str, message: str, status: int, details: t.Sequence[t.Mapping[str, str]] = ()) -> tuple[str, str]:
    """The kind of an error, and the code that decided it (an inner one if the outer code is only a wrapper)."""
    # Compute says OperationNotAllowed for quota, for throttling and for a wrong state alike (and 409 for two of them):
    # the nested code or the fixed part of the sentence tells them apart.
    if status == 429 or any(_KINDS.get(detail.get("code", "")) == THROTTLING for detail in details):
        return THROTTLING, code
    if code in ("OperationNotAllowed", "Conflict", "BadRequest", "InvalidParameter") and _about_quota(message):
        return QUOTA, code
    if code in _WRAPPERS or code not in _KINDS:
        for detail in details:
            kind, cause = classify(detail.get("code", ""), detail.get("message", ""), 0)
            if kind != INVALID:
                return kind, cause
    if code in _KINDS:
        return _KINDS[code], code
    if status >= 500:
        return TRANSIENT, code
    return _KINDS_BY_STATUS.get(status, INVALID), code


def _about_quota(message: str) -> bool:
    return "exceeding approved" in message or "exceeding quota" in message or "quota limit" in message.lower()


def from_response(
    status: int, headers: t.Mapping[str, str], body: str, doing: str = "", retry_after: float = 0.0
) -> AzureError:
    """The error in an HTTP answer: ARM's ``{"error": ...}``, a failed operation's status, AAD's shape, or bare text."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    found = _error_of(document)
    code = str(found.get("code") or ("" if status < 400 else f"HTTP{status}"))
    message = str(found.get("message") or body[:500].strip() or f"Azure answered with HTTP status {status}")
    return AzureError(
        message=message,
        code=code,
        request_id=headers.get("x-ms-request-id", "") or headers.get("x-ms-correlation-request-id", ""),
        status=status,
        target=str(found.get("target") or ""),
        details=_details_of(found),
        doing=doing,
        retry_after=retry_after,
    )


def _error_of(document: t.Any) -> t.Mapping[str, t.Any]:
    if not isinstance(document, dict):
        return {}
    properties = document.get("properties")
    candidates = (document.get("error"), properties.get("error") if isinstance(properties, dict) else None)
    for candidate in candidates:
        if isinstance(candidate, dict):
            return candidate
    if isinstance(document.get("error"), str):
        return {"code": document["error"], "message": document.get("error_description", "")}
    if "code" in document and "message" in document:
        return document
    state = document.get("status") or (properties or {}).get("provisioningState")
    if isinstance(state, str) and state.lower() in ("failed", "canceled", "cancelled"):
        return {"code": state, "message": f"the operation ended as {state} without saying why"}
    return {}


def _details_of(error: t.Mapping[str, t.Any], depth: int = 0) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            found.append({key: str(detail.get(key) or "") for key in ("code", "message", "target")})
            if depth < 4:
                found.extend(_details_of(detail, depth + 1))
    return found


MAKE_ANOTHER = "make another one under another name"
MOVE_DATA = f"{MAKE_ANOTHER}, move the data and delete this one"


def refuse_change(name: str, kind: str, said: str, advice: str) -> t.NoReturn:
    """Raise AzureError (PropertyChangeNotAllowed): ``said`` is what differs, and what Azure changes for no ``kind``."""
    text = (
        f"{name} exists with other settings, and Azure changes them for no {kind}: {said}. "
        f"Give the settings that it has, or {advice}"
    )
    raise AzureError(text, code="PropertyChangeNotAllowed")
