# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies are read as leniently as Azure's services read them, and no more."""

from __future__ import annotations

import typing as t

import pytest

from sandbox.arm import shapes
from sandbox.arm.errors import ArmError

SHAPE = {"properties": {"port": int, "on": bool, "name": str}}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"port": "80"}, {"port": 80}),
        ({"port": " -1 "}, {"port": -1}),
        ({"on": "True"}, {"on": True}),
        ({"on": "false"}, {"on": False}),
        ({"name": "80"}, {"name": "80"}),
        ({"port": None}, {}),
        ({"other": "80"}, {"other": "80"}),
    ],
)
def test_numbers_and_truth_values_may_be_strings(given: dict[str, t.Any], taken: dict[str, t.Any]) -> None:
    assert shapes.read({"properties": given}, SHAPE) == {"properties": taken}


@pytest.mark.parametrize(
    "given", [{"port": "eighty"}, {"port": ""}, {"port": True}, {"on": "yes"}, {"on": 1}, {"name": 80}]
)
def test_what_is_neither_is_refused_with_its_place(given: dict[str, t.Any]) -> None:
    with pytest.raises(ArmError) as refused:
        shapes.read({"properties": given}, SHAPE)
    assert refused.value.status == 400
    assert f"properties.{next(iter(given))}" in str(refused.value.details)
