"""slurmctld and slurmdbd have to agree on the cluster's number: which file of slurmctld is forgotten, and when."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.test.core import TestModule as Core
from jinja2.nativetypes import NativeEnvironment

TASKS = Path(__file__).parents[4] / "roles/slurm/tasks/head.yml"
NAME = "Let slurmctld take the number that slurmdbd has for the cluster"
WITH, WITHOUT = "AccountingStorageType   = accounting_storage/slurmdbd", "AccountingStorageType   = (null)"


def block() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(
        task["block"] for task in yaml.safe_load(TASKS.read_text()) if task["name"] == "Configure slurmctld"
    )
    return found


def words(config: str) -> list[str]:
    """The command, where slurmctld says ``config`` of itself."""
    task = next(one for one in block() if one["name"] == NAME)
    environment = NativeEnvironment()
    environment.tests.update(Core().tests())
    old = environment.from_string(task["vars"]["_old"]).render(_slurm_has={"stdout": config})
    found: list[str] = environment.from_string(task["ansible.builtin.command"]["argv"]).render(_old=old)
    return found


@pytest.mark.parametrize(("config", "database_is_newer", "stays"), [
    (WITHOUT, False, False),
    ("", False, False),
    (WITH, True, False),
    (WITH, False, True),
])  # fmt: skip
def test_the_number_is_forgotten_where_the_database_may_have_another(
    tmp_path: Path, config: str, database_is_newer: bool, stays: bool
) -> None:
    number, database = tmp_path / "clustername", tmp_path / "slurmdbd.conf"
    first, second = (number, database) if database_is_newer else (database, number)
    for path, age in ((first, 10), (second, 20)):
        path.write_text("demo|1841")
        subprocess.run(["touch", f"--date=@{age}", str(path)], check=True)
    here = {"/var/spool/slurmctld": str(tmp_path), "/etc/slurm/slurmdbd.conf": str(database)}
    subprocess.run([here.get(word, word) for word in words(config)], check=True, capture_output=True)
    assert number.exists() is stays


def test_it_is_forgotten_before_slurmctld_starts_and_makes_it_take_over_anew() -> None:
    names = [task["name"] for task in block()]
    assert names.index(NAME) < names.index("Run slurmctld") < names.index("Let slurmctld take over the configuration")
    assert "_slurm_number is changed" in str(block()[-1]["when"])
