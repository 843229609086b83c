"""Jobs that have ended: the same facts for any scheduler, whatever its users called them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.history import STATES, History, PastJob
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output, history
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parents[3] / "fixtures"
ALWAYS = (0, 2**40)


def read(name: str, text: str, since: int = ALWAYS[0], until: int = ALWAYS[1]) -> History:
    return history.reader(name).parse({"history": Output(0, text)}, since, until)


def by_id(found: History) -> dict[str, PastJob]:
    assert found.errors == ()
    assert found.skipped == ()
    return {job.id: job for job in found.jobs}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_slurm_jobs_are_read_as_sacct_has_them() -> None:
    jobs = by_id(read("slurm", (FIXTURES / "slurm/sacct.json").read_text()))
    assert jobs["2"] == PastJob(
        id="2",
        name="big4",
        user="alice",
        state="cancelled",
        submitted_at=1795162722,
        started_at=1795162783,
        ended_at=1795162792,
        nodes=("hpc-1", "hpc-2", "hpc-3", "hpc-4"),
        node_count=4,
        cores=16,
        cpu_seconds=16 * 9,
        account="acc1",
        queue="hpc",
        said="CANCELLED",
    )
    assert (jobs["42"].state, jobs["42"].exit_code) == ("node_failed", 1)
    assert (jobs["24"].state, jobs["24"].started_at, jobs["24"].nodes) == ("failed", 0, ())
    assert {"6_0", "6_2", "6_4", "6_[6-100]"} <= set(jobs)
    assert "36" not in jobs  # it runs


def test_pbs_jobs_are_read_from_the_accounting_files() -> None:
    jobs = by_id(read("openpbs", (FIXTURES / "openpbs/accounting.txt").read_text()))
    assert jobs["257.head"] == PastJob(
        id="257.head",
        name="exit3",
        user="alice",
        state="failed",
        submitted_at=1795162837,
        started_at=1795162837,
        ended_at=1795162837,
        nodes=("n001",),
        node_count=1,
        cores=1,
        exit_code=3,
        queue="workq",
        said="Exit_status=3",
    )
    assert {job: (jobs[job].state, jobs[job].signal) for job in jobs if job.startswith("25") or job > "26"} == {
        "257.head": ("failed", 0),
        "258.head": ("timeout", 0),
        "259.head": ("cancelled", 15),
        "260.head": ("cancelled", 0),
        "261.head": ("failed", 9),
    }
    assert (jobs["260.head"].name, jobs["260.head"].started_at, jobs["260.head"].ended_at) == (
        "delqueued",
        0,
        1795162840,
    )
    assert (jobs["243[8].head"].state, jobs["243[8].head"].cpu_seconds) == ("completed", 43)
    assert "243[].head" not in jobs


def test_a_pbs_job_over_several_nodes_has_all_of_them_and_its_account() -> None:
    line = (
        '11/20/2026 08:19:29;E;7.head;user=bob group=bob account="deep sea" project=x jobname=user=root queue=q '
        "ctime=10 qtime=11 etime=11 start=20 exec_host=n1/0*2+n2/0*2 Resource_List.ncpus=4 end=50 Exit_status=0"
    )
    (job,) = read("openpbs", line).jobs
    assert (job.user, job.name, job.account) == ("bob", "user=root", "deep sea")
    assert (job.nodes, job.cores, job.cpu_seconds) == (("n1", "n2"), 4, 120)


def ge(**change: Any) -> str:
    """One line of Grid Engine's accounting file, with the fields that accounting(5) lists."""
    has: dict[str, Any] = {
        "qname": "all.q", "hostname": "htc-1", "group": "alice", "owner": "alice", "job_name": "sleep",
        "job_number": 42, "account": "sge", "priority": 0, "submission_time": 1000, "start_time": 1010,
        "end_time": 1070, "failed": 0, "exit_status": 0, "ru_wallclock": 60,
    }  # fmt: skip
    has.update({f"ru{number}": 0 for number in range(17)})
    has.update(
        {"project": "NONE", "department": "d", "granted_pe": "NONE", "slots": 1, "task_number": 0, "cpu": 0.1, "mem": 0,
         "io": 0, "category": "-l h_rt=600", "iow": 0, "pe_taskid": "NONE", "maxvmem": 0, "arid": 0, "ar_time": 0}
    )  # fmt: skip
    assert len(has) == 45
    has.update(change)
    return ":".join(str(value) for value in has.values()) + "\n"


def test_grid_engine_jobs_are_read_from_its_accounting_file() -> None:
    found = by_id(read("gridengine", "# Version: 8.1\n" + ge() + ge(job_number=43, task_number=7, exit_status=137)))
    assert found["42"] == PastJob(
        id="42",
        name="sleep",
        user="alice",
        state="completed",
        submitted_at=1000,
        started_at=1010,
        ended_at=1070,
        nodes=("htc-1",),
        node_count=1,
        cores=1,
        cpu_seconds=60,
        queue="all.q",
        said="failed=0 exit_status=0",
    )
    assert (found["43.7"].state, found["43.7"].signal, found["43.7"].exit_code) == ("failed", 9, 0)


