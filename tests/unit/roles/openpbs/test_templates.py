"""What the role writes into PBS's files, rendered by Ansible itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROLE = Path(__file__).parents[4] / "roles/openpbs"
QUEUES = [
    {"name": "htc", "node_arrays": ["htc"], "default": True, "options": {"max_run": "[u:PBS_GENERIC=2]"}},
    {"name": "off", "node_arrays": ["htc"], "default": False, "options": {"started": "False"}},
]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All templates, with the variables of a small cluster."""
    folder = tmp_path_factory.mktemp("rendered")
    files = ("defaults/main.yml", "vars/main.yml", "vars/Debian.yml")
    tasks: list[dict[str, Any]] = [{"ansible.builtin.include_vars": str(ROLE / name)} for name in files]
    tasks.append({"ansible.builtin.set_fact": {
        "openpbs_queues": QUEUES, "openpbs_features": ["ib"], "openpbs_head": "demo-head", "openpbs_stage": "head",
        "openpbs_resources": {"lic": {"type": "long", "flag": "q"}}, "openpbs_server": {"scheduler_iteration": "30"},
        "openpbs_pbs_conf": {"PBS_RCP": "/bin/false"}, "openpbs_mom_config": {"$max_load": "3.5"},
    }})  # fmt: skip
    for name in ("pbs.conf", "openpbs.json", "join.json", "tmpfiles.conf", "pbs.service"):
        copy = {"src": str(ROLE / f"templates/{name}.j2"), "dest": str(folder / name), "mode": "0644"}
        tasks.append({"ansible.builtin.template": copy})
    (folder / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, folder / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".yml"}


def test_the_head_runs_all_daemons_but_pbs_mom(rendered: dict[str, str]) -> None:
    lines = rendered["pbs.conf"].splitlines()
    assert {"PBS_SERVER=demo-head", "PBS_START_SERVER=1", "PBS_START_SCHED=1", "PBS_START_COMM=1", "PBS_START_MOM=0",
            "PBS_DATA_SERVICE_USER=postgres", "PBS_RCP=/bin/false"} <= set(lines)  # fmt: skip


def test_labels_features_and_a_site_s_own_resources_are_all_made(rendered: dict[str, str]) -> None:
    wanted = json.loads(rendered["openpbs.json"])
    assert wanted["resources"]["ib"] == {"type": "boolean", "flag": "h"}
    assert wanted["resources"]["lic"] == {"type": "long", "flag": "q"}
    assert wanted["resources"]["ngpus"] == {"type": "long", "flag": "nh"}
    assert {"node_array", "vm_size", "priority", "group_id", "Qlist", "azure_hpc_drain"} <= set(wanted["resources"])


def test_queues_take_only_nodes_that_name_them_and_options_win(rendered: dict[str, str]) -> None:
    htc, off = json.loads(rendered["openpbs.json"])["queues"]
    assert htc["attributes"] == {
        "default_chunk.Qlist": "htc", "enabled": "True", "started": "True", "max_run": "[u:PBS_GENERIC=2]",
    }  # fmt: skip
    assert htc["default"]
    assert off["attributes"]["started"] == "False"


def test_placement_sets_are_by_group_and_a_site_s_attributes_win(rendered: dict[str, str]) -> None:
    wanted = json.loads(rendered["openpbs.json"])
    assert wanted["server"]["node_group_key"] == "group_id"
    assert wanted["server"]["node_group_enable"] == "True"
    assert wanted["server"]["scheduler_iteration"] == "30"
    assert wanted["sched"] == {"only_explicit_psets": "True", "do_not_span_psets": "True"}


def test_a_joining_machine_is_told_all_that_it_needs(rendered: dict[str, str]) -> None:
    found = json.loads(rendered["join.json"])
    assert found["head"] == "demo-head"
    assert found["mom_config"] == {"$clienthost": "demo-head", "$max_load": "3.5"}
    assert found["exec"] == "/opt/pbs"


def test_every_variable_of_the_role_is_described() -> None:
    import yaml

    described = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    names = {name for entry in described.values() for name in entry["options"]}
    assert set(yaml.safe_load((ROLE / "defaults/main.yml").read_text())) == names
