# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of the module autoscale, with a queue made by hand and Azure's answers from a sandbox."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition as definitions
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import layout

from tests.integration.modules.conftest import Modules, Result, definition

HOSTILE = "{{ lookup('pipe','id') }} $(reboot) '\"; \n\u0085 \u00e4"
Build = t.Callable[[str], Result]


class Slurm:
    """The queue of a cluster: what slurmctld would say, moved by hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        plan = layout(definitions.read(definition(name)))
        self.nodes: dict[str, dict[str, t.Any]] = {
            node: {"name": node, "flags": ["IDLE", "CLOUD", "POWERED_DOWN"], "partitions": [group.node_array]}
            for group in plan.node_groups
            for node in group.nodes()
        }
        self.jobs: list[dict[str, t.Any]] = []
        self.errors: list[str] = []

    def start(self, job: str, *nodes: str) -> None:
        """Give powered down nodes to a job: they want machines."""
        job_nodes = {"nodes": list(nodes), "node_count": len(nodes)}
        self.jobs.append({"id": job, "state": "configuring", "name": HOSTILE, "user": "u", **job_nodes})
        for node in nodes:
            self.nodes[node]["flags"] = ["ALLOCATED", "CLOUD", "POWERING_UP"]

    def update(self, plan: list[dict[str, t.Any]]) -> None:
        """What queue_update would do with claims and releases."""
        for step in plan:
            if step["step"] == "claim":
                claimed = {key: step[key] for key in ("instance_id", "address", "hostname")}
                self.nodes[step["node"]].update(claimed)
            elif step["step"] == "release":
                for node in step["nodes"]:
                    self.nodes[node].update(instance_id="", address="", hostname="")

    def finish(self, *nodes: str) -> None:
        """End all jobs and power nodes down."""
        self.jobs = []
        for node in nodes:
            self.nodes[node]["flags"] = ["IDLE", "CLOUD", "POWERING_DOWN"]

    @property
    def queue(self) -> dict[str, t.Any]:
        now = int(time.time())
        found = {"scheduler": "slurm", "cluster": self.name, "observed_at": now, "errors": self.errors}
        return {**found, "jobs": self.jobs, "nodes": list(self.nodes.values())}


@pytest.fixture
def cluster(modules: Modules, build: Build, sandbox: t.Any, request: pytest.FixtureRequest) -> t.Iterator[Slurm]:
    """A cluster of the test's own, and its queue; faults are cleared afterwards."""
    name = f"c{abs(hash(request.node.nodeid)) % 10**7}"
    build(name)
    yield Slurm(name)
    sandbox.run("fault", "clear")
    modules("resource_group", name=f"{name}-rg", state="absent", force=True)


def run(modules: Modules, cluster: Slurm, **options: t.Any) -> Result:
    return modules("autoscale", definition=definition(cluster.name), queue=cluster.queue, **options)


def kinds(result: Result) -> list[str]:
    return [step["step"] for step in result["plan"]]


def test_a_whole_life_of_machines(modules: Modules, cluster: Slurm) -> None:
    cluster.start("12", "hpc-hb120rsv3-1", "hpc-hb120rsv3-2")
    planned = run(modules, cluster, check=True)
    assert [(one["capacity"], one["outcome"]) for one in planned["azure"]] == [(2, "planned")]

    grown = run(modules, cluster)
    assert [(one["capacity"], one["outcome"]) for one in grown["azure"]] == [(2, "sent")]
    assert kinds(grown) == ["claim", "claim"]
    assert len({step["instance_id"] for step in grown["plan"]}) == 2
    assert grown["errors"] == []
    cluster.update(grown["plan"])

    again = run(modules, cluster)
    assert (again["changed"], again["plan"], again["azure"], again["lines"]) == (False, [], [], [])
    assert "diff" not in again

    cluster.finish("hpc-hb120rsv3-1", "hpc-hb120rsv3-2")
    shrunk = run(modules, cluster)
    assert [(one["step"], len(one["instance_ids"])) for one in shrunk["azure"]] == [("shrink", 2)]
    assert kinds(shrunk) == ["release"]
    cluster.update(shrunk["plan"])
    assert not run(modules, cluster)["changed"]


def test_a_pass_without_changes_is_a_handful_of_requests(modules: Modules, cluster: Slurm) -> None:
    idle = run(modules, cluster)
    assert idle["changed"] is False
    assert idle["requests"] <= 2
    cluster.start("1", *(f"htc-d4sv5-{number}" for number in range(1, 11)))
    cluster.update(run(modules, cluster)["plan"])
    assert run(modules, cluster)["requests"] <= 4


