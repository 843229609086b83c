"""The modules queue_info and queue_update, run as Ansible runs them, with stand-ins for Slurm's commands."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parents[2] / "fixtures" / "slurm" / "06-drain-fail"
COLLECTIONS = Path(__file__).parents[4] / ".dev" / "collections"
EVIL = "{{ lookup('pipe','id') }} $(reboot) \"quoted\" \u00e4"


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A folder with squeue and scontrol; what is written is noted in ``written`` as one JSON list per line."""
    outputs = {"squeue": FIXTURE / "squeue.json", "nodes": FIXTURE / "nodes.json"}
    script = f"""#!{sys.executable}
import json, pathlib, sys
if sys.argv[0].endswith("squeue"):
    print(pathlib.Path({str(outputs["squeue"])!r}).read_text())
elif "show" in sys.argv:
    print(pathlib.Path({str(outputs["nodes"])!r}).read_text())
else:
    with open({str(tmp_path / "written")!r}, "a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\\n")
    if "nodename=hpc-2" in sys.argv:
        sys.exit("slurm_update error: Invalid node state specified")
"""
    for name in ("squeue", "scontrol"):
        path = tmp_path / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def call(slurm: Path, module: str, **arguments: t.Any) -> dict[str, t.Any]:
    """Run a module in its own process with the arguments that Ansible would give it."""
    code = f"from ansible_collections.azure_hpc.cluster.plugins.modules import {module}; {module}.main()"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(slurm), **arguments}}),
        env={**os.environ, "PATH": str(slurm), "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stdout.strip().splitlines()
    assert lines, run.stderr
    return t.cast("dict[str, t.Any]", json.loads(lines[-1]))


def written(slurm: Path) -> list[list[str]]:
    path = slurm / "written"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_queue_info_answers_the_whole_queue(slurm: Path) -> None:
    result = call(slurm, "queue_info")
    assert result["changed"] is False
    assert result["queue"]["errors"] == []
    assert len(result["queue"]["jobs"]) == 14
    assert {node["name"] for node in result["queue"]["nodes"]} >= {"hpc-1", "gpu-2"}


def test_queue_info_names_what_it_could_not_read_and_does_not_fail(slurm: Path) -> None:
    (slurm / "squeue").unlink()
    result = call(slurm, "queue_info")
    assert result["queue"]["errors"] == [
        "squeue failed with status -1: squeue cannot be run: No such file or directory"
    ]
    assert result["queue"]["jobs"] == []


def test_queue_update_writes_what_differs_and_keeps_hostile_text_as_it_is(slurm: Path) -> None:
    steps = [
        {"step": "resume", "nodes": ["hpc-1", "hpc-4"], "reason": ""},
        {"step": "comment", "job": "27", "text": EVIL, "reason": ""},
    ]
    result = call(slurm, "queue_update", plan=steps, _ansible_diff=True)
    assert result["changed"] is True
    assert written(slurm) == [
        ["update", "nodename=hpc-1", "state=resume"],
        ["update", "jobid=27", f"admincomment={EVIL}"],
    ]
    assert result["diff"]["after"].splitlines() == ["hpc-1: in service", f"job 27: {EVIL}"]


def test_queue_update_in_check_mode_writes_nothing(slurm: Path) -> None:
    steps = [{"step": "resume", "nodes": ["hpc-1"], "reason": ""}]
    assert call(slurm, "queue_update", plan=steps, _ansible_check_mode=True)["changed"] is True
    assert written(slurm) == []


def test_queue_update_without_steps_is_unchanged(slurm: Path) -> None:
    assert call(slurm, "queue_update", plan=[])["changed"] is False


def test_queue_update_reports_failures_after_doing_the_rest(slurm: Path) -> None:
    steps = [
        {"step": "drain", "nodes": ["hpc-2"], "reason": "azure_hpc: x", "requeue": False},
        {"step": "drain", "nodes": ["nope-1"], "reason": "azure_hpc: x", "requeue": False},
        {"step": "drain", "nodes": ["hpc-4"], "reason": "azure_hpc: x", "requeue": False},
    ]
    result = call(slurm, "queue_update", plan=steps)
    assert result["failed"] is True
    assert result["changed"] is True
    assert [item["step"] for item in result["failures"]] == [1, 0]
    assert "slurm_update error: Invalid node state specified" in result["msg"]
    assert len(written(slurm)) == 2


@pytest.mark.parametrize(
    "step", [{"step": "wake", "nodes": ["a; reboot"], "reason": ""}, {"step": "grow"}, {"nodes": []}]
)
def test_queue_update_refuses_what_is_no_step(slurm: Path, step: dict[str, t.Any]) -> None:
    result = call(slurm, "queue_update", plan=[step])
    assert result["failed"] is True
    assert "plan[0]" in result["msg"]
    assert written(slurm) == []
