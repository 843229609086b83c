"""Every example that users copy: the README, the guides, the roles' pages, the plugins' EXAMPLES, the inventories."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("roles/*/README.md"))]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWx0LWJ5LWhhbmQtZm9yLXRlc3RzLW9ubHkuLi4u test"


def blocks(page: Path) -> Iterator[str]:
    for text in re.findall(r"^[ ]*```yaml\n(.*?)^[ ]*```", page.read_text(), re.MULTILINE | re.DOTALL):
        lines = text.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        yield "\n".join(line[indent:] for line in lines)


EXAMPLES = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page))
]
INVENTORIES = sorted(ROOT.glob("inventories/*/group_vars/*.yml"))


def rendered(value: Any) -> Any:
    """The value with every template replaced by a public key: that is all that the examples look up, or a text."""
    if isinstance(value, Mapping):
        return {key: rendered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item) for item in value]
    return KEY if isinstance(value, str) and "lookup('ansible.builtin.file'" in value else value


def whole() -> dict[str, Any]:
    """The README's cluster, which partial examples are laid over."""
    (text,) = (text for text in blocks(ROOT / "README.md") if "hpc_cluster" in text)
    return dict(rendered(yaml.safe_load(text)["hpc_cluster"]))


def mistakes(given: Mapping[str, Any]) -> list[str]:
    base = whole()
    if given.get("scheduler", {}).get("type", "slurm") != "slurm":
        base.pop("partitions")  # elsewhere these are queues, or there are none
    return [str(mistake) for mistake in definition.check({**base, **rendered(given)})]


def test_the_pages_hold_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_of_a_page_means_something(text: str) -> None:
    data = yaml.safe_load(text)
    if isinstance(data, dict) and "hpc_cluster" in data:
        assert mistakes(data["hpc_cluster"]) == []
    elif isinstance(data, dict) and "module_defaults" not in data:
        base = whole()  # a part of a definition: its sections say only what differs
        merged = {key: {**base.get(key, {}), **part} if isinstance(part, dict) else part for key, part in data.items()}
        assert mistakes(merged) == []
    elif isinstance(data, dict):
        assert set(data) <= {"module_defaults"}
        groups = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]
        for name, options in data["module_defaults"].items():
            assert name.removeprefix("group/azure_hpc.cluster.") in groups
            assert set(options) <= set(documentation(ROOT / "plugins/doc_fragments/azure.py")["options"])
    else:
        for item in data:
            for role in item.get("roles", []):
                check_role(role)
            for name in item if "roles" not in item else ():
                if name.startswith("azure_hpc.cluster."):
                    assert list(unknown(item[name] or {}, fragments(module(name)), name)) == []
        names = [name for item in data for name in item]
        assert "roles" in names or any(name.startswith("azure_hpc.cluster.") for name in names)


def module(name: str) -> Path:
    return ROOT / "plugins/modules" / f"{name.removeprefix('azure_hpc.cluster.')}.py"


def check_role(role: Mapping[str, Any]) -> None:
    folder = ROOT / "roles" / role["role"].removeprefix("azure_hpc.cluster.")
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    given = set(role) - {"role", "when", "tags"}
    assert given <= set(specs["main"]["options"]), folder.name
    required = {name for name, option in specs["main"]["options"].items() if option.get("required")}
    assert required <= given, folder.name


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_inventory_describes_a_valid_cluster(path: Path) -> None:
    data = yaml.safe_load(path.read_text())
    text = yaml.safe_dump(data["hpc_cluster"]).replace("{{ lookup('ansible.builtin.env'", "decisions.log #")
    given = rendered(yaml.safe_load(text))
    given.get("autoscale", {}).pop("decision_log", None)
    assert [str(mistake) for mistake in definition.check(given)] == []


def documentation(path: Path, name: str = "DOCUMENTATION") -> dict[str, Any]:
    return dict(yaml.safe_load(constant(path, name)))


def constant(path: Path, name: str) -> str:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return str(ast.literal_eval(node.value))
    raise LookupError(f"{path} has no {name}")


def fragments(path: Path) -> dict[str, Any]:
    """The options of a plugin with those of its documentation fragments of this collection."""
    found = documentation(path)
    options: dict[str, Any] = dict(found.get("options") or {})
    for fragment in found.get("extends_documentation_fragment", []):
        if not fragment.startswith("azure_hpc.cluster."):
            continue
        name, _unused, part = fragment.removeprefix("azure_hpc.cluster.").partition(".")
        text = constant(ROOT / f"plugins/doc_fragments/{name}.py", part.upper() or "DOCUMENTATION")
        options.update(yaml.safe_load(text).get("options") or {})
    return options


def unknown(given: Any, options: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of options in an example that the documentation does not know, and of required ones that it lacks."""
    for item in given if isinstance(given, list) else [given]:
        if not isinstance(item, Mapping):
            continue
        yield from (f"{path}.{name}: unknown" for name in item if name not in options)
        yield from (f"{path}.{name}: missing" for name, o in options.items() if o.get("required") and name not in item)
        for name, value in item.items():
            if options.get(name, {}).get("suboptions"):
                yield from unknown(value, options[name]["suboptions"], f"{path}.{name}")


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/modules/*.py")), ids=lambda path: path.stem)
def test_the_examples_of_a_module_use_its_options(path: Path) -> None:
    tasks = yaml.safe_load(constant(path, "EXAMPLES"))
    options = fragments(path)
    used = [task[f"azure_hpc.cluster.{path.stem}"] for task in tasks if f"azure_hpc.cluster.{path.stem}" in task]
    assert used
    assert [problem for given in used for problem in unknown(given or {}, options, path.stem)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/modules/*.py")), ids=lambda path: path.stem)
def test_a_module_is_in_the_action_group_exactly_if_it_takes_credentials(path: Path) -> None:
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["all"]
    assert ("subscription_id" in fragments(path)) == (path.stem in group)


def test_the_action_group_names_no_module_that_is_not_there() -> None:
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["all"]
    assert set(group) <= {path.stem for path in ROOT.glob("plugins/modules/*.py")}


def test_the_examples_of_the_inventory_use_its_options() -> None:
    path = ROOT / "plugins/inventory/nodes.py"
    general = {"keyed_groups", "groups", "compose", "strict", "cache", "cache_plugin", "cache_timeout"}
    for given in yaml.safe_load_all(constant(path, "EXAMPLES")):
        assert set(given) <= set(fragments(path)) | general
