# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``immutableStorageWithVersioning`` of storage accounts: kept, and changed only as it may be. Pure."""

from __future__ import annotations

from typing import Any

from sandbox.arm.errors import ArmError

Json = dict[str, Any]
KEY, POLICY, PERIOD = "immutableStorageWithVersioning", "immutabilityPolicy", "immutabilityPeriodSinceCreationInDays"


def apply(properties: Json, given: Json, known: Json, *, creating: bool) -> None:
    """Put what a write says into ``properties``. Raises ArmError (400) for what the policy does not allow."""
    asked = given.get(KEY)
    before = known.get(KEY) or {}
    if not asked:
        if before:
            properties[KEY] = before
        return
    policy = asked.get(POLICY) or {}
    if before.get(POLICY) or not creating:
        _check_change(before, policy)
    elif policy:
        _check_new(policy)
    made: Json = {"enabled": bool(asked.get("enabled", before.get("enabled", False)))}
    if policy or before.get(POLICY):
        made[POLICY] = {"allowProtectedAppendWrites": False, **before.get(POLICY, {}), **policy}
    properties[KEY] = made


def _check_new(policy: Json) -> None:
    if not policy.get("state") or not policy.get(PERIOD):
        raise _refusal(f"The required property {POLICY}.state, {POLICY}.{PERIOD} is missing.")
    _check_unlocked(policy)


def _check_unlocked(policy: Json) -> None:
    if policy.get("state") == "Locked":
        raise _refusal(
            'Storage account immutability policy state can be set to "Unlocked, Disabled". Note that the immutability '
            "state can either be Disabled or Unlocked during account creation."
        )


def _check_change(before: Json, policy: Json) -> None:
    if not policy:
        return
    if not before.get("enabled"):
        raise _refusal(
            "Storage account level default immutability policy cannot be set as account level WORM is disabled"
        )
    known = before.get(POLICY)
    if not known:
        _check_new(policy)
        return
    if known["state"] == "Locked":
        _check_locked(known, policy)
    elif known["state"] == "Disabled":
        _check_unlocked(policy)


def _check_locked(known: Json, policy: Json) -> None:
    if policy.get("state", "Locked") != "Locked":
        raise _refusal("The immutability policy state cannot be changed once Locked.")
    if policy.get(PERIOD, known[PERIOD]) < known[PERIOD]:
        raise _refusal(f"The {PERIOD} can only be extended for a Locked policy.")
    writes = "allowProtectedAppendWrites"
    if policy.get(writes, known.get(writes)) != known.get(writes):
        raise _refusal(f"Request parameters are invalid: {writes}.")


def _refusal(text: str) -> ArmError:
    return ArmError(400, "InvalidStorageAccountImmutabilityPolicy", text)
