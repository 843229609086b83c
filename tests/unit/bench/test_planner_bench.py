"""The bench of the planner: its checker finds what is wrong, its bound is one, and a plan keeps to both."""

from __future__ import annotations

import copy
import random
import typing as t

import pytest

from tests.bench import planner, workload
from tests.bench.bound import dual_feasible, lower_bound

Json = dict[str, t.Any]
TYPES = [
    {"name": "Standard_D16as_v5", "nodearray": "htc", "vcpus": 16, "mem_gb": 64, "gpus": 0, "price": 0.7},
    {"name": "Standard_E32as_v5", "nodearray": "mem", "vcpus": 32, "mem_gb": 256, "gpus": 0, "price": 1.8},
    {"name": "Standard_NC96ads_A100_v4", "nodearray": "gpu", "vcpus": 96, "mem_gb": 880, "gpus": 4, "price": 14.7},
    {"name": "Standard_HB120rs_v3", "nodearray": "hpc", "vcpus": 120, "mem_gb": 448, "gpus": 0, "price": 3.6},
]


def job(number: int, **fields: t.Any) -> Json:
    usual = {"nodes": 1, "cpus_per_node": 1, "mem_gb_per_node": 2, "gpus_per_node": 0}
    return {"id": str(number), "shape": "x", "exclusive": False, "colocated": False, **usual, **fields}


def made(seed: int, jobs: int, existing: int) -> Json:
    """A workload of all shapes that the schema knows, with existing nodes in all states."""
    order = random.Random(seed)
    types = [
        {**one, "max_count": 5000, "placement_group_size": 10 if one["nodearray"] == "hpc" else 0, "spot": False}
        for one in TYPES
    ]
    types.append({**types[0], "nodearray": "cheap", "price": 0.2, "spot": True, "max_count": 3})
    nodes = []
    for number in range(existing):
        one = order.choice(types[:4])
        state = order.choice(("full", "part", "idle"))
        share = {"full": 0.0, "part": 0.5, "idle": 1.0}[state]
        group = f"pg{number // 20}" if one["placement_group_size"] else None
        nodes.append(
            {
                "name": f"{one['nodearray']}-{number + 1}",
                "type": one["name"],
                "free_cpus": int(one["vcpus"] * share),
                "free_mem_gb": int(one["mem_gb"] * share),
                "free_gpus": int(one["gpus"] * share),
                "busy": state != "idle",
                "placement_group": group,
            }
        )
    shapes: list[Json] = [
        {"mem_gb_per_node": 4},
        {"cpus_per_node": 4, "mem_gb_per_node": 30},
        {"cpus_per_node": 12, "mem_gb_per_node": 64, "gpus_per_node": 1},
        {"cpus_per_node": 16, "mem_gb_per_node": 48, "exclusive": True},
        {"cpus_per_node": 2, "mem_gb_per_node": 180},
        {"nodes": 4, "cpus_per_node": 120, "mem_gb_per_node": 400, "exclusive": True, "colocated": True},
        {"nodes": 3, "cpus_per_node": 50, "mem_gb_per_node": 100, "colocated": True},
    ]
    wanted = [job(number, **order.choice(shapes)) for number in range(jobs)]
    return {"schema": "planner-workload/1", "node_types": types, "existing": nodes, "jobs": wanted}


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_is_valid_complete_near_the_bound_and_the_same_in_reverse(seed: int) -> None:
    doc = made(seed, 300, 40)
    found = planner.measure(doc)
    assert found["jobs_unplaced"] == 0
    assert found["existing_idle_unused"] == 0
    assert found["lower_bound_per_h"] <= found["cost_per_h"] + 0.01
    assert found["cost_per_h"] <= found["lower_bound_per_h"] * 1.08
    turned = planner.measure({**doc, "node_types": doc["node_types"][::-1]})
    same = ("cost_per_h", "new_nodes", "jobs_unplaced")
    assert [turned[key] for key in same] == [found[key] for key in same]


def test_the_checker_finds_what_is_wrong() -> None:
    doc = made(1, 0, 0)
    small, fast = doc["node_types"][0], doc["node_types"][3]
    doc["jobs"] = [
        job(1, cpus_per_node=10),
        job(2, cpus_per_node=10),
        job(3, exclusive=True),
        job(4, nodes=2, cpus_per_node=120, colocated=True),
        job(5, nodes=2),
    ]

    def spots() -> dict[str, workload.Spot]:
        return {
            "a": workload.Spot(small, 16, 64, 0, None, True),
            "b": workload.Spot(small, 16, 64, 0, None, False),
            "c": workload.Spot(fast, 120, 448, 0, "pg1", True),
            "d": workload.Spot(fast, 120, 448, 0, "pg2", True),
        }

    def wrong(**nodes: list[str]) -> str:
        return "; ".join(workload.check(doc, spots(), {name[1:]: mine for name, mine in nodes.items()}))

    assert not wrong(j1=["a"], j2=["b"])
    assert "overfull" in wrong(j1=["a"], j2=["a"])
    assert "not alone" in wrong(j1=["a"], j3=["a"])
    assert "not alone" in wrong(j3=["b"])
    assert "several placement groups" in wrong(j4=["c", "d"])
    assert "without placement group" in wrong(j4=["a", "c"])
    assert "has 1 nodes of 2" in wrong(j5=["a", "a"])
    crowd = {str(number): workload.Spot(fast, 120, 448, 0, "pg1", True) for number in range(11)}
    assert "has 11 nodes" in "; ".join(workload.check(doc, crowd, {}))


def test_the_bound_of_small_cases_is_the_known_optimum() -> None:
    doc = made(1, 0, 0)
    doc["node_types"] = [{**doc["node_types"][0], "max_count": 100}]
    doc["jobs"] = [job(number, exclusive=True) for number in range(3)]
    assert lower_bound(doc) == pytest.approx(2.1)
    # Two jobs of 40 of 64 GiB never share a node, although two nodes would have room for three of them in fractions.
    doc["jobs"] = [job(number, mem_gb_per_node=40) for number in range(3)]
    assert lower_bound(doc) == pytest.approx(2.1)


def test_the_bound_of_jobs_that_all_differ_is_near_what_they_cost() -> None:
    doc, order = made(3, 0, 10), random.Random(3)
    doc["jobs"] = [
        job(number, cpus_per_node=order.randint(1, 8), mem_gb_per_node=order.randint(1, 60)) for number in range(250)
    ]
    found = planner.measure(doc)
    assert found["jobs_unplaced"] == 0
    assert found["cost_per_h"] / 1.12 <= found["lower_bound_per_h"] <= found["cost_per_h"]


@pytest.mark.parametrize("step", range(7))
def test_dual_feasible_functions_are(step: int) -> None:
    order = random.Random(step)
    for _unused in range(300):
        cuts = sorted(order.random() for _one in range(order.randint(0, 6)))
        shares = [high - low for low, high in zip([0.0, *cuts], [*cuts, 1.0], strict=True)]
        assert sum(dual_feasible(step, share) for share in shares) <= 1 + 1e-9


def test_a_workload_keeps_what_it_says() -> None:
    doc = made(2, 5, 30)
    before = copy.deepcopy(doc)
    world = workload.read(doc)
    assert doc == before
    by_name = {node.name: node for node in world.queue.nodes}
    for one in doc["existing"]:
        node = by_name[one["name"]]
        assert (node.free_cpus, node.free_memory_mib) == (one["free_cpus"], one["free_mem_gb"] * 1024)
        assert bool(node.jobs) == one["busy"]
    assert world.catalog.price("Standard_D16as_v5", spot=True) == 0.2
