"""The program on the head: what it writes, and that the file that is installed is that program."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils import bundle, exporter

from tests.unit.plugins.module_utils import test_oldest_python

SLURM = Path(__file__).parents[2] / "fixtures" / "slurm" / "03-running-and-pending"
CUSTOM = {
    "type": "custom",
    "jobs": {
        "command": ["mini", "jobs"],
        "each": "jobs",
        "fields": {"id": "id", "state": "state", "user": "user", "cpus": "cpus"},
        "states": {"R": "running"},
    },
    "nodes": {
        "command": ["mini", "nodes"],
        "each": "nodes",
        "fields": {"name": "name", "up": "`true`", "cpus": "cpus", "address": "name"},
    },
    "commands": {name: ["mini", name, "{node}"] for name in ("drain", "resume", "remove")},
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[str, str], None]:
    """Puts commands into the path: each prints a text, whatever it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def settings(tmp_path: Path, **changes: t.Any) -> Path:
    found = {
        "scheduler": "slurm",
        "cluster": "demo",
        "kinds": [{"node_array": "htc", "vm_size": "Standard_D4s_v5", "prefix": "htc-d4sv5", "price": 0.25}],
        "textfile": str(tmp_path / "queue.prom"),
        "targets": str(tmp_path / "nodes.json"),
        "decision_log": "",
        **changes,
    }
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(found))
    return path


def slurm(put: t.Callable[[str, str], None]) -> None:
    put("squeue", f"cat {SLURM / 'squeue.json'}")
    put("scontrol", f"cat {SLURM / 'nodes.json'}")


def test_the_queue_becomes_metrics_and_targets(tmp_path: Path, commands: t.Callable[[str, str], None]) -> None:
    slurm(commands)
    assert exporter.main([str(settings(tmp_path))]) == 0
    text = (tmp_path / "queue.prom").read_text()
    assert 'azure_hpc_queue_readable{scheduler="slurm"} 1\n' in text
    assert "azure_hpc_jobs{" in text
    assert stat.S_IMODE((tmp_path / "queue.prom").stat().st_mode) == 0o644
    assert isinstance(json.loads((tmp_path / "nodes.json").read_text()), list)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "metrics.json", "nodes.json", "queue.prom"]


def test_nodes_stay_listed_while_the_queue_cannot_be_read(
    tmp_path: Path, commands: t.Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    slurm(commands)
    path = settings(tmp_path)
    exporter.main([str(path)])
    before = (tmp_path / "nodes.json").read_text()
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert exporter.main([str(path)]) == 1
    assert (tmp_path / "nodes.json").read_text() == before
    text = (tmp_path / "queue.prom").read_text()
    assert 'azure_hpc_queue_readable{scheduler="slurm"} 0\n' in text
    assert "azure_hpc_jobs{" not in text
    assert "Unable to contact" in capsys.readouterr().err


def test_a_sites_own_scheduler_is_told_as_well(tmp_path: Path, commands: t.Callable[[str, str], None]) -> None:
    jobs = {"jobs": [{"id": "7", "state": "R", "user": "alice", "cpus": 2}], "nodes": [{"name": "n1", "cpus": 4}]}
    commands("mini", f"echo '{json.dumps(jobs)}'")
    assert exporter.main([str(settings(tmp_path, scheduler="custom", custom=CUSTOM))]) == 0
    assert 'azure_hpc_user_jobs{state="running",user="alice"} 1\n' in (tmp_path / "queue.prom").read_text()
    assert json.loads((tmp_path / "nodes.json").read_text())[0]["targets"] == ["n1:9100"]


def test_a_file_that_would_not_change_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    exporter.write(str(path), "a\n")
    first = path.stat().st_ino
    exporter.write(str(path), "a\n")
    assert path.stat().st_ino == first
    exporter.write(str(path), "b\n")
    assert path.read_text() == "b\n"


def test_the_installed_file_runs_without_ansible_and_with_the_oldest_python(
    tmp_path: Path, commands: t.Callable[[str, str], None]
) -> None:
    slurm(commands)
    program = tmp_path / "queue_metrics.pyz"
    assert bundle.install(str(program), bundle.program(bundle.sources()), check=False)
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [test_oldest_python._python() or sys.executable, "-S", "-E", str(program), str(settings(tmp_path))]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "azure_hpc_nodes{" in (tmp_path / "queue.prom").read_text()


def test_the_same_sources_make_the_same_file(tmp_path: Path) -> None:
    content = bundle.program(bundle.sources())
    path = str(tmp_path / "program")
    assert bundle.install(path, content, check=True)
    assert not Path(path).exists()
    assert bundle.install(path, content, check=False)
    assert not bundle.install(path, bundle.program(bundle.sources()), check=False)
    assert bundle.install(path, None, check=False)
    assert not bundle.install(path, None, check=False)


def test_the_file_holds_nothing_of_azure_or_ansible(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(bundle.program(bundle.sources()))
    names = zipfile.ZipFile(path).namelist()
    assert not [name for name in names if "/azure/" in name or "boundary" in name or "/planner/" in name]
    assert [name for name in names if name.endswith("schedulers/lsf/parse.py")]
