# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of Grid Engine's configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.gridengine.qconf import Qconf
from tests.unit.roles.programs import ROLES, load

sys.path.insert(0, str(ROLES / "gridengine/files"))
configure = load("gridengine_configure", ROLES / "gridengine/files/configure")
import gridengine_wanted as wanted  # noqa: E402


def offer(array: str, size: str, cpus: int, group: str = "", **labels: str) -> dict[str, Any]:
    own = {
        "node_array": array,
        "vm_size": size,
        "priority": "regular",
        "placement_group": group or f"demo-{array}",
        **labels,
    }
    return {"node_array": array, "cpus": cpus, "group": group, "labels": sorted(own.items())}


PG1 = offer("hpc", "hb120rsv3", 120, "hpc-hb120rsv3-pg1", ib="true")
PG2 = offer("hpc", "hb120rsv3", 120, "hpc-hb120rsv3-pg2", ib="true")
D4, D8 = offer("htc", "d4sv5", 4), offer("htc", "d8sv5", 8)


def settings(*offers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "head": "demo-head", "offers": list(offers), "node_options": {}, "parallel_environments": {}, "complexes": {},
        "configuration": {}, "scheduler_configuration": {}, "submit_hosts": ["demo-head"],
        "queues": [{"name": "all.q", "node_arrays": ["hpc", "htc"], "default": True, "options": {}}], **more,
    }  # fmt: skip


def queue(*offers: dict[str, Any], **more: Any) -> dict[str, str]:
    return dict(wanted.wanted(settings(*offers, **more)).queues["all.q"])


def test_groups_are_a_tree_of_arrays_sizes_and_placement_groups() -> None:
    assert wanted.wanted(settings(PG1, PG2, D4, D8)).groups == {
        "@allhosts": ["@hpc", "@htc"],
        "@hpc": ["demo-head", "@hpc-hb120rsv3"],
        "@hpc-hb120rsv3": ["@hpc-hb120rsv3-pg1", "@hpc-hb120rsv3-pg2"],
        "@hpc-hb120rsv3-pg1": [],
        "@hpc-hb120rsv3-pg2": [],
        "@htc": ["demo-head", "@htc-d4sv5", "@htc-d8sv5"],
        "@htc-d4sv5": [],
        "@htc-d8sv5": [],
    }


def test_zones_of_a_size_share_a_group() -> None:
    assert len(wanted.leaves([D4, {**D4, "labels": [*D4["labels"]]}])) == 1


def test_slots_and_environments_are_those_of_the_innermost_group() -> None:
    found = queue(PG1, D4)
    assert found["hostlist"] == "@hpc @htc"
    assert found["slots"] == "0,[@hpc-hb120rsv3-pg1=120],[@htc-d4sv5=4]"
    assert found["pe_list"] == "NONE,[@hpc-hb120rsv3-pg1=smp mpi-hpc-hb120rsv3-pg1],[@htc-d4sv5=smp mpi]"


def test_a_placement_group_has_its_own_environments_and_other_nodes_share_one() -> None:
    own = {"mpi8": {"placement_groups": False, "attributes": {"allocation_rule": "8"}}}
    found = wanted.wanted(settings(PG1, PG2, D4, parallel_environments=own)).parallel_environments
    assert found == {
        "smp": {"allocation_rule": "$pe_slots"},
        "mpi": {"allocation_rule": "$fill_up"},
        "mpi-hpc-hb120rsv3-pg1": {"allocation_rule": "$fill_up"},
        "mpi-hpc-hb120rsv3-pg2": {"allocation_rule": "$fill_up"},
        "mpi8": {"allocation_rule": "8"},
    }


def test_options_of_queues_and_nodes_win() -> None:
    options = {"h_rt": "24:00:00", "rerun": "FALSE", "pe_list": "smp"}
    spec = {"name": "all.q", "node_arrays": ["hpc", "htc"], "options": options}
    found = queue(PG1, D4, queues=[spec], node_options={"htc": {"tmpdir": "/mnt", "h_rt": "1:0:0"}})
    assert (found["rerun"], found["h_rt"]) == ("FALSE", "24:00:00,[@htc-d4sv5=1:0:0]")
    assert found["pe_list"] == "NONE,[@hpc-hb120rsv3-pg1=smp],[@htc-d4sv5=smp]"
    assert found["tmpdir"] == ",[@htc-d4sv5=/mnt]", "after what is usual"


