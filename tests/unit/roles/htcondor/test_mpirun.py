# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""condor_mpirun, with a stand-in for Open MPI's mpirun that starts one daemon on every host, as the real one does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.roles.programs import ROLES

PROGRAM = ROLES / "htcondor/files/condor_mpirun"
MPIRUN = """#!/bin/sh
# mpirun --hostfile FILE ARGUMENT...
echo "$@" >arguments
cp "$2" hosts.seen
for host in $(sed 's/ .*//' "$2" | sort -u); do
    [ "$host" = "$(hostname)" ] || "$PRTE_MCA_plm_ssh_agent" "$host" "echo daemon on \\$(hostname) >daemon.$host"
done
sleep 1
exit ${STATUS:-0}
"""


def part(folder: Path, number: int, host: str, parts: int, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """One part of a parallel job, on a machine of that name."""
    tools = folder / f"tools.{number}"
    tools.mkdir()
    for name, text in (("hostname", f"#!/bin/sh\necho {host}\n"), ("mpirun", MPIRUN)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}", "_CONDOR_PROCNO": str(number), "_CONDOR_NPROCS": str(parts),
        "_CONDOR_JOB_AD": str(folder / "job.ad"), "_CONDOR_MACHINE_AD": str(folder / "machine.ad"), **more,
    }  # fmt: skip
    return subprocess.Popen(["sh", str(PROGRAM), *arguments], cwd=folder, env=environment, text=True)


def job(folder: Path, *hosts: str, **more: str) -> list[int]:
    """Run a whole job; returns the exit codes of its parts."""
    (folder / "job.ad").write_text('Cmd = "x"\nClusterId = 12\nNumShadowStarts = 1\nProcId = 0\n')
    (folder / "machine.ad").write_text("Cpus = 4\nTotalCpus = 8.0\n")
    parts = [part(folder, number, host, len(hosts), "./program", **more) for number, host in enumerate(hosts)]
    try:
        return [process.wait(timeout=30) for process in parts]
    finally:
        for process in parts:
            process.kill()


def test_every_other_machine_runs_its_daemon_without_ssh(tmp_path: Path) -> None:
    assert job(tmp_path, "one", "two", "three") == [0, 0, 0]
    assert (tmp_path / "daemon.two").read_text() == "daemon on two\n"
    assert (tmp_path / "daemon.three").read_text() == "daemon on three\n"
    assert sorted((tmp_path / "hosts.seen").read_text().splitlines()) == ["one slots=4", "three slots=4", "two slots=4"]
    assert (tmp_path / "arguments").read_text().endswith("./program\n")


def test_parts_that_share_a_machine_run_one_daemon(tmp_path: Path) -> None:
    assert job(tmp_path, "one", "two", "two") == [0, 0, 0]
    assert (tmp_path / "hosts.seen").read_text().splitlines().count("two slots=4") == 2


def test_the_job_fails_as_mpirun_does_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert job(tmp_path, "one", "two", STATUS="7")[0] == 7
    assert not list(tmp_path.glob(".condor_mpirun.*"))


@pytest.mark.parametrize("arguments", [(), ("./program",)])
def test_it_says_what_it_is_for(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["sh", str(PROGRAM), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "condor_mpirun: this is no job of the parallel universe\n")
