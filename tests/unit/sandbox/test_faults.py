# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.arm.errors import ArmError
from sandbox.arm.store import Store
from sandbox.faults import KNOWN, Faults, Rule, complete, worded

SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
PATH = f"/subscriptions/s/resourceGroups/g/providers/{SCALE_SET}/c-hpc"


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[Faults]:
    store = Store(tmp_path / "state.db")
    yield Faults(store)
    store.close()


def test_a_rule_is_used_up(faults: Faults) -> None:
    faults.add(Rule("ServiceUnavailable", count=2))
    met = [faults.synchronous("GET", PATH, SCALE_SET) is not None for _unused in range(3)]
    assert met == [True, True, False]


def test_a_rule_without_end_stays_until_it_is_cleared(faults: Faults) -> None:
    rule = faults.add(Rule("ServiceUnavailable", count=-1))
    assert all(faults.synchronous("GET", PATH) for _unused in range(10))
    assert faults.clear(rule.id) == 1
    assert faults.synchronous("GET", PATH) is None


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        (Rule("X", match=SCALE_SET.lower()), True),
        (Rule("X", match="*/virtualMachineScaleSets/c-*"), True),
        (Rule("X", match="Microsoft.Compute/*", method="PUT"), True),
        (Rule("X", method="DELETE"), False),
        (Rule("X", match="Microsoft.Network/*"), False),
        (Rule("X", when="async"), False),
    ],
)
def test_rules_match_by_type_or_path_method_and_time(faults: Faults, rule: Rule, met: bool) -> None:
    faults.add(rule)
    assert (faults.synchronous("put", PATH, SCALE_SET) is not None) is met


@pytest.mark.parametrize("code", [code for code in KNOWN if code not in ("Slow", "StaleList")])
def test_a_known_code_needs_nothing_more(code: str) -> None:
    rule = complete(Rule(code))
    assert rule.when in ("sync", "async", "machine")
    assert rule.message


def test_a_throttled_request_says_when_to_come_back(faults: Faults) -> None:
    faults.add(Rule("TooManyRequests"))
    fault = faults.synchronous("GET", PATH)
    assert fault is not None
    assert fault.error is not None
    assert (fault.error.status, fault.error.headers) == (429, {"Retry-After": "1"})


def test_a_shortage_names_the_size_and_region_of_the_request_or_the_resource() -> None:
    from sandbox.arm.store import Resource

    error = ArmError(409, "SkuNotAvailable", complete(Rule("SkuNotAvailable")).message)
    known = Resource(PATH, {"location": "westeurope", "sku": {"name": "Standard_HB120rs_v3"}})
    vm = {"location": "eastus", "properties": {"hardwareProfile": {"vmSize": "Standard_F2"}}}
    grown = worded(error, {"sku": {"capacity": 3}}, known).message
    made = worded(error, vm, None).message
    assert "Restrictions: Standard_HB120rs_v3' is currently not available in location 'westeurope'" in grown
    assert "Restrictions: Standard_F2' is currently not available in location 'eastus'" in made


@pytest.mark.parametrize("rule", [Rule("Hang", when="sync"), Rule("StaleList"), Rule("X", when="never")])
def test_a_rule_that_makes_no_sense_is_refused(faults: Faults, rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"kind|delay|when"):
        faults.add(rule)


def test_an_etag_can_mismatch_only_if_the_request_has_one(faults: Faults) -> None:
    faults.add(Rule("PreconditionFailed"))
    assert faults.synchronous("PUT", PATH) is None
    fault = faults.synchronous("PUT", PATH, conditional=True)
    assert fault is not None
    assert fault.error is not None
    assert worded(fault.error, None, match='"3"').message == (
        "The condition '\"3\"' in the If-Match or If-None-Match header was not satisfied."
    )


def test_only_lists_are_stale(faults: Faults) -> None:
    faults.add(Rule("StaleList", delay=5, count=-1))
    assert faults.synchronous("GET", PATH) is None
    fault = faults.synchronous("GET", PATH, listing=True)
    assert fault is not None
    assert (fault.lag, fault.delay, fault.error) == (5, 0, None)


def test_compute_words_its_throttling_otherwise_than_the_rest(faults: Faults) -> None:
    error = ArmError(429, "TooManyRequests", "x", headers={"Retry-After": "1235"})
    compute = worded(error, None, provider="Microsoft.Compute", bucket="HighCostGetVMScaleSetSubscriptionMaximum")
    assert (compute.code, compute.headers["Retry-After"]) == ("OperationNotAllowed", "1235")
    assert [detail["code"] for detail in compute.details or []] == ["TooManyRequests"]
    assert worded(error, None, provider="Microsoft.Network").code == "TooManyRequests"


def test_who_may_not_is_named_with_what_they_wanted() -> None:
    error = ArmError(403, "AuthorizationFailed", KNOWN["AuthorizationFailed"][2])
    words = {"client": "c", "oid": "o", "action": "Microsoft.Compute/virtualMachines/start/action", "scope": "/s"}
    assert worded(error, None, **words).message == (
        "The client 'c' with object id 'o' does not have authorization to perform action "
        "'Microsoft.Compute/virtualMachines/start/action' over scope '/s' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials."
    )
