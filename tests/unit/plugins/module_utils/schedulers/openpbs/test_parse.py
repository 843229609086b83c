"""Real outputs of PBS as a queue."""

from __future__ import annotations

import json

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output, scheduler

from tests.unit.plugins.module_utils.schedulers.openpbs.recorded import FIXTURES, job, node, outputs, queue, text

MIXED, NO_SETS = "06-mixed-running-and-pending", "07-mixed-no-placement-sets"
COMPLETE = sorted(path.parent.name for path in FIXTURES.glob("*/qstat-Bf.json"))


@pytest.mark.parametrize("folder", COMPLETE)
def test_every_recorded_situation_is_read_without_errors_and_survives_the_way_to_the_controller(folder: str) -> None:
    found = queue(folder)
    assert (found.errors, found.skipped) == ((), ())
    assert found.adds_nodes
    assert found.kicks == (not folder.startswith("09b")), "there, somebody had switched scheduling off"
    assert serial.load(Queue, json.loads(json.dumps(serial.dump(found)))) == found


def test_a_new_server_has_no_nodes_and_no_jobs_and_that_is_no_error() -> None:
    found = queue("01-empty-no-nodes")
    assert (found.jobs, found.nodes, found.errors, found.cluster) == ((), (), (), "head")


@pytest.mark.parametrize(
    ("name", "chunks"),
    [
        ("sel_gpu_scatter_excl", (Chunk(2, 4, 8192, 1),)),
        ("chunked", (Chunk(1, 1), Chunk(4, 8))),
        ("old_nodes_ppn", (Chunk(2, 8),)),
        ("old_nodes_mem", (Chunk(2, 2, 4096),)),
        ("mem_w", (Chunk(1, 1, 32),)),
        ("mem_b", (Chunk(1, 1, 1024),)),
        ("zero_ncpus", (Chunk(1, 0, 100),)),
        ("group_id", (Chunk(2, 8),)),
        ("custom_feat", (Chunk(1, 1, labels=(("feat", "avx512"), ("speed", "2.5"), ("spot", "true"))),)),
        ("custom_disk", (Chunk(1, 1, resources=(("disk", 102400.0),), labels=(("machinetype", "c5.2xlarge"),)),)),
        ("htcq_defchunk", (Chunk(2, 2, labels=(("slot_type", "htc"),)),)),
        ("host_n001", (Chunk(1, 1, labels=(("host", "n001"),)),)),
        ("omp", (Chunk(2, 4),)),
    ],
)  # fmt: skip
def test_what_a_job_really_asks_for_comes_from_schedselect(name: str, chunks: tuple[Chunk, ...]) -> None:
    assert job(queue(MIXED), name).chunks == chunks


def test_without_schedselect_the_select_statement_has_to_do() -> None:
    data = json.loads(text(MIXED, "qstat-f.json"))
    for item in data["Jobs"].values():
        item.pop("schedselect", None)
    found = queue(MIXED, jobs=Output(0, json.dumps(data)))
    assert job(found, "chunked").chunks == (Chunk(1, 1), Chunk(4, 8))


@pytest.mark.parametrize(
    ("name", "spread", "exclusive"),
    [
        ("pack_too_big", "pack", False),
        ("sel_gpu_scatter_excl", "scatter", True),
        ("vscatter", "scatter", False),
        ("exclhost", "free", True),
        ("shared", "free", False),
    ],
)
def test_place_says_how_a_job_spreads(name: str, spread: str, exclusive: bool) -> None:
    found = job(queue(MIXED), name)
    assert (found.spread, found.exclusive) == (spread, exclusive)


def test_a_job_stays_in_one_group_if_it_says_so_or_if_the_scheduler_does_not_span_placement_sets() -> None:
    with_sets, without = queue(MIXED), queue(NO_SETS)
    assert job(with_sets, "chunked").one_group
    assert not job(without, "chunked").one_group
    assert job(without, "group_id").one_group
    assert not job(with_sets, "mem_b").one_group, "a single chunk is on one node anyway"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("held_user", "it is held"),
        ("dep_afterok", "it waits for other jobs"),
        ("future", "it waits for its start time"),
        ("stopped_queue", "queue stopq is stopped"),
        ("route_stuck", "it waits in the routing queue holdrouteq"),
        ("license_5", "the server has 2 licA, 2 of them free"),
    ],
)
def test_what_machines_would_not_help_is_no_demand(name: str, reason: str) -> None:
    found = job(queue(MIXED), name)
    assert (found.startable, found.blocked) == (0, reason)