def test_a_size_that_azure_does_not_have_is_remembered_and_its_nodes_are_drained(
    modules: Modules, cluster: Slurm, sandbox: t.Any
) -> None:
    sandbox.run("fault", "add", "SkuNotAvailable", "--method", "PATCH", "--match", "*virtualMachineScaleSets*")
    cluster.start("7", "htc-d4sv5-1")
    result = run(modules, cluster)
    assert not result.get("failed"), result
    assert [error["code"] for error in result["errors"]] == ["SkuNotAvailable"]
    assert result["errors"][0]["request_id"]
    assert "drain" in kinds(result)
    seen = modules("cluster_info", definition=definition(cluster.name), fleet=True)["fleet"]["scale_sets"]
    memory = {one["vm_size"]: one["unavailable"] for one in seen}
    assert memory["Standard_D4s_v5"]["code"] == "SkuNotAvailable"
    assert memory["Standard_D8s_v5"] is None


def test_machines_that_could_not_be_allocated_are_deleted_and_remembered(
    modules: Modules, cluster: Slurm, sandbox: t.Any
) -> None:
    sandbox.run("fault", "add", "AllocationFailed", "--method", "PATCH", "--when", "async")
    cluster.start("7", "htc-d4sv5-1")
    first = run(modules, cluster)
    cluster.update(first["plan"])
    results = [first, run(modules, cluster)]
    steps = [step["step"] for result in results for step in result["azure"]]
    assert "grow" in steps
    assert "shrink" in steps
    seen = modules("cluster_info", definition=definition(cluster.name), fleet=True)["fleet"]["scale_sets"]
    (unlucky,) = [one for one in seen if one["vm_size"] == "Standard_D4s_v5"]
    assert unlucky["unavailable"]["code"] == "AllocationFailed"


def test_nothing_is_changed_if_azure_cannot_be_read(
    modules: Modules, cluster: Slurm, sandbox: t.Any, tmp_path: Path
) -> None:
    cluster.start("7", "htc-d4sv5-1")
    rule = ("--method", "GET", "--match", "*virtualMachineScaleSets*", "--retry-after", "999")
    sandbox.run("fault", "add", "TooManyRequests", *rule)
    before = sandbox.requests()
    result = run(modules, cluster, decision_log=str(tmp_path / "log"))
    assert (result["failed"], result["error"]["code"]) == (True, "FleetIncomplete")
    assert json.loads((tmp_path / "log").read_text())["error"]["code"] == "FleetIncomplete"
    assert "TooManyRequests" in result["msg"]
    changed = {key: count - before.get(key, 0) for key, count in sandbox.requests().items()}
    assert [key for key, count in changed.items() if count and not key.startswith(("GET", "POST token"))] == []


def test_nothing_is_changed_if_the_queue_is_not_complete(modules: Modules, cluster: Slurm) -> None:
    cluster.start("7", "htc-d4sv5-1")
    cluster.errors.append("squeue: timed out")
    result = run(modules, cluster)
    assert (result["failed"], result["error"]["code"]) == (True, "QueueIncomplete")
    assert "squeue: timed out" in result["msg"]


def test_a_queue_that_makes_no_sense_is_named_by_its_path(modules: Modules, cluster: Slurm) -> None:
    cluster.nodes["htc-d4sv5-1"]["flags"] = "IDLE"
    result = run(modules, cluster)
    assert result["failed"]
    assert "queue.nodes[4].flags" in result["msg"]


def test_every_decision_is_a_line_in_the_log_and_hostile_names_stay_text(
    modules: Modules, cluster: Slurm, tmp_path: Path
) -> None:
    log = tmp_path / "decisions.jsonl"
    cluster.start("12", "htc-d4sv5-1")
    run(modules, cluster, check=True, decision_log=str(log))
    assert not log.exists()
    result = run(modules, cluster, decision_log=str(log))
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["line"] for row in rows[:-1]] == result["lines"]
    assert [row["kind"] for row in rows] == ["grow", "claim", "pass"]
    assert {row["cluster"] for row in rows} == {cluster.name}
    assert log.stat().st_mode & 0o007 == 0
    assert all("\n" not in line for line in result["lines"])


def test_a_log_that_cannot_be_written_does_not_stop_a_pass(modules: Modules, cluster: Slurm) -> None:
    cluster.start("12", "htc-d4sv5-1")
    result = run(modules, cluster, decision_log="/nonexistent/decisions.jsonl")
    assert result["changed"]
    assert any("decision log" in str(warning) for warning in result["warnings"])
