# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the big clients, each into an environment of its own below .dev/clients, and records their versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = HERE.parents[1] / ".dev" / "clients"
VERSIONS = CLIENTS / "versions.json"
COLLECTION = "lib/python*/site-packages/ansible_collections/azure/azcollection"
# What the report names; everything that is installed goes into versions.json.
NAMED = ("azure-cli", "ansible", "ansible-core", "azure-core", "azure-identity", "azure-mgmt-compute")


def home(name: str) -> Path:
    """The environment of a client; complete only if it has the file ``complete``."""
    return CLIENTS / name


def installed(name: str) -> bool:
    mark = home(name) / "complete"
    return mark.exists() and mark.read_text() == _wanted(name)


def _wanted(name: str) -> str:
    return (HERE / f"{name}.txt").read_text()


def _uv(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "uv", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def install(name: str) -> None:
    """Make the environment unless it is there."""
    if installed(name):
        return
    place = home(name)
    shutil.rmtree(place, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(place))
    # Compiled at once: each of the commands is a process of its own, and there are hundreds.
    into = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(place / "bin/python"))
    _uv(*into, "-r", str(HERE / f"{name}.txt"))
    for requirements in place.glob(f"{COLLECTION}/requirements.txt"):
        _uv(*into, "-r", str(HERE / f"{name}.txt"), "-r", str(requirements))
    (place / "complete").write_text(_wanted(name))


def versions(name: str) -> dict[str, str]:
    """Every package of a client's environment, and the collection's own version."""
    listed = json.loads(_uv("pip", "list", "--quiet", "--format", "json", "--python", str(home(name) / "bin/python")))
    found = {one["name"]: one["version"] for one in listed}
    for manifest in home(name).glob(f"{COLLECTION}/MANIFEST.json"):
        found["azure.azcollection"] = json.loads(manifest.read_text())["collection_info"]["version"]
    return found


def main() -> None:
    found = {}
    for name in ("az", "azcollection"):
        print(f"clients: {name} in {home(name)}", flush=True)
        install(name)
        found[name] = versions(name)
        shown = {key: found[name][key] for key in (*NAMED, "azure.azcollection") if key in found[name]}
        print(f"clients: {', '.join(f'{key} {value}' for key, value in shown.items())}", flush=True)
    VERSIONS.write_text(json.dumps(found, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
