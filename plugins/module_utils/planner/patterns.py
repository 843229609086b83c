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


# How many jobs of each class are left, by number of the class.
Left = t.Union[t.Sequence[int], t.Mapping[int, int]]
# After so many nodes, what is used up is taken out of the orders.
_TIDY = 16

# How many of each class go onto the node, by number of the class.
Pattern = dict[int, int]


class Shelf:
    """What could go onto empty nodes of one capacity. Orders of wares are made once, for many nodes."""

    def __init__(self, wares: t.Sequence[Ware], capacity: tuple[int, ...]) -> None:
        self._capacity = capacity
        self._wares = {ware.number: ware for ware in wares}
        self._least = [min((ware.needs[one] for ware in wares), default=0) for one in range(len(capacity))]
        dimensions = range(len(capacity))
        self._orders = [
            sorted(wares, key=lambda ware: (-_density(ware, capacity, weights, dimensions), ware.number))
            for weights in _weights(capacity)
        ]
        self._calls = 0

    def best(self, left: Left, first: t.Optional[int] = None) -> tuple[float, Pattern]:
        """A pattern of the jobs that are ``left`` (by number of the class), and what it is worth.

        Not always the optimum, but fast. ``first``: a job of this class is in it.
        """
        self._calls += 1
        if self._calls % _TIDY == 0:
            self._orders = [[ware for ware in order if left[ware.number]] for order in self._orders]
        begun = self.greedy(left, {} if first is None else {first: 1})
        order, found = max(begun, key=lambda one: one[1][0])
        return self.improved(order, left, found, first)

    def greedy(self, left: Left, kept: Pattern) -> list[tuple[list[Ware], tuple[float, Pattern]]]:
        """Filled in some orders: what is densest in all dimensions together, or in one."""
        return [(order, self._filled(order, left, kept)) for order in self._orders]

    def improved(
        self, order: list[Ware], left: Left, found: tuple[float, Pattern], first: t.Optional[int] = None
    ) -> tuple[float, Pattern]:
        """With one or two jobs of a class taken out and the rest filled anew, as long as that is worth more."""
        improved = True
        while improved:
            improved = False
            for number in sorted(found[1]):
                for count in (1, 2):
                    if found[1].get(number, 0) >= count + (number == first):
                        kept = dict(found[1])
                        kept[number] -= count
                        result = self._filled(order, left, kept, number)
                        if result[0] > found[0] + 1e-9:
                            found, improved = result, True
        return found

    def _filled(self, order: list[Ware], left: Left, kept: Pattern, out: int = -1) -> tuple[float, Pattern]:
        """Fill what ``kept`` leaves free, in the given order; nothing more of class ``out``."""
        free, worth, pattern = list(self._capacity), 0.0, {}
        for number, count in kept.items():
            if count:
                ware = self._wares[number]
                worth += count * ware.worth
                pattern[number] = count
                free = [there - count * need for there, need in zip(free, ware.needs)]
        for ware in order:
            number = ware.number
            count = min(ware.most, left[number])
            if not count or number == out:
                continue
            count -= pattern.get(number, 0)
            for there, need in zip(free, ware.needs):
                if need and count * need > there:
                    count = there // need
            if count > 0:
                worth += count * ware.worth
                pattern[number] = pattern.get(number, 0) + count
                free = [there - count * need for there, need in zip(free, ware.needs)]
                if any(there < need for there, need in zip(free, self._least)):
                    break
        return worth, pattern


def better(wares: t.Sequence[Ware], capacity: tuple[int, ...], least: float, visits: int) -> list[Pattern]:
    """Different patterns that are worth more than ``least``; one that is searched for if there is no easy one."""
    shelf = Shelf(wares, capacity)
    left = {ware.number: ware.most for ware in wares}
    found = [shelf.improved(order, left, one) for order, one in shelf.greedy(left, {})]
    good = [one for one in found if one[0] > least] or [search(wares, capacity, least, visits)]
    return [pattern for worth, pattern in good if worth > least]


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


def _weights(capacity: t.Sequence[int]) -> list[tuple[float, ...]]:
    """Of all dimensions alike, and of each that the node has."""
    there = [index for index, size in enumerate(capacity) if size]
    even = tuple(1.0 for _unused in capacity)
    return [even, *(tuple(1.0 if index == one else 0.05 for index in range(len(capacity))) for one in there)]


def _density(ware: Ware, capacity: tuple[int, ...], weights: tuple[float, ...], dimensions: range) -> float:
    size = sum(weights[one] * ware.needs[one] / capacity[one] for one in dimensions if capacity[one])
    return ware.worth / (size or 1e-9)
