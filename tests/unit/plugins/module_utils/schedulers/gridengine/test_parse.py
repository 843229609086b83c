"""Grid Engine's outputs as values, on what a real Grid Engine printed."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.gridengine import GridEngine, documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.gridengine.jobs import (
    as_context,
    count_tasks,
    from_context,
    quote,
    unquote,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.schedulers.gridengine.ge import (
    EMPTY,
    NOW,
    details,
    job,
    only,
    outputs,
    with_jobs,
)

LABELS = (
    ("node_array", "hpc"),
    ("placement_group", "hpc-hb120rsv3-pg1"),
    ("priority", "regular"),
    ("vm_size", "hb120rsv3"),
)


def nodes(situation: str = "cluster") -> dict[str, QueueNode]:
    every = {**outputs(), **outputs(situation)}
    queue = GridEngine().parse(every, NOW)
    assert queue.errors == ()
    return {node.name: node for node in queue.nodes}


def test_a_whole_observation_is_read() -> None:
    queue = GridEngine().parse(outputs(), NOW)
    assert (queue.errors, queue.skipped, queue.adds_nodes, queue.kicks) == ((), (), True, False)
    states = [found.state for found in queue.jobs]
    assert (states.count("running"), states.count("pending")) == (4, 15)
    found = {one.id: one for one in queue.jobs}
    assert found["19"].nodes == ("hpc-e8c07-000002", "hpc-e8c07-000005")
    assert (found["19"].cpus, found["19"].started_at) == (240, 1795182854)
    assert (found["21.1"].nodes, found["21.3"].nodes) == (("hpc-e8c07-000003",), ("hpc-e8c07-000003",))
    assert (found["34"].tasks, found["34"].startable) == (100, 100)
    assert found["26"].note == "azure_hpc: waits: 4 CPUs, a"


def test_what_waits_for_something_else_than_machines_is_no_demand() -> None:
    found = {one.id: one.blocked for one in GridEngine().parse(outputs(), NOW).jobs if one.startable == 0}
    assert found == {
        "21": "2 of its tasks may run at once (qsub -tc)",
        "22": "it is held",
        "23": "it waits for 22",
        "24": "it may start at 2030-01-01 00:00 UTC",
        "42": "no queue that it can have has the parallel environment mpi",
    }


def test_nodes_have_left_what_jobs_have_not_taken() -> None:
    found = nodes()
    assert set(found) == {f"hpc-e8c07-00000{number}" for number in range(6)}, "the head is no node"
    shared = found["hpc-e8c07-000003"]
    # Four slots with 2 GiB each, two with 1 GiB each.
    assert (shared.cpus, shared.free_cpus, shared.jobs) == (120, 114, 3)
    assert (shared.memory_mib, shared.memory_mib - shared.free_memory_mib) == (435814, 10 * 1024)
    full = found["hpc-e8c07-000002"]
    assert (full.free_cpus, full.jobs, full.idle_since) == (0, 1, 0)
    idle = found["hpc-e8c07-000004"]
    assert (idle.up, idle.drained, idle.jobs, idle.idle_since, idle.labels) == (True, False, 0, 1795182845, LABELS)
    assert (idle.hostname, idle.partitions) == ("hpc-e8c07-000004.internal.cloudapp.net", ("hpc",))


def test_a_drained_node_says_why_also_while_a_job_goes_on() -> None:
    node = nodes()["hpc-e8c07-000005"]
    assert (node.drained, node.reason, node.jobs) == (True, "azure_hpc: idle for 15 s", 1)
    assert node.flags >= {"DISABLED", "SUBMIT"}


def test_disabled_and_orphaned_instances_take_no_jobs() -> None:
    found = nodes("orphaned")
    assert {name: node.drained for name, node in found.items()} == {"ge-1": True, "ge-2": True, "ge-3": True}
    assert "ORPHANED" in found["ge-2"].flags
    assert {name: node.jobs for name, node in found.items()} == {"ge-1": 2, "ge-2": 2, "ge-3": 1}
    assert found["ge-1"].reason == "", "the administrator did that"


def test_a_node_serves_the_queues_that_are_open_on_it() -> None:
    every = outputs()
    instance = "<Queue-List><name>{}@hpc-e8c07-000004</name><slots_total>4</slots_total><state>{}</state></Queue-List>"
    more = instance.format("a.q", "d") + instance.format("b.q", "") + instance.format("c.q", "E")
    jobs = every["jobs"].stdout.replace("</queue_info>", more + "</queue_info>")
    queue = GridEngine().parse({**every, "jobs": Output(0, jobs)}, NOW)
    (node,) = [node for node in queue.nodes if node.name == "hpc-e8c07-000004"]
    assert (node.drained, node.partitions) == (False, ("b.q", "hpc"))


def test_a_host_that_crashed_is_not_up() -> None:
    node = nodes("unreachable")["ge-3"]
    assert (node.up, node.drained, node.flags) == (False, False, {"UNREACHABLE"})


def test_jobs_do_not_keep_a_node_that_is_not_heard_of() -> None:
    every = outputs()
    name = "hpc-e8c07-000003"
    jobs = every["jobs"].stdout.replace(
        f"<name>hpc@{name}.internal.cloudapp.net</name>",
        f"<name>hpc@{name}.internal.cloudapp.net</name><state>u</state>",
    )
    head, block = every["hosts"].stdout.split(f"<host name='{name}", 1)
    value = block.index("'load_avg'>")
    hosts = f"{head}<host name='{name}{block[:value]}'load_avg'>-<{block[value:].partition('<')[2]}"
    queue = GridEngine().parse({**every, "jobs": Output(0, jobs), "hosts": Output(0, hosts)}, NOW)
    (node,) = [node for node in queue.nodes if node.name == name]
    assert (node.up, node.jobs, node.drained) == (False, 0, False)
    assert {job.id: job.nodes for job in queue.jobs}["20"] == ()


def test_a_host_that_was_not_added_to_the_end_is_no_node_yet() -> None:
    every = outputs()
    hosts = every["hosts"].stdout.replace("<resourcevalue name='node_array'", "<resourcevalue name='other'", 1)
    queue = GridEngine().parse({**every, "hosts": Output(0, hosts)}, NOW)
    assert len(queue.nodes) == 5


def test_a_node_with_an_exclusive_job_has_nothing_left() -> None:
    every = outputs()
    hosts = every["hosts"].stdout.replace("name='exclusive' dominance='hc'>1.0", "name='exclusive' dominance='hc'>0.0")
    queue = GridEngine().parse({**every, "hosts": Output(0, hosts)}, NOW)
    assert {(node.free_cpus, node.free_memory_mib) for node in queue.nodes} == {(0, 0)}


def test_a_note_comes_back_as_it_was_written() -> None:
    assert only(job(7), more=details(7, note=as_context("azure_hpc: 2 CPUs, 4 GPUs; a=b"))).note == (
        "azure_hpc: 2 CPUs, 4 GPUs; a=b"
    )


@given(st.text(alphabet=st.sampled_from("a,;%2C= ü"), max_size=30))
def test_notes_and_reasons_survive_the_scheduler(text: str) -> None:
    assert from_context(as_context(text)) == text
    assert "," not in as_context(text)
    assert unquote(quote(text)) == text
    assert not set(quote(text)) & set(",=")


@pytest.mark.parametrize(
    ("fields", "more", "startable", "blocked"),
    [
        ({"tasks": "1-20"}, details(1, throttle=3), 3, "3 of its tasks may run at once (qsub -tc)"),
        ({"tasks": "1-20"}, details(1), 20, ""),
        ({"state": "hqw", "after": ("5", "6")}, "", 0, "it waits for 5, 6"),
        ({"state": "Eqw"}, "", 0, "it is in error state; qstat -j says why, qmod -cj clears it"),
        ({}, details(1, start_at=NOW + 60), 0, "it may start at 2026-11-20 13:56 UTC"),
        ({}, details(1, start_at=NOW - 60), 1, ""),
        ({"state": "Rq"}, "", 1, ""),
    ],
)
def test_holds_times_and_throttles(fields: dict[str, object], more: str, startable: int, blocked: str) -> None:
    found = only(job(1, **fields), more=more)
    assert (found.startable, found.blocked) == (startable, blocked)


def test_arrays_get_no_more_tasks_than_all_arrays_may() -> None:
    every = outputs()["configuration"].stdout
    settings = "\n".join("max_aj_instances 4" if "max_aj" in line else line for line in every.splitlines())
    assert only(job(1, tasks="1-9"), configuration=settings).startable == 4


def test_a_user_s_limit_is_shared_by_the_jobs_in_their_order() -> None:
    every = outputs()["scheduler"].stdout
    settings = "\n".join("maxujobs 3" if "maxujobs" in line else line for line in every.splitlines())
    queue = with_jobs(
        job(1, priority=0.1, tasks="1-5"), job(2, priority=0.9, tasks="1-2"), job(3, owner="bob"), scheduler=settings
    )
    assert {found.id: found.startable for found in queue.jobs} == {"1": 1, "2": 2, "3": 1}


def test_licences_are_shared_by_the_jobs_in_their_order() -> None:
    table = outputs()["complexes"].stdout + "lic lic INT <= YES YES 0 0\n"
    hosts = outputs()["hosts"].stdout.replace(
        " </host>", "<resourcevalue name='lic' dominance='gc'>5.000000</resourcevalue></host>", 1
    )
    queue = with_jobs(
        job(1, priority=0.9, tasks="1-2", hard={"lic": "2"}),
        job(2, priority=0.5, hard={"lic": "1"}),
        job(3, priority=0.1, hard={"lic": "1"}),
        complexes=table,
        hosts=hosts,
    )
    assert {found.id: found.startable for found in queue.jobs} == {"1": 2, "2": 1, "3": 0}
    assert queue.jobs[-1].blocked == "lic is used up, and machines have none of it"
    assert queue.jobs[0].chunks[0].resources == (), "machines need not have it"


HOSTILE = ("{{ lookup('pipe', 'id') }}", "$(reboot)", "<b>&\"'", "]]>", "two words", "\u202eü🚀")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_through_as_text(name: str) -> None:
    assert only(job(name=name)).name == name


def test_a_less_than_that_grid_engine_escapes_wrongly_is_one() -> None:
    assert only(job(name="%lt;b>")).name == "<b>"


@pytest.mark.parametrize("name", ["a\x1b[31m\x00b", "a&#x1b;b", "a&#0;b"])
def test_characters_that_xml_does_not_know_spoil_nothing(name: str) -> None:
    raw = job(name="NAME").replace("NAME", name)
    assert only(raw).name.replace("\ufffd", "") in ("a[31mb", "ab")


BILLION = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "text", ["a & b", "a < b", "<!-- x", "</full_job_name></job_list>", "&nope;", "<![CDATA[", BILLION]
)
def test_a_job_that_is_no_xml_is_left_out_and_named(text: str) -> None:
    bad = job(8, name="NAME").replace("NAME", text)
    queue = with_jobs(job(7), bad, job(9))
    if queue.errors:
        # It was written so that nobody can tell where it ends.
        assert "job_list" in text
        return
    assert [found.id for found in queue.jobs] == ["7", "9"]
    assert queue.skipped == ("job 8 is not written as XML",)


def test_a_doctype_is_refused_before_it_is_parsed() -> None:
    every = outputs()
    text = BILLION + every["hosts"].stdout.partition("?>")[2]
    queue = GridEngine().parse({**every, "hosts": Output(0, text)}, NOW)
    assert queue.errors == ("qhost printed a DOCTYPE, which is refused",)


@pytest.mark.parametrize(
    ("key", "output", "error"),
    [
        ("jobs", Output(1, "", "error: commlib error: got select error"), "qstat failed with status 1: error: commlib"),
        ("jobs", Output(0, ""), "qstat did not print XML"),
        ("jobs", Output(0, "<unknown_jobs/>"), "qstat did not print its jobs"),
        ("hosts", Output(0, "<x/>"), "qhost did not print hosts"),
        ("complexes", Output(0, ""), "qconf -sc did not print the table of complexes"),
        ("groups", Output(0, ""), "qconf -shgrp_tree did not print the group @allhosts"),
        ("configuration", Output(0, ""), "qconf -sconf did not print max_aj_instances"),
        ("scheduler", Output(-1, "", "qconf did not end within 60 s"), "qconf -ssconf failed with status -1"),
        ("queues", Output(1, "", "denied"), "qconf -sq failed with status 1: denied"),
        ("details0", Output(1, "", "denied"), "qstat -j failed with status 1: denied"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_never_an_empty_queue(key: str, output: Output, error: str) -> None:
    queue = GridEngine().parse({**outputs(), key: output}, NOW)
    assert queue.jobs == ()
    assert len(queue.errors) == 1
    assert queue.errors[0].startswith(error)


def test_a_command_that_was_not_run_is_an_error() -> None:
    every = outputs()
    del every["hosts"]
    assert GridEngine().parse(every, NOW).errors == ("qhost was not run",)


def test_no_environment_at_all_is_no_error() -> None:
    queue = with_jobs(job(1), found={**outputs(), "environments": Output(1, "", "no parallel environment defined\n")})
    assert queue.errors == ()
    assert len(queue.jobs) == 1


def test_the_second_round_asks_for_details_and_for_the_environments_of_waiting_jobs() -> None:
    every = outputs()
    every["jobs"] = Output(0, EMPTY.format(job(3, pe="mpi-*", slots=2) + job(4, tasks="1-5") + job(5, state="hqw")))
    found = GridEngine().again(every)
    assert [command.argv for command in found] == [
        ("qstat", "-xml", "-j", "3,4,5"),
        ("qconf", "-sp", "mpi-hpc-hb120rsv3-pg1"),
        ("qconf", "-sp", "mpi-hpc-hb120rsv3-pg2"),
    ]
    assert GridEngine().again({"jobs": Output(1, "")}) == ()


def test_of_a_long_queue_only_details_that_decide_something_are_asked_for() -> None:
    plain = [job(number) for number in range(1, 1001)]
    arrays = [job(number, tasks="1-2", priority=0.1) for number in range(2001, 2501)]
    every = {**outputs(), "jobs": Output(0, EMPTY.format("".join(plain + arrays)))}
    commands = [command for command in GridEngine().again(every) if command.key.startswith("details")]
    ids = [number for command in commands for number in command.argv[-1].split(",")]
    assert len(commands) == 2
    assert len(ids) == 700
    assert {"1", "200", "2001", "2500"} <= set(ids)


def test_names_of_hosts_are_compared_without_their_domain() -> None:
    assert set(nodes()) & {"hpc-e8c07-000000"}


@pytest.mark.parametrize(("text", "count"), [("5-9:2", 3), ("1,3,5-7", 5), ("7", 1), ("1-100000:1", 100_000)])
def test_tasks_are_counted(text: str, count: int) -> None:
    assert count_tasks(text) == count


@pytest.mark.parametrize(("text", "amount"), [("4G", 4 * 2**30), ("100m", 10**8), ("infinity", float("inf")), ("7", 7)])
def test_amounts_of_memory(text: str, amount: float) -> None:
    assert documents.memory(text) == amount


@pytest.mark.parametrize(("text", "amount"), [("3600", 3600), ("1:0:0", 3600), ("24:00:00", 86400), ("0:10:", 600)])
def test_times(text: str, amount: float) -> None:
    assert documents.seconds(text) == amount