def test_features_are_complexes_and_a_site_s_own_win() -> None:
    own = {"gpu": {**wanted.COMPLEXES["gpu"], "consumable": "JOB"}}
    found = wanted.wanted(settings(PG1, complexes=own)).complexes
    assert (found["ib"]["type"], found["ib"]["shortcut"]) == ("BOOL", "ib")
    assert found["gpu"]["consumable"] == "JOB"
    assert found["exclusive"]["relop"] == "EXCL"
    assert "h_vmem" not in found


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Qconf:
    made = Qconf()
    monkeypatch.setattr(configure, "qconf", made)
    monkeypatch.setattr(configure, "with_file", made.file)
    return made


def run(tmp_path: Path, data: dict[str, Any], dry: bool = False) -> list[str]:
    path = tmp_path / "gridengine.json"
    path.write_text(json.dumps(data))
    return list(configure.configure(path, dry))


def test_everything_is_made_once(cell: Qconf, tmp_path: Path) -> None:
    lines = run(tmp_path, settings(PG1, D4))
    assert "queue all.q added" in lines
    assert "host group @hpc gets demo-head" in lines
    assert "configuration load_sensor: none -> /usr/libexec/azure_hpc/load_sensor" in lines
    assert cell.objects["q"]["all.q"]["h_rt"] == "INFINITY", "what is usual"
    assert cell.complexes["gpu"].split() == ["gpu", "gpu", "INT", "<=", "YES", "YES", "0", "0"]
    assert cell.settings["conf"]["max_u_jobs"] == "0", "what nobody asked for stays"
    before = list(cell.changes)
    assert run(tmp_path, settings(PG1, D4)) == []
    assert cell.changes == before


def test_check_mode_says_what_would_change_and_changes_nothing(cell: Qconf, tmp_path: Path) -> None:
    said = run(tmp_path, settings(PG1, D4), dry=True)
    assert cell.changes == []
    assert not (tmp_path / "gridengine.applied.json").exists()
    assert {line for line in said if "added" in line} == {
        line for line in run(tmp_path, settings(PG1, D4)) if "added" in line
    }


def test_hosts_in_groups_are_left_alone(cell: Qconf, tmp_path: Path) -> None:
    run(tmp_path, settings(PG1, D4))
    cell("-aattr", "hostgroup", "hostlist", "htc-1.internal", "@htc-d4sv5")
    assert run(tmp_path, settings(PG1, D4)) == []
    assert cell.objects["hgrp"]["@htc-d4sv5"]["hostlist"] == "htc-1.internal"


def test_what_the_definition_has_no_more_is_removed_but_not_a_group_with_hosts(cell: Qconf, tmp_path: Path) -> None:
    own = {"mpi8": {"placement_groups": False, "attributes": {"allocation_rule": "8"}}}
    old = {"name": "old.q", "node_arrays": ["htc"], "options": {}}
    run(tmp_path, settings(PG1, D4, parallel_environments=own, queues=[*settings()["queues"], old]))
    cell("-aattr", "hostgroup", "hostlist", "htc-1.internal", "@htc-d4sv5")
    lines = run(tmp_path, settings(PG1))
    assert {"queue old.q removed", "parallel environment mpi8 removed", "host group @htc removed"} <= set(lines)
    assert set(cell.objects["q"]) == {"all.q"}
    assert "@htc-d4sv5" in cell.objects["hgrp"]
    cell("-dattr", "hostgroup", "hostlist", "htc-1.internal", "@htc-d4sv5")
    assert run(tmp_path, settings(PG1)) == ["host group @htc-d4sv5 removed"]


def test_a_table_of_complexes_that_is_not_understood_is_not_written(cell: Qconf, tmp_path: Path) -> None:
    cell.complexes = {}
    with pytest.raises(configure.ConfigureError, match="not understood"):
        run(tmp_path, settings(PG1))
    assert cell.changes == []


def test_another_way_to_write_a_value_is_no_change(cell: Qconf, tmp_path: Path) -> None:
    run(tmp_path, settings(PG1, D4))
    cell.objects["q"]["all.q"]["pe_list"] = cell.objects["q"]["all.q"]["pe_list"].replace(",", ", ")
    cell.objects["q"]["all.q"]["rerun"] = "true"
    assert run(tmp_path, settings(PG1, D4)) == []


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    path = tmp_path / "gridengine.json"
    path.write_text("{")
    assert configure.main([str(path)]) == 1
    assert configure.main([]) == 2
