"""Node code runs on Python 3.9: it reads a real queue and plans with it there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
FIXTURE = ROOT / "tests" / "unit" / "fixtures" / "slurm" / "01-powering-up"
PROGRAM = """
import importlib, json, pathlib, sys
assert sys.version_info[:2] == (3, 9), sys.version
base = "ansible_collections.azure_hpc.cluster.plugins.module_utils"
root, fixture = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
for folder in ("model", "planner", "schedulers"):
    for path in sorted((root / "plugins" / "module_utils" / folder).rglob("*.py")):
        parts = path.relative_to(root / "plugins" / "module_utils").with_suffix("").parts
        importlib.import_module(".".join([base, *(part for part in parts if part != "__init__")]))
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import catalog, definition, fleet, layout, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import Plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import slurm
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output, scheduler
files = {"jobs": "squeue.json", "nodes": "nodes.json"}
outputs = {key: Output(0, (fixture / name).read_text()) for key, name in files.items()}
queue = scheduler("slurm").parse(outputs, 1)
assert len(queue.jobs) == 23 and not queue.errors
assert serial.load(Queue, json.loads(json.dumps(serial.dump(queue)))) == queue
cluster = definition.read({
    "name": "demo", "location": "westeurope", "resource_group": "rg",
    "admin": {"ssh_public_keys": ["ssh-ed25519 AAAA"]},
    "network": {"address_space": ["10.0.0.0/16"], "subnets": {"head": "10.0.0.0/24", "compute": "10.0.1.0/24"}},
    "head": {"vm_size": "Standard_D4s_v5"}, "scheduler": {"type": "slurm"},
    "node_arrays": [{"name": "htc", "vm_sizes": ["Standard_D4s_v5"], "max_nodes": 3}],
    "partitions": [{"name": "htc", "node_arrays": ["htc"], "default": True}],
})
plan = slurm.plan(cluster, layout.layout(cluster), queue, fleet.Fleet(), catalog.Catalog("westeurope"), 1)
assert serial.load(Plan, serial.dump(plan)) == plan
"""


def _python() -> str:
    """A Python 3.9 that really runs, or ''."""
    for name in ("python3.9", *map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return ""


@pytest.mark.skipif(not _python(), reason="there is no Python 3.9 here")
def test_node_code_runs_on_python_3_9() -> None:
    run = subprocess.run(
        [_python(), "-c", PROGRAM, str(ROOT), str(FIXTURE)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".dev" / "collections"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
