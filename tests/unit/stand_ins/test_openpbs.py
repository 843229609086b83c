"""The stand-in for OpenPBS, held against recorded outputs of the real one: its keys, states, words and statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stand_ins import install
from tests.stand_ins.openpbs import server
from tests.unit.plugins.module_utils.schedulers.openpbs.recorded import FIXTURES, text

RELEASE = ["04-nodes-free-custom-resources", "06-mixed-running-and-pending", "10-arrays-running-and-queued"]


@pytest.fixture
def bench(tmp_path: Path) -> install.Bench:
    found = install.openpbs(tmp_path)
    found.run("qmgr", "-c", "create resource slot_type type=string,flag=h")
    with found.cluster() as cluster:
        cluster.boot("n001", "10.0.0.4")
    found.run("qmgr", "-c", "create node n001 resources_available.ncpus=4,resources_available.mem=8gb")
    return found


def recorded(name: str, key: str) -> dict[str, dict[str, Any]]:
    """All things of a kind in the recorded situations."""
    return {
        f"{folder}/{one}": value
        for folder in RELEASE
        for one, value in json.loads(text(folder, name)).get(key, {}).items()
    }


def shape(things: dict[str, dict[str, Any]]) -> dict[str, type]:
    return {name: type(value) for thing in things.values() for name, value in thing.items()}


def test_jobs_have_only_keys_and_types_that_pbs_prints(bench: install.Bench) -> None:
    bench.run("qsub", "-l", "select=1:ncpus=4", "--", "/bin/sleep", "60")
    bench.run("qsub", "-l", "select=1:ncpus=4", "-J", "1-9%3", "--", "/bin/sleep", "60")
    bench.run("qsub", "-h")
    mine = json.loads(bench.run("qstat", "-f", "-F", "json"))
    real = shape(recorded("qstat-f.json", "Jobs"))
    dropped = {"server", "Submit_arguments"}  # the recorded ones were made smaller
    assert {name: kind for name, kind in shape(mine["Jobs"]).items() if name not in dropped}.items() <= real.items()
    assert [job["job_state"] for job in mine["Jobs"].values()] == ["R", "Q", "H"]


def test_nodes_have_only_keys_and_types_that_pbs_prints(bench: install.Bench) -> None:
    bench.run("qsub", "-l", "select=1:ncpus=4", "--", "/bin/sleep", "60")
    mine = json.loads(bench.run("pbsnodes", "-av", "-F", "json"))["nodes"]
    real = recorded("pbsnodes-av.json", "nodes")
    assert (
        shape(mine).items()
        <= shape({**real, **json.loads(text("09a-vnodes-multi", "pbsnodes-av.json"))["nodes"]}).items()
    )
    assert mine["n001"]["state"] == "job-busy"


@pytest.mark.parametrize(("name", "command"), [("qstat-Bf.json", "-Bf"), ("qstat-Qf.json", "-Qf")])
def test_server_and_queues_have_only_keys_that_pbs_prints(bench: install.Bench, name: str, command: str) -> None:
    key = {"-Bf": "Server", "-Qf": "Queue"}[command]
    mine = json.loads(bench.run("qstat", command, "-F", "json"))[key]
    assert shape(mine).items() <= shape(recorded(name, key)).items()


def test_the_text_of_jobs_has_the_form_of_pbs(bench: install.Bench) -> None:
    bench.run("qsub", "-N", "a\\d")
    mine = bench.run("qstat", "-fw").splitlines()
    real = text("12d-args-comments-paths", "qstat-fw.txt").splitlines()
    assert mine[0].startswith("Job Id: ")
    assert real[0].startswith("Job Id: ")
    names = {line.partition(" = ")[0] for line in real if " = " in line}
    assert {line.partition(" = ")[0] for line in mine if " = " in line} <= names


def test_odd_names_break_the_json_as_they_do_in_pbs(bench: install.Bench) -> None:
    real = text("12a-jobnames-numeric-like", "qstat-f.json")
    for name in ("1e5", "inf", "007"):
        bench.run("qsub", "-N", name)
        line = next(
            one
            for one in bench.run("qstat", "-f", "-F", "json").splitlines()
            if f'"Job_Name":{name}' in one or f'"{name}"' in one
        )
        assert line in real.splitlines()


def test_a_drained_node_and_a_restart_are_as_recorded(bench: install.Bench) -> None:
    bench.run("pbsnodes", "-o", "-C", "why", "n001")
    bench.run("qmgr", "-c", "set node n001 resources_available.slot_type=x")
    found = json.loads(bench.run("pbsnodes", "-av", "-F", "json"))["nodes"]["n001"]
    assert (found["state"], found["comment"]) == ("offline", "why")
    with bench.cluster() as cluster:
        server.restart(cluster)
    found = json.loads(bench.run("pbsnodes", "-av", "-F", "json"))["nodes"]["n001"]
    assert found["state"] == "free"
    assert "comment" not in found
    assert found["resources_available"]["slot_type"] == "x"


# What the real commands said and how they ended.
@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (("qmgr", "-c", "delete node nosuch"), 214, "qmgr obj=nosuch svr=default: Unknown node "),
        (("qmgr", "-c", "create node n001"), 218, "qmgr obj=n001 svr=default: Node name already exists"),
        (("qmgr", "-c", "create node unresolvable"), 214, "Unknown node "),
        (("qmgr", "-c", "create node bad_name!"), 219, "Illegal value for node"),
        (("qmgr", "-c", "set node n001 resources_available.undefined_res=1"), 187, "Unknown resource"),
        (("qmgr", "-c", "set node n001 resources_available.ncpus=abc"), 166, "Illegal attribute or resource value"),
        (("qmgr", "-c", "set node n001 no_such_attr=1"), 154, "Undefined attribute "),
        (("qmgr", "-c", "create resource slot_type type=string,flag=h"), 207, "Duplicate entry in list "),
        (("qmgr", "-c", "create queue workq"), 177, "Queue already exists"),
        (("pbsnodes", "-o", "nosuch"), 1, "Error marking node nosuch - Unknown node "),
        (("qalter", "-W", "comment=x", "99"), 153, "Unknown Job Id 99"),
        (("qsub", "-q", "nosuch"), 170, "Unknown queue"),
    ],
)
def test_refusals_are_those_of_pbs(bench: install.Bench, argv: tuple[str, ...], status: int, words: str) -> None:
    assert words in bench.run(*argv, status=status)


def test_a_busy_node_is_not_deleted(bench: install.Bench) -> None:
    bench.run("qsub", "--", "/bin/sleep", "60")
    assert "Cannot delete busy object" in bench.run("qmgr", "-c", "delete node n001", status=179)


@pytest.mark.parametrize(
    ("program", "status"), [("qstat", 255), ("pbsnodes", 1), ("qmgr", 3), ("qsub", 162), ("qdel", 162)]
)
def test_without_a_server_all_commands_fail_as_they_do(bench: install.Bench, program: str, status: int) -> None:
    with bench.cluster() as cluster:
        cluster.data["answers"] = False
    found, out, err = bench.call([program, "-f", "-F", "json"])
    assert found == status
    assert err.startswith("Connection refused\n")
    assert ('"pbs_server":"head"' in out) == (program == "qstat")


def test_the_recorded_outputs_are_where_they_are_looked_for() -> None:
    assert all((FIXTURES / folder / "qstat-f.json").exists() for folder in RELEASE)
