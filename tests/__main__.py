"""Everything that CI runs: ``python -m tests``. Two lanes of about the same length run side by side."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from tests import side_by_side

LANES = (("lint", "unit", "sanity", "integration", "molecule"), ("e2e", "conformance"))


def main() -> int:
    """Answers the worst exit status of a step."""
    signal.signal(signal.SIGTERM, side_by_side.on_terminate)
    return side_by_side.report(side_by_side.run([_steps(names) for names in LANES]))


def _steps(names: Sequence[str]) -> side_by_side.Steps:
    return [(name, [sys.executable, "-m", "nox", "--no-venv", "--session", name]) for name in names]


if __name__ == "__main__":
    sys.exit(main())
