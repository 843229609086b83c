"""What jobs ask for, in the planner's words."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Job

from tests.unit.plugins.module_utils.schedulers.gridengine.ge import job, only, outputs, with_jobs

GIB = 1024


def chunk(found: Job) -> Chunk:
    (only_one,) = found.chunks
    return only_one


def queues_with(pe_list: str, **attributes: str) -> str:
    """Two queues: hpc with two placement groups, and mixed with hpc and htc nodes and these attributes."""
    lines = {"hostlist": "@hpc @htc", "pe_list": pe_list, "h_rt": "INFINITY", "complex_values": "NONE", **attributes}
    values = "\n".join(f"{name} {value}" for name, value in lines.items())
    return f"qname mixed\n{values}\n"


def test_a_job_without_an_environment_is_one_slot() -> None:
    found = only(job(hard={"mem_free": "1.5G"}, queues=["htc"]))
    assert found.chunks == (Chunk(1, 1, 1536),)
    assert (found.partitions, found.startable, found.one_group) == (("htc",), 1, False)


def test_pe_slots_are_one_piece_with_the_memory_of_all_its_slots() -> None:
    assert chunk(only(job(pe="smp", slots=4, hard={"mem_free": "2G"}))) == Chunk(1, 4, 8 * GIB)


def test_fill_up_is_a_piece_for_every_slot() -> None:
    found = only(job(pe="mpi", slots=8, queues=["htc"], hard={"mem_free": "1G", "gpu": "1"}))
    assert (chunk(found), found.spread, found.one_group) == (Chunk(8, 1, GIB, 1), "free", False)


def test_a_fixed_number_of_slots_per_node_is_a_piece_for_every_node() -> None:
    every = outputs()
    fixed = every["environment mpi"].stdout.replace("$fill_up", "4")
    found = only(job(pe="mpi", slots=12, queues=["htc"]), **{"environment mpi": fixed})
    assert (chunk(found), found.spread, found.node_count) == (Chunk(3, 4), "scatter", 3)


def test_slots_that_are_no_multiple_of_a_fixed_number_never_start() -> None:
    fixed = outputs()["environment mpi"].stdout.replace("$fill_up", "4")
    found = only(job(pe="mpi", slots="6", queues=["htc"]), **{"environment mpi": fixed})
    assert (found.startable, found.blocked) == (0, "6 slots are no multiple of 4, of which mpi gives each node")
    later = only(job(pe="mpi", slots="6,8", queues=["htc"]), **{"environment mpi": fixed})
    assert chunk(later) == Chunk(2, 4)


@pytest.mark.parametrize(("text", "slots"), [("2-6", 2), ("2,4,8", 2), ("2-9999999", 2), ("8,4", 4), ("16", 16)])
def test_of_a_range_of_slots_the_fewest_count(text: str, slots: int) -> None:
    assert chunk(only(job(pe="mpi", slots=text, queues=["htc"]))).count == slots


def test_a_wildcard_that_means_the_environments_of_placement_groups_keeps_the_job_in_one() -> None:
    found = only(job(pe="mpi*", slots=240, queues=["hpc"]))
    assert (chunk(found), found.one_group, found.partitions) == (Chunk(240, 1), True, ("hpc",))


def test_the_environment_of_one_placement_group_is_a_label() -> None:
    found = only(job(pe="mpi-hpc-hb120rsv3-pg2", slots=240))
    assert chunk(found).labels == (("placement_group", "hpc-hb120rsv3-pg2"),)
    assert found.one_group


def test_an_environment_without_placement_groups_means_nodes_outside_of_them() -> None:
    found = only(
        job(pe="mpi", slots=8),
        queues=queues_with("NONE,[@htc-d4sv5=mpi],[@hpc-hb120rsv3-pg1=mpi-hpc-hb120rsv3-pg1]"),
    )
    assert chunk(found).labels == (("node_array", "htc"),)
    assert (found.partitions, found.one_group) == (("mixed",), False)


def test_an_environment_that_no_queue_of_the_job_has_is_said() -> None:
    assert only(job(pe="mpi", slots=4, queues=["hpc"])).blocked == (
        "no queue that it can have has the parallel environment mpi"
    )
    assert only(job(pe="nope", slots=4)).blocked == "there is no parallel environment nope"


@pytest.mark.parametrize(
    ("patterns", "partitions", "labels"),
    [
        (["h*"], ("hpc", "htc"), ()),
        (["hpc@@hpc"], ("hpc",), ()),
        (["*@@htc", "gpu"], ("gpu", "htc"), ()),
        (["hpc@@hpc-hb120rsv3-pg1"], ("hpc",), (("placement_group", "hpc-hb120rsv3-pg1"),)),
    ],
)
def test_queues_and_host_groups_become_partitions_and_labels(
    patterns: list[str], partitions: tuple[str, ...], labels: tuple[tuple[str, str], ...]
) -> None:
    found = only(job(queues=patterns))
    assert (found.partitions, chunk(found).labels) == (partitions, labels)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"queues": ["hpc@hpc-e8c07-000002"]}, "hpc@hpc-e8c07-000002 names hosts: no new machine is one of them"),
        ({"queues": ["nope"]}, "there is no queue nope"),
        ({"hard": {"hostname": "hpc-e8c07-000002"}}, "it asks for the host hpc-e8c07-000002: no new machine is that"),
        ({"hard": {"arch": "sol-sparc64"}}, "it asks for the architecture sol-sparc64"),
        ({"hard": {"node_array": "none"}}, "no queue that it can have has nodes with node_array=none"),
        ({"hard": {"h_rt": "7200"}, "queues": ["mixed"]}, "no queue that it can have has nodes with h_rt=7200"),
    ],
)
def test_what_no_new_machine_can_give_is_said(fields: dict[str, object], reason: str) -> None:
    found = only(job(**fields), queues=outputs()["queues"].stdout + queues_with("NONE", h_rt="1:00:00"))
    assert (found.startable, found.blocked) == (0, reason)


def test_labels_are_what_nodes_say_of_themselves() -> None:
    found = only(job(hard={"node_array": "htc", "vm_size": "d4sv5", "priority": "spot", "arch": "lx-amd64"}))
    # The queue htc has no other nodes than those of the array and of the size.
    assert (found.partitions, chunk(found).labels) == (("htc",), (("priority", "spot"),))


def test_a_wildcard_over_node_arrays_means_the_queues_that_have_them() -> None:
    found = only(job(hard={"node_array": "h*"}))
    assert (found.partitions, chunk(found).labels) == (("hpc", "htc"), ())


def test_an_exclusive_job_is_alone_and_a_wish_is_no_need() -> None:
    assert only(job(hard={"exclusive": "TRUE"})).exclusive
    assert not only(job(hard={"exclusive": "FALSE"})).exclusive
    soft = job().replace("<slots>", '<soft_request name="node_array">hpc</soft_request><slots>')
    assert chunk(only(soft)).labels == ()


def test_a_consumable_that_counts_once_is_with_the_first_piece() -> None:
    table = outputs()["complexes"].stdout + "token token INT <= YES JOB 0 0\n"
    found = only(job(pe="mpi", slots=3, queues=["htc"], hard={"token": "2"}), complexes=table)
    assert found.chunks == (Chunk(1, 1, resources=(("token", 2.0),)), Chunk(2, 1))


def test_what_a_queue_gives_its_nodes_is_no_need() -> None:
    table = outputs()["complexes"].stdout + "scratch scratch MEMORY <= YES NO 0 0\n"
    queues = queues_with("NONE", complex_values="NONE,[@htc-d4sv5=scratch=100G]")
    found = only(job(hard={"scratch": "50G"}), complexes=table, queues=queues)
    assert chunk(found) == Chunk(1, 1, labels=(("node_array", "htc"),))
    assert only(job(hard={"scratch": "500G"}), complexes=table, queues=queues).startable == 0


@pytest.mark.parametrize(
    "fields",
    [{"hard": {"unheard": "1"}}, {"hard": {"mem_free": "much"}}, {"pe": "mpi", "slots": "many", "queues": ["htc"]}],
)
def test_a_job_that_is_not_understood_is_named_and_the_others_are_kept(fields: dict[str, object]) -> None:
    queue = with_jobs(job(1, **fields), job(2))
    assert queue.errors == ()
    assert [found.id for found in queue.jobs] == ["2"]
    assert len(queue.skipped) == 1
    assert queue.skipped[0].startswith("job 1: ")
