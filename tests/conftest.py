"""Makes the tree importable as ``ansible_collections.azure_hpc.cluster``, as Ansible itself sees it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / ".dev" / "collections"


def _link_collection() -> None:
    link = COLLECTIONS / "ansible_collections" / "azure_hpc" / "cluster"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT)


_link_collection()
for entry in (str(COLLECTIONS), str(ROOT)):
    if entry not in sys.path:
        sys.path.insert(0, entry)
os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", str(COLLECTIONS))
os.environ.setdefault("ANSIBLE_INJECT_FACT_VARS", "false")

# The same examples in every run, so that a run fails because of the change that it tests; new ones are looked for with
# ./dev unit --hypothesis-profile=explore. Timing never fails a test.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("same")
