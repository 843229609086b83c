"""Resource quota sets: how many slots they leave a waiting job."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.gridengine import GridEngine, quotas

from tests.unit.plugins.module_utils.schedulers.gridengine.ge import NOW, job, outputs, with_jobs


def text(*rules: str, enabled: str = "TRUE", name: str = "most") -> str:
    """A set as ``qconf -srqs`` shows it."""
    lines = "".join(f"   limit        {rule}\n" for rule in rules)
    return f'{{\n   name         {name}\n   description  "x"\n   enabled      {enabled}\n{lines}}}\n'


def left(shown: str, user: str = "alice", queue: str = "htc", environment: str = "") -> int | None:
    return quotas.read({"quotas": Output(0, shown)}).left(user, queue, environment)[0]


@pytest.mark.parametrize(
    ("rules", "slots"),
    [
        (["users {*} to slots=100"], 100),
        (["users alice,bob to slots=7"], 7),
        (["users bob to slots=7"], None),
        (["users !alice to slots=7"], None),
        (["users a* queues h* to slots=7"], 7),
        (["queues {hpc,htc} to gpu=1,slots=9"], 9),
        (["pes mpi* to slots=5"], None),
        (["pes !* to slots=5"], 5),
        (["name big users alice to slots=3", "users * to slots=9"], 3),
        (["users alice to mem_free=1G", "users * to slots=9"], None),
        (["hosts * to slots=40"], 40),
        (["to slots=12"], 12),
    ],
)
def test_the_first_rule_that_is_about_a_job_holds(rules: list[str], slots: int | None) -> None:
    assert left(text(*rules)) == slots


@pytest.mark.parametrize(
    "rule", ["hosts {*} to slots=$num_proc", "users @staff to slots=1", "projects x to slots=1", "hosts a to slots=1"]
)
def test_sets_that_cannot_be_followed_are_left_out(rule: str) -> None:
    assert left(text(rule)) is None


def test_a_set_that_is_off_limits_nothing_and_the_tightest_of_several_holds() -> None:
    assert left(text("users * to slots=1", enabled="FALSE")) is None
    both = text("users * to slots=9") + text("queues htc to slots=4", name="small")
    assert quotas.read({"quotas": Output(0, both)}).left("alice", "htc", "") == (4, "small")


def test_rules_in_braces_count_every_name_by_itself() -> None:
    found = quotas.read({"quotas": Output(0, text("users {*} to slots=10"))})
    found.take("alice", "htc", "", 8)
    assert (found.left("alice", "hpc", "")[0], found.left("bob", "htc", "")[0]) == (2, 10)
    found = quotas.read({"quotas": Output(0, text("users * to slots=10"))})
    found.take("alice", "htc", "", 8)
    assert found.left("bob", "htc", "")[0] == 2


def test_no_set_at_all_is_no_error() -> None:
    every = {**outputs(), "quotas": Output(1, "", "No resource quota set found\n")}
    assert GridEngine().parse(every, NOW).errors == ()


def test_jobs_share_what_a_quota_leaves_in_their_order() -> None:
    queue = with_jobs(
        job(1, priority=0.9, pe="smp", slots=4, queues=["htc"], owner="alice"),
        job(2, priority=0.5, tasks="1-9", queues=["htc"], owner="alice"),
        job(3, priority=0.1, queues=["htc"], owner="bob"),
        quotas=text("users {*} queues htc to slots=6"),
    )
    assert {found.id: found.startable for found in queue.jobs} == {"1": 1, "2": 2, "3": 1}
    assert queue.jobs[1].blocked == "the quota set most leaves it 2 slots"


def test_running_jobs_have_taken_their_part() -> None:
    every = {**outputs(), "quotas": Output(0, text("users {*} queues hpc to slots=250"))}
    found = {one.id: one for one in GridEngine().parse(every, NOW).jobs}
    # 240, 4, 1 and 1 slots run in hpc.
    assert (found["25"].startable, found["25"].blocked) == (0, "the quota set most leaves it 4 slots")


def test_a_job_with_another_queue_to_go_to_is_not_kept_back() -> None:
    queue = with_jobs(job(1, queues=["htc", "gpu"]), quotas=text("queues htc to slots=0"))
    assert queue.jobs[0].startable == 1
