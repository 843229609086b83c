"""Commands that run at the same time, each line of their output with the name of its command before it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAST = 70
"""So many lines of a step that failed are shown once more at the end: what reads a log reads its end."""

Steps = Sequence[tuple[str, Sequence[str]]]
"""Names and commands, one after the other."""


@dataclass(frozen=True)
class Ended:
    """Exit status, seconds, and the last lines of what a step printed."""

    status: int
    seconds: float
    last: Sequence[str]


def run(lanes: Sequence[Steps]) -> Mapping[str, Ended]:
    """How every step ended. A step that fails keeps no other from running: one run tells all.

    When this process is told to stop (SIGTERM as SystemExit, or Ctrl-C), the commands are, and get time to clean up.
    """
    ended: dict[str, Ended] = {}
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
            last = deque[str](maxlen=LAST)
            for line in process.stdout or ():
                print(f"{name:{width}} | {line}", end="", flush=True)
                last.append(line.rstrip("\n"))
            ended[name] = Ended(process.wait(), time.monotonic() - begun, list(last))

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


def report(ended: Mapping[str, Ended]) -> int:
    """Print the end of every step that failed, then a table of all; answers the worst exit status."""
    for name, step in ended.items():
        if step.status:
            print(f"\n--- {name} failed; its last lines were", *step.last, sep="\n")
    print()
    for name, step in ended.items():
        print(f"{name:12} {step.seconds:6.0f} s  {f'FAILED ({step.status})' if step.status else 'passed'}")
    return max((abs(step.status) for step in ended.values()), default=0)


def on_terminate(*_unused: object) -> None:
    """A handler of SIGTERM with which `run` stops what it started."""
    sys.exit(143)
