# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What definitions say to schedulers that no distribution ships: where the software comes from."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.reading import Mistakes, Section, join, word

# What dpkg and rpm take for the name of a package, with a version behind it.
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*(?:[=-][A-Za-z0-9.+:~_-]+)?")
_URL = r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?/[^\s\"'\\]+"
_FILE = r"/[^\s\"'\\]+"
_DIGEST = r"[0-9a-fA-F]{64}"
_SOURCE_KEYS = ("url", "file", "sha256")
_REPOSITORY_KEYS = ("name", "url", "key_url", "suites", "components")


def source(mistakes: Mistakes, value: t.Any, path: str) -> dict[str, str]:
    """One file: ``url``, or ``file`` on the controller, and its ``sha256``, which only files may leave out."""
    section = Section(mistakes, value, path, _SOURCE_KEYS)
    found = {
        "url": section.text("url", "", _URL, "is not a URL such as https://example.org/pbs.rpm"),
        "file": section.text("file", "", _FILE, "must be an absolute path on the controller"),
        "sha256": section.text("sha256", "", _DIGEST, "must be a SHA-256 digest of 64 digits 0-9, a-f").lower(),
    }
    if section.broken or mistakes.at(path):
        return {}
    if bool(found["url"]) == bool(found["file"]):
        mistakes.add(path, "must say either url or file")
    elif found["url"] and not found["sha256"]:
        mistakes.add(join(path, "sha256"), "is missing: what is fetched has to be what it was when you chose it")
    return {key: text for key, text in found.items() if text}


def packages(section: Section, key: str) -> list[t.Any]:
    """Packages: names, or files as `source` has them."""
    found: list[t.Any] = []
    for path, item in section.items(key, ()):
        if isinstance(item, str):
            if _PACKAGE.fullmatch(item):
                found.append(item)
            else:
                section.mistakes.add(path, "is not the name of a package")
        else:
            found.append(source(section.mistakes, item, path))
    return found


def repositories(section: Section, key: str) -> list[dict[str, t.Any]]:
    """Package repositories: a name, where they are and where their signing key is; suites and components for apt."""
    found = []
    for path, item in section.items(key, ()):
        below = Section(section.mistakes, item, path, _REPOSITORY_KEYS)
        found.append(
            {
                "name": below.text("name", None, r"[a-z0-9][a-z0-9._-]*", "must be a-z, 0-9 and . _ -"),
                "url": below.text("url", None, _URL, "is not a URL"),
                "key_url": below.text("key_url", None, _URL, "is not a URL"),
                "suites": below.text("suites", "", r"[A-Za-z0-9._/-]+", "is not a suite"),
                "components": list(below.texts("components", (), r"[A-Za-z0-9._-]+", "is not a component")),
            }
        )
    return found


def value_text(value: t.Any, yes: str = "True", no: str = "False") -> str:
    """An option as text. Raises ValueError with what is wrong with it."""
    if isinstance(value, bool):
        return yes if value else no
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a text or a number, not {word(value)}")
    return str(value)


def options(
    section: Section, key: str, name_pattern: str, refused: t.Mapping[str, str], forbidden: str
) -> dict[str, str]:
    """Options with free names as texts.

    ``refused`` says by lower-case name what to use instead, ``forbidden`` are characters that no value may have.
    """
    found: dict[str, str] = {}
    for name, value in section.mapping(key).items():
        path = join(section.at(key), name)
        if not re.fullmatch(name_pattern, name):
            section.mistakes.add(path, "is not a name of an option")
            continue
        if name.lower() in refused:
            section.mistakes.add(path, f"cannot be set here: {refused[name.lower()]}")
            continue
        try:
            text = value_text(value)
        except ValueError as error:
            section.mistakes.add(path, str(error))
            continue
        bad = sorted({char for char in text if char in forbidden or not char.isprintable()})
        if bad or not text.strip():
            what = "must not be empty" if not bad else f"must not contain {' '.join(map(repr, bad))}"
            section.mistakes.add(path, what)
            continue
        found[name] = text
    return found
