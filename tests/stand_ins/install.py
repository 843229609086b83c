"""Puts the programs of a stand-in into a folder, each beside the state that all of them share."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stand_ins import core

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS: dict[str, tuple[str, ...]] = {
    "minibatch": ("mini",),
    "openpbs": ("qstat", "pbsnodes", "qmgr", "qsub", "qalter", "qrerun", "qdel"),
    "lsf": (
        "bjobs", "bhosts", "lshosts", "bqueues", "bparams", "badmin", "bmod", "bpost", "brequeue", "bsub", "bkill",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """A stand-in that is installed: ``bin`` has its programs, ``state`` is the file with everything."""

    kind: str
    bin: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """An environment in which its programs are found first."""
        return {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def run(self, *argv: str, user: str = "alice", status: int = 0) -> str:
        """Run a program as a user, in this process; answers what it printed. AssertionError for another exit status."""
        found, out, err = self.call(argv, user)
        if found != status:
            raise AssertionError(f"{argv} ended with {found}: {err or out}")
        return out if status == 0 else err

    def call(self, argv: Sequence[str], user: str = "root") -> tuple[int, str, str]:
        """Exit status, output and errors of a program that runs in this process, which saves most of its time."""
        programs = importlib.import_module(f"tests.stand_ins.{self.kind}.programs")
        out, err = io.StringIO(), io.StringIO()
        before = os.environ.get("STAND_IN_USER")
        os.environ["STAND_IN_USER"] = user
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = programs.main(argv[0], list(argv[1:]), str(self.state))
        finally:
            os.environ.pop("STAND_IN_USER")
            os.environ.update({"STAND_IN_USER": before} if before is not None else {})
        return status, out.getvalue(), err.getvalue()

    @contextlib.contextmanager
    def cluster(self) -> Iterator[core.Cluster]:
        """The state, to look at and to change."""
        with core.opened(self.state) as found:
            yield found


def openpbs(folder: Path) -> Bench:
    """The stand-in for OpenPBS, as a server is after its first start: one queue, no node."""
    from tests.stand_ins.openpbs import server

    bench = _install("openpbs", folder)
    with bench.cluster() as cluster:
        server.begin(cluster)
    return bench


def minibatch(folder: Path) -> Bench:
    """A made-up scheduler, the one of docs/custom_scheduler.md."""
    return _install("minibatch", folder)


def lsf(folder: Path) -> Bench:
    """The stand-in for LSF, with the host on which its daemons run."""
    from tests.stand_ins.lsf import server

    bench = _install("lsf", folder)
    with bench.cluster() as cluster:
        server.begin(cluster)
    return bench


def _install(kind: str, folder: Path) -> Bench:
    bench = Bench(kind, folder / "bin", folder / "state.json")
    bench.bin.mkdir(parents=True)
    for name in PROGRAMS[kind]:
        path = bench.bin / name
        path.write_text(
            f"#!{sys.executable} -SE\n"
            f"# A stand-in: this is not {name} of {kind}.\n"
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.stand_ins.{kind} import programs\n"
            f"sys.exit(programs.main({name!r}, sys.argv[1:], {str(bench.state)!r}))\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return bench
