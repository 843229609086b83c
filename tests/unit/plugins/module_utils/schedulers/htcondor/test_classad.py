# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of the ClassAd language, as HTCondor evaluates them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.htcondor import classad
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.htcondor.functions import ERROR, UNDEFINED
from hypothesis import given
from hypothesis import strategies as st

JOB = {"requestcpus": 4, "owner": "alice", "imagesize": 45, "both": "mine"}
MACHINE = {"cpus": 8, "memory": 4000, "node_array": "htc", "arch": "X86_64", "ib": True, "both": "theirs"}


def value(text: str) -> t.Any:
    return classad.parse(text).evaluate(JOB, MACHINE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-3 + 1", -2),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7.0 / 2", 3.5),
        ("-7 % 3", -1),
        ("1 / 0", ERROR),
        ("1K", 1024),
        ("2G", 2 * 1024**3),
        ('"a\\"b"', 'a"b'),
        ("TARGET.Cpus >= RequestCpus", True),
        ("Cpus < my.requestcpus", False),
        ('node_array == "HTC"', True),
        ('node_array =?= "HTC"', False),
        ('node_array =!= "HTC"', True),
        ('node_array != "hpc"', True),
        ('node_array == "hpc" || node_array == "htc"', True),
        ("ib", True),
        ("ib =?= True", True),
        ("!ib", False),
        ("missing", UNDEFINED),
        ("missing == 1", UNDEFINED),
        ("missing =?= undefined", True),
        ("missing is undefined", True),
        ("missing isnt undefined", False),
        ("missing && false", False),
        ("false && missing", False),
        ("missing || true", True),
        ("missing && true", UNDEFINED),
        ("!missing", UNDEFINED),
        ('"text" && true', ERROR),
        ('1 < "a"', ERROR),
        ("both", "mine"),
        ("TARGET.both", "theirs"),
        ("MY.both", "mine"),
        ("ifThenElse(MemoryUsage isnt undefined, MemoryUsage, (ImageSize + 1023) / 1024)", 1),
        ("missing ?: 5", 5),
        ("true ? 1 : 2", 1),
        ("missing ? 1 : 2", UNDEFINED),
        ('stringListMember(node_array, "htc, hpc")', True),
        ('stringListIMember("HTC", "htc,hpc")', True),
        ('member(node_array, {"a", "HTC"})', True),
        ('regexp("^h.c$", node_array)', True),
        ('regexp("(a+)+$", node_array)', ERROR),
        ("quantize(129, 128)", 256),
        ("quantize(3, {2, 4, 8})", 4),
        ('strcat("a", 1, toUpper("b"))', "a1B"),
        ("isUndefined(missing)", True),
        ("floor(2.7) + ceiling(2.1) + int(\"4\")", 9),
        ("max({1, 3, 2})", 3),
    ],
)  # fmt: skip
def test_values_are_those_of_htcondor(text: str, expected: t.Any) -> None:
    found = value(text)
    assert found is expected or (found == expected and type(found) is type(expected))


@pytest.mark.parametrize(
    "text",
    ["", "(", "1 +", "a b", '"open', "unknownFunction(1)", "a = 1", "(" * 100 + "1" + ")" * 100, "!" * 100 + "a"],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(classad.ClassAdError):
        classad.parse(text)


def test_an_attribute_that_refers_to_itself_is_an_error_and_no_endless_loop() -> None:
    one = classad.parse("other + 1")
    assert one.evaluate({"other": classad.parse("one"), "one": one}, {}) is ERROR


def test_the_names_of_an_expression_are_known() -> None:
    found = classad.parse('TARGET.Memory > 1 && (my.X || node_array == "a") && isUndefined(Y)')
    assert found.names == {"memory", "x", "node_array", "y"}


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        found = classad.parse(text)
    except classad.ClassAdError:
        return
    found.evaluate(JOB, MACHINE)


OPERANDS = st.sampled_from(["1", "2.5", "true", "false", "undefined", '"a"', "Cpus", "missing", "ib"])
OPERATORS = st.sampled_from(["&&", "||", "==", "!=", "=?=", "=!=", "<", ">=", "+", "-", "*", "/", "%"])


@given(OPERANDS, OPERATORS, OPERANDS, OPERATORS, OPERANDS)
def test_every_combination_of_values_has_a_value(a: str, one: str, b: str, other: str, c: str) -> None:
    value(f"{a} {one} {b} {other} {c}")
    value(f"!({a} {one} ({b} {other} {c}))")
