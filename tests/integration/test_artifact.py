"""The collection as a user gets it: built, installed somewhere else, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who installed the built artifact."""
    folder = tmp_path_factory.mktemp("artifact")
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
    }
    (folder / "ansible.cfg").touch()
    galaxy = [str(BIN / "ansible-galaxy"), "collection"]
    subprocess.run([*galaxy, "build", str(ROOT), "--output-path", str(folder)], env=environment, check=True)
    (artifact,) = folder.glob("azure_hpc-cluster-*.tar.gz")
    install = [*galaxy, "install", str(artifact), "--offline", "-p", str(folder / "collections")]
    subprocess.run(install, env=environment, check=True)
    return environment


def run(installed: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=installed, cwd=installed["HOME"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py")}


@pytest.mark.parametrize(("kind", "folder"), [("module", "plugins/modules"), ("inventory", "plugins/inventory")])
def test_every_plugin_is_documented(installed: dict[str, str], kind: str, folder: str) -> None:
    wanted = sorted(f"azure_hpc.cluster.{name}" for name in names(folder))
    found = json.loads(run(installed, "ansible-doc", "--json", "--type", kind, *wanted))
    assert sorted(found) == wanted
    for plugin in found.values():
        assert plugin["doc"]["short_description"]
        assert plugin["examples"].strip()


def test_every_role_documents_its_variables(installed: dict[str, str]) -> None:
    wanted = {f"azure_hpc.cluster.{path.name}" for path in (ROOT / "roles").iterdir()}
    found = json.loads(run(installed, "ansible-doc", "--json", "--type", "role", "--list", "azure_hpc.cluster"))
    assert set(found) == wanted


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")))
def test_every_playbook_is_found_by_its_full_name(installed: dict[str, str], playbook: str) -> None:
    output = run(installed, "ansible-playbook", "--syntax-check", "-i", "localhost,", f"azure_hpc.cluster.{playbook}")
    assert "playbook:" in output


def test_the_artifact_carries_no_state_of_a_checkout(installed: dict[str, str]) -> None:
    root = Path(installed["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/azure_hpc/cluster"
    assert not [path for path in root.iterdir() if path.name in {".git", ".venv", ".dev", "collections", ".ci"}]
