# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for people: one line, no control characters, not too long."""

from __future__ import annotations

import datetime
import typing as t

COMMENT_LENGTH = 240


def plain(text: str, length: int = COMMENT_LENGTH) -> str:
    """One line without control characters, of at most ``length`` characters: fit to be shown in a terminal."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= length else line[: length - 3] + "..."


def clock(epoch: int) -> str:
    """Seconds since the epoch as people say it: 12:40 UTC."""
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%H:%M UTC")  # noqa: UP017 (Python 3.9)


def listing(names: t.Sequence[str], most: int = 5) -> str:
    """``a, b and 3 more``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
