"""The linear program: its answer is possible, and its prices prove that there is no better one."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.simplex import Program
from hypothesis import given
from hypothesis import strategies as st

Column = tuple[float, dict[int, float]]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[float], list[Column]]:
    height = draw(st.integers(1, 8))
    limits = draw(st.lists(st.integers(0, 20), min_size=height, max_size=height))
    share = st.dictionaries(st.integers(0, height - 1), st.integers(1, 5).map(float), min_size=1, max_size=height)
    gains = st.integers(-3, 9).map(float)
    return [float(limit) for limit in limits], draw(st.lists(st.tuples(gains, share), min_size=1, max_size=25))


@given(programs(), st.integers(0, 25))
def test_values_are_possible_and_prices_prove_that_they_are_the_best(
    made: tuple[list[float], list[Column]], early: int
) -> None:
    limits, columns = made
    program = Program(limits)
    for number, (gain, column) in enumerate(columns):
        if number == early:
            program.solve()
        assert program.add(gain, column) == number
    program.solve()
    values, prices = program.values(), program.prices()
    assert min(values) >= 0
    for row, limit in enumerate(limits):
        used = sum(value * column.get(row, 0.0) for value, (_gain, column) in zip(values, columns, strict=True))
        assert used <= limit + 1e-6
    for gain, column in columns:
        assert sum(prices[row] * share for row, share in column.items()) >= gain - 1e-4
    gained = sum(value * gain for value, (gain, _column) in zip(values, columns, strict=True))
    assert gained == pytest.approx(program.gain, abs=1e-5)
    assert gained == pytest.approx(sum(price * limit for price, limit in zip(prices, limits, strict=True)), abs=1e-2)


def test_what_is_made_by_one_value_is_used_by_another() -> None:
    """Nodes are bought (they take nothing, and give to a row) as long as jobs on them gain more."""
    program = Program([10.0, 0.0])
    program.add(-2.0, {1: -1.0})
    program.add(6.0, {0: 4.0, 1: 1.0})
    program.solve()
    assert program.values() == pytest.approx([2.5, 2.5])
    assert not program.tired
