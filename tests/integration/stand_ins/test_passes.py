"""Whole passes over schedulers that cannot be installed here: stand-ins, the real adapters and planner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import updating

from tests.stand_ins import install
from tests.stand_ins.lsf.words import Lsf
from tests.stand_ins.minibatch.words import Expressions, Program
from tests.stand_ins.openpbs.words import OpenPbs
from tests.stand_ins.site import IDLE, Ask, Site, Words

PROOF = "/tmp/azure_hpc-evaluated"
HOSTILE = (f"{{{{lookup('pipe','touch {PROOF}')}}}}", f"$(touch {PROOF})", "inf", "1e5", "a\\d", 'q"q', "nan")
KINDS: dict[str, tuple[Callable[[], Words], Callable[[Path], install.Bench]]] = {
    "custom-expressions": (Expressions, install.minibatch),
    "custom-program": (Program, install.minibatch),
    "lsf": (Lsf, install.lsf),
    "openpbs": (OpenPbs, install.openpbs),
}


@pytest.fixture(params=sorted(KINDS))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A cluster without machines, whose scheduler was just set up."""
    words, begin = KINDS[request.param]
    return Site(words(), begin(tmp_path))


def kinds(done: list[plan.Step]) -> list[str]:
    return [type(step).__name__ for step in done]


def idle(site: Site) -> None:
    """One machine that has had nothing to do for long enough."""
    site.submit(Ask(seconds=5))
    site.passes()
    site.rest(10)
    site.rest(IDLE + 1)


def test_scale_from_zero(site: Site) -> None:
    job = site.submit(Ask())
    first = site.one_pass()
    assert "Grow" in kinds(first)
    assert len(site.azure.machines("htc")) == len(site.azure.machines()) == 1
    site.rest()
    site.passes(2)
    assert site.hosts(job) == {site.azure.machines("htc")[0].computer_name}
    assert site.passes(2) == []


def test_booting_machines_are_not_bought_twice(site: Site) -> None:
    site.submit(Ask())
    site.one_pass()
    assert "Grow" not in kinds([*site.one_pass(), *site.one_pass()])


def test_grow_uses_what_is_there_first(site: Site) -> None:
    full = [site.submit(Ask(cpus=4)) for _number in range(2)]
    site.passes()
    assert len({host for job in full for host in site.hosts(job)}) == 2
    site.rest(40)
    again = site.submit(Ask(cpus=4))
    site.passes()
    assert len(site.hosts(again)) == 1
    assert len(site.azure.machines()) == 2


def test_an_array_shares_few_machines(site: Site) -> None:
    job = site.submit(Ask(tasks=12))
    site.passes()
    assert len(site.running(job)) == 12
    assert len(site.azure.machines("htc")) == 3


def test_a_throttled_array_buys_for_what_may_run(site: Site) -> None:
    job = site.submit(Ask(tasks=12, at_once=4))
    site.passes()
    assert len(site.running(job)) == 4
    # LSF shows the limit of an array only in the reasons of its elements, once that many run.
    assert len(site.azure.machines()) == (3 if site.words.kind == "lsf" else 1)
    assert "Grow" not in kinds(site.passes(2))


def test_a_parallel_job_is_in_one_placement_group(site: Site) -> None:
    job = site.submit(Ask(array="hpc", nodes=2, cpus=120))
    site.passes()
    assert len(site.hosts(job)) == 2
    assert len({one.scale_set for one in site.azure.machines("hpc")}) == 1


def test_a_gpu_job_gets_a_machine_with_one(site: Site) -> None:
    job = site.submit(Ask(array="gpu", gpus=1))
    site.passes()
    assert site.hosts(job) == {site.azure.machines("gpu")[0].computer_name}


def test_exclusive_jobs_share_no_node(site: Site) -> None:
    jobs = [site.submit(Ask(exclusive=True)) for _number in range(2)]
    site.passes()
    assert len({host for job in jobs for host in site.hosts(job)}) == 2


def test_the_owner_of_an_impossible_job_is_told_and_nothing_is_bought(site: Site) -> None:
    job = site.submit(Ask(cpus=500))
    first = site.one_pass()
    assert site.azure.machines() == []
    assert "Comment" in kinds(first)
    assert "azure_hpc: " in site.bench.run(*site.words.reason(job))
    assert site.jobs(job)[0].note.startswith("azure_hpc: this job cannot start")
    assert site.one_pass() == [], "it is said once"


def test_held_jobs_are_no_demand(site: Site) -> None:
    site.submit(Ask(hold=True))
    assert site.one_pass() == []


def test_idle_nodes_are_drained_then_deleted_then_forgotten(site: Site) -> None:
    job = site.submit(Ask(seconds=5))
    site.passes()
    site.rest(10)
    assert site.running(job) == []
    assert site.passes(1) == [], "not before its time"
    site.rest(IDLE + 1)
    assert kinds(site.one_pass()) == ["Drain"]
    (drained,) = site.observe().nodes
    assert drained.drained
    assert drained.reason.startswith("azure_hpc: idle for")
    assert "Shrink" in kinds(site.one_pass())
    site.one_pass()
    assert site.azure.machines() == []
    assert site.observe().nodes == ()
    assert site.one_pass() == []


def test_a_job_that_comes_after_the_drain_resumes_the_node(site: Site) -> None:
    idle(site)
    assert kinds(site.one_pass()) == ["Drain"]
    job = site.submit(Ask())
    assert "Resume" in kinds(site.one_pass())
    site.passes(1)
    assert len(site.azure.machines()) == 1
    assert site.hosts(job) == {site.azure.machines()[0].computer_name}
    assert site.observe().nodes[0].reason == ""


