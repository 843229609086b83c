"""Schedulers in the demo: what their commands print, as snapshots, and their definitions."""

from __future__ import annotations

import json

import pytest
import yaml

from demo import timeline
from demo.schedulers import definition, job_files, kinds
from demo.schedulers.htcondor import HTCondor
from demo.session import INVENTORY
from demo.timeline import Snapshot

VM = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachinescalesets/x/virtualmachines/0"
HOST = "htc-000000.internal.example"


def printed(*parts: object) -> str:
    return "---\n".join(json.dumps(part) + "\n" if part else "" for part in parts)


def ad(status: int, **more: object) -> dict[str, object]:
    return {
        "ClusterId": 4,
        "ProcId": 1,
        "JobStatus": status,
        "JobBatchName": "sweep",
        "RequestCpus": 1,
        "QDate": 100,
        **more,
    }


def test_the_life_of_a_node_and_a_job_in_htcondor() -> None:
    daemon = {"Machine": HOST, "DaemonStartTime": 110}
    slot = {"Machine": HOST, "Activity": "Busy"}
    ended = ad(4, JobStartDate=120, CompletionDate=130, LastRemoteHost=f"slot1_1@{HOST}", ExitCode=0, MaxHosts=1)
    looks = [
        (105.0, printed([ad(1)], [], [], []), {"htc-000000": VM}),
        (
            121.0,
            printed([ad(2, JobStartDate=120, RemoteHost=f"slot1_1@{HOST}")], [], [daemon], [slot]),
            {"htc-000000": VM},
        ),
        (140.0, printed([], [ended], [{**daemon, "Draining": True}], []), {"htc-000000": VM}),
        (150.0, printed([], [ended], [], []), {}),
    ]
    snapshots = []
    for at, text, machines in looks:
        nodes, jobs = HTCondor().read(text, machines)
        snapshots.append(Snapshot(at, nodes, jobs, dict.fromkeys(machines.values(), 104.0)))
    assert [[node.word for node in snapshot.nodes] for snapshot in snapshots] == [
        ["booting"],
        ["busy"],
        ["draining"],
        [],
    ]
    (line,) = timeline.nodes(snapshots, {"htc-000000": ["htc-000000"]})
    assert (line.created, line.joined, line.started, line.ended) == (104, 110, 120, 130)
    assert (line.drained, line.deleted, line.instance) == (140, 150, VM)
    (job,) = timeline.jobs(snapshots)
    assert (job.id, job.state, job.nodes, job.exit_code) == ("4.1", "COMPLETED", "htc-000000", 0)


def test_jobs_of_one_submission_belong_together() -> None:
    _nodes, (job,) = HTCondor().read(printed([ad(1)], [], [], []), {})
    assert timeline.array(job) == "4"


def test_output_that_is_cut_off_is_no_snapshot() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        HTCondor().read("[{", {})


@pytest.mark.parametrize("name", sorted(kinds()))
def test_every_scheduler_has_jobs_and_a_definition_of_its_own(name: str) -> None:
    kind = kinds()[name]
    files = {path.name for path in job_files(kind)}
    assert {
        word for command in kind.commands for word in command.split() if word.endswith((".sub", ".sbatch", ".sh"))
    } <= files
    data = definition(kind) or yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())["hpc_cluster"]
    assert data["scheduler"]["type"] == name
    assert (name == "slurm") == ("partitions" in data)
    assert {array["name"] for array in data["node_arrays"]} == {"hpc", "htc"}


def test_images_of_different_schedulers_are_different_images() -> None:
    names = [definition(kind)["image"]["name"] for kind in kinds().values() if definition(kind)]  # type: ignore[index]
    assert len(set(names)) == len(names)
    assert "demo-node" not in names