@pytest.mark.parametrize(
    ("failed", "state"), [(25, "requeued"), (37, "timeout"), (100, "failed"), (26, "node_failed"), (0, "completed")]
)
def test_grid_engine_says_why_a_job_failed(failed: int, state: str) -> None:
    assert [job.state for job in read("gridengine", ge(failed=failed)).jobs] == [state]


def test_a_parallel_grid_engine_job_is_one_job_on_all_its_nodes() -> None:
    slave = ge(hostname="htc-2", pe_taskid="1.htc-2", submission_time=0, slots=4)
    (job,) = read("gridengine", slave + ge(slots=4, granted_pe="mpi")).jobs
    assert (set(job.nodes), job.node_count, job.cores) == ({"htc-1", "htc-2"}, 2, 4)


@pytest.mark.parametrize(
    ("change", "account"),
    [
        ({"account": "a:b:0:1"}, "a:b:0:1"),
        ({"account": "a:0:9:1:2:0:0:1"}, "a:0:9:1:2:0:0:1"),
        ({"category": "-l x=1:2:3"}, ""),
        ({}, ""),
    ],
)
def test_colons_in_what_users_write_do_not_move_the_fields(change: dict[str, str], account: str) -> None:
    (job,) = read("gridengine", ge(**change)).jobs
    assert (job.account, job.submitted_at, job.ended_at) == (account, 1000, 1070)


def test_a_grid_engine_that_writes_milliseconds_is_understood() -> None:
    line = ge(
        account="x:y", submission_time=1795162722000, ru_wallclock=1.0, start_time=1795162723000, end_time=1795162724000
    )
    assert [job.ended_at for job in read("gridengine", line).jobs] == [1795162724]


CONDOR: dict[str, Any] = {
    "ClusterId": 7, "ProcId": 0, "Owner": "alice", "Cmd": "/shared/home/alice/run.sh", "JobStatus": 4, "QDate": 1000,
    "JobCurrentStartDate": 1010, "CompletionDate": 1070, "EnteredCurrentStatus": 1070, "ExitCode": 3,
    "ExitBySignal": False, "LastRemoteHost": "slot1_1@htc-1.hl.example", "RequestCpus": 2, "AcctGroup": "physics",
}  # fmt: skip


def test_htcondor_jobs_are_read_from_its_history() -> None:
    removed = {**CONDOR, "ProcId": 1, "JobStatus": 3, "CompletionDate": 0, "EnteredCurrentStatus": 1100}
    never = {**removed, "ProcId": 2, "JobCurrentStartDate": None, "LastRemoteHost": None}
    killed = {**CONDOR, "ProcId": 3, "ExitBySignal": True, "ExitSignal": 9, "ExitCode": None}
    expression = {**CONDOR, "ProcId": 4, "ExitCode": 0, "RequestCpus": "ifThenElse(x, 1, 2)", "CpusProvisioned": 4}
    found = by_id(read("htcondor", json.dumps([CONDOR, removed, never, killed, expression])))
    assert found["7.0"] == PastJob(
        id="7.0",
        name="run.sh",
        user="alice",
        state="failed",
        submitted_at=1000,
        started_at=1010,
        ended_at=1070,
        nodes=("htc-1",),
        node_count=1,
        cores=2,
        cpu_seconds=120,
        exit_code=3,
        account="physics",
        said="Completed",
    )
    assert (found["7.1"].state, found["7.1"].ended_at) == ("cancelled", 1100)
    assert (found["7.2"].started_at, found["7.2"].cores, found["7.2"].nodes) == (0, 0, ())
    assert (found["7.3"].state, found["7.3"].signal) == ("failed", 9)
    assert (found["7.4"].state, found["7.4"].cores) == ("completed", 4)


def lsf(**changes: Any) -> str:
    """A record of lsb.acct, by the order of its manual page."""
    has: dict[str, Any] = {
        "ended": 1060, "id": 17, "slots": 2, "submitted": 900, "started": 1000, "user": "alice", "asked": [],
        "hosts": ["hpc-1.internal", "hpc-2.internal"], "status": 64, "name": "simulate", "command": "mpirun ./a.out",
        "project": "physics", "exit": 0, "index": 0, "why": 0, **changes,
    }  # fmt: skip

    def quoted(*texts: str) -> list[str]:
        return ['"' + text.replace('"', '""') + '"' for text in texts]

    words = [
        *quoted("JOB_FINISH", "10.1"), has["ended"], has["id"], 2001, 33554438, has["slots"], has["submitted"], 0, 0,
        has["started"], *quoted(has["user"], "normal", "", "", "", "head", "/home/alice", "", "", "", "900.17"),
        len(has["asked"]), *quoted(*has["asked"]), len(has["hosts"]), *quoted(*has["hosts"]), has["status"], 60.0,
        *quoted(has["name"], has["command"]), *[0.5, 0.1, *[-1] * 17], *quoted("", has["project"]), has["exit"],
        has["slots"], *quoted("", ""), has["index"], 2048, 0, *quoted("", "", "", ""), 0, *quoted(""), has["why"],
        *quoted(""), -1, *quoted("", "", "", ""),
    ]  # fmt: skip
    return " ".join(map(str, words)) + "\n"


