# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small linear program: the simplex method on a dense table, which is enough for some dozens of rows."""

from __future__ import annotations

import typing as t

_TINY = 1e-9
# A gain that is not worth another step.
_ENOUGH = 1e-5
# How many numbers of the table may be changed until what was found is the answer: about a quarter of a second.
_WORK = 4_000_000


class Program:
    """Values x >= 0 that make the sum of gain * x the largest, while every row stays at most at its limit.

    Limits are >= 0, so that x = 0 is a beginning. Columns can be added after solving; solving goes on from there.
    ``gain`` is the sum that was reached.
    """

    def __init__(self, limits: t.Sequence[float]) -> None:
        self._height = len(limits)
        # First the slack of each row, then the columns: what is below the slacks turns a column into the present basis.
        self._table = [[0.0] * self._height for _unused in limits]
        for index in range(self._height):
            self._table[index][index] = 1.0
        self._right = [float(limit) for limit in limits]
        self._goal = [0.0] * self._height
        self._basis = list(range(self._height))
        self._gains: list[float] = []
        self.gain = 0.0
        self._work = _WORK

    def add(self, gain: float, column: t.Mapping[int, float]) -> int:
        """One more value with its gain and its share of each row; answers its number."""
        entries = list(column.items())
        for line in self._table:
            line.append(sum(line[row] * value for row, value in entries))
        self._goal.append(sum(self._goal[row] * value for row, value in entries) - gain)
        self._gains.append(gain)
        return len(self._gains) - 1

    @property
    def tired(self) -> bool:
        """Whether so much was done that it is to end: the values are possible, but better ones may be."""
        return self._work <= 0

    def solve(self) -> None:
        """Go to the best values, or towards them as far as it goes with a limited amount of work."""
        tolerance = max(_ENOUGH, _TINY * max((abs(gain) for gain in self._gains), default=1.0))
        stalled = 0
        while not self.tired:
            column = self._entering(tolerance, stalled > 2 * self._height)
            chosen = self._leaving(column) if column >= 0 else -1
            if chosen < 0:
                break
            stalled = stalled + 1 if self._right[chosen] <= _TINY else 0
            self._pivot(chosen, column)

    def values(self) -> list[float]:
        """The values, by the numbers of their columns."""
        found = [0.0] * len(self._gains)
        for index, column in enumerate(self._basis):
            if column >= self._height:
                found[column - self._height] = max(0.0, self._right[index])
        return found

    def prices(self) -> list[float]:
        """For each row, what one more of its limit would gain."""
        return [max(0.0, value) for value in self._goal[: self._height]]

    def _entering(self, tolerance: float, careful: bool) -> int:
        """The column that gains most; the first that gains when there was no progress, which ends circles."""
        best, where = -tolerance, -1
        for column, value in enumerate(self._goal):
            if value < best:
                if careful:
                    return column
                best, where = value, column
        return where

    def _leaving(self, column: int) -> int:
        best, where = float("inf"), -1
        for index, line in enumerate(self._table):
            if line[column] > _TINY:
                ratio = self._right[index] / line[column]
                tie = ratio <= best + _TINY and where >= 0 and self._basis[index] < self._basis[where]
                if ratio < best - _TINY or tie:
                    best, where = min(best, ratio), index
        return where

    def _pivot(self, chosen: int, column: int) -> None:
        line = self._table[chosen]
        factor = line[column]
        nonzero = [(index, value / factor) for index, value in enumerate(line) if value]
        for index, value in nonzero:
            line[index] = value
        self._right[chosen] /= factor
        right = self._right[chosen]
        for number, other in enumerate(self._table):
            share = other[column]
            if share and number != chosen:
                self._work -= len(nonzero)
                for index, value in nonzero:
                    other[index] -= share * value
                other[column] = 0.0
                self._right[number] = max(0.0, self._right[number] - share * right)
        share = self._goal[column]
        self.gain -= share * right
        for index, value in nonzero:
            self._goal[index] -= share * value
        self._goal[column] = 0.0
        self._work -= len(self._goal)
        self._basis[chosen] = column
