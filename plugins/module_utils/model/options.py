# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for configuration files of schedulers: names and values that cannot become anything else."""

from __future__ import annotations

import re
import typing as t

from .reading import CONTROL, Section, join, word


def options(section: Section, key: str, ours: t.Mapping[str, str], line: bool = False) -> dict[str, str]:
    """Options for a file of ``name=value`` lines, as texts.

    ``line``: they share a line with others, so quoted blanks are refused, too.
    """
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, value in section.mapping(key).items():
        path = join(section.at(key), name)
        if section.mistakes.at(path):
            continue
        text = {True: "YES", False: "NO"}[value] if isinstance(value, bool) else value
        message = _option_mistake(name, text, ours, line)
        if not message and name.lower() in seen:
            message = f"is the same option as {seen[name.lower()]}"
        if message:
            section.mistakes.add(path, message)
            continue
        seen[name.lower()] = name
        found[name] = str(text)
    return found


def _option_mistake(name: str, value: t.Any, ours: t.Mapping[str, str], line: bool) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        return "is not a name of an option"
    if name.lower() in ours:
        return f"cannot be set here: {ours[name.lower()]}"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return f"must be a text or a number, not {word(value)}"
    text = str(value)
    if CONTROL.search(text) or "#" in text or "\\" in text:
        return "must not contain line breaks, control characters, # or \\"
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    if '"' in text and not quoted:
        return "must not contain quotes, except around the whole value"
    if re.search(r"\s", text) and (line or not quoted):
        return "must not contain blanks: they would begin another option"
    return ""