def test_lsf_jobs_are_read_from_its_accounting_files() -> None:
    (job,) = by_id(read("lsf", lsf(asked=["hpc-1"]))).values()
    assert job == PastJob(
        id="17", name="simulate", user="alice", state="completed", submitted_at=900, started_at=1000, ended_at=1060,
        nodes=("hpc-1", "hpc-2"), node_count=2, cores=2, cpu_seconds=120, account="physics", queue="normal",
        said="DONE",
    )  # fmt: skip


def test_an_lsf_task_with_its_slots_written_short() -> None:
    job = by_id(read("lsf", lsf(index=3, hosts=["60*hpc-1", "60*hpc-2"], slots=120, project="default")))["17[3]"]
    assert (job.cores, job.nodes, job.cpu_seconds, job.account) == (120, ("hpc-1", "hpc-2"), 7200, "")


@pytest.mark.parametrize(
    ("change", "state", "code", "signal"),
    [
        ({"exit": 3 << 8}, "failed", 3, 0),
        ({"exit": 137 << 8}, "failed", 0, 9),
        ({"exit": 15, "why": 14}, "cancelled", 0, 15),
        ({"exit": 140 << 8, "why": 5}, "timeout", 0, 12),
        ({"exit": 9, "why": 16}, "out_of_memory", 0, 9),
        ({"started": 0, "hosts": [], "exit": 0, "why": 0}, "cancelled", 0, 0),
    ],
)
def test_lsf_says_how_a_job_ended(change: dict[str, Any], state: str, code: int, signal: int) -> None:
    job = by_id(read("lsf", lsf(status=32, **change)))["17"]
    assert (job.state, job.exit_code, job.signal) == (state, code, signal)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_name_and_no_command_makes_an_lsf_job_somebody_elses(name: str, command: str) -> None:
    forged = f"{command}\n{lsf(id=99, user='mallory')}"
    found = read("lsf", lsf(name=name, command=forged) + '"JOB_RESIZE" "10.1" 5\n' + lsf(id=18))
    assert [(job.id, job.user, job.account) for job in found.jobs] == [
        ("17", "alice", "physics"),
        ("18", "alice", "physics"),
    ]
    assert found.jobs[0].name == name


def test_an_empty_htcondor_history_is_no_error() -> None:
    assert read("htcondor", "") == History("htcondor")


@pytest.mark.parametrize("name", history.NAMES)
def test_a_command_that_fails_is_the_reason_why_there_is_no_history(name: str) -> None:
    found = history.observe(history.reader(name), 0, 1, lambda _command: Output(1, "", "cannot reach it"))
    assert found == History(name, errors=("cannot reach it",))


@pytest.mark.parametrize("name", ["slurm", "htcondor"])
def test_json_that_is_cut_off_is_the_reason_why_there_is_no_history(name: str) -> None:
    assert "is not understood" in read(name, '{"jobs": [').errors[0]


def test_only_what_ended_in_the_time_is_told_in_the_order_of_its_end() -> None:
    lines = "".join(ge(job_number=number, end_time=number) for number in (30, 10, 20, 40))
    assert [job.id for job in read("gridengine", lines, 20, 40).jobs] == ["20", "30"]


@pytest.mark.parametrize("name", history.NAMES)
def test_no_time_and_no_directory_can_be_another_word_of_a_command(name: str) -> None:
    for command in history.reader(name).commands(-5, 10, "/x y; reboot"):
        assert isinstance(command, Command)
        assert all(isinstance(word, str) for word in command.argv)
        assert "reboot" not in command.argv


@given(st.text(max_size=40))
def test_no_name_makes_a_slurm_job_somebody_elses(name: str) -> None:
    records = json.loads((FIXTURES / "slurm/sacct.json").read_text())
    records["jobs"] = [{**records["jobs"][0], "name": name}]
    (job,) = read("slurm", json.dumps(records)).jobs
    assert (job.name, job.user, job.account, job.state) == (name, "alice", "acc1", "cancelled")


@given(st.lists(st.text(max_size=60), max_size=5))
def test_lines_that_are_no_records_are_named_and_end_nothing(lines: list[str]) -> None:
    pbs = (FIXTURES / "openpbs/accounting.txt").read_text()
    for name, good in (("gridengine", ge()), ("openpbs", pbs), ("lsf", lsf())):
        found = read(name, good + "\n".join(lines))
        assert {job.id for job in found.jobs} >= {job.id for job in read(name, good).jobs}
        assert all(job.state in STATES for job in found.jobs)
