# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The template language: what expressions mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.providers.deployments.evaluator import UNKNOWN, Scope
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.hashes import unique
from sandbox.providers.deployments.parameters import bind, camel

SCOPE = Scope(
    parameters={"name": "vm", "list": [1, 2, 3], "object": {"Key": {"inner": "deep"}}},
    variables={"greeting": "[concat('hello ', parameters('Name'))]", "twice": "[concat(variables('greeting'), '!')]"},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("plain", "plain"),
        ("[[escaped]", "[escaped]"),
        ("[variables('TWICE')]", "hello vm!"),
        ("[parameters('object').key['INNER']]", "deep"),
        ("[parameters('object').?nothing]", None),
        ("[parameters('list')[sub(length(parameters('list')), 1)]]", 3),
        ("['it''s']", "it's"),
        ("[concat(createArray(1), createArray('a'))]", [1, "a"]),
        ("[format('{0}-{1:D3} {{x}}', 'a', 7)]", "a-007 {x}"),
        ("[if(and(true(), not(equals('a', 'A'))), 'yes', parameters('missing'))]", "yes"),
        ("[if(or(false(), false()), parameters('missing'), 'no')]", "no"),
        ("[div(-7, 2)]", -3),
        ("[mod(-7, 2)]", -1),
        ("[union(createObject('a', createObject('x', 1)), createObject('A', createObject('y', 2)))]",
         {"a": {"x": 1, "y": 2}}),
        ("[intersection(createArray('a', 'b'), createArray('b', 'c'))]", ["b"]),
        ("[map(range(0, 3), lambda('n', mul(lambdaVariables('n'), 2)))]", [0, 2, 4]),
        ("[sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]", [1, 2, 3]),
        ("[reduce(range(1, 4), 0, lambda('a', 'b', add(lambdaVariables('a'), lambdaVariables('b'))))]", 10),
        ("[toObject(createArray('a'), lambda('e', lambdaVariables('e')))]", {"a": "a"}),
        ("[cidrSubnet('10.0.0.0/16', 24, 3)]", "10.0.3.0/24"),
        ("[cidrHost('10.0.0.0/24', 4)]", "10.0.0.5"),
        ("[dateTimeAdd('2020-01-31T00:00:00Z', 'P1M')]", "2020-02-29 00:00:00Z"),
        ("[base64ToString(base64('ä'))]", "ä"),
        ("[json('{\"a\": [1]}').a[0]]", 1),
        ("[coalesce(null(), 'x')]", "x"),
        ("[substring('abcdef', 2, 3)]", "cde"),
        ("[split('a,b;c', createArray(',', ';'))]", ["a", "b", "c"]),
        ("[string(createObject('a', true()))]", '{"a":true}'),
        ("[padLeft(7, 3, '0')]", "007"),
    ],
)  # fmt: skip
def test_expressions_have_their_documented_values(expression: str, value: Any) -> None:
    assert SCOPE.value(expression) == value


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("[concat('a']", "is not expected"),
        ("[nothing(1)]", "'nothing' is not valid"),
        ("[parameters('absent')]", "parameter 'absent' is not found"),
        ("[variables('absent')]", "variable 'absent' is not found"),
        ("[parameters('object').absent]", "available properties are 'Key'"),
        ("[parameters('list')[9]]", "out of bounds"),
        ("[copyIndex()]", "'copyIndex' is not expected at this location"),
        ("[div(1, 0)]", "division by zero"),
        ("[if('x', 1, 2)]", "boolean"),
        ("[substring('abc', 2, 9)]", "within the string"),
    ],
)
def test_wrong_expressions_are_refused_by_what_is_wrong(expression: str, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        SCOPE.value(expression)


def test_variables_that_need_each_other_are_refused() -> None:
    scope = Scope(variables={"a": "[variables('b')]", "b": "[variables('a')]"})
    with pytest.raises(TemplateError, match="circular"):
        scope.value("[variables('a')]")


def test_a_copy_loop_makes_an_array_in_its_object() -> None:
    raw = {
        "copy": [{"name": "disks", "count": "[length(parameters('list'))]", "input": {"lun": "[copyIndex('disks')]"}}]
    }
    assert SCOPE.value(raw) == {"disks": [{"lun": 0}, {"lun": 1}, {"lun": 2}]}


def test_what_depends_on_the_unknown_is_unknown_and_the_rest_is_not() -> None:
    scope = Scope(specials={"reference": lambda _scope, _given: UNKNOWN})
    assert scope.value("[concat('a', reference('x').y[0].z)]") is UNKNOWN
    assert scope.value("[if(true(), 'known', reference('x'))]") == "known"


def test_functions_of_the_template_see_only_their_parameters() -> None:
    definition = {"parameters": [{"name": "x", "type": "string"}], "output": {"value": "[toUpper(parameters('x'))]"}}
    scope = Scope(parameters={"name": "outer"}, functions={"my.shout": definition})
    assert scope.value("[my.shout('a')]") == "A"
    definition["output"] = {"value": "[parameters('name')]"}
    with pytest.raises(TemplateError, match="'name' is not found"):
        scope.value("[my.shout('a')]")


@given(st.text(max_size=40))
def test_any_text_survives_as_a_literal(text: str) -> None:
    quoted = text.replace("'", "''")
    assert SCOPE.value(f"[concat('{quoted}', '')]") == text


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3), st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_unique_strings_have_13_lower_case_letters_and_follow_their_input(one: list[str], other: list[str]) -> None:
    made = unique("-".join(one))
    assert len(made) == 13
    assert made == made.lower()
    assert made.isalnum()
    assert (made == unique("-".join(other))) == ("-".join(one) == "-".join(other))


def test_parameters_are_checked_against_their_declaration() -> None:
    template = {
        "parameters": {
            "size": {"type": "string", "allowedValues": ["a", "b"], "defaultValue": "a"},
            "count": {"type": "int", "minValue": 2},
            "Secret": {"type": "securestring"},
        }
    }
    scope = Scope()
    shown = bind(template, {"COUNT": {"value": 3}, "secret": {"value": "hidden"}}, scope)
    assert shown == {
        "size": {"type": "String", "value": "a"},
        "count": {"type": "Int", "value": 3},
        "secret": {"type": "SecureString"},
    }
    assert scope.parameters == {"size": "a", "count": 3, "secret": "hidden"}
    good = {"count": {"value": 3}, "secret": {"value": "x"}}
    for wrong, told in (
        ({"size": {"value": "c"}}, "not part of the allowed"),
        ({"count": {"value": 1}}, "minValue"),
        ({"count": {"value": "3"}}, "Expected 'Integer'. Actual 'String'"),
        ({"count": {"value": True}}, "Expected 'Integer'. Actual 'Boolean'"),
        ({"extra": {"value": 1}}, "'extra' in the parameters file are not valid"),
        ({"secret": {}}, "'Secret' at line"),
    ):
        with pytest.raises(TemplateError, match=told):
            bind(template, {**good, **wrong}, Scope())


@pytest.mark.parametrize(("name", "shown"), [("VMSS", "vmss"), ("adminPassword", "adminPassword"), ("MyID", "myID")])
def test_names_are_shown_as_azure_spells_them(name: str, shown: str) -> None:
    assert camel(name) == shown