def test_can_never_run_with_the_nodes_of_today_is_demand() -> None:
    found = job(queue(MIXED), "imposs_slot")
    assert found.reason.startswith("Can Never Run: ")
    assert found.startable is None


def test_an_array_is_its_waiting_rest_and_the_tasks_that_nodes_show() -> None:
    found = queue("10-arrays-running-and-queued")
    rest = job(found, "arr_run")
    assert (rest.id, rest.state, rest.tasks, rest.startable) == ("242[].head", "pending", 20, None)
    tasks = [one for one in found.jobs if one.id.startswith("242[") and one.state == "running"]
    assert len(tasks) == 8
    assert {one.nodes for one in tasks} == {("n003",), ("n004",)}
    both = next(one for one in found.jobs if one.id == "244[10].head")
    assert set(both.nodes) == {"n001", "n002"}


def test_of_a_throttled_array_only_so_many_tasks_are_startable() -> None:
    found = job(queue("10-arrays-running-and-queued"), "arr_mr")
    assert (found.tasks, found.startable) == (12, 3)
    assert found.blocked == "at most 3 tasks of the array run at once"


def test_a_job_that_nodes_show_already_is_no_demand_any_more() -> None:
    data = json.loads(text("09b-node-states-offline-maintenance-stale", "qstat-f.json"))
    data["Jobs"]["61.head"].update(job_state="Q", comment="Not Running: ...")
    data["Jobs"]["61.head"].pop("exec_vnode")
    found = queue("09b-node-states-offline-maintenance-stale", jobs=Output(0, json.dumps(data)))
    mine = next(one for one in found.jobs if one.id == "61.head")
    assert (mine.state, mine.nodes) == ("running", ("n001",))


def test_nodes_say_what_is_free_and_for_whom() -> None:
    found = node(queue("09b-node-states-offline-maintenance-stale"), "n004")
    assert (found.cpus, found.free_cpus) == (4, 2)
    assert (found.memory_mib, found.free_memory_mib) == (16384, 1024)
    assert (found.gpus, found.free_gpus) == (1, 1)
    assert found.partitions == ("workq", "htcq", "gpuq", "stopq")
    assert {("feat", "avx2"), ("feat", "avx512"), ("slot_type", "htc"), ("spot", "true")} <= set(found.labels)


def test_nodes_out_of_service_say_why_and_what_they_would_offer() -> None:
    found = queue("09b-node-states-offline-maintenance-stale")
    offline, maintenance, down = (node(found, name) for name in ("n001", "n003", "n006"))
    assert offline.up
    assert offline.drained
    assert offline.jobs == 1
    assert offline.free_cpus == 2
    assert offline.reason == "autoscale: drain idle since 2026-11-20T08:00:00Z"
    assert maintenance.drained
    assert maintenance.jobs, "its suspended job is not in jobs"
    assert not down.up


def test_a_node_has_its_own_name_as_a_label_only_where_a_job_asks_for_it() -> None:
    named, free = queue(MIXED), queue("10-arrays-running-and-queued")
    assert ("host", "n001") in node(named, "n001").labels
    assert ("vnode", "n002") in node(named, "n002").labels
    assert not {"host", "vnode"} & {name for one in free.nodes for name, _value in one.labels}


def test_vnodes_of_a_host_are_one_node() -> None:
    found = queue("09a-vnodes-multi")
    host = node(found, "n005")
    assert [one for one in found.nodes if one.name.startswith("n005")] == [host]
    assert (host.cpus, host.memory_mib) == (4, 8192)
    assert {value for name, value in host.labels if name == "vnode"} == {"n005", "n005[0]", "n005[1]"}
    assert all(one.nodes == ("n005",) for one in found.jobs if "n005" in "".join(one.nodes))
    assert any(one.nodes == ("n005",) for one in found.jobs)


