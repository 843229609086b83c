# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to put onto one node: the jobs that are worth most together, of those that fit together."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Ware:
    """Jobs of one class: what one is worth, what it needs of each dimension, and how many there are at most."""

    number: int
    worth: float
    needs: tuple[int, ...]
    most: int


# How many of each class go onto the node, by number of the class.
Pattern = dict[int, int]


def best(wares: t.Sequence[Ware], capacity: tuple[int, ...]) -> tuple[float, Pattern]:
    """A pattern that is worth about as much as any, and what it is worth.

    Greedy in some orders, then the best of them with one or two jobs of each class taken out and the rest filled
    anew: not always the optimum, but fast, and the same for the same wares.
    """
    found: tuple[float, Pattern] = (0.0, {})
    first: list[Ware] = []
    dimensions = range(len(capacity))
    for weights in _weights(len(capacity)):
        order = sorted(wares, key=lambda ware: (-_density(ware, capacity, weights, dimensions), ware.number))
        result = _filled(order, capacity, {})
        if result[0] > found[0] + 1e-9:
            found, first = result, order
    improved = True
    while improved:
        improved = False
        for number in sorted(found[1]):
            for count in (1, 2):
                if found[1].get(number, 0) >= count:
                    kept = dict(found[1])
                    kept[number] -= count
                    result = _filled([ware for ware in first if ware.number != number], capacity, kept, wares)
                    if result[0] > found[0] + 1e-9:
                        found, improved = result, True
    return found


def search(wares: t.Sequence[Ware], capacity: tuple[int, ...], least: float, visits: int) -> tuple[float, Pattern]:
    """A pattern that is worth more than ``least``, the best of those that are found in so many visits; else nothing.

    Branch and bound: what can still be added is at most what is left of any one dimension, filled with what is worth
    most for it.
    """
    dimensions = range(len(capacity))
    even = (1.0,) * len(capacity)
    order = sorted(wares, key=lambda ware: (-_density(ware, capacity, even, dimensions), ware.number))
    finder = _Finder(order, capacity, least, visits)
    finder.visit(0, list(capacity), 0.0, {})
    return finder.best, finder.pattern


class _Finder:
    """One search. ``rates`` say for each ware what the rest is worth at most per unit of each dimension."""

    def __init__(self, order: t.Sequence[Ware], capacity: tuple[int, ...], least: float, visits: int) -> None:
        self._order, self._visits = order, visits
        self.best, self.pattern = least, t.cast(Pattern, {})
        self._scale = [1.0 / one if one else 0.0 for one in capacity]
        endless = float("inf")
        rates = [0.0] * (len(capacity) + 1)
        self._rates = [rates]
        for ware in reversed(order):
            sizes = [need * scale for need, scale in zip(ware.needs, self._scale)]
            per = [ware.worth / size if size else endless for size in (*sizes, sum(sizes))]
            rates = [max(one, other) for one, other in zip(rates, per)]
            self._rates.append(rates)
        self._rates.reverse()

    def visit(self, index: int, left: list[int], worth: float, pattern: Pattern) -> None:
        """Try all counts of one ware, the most of it first."""
        if worth > self.best + 1e-9:
            self.best, self.pattern = worth, dict(pattern)
        if index >= len(self._order) or self._visits <= 0:
            return
        self._visits -= 1
        shares = [free * scale for free, scale in zip(left, self._scale)]
        rates = self._rates[index]
        most = min(rate * share for rate, share in zip(rates, (*shares, sum(shares))) if rate < float("inf"))
        if worth + most <= self.best + 1e-9:
            return
        ware = self._order[index]
        count = ware.most
        for free, need in zip(left, ware.needs):
            if need and count * need > free:
                count = free // need
        for number in range(count, -1, -1):
            if number:
                pattern[ware.number] = number
            else:
                pattern.pop(ware.number, None)
            rest = [free - number * need for free, need in zip(left, ware.needs)]
            self.visit(index + 1, rest, worth + number * ware.worth, pattern)


def _weights(count: int) -> list[tuple[float, ...]]:
    even = (1.0,) * count
    return [even, *(tuple(1.0 if index == one else 0.05 for index in range(count)) for one in range(count))]


def _density(ware: Ware, capacity: tuple[int, ...], weights: tuple[float, ...], dimensions: range) -> float:
    size = sum(weights[one] * ware.needs[one] / capacity[one] for one in dimensions if capacity[one])
    return ware.worth / (size or 1e-9)


def _filled(
    order: t.Sequence[Ware], capacity: tuple[int, ...], kept: Pattern, wares: t.Sequence[Ware] = ()
) -> tuple[float, Pattern]:
    """Fill what ``kept`` leaves free, in the given order."""
    left, worth, pattern = list(capacity), 0.0, {}
    if kept:
        for ware in wares:
            count = kept.get(ware.number, 0)
            if count:
                worth += count * ware.worth
                pattern[ware.number] = count
                left = [free - count * need for free, need in zip(left, ware.needs)]
    for ware in order:
        count = ware.most - pattern.get(ware.number, 0)
        for free, need in zip(left, ware.needs):
            if need and count * need > free:
                count = free // need
        if count > 0:
            worth += count * ware.worth
            pattern[ware.number] = pattern.get(ware.number, 0) + count
            left = [free - count * need for free, need in zip(left, ware.needs)]
    return worth, pattern
