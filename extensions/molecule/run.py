"""Runs all molecule scenarios on machines of a sandbox of their own, and takes it down whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> int:
    """``run.py [molecule arguments]``: by default ``test --all``."""
    if Path.cwd().name == "extensions":
        os.chdir(ROOT)  # molecule finds extensions/molecule from the root of the collection
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Path(tempfile.mkdtemp(prefix="azure_hpc-molecule-"))
    sandbox = [sys.executable, "-m", "sandbox", "--state", str(scratch / "sandbox")]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".dev/collections"),
        "HPC_SSH_KEY": str(scratch / "id_ed25519"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(scratch / "molecule"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", environment["HPC_SSH_KEY"]], check=True)
        subprocess.run(
            [*sandbox, "up", "--driver", "nspawn", "--time-scale", "0", "--owner", str(os.getpid())],
            cwd=ROOT,
            check=True,
        )
        known = subprocess.run([*sandbox, "env", "--json"], cwd=ROOT, check=True, capture_output=True, text=True)
        environment.update(json.loads(known.stdout))
        return subprocess.run(["molecule", *(arguments or ["test", "--all"])], env=environment, check=False).returncode
    finally:
        subprocess.run([*sandbox, "down", "--wipe"], cwd=ROOT, check=False)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
