"""Runs the suite for all schedulers, or the named ones, side by side: their clusters mostly wait.

``python -m tests.conformance [SCHEDULER ...] [-- PYTEST-ARGUMENT ...]``; every line says whose it is.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from tests.conformance.drivers import DRIVERS


def main(arguments: list[str]) -> int:
    """Answers the worst exit status."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, more = arguments[:cut] or sorted(DRIVERS), arguments[cut + 1 :]
    unknown = set(names) - set(DRIVERS)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(DRIVERS))}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes: list[subprocess.Popen[str]] = []
    threads = []
    try:
        for name in names:
            command = [sys.executable, "-m", "pytest", "tests/conformance", "-v", "-k", name, *more]
            process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            processes.append(process)
            threads.append(threading.Thread(target=_show, args=(name, process)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
    return max(process.wait() for process in processes)


def _show(name: str, process: subprocess.Popen[str]) -> None:
    for line in process.stdout or ():
        print(f"{name:10} {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
