"""The sessions behind ./dev. They run in .venv, which ./dev has made; nox only orders and names them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
DEV = ROOT / ".dev"
COLLECTION = "ansible_collections.azure_hpc.cluster"

nox.options.sessions = ["test"]
nox.options.default_venv_backend = "none"


def _pytest(session: nox.Session, *arguments: str) -> None:
    session.run("python", "-m", "pytest", *arguments, *session.posargs)


def _tracked(pattern: str) -> list[str]:
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", pattern],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in out.stdout.splitlines() if (ROOT / name).exists()]


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting, style, types, YAML, playbooks and changelog fragments."""
    session.run("ruff", "check", "--quiet", ".")
    session.run("ruff", "format", "--check", "--quiet", ".")
    session.run("yamllint", "--strict", ".")
    env = {"MYPYPATH": f"{ROOT}:{DEV / 'collections'}"}
    session.run("mypy", "-p", "sandbox", env=env)
    session.run("mypy", "-p", f"{COLLECTION}.plugins", env=env)
    # What runs on nodes: programs one at a time, for most of them have the same name.
    library = ROOT / "roles/base/files"
    session.run("mypy", *map(str, library.glob("*.py")), env={"MYPYPATH": str(library)})
    for program in (*ROOT.glob("roles/*/files/join"), *ROOT.glob("roles/*/files/configure")):
        env = {"MYPYPATH": f"{library}:{program.parent}"}
        session.run("mypy", "--scripts-are-modules", str(program), env=env)
    session.run("antsibull-changelog", "lint")
    session.run("ansible-lint", "--offline", "-q")


@nox.session
def unit(session: nox.Session) -> None:
    """Unit tests: fast, nothing is booted and nothing listens."""
    _pytest(session, "tests/unit", "-q", "-n", "2")


@nox.session
def integration(session: nox.Session) -> None:
    """Modules, inventory and real clients against the sandbox, and booted machines."""
    _pytest(session, "tests/integration", "-q", "--durations=15")


@nox.session
def clients(session: nox.Session) -> None:
    """az and azure.azcollection, unmodified, against the sandbox. They are 1.6 GB to install: not part of test."""
    session.run("python", "-m", "tests.clients.install")
    _pytest(session, "tests/clients", "-q")


@nox.session
def molecule(session: nox.Session) -> None:
    """The roles on booted nodes: converge, idempotence, verify."""
    session.run("python", str(ROOT / "extensions/molecule/run.py"), *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """A whole cluster: booted nodes, real Slurm, jobs, passes, and nothing left."""
    _pytest(session, "tests/e2e", "-q", "-s")


@nox.session
def conformance(session: nox.Session) -> None:
    """Every scheduler through the same cases, each on a cluster of its own: booted nodes, the real scheduler."""
    session.run("python", "-m", "tests.conformance", *session.posargs)


@nox.session
def sanity(session: nox.Session) -> None:
    """ansible-test sanity, in a copy of the collection at the path that ansible-test demands."""
    with tempfile.TemporaryDirectory(prefix="azure_hpc-sanity-") as scratch:
        target = Path(scratch) / "ansible_collections/azure_hpc/cluster"
        for name in _tracked("."):
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy, follow_symlinks=False)
        with session.chdir(str(target)):
            session.run("git", "init", "--quiet", external=True)
            session.run("git", "add", "--all", external=True)
            home = DEV / "ansible-test"
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            _offline_pip_bootstrap(home, version)
            env = {"HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": scratch}
            session.run(
                "ansible-test",
                "sanity",
                "--python",
                version,
                "--requirements",
                "--color",
                "no",
                *session.posargs,
                env=env,
            )


def _offline_pip_bootstrap(home: Path, version: str) -> None:
    """ansible-test downloads a script that installs pip; ensurepip does the same without leaving the machine."""
    show = (
        "import sys, types; from ansible_test._internal.python_requirements import get_venv_packages;"
        "print(get_venv_packages(types.SimpleNamespace(version=sys.argv[1]))['pip'])"
    )
    pip = subprocess.run(["python", "-c", show, version], check=True, capture_output=True, text=True).stdout.strip()
    script = home / f".ansible/test/cache/get_pip_{pip.replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("import ensurepip\n\nensurepip.bootstrap()\n")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, in the sandbox."""
    session.run("python", "-m", "demo", *session.posargs)


@nox.session
def test(session: nox.Session) -> None:
    """All that CI runs, with the time that each took."""
    session.run("python", "-m", "tests")


@nox.session
def clean(session: nox.Session) -> None:
    """Take this checkout's sandboxes down and remove what ./dev made (--all: of the whole machine, and images)."""
    for state in (DEV / "sandbox", DEV / "demo/sandbox"):
        if state.exists():
            session.run("python", "-m", "sandbox", "--state", str(state), "down", "--wipe")
    if "--all" in session.posargs:
        from sandbox.machines.base import cache_directory

        session.run("python", "-m", "sandbox.machines", "sweep", "--all")
        shutil.rmtree(cache_directory(), ignore_errors=True)
    for path in (DEV, ROOT / ".venv", ROOT / ".ansible"):
        shutil.rmtree(path, ignore_errors=True)
