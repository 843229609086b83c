"""The main job, from nothing to nothing, on booted nodes with real Slurm: what the demo shows must be true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from demo.__main__ import HEAD, LOGIN, run
from demo.report import Outcome
from demo.session import Session
from tests.e2e import scenarios, watched
from tests.e2e.scenarios import Seen

pytestmark = pytest.mark.booted


PROOF = "/tmp/azure_hpc-evaluated"
HOSTILE = (
    f"{{{{ lookup('pipe', 'touch {PROOF}') }}}}",
    f"$(touch {PROOF})",
    f"`touch {PROOF}`; touch {PROOF} #",
    "two\nlines",
    """quotes ' and " and \\ """,
    "Grüße, 世界 🚀",
)


SCENARIOS = (scenarios.no_capacity, scenarios.cannot_join, scenarios.killed_pass)
SEEN: dict[str, Seen] = {}
KNOWN: list[watched.Known] = []


def go_wrong(session: Session) -> None:
    for scenario in SCENARIOS:
        session.say((scenario.__doc__ or "").strip())
        SEEN[scenario.__name__] = scenario(session)
    # Last: what the others expect to happen to machines must not be spoilt by one that is there already.
    KNOWN.append(watched.watched(session))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder: Path = tmp_path_factory.mktemp("demo")
    Path(PROOF).unlink(missing_ok=True)
    hostile = [
        f"sbatch --partition=htc --time=2 --job-name={shlex.quote(text)} --comment={shlex.quote(text)} --wrap=true"
        for text in HOSTILE
    ]
    look = f"sbatch --partition=htc --time=2 --job-name=proof --output=/dev/null --wrap='! test -e {PROOF}'"
    return run(
        Session(folder, definition=watched.definition()), commands=[*hostile, f"test ! -e {PROOF}", look], more=go_wrong
    )


def by_name(outcome: Outcome, name: str) -> list:
    return [job for job in outcome.jobs if job.name == name]


def test_the_mpi_job_ran_on_two_nodes_with_eight_ranks_each(outcome: Outcome) -> None:
    (job,) = by_name(outcome, "mpi_test")
    assert (job.state, job.exit_code) == ("COMPLETED", 0), outcome.mpi_output
    assert outcome.mpi_output.startswith("ranks 16 sum 120\n")
    hosts = re.findall(r"rank \d+ on (\S+)", outcome.mpi_output)
    assert sorted(hosts.count(host) for host in set(hosts)) == [8, 8]


def test_every_task_of_the_array_completed(outcome: Outcome) -> None:
    tasks = by_name(outcome, "sweep")
    assert len(tasks) == 40
    assert {task.state for task in tasks} == {"COMPLETED"}


def test_the_owner_of_the_impossible_job_is_told_why(outcome: Outcome) -> None:
    (job,) = by_name(outcome, "toobig")
    assert (job.state, job.nodes) == ("CANCELLED", "")
    assert outcome.owner_sees == f"{job.id} PENDING PartitionNodeLimit"
    assert "8 nodes" in job.note


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_job_name_and_comment_pass_unharmed(outcome: Outcome, text: str) -> None:
    (job,) = by_name(outcome, text)
    assert (job.state, job.comment) == ("COMPLETED", text)


def test_no_text_of_a_user_was_evaluated(outcome: Outcome) -> None:
    (job,) = by_name(outcome, "proof")
    assert job.state == "COMPLETED"
    assert not Path(PROOF).exists()


def test_every_node_lived_its_whole_life_in_order(outcome: Outcome) -> None:
    assert {line.name.split("-")[0] for line in outcome.nodes} == {"hpc", "htc"}
    for line in outcome.nodes:
        steps = [line.created, line.joined, line.drained, line.deleted]
        assert None not in steps, line
        assert steps == sorted(steps), line


def test_the_pass_after_the_last_one_has_nothing_to_do(outcome: Outcome) -> None:
    assert outcome.passes[-1]["lines"] == []
    assert outcome.passes[-1]["changed"] is False


def test_passes_do_not_ask_more_of_azure_than_their_scale_sets_need(outcome: Outcome) -> None:
    """Listing, prices and quota once, two lists per scale set, growth and its listing: never a request per node."""
    assert max(record["requests"] for record in outcome.passes) <= 30


def test_a_job_runs_on_the_next_size_when_azure_has_none_of_the_first(outcome: Outcome) -> None:
    found = SEEN["no_capacity"]
    assert found.job["nodes"].startswith("htc-d8sv5-")
    (refused,) = [line for line in found.lines("grow") if "Azure refused" in line]
    assert "AllocationFailed" in refused
    assert any("htc-d4sv5-" in line and "AllocationFailed" in line for line in found.lines("drain"))
    assert "AllocationFailed" in found.job["admin_comment"]


def test_a_machine_that_does_not_join_is_replaced_and_the_job_is_told(outcome: Outcome) -> None:
    found = SEEN["cannot_join"]
    assert found.job["job_state"] == ["COMPLETED"]
    assert len([line for line in found.lines("claim") if "hpc-hb120rsv3-" in line]) >= 2
    assert found.lines("shrink")
    assert "azure_hpc:" in found.job["admin_comment"]


def test_a_pass_that_was_killed_is_finished_by_the_next(outcome: Outcome) -> None:
    found = SEEN["killed_pass"]
    assert found.job["job_state"] == ["COMPLETED"]
    assert len(found.lines("grow")) <= 1
    assert all(" to 2:" in line for line in found.lines("grow"))
    assert found.lines("claim")


def test_prometheus_finds_every_machine_and_asks_it(outcome: Outcome) -> None:
    (known,) = KNOWN
    assert {name: known.up[name] for name in (HEAD, LOGIN, known.node)} == {HEAD: 1.0, LOGIN: 1.0, known.node: 1.0}
    assert {HEAD, LOGIN, known.node} <= set(known.memory)


def test_prometheus_knows_the_job_and_its_node(outcome: Outcome) -> None:
    (known,) = KNOWN
    assert [(one["user"], one["hpc_cluster"]) for one in known.jobs] == [("azureuser", "demo")]
    assert "htc" in [one["node_array"] for one in known.nodes]


def test_dashboards_ask_for_what_there_is(outcome: Outcome) -> None:
    (known,) = KNOWN
    nowhere_here = ("azure_hpc_pass_", "node_infiniband_", 'fstype=~"nfs', "pending")
    empty = [query for query, found in known.queries.items() if not found]
    assert [query for query in empty if not any(words in query for words in nowhere_here)] == []
    assert len(known.queries) > 30


def test_prometheus_keeps_little_and_answers_the_head_alone(outcome: Outcome) -> None:
    (known,) = KNOWN
    assert "--storage.tsdb.retention.time=2d" in known.arguments
    assert "--storage.tsdb.retention.size=1GB" in known.arguments
    assert known.from_login == "closed"


def test_a_prometheus_that_is_not_wanted_any_more_is_stopped_once(outcome: Outcome) -> None:
    (known,) = KNOWN
    assert known.stopped == ["2", "0", "inactive", "inactive", "active"]


def test_nothing_is_left_in_azure(outcome: Outcome) -> None:
    assert outcome.left == []
