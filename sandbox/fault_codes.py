# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that have a name: status, time and text of each, as Azure words them.

Placeholders in braces are filled from the request that meets the fault (see ``worded``); ``when`` is ``sync`` (the
request is refused, delayed or cut), ``async`` (it is accepted, its operation fails) or ``machine`` (one machine fails
while it boots, others of the same operation may not).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.arm.errors import ArmError
from sandbox.clock import clock

SLOW, RESET, STALE, HANG = "Slow", "ConnectionReset", "StaleList", "Hang"
NEVER_BOOTS, SILENT, CRASH = "NeverBoots", "SilentAgent", "Crash"
CONDITIONAL = "PreconditionFailed"
TIMES = ("sync", "async", "machine")

# code: (status, when, message)
KNOWN: dict[str, tuple[int, str, str]] = {
    "SkuNotAvailable": (
        409,
        "sync",
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is "
        "currently not available in location '{location}'. Please try another size or deploy to a different location "
        "or different zone. See https://aka.ms/azureskunotavailable for details.",
    ),
    "AllocationFailed": (
        200,
        "async",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more "
        "about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    ),
    "ZonalAllocationFailed": (
        200,
        "async",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more about "
        "improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    ),
    "OverconstrainedAllocationRequest": (
        200,
        "async",
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too "
        "restrictive. Please remove some constraints and try again. Constraints applied are:\n  - VM Size\n",
    ),
    "OverconstrainedZonalAllocationRequest": (
        200,
        "async",
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too "
        "restrictive. Please remove some constraints and try again. Constraints applied are:\n"
        "  - Availability Zone\n  - VM Size\n",
    ),
    "OSProvisioningTimedOut": (
        200,
        "async",
        "OS Provisioning for VM did not finish in the allotted time. The VM may still finish provisioning "
        "successfully. Please check provisioning state later.",
    ),
    "TooManyRequests": (429, "sync", "Too many requests. Please try again after sometime."),
    "SubscriptionRequestsThrottled": (
        429,
        "sync",
        "Number of '{kind}' requests for subscription '{subscription}' actor '{oid}' exceeded. Please try again after "
        "'{seconds}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for "
        "additional information.",
    ),
    "InternalServerError": (500, "sync", "Encountered internal server error."),
    "BadGatewayConnection": (
        502,
        "sync",
        "The network connectivity issue encountered for '{provider}'; cannot fulfill the request.",
    ),
    "ServiceUnavailable": (503, "sync", "The service is unavailable."),
    "GatewayTimeout": (
        504,
        "sync",
        "The gateway did not receive a response from '{provider}' within the specified time period.",
    ),
    "AuthorizationFailed": (
        403,
        "sync",
        "The client '{client}' with object id '{oid}' does not have authorization to perform action '{action}' over "
        "scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
    ),
    "ExpiredAuthenticationToken": (
        401,
        "sync",
        "The access token expiry UTC time '{expired}' is earlier than current UTC time '{now}'.",
    ),
    CONDITIONAL: (412, "sync", "The condition '{match}' in the If-Match or If-None-Match header was not satisfied."),
    RESET: (0, "sync", "connection reset"),
    SLOW: (0, "sync", "slow answer"),
    STALE: (0, "sync", "a list as it was some time ago"),
    HANG: (0, "async", "an operation that does not end"),
    NEVER_BOOTS: (
        0,
        "machine",
        "OS Provisioning for VM '{vm}' did not finish in the allotted time. The VM may still finish provisioning "
        "successfully. Please check provisioning state later.",
    ),
    SILENT: (0, "machine", "a machine whose agent never reports"),
    CRASH: (0, "machine", "a machine that dies after it has booted"),
}
EFFECTS = (RESET, SLOW, STALE, HANG, SILENT, CRASH)
"""What is no refusal."""

_REJECTED = "The server rejected the request because too many requests have been received for this subscription."


def throttled(group: str, allowed: int, measured: int, retry_after: float) -> ArmError:
    """How Microsoft.Compute refuses what exceeds the bucket ``group``; ``retry_after`` in seconds."""
    now = datetime.fromtimestamp(clock.now(), UTC)
    told = {
        "operationGroup": group,
        "startTime": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S.%f}0+00:00",
        "endTime": f"{now:%Y-%m-%dT%H:%M:%S.%f}0+00:00",
        "allowedRequestCount": allowed,
        "measuredRequestCount": measured,
    }
    detail = {"code": "TooManyRequests", "target": group, "message": json.dumps(told, separators=(",", ":"))}
    headers = {"Retry-After": f"{retry_after:g}"}
    return ArmError(429, "OperationNotAllowed", _REJECTED, details=[detail], headers=headers)


def worded(error: ArmError, body: Any, resource: Any = None, **words: str) -> ArmError:
    """The error with its placeholders filled.

    VM size and region come from the request's ``body``, or from the ``resource`` that it is about; everything else from
    ``words``. Microsoft.Compute words its throttling otherwise than the rest of Azure.
    """
    size, location = "", ""
    for source in (body, resource.body if resource else None):
        if not isinstance(source, dict):
            continue
        profile = (source.get("properties") or {}).get("hardwareProfile") or {}
        size = size or profile.get("vmSize") or (source.get("sku") or {}).get("name") or ""
        location = location or source.get("location") or ""
    if error.code == "TooManyRequests" and words.get("provider", "").lower() == "microsoft.compute":
        seconds = float(error.headers.get("Retry-After", "60"))
        return throttled(words.get("bucket") or "HighCostGetSubscriptionMaximum", 180, 478, seconds)
    message = error.message
    seconds_left = error.headers.get("Retry-After", "")
    for name, value in {**words, "size": size, "location": location, "seconds": seconds_left}.items():
        message = message.replace(f"{{{name}}}", value)
    headers = dict(error.headers)
    if error.status == 401 and "WWW-Authenticate" not in headers:
        headers["WWW-Authenticate"] = (
            f'Bearer authorization_uri="https://login.microsoftonline.com/{words.get("tenant", "")}", '
            f'error="invalid_token", error_description="{message}"'
        )
    return ArmError(error.status, error.code, message, target=error.target, details=error.details, headers=headers)
