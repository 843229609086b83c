"""Programs of roles as modules, and programs that they run as answers from a script."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROLES = Path(__file__).parents[3] / "roles"


def load(name: str, path: Path) -> ModuleType:
    """The program at ``path`` as the module ``name``; it finds node.py as it does where it is installed."""
    if str(ROLES / "base/files") not in sys.path:
        sys.path.insert(0, str(ROLES / "base/files"))
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    if spec is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


class Commands:
    """In place of programs: remembers what was run and answers from a script (the last answer repeats)."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.ran: list[tuple[str, ...]] = []

    def __call__(self, *argv: str, **_more: Any) -> str:
        self.ran.append(argv)
        answers = self.answers.get(argv[0], [""])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)
