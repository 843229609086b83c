"""Why a job does not run, what it would take, and what more of it would cost."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.answers import Answers, Json

from .packed_world import GPU, LARGE, SMALL, World, array, cluster


def ask(world: World, job: str, more: int = 0) -> Json:
    return Answers(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now).answer(
        job, more
    )


def test_a_job_that_nobody_knows() -> None:
    assert not ask(World(cluster()), "17")["found"]


def test_a_job_that_waits_for_quota_is_told_so_with_what_it_would_take() -> None:
    world = World(cluster(array("htc", SMALL, LARGE)), limits={"standarddsv5family": 16})
    world.submit("1", cpus=16, nodes=2)
    found = ask(world, "1")
    assert found["why"].startswith("this job cannot start: it needs 32 vCPUs of quota standarddsv5family")
    assert found["needs"] == "2 x (16 CPUs, 1 GiB)"
    by_size = {one["vm_size"]: one for one in found["sizes"]}
    assert by_size[SMALL]["why_not"] == "has 4 CPUs"
    assert (by_size[LARGE]["nodes"], by_size[LARGE]["cost_per_hour"], by_size[LARGE]["room"]) == (2, 1.56, 1)
    assert found["cheapest"]["vm_size"] == LARGE


def test_a_job_whose_machines_are_bought_or_boot_or_run() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.submit("1")
    assert ask(world, "1")["why"] == "1 machines for it are bought by this pass"
    world.settle()
    found = ask(world, "1")
    assert found["why"] == "1 machines for it are booting"
    assert found["nodes"][0].endswith("(boots)")
    world.join()
    assert ask(world, "1")["why"].startswith("there is room for it")
    world.run("1", *world.nodes)
    assert ask(world, "1")["why"] == "it does not wait: it is running"


def test_a_job_that_is_held_or_can_never_run() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.submit("held", startable=0, blocked="its owner holds it")
    world.submit("never", gpus=8)
    assert ask(world, "held")["why"] == "its owner holds it"
    found = ask(world, "never")
    assert "Standard_D4s_v5 of htc has no GPUs" in found["why"]
    assert found["cheapest"] is None


def test_what_a_thousand_more_would_cost_counts_on_what_is_bought_anyway() -> None:
    world = World(cluster(array("htc", LARGE, most=1000)))
    world.submit("1", cpus=1)
    more = ask(world, "1", more=1000)["more"]
    # The machine for job 1 has room for 15 more.
    assert more["machines"] == {LARGE: 62}
    assert more["cost_per_hour"] == round(62 * 0.78, 4)
    assert more["without_machines"] == 0


def test_what_limits_leave_out_of_more_is_said() -> None:
    world = World(cluster(array("htc", LARGE, most=2)))
    world.submit("1", cpus=16)
    more = ask(world, "1", more=10)["more"]
    assert (more["machines"], more["without_machines"]) == ({LARGE: 1}, 9)
    assert "has its 2 nodes" in more["why"]


def test_slurm_jobs_get_an_answer_too() -> None:
    world = World(replace(cluster(array("htc", LARGE), array("gpu", GPU)), scheduler=Scheduler("slurm")))
    job = world.submit("1")
    world.jobs["1"] = replace(job, chunks=(), partitions=("htc",), node_count=3, cpus=48, reason="Priority")
    found = ask(world, "1", more=2)
    assert found["why"] == "Slurm says Priority"
    assert found["cheapest"]["nodes"] == 3
    assert found["more"]["machines"] == {LARGE: 6}
    assert found["sizes"][-1]["why_not"] == "does not serve htc"


def test_a_job_of_slurm_whose_machine_says_why_it_does_not_join_is_told_so() -> None:
    world = World(replace(cluster(array("htc", LARGE)), scheduler=Scheduler("slurm")))
    note = "azure_hpc: the machine for htc-d16sv5-1 is there, but mounts: /data: No route to host"
    world.jobs["1"] = replace(world.submit("1"), state="configuring", note=note)
    assert ask(world, "1")["why"] == f"it does not wait: it is configuring; {note.removeprefix('azure_hpc: ')}"
    world.jobs["1"] = replace(world.jobs["1"], state="running")
    assert ask(world, "1")["why"] == "it does not wait: it is running"
