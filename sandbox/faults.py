# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripted faults: what Azure does on a bad day, as a table of rules.

A rule matches requests by method and by a pattern (a glob on the resource type or on the path), so many times.
Synchronous rules refuse, delay or cut the request itself; asynchronous ones let it be accepted and its operation fail.
"""

from __future__ import annotations

import fnmatch
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.arm.errors import ArmError

if TYPE_CHECKING:
    from sandbox.arm.store import Resource, Store

SETTING = "faults"

# code: (status, when, message). Texts as Azure words them; {name} placeholders are filled by the provider or left out.
KNOWN: dict[str, tuple[int, str, str]] = {
    "SkuNotAvailable": (
        409,
        "sync",
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is "
        "currently "
        "not available in location '{location}'. Please try another size or deploy to a different location or "
        "different "
        "zone. See https://aka.ms/azureskunotavailable for details.",
    ),
    "AllocationFailed": (
        200,
        "async",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more "
        "about "
        "improving likelihood of allocation success at http://aka.ms/allocation-guidance",
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
        "successfully. "
        "Please check provisioning state later.",
    ),
    "TooManyRequests": (429, "sync", "Too many requests. Please try again after sometime."),
    "SubscriptionRequestsThrottled": (
        429,
        "sync",
        "Number of requests for subscription and operation type exceeded the backend storage limit. "
        "Please try again after a while.",
    ),
    "InternalServerError": (500, "sync", "Encountered internal server error."),
    "ServiceUnavailable": (503, "sync", "The service is unavailable."),
    "GatewayTimeout": (504, "sync", "The gateway did not receive a response from the provider within the time period."),
    "ConnectionReset": (0, "sync", "connection reset"),
    "Slow": (0, "sync", "slow answer"),
}


@dataclass
class Rule:
    """One rule. ``count`` is how often it still applies (-1: for ever), ``status`` 0 no refusal, ``delay`` in seconds.

    ``retry_after`` is the header of a refusal, in seconds; None sends none. ``when`` empty: as usual for the code.
    """

    code: str
    id: str = ""
    method: str = "*"
    match: str = "*"
    count: int = 1
    when: str = ""
    status: int = 0
    message: str = ""
    delay: float = 0.0
    retry_after: float | None = None
    hits: int = 0

    def applies(self, when: str, method: str, path: str, type: str) -> bool:
        if self.count == 0 or self.when != when or self.method.upper() not in ("*", method.upper()):
            return False
        pattern = self.match.lower()
        return any(fnmatch.fnmatchcase(text.lower(), pattern) for text in (type, path))


@dataclass
class Fault:
    """What a matching rule does to one request: wait ``delay`` seconds, then refuse by ``error``, or ``reset``."""

    rule: Rule
    error: ArmError | None = None
    reset: bool = False
    delay: float = field(default=0.0)


def worded(error: ArmError, body: Any, resource: Resource | None) -> ArmError:
    """The error with the VM size and region of the request (or of the resource that it is about) in its text."""
    sources = [source for source in (body, resource.body if resource else None) if isinstance(source, dict)]
    size, location = "", ""
    for source in sources:
        profile = (source.get("properties") or {}).get("hardwareProfile") or {}
        size = size or profile.get("vmSize") or (source.get("sku") or {}).get("name") or ""
        location = location or source.get("location") or ""
    message = error.message.replace("{size}", size).replace("{location}", location)
    return ArmError(error.status, error.code, message, headers=error.headers)


class Faults:
    """The table of rules, kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def rules(self) -> list[Rule]:
        return [Rule(**entry) for entry in self._store.setting(SETTING, [])]

    def add(self, rule: Rule) -> Rule:
        """Add a rule; what it leaves open is filled in from the known codes. Raises ValueError for a bad one."""
        rule = complete(rule)
        with self._store.transaction():
            self._save([*self.rules(), rule])
        return rule

    def clear(self, rule_id: str = "") -> int:
        """Remove one rule, or all; answers how many."""
        with self._store.transaction():
            rules = self.rules()
            kept = [rule for rule in rules if rule_id and rule.id != rule_id]
            self._save(kept)
        return len(rules) - len(kept)

    def synchronous(self, method: str, path: str, type: str = "") -> Fault | None:
        """The fault that this request itself meets; uses it up."""
        return self._take("sync", method, path, type)

    def asynchronous(self, method: str, path: str, type: str = "") -> Fault | None:
        """The fault that the operation of this request meets; uses it up."""
        return self._take("async", method, path, type)

    def _take(self, when: str, method: str, path: str, type: str) -> Fault | None:
        if not self._store.setting(SETTING):
            return None
        with self._store.transaction():
            rules = self.rules()
            for rule in rules:
                if rule.applies(when, method, path, type):
                    rule.count -= rule.count > 0
                    rule.hits += 1
                    self._save(rules)
                    return _fault(rule)
        return None

    def _save(self, rules: list[Rule]) -> None:
        self._store.set_setting(SETTING, [asdict(rule) for rule in rules])


def complete(rule: Rule) -> Rule:
    """The rule with the status, time and text of its code where it gives none."""
    status, when, message = KNOWN.get(rule.code, (409, "sync", f"{rule.code} (scripted)"))
    fields: dict[str, Any] = asdict(rule)
    fields["id"] = rule.id or uuid.uuid4().hex[:8]
    fields["when"] = rule.when or when
    fields["status"] = rule.status or status
    fields["message"] = rule.message or message
    if fields["when"] not in ("sync", "async"):
        raise ValueError(f"when must be sync or async, not {rule.when!r}")
    if fields["status"] == 429 and rule.retry_after is None:
        fields["retry_after"] = 1.0
    if rule.code == "Slow" and rule.delay <= 0:
        raise ValueError("a slow answer needs --delay")
    return Rule(**fields)


def _fault(rule: Rule) -> Fault:
    if rule.code == "ConnectionReset":
        return Fault(rule, reset=True, delay=rule.delay)
    if rule.code == "Slow":
        return Fault(rule, delay=rule.delay)
    headers = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
    return Fault(rule, ArmError(rule.status, rule.code, rule.message, headers=headers), delay=rule.delay)
