# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over a queue that the planner packs, and what job_info says of it, with Azure's answers from a sandbox."""

from __future__ import annotations

import time
import typing as t

import pytest

from tests.integration.modules.conftest import Modules, Result, definition

Json = dict[str, t.Any]


def openpbs(name: str) -> Json:
    """The definition of the tests, with OpenPBS and a budget."""
    found = definition(name)
    found["scheduler"] = {"type": "openpbs"}
    found["queues"] = [{**one, "options": {}} for one in found.pop("partitions")]
    for array in found["node_arrays"]:
        array.pop("node_options", None)
    found["autoscale"] = {**found.get("autoscale", {}), "budget": {"per_hour": 50, "per_month": 100_000}}
    return found


def queue(name: str, *jobs: Json) -> Json:
    found = {"scheduler": "openpbs", "cluster": name, "observed_at": int(time.time()), "adds_nodes": True}
    return {**found, "jobs": list(jobs), "nodes": []}


def job(number: str, cpus: int, **fields: t.Any) -> Json:
    usual = {"id": number, "state": "pending", "chunks": [{"count": 1, "cpus": cpus, "memory_mib": 1024}]}
    return {**usual, "submitted_at": 1, **fields}


@pytest.fixture
def cluster(modules: Modules, build: t.Callable[[str], Result]) -> t.Iterator[str]:
    name = f"p{int(time.time()) % 10**7}"
    build(name)
    yield name
    modules("resource_group", name=f"{name}-rg", state="absent", force=True)


def test_machines_are_bought_by_price_added_and_not_bought_twice(modules: Modules, cluster: str) -> None:
    wanted = queue(cluster, job("1", 2), job("2", 2), job("3", 500))
    given = {"definition": openpbs(cluster), "queue": wanted}
    asked = modules("job_info", **given, jobs=["1", "3"], more=10)
    assert not asked.get("failed"), asked
    assert asked["jobs"][0]["why"] == "1 machines for it are bought by this pass"
    assert asked["jobs"][0]["cheapest"]["cost_per_hour"] > 0
    assert asked["jobs"][0]["more"]["cost_per_hour"] > 0
    assert "this job cannot start" in asked["jobs"][1]["why"]

    first = modules("autoscale", **given)
    assert not first.get("failed"), first
    assert [one["outcome"] for one in first["azure"]] == ["sent"]
    assert {step["step"] for step in first["plan"]} == {"add", "comment"}
    again = modules("autoscale", **given)
    assert again["azure"] == []
    assert [step["node"] for step in again["plan"] if step["step"] == "add"] == [
        step["node"] for step in first["plan"] if step["step"] == "add"
    ]
