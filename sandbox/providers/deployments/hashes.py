# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The 64-bit Murmur hash of 32-bit lanes that ``uniqueString`` and template hashes are made of.

The mmh3 package has the 32 and 128-bit variants only; neither contains this one.
"""

from __future__ import annotations

import json
from typing import Any

MASK = 0xFFFFFFFF
FIRST, SECOND = 0x239B961B, 0xAB0E9789
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def murmur64(data: bytes) -> int:
    """Two 32-bit lanes, each fed by every other word of the data."""
    low, high, size = 0, 0, len(data)
    whole = size - size % 8
    for at in range(0, whole, 8):
        low ^= _scramble(int.from_bytes(data[at : at + 4], "little"), FIRST, 15, SECOND)
        low = ((_rotate(low, 19) + high) * 5 + 0x561CCD1B) & MASK
        high ^= _scramble(int.from_bytes(data[at + 4 : at + 8], "little"), SECOND, 17, FIRST)
        high = ((_rotate(high, 13) + low) * 5 + 0x0BCAA747) & MASK
    rest = data[whole:]
    low ^= _scramble(int.from_bytes(rest[:4], "little"), FIRST, 15, SECOND)
    high ^= _scramble(int.from_bytes(rest[4:], "little"), SECOND, 17, FIRST)
    low, high = low ^ size, high ^ size
    low = (low + high) & MASK
    high = (high + low) & MASK
    low, high = _finish(low), _finish(high)
    low = (low + high) & MASK
    high = (high + low) & MASK
    return high << 32 | low


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & MASK


def _scramble(word: int, before: int, by: int, after: int) -> int:
    return _rotate(word * before & MASK, by) * after & MASK


def _finish(value: int) -> int:
    value = (value ^ value >> 16) * 0x85EBCA6B & MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & MASK
    return value ^ value >> 16


def unique(text: str) -> str:
    """Thirteen letters and digits that depend on the text alone."""
    value = murmur64(text.encode())
    # 64 bits are twelve groups of five and one of four, which is filled up from the right.
    return "".join(LETTERS[(value << 5 * at & (1 << 64) - 1) >> 59] for at in range(13))


def template_hash(template: Any) -> str:
    """A number that tells templates apart."""
    return str(murmur64(json.dumps(template, separators=(",", ":"), ensure_ascii=False).encode()))
