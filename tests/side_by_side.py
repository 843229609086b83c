"""Commands that run at the same time, each line of their output with the name of its command before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

Steps = Sequence[tuple[str, Sequence[str]]]
"""Names and commands, one after the other."""


def run(lanes: Sequence[Steps]) -> Mapping[str, tuple[int, float]]:
    """Exit status and seconds of every step. A step that fails keeps no other from running: one run tells all.

    When this process is told to stop (SIGTERM as SystemExit, or Ctrl-C), the commands are, and get time to clean up.
    """
    ended: dict[str, tuple[int, float]] = {}
    living: list[subprocess.Popen[str]] = []
    stopping = threading.Event()
    width = max(len(name) for steps in lanes for name, _command in steps)

    def follow(steps: Steps) -> None:
        for name, command in steps:
            if stopping.is_set():
                return
            begun = time.monotonic()
            process = subprocess.Popen(
                command,
                text=True,
                errors="replace",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            living.append(process)
            for line in process.stdout or ():
                print(f"{name:{width}} | {line}", end="", flush=True)
            ended[name] = (process.wait(), time.monotonic() - begun)

    threads = [threading.Thread(target=follow, args=(steps,)) for steps in lanes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stopping.set()
        for process in living:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for thread in threads:
            thread.join()
    return ended


def on_terminate(*_unused: object) -> None:
    """A handler of SIGTERM with which `run` stops what it started."""
    sys.exit(143)
