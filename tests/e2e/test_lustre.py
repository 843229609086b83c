# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with Managed Lustre, from nothing to nothing on booted nodes: files of a container, a job, results."""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
from dataclasses import dataclass, field

import pytest
import yaml
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

from demo.__main__ import prepare
from demo.session import INVENTORY, DemoError, Session

pytestmark = pytest.mark.booted
ACCOUNT, GROUP, HEAD = "waves", "demo-data", "demo-head"
JOB = """#!/bin/sh
#SBATCH --nodes=2 --ntasks-per-node=1 --partition=hpc --job-name=waves --output=/mnt/lustre/results/waves.log
srun sh -c 'cat /mnt/lustre/inputs/mesh >/mnt/lustre/results/$SLURM_PROCID; findmnt -n -o TARGET /mnt/lustre; hostname'
"""


@dataclass
class Seen:
    """What happened."""

    site: str = ""
    again: str = ""
    head_mount: str = ""
    job: str = ""
    refused: str = ""
    left: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def definition(containers: dict[str, str]) -> dict[str, t.Any]:
    """The demo's cluster without a login node, with a file system that Azure manages."""
    found = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())["hpc_cluster"]
    found["network"]["subnets"]["storage"] = "10.20.4.0/24"
    found["image"]["name"] = "lustre-node"
    found.pop("login")
    found["node_arrays"] = [one for one in found["node_arrays"] if one["name"] == "hpc"]
    found["partitions"] = [one for one in found["partitions"] if one["name"] == "hpc"]
    managed = {"sku": "AMLFS-Durable-Premium-250", "capacity_tib": 4, "capacity_rounding": "up", **containers}
    lustre = {"name": "scratch", "type": "lustre", "path": "/mnt/lustre", "managed": managed}
    found["file_systems"] = [{"name": "home", "path": "/shared/home", "export": "/export/home"}, lustre]
    return dict(found)


def containers() -> dict[str, str]:
    """A storage account with two containers; their ids as the definition has them."""
    with connect({}) as azure:
        azure.send("PUT", azure.group_path(GROUP), "2024-03-01", {"location": "westeurope"})
        path = azure.resource_path(GROUP, "Microsoft.Storage/storageAccounts", ACCOUNT)
        body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        azure.begin("PUT", path, "2024-01-01", {**body, "properties": {"isHnsEnabled": True}}).result()
        found = {}
        for key, name in (("container", "data"), ("logging_container", "logs")):
            found[key] = f"{path}/blobServices/default/containers/{name}"
            azure.send("PUT", found[key], "2024-01-01", {})
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    session = Session(tmp_path_factory.mktemp("lustre"))
    prepare(session)
    try:
        # Slow enough that the file system takes longer than its machines' first minute would.
        session.sandbox("up", "--driver", "nspawn", "--time-scale", "0.01", "--owner", str(os.getpid()))
        session.use_sandbox()
        session.definition = definition(containers())
        session.cluster_file.write_text(json.dumps({"hpc_cluster": session.definition}))
        return everything(session)
    finally:
        session.sandbox("down", check=False)
        session.close()


def everything(session: Session) -> Seen:
    blobs = session.folder / "sandbox/blobs" / ACCOUNT / "data"
    (blobs / "inputs").mkdir(parents=True)
    (blobs / "inputs/mesh").write_text("a mesh\n")
    seen = Seen(site=session.play("site", "-e", "hpc_lustre_look=2", show=False))
    session.remember_hosts()
    seen.head_mount = session.ssh(HEAD, "cat /mnt/lustre/inputs/mesh; findmnt -n -o TARGET /mnt/lustre")
    session.ssh(HEAD, "sudo install -d -m 1777 /mnt/lustre/results; cat >waves.sh", stdin=JOB)
    session.ssh(HEAD, "sbatch waves.sh")
    seen.job = follow(session)
    archive = {"azure_hpc.cluster.lustre_job": job(type="archive", path="/results")}
    (session.folder / "archive.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [archive]}])
    )
    session.run(["ansible-playbook", str(session.folder / "archive.yml")])
    seen.files = {path.name: path.read_text() for path in (blobs / "results").iterdir()}
    seen.again = session.play("site", show=False)
    sure = ("-e", "hpc_destroy_confirm=demo", "-e", "hpc_destroy_image=true")
    with pytest.raises(DemoError) as refused:
        session.play("destroy", *sure, show=False)
    seen.refused = str(refused.value)
    session.play("destroy", *sure, "-e", "hpc_destroy_lustre=demo-scratch", show=False)
    seen.left = json.loads(session.sandbox("status", "--json"))["resources"]
    return seen


def job(**options: t.Any) -> dict[str, t.Any]:
    return {"resource_group": "demo-rg", "file_system": "demo-scratch", **options}


def follow(session: Session) -> str:
    """Passes until the job is done; what Slurm says of it then."""
    deadline = time.monotonic() + 400
    while True:
        session.play("autoscale", show=False)
        told = session.ssh(HEAD, "scontrol show job --oneliner")
        if re.search(r"JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)", told):
            return told
        if time.monotonic() > deadline:
            pytest.fail(f"the job does not end: {told}\n{session.ssh(HEAD, 'sinfo -R; squeue')}")
        time.sleep(3)


def test_people_see_how_far_the_file_system_is_while_they_wait(seen: Seen) -> None:
    assert "demo-scratch: Succeeded, Available" in seen.site
    assert seen.head_mount == "a mesh\n/mnt/lustre\n"


def test_the_job_reads_and_writes_lustre_on_two_nodes(seen: Seen) -> None:
    assert "JobState=COMPLETED" in seen.job
    assert "ExitCode=0:0" in seen.job
    lines = seen.files["waves.log"].split()
    assert lines.count("/mnt/lustre") == 2
    assert len(set(lines)) == 3  # and the names of two machines


def test_results_are_in_the_container(seen: Seen) -> None:
    assert (seen.files["0"], seen.files["1"]) == ("a mesh\n", "a mesh\n")


def test_a_second_run_of_the_site_changes_nothing(seen: Seen) -> None:
    recap = seen.again.rsplit("PLAY RECAP", 1)[1]
    assert "changed=0" in recap
    assert not [line for line in recap.splitlines() if ": ok=" in line and "changed=0" not in line]


def test_it_is_deleted_only_when_asked_twice_and_nothing_is_left(seen: Seen) -> None:
    assert "hpc_destroy_lustre=demo-scratch" in seen.refused
    kinds = {kind.lower() for kind, count in seen.left.items() if count}
    assert not [
        kind for kind in kinds if kind.startswith(("microsoft.storagecache", "microsoft.compute", "microsoft.network"))
    ]
