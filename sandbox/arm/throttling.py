# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throttling: the token buckets that Azure documents, one set per subscription, principal and resource.

Resource Manager has a bucket per principal and kind of request, and fifteen times that for the subscription.
Microsoft.Compute has, for each group of requests, a bucket per resource and one per subscription; it tells what is
left in ``x-ms-ratelimit-remaining-resource``. Buckets begin full, and fill up all the time. What is left is always
told; it is enforced unless the time scale is 0 (``auto``), and time runs faster for buckets as it does for operations.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.arm.compute_buckets import Charge, charge
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.store import Store
from sandbox.clock import clock
from sandbox.fault_codes import KNOWN, throttled

SETTING = "throttling"
MODES = ("auto", "on", "off")
# kind of request: (size, refilled per second)
BUDGETS = {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
GLOBAL = 15
MANY, UNTOUCHED = 20000, 600.0
KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass
class _Bucket:
    """``left`` tokens at the time ``at``; ``refused`` requests since it was last not empty."""

    left: float
    at: float
    refused: int = 0


@dataclass(frozen=True)
class _Take:
    """Tokens that a request takes: the bucket, its size and refill per second, and its header if it has one."""

    key: tuple[str, ...]
    size: float
    refill: float
    count: int
    header: str
    name: str = ""


class Throttling:
    """All buckets of a sandbox. They are in memory: a server that starts has them full."""

    def __init__(self, store: Store, time_scale: float, time: Callable[[], float] = clock.now) -> None:
        self._store, self._scale, self._time = store, time_scale, time
        self._buckets: dict[tuple[str, ...], _Bucket] = {}
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """``mode``, ``factor`` (of all sizes), and whether it is ``enforced``."""
        mode, factor = self._store.setting(SETTING, ["auto", 1.0])
        return {"mode": mode, "factor": factor, "enforced": mode == "on" or (mode == "auto" and self._scale > 0)}

    def set_mode(self, mode: str, factor: float = 1.0) -> dict[str, Any]:
        """Enforce the buckets or not; ``factor`` makes them smaller or larger. All are full afterwards."""
        if mode not in MODES or factor <= 0:
            raise ValueError(f"throttling is one of {', '.join(MODES)}, and its factor is more than 0")
        self._store.set_setting(SETTING, [mode, factor])
        with self._lock:
            self._buckets.clear()
        return self.describe()

    def take(self, request: Request, template: str, type: str, actor: str, *, inner: bool = False) -> dict[str, str]:
        """Take what a request costs; answers the headers that tell what is left.

        An ``inner`` request is Resource Manager's own: only the provider counts it.
        Raises ArmError 429, with these headers and Retry-After, if a bucket that is enforced does not hold enough.
        """
        about = self.describe()
        takes = ([] if inner else self._arm(request, actor)) + self._compute(
            request, charge(self._store, request, template, type)
        )
        # An operation's time is scaled, and so is the time in which buckets fill.
        speed = 1 / self._scale if about["enforced"] and self._scale > 0 else 1.0
        with self._lock:
            short = [(self._missing(entry, about["factor"], speed), entry) for entry in takes]
            worst, entry = max(short, key=lambda pair: pair[0], default=(0.0, None))
            if entry is None or worst <= 0 or not about["enforced"]:
                for found in takes:
                    bucket = self._buckets[found.key]
                    bucket.left, bucket.refused = max(bucket.left - found.count, 0), 0
                return self._headers(takes)
            self._buckets[entry.key].refused += 1
            return self._refuse(request, entry, worst, about["factor"], actor, self._headers(takes))

    def _missing(self, entry: _Take, factor: float, speed: float) -> float:
        """Seconds until the bucket, filled up to now, holds what the request takes; 0 if it does."""
        if len(self._buckets) > MANY:
            self._forget()
        now, size, refill = self._time(), max(entry.size * factor, 1.0), entry.refill * factor * speed
        bucket = self._buckets.setdefault(entry.key, _Bucket(size, now))
        bucket.left, bucket.at = min(size, bucket.left + max(now - bucket.at, 0) * refill), now
        # What is larger than the whole bucket may pass when it is full: Azure takes such requests apart.
        return max(min(entry.count, size) - bucket.left, 0.0) / refill

    def _forget(self) -> None:
        """Buckets that nobody has touched for long are full again."""
        before = self._time() - UNTOUCHED
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.at > before}

    def _headers(self, takes: list[_Take]) -> dict[str, str]:
        headers: dict[str, str] = {}
        shown = [f"Microsoft.Compute/{entry.name};{self._left(entry)}" for entry in takes if entry.name]
        for entry in takes:
            if entry.header:
                headers[entry.header] = str(self._left(entry))
        if shown:
            headers["x-ms-ratelimit-remaining-resource"] = ",".join(shown)
        batched = [entry.count for entry in takes if entry.name.startswith("VMScaleSetBatched")]
        if batched:
            headers["x-ms-request-charge"] = str(batched[0])
        return headers

    def _left(self, entry: _Take) -> int:
        return int(self._buckets[entry.key].left)

    def _refuse(
        self, request: Request, entry: _Take, seconds: float, factor: float, actor: str, headers: dict[str, str]
    ) -> dict[str, str]:
        wait, size = float(max(math.ceil(clock.real_seconds(seconds)), 1)), int(max(entry.size * factor, 1))
        if entry.name:
            error = throttled(entry.name, size, size + self._buckets[entry.key].refused, wait)
        else:
            kind = KINDS.get(request.method, "writes").removesuffix("s")
            words = {"kind": kind, "subscription": _subscription(request), "oid": actor, "seconds": f"{wait:g}"}
            message = KNOWN["SubscriptionRequestsThrottled"][2]
            for name, value in words.items():
                message = message.replace(f"{{{name}}}", value)
            error = ArmError(429, "SubscriptionRequestsThrottled", message, headers={"Retry-After": f"{wait:g}"})
        error.headers = {**headers, **error.headers}
        raise error

    @staticmethod
    def _arm(request: Request, actor: str) -> list[_Take]:
        subscription, kind = _subscription(request), KINDS.get(request.method, "writes")
        size, refill = BUDGETS[kind]
        if not subscription:
            return [_Take(("tenant", actor, kind), size, refill, 1, f"x-ms-ratelimit-remaining-tenant-{kind}")]
        head = "x-ms-ratelimit-remaining-subscription"
        return [
            _Take(("arm", subscription, actor, kind), size, refill, 1, f"{head}-{kind}"),
            _Take(("arm", subscription, kind), size * GLOBAL, refill * GLOBAL, 1, f"{head}-global-{kind}"),
        ]

    @staticmethod
    def _compute(request: Request, charges: list[Charge]) -> list[_Take]:
        subscription = _subscription(request)
        takes = []
        for found in charges:
            owner = found.resource.lower() if found.resource else subscription
            takes.append(_Take((found.name, owner), found.size, found.refill / 60, found.count, "", found.name))
        return takes


def _subscription(request: Request) -> str:
    parts = request.path.split("/")
    return parts[2].lower() if len(parts) > 2 and parts[1].lower() == "subscriptions" else ""
