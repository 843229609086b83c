"""What the role writes into LSF's files, rendered by Ansible itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[4] / "roles/lsf"
OFFERS = [
    {
        "scale_set": "demo-htc-d4sv5",
        "labels": [["ib", "true"], ["node_array", "htc"]],
        "partitions": ["htc", "my-queue"],
    }
]
QUEUES = [
    {"name": "htc", "node_arrays": ["htc"], "default": True, "options": {"PRIORITY": "40"}},
    {"name": "my-queue", "node_arrays": ["htc"], "default": False, "options": {}},
]
FILES = ("install.config", "resources", "params", "queues", "join.json", "azure-hpc-lsf.service")


def rendered(folder: Path, **variables: Any) -> dict[str, str]:
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_vars": str(ROLE / name)} for name in ("defaults/main.yml", "vars/main.yml")
    ]
    facts = {"lsf_cluster_name": "my-lsf", "lsf_queues": QUEUES, "lsf_features": ["ib"], "lsf_offers": OFFERS,
             "lsf_head": "demo-head", "lsf_entitlement": {"file": "/srv/e.dat"}, **variables}  # fmt: skip
    tasks.append({"ansible.builtin.set_fact": facts})
    for name in FILES:
        copy = {"src": str(ROLE / f"templates/{name}.j2"), "dest": str(folder / name), "mode": "0644"}
        tasks.append({"ansible.builtin.template": copy})
    (folder / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, folder / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / name).read_text() for name in FILES}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return rendered(tmp_path_factory.mktemp("head"), lsf_stage="head", lsf_lsb_params={"CLEAN_PERIOD": "60"})


def test_the_head_is_installed_whole_and_lets_hosts_add_themselves(head: dict[str, str]) -> None:
    lines = head["install.config"].splitlines()
    assert {'LSF_CLUSTER_NAME="my_lsf"', 'LSF_MASTER_LIST="demo-head"', 'ENABLE_DYNAMIC_HOSTS="Y"',
            'LSF_ENTITLEMENT_FILE="/var/cache/azure_hpc/e.dat"'} <= set(lines)  # fmt: skip


def test_other_machines_are_installed_as_hosts_that_know_the_head(tmp_path: Path) -> None:
    lines = rendered(tmp_path, lsf_stage="image")["install.config"].splitlines()
    assert 'LSF_SERVER_HOSTS="demo-head"' in lines
    assert not [line for line in lines if line.startswith("LSF_MASTER_LIST")]


def test_labels_features_and_queues_are_resources(head: dict[str, str]) -> None:
    found = {line.split()[0]: line.split()[1] for line in head["resources"].splitlines()}
    assert found == {
        "node_array": "String", "vm_size": "String", "priority": "String", "placement_group": "String",
        "ib": "Boolean", "q_htc": "Boolean", "q_my_queue": "Boolean",
    }  # fmt: skip


def test_queues_take_the_hosts_that_serve_them(head: dict[str, str]) -> None:
    text = head["queues"]
    assert "QUEUE_NAME = my-queue\nRES_REQ = select[q_my_queue]\n" in text
    assert "PRIORITY = 40" in text
    assert text.count("Begin Queue") == text.count("End Queue") == 2


def test_parameters_of_a_site_win(head: dict[str, str]) -> None:
    lines = head["params"].splitlines()
    assert "CLEAN_PERIOD = 60" in lines
    assert "RESOURCE_RESERVE_PER_TASK = Y" in lines
    assert "DEFAULT_QUEUE = htc" in lines


def test_a_joining_machine_is_told_what_the_machines_of_each_scale_set_are(head: dict[str, str]) -> None:
    found = json.loads(head["join.json"])
    assert found["offers"] == {"demo-htc-d4sv5": {"labels": OFFERS[0]["labels"], "queues": ["htc", "my-queue"]}}
    assert found["head"] == "demo-head"


def test_every_variable_of_the_role_is_described() -> None:
    described = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    names = {name for entry in described.values() for name in entry["options"]}
    assert set(yaml.safe_load((ROLE / "defaults/main.yml").read_text())) == names
