# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the program `exporter` one file that runs without Ansible: what it imports, in a zip with a first line."""

from __future__ import annotations

import importlib.util
import io
import os
import pkgutil
import tempfile
import typing as t
import zipfile

# The program is not called here, but what it imports has to come along to the node.
from ansible_collections.azure_hpc.cluster.plugins.module_utils import exporter

_ROOT = exporter.__name__.rpartition(".")[0]
_AREAS = ("model", "schedulers")
_SINGLE = ("exporter", "described")
_FIRST_LINE = b"#!/usr/bin/python3\n"
_MAIN = f"from {_ROOT}.exporter import main\n\nraise SystemExit(main())\n"


def sources() -> dict[str, str]:
    """The text of every module of the program, by its path in the zip."""
    names = [f"{_ROOT}.{one}" for one in _SINGLE]
    for area in _AREAS:
        names += _names(f"{_ROOT}.{area}")
    found = {}
    for name in names:
        spec = importlib.util.find_spec(name)
        loader: t.Any = spec.loader if spec else None
        text = loader.get_source(name) if hasattr(loader, "get_source") else None
        if spec is None or text is None:
            continue  # a directory without code
        path = name.replace(".", "/")
        found[f"{path}/__init__.py" if spec.submodule_search_locations is not None else f"{path}.py"] = text
    for folder in sorted({parent for path in list(found) for parent in _parents(path)}):
        found.setdefault(f"{folder}/__init__.py", "")
    return {**found, "__main__.py": _MAIN}


def _names(package: str) -> list[str]:
    """A package and all that is in it, at any depth."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = [package]
    for entry in pkgutil.iter_modules(folders, f"{package}.") if folders is not None else ():
        found += _names(entry.name) if entry.ispkg else [entry.name]
    return found


def _parents(path: str) -> t.Iterator[str]:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def program(files: t.Mapping[str, str]) -> bytes:
    """The file: the same bytes for the same texts."""
    made = io.BytesIO()
    made.write(_FIRST_LINE)
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(files.items()):
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return made.getvalue()


def install(path: str, content: bytes | None, check: bool) -> bool:
    """Make the file hold that, or not be there (None); answers whether it did not before. Raises OSError."""
    try:
        with open(path, "rb") as file:
            before: bytes | None = file.read()
    except FileNotFoundError:
        before = None
    if before == content or check:
        return before != content
    if content is None:
        os.unlink(path)
        return True
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".azure_hpc")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(beside, 0o755)  # noqa: S103 - a program that anybody may read
    os.replace(beside, path)
    return True
