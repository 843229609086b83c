# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear program of up to some hundreds of rows: the revised simplex method, the inverse of the basis as a table."""

from __future__ import annotations

import typing as t

_TINY = 1e-9
# A gain that is not worth another step.
_ENOUGH = 1e-5
# How many numbers may be looked at or changed until what was found is the answer: about half a second.
_WORK = 4_000_000


class Program:
    """Values x >= 0 that make the sum of gain * x the largest, while every row stays at most at its limit.

    Limits are >= 0, so that x = 0 is a beginning. Columns can be added after solving; solving goes on from there.
    ``gain`` is the sum that was reached.
    """

    def __init__(self, limits: t.Sequence[float]) -> None:
        self._height = len(limits)
        # What turns a column into the present basis; at the beginning the basis are the slacks of the rows.
        self._inverse = [[0.0] * self._height for _unused in limits]
        for index in range(self._height):
            self._inverse[index][index] = 1.0
        self._right = [float(limit) for limit in limits]
        self._prices = [0.0] * self._height
        # Numbers of columns, and below them those of slacks: row - height.
        self._basis = [index - self._height for index in range(self._height)]
        # Gain, share of each row, and 1 / (1 + the square of the column's length).
        self._columns: list[tuple[float, list[tuple[int, float]], float]] = []
        self.gain = 0.0
        self._size = 0
        self._work = _WORK

    def add(self, gain: float, column: t.Mapping[int, float]) -> int:
        """One more value with its gain and its share of each row; answers its number."""
        self._columns.append((gain, list(column.items()), 1 / (1 + sum(value * value for value in column.values()))))
        self._size += len(column)
        return len(self._columns) - 1

    @property
    def tired(self) -> bool:
        """Whether so much was done that it is to end: the values are possible, but better ones may be."""
        return self._work <= 0

    def solve(self) -> None:
        """Go to the best values, or towards them as far as it goes with a limited amount of work."""
        tolerance = max(_ENOUGH, _TINY * max((abs(gain) for gain, _entries, _scale in self._columns), default=1.0))
        stalled = 0
        while not self.tired:
            gain, number = self._entering(tolerance, stalled > 2 * self._height)
            if not gain:
                break
            shares = self._shares(number)
            chosen = self._leaving(shares)
            if chosen < 0:
                break
            stalled = stalled + 1 if self._right[chosen] <= _TINY else 0
            self._pivot(chosen, number, gain, shares)

    def values(self) -> list[float]:
        """The values, by the numbers of their columns."""
        found = [0.0] * len(self._columns)
        for index, number in enumerate(self._basis):
            if number >= 0:
                found[number] = max(0.0, self._right[index])
        return found

    def prices(self) -> list[float]:
        """For each row, what one more of its limit would gain."""
        return [max(0.0, value) for value in self._prices]

    def _entering(self, tolerance: float, careful: bool) -> tuple[float, int]:
        """What the column gains that gains most for its length, and its number, below 0 for a slack; 0 if none gains.

        The first that gains when there was no progress, which ends circles.
        """
        prices, found, best, where = self._prices, 0.0, 0.0, 0
        self._work -= self._size
        for row, price in enumerate(prices):
            if -price > tolerance and price * price > 2 * best:
                found, best, where = -price, price * price / 2, row - self._height
                if careful:
                    return found, where
        for number, (gain, entries, scale) in enumerate(self._columns):
            for row, value in entries:
                gain -= prices[row] * value
            if gain > tolerance and gain * gain * scale > best:
                found, best, where = gain, gain * gain * scale, number
                if careful:
                    break
        return found, where

    def _shares(self, number: int) -> list[float]:
        """A column in terms of the present basis."""
        if number < 0:
            return [line[number] for line in self._inverse]
        entries = self._columns[number][1]
        return [sum([line[row] * value for row, value in entries]) for line in self._inverse]

    def _leaving(self, shares: t.Sequence[float]) -> int:
        best, where = float("inf"), -1
        for index, share in enumerate(shares):
            if share > _TINY:
                ratio = self._right[index] / share
                tie = ratio <= best + _TINY and where >= 0 and self._basis[index] < self._basis[where]
                if ratio < best - _TINY or tie:
                    best, where = min(best, ratio), index
        return where

    def _pivot(self, chosen: int, number: int, gain: float, shares: t.Sequence[float]) -> None:
        line = self._inverse[chosen]
        factor = shares[chosen]
        nonzero = [(index, value / factor) for index, value in enumerate(line) if value]
        for index, value in nonzero:
            line[index] = value
        right = self._right[chosen] = self._right[chosen] / factor
        for row, share in enumerate(shares):
            if share and row != chosen:
                other = self._inverse[row]
                for index, value in nonzero:
                    other[index] -= share * value
                self._right[row] = max(0.0, self._right[row] - share * right)
                self._work -= len(nonzero)
        for index, value in nonzero:
            self._prices[index] += gain * value
        self.gain += gain * right
        self._basis[chosen] = number
