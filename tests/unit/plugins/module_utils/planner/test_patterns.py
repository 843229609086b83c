"""What goes onto one node together."""

from __future__ import annotations

import itertools

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.patterns import Pattern, Shelf, Ware, better
from hypothesis import assume, given
from hypothesis import strategies as st

CAPACITY = (16, 64, 2)


@st.composite
def shelves(draw: st.DrawFn) -> list[Ware]:
    needs = st.tuples(st.integers(1, 9), st.integers(0, 40), st.integers(0, 1))
    sizes = draw(st.lists(needs, min_size=1, max_size=6))
    return [
        Ware(number, draw(st.integers(1, 50)) / 10, size, draw(st.integers(1, 20))) for number, size in enumerate(sizes)
    ]


def fits(wares: list[Ware], pattern: Pattern) -> bool:
    return all(
        sum(wares[number].needs[one] * count for number, count in pattern.items()) <= there
        for one, there in enumerate(CAPACITY)
    )


def worth(wares: list[Ware], pattern: Pattern) -> float:
    return sum(wares[number].worth * count for number, count in pattern.items())


@given(shelves(), st.lists(st.integers(0, 4), min_size=6, max_size=6), st.integers(0, 5))
def test_a_pattern_fits_and_takes_no_more_than_is_left(wares: list[Ware], left: list[int], first: int) -> None:
    shelf = Shelf(wares, CAPACITY)
    for begun in (None, first if first < len(wares) and left[first] else None):
        found, pattern = shelf.best(left, begun)
        assert fits(wares, pattern)
        assert all(0 < count <= min(left[number], wares[number].most) for number, count in pattern.items())
        assert found == worth(wares, pattern) or abs(found - worth(wares, pattern)) < 1e-9
        assert begun is None or begun in pattern
        assert pattern or not any(left[: len(wares)])


@given(shelves())
def test_better_patterns_are_worth_more_than_asked_for(wares: list[Ware]) -> None:
    few = wares[:3]
    assume(all(ware.worth for ware in few))
    counts = itertools.product(*(range(min(ware.most, 16) + 1) for ware in few))
    most = max(worth(few, dict(enumerate(one))) for one in counts if fits(few, dict(enumerate(one))))
    found = better(few, CAPACITY, most - 0.05, 10_000)
    assert found
    assert all(fits(few, pattern) and worth(few, pattern) > most - 0.05 for pattern in found)
    assert not better(few, CAPACITY, most + 1e-6, 10_000)