def test_a_job_that_started_while_its_node_was_drained_runs_to_its_end(site: Site) -> None:
    idle(site)
    queue = site.observe()
    job = site.submit(Ask())
    steps = [plan.Drain((queue.nodes[0].name,), "azure_hpc: idle for 60 s")]
    assert updating.update(site.kind, steps, site.run, dry=False)["failures"] == []
    assert len(site.running(job)) == 1
    assert "Shrink" not in kinds(site.passes(2))
    assert len(site.running(job)) == 1
    site.rest(40)
    assert "Shrink" in kinds(site.passes(3, seconds=1))


def test_a_machine_that_dies_under_its_job_is_replaced(site: Site) -> None:
    job = site.submit(Ask(cpus=4, seconds=600))
    site.passes()
    (victim,) = site.azure.machines()
    with site.bench.cluster() as state:
        site.azure.delete(victim, state)
    site.passes(4, seconds=10)
    (other,) = site.azure.machines()
    assert other.computer_name != victim.computer_name
    assert site.hosts(job) == {other.computer_name}
    assert [node.name for node in site.observe().nodes] == [other.computer_name]


GONE = "mounts: /shared/home (demo-head:/export/home): is not mounted any more: mount.nfs: 'No route' \"to\" host @#;"


def test_a_node_that_lost_its_file_system_gets_no_jobs_until_it_has_it_again(site: Site) -> None:
    first = site.submit(Ask(array="gpu", seconds=30))
    site.passes()
    host = site.azure.machines("gpu")[0].computer_name
    assert site.hosts(first) == {host}
    site.say(GONE)
    assert "Drain" in kinds(site.one_pass())
    (node,) = (node for node in site.observe().nodes if node.name == host)
    assert node.drained
    assert node.reason.startswith("azure_hpc: mounts: /shared/home (demo-head:/export/home): is not")
    assert site.hosts(first) == {host}  # what runs goes on
    site.rest(31)
    second = site.submit(Ask(array="gpu", seconds=5))
    site.one_pass()
    assert site.hosts(second) == set()
    assert "takes no jobs: mounts: /shared/home" in site.jobs(second)[0].note
    assert site.one_pass() == []
    site.say("")
    assert "Resume" in kinds(site.one_pass())
    site.passes(2)
    assert site.hosts(second) == {host}


def test_the_owner_hears_why_a_machine_that_boots_does_not_join(site: Site) -> None:
    job = site.submit(Ask())
    site.one_pass()
    site.say(GONE)
    site.one_pass()
    assert "azure_hpc: " in site.bench.run(*site.words.reason(job))
    assert "is there, but says: mounts: /shared/home" in site.jobs(job)[0].note
    assert site.one_pass() == []


def test_a_restart_of_the_head_loses_no_job_and_no_drain(site: Site) -> None:
    runs = site.submit(Ask(cpus=4, seconds=600))
    site.submit(Ask(array="hpc", nodes=2, cpus=120, seconds=5))
    site.passes()
    site.rest(10)
    site.rest(IDLE + 1)
    assert kinds(site.one_pass()) == ["Drain"]
    site.words.restart(site.bench)
    site.passes(4)
    assert len(site.running(runs)) == 1
    assert {one.scale_set for one in site.azure.machines()} == {site.azure.machines("htc")[0].scale_set}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_users_call_their_jobs_is_no_template_no_shell_word_and_blinds_nobody(site: Site, name: str) -> None:
    Path(PROOF).unlink(missing_ok=True)
    odd, plain = site.submit(Ask(name=name)), site.submit(Ask(), user="bob")
    site.passes()
    assert len(site.running(odd)) == len(site.running(plain)) == 1
    assert site.running(odd)[0].name == name
    assert not Path(PROOF).exists()


def test_a_scheduler_that_does_not_answer_changes_nothing(site: Site) -> None:
    site.submit(Ask())
    with site.bench.cluster() as state:
        state.data["answers"] = False
    found = site.observe()
    assert found.errors
    assert found.jobs == ()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_modules_do_the_same_with_the_programs_on_the_path(kind: str, tmp_path: Path) -> None:
    words, begin = KINDS[kind]
    site = Site(words(), begin(tmp_path))
    site.submit(Ask())
    site.one_pass()
    site.rest()
    named = {"scheduler": site.words.kind, "custom": site.words.definition["scheduler"] if "custom" in kind else None}
    found = module(site, "queue_info", **named)["queue"]
    assert found["errors"] == []
    if "custom" in kind:
        assert set(found["outputs"]) == {"jobs", "nodes"}
    else:
        assert (len(found["jobs"]), len(found["nodes"])) == (1, 1)
    steps = [{"step": "drain", "nodes": [site.observe().nodes[0].name], "reason": "azure_hpc: x"}]
    assert module(site, "queue_update", **named, plan=steps, _ansible_check_mode=True)["changed"]
    assert not site.observe().nodes[0].drained
    assert module(site, "queue_update", **named, plan=steps)["changed"]
    assert site.observe().nodes[0].drained
    if "custom" not in kind:  # there, what differs is known to the planner alone
        assert not module(site, "queue_update", **named, plan=steps)["changed"]


def module(site: Site, name: str, **arguments: object) -> dict[str, Any]:
    """Run a module in its own process, as Ansible does."""
    code = f"from ansible_collections.azure_hpc.cluster.plugins.modules import {name}; {name}.main()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(site.bench.state.parent), **arguments}}),
        env={**site.bench.environment, "PYTHONPATH": str(install.ROOT / ".dev/collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert not result.get("failed"), result
    return result
