# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipe of docs/recipe_lustre.md on booted nodes, with a container behind the file system, and a NetApp volume."""

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
from tests.e2e.mounts import Cluster, Told, away_and_back

pytestmark = pytest.mark.booted
RECIPE = ROOT / "inventories/recipe_lustre"
GROUP, ACCOUNT, SYSTEM, HEAD = "waves-rg", "wavesdata", "waves-scratch", "waves-head"
STORAGE = f"{ACCOUNT},waves-projects"
SCRIPT = (
    "findmnt -n -o TARGET /mnt/lustre; findmnt -n -o TARGET /shared/projects; mkdir -m 777 /mnt/lustre/first; "
    "head -c 1M /dev/zero | tr '\\0' x >/mnt/lustre/first/big; echo kept >/shared/projects/kept"
)
QUICK = ("-e", "hpc_recipe_fio_size=16M", "-e", "hpc_recipe_look=1", "-e", "hpc_lustre_look=2")


@dataclass
class Seen:
    """What happened."""

    built: str = ""
    told: Told | None = None
    recipe: str = ""
    head_mount: str = ""
    refused: str = ""
    alerts: list[dict[str, t.Any]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def definition() -> dict[str, t.Any]:
    """The recipe's cluster, with a container from which the file system imports and to which it exports, and with a
    NetApp volume."""
    found = yaml.safe_load((RECIPE / "group_vars/all.yml").read_text())["hpc_cluster"]
    (lustre,) = [system for system in found["file_systems"] if system.get("type") == "lustre"]
    lustre["managed"] |= {"container": f"{ACCOUNT}/data", "logging_container": f"{ACCOUNT}/logs"}
    found["network"]["subnets"]["netapp"] = "10.0.4.0/24"
    found["file_systems"].append(
        {"name": "projects", "path": "/shared/projects", "managed": {"service": "netapp", "size_gib": 1024}}
    )
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
    seen = Seen(built=session.play("site", *QUICK, show=False))
    session.remember_hosts()
    session.ssh(HEAD, "sudo chmod 777 /mnt/lustre /shared/projects")
    seen.told = away_and_back(Cluster(session, "waves", HEAD, "10.0.3.0/24"), SCRIPT)
    looks = "cat /mnt/lustre/inputs/mesh /shared/projects/kept; findmnt -n -o TARGET /shared/projects"
    seen.head_mount = session.ssh(HEAD, looks)
    archive = {"azure_hpc.cluster.lustre_job": job(type="archive", path="/first")}
    (session.folder / "archive.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [archive]}])
    )
    session.run(["ansible-playbook", str(session.folder / "archive.yml")])
    seen.files = {path.name: path.read_bytes() for path in (blobs / "first").iterdir()}
    seen.alerts = alerts()
    with pytest.raises(DemoError) as refused:
        session.play("destroy", "-e", "hpc_destroy_lustre=", show=False)
    seen.refused = str(refused.value)
    seen.recipe = session.play("recipe_lustre", *QUICK, "-e", f"hpc_destroy_storage={STORAGE}", show=False)
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
    assert f"{SYSTEM}: Succeeded, Available" in seen.built


def test_all_machines_have_both_file_systems(seen: Seen) -> None:
    assert seen.head_mount == "a mesh\nkept\n/shared/projects\n"
    assert seen.told is not None
    assert seen.told.output.split() == ["/mnt/lustre", "/shared/projects"]


def test_two_nodes_write_to_lustre_by_mpi_and_slurm_records_it(seen: Seen) -> None:
    told = seen.recipe
    assert "16 of 16 ranks read what their neighbour wrote, 16 MiB in /mnt/lustre/recipe/mpi_write.dat" in told
    assert re.search(r"\d+ +mpi_write +COMPLETED +0:0 +[\d:]+", told)
    assert re.search(r"\d+ +fio +COMPLETED +0:0 +[\d:]+", told)
    assert re.search(r"fio on two nodes, 16M each: write [1-9]\d* MiB/s, read [1-9]\d* MiB/s", told)


def test_what_jobs_wrote_is_in_the_container(seen: Seen) -> None:
    assert seen.files == {"big": b"x" * 2**20}


def test_a_node_without_its_file_system_takes_no_jobs_and_says_which_one_and_why(seen: Seen) -> None:
    assert seen.told is not None
    said, lost, back = seen.told.while_booting["comment"], seen.told.lost, seen.told.back
    assert re.match(r"mounts: /mnt/lustre \(10\.0\.3\.\d+@tcp:/lustrefs\): mount ", said)
    assert "see that the server runs" in said
    assert "POWERING_UP" in seen.told.while_booting["state"]
    assert "DRAIN" not in seen.told.while_booting["state"]  # that would have Slurm start another machine for the job
    assert f"is there, but {said[:60]}" in seen.told.comment
    assert "COMPLETED" not in seen.told.waiting
    assert seen.told.ended == ["COMPLETED"]
    assert re.match(r"mounts: /mnt/lustre \(.+\): is not mounted any more: ", lost["reason"])
    assert "DRAIN" not in back["state"]


def test_a_machine_leaves_lustre_before_it_is_deleted(seen: Seen) -> None:
    assert seen.told is not None
    words = seen.told.last_words.splitlines()
    assert words.index("Azure is about to delete this machine") < words.index("unmounted /mnt/lustre")


def test_alerts_watch_the_processors(seen: Seen) -> None:
    assert seen.alerts
    for alert in seen.alerts:
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        asked = criterion["metricName"], criterion["operator"], criterion["threshold"]
        assert asked == ("Percentage CPU", "GreaterThan", 90)


def test_building_again_changes_nothing(seen: Seen) -> None:
    building = seen.recipe.partition("PLAY [Hand in the jobs")[0]
    assert "TASK" in building
    assert "changed:" not in building


def test_it_is_deleted_only_when_asked_twice_and_nothing_is_left(seen: Seen) -> None:
    assert f"hpc_destroy_lustre={SYSTEM}" in seen.refused
    kinds = {kind.lower() for kind, count in seen.left.items() if count}
    parts = ("storage", "netapp", "compute", "network", "insights", "operationalinsights")
    assert not [kind for kind in kinds if kind.startswith(tuple(f"microsoft.{part}" for part in parts))]
