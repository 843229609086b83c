# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a script in a booted machine, as Azure's agent does: as root, from a file that it leaves there."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import IO

from sandbox.machines import OUTPUT_BYTES, Command, MachineError, Output, host

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The shell joins the group before it enters the machine, so that nothing of the script outlives it.
ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
# In the machine: a script without an interpreter of its own is the shell's.
START = """
set -e
home=/var/lib/waagent/run-command/download n=0
mkdir -p -m 0700 "$home"
while ! mkdir -m 0700 "$home/$n" 2>/dev/null; do n=$((n + 1)); done
file=$home/$n/script.sh
cat >"$file"
chmod 0500 "$file"
cd "$home/$n"
read -r first <"$file" || :
case $first in "#!"*) exec "$file" "$@" </dev/null ;; esac
exec /bin/sh "$file" "$@" </dev/null
"""


def run(init: int, group: Path, command: Command) -> Output:
    """Run a script in the machine of that init process; ``group`` is the machine's control group.

    MachineError ``Conflict`` if the machine goes away before the script has begun.
    """
    own = group / f"command-{uuid.uuid4().hex[:8]}"
    entered = ["nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    environment = [f"{name}={value}" for name, value in (("PATH", PATH), *command.environment)]
    inner = ["/usr/bin/env", "-i", *environment, "/bin/sh", "-c", START, "run-command", *command.arguments]
    try:
        own.mkdir()
    except FileNotFoundError:
        raise MachineError("Conflict", "the machine has gone") from None
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", ENTER, str(own), *entered, "--", *inner],
                input=command.script.encode(),
                stdout=stdout,
                stderr=stderr,
                timeout=command.timeout,
                check=False,
            )
            status = done.returncode
            with contextlib.suppress(OSError):  # what the script has left running lives as long as the machine
                own.rmdir()
        except subprocess.TimeoutExpired:
            host.kill(own)
            status = -9
        return Output(status=status, stdout=_tail(stdout), stderr=_tail(stderr))


def _tail(stream: IO[bytes]) -> bytes:
    end = stream.seek(0, 2)
    stream.seek(max(end - OUTPUT_BYTES, 0))
    return stream.read()
