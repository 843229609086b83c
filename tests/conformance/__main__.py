"""Runs the suite for all schedulers, or the named ones, side by side: their clusters mostly wait.

``python -m tests.conformance [SCHEDULER ...] [-- PYTEST-ARGUMENT ...]``; every line says whose it is.
"""

from __future__ import annotations

import signal
import sys

from tests import side_by_side
from tests.conformance.drivers import DRIVERS


def main(arguments: list[str]) -> int:
    """Answers the worst exit status."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, more = arguments[:cut] or sorted(DRIVERS), arguments[cut + 1 :]
    unknown = set(names) - set(DRIVERS)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(DRIVERS))}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, side_by_side.on_terminate)
    pytest = [sys.executable, "-m", "pytest", "tests/conformance", "-v", *more]
    return side_by_side.report(side_by_side.run([[(name, [*pytest, "-k", name])] for name in names]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
