# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipe of docs/recipe_lustre.md on booted nodes, with a container behind the file system."""

from __future__ import annotations

import json
import os
import re
import typing as t
from dataclasses import dataclass, field

import pytest
import yaml
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

from demo.__main__ import prepare
from demo.session import ROOT, DemoError, Session

pytestmark = pytest.mark.booted
RECIPE = ROOT / "inventories/recipe_lustre"
GROUP, ACCOUNT, SYSTEM, HEAD = "waves-rg", "wavesdata", "waves-scratch", "waves-head"
QUICK = ("-e", "hpc_recipe_fio_size=16M", "-e", "hpc_recipe_look=1", "-e", "hpc_lustre_look=2")


@dataclass
class Seen:
    """What happened."""

    first: str = ""
    again: str = ""
    head_mount: str = ""
    refused: str = ""
    alerts: list[dict[str, t.Any]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def definition() -> dict[str, t.Any]:
    """The recipe's cluster, with a container from which the file system imports and to which it exports."""
    found = yaml.safe_load((RECIPE / "group_vars/all.yml").read_text())["hpc_cluster"]
    (lustre,) = [system for system in found["file_systems"] if system.get("type") == "lustre"]
    lustre["managed"] |= {"container": f"{ACCOUNT}/data", "logging_container": f"{ACCOUNT}/logs"}
    return dict(found)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Seen]:
    session = Session(tmp_path_factory.mktemp("lustre"), definition=definition(), inventory=RECIPE)
    prepare(session)
    try:
        # Slow enough that the file system takes longer than its machines' first minute would.
        session.sandbox("up", "--driver", "nspawn", "--time-scale", "0.01", "--owner", str(os.getpid()))
        session.use_sandbox()
        yield everything(session)
    finally:
        session.sandbox("down", check=False)
        session.close()


def everything(session: Session) -> Seen:
    blobs = session.folder / "sandbox/blobs" / ACCOUNT / "data"
    (blobs / "inputs").mkdir(parents=True)
    (blobs / "inputs/mesh").write_text("a mesh\n")
    seen = Seen(first=session.play("recipe_lustre", *QUICK, "-e", "hpc_recipe_keep=true", show=False))
    session.remember_hosts()
    seen.head_mount = session.ssh(HEAD, "cat /mnt/lustre/inputs/mesh; findmnt -n -o TARGET /mnt/lustre")
    archive = {"azure_hpc.cluster.lustre_job": job(type="archive", path="/recipe")}
    (session.folder / "archive.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [archive]}])
    )
    session.run(["ansible-playbook", str(session.folder / "archive.yml")])
    seen.files = {path.name: path.read_bytes() for path in (blobs / "recipe").iterdir()}
    seen.alerts = alerts()
    with pytest.raises(DemoError) as refused:
        session.play("destroy", "-e", "hpc_destroy_lustre=", show=False)
    seen.refused = str(refused.value)
    seen.again = session.play("recipe_lustre", *QUICK, show=False)
    seen.left = json.loads(session.sandbox("status", "--json"))["resources"]
    return seen


def alerts() -> list[dict[str, t.Any]]:
    """The metric alerts that there are."""
    with connect({}) as azure:
        path = azure.group_path(GROUP) + "/providers/Microsoft.Insights/metricAlerts"
        return list(azure.get(path, "2018-03-01")["value"])


def job(**options: t.Any) -> dict[str, t.Any]:
    return {"resource_group": GROUP, "file_system": SYSTEM, **options}


def test_people_see_how_far_the_file_system_is_while_they_wait(seen: Seen) -> None:
    assert f"{SYSTEM}: Succeeded, Available" in seen.first
    assert seen.head_mount == "a mesh\n/mnt/lustre\n"


def test_two_nodes_write_to_lustre_by_mpi_and_slurm_records_it(seen: Seen) -> None:
    for told in (seen.first, seen.again):
        assert "16 of 16 ranks read what their neighbour wrote, 16 MiB in /mnt/lustre/recipe/mpi_write.dat" in told
        assert re.search(r"\d+ +mpi_write +COMPLETED +0:0 +[\d:]+", told)
        assert re.search(r"\d+ +fio +COMPLETED +0:0 +[\d:]+", told)
        assert re.search(r"fio on two nodes, 16M each: write [1-9]\d* MiB/s, read [1-9]\d* MiB/s", told)


def test_what_jobs_wrote_is_in_the_container(seen: Seen) -> None:
    written = seen.files["mpi_write.dat"]
    assert len(written) == 16 << 20
    assert set(written) == set(b"abcdefghijklmnop")
    assert b"/mnt/lustre" in seen.files["mpi_write.log"]


def test_alerts_watch_the_processors(seen: Seen) -> None:
    assert seen.alerts
    for alert in seen.alerts:
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        asked = criterion["metricName"], criterion["operator"], criterion["threshold"]
        assert asked == ("Percentage CPU", "GreaterThan", 90)


def test_building_again_changes_nothing(seen: Seen) -> None:
    building = seen.again.partition("PLAY [Hand in the jobs")[0]
    assert "TASK" in building
    assert "changed:" not in building


def test_it_is_deleted_only_when_asked_twice_and_nothing_is_left(seen: Seen) -> None:
    assert f"hpc_destroy_lustre={SYSTEM}" in seen.refused
    kinds = {kind.lower() for kind, count in seen.left.items() if count}
    parts = ("storage", "compute", "network", "insights", "operationalinsights")
    assert not [kind for kind in kinds if kind.startswith(tuple(f"microsoft.{part}" for part in parts))]
