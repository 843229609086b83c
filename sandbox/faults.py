# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripted faults: what Azure does on a bad day, as a table of rules.

A rule matches requests by method and by a pattern (a glob on the resource type or on the path), so many times.
Synchronous rules refuse, delay or cut the request itself; asynchronous ones let it be accepted and its operation fail
or hang; rules for machines let single machines of an operation fail, die, or keep silent.
"""

from __future__ import annotations

import fnmatch
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.arm.errors import ArmError
from sandbox.fault_codes import (
    CONDITIONAL,
    CRASH,
    EFFECTS,
    HANG,
    KNOWN,
    NEVER_BOOTS,
    RESET,
    SLOW,
    STALE,
    TIMES,
    worded,
)

if TYPE_CHECKING:
    from sandbox.arm.store import Store

__all__ = ["KNOWN", "Fault", "Faults", "Rule", "complete", "worded"]
SETTING = "faults"


@dataclass
class Rule:
    """One rule. ``count`` is how often it still applies (-1: for ever), ``status`` 0 no refusal, ``delay`` in seconds.

    ``retry_after`` is the header of a refusal, in seconds; None sends none. ``when`` empty: as usual for the code. For
    rules about machines ``count`` counts machines. ``delay`` of a stale list is its age, of a crash how long the
    machine lives, of an operation that hangs how long it does (0: until the rule is cleared).
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

    def applies(self, when: str, method: str, *texts: str, conditional: bool = False, listing: bool = False) -> bool:
        """Whether it is met: ``texts`` are paths and types. Some codes are met by certain requests only."""
        if self.count == 0 or self.when != when or self.method.upper() not in ("*", method.upper()):
            return False
        if (self.code == CONDITIONAL and not conditional) or (self.code == STALE and not listing):
            return False
        pattern = self.match.lower()
        return any(fnmatch.fnmatchcase(text.lower(), pattern) for text in texts)


@dataclass
class Fault:
    """What a matching rule does to one request, operation or machine.

    Wait ``delay`` seconds, then refuse by ``error``, or ``reset``. ``lag``: answer a list as it was so many seconds
    ago. ``hang``: the operation does not begin before the rule is cleared.
    """

    rule: Rule
    error: ArmError | None = None
    reset: bool = False
    delay: float = field(default=0.0)
    lag: float = 0.0
    hang: bool = False


class Faults:
    """The table of rules, kept in the store. ``cleared`` is called with the ids of rules that were removed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cleared: Callable[[list[str]], None] = lambda ids: None

    def rules(self) -> list[Rule]:
        return [Rule(**entry) for entry in self._store.setting(SETTING, [])]

    def add(self, rule: Rule) -> Rule:
        """Add a rule; what it leaves open is filled in from the known codes. Raises ValueError for a bad one."""
        rule = complete(rule)
        with self._store.transaction():
            if rule.code == STALE:
                self._store.keep_history(True)
            self._save([*self.rules(), rule])
        return rule

    def clear(self, rule_id: str = "") -> int:
        """Remove one rule, or all; answers how many. Operations that a removed rule let hang go on."""
        with self._store.transaction():
            rules = self.rules()
            kept = [rule for rule in rules if rule_id and rule.id != rule_id]
            self._save(kept)
            removed = [rule for rule in rules if rule not in kept]
            if any(rule.code == STALE for rule in removed) and not any(rule.code == STALE for rule in kept):
                self._store.keep_history(False)
        self.cleared([rule.id for rule in removed])
        return len(removed)

    def synchronous(
        self, method: str, path: str, type: str = "", *, conditional: bool = False, listing: bool = False
    ) -> Fault | None:
        """The fault that this request itself meets; uses it up.

        ``conditional``: the request has an If-Match or If-None-Match header; ``listing``: it asks for a list.
        """
        return self._take("sync", method, path, type, conditional=conditional, listing=listing)

    def asynchronous(self, method: str, path: str, type: str = "") -> Fault | None:
        """The fault that the operation of this request meets; uses it up."""
        return self._take("async", method, path, type)

    def machine(self, *texts: str) -> Fault | None:
        """The fault that one machine meets while it boots, by its paths and types; uses it up."""
        return self._take("machine", "PUT", *texts)

    def _take(self, when: str, method: str, *texts: str, **about: bool) -> Fault | None:
        if not self._store.setting(SETTING):
            return None
        with self._store.transaction():
            rules = self.rules()
            for rule in rules:
                if rule.applies(when, method, *texts, **about):
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
    if fields["when"] not in TIMES:
        raise ValueError(f"when must be one of {', '.join(TIMES)}, not {rule.when!r}")
    if rule.code in (STALE, HANG, NEVER_BOOTS, CRASH, CONDITIONAL) and fields["when"] != when:
        raise ValueError(f"{rule.code} is a fault of kind {when}")
    if fields["status"] == 429 and rule.retry_after is None:
        fields["retry_after"] = 1.0
    if rule.code == SLOW and rule.delay <= 0:
        raise ValueError("a slow answer needs --delay")
    if rule.code == STALE and rule.delay <= 0:
        raise ValueError("a stale list needs --delay: how old it is")
    return Rule(**fields)


def _fault(rule: Rule) -> Fault:
    if rule.code in EFFECTS:
        hang = rule.code == HANG
        delay = 0.0 if rule.code in (STALE, CRASH) else rule.delay
        lag = rule.delay if rule.code == STALE else 0.0
        return Fault(rule, reset=rule.code == RESET, delay=delay, lag=lag, hang=hang and not rule.delay)
    headers = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
    code = "OSProvisioningTimedOut" if rule.code == NEVER_BOOTS else rule.code
    return Fault(rule, ArmError(rule.status, code, rule.message, headers=headers), delay=rule.delay)