def test_idle_since_is_the_end_of_the_last_job_or_the_join() -> None:
    found = queue("16-exec-host-vnode-formats")
    idle = node(found, "n004")
    assert (idle.jobs, idle.idle_since) == (0, 1795163077)
    assert node(found, "n003").idle_since == 0
    assert node(found, "n006").jobs, "a suspended job is on it"


def test_reserved_nodes_are_in_use_and_reservations_are_no_queues_for_others() -> None:
    found = queue("17-reservation-running")
    reserved = node(found, "n002")
    assert reserved.jobs
    assert reserved.free_cpus == 0
    assert "R0" not in reserved.partitions


def test_one_odd_name_makes_the_json_unreadable_and_asks_for_text() -> None:
    broken = {"jobs": Output(0, text("12d-args-comments-paths", "qstat-f-all.json"))}
    kind = scheduler("openpbs")
    assert [command.argv for command in kind.again(broken)] == [("qstat", "-fw")]
    assert kind.again(outputs(MIXED)) == ()
    assert kind.again({"jobs": Output(255, "{}", "cannot connect")}) == ()


def test_where_json_is_broken_the_text_has_all_jobs() -> None:
    broken = Output(0, text("12d-args-comments-paths", "qstat-f-all.json"))
    found = queue(MIXED, jobs=broken, jobs_text=Output(0, text("12d-args-comments-paths", "qstat-fw.txt")))
    assert (found.errors, found.skipped) == ((), ())
    assert len(found.jobs) == 44
    assert job(found, "run6_n001").nodes == ("n001",)


def test_where_there_is_no_text_either_one_bad_job_blinds_nobody() -> None:
    found = queue(MIXED, jobs=Output(0, text("12a-jobnames-numeric-like", "qstat-f.json")))
    assert found.errors == ()
    assert len(found.jobs) > 15
    assert {one.name for one in found.jobs} >= {"plain", "1e5", "007", "Infinity", "0x1F"}
    assert found.skipped
    assert all("its JSON cannot be read" in one for one in found.skipped)


def test_names_stay_what_users_typed() -> None:
    data = '{"Jobs": {"1.head": {"Job_Name": 1e5, "job_state": "Q", "queue": "workq", "schedselect": "1:ncpus=1"}}}'
    assert queue(MIXED, jobs=Output(0, data)).jobs[0].name == "1e5"


@pytest.mark.parametrize("key", ["jobs", "nodes", "server", "queues", "scheduler", "definitions"])
def test_a_server_that_does_not_answer_is_no_empty_queue(key: str) -> None:
    down = Output(255, '{"timestamp": 1, "pbs_server": "head"}', "Connection refused\nqstat: cannot connect to server")
    found = queue(MIXED, **{key: down})
    assert (found.jobs, found.nodes) == ((), ())
    assert len(found.errors) == 1
    assert "failed with status 255: Connection refused" in found.errors[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedselect": "1:ncpus=x"}, "'x' is not a whole number"),
        ({"schedselect": "1:mem=lots"}, "'lots' is not a size"),
        ({"schedselect": '1:feat="a'}, "has a quote without an end"),
        ({"schedselect": "", "Resource_List": {}}, "it says nowhere what it asks for"),
        ({"job_state": "Z"}, "its state 'Z' is not known"),
    ],
)
def test_a_job_that_is_not_understood_is_named_and_the_others_are_kept(changes: dict[str, object], words: str) -> None:
    data = json.loads(text(MIXED, "qstat-f.json"))
    data["Jobs"]["2.head"].update(changes)
    found = queue(MIXED, jobs=Output(0, json.dumps(data)))
    assert len(found.jobs) == len(queue(MIXED).jobs) - 1
    assert len(found.skipped) == 1
    assert found.skipped[0].startswith("2.head: ")
    assert words in found.skipped[0]


def test_scheduling_that_somebody_switched_off_is_not_switched_on_by_a_kick() -> None:
    data = text(MIXED, "qstat-Bf.json").replace('"scheduling":"True"', '"scheduling":"False"')
    found = queue(MIXED, server=Output(0, data))
    assert not found.kicks
    assert {one.startable for one in found.jobs if one.state == "pending"} == {0}
