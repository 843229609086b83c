"""The import rules of docs/architecture.md, checked by reading the files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
COLLECTION = "ansible_collections.azure_hpc.cluster.plugins"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a file below the root, such as plugins.module_utils.model.plan."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module as (absolute name, whether at module level)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    top = _top_level_statements(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _here(alias.name), node in top
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module or ""]))
            for alias in node.names:
                yield _here(f"{origin}.{alias.name}"), node in top


def _top_level_statements(tree: ast.Module) -> set[ast.AST]:
    """Imports that run when the file is imported; those under ``if TYPE_CHECKING`` do not."""
    found: set[ast.AST] = set()
    for statement in tree.body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        found.update(ast.walk(statement))
    return found


def _here(name: str) -> str:
    return name.replace(COLLECTION, "plugins") if name.startswith(COLLECTION) else name


def area(name: str) -> str:
    """The part of the tree that a module belongs to, or its top-level package when it is not ours."""
    parts = name.split(".")
    if parts[0] != "plugins":
        return parts[0]
    if parts[1] == "module_utils":
        return parts[2] if len(parts) > 2 else "module_utils"
    return parts[1]


STANDARD = set(sys.stdlib_module_names)
OURS = {"model", "planner", "schedulers", "azure", "boundary", "simulator", "described", "exporter", "bundle"}


def breaches(folder: str, ours: set[str], others: set[str] = frozenset()) -> list[str]:
    """Imports of files in the folder that are neither standard library, nor in these areas of ours or packages."""
    found = []
    for path in python_files(folder):
        for name, _unused in imports(path):
            where = area(name)
            is_ours = name.startswith("plugins.")
            if name.split(".")[0] in STANDARD and not is_ours:
                continue
            if where not in (ours if is_ours else others):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


@pytest.mark.parametrize(
    ("folder", "ours", "others"),
    [
        ("plugins/module_utils/model", {"model"}, set()),
        ("plugins/module_utils/planner", {"planner", "model"}, set()),
        ("plugins/module_utils/schedulers", {"schedulers", "model"}, set()),
        ("plugins/module_utils/azure", {"azure", "model"}, {"azure", "requests", "msal"}),
        ("plugins/inventory", {"azure", "model", "ansible"}, {"ansible"}),
    ],
)
def test_an_area_imports_only_what_it_may(folder: str, ours: set[str], others: set[str]) -> None:
    assert python_files(folder), f"{folder} holds no Python files"
    assert breaches(folder, ours, others) == []


def test_modules_import_only_the_boundary_and_our_packages() -> None:
    assert breaches("plugins/modules", OURS, {"ansible"}) == []


def test_modules_that_run_on_nodes_do_not_import_azure() -> None:
    for name in ("queue_info", "queue_update", "queue_exporter"):
        path = PLUGINS / "modules" / f"{name}.py"
        assert [n for n, _unused in imports(path) if area(n) == "azure"] == []


def test_only_one_file_knows_ansible_module() -> None:
    """AnsibleModule is made in module_utils/boundary.py; everything else gets it from there."""
    knows = {
        str(path.relative_to(PLUGINS))
        for path in python_files("plugins")
        for name, _unused in imports(path)
        if name.startswith("ansible.module_utils.basic")
    }
    assert knows <= {"module_utils/boundary.py"}


def test_azure_packages_are_imported_where_they_are_needed() -> None:
    """Unguarded SDK imports at module level would break modules where the SDK is missing, and slow the hot path."""
    offenders = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files("plugins")
        for name, at_top in imports(path)
        if at_top and name.split(".")[0] in {"azure", "msal", "requests"}
    ]
    assert offenders == []


def test_sandbox_and_collection_do_not_import_each_other() -> None:
    for path in python_files("sandbox"):
        assert [n for n, _unused in imports(path) if n.startswith(("plugins", "ansible"))] == []
    for path in python_files("plugins"):
        assert [n for n, _unused in imports(path) if n.split(".")[0] == "sandbox"] == []


def test_the_protocol_of_the_sandbox_knows_no_resource() -> None:
    offenders = [
        f"{path.name} imports {name}"
        for path in python_files("sandbox/arm")
        for name, at_top in imports(path)
        if at_top and name.startswith("sandbox.providers")
    ]
    assert offenders == []
